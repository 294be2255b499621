"""Contour accuracy F: how well two outlines follow each other."""

from functools import lru_cache
from math import ceil, hypot

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from model.metrics.region import mask_pair

TOLERANCE = 0.008
"""Distance at which outlines still match, as a share of the frame's diagonal."""


def contour_accuracy(
    prediction: ArrayLike,
    truth: ArrayLike,
    *,
    tolerance: float = TOLERANCE,
    frame_size: tuple[int, int] | None = None,
) -> float:
    """Return the F-measure of two outlines (Perazzi et al., CVPR 2016).

    A point of one outline matches when a point of the other lies within
    ``ceil(tolerance * diagonal)`` pixels, as in the DAVIS 2017 scorer (no assignment of
    points to each other). A mask that is empty or fills the frame has no outline.

    Args:
        prediction: ``(H, W)``; anything but zero is the object.
        truth: ``(H, W)``, likewise.
        tolerance: Share of the frame's diagonal.
        frame_size: ``(height, width)`` of the whole frame where the masks are a window of
            it, which must hold both objects and a margin of one pixel (`window_of`).

    Returns:
        F in [0, 1]: the harmonic mean of precision and recall; 1 when neither mask has an
        outline, 0 when only one has.

    Raises:
        ValueError: If the masks are not two-dimensional or their shapes differ.
    """
    a, b = mask_pair(prediction, truth)
    radius = ceil(tolerance * hypot(*(frame_size or a.shape)))
    window = window_of((a | b).view(np.uint8))
    outline_a = mask_outline(a[window])
    outline_b = mask_outline(b[window])
    length_a = np.count_nonzero(outline_a)
    length_b = np.count_nonzero(outline_b)
    if length_a == 0 or length_b == 0:
        return float(length_a == length_b)
    precision = np.count_nonzero(outline_a & _dilate(outline_b, radius)) / length_a
    recall = np.count_nonzero(outline_b & _dilate(outline_a, radius)) / length_b
    if precision + recall == 0:
        return 0.0
    return float(2 * precision * recall / (precision + recall))


def mask_outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the one-pixel outline of ``mask``, ``(H, W)`` bool.

    A pixel is on the outline when it differs from its east, south or south-east
    neighbour. The last row looks east only, the last column south only, and the last pixel
    is never on it, so the border of the frame itself is no outline.
    """
    outline = np.zeros_like(mask)
    outline[:-1, :-1] = mask[:-1, :-1] ^ mask[:-1, 1:]
    outline[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, :-1]
    outline[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
    outline[-1, :-1] = mask[-1, :-1] ^ mask[-1, 1:]
    outline[:-1, -1] = mask[:-1, -1] ^ mask[1:, -1]
    return outline


def window_of(labels: NDArray[np.uint8]) -> tuple[slice, slice]:
    """Return the rows and columns that hold all that is not zero, and a margin of a pixel.

    Outlines lie inside, so all else can be left out of the costly dilation. The margin
    keeps the special last row and column of `mask_outline` right: where the window ends
    before the frame does, its last row and column are empty.

    Args:
        labels: ``(H, W)`` uint8.
    """
    x, y, width, height = cv2.boundingRect(labels)
    return slice(max(y - 1, 0), y + height + 1), slice(max(x - 1, 0), x + width + 1)


def _dilate(outline: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """Return the pixels within ``radius`` of ``outline``, ``(H, W)`` bool."""
    return cv2.dilate(outline.view(np.uint8), _disk(radius)).view(np.bool_)


@lru_cache
def _disk(radius: int) -> NDArray[np.uint8]:
    """Return a disk, ``(2 * radius + 1, 2 * radius + 1)`` uint8."""
    # cv2's MORPH_ELLIPSE is a different shape from the scorer's disk.
    offsets = np.arange(-radius, radius + 1) ** 2
    return (offsets[:, None] + offsets <= radius**2).astype(np.uint8)
