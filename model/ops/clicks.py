"""Clicks as a user would make them: where a mask errs most."""

import cv2
import numpy as np
from numpy.typing import NDArray


def largest_error(
    predicted: NDArray[np.bool_], truth: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], int] | None:
    """Find the largest connected region that is wrong.

    Args:
        predicted: ``(H, W)``.
        truth: ``(H, W)``.

    Returns:
        Each pixel's distance to the region's edge, ``(H, W)``, 0 outside; and 1 where the
        region belongs to the object, -1 where it does not. ``None`` where nothing is wrong.
    """
    best, side, area = None, 0, 0
    for wrong, its_side in ((truth & ~predicted, 1), (predicted & ~truth, -1)):
        _, parts, statistics, _ = cv2.connectedComponentsWithStats(wrong.astype(np.uint8))
        areas = statistics[1:, cv2.CC_STAT_AREA]
        if areas.size and areas.max() > area:
            best, side, area = parts == 1 + int(areas.argmax()), its_side, int(areas.max())
    if best is None:
        return None
    padded = np.pad(best.astype(np.uint8), 1)  # The edge of the picture is an edge, too.
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    return np.asarray(depth, np.float32), side


def middle_click(
    predicted: NDArray[np.bool_], truth: NDArray[np.bool_]
) -> tuple[float, float, bool] | None:
    """Return the click in the middle of the largest error, or ``None`` where nothing is wrong.

    Args:
        predicted: ``(H, W)``.
        truth: ``(H, W)``.

    Returns:
        Column, row, and whether the object is there.
    """
    found = largest_error(predicted, truth)
    if found is None:
        return None
    depth, side = found
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(column), float(row), side > 0
