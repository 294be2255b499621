"""Pixels to network input: normalised, and padded to a multiple of the trunk's stride."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


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
