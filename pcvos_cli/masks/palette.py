"""The colours of object ids: the map of PASCAL VOC and DAVIS, and a brighter one to draw with."""

import colorsys

import cv2
import numpy as np
from numpy.typing import NDArray

MAX_PALETTE_ID = 255
"""Largest id that an 8-bit palette image can hold."""

OPACITY = 0.45
"""Share of the object's colour in a pixel of the object."""


def voc_palette() -> NDArray[np.uint8]:
    """Return the PASCAL VOC colour map that DAVIS uses, ``(256, 3)`` RGB.

    Bits 0, 1, 2 of an id become the highest free bits of red, green and blue, then bits
    3, 4, 5 the next ones, and so on.
    """
    ids = np.arange(256, dtype=np.int64)
    palette = np.zeros((256, 3), dtype=np.int64)
    for level in range(8):
        for channel in range(3):
            palette[:, channel] |= ((ids >> (3 * level + channel)) & 1) << (7 - level)
    return palette.astype(np.uint8)


def bright_colour_of(object_id: int) -> tuple[int, int, int]:
    """Return an RGB colour that stands out on dark and on bright video.

    The first six ids have the hues of the DAVIS palette at full strength (red, green,
    yellow, blue, magenta, cyan); further ones step around the circle by the golden ratio,
    so that any few neighbours differ.

    Raises:
        ValueError: If ``object_id`` is below 1.
    """
    if object_id < 1:
        raise ValueError(f"object ids begin at 1, got {object_id}")
    if object_id <= 6:
        high, low = 255, 70
        return (
            high if object_id & 1 else low,
            high if object_id & 2 else low,
            high if object_id & 4 else low,
        )
    step = object_id - 7
    hue = (0.0833 + step * 0.618033988749895) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, (0.85, 0.5)[step % 2], 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def draw_masks(rgb: NDArray[np.uint8], labels: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Return the frame with translucent objects and their outlines.

    An outline is a line in the object's colour with a dark rim, so that it shows on bright
    and on dark video; its width grows with the frame.

    Args:
        rgb: ``(H, W, 3)``. Read but never modified.
        labels: ``(H, W)`` object ids, 0 = background.

    Returns:
        ``(H, W, 3)`` uint8.
    """
    drawn = rgb.copy()
    line = max(1, round(min(labels.shape) / 240))
    outlines = []
    for object_id in np.flatnonzero(np.bincount(labels.ravel())).tolist():
        if object_id == 0:
            continue
        mask = (labels == object_id).view(np.uint8)
        # Each object is drawn within its box, so many small ones cost little more than one large.
        x, y, width, height = cv2.boundingRect(mask)
        box = np.s_[y : y + height, x : x + width]
        colour = bright_colour_of(object_id)
        cv2.copyTo(cv2.LUT(drawn[box], _tint(colour)), mask[box], drawn[box])
        contours, _ = cv2.findContours(
            mask[box], cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=(x, y)
        )
        outlines.append((contours, colour))
    for contours, _ in outlines:  # all rims first, so that none covers a neighbour's line
        cv2.drawContours(drawn, contours, -1, (0, 0, 0), line + 2)
    for contours, colour in outlines:
        cv2.drawContours(drawn, contours, -1, colour, line)
    return drawn


def _tint(colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return the table that mixes a colour into the values 0 to 255 of each channel."""
    values = np.arange(256.0)[:, None] * (1 - OPACITY) + np.array(colour) * OPACITY
    return np.rint(values).astype(np.uint8)[None]
