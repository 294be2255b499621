"""Symmetric padding to a multiple of the trunk's stride."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional


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
