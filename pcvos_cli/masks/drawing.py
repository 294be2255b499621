"""Masks drawn on a frame so that a person can judge them."""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from pcvos_cli.masks.label_files import label_values
from pcvos_cli.masks.label_map import LabelMap, box_of_all
from pcvos_cli.masks.palette import bright_colour_of

OPACITY = 0.45
"""Share of the object's colour in a pixel of the object."""


def line_width(size: tuple[int, int]) -> int:
    """Return the width of an outline on a frame of this size, without its rim of 1 to each side."""
    return max(1, round(min(size) / 240))


def draw_masks(
    rgb: NDArray[np.uint8], labels: LabelMap, *, line: int | None = None
) -> NDArray[np.uint8]:
    """Return the frame with translucent objects and their outlines.

    An outline is a line in the object's colour with a dark rim, so that it shows on bright
    and on dark video; its width grows with the frame.

    Args:
        rgb: ``(H, W, 3)``. Read but never modified.
        labels: ``(H, W)`` object ids, 0 = background.
        line: Width of the outlines; ``None`` for that of a frame of this size.

    Returns:
        ``(H, W, 3)`` uint8.
    """
    drawn = rgb.copy()
    line = line or line_width((labels.shape[0], labels.shape[1]))
    outlines = []
    # Each object is handled within its box, so many small ones cost no more than one large.
    for object_id, box in _boxes(labels):
        rows, columns = box
        mask = (labels[box] == object_id).astype(np.uint8)
        colour = bright_colour_of(object_id)
        cv2.copyTo(cv2.LUT(drawn[box], _tint(colour)), mask, drawn[box])
        # The ends of straight pieces alone: the same lines in two thirds of the time.
        contours, _ = cv2.findContours(
            mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=(columns.start, rows.start)
        )
        outlines.append((contours, colour))
    for contours, _ in outlines:  # all rims first, so that none covers a neighbour's line
        cv2.drawContours(drawn, contours, -1, (0, 0, 0), line + 2)
    for contours, colour in outlines:
        cv2.drawContours(drawn, contours, -1, colour, line)
    return drawn


def _boxes(labels: LabelMap) -> Iterator[tuple[int, tuple[slice, slice]]]:
    """Yield the id and the rows and columns of each object, ids ascending."""
    for object_id in label_values(labels):
        box = box_of_all(labels == object_id)
        if box is not None:
            yield object_id, box


def _tint(colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return the table that mixes a colour into the values 0 to 255 of each channel."""
    values = np.arange(256.0)[:, None] * (1 - OPACITY) + np.array(colour) * OPACITY
    return np.rint(values).astype(np.uint8)[None]
