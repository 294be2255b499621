"""Pixels to network input: resized, normalised, and padded to a multiple of the trunk's stride.

Masks come to that size by nearest neighbour, in ``pcvos_cli.masks.reference``.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


MOST_ENLARGED = 2
"""``auto`` enlarges at most so many times: beyond it, a frame has too little to show."""


def working_size(
    size: tuple[int, int], wanted: int | Literal["auto"] | None, meant: int
) -> tuple[int, int]:
    """Return the ``(height, width)`` to work at.

    Args:
        size: ``(height, width)`` of the source.
        wanted: ``--size``: the shorter side, which is never enlarged; ``auto`` for ``meant``,
            to which small frames are enlarged; ``None`` keeps ``size``.
        meant: Shorter side that the weights are meant to run on.
    """
    shorter = min(size)
    if wanted == "auto":
        edge = min(meant, MOST_ENLARGED * shorter)
    else:
        edge = shorter if wanted is None else min(wanted, shorter)
    height, width = (max(1, round(side * edge / shorter)) for side in size)
    return height, width


def larger_size(
    size: tuple[int, int], working: tuple[int, int], meant: int
) -> Literal["native", "auto"] | None:
    """Return the ``--size`` that shows most of a source, ``None`` if ``working`` is as large.

    Args:
        size: ``(height, width)`` of the source.
        working: ``(height, width)`` at which the model works.
        meant: Shorter side that the weights are meant to run on.
    """
    largest = working_size(size, "auto", meant)
    if min(working) >= max(*map(min, (size, largest))):
        return None
    return "auto" if min(largest) > min(size) else "native"


def resize_frame(rgb: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize ``(H, W, 3)`` uint8 bicubically, with an antialiasing filter.

    These are the pixels of torchvision's resize, without its import (165 MB): Pillow's
    within 1, at four times its speed. Without the filter, thin structures of a 1080p frame
    flicker at 480p and so do their features.
    """
    if rgb.shape[:2] == size:
        return rgb
    # (1, 3, H, W) in channels_last, which torch resizes without reordering.
    planes = torch.from_numpy(np.ascontiguousarray(rgb))[None].permute(0, 3, 1, 2)
    resized = functional.interpolate(
        planes, size, mode="bicubic", align_corners=False, antialias=True
    )
    return resized[0].permute(1, 2, 0).numpy()


def normalise(rgb: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Scale to [0, 1] and normalise with the ImageNet mean and standard deviation.

    Args:
        rgb: ``(..., 3, H, W)`` uint8 in [0, 255], or floating point in [0, 1].
        out: float32 of that shape, is written to; ``None`` makes one.

    Returns:
        float32, same shape.
    """
    # In planes and in place: pixel after pixel, as frames are read, it takes four times as long.
    x = torch.empty(rgb.shape, device=rgb.device) if out is None else out
    x.copy_(rgb)
    if rgb.dtype == torch.uint8:
        x.div_(255)
    mean = torch.tensor(IMAGENET_MEAN, device=x.device).view(3, 1, 1)
    std = torch.tensor(IMAGENET_STD, device=x.device).view(3, 1, 1)
    return x.sub_(mean).div_(std)


@dataclass(frozen=True, slots=True)
class Padding:
    """Pixels added on each side of a frame."""

    left: int = 0
    right: int = 0
    top: int = 0
    bottom: int = 0


def padding_to_multiple(size: tuple[int, int], multiple: int = 16) -> Padding:
    """Return the padding that makes ``(height, width)`` divisible by ``multiple``.

    Symmetric; an odd pixel goes to the bottom or right (as in the published PCVOS).
    """
    rows = -size[0] % multiple
    columns = -size[1] % multiple
    return Padding(columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)


def pad(x: Tensor, padding: Padding) -> Tensor:
    """Add zeros around the last two axes of ``(..., H, W)``."""
    if padding == Padding():
        return x
    return functional.pad(x, (padding.left, padding.right, padding.top, padding.bottom))


def unpad(x: Tensor, padding: Padding) -> Tensor:
    """Remove ``padding`` from the last two axes of ``(..., H, W)``: a view."""
    height, width = x.shape[-2:]
    return x[..., padding.top : height - padding.bottom, padding.left : width - padding.right]


def clear_padding(x: Tensor, padding: Padding) -> None:
    """Set what ``unpad`` removes from ``(..., H, W)`` to zero, in place."""
    height, width = x.shape[-2:]
    x[..., : padding.top, :] = 0
    x[..., height - padding.bottom :, :] = 0
    x[..., : padding.left] = 0
    x[..., width - padding.right :] = 0
