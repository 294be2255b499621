"""Labels at another size: what interpolating every pixel gives."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from model.ops.masks import label_pixels
from model.types import ClipPrediction


def everywhere(probs: Tensor, size: tuple[int, int]) -> Tensor:
    resized = functional.interpolate(probs[None], size, mode="bilinear", align_corners=False)[0]
    return resized.max(0).indices


def soft_masks(channels: int, seed: int, size: tuple[int, int] = (31, 46)) -> Tensor:
    """Blobs with soft edges; steep ones look like a network's, flat ones have long edges."""
    generator = torch.Generator().manual_seed(seed)
    seeds = torch.randn(1, channels, 5, 7, generator=generator) * 4 ** (seed % 4)
    return functional.interpolate(seeds, size, mode="bicubic")[0].softmax(0)


@pytest.mark.parametrize("size", [(31, 46), (70, 104), (108, 160), (279, 414), (32, 47), (20, 30)])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_labels_are_those_of_interpolating_everywhere(size: tuple[int, int], channels: int) -> None:
    ids = torch.arange(channels, dtype=torch.int32) * 7
    for seed in range(6):
        probs = soft_masks(channels, seed)
        labels = label_pixels(probs, ids, size)
        assert labels.dtype == torch.int32
        assert torch.equal(labels, ids[everywhere(probs, size)])


def test_a_third_object_that_wins_only_in_between_is_found() -> None:
    """Red left, blue right, and green second everywhere: in the middle green is the largest."""
    probs = torch.tensor([[[0.6, 0.0]], [[0.0, 0.6]], [[0.4, 0.4]]])
    labels = label_pixels(probs, torch.tensor([1, 2, 3]), (1, 8))
    assert labels.tolist() == everywhere(probs, (1, 8)).add(1).tolist()
    assert 3 in labels


def test_a_prediction_gives_the_users_ids() -> None:
    probs = torch.stack([soft_masks(3, seed) for seed in (1, 2)], dim=1)
    prediction = ClipPrediction(start=4, object_ids=(9, 200), probs=probs)
    for t, labels in enumerate(prediction.labels((62, 92))):
        expected = np.array([0, 9, 200])[everywhere(probs[:, t], (62, 92))]
        np.testing.assert_array_equal(labels.numpy(), expected)


@pytest.mark.parametrize("ids", [range(300), range(0, 600, 2)])
def test_more_channels_than_a_byte_can_number(ids: range) -> None:
    probs = soft_masks(300, 3).mul(20).round()  # So coarse that many tie: the first one wins.
    labels = label_pixels(probs, torch.tensor(ids, dtype=torch.int32))
    assert labels.tolist() == (probs.argmax(0) * ids.step).tolist()
    assert labels.max() > 256
