"""Frames at the working size: torchvision's pixels without torchvision."""

import numpy as np
import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from model.ops.frames import resize_frame


@pytest.mark.parametrize(
    ("source", "size"),
    [((1080, 1920), (480, 853)), ((97, 61), (48, 30)), ((90, 160), (89, 158)), ((5, 9), (1, 2))],
)
def test_pixels_are_torchvisions(source: tuple[int, int], size: tuple[int, int]) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (*source, 3), np.uint8)
    expected = transforms.resize(
        torch.from_numpy(rgb).permute(2, 0, 1),
        list(size),
        interpolation=InterpolationMode.BICUBIC,
        antialias=True,
    )
    found = resize_frame(rgb, size)
    assert found.shape == (*size, 3)
    assert found.flags.c_contiguous
    assert np.array_equal(found, expected.permute(1, 2, 0).numpy())


def test_mirrored_frames_are_resized_too() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    mirrored = rgb[:, ::-1]
    assert np.array_equal(resize_frame(mirrored, (20, 30)), resize_frame(mirrored.copy(), (20, 30)))
