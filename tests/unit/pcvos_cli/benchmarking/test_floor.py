"""Multiply-adds, against numbers worked out by hand."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from model.config import PCVOS_LITE, PCVOS_R50, STCN_R50, InferenceConfig
from model.memory.bank import Memory
from model.memory.progressive import progressive_read
from pcvos_cli.benchmarking.floor import count_multiply_adds, count_products, count_read

CELLS = 30 * 54
"""Of 480 x 854 at stride 16, padded."""


def test_a_small_layer_counts_as_by_hand():
    # 3 x 3 kernel, 3 of 6 input channels for each of 4 output channels, 5 x 7 places.
    conv = nn.Conv2d(6, 4, 3, padding=1, groups=2)
    assert count_products(lambda: conv(torch.zeros(1, 6, 5, 7))) == 3 * 3 * 3 * 4 * 5 * 7
    # Bias and activation are no multiply-adds.
    mlp = nn.Sequential(nn.Linear(7, 5), nn.GELU(), nn.Linear(5, 2, bias=False))
    assert count_products(lambda: mlp(torch.zeros(3, 7))) == 3 * 7 * 5 + 3 * 5 * 2
    # Shapes are all that counts.
    meta = conv.to("meta")
    assert count_products(lambda: meta(torch.zeros(2, 6, 5, 7, device="meta"))) == 2 * 3780


def test_the_papers_network_is_counted_as_in_issue_6():
    """By hand at 480 x 864, in G: 27 + 12, 99 of which 38 the image's, 9, and 42 in L frames."""
    settings = InferenceConfig(interval=10)
    # Long enough for the first frame, which is only encoded, not to matter.
    one, three = (
        count_multiply_adds(PCVOS_R50, settings, (480, 854), objects=k, frames=1001) for k in (1, 3)
    )
    giga = {stage: count / 1e9 for stage, count in one.items()}
    assert giga["key_encoder"] == pytest.approx(27.1 + 12.4, abs=0.1)
    assert giga["decoder"] == pytest.approx(99.4, abs=0.2)
    assert giga["refinement"] == pytest.approx(9, abs=0.5)
    assert giga["value_encoder"] == pytest.approx(42.8 / 10, abs=0.02)
    assert three["key_encoder"] == one["key_encoder"]
    shared = 3 * one["decoder"] - three["decoder"]
    assert shared / 2e9 == pytest.approx(38.2, abs=0.1)
    # The count by hand leaves the read out: 40 frames of memory make it 5.6 G.
    for counts, total in ((one, 153), (three, 300)):
        giga = {stage: count / 1e9 for stage, count in counts.items()}
        assert sum(giga.values()) - giga["memory_read"] == pytest.approx(total, abs=4)
        assert giga["memory_read"] == pytest.approx(5.6, abs=0.3)


def test_only_what_runs_is_counted():
    settings = InferenceConfig(interval=5)
    size = (64, 64)
    full = count_multiply_adds(PCVOS_LITE, settings, size, objects=1, frames=11)
    off = replace(settings, refinement=False)
    without = count_multiply_adds(PCVOS_LITE, off, size, objects=1, frames=11)
    assert {k: v for k, v in full.items() if k != "refinement"} == without
    assert "refinement" not in count_multiply_adds(STCN_R50, settings, size, objects=1, frames=6)
    # 11 frames: 11 keys, 10 decoded; the first frame and the first clip's last are remembered.
    twice = count_multiply_adds(PCVOS_LITE, settings, size, objects=1, frames=6)
    assert twice["key_encoder"] == full["key_encoder"]
    assert 11 * full["decoder"] == pytest.approx(2 * 6 * twice["decoder"])
    assert 11 * full["value_encoder"] == pytest.approx(2 * 6 * twice["value_encoder"])


def test_decoded_provisional_memory_is_counted():
    settings = InferenceConfig(interval=7, progressive_interval=5, decode_provisional=False)
    plain = count_multiply_adds(PCVOS_LITE, settings, (64, 64), objects=2, frames=15)
    decoded = replace(settings, decode_provisional=True)
    full = count_multiply_adds(PCVOS_LITE, decoded, (64, 64), objects=2, frames=15)
    # Two clips of 7, each 5 and 2: the first frame, the clip between, and once within each.
    assert full["value_encoder"] == pytest.approx(2 * plain["value_encoder"])
    assert full["decoder"] == plain["decoder"]
    assert full["memory_read"] == plain["memory_read"]


def test_the_read_is_counted_as_by_hand():
    settings = InferenceConfig(interval=7, top_k=20, progressive_interval=5)
    read = count_read(PCVOS_R50, settings, CELLS, objects=3, frames=7, memory_frames=2)
    # Five frames read two, then two read three; 20 of them give 3 x 512 channels.
    keys = (5 * 2 + 2 * 3) * CELLS * CELLS * 64
    assert read == keys + 7 * CELLS * 20 * 3 * 512
    everything = replace(settings, top_k=None, progressive=False)
    read = count_read(PCVOS_LITE, everything, CELLS, objects=1, frames=7, memory_frames=2)
    assert read == 7 * CELLS * 2 * CELLS * (64 + 64 + 2 * 16)


def test_a_bounded_memory_ends_the_reads_growth():
    bounded = InferenceConfig(interval=1, progressive=False, max_memory_frames=4)
    reads = [
        frames
        * count_multiply_adds(PCVOS_LITE, bounded, (64, 64), objects=1, frames=frames)[
            "memory_read"
        ]
        for frames in (2, 3, 4, 5, 6, 7)
    ]
    steps = [after - before for before, after in pairwise(reads)]
    assert steps[0] < steps[1] < steps[2] == pytest.approx(steps[3])
    assert steps[3] == pytest.approx(steps[4])


def test_the_network_reads_with_no_more_products_than_counted():
    """What the read's code multiplies, but for the sums of values, which torch does not count."""
    settings = InferenceConfig(interval=4, top_k=3, progressive_interval=2)
    random = torch.Generator().manual_seed(0)
    query = torch.randn(1, 64, 4, 3, 5, generator=random)
    key = torch.randn(1, 64, 2 * 15, generator=random)
    memory = Memory(key, torch.randn(1, 1, 96, 2 * 15, generator=random))
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        progressive_read(query, memory, interval=2, top_k=3)
    least = count_read(PCVOS_LITE, settings, 15, objects=1, frames=4, memory_frames=2)
    sums = 4 * 15 * 3 * 96
    assert least - sums <= counter.get_total_flops() / 2 <= 1.1 * least
