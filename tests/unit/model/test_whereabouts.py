"""Refining and decoding an object where it can be gives there what the whole frame gives."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from model.build import MASK_BLOCK, build_pcvos
from model.config import PCVOS_LITE, InferenceConfig
from model.memory.bank import Memory
from model.network import whereabouts
from model.network.whereabouts import (
    ABSENT,
    CONTEXT,
    SUPPORT,
    CellBox,
    decode_whereabouts,
    find_whereabouts,
    refine_whereabouts,
)
from model.pcvos import PCVOS

SQUARES = MASK_BLOCK**2
WIDTH = PCVOS_LITE.value_width + 2 * SQUARES
SETTINGS = InferenceConfig(progressive=False)
REACH = 5
"""Cells that the decoder looks to each side: 2 at stride 16, 1 at 8, less at 4, and upsampling."""


@pytest.fixture(scope="module")
def model() -> PCVOS:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_pcvos(PCVOS_LITE).eval()
        # Starts at zero, so that it would hide all that comes before it.
        torch.nn.init.normal_(model.decoder.pred.weight, std=0.05)
    return model


def _readout(frames: int, objects: int, size: tuple[int, int], batch: int = 1) -> Tensor:
    """Return a readout whose propagated masks are empty."""
    generator = torch.Generator().manual_seed(1)
    readout = torch.rand(batch, objects, WIDTH, frames, *size, generator=generator)
    readout[:, :, -2 * SQUARES :] = 0
    return readout


def test_a_box_holds_every_cell_with_a_mask_and_its_context() -> None:
    readout = _readout(2, 2, (12, 20), batch=2)
    own = readout[:, :, -2 * SQUARES : -SQUARES]
    own[0, 0, 3, 0, 5, 9] = 0.5
    own[0, 0, 0, 0, 7, 8] = 1.1 * SUPPORT
    own[0, 0, 0, 0, 11, 19] = 0.9 * SUPPORT  # Less than the support.
    own[0, 1, 15, 1, 0, 19] = 1.0
    own[1, 1, 1, 0] = 1.0
    readout[:, :, -SQUARES:] = 1.0  # Of the others: says nothing about the object.
    c = CONTEXT
    expected = [
        [CellBox(5 - c, 8 + c, 8 - c, 10 + c), None],
        [None, CellBox(0, 1 + c, 19 - c, 20)],
        [None, CellBox(0, 12, 0, 20)],
        [None, None],
    ]
    assert find_whereabouts(readout, MASK_BLOCK) == expected


def test_windows_around_a_box_are_whole_or_end_with_the_frame() -> None:
    assert CellBox(3, 9, 7, 14).aligned(7, 7, (30, 54)) == CellBox(0, 14, 7, 14)
    assert CellBox(22, 29, 50, 54).aligned(7, 7, (30, 54)) == CellBox(21, 30, 49, 54)


def _features(model: PCVOS, size: tuple[int, int], frames: int = 1) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(2)
    images = torch.randn(frames, 3, 16 * size[0], 16 * size[1], generator=generator)
    features = model.encode_key(images)
    assert features.local_key is not None
    return features.query_value, features.f8, features.f4, features.local_key


@torch.inference_mode()
def test_inside_a_box_an_object_is_decoded_as_on_the_whole_frame(model: PCVOS) -> None:
    size = (14, 18)
    readout = _readout(1, 2, size)[:, :, :, 0]
    *image, _ = _features(model, size)
    whole = model.decoder(readout, readout, *image)
    box = CellBox(0, 13, 4, 17)
    logits = decode_whereabouts(model.decoder, readout, readout, *image, [[None, box]])
    assert torch.equal(logits[0, 0], torch.full_like(logits[0, 0], ABSENT))
    # Its edges at the frame's edge are the frame's; within the others all is seen that matters.
    inner = CellBox(0, 13 - REACH, 4 + REACH, 17 - REACH)
    assert torch.allclose(inner.cut(logits[0, 1], 16), inner.cut(whole[0, 1], 16), atol=1e-5)
    assert not torch.allclose(box.cut(logits[0, 1], 16), box.cut(whole[0, 1], 16), atol=1e-5)
    outside = torch.ones_like(logits[0, 1], dtype=torch.bool)
    box.cut(outside, 16)[:] = False
    assert (logits[0, 1][outside] == ABSENT).all()


@torch.inference_mode()
def test_inside_its_windows_an_object_is_refined_as_on_the_whole_frame(model: PCVOS) -> None:
    size, frames = (28, 21), 2
    readout = _readout(frames, 2, size)
    local_key = _features(model, size, frames)[-1][None]
    refinement = model.refinement
    assert refinement is not None
    whole = refinement(local_key, readout)
    # Two boxes of one object, on two frames: refined together, in rows 7 to 21.
    where = [[CellBox(8, 12, 1, 20), None], [CellBox(15, 20, 3, 9), None]]
    refined = refine_whereabouts(refinement, local_key, readout, where)
    assert torch.equal(refined[:, 1], readout[:, 1])
    assert torch.equal(refined[:, 0, ..., :7, :], readout[:, 0, ..., :7, :])
    assert torch.equal(refined[:, 0, ..., 21:, :], readout[:, 0, ..., 21:, :])
    # The second layer's windows, half a window farther, have to lie inside too.
    inner = (..., slice(7 + 3, 21 - 4), slice(None))
    assert torch.allclose(refined[:, 0][inner], whole[:, 0][inner], atol=1e-5)


@pytest.mark.parametrize("size", [(4, 6), (9, 8)])
@torch.inference_mode()
def test_an_object_that_can_be_everywhere_gets_the_whole_frame(
    model: PCVOS, size: tuple[int, int]
) -> None:
    generator = torch.Generator().manual_seed(3)
    cells = size[0] * size[1]
    features = model.encode_key(torch.randn(3, 3, 16 * size[0], 16 * size[1], generator=generator))
    value = torch.rand(1, 2, WIDTH, cells, generator=generator)
    memory = Memory(torch.randn(1, PCVOS_LITE.key_width, cells, generator=generator), value)
    located, whole = (
        model.segment_clip(
            features, [memory], frames=3, settings=replace(SETTINGS, locate_objects=locate)
        )
        for locate in (True, False)
    )
    assert torch.allclose(located, whole, atol=1e-5)


@torch.inference_mode()
def test_a_clip_is_decoded_only_where_its_objects_can_be(
    model: PCVOS, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whereabouts, "CONTEXT", 0)
    size = (8, 8)
    generator = torch.Generator().manual_seed(3)
    features = model.encode_key(torch.randn(1, 3, 128, 128, generator=generator))
    value = torch.rand(1, 1, WIDTH, 64, generator=generator)
    value[:, :, -2 * SQUARES :] = 0
    value.view(1, 1, WIDTH, *size)[:, :, -2 * SQUARES : -SQUARES, 2:4, 3:6] = 1
    # Each cell of the frame finds itself in the memory.
    memory = Memory(features.key.flatten(2), value)
    settings = replace(SETTINGS, top_k=1)
    logits = model.segment_clip(features, [memory], frames=1, settings=settings)[0, 0, 0]
    assert CellBox(2, 4, 3, 6).cut(logits, 16).min() > ABSENT
    assert (logits != ABSENT).sum() == 6 * 16**2
