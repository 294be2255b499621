"""Losses against literal loops."""

import math

import pytest
import torch
from torch import Tensor

from model.ops.masks import soft_aggregate
from model.training.losses import (
    DICE_SMOOTHING,
    aggregated_log_probs,
    batch_iou,
    bootstrapped_cross_entropy,
    dice_loss,
)


def _logits(objects: int, seed: int = 0, scale: float = 3.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, objects, 3, 4, 5, generator=generator) * scale


@pytest.mark.parametrize("objects", [1, 2, 5])
def test_aggregated_logs_are_those_of_soft_aggregation(objects: int) -> None:
    logits = _logits(objects)
    expected = soft_aggregate(logits.sigmoid(), dim=1)
    actual = aggregated_log_probs(logits).exp()
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("objects", [1, 3])
@pytest.mark.parametrize("magnitude", [20.0, 80.0, 1e4])
def test_confidently_wrong_pixels_keep_a_finite_gradient(objects: int, magnitude: float) -> None:
    for sign in (-1.0, 1.0):
        logits = torch.full((1, objects, 1, 1, 1), sign * magnitude, requires_grad=True)
        # The truth is the opposite of what the network is sure of.
        labels = torch.full((1, 1, 1, 1), 1 if sign < 0 else 0)
        log_probs = aggregated_log_probs(logits)
        loss = bootstrapped_cross_entropy(log_probs, labels, share=1.0).sum()
        (gradient,) = torch.autograd.grad(loss, logits)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()
        assert gradient.abs().max() > 0.1


@pytest.mark.parametrize("share", [1.0, 0.5, 0.15, 1e-9])
def test_bootstrapped_cross_entropy_is_that_of_each_frames_hardest_pixels(share: float) -> None:
    log_probs = aggregated_log_probs(_logits(2))
    labels = torch.randint(0, 3, (2, 3, 4, 5), generator=torch.Generator().manual_seed(1))
    expected = []
    for b in range(2):
        frames = []
        for t in range(3):
            losses = sorted(
                (
                    -log_probs[b, labels[b, t, y, x], t, y, x].item()
                    for y in range(4)
                    for x in range(5)
                ),
                reverse=True,
            )
            kept = losses[: max(1, round(share * 20))]
            frames.append(sum(kept) / len(kept))
        expected.append(sum(frames) / len(frames))
    actual = bootstrapped_cross_entropy(log_probs, labels, share=share)
    assert actual.tolist() == pytest.approx(expected, rel=1e-5)


def test_dice_sums_over_the_frames_of_the_clip() -> None:
    probs = _logits(2).sigmoid()
    truth = (_logits(2, seed=1) > 0).float()
    expected = []
    for b in range(2):
        losses = []
        for k in range(2):
            p, m = probs[b, k].flatten().tolist(), truth[b, k].flatten().tolist()
            shared = sum(x * y for x, y in zip(p, m, strict=True))
            squares = sum(x * x for x in p) + sum(y * y for y in m)
            losses.append(1 - (2 * shared + DICE_SMOOTHING) / (squares + DICE_SMOOTHING))
        expected.append(sum(losses) / 2)
    assert dice_loss(probs, truth).tolist() == pytest.approx(expected, rel=1e-5)
    by_frame = torch.stack([dice_loss(probs[:, :, [t]], truth[:, :, [t]]) for t in range(3)])
    assert not torch.allclose(by_frame.mean(0), dice_loss(probs, truth), atol=1e-3)


def test_dice_has_the_same_scale_for_any_number_of_objects() -> None:
    probs, truth = _logits(1).sigmoid(), (_logits(1, seed=1) > 0).float()
    once, thrice = (
        dice_loss(probs, truth),
        dice_loss(probs.tile(1, 3, 1, 1, 1), truth.tile(1, 3, 1, 1, 1)),
    )
    torch.testing.assert_close(once, thrice)


def test_dice_of_a_vanished_object_that_is_not_predicted_is_no_loss() -> None:
    nothing = torch.zeros(1, 1, 2, 4, 4)
    assert dice_loss(nothing, nothing).item() == 0
    assert dice_loss(nothing + 1, nothing).item() > 0.9


def test_iou_counts_objects_on_every_fourth_pixel() -> None:
    labels = torch.zeros(1, 1, 16, 16, dtype=torch.long)
    labels[..., :8, :] = 1
    probs = torch.full((1, 2, 1, 16, 16), 0.5)
    probs[:, 1, :, :12] = 0.9
    assert batch_iou(probs.log(), labels).item() == pytest.approx(2 / 3)
    assert math.isclose(batch_iou(probs.log()[:, :1], labels * 0).nan_to_num(1.0).item(), 1.0)
