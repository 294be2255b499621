"""Simulated boxes and clicks, and a step that learns from them."""

from itertools import product

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.build import build_prompt_segmenter
from model.config import LITE_PROMPT
from model.ops.clicks import largest_error, middle_click
from model.training.prompting import (
    JITTER,
    PromptTrainer,
    jittered_boxes,
    random_clicks,
)


def slow_largest_error(
    guess: NDArray[np.bool_], truth: NDArray[np.bool_]
) -> tuple[set[tuple[int, int]], int]:
    """Flood every region that is wrong, a pixel at a time."""
    best: tuple[set[tuple[int, int]], int] = (set(), 0)
    for wrong, side in ((truth & ~guess, 1), (guess & ~truth, -1)):
        left = set(zip(*map(list, np.nonzero(wrong)), strict=True))
        while left:
            edge = [left.pop()]
            region = set(edge)
            while edge:
                row, column = edge.pop()
                for i, j in product((-1, 0, 1), repeat=2):
                    if (row + i, column + j) in left:
                        left.remove((row + i, column + j))
                        region.add((row + i, column + j))
                        edge.append((row + i, column + j))
            if len(region) > len(best[0]):
                best = (region, side)
    return best


@pytest.mark.parametrize("seed", range(6))
def test_the_largest_error_is_what_flooding_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    guess, truth = rng.random((2, 24, 30)).repeat(3, 1)[:, :24] < 0.4
    region, side = slow_largest_error(guess, truth)
    found = largest_error(guess, truth)
    assert found is not None
    depth, its_side = found
    assert its_side == side
    assert set(zip(*map(list, np.nonzero(depth)), strict=True)) == region


def test_nothing_wrong_needs_no_click() -> None:
    mask = np.eye(20, dtype=bool)
    assert largest_error(mask, mask) is None
    clicks = random_clicks(torch.from_numpy(mask)[None], torch.from_numpy(mask)[None])
    assert clicks[0, 2] == 0


def test_the_middle_click_is_farthest_from_the_edge_of_the_error() -> None:
    truth = np.zeros((40, 60), bool)
    truth[5:26, 10:51] = True
    column, row, positive = middle_click(np.zeros_like(truth), truth) or (0, 0, False)
    assert positive
    assert row == 15
    assert 20 <= column <= 40
    guess = truth.copy()
    guess[30:39, 0:9] = True
    assert middle_click(guess, truth) == (4, 34, False)


def test_clicks_lie_deep_in_the_error_and_say_its_side() -> None:
    truth = torch.zeros(2, 64, 64, dtype=torch.bool)
    truth[:, 10:50, 10:50] = True
    guess = truth.clone()
    guess[0, 10:40, 10:40] = False  # Missed.
    guess[1, 52:64, 0:64] = True  # Too much.
    torch.manual_seed(0)
    for _ in range(10):
        first, second = random_clicks(guess, truth).tolist()
        assert first[2] == 1
        assert 16 < first[0] < 34
        assert 16 < first[1] < 34
        assert second[2] == -1
        assert 54 < second[1] < 62


def test_boxes_hold_the_object_or_are_off_by_a_share_of_their_sides() -> None:
    truth = torch.zeros(200, 100, 100, dtype=torch.bool)
    truth[:, 30:50, 20:80] = True
    torch.manual_seed(1)
    boxes = jittered_boxes(truth)
    off = (boxes - torch.tensor([20.0, 30, 80, 50])).abs() / torch.tensor([60.0, 20, 60, 20])
    assert off.max() <= JITTER + 1e-6
    assert off.max() > 0.9 * JITTER
    exact = (off == 0).all(1).float().mean()
    assert 0.2 < exact < 0.4


def test_a_few_steps_learn_one_picture() -> None:
    torch.manual_seed(0)
    model = build_prompt_segmenter(LITE_PROMPT).train()
    trainer = PromptTrainer(model)
    frames = torch.randn(2, 1, 3, 64, 64)
    labels = torch.zeros(2, 1, 64, 64, dtype=torch.uint8)
    labels[:, :, 16:48, 8:40] = 1
    frames[labels[:, :, None].expand_as(frames) > 0] += 2
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-3)
    losses = []
    for _ in range(12):
        result = trainer(frames, labels, torch.ones(2), 1.0, keep_labels=True)
        optimiser.zero_grad()
        result.total.backward()
        optimiser.step()
        losses.append(float(result.total.detach()))
    assert np.mean(losses[-3:]) < 0.6 * np.mean(losses[:3])
    assert result.labels is not None
    assert result.labels.shape == labels.shape
    assert result.iou.shape == (2,)
