"""Looking closely at a part of a picture: a window around an object, resized to a square."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

MAX_STRETCH = 1.5
"""Largest ratio by which a window's sides are resized differently."""


class Window(NamedTuple):
    """A part of a picture, in pixels: rows ``top`` to ``bottom``, columns ``left`` to ``right``."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left


def zoom_window(
    box: tuple[float, float, float, float], size: tuple[int, int], *, margin: float
) -> Window:
    """Return the window around a box, inside the picture.

    Args:
        box: Left, top, right, bottom, edges of pixels.
        size: ``(height, width)`` of the picture.
        margin: Sides of the window over those of the box. The shorter side becomes longer
            where the window would be stretched by more than ``MAX_STRETCH``.
    """
    sides = np.array([box[2] - box[0], box[3] - box[1]]) * margin
    sides = np.maximum(sides, max(sides.max() / MAX_STRETCH, 16))
    middle = np.array([box[0] + box[2], box[1] + box[3]]) / 2
    limit = np.array(size[::-1])
    sides = np.minimum(sides, limit)
    # A window that would leave the picture is moved, so that it keeps its size.
    start = np.clip(middle - sides / 2, 0, limit - sides)
    low = np.floor(start).astype(int)
    high = np.minimum(np.ceil(start + sides).astype(int), limit)
    return Window(int(low[0]), int(low[1]), int(high[0]), int(high[1]))


def zoom(picture: NDArray[np.uint8], window: Window, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize a window of ``(H, W)`` or ``(H, W, 3)`` to ``size``, ``(height, width)``."""
    part = picture[window.top : window.bottom, window.left : window.right]
    shrinks = part.shape[0] * part.shape[1] > size[0] * size[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(part, size[::-1], interpolation=method), np.uint8)
