"""Masks drawn on a frame so that a person can judge them."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pcvos_cli.masks.palette import bright_colour_of

OPACITY = 0.45
"""Share of the object's colour in a pixel of the object."""


def draw_masks(rgb: NDArray[np.uint8], labels: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Return the frame with translucent objects and their outlines.

    An outline is a line in the object's colour with a dark rim, so that it shows on bright
    and on dark video; its width grows with the frame.

    Args:
        rgb: ``(H, W, 3)``. Read but never modified.
        labels: ``(H, W)`` object ids, 0 = background.

    Returns:
        ``(H, W, 3)`` uint8.
    """
    counts = np.bincount(labels.ravel())
    ids = np.flatnonzero(counts[1:]) + 1
    if ids.size == 0:
        return rgb.copy()
    colours = np.zeros((counts.size, 3), dtype=np.uint8)
    for object_id in ids:
        colours[object_id] = bright_colour_of(int(object_id))
    tinted = cv2.addWeighted(rgb, 1.0 - OPACITY, colours[labels], OPACITY, 0.0)
    drawn = np.where((labels > 0)[..., None], tinted, rgb)

    line = max(1, round(min(labels.shape) / 360))
    outlines = [(_outlines(labels == i), bright_colour_of(int(i))) for i in ids]
    for contours, _ in outlines:  # all rims first, so that none covers a neighbour's line
        cv2.drawContours(drawn, contours, -1, (0, 0, 0), line + 2, cv2.LINE_AA)
    for contours, colour in outlines:
        cv2.drawContours(drawn, contours, -1, colour, line, cv2.LINE_AA)
    return drawn


def _outlines(mask: NDArray[np.bool_]) -> Any:
    """Return the outer and inner outlines of a mask."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return contours
