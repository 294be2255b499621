"""The colours of object ids: the map of PASCAL VOC and DAVIS, and a brighter one to look at."""

import colorsys

import numpy as np
from numpy.typing import NDArray

MAX_PALETTE_ID = 255
"""Largest id that an 8-bit palette image can hold."""


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
