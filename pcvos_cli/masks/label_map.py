"""Which object each pixel of a frame belongs to."""

import cv2
import numpy as np
from numpy.typing import NDArray

LabelMap = NDArray[np.uint8] | NDArray[np.int32]
"""``(H, W)`` object ids, 0 = background: int32 from the model, bytes from palette PNGs."""

MAX_BYTE = 255
"""Largest id that a byte holds."""


def as_bytes(labels: LabelMap) -> NDArray[np.uint8] | None:
    """Return the ids as bytes, themselves if they are, or ``None`` if they do not fit."""
    if labels.dtype == np.uint8:
        return labels.astype(np.uint8, copy=False)
    if labels.max(initial=0) > MAX_BYTE or labels.min(initial=0) < 0:
        return None
    return labels.astype(np.uint8)


def box_of_all(labels: LabelMap | NDArray[np.bool_]) -> tuple[slice, slice] | None:
    """Return rows and columns that hold all objects, or ``None`` without any."""
    x, y, width, height = cv2.boundingRect((labels != 0).view(np.uint8))
    return (slice(y, y + height), slice(x, x + width)) if width else None
