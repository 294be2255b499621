"""Masks drawn on a frame so that a person can judge them."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pcvos_cli.masks.label_files import LabelMap
from pcvos_cli.masks.palette import bright_colour_of

OPACITY = 0.45
"""Share of the object's colour in a pixel of the object."""


def draw_masks(rgb: NDArray[np.uint8], labels: LabelMap) -> NDArray[np.uint8]:
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
