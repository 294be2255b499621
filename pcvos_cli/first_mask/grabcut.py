"""A first mask from boxes and points: GrabCut (Rother, Kolmogorov and Blake, 2004)."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from model.errors import MaskError
from pcvos_cli.first_mask.boxes import Box, Point
from pcvos_cli.first_mask.objects import ObjectPrompts, label_objects, sort_prompts

ITERATIONS = 5
MAX_PIXELS = 400_000
"""GrabCut works on at most so many pixels: its time grows a little faster than their number,
and a finer graph does not find better edges."""

MARGIN = 1.0
"""Background looked at on each side of a box, as a share of the box's longer side. With half
of that, background is taken for the object more often; with more, small boxes lose detail."""

START = 0.8
"""The object's colours are first learned from an ellipse of this share of the box, since the
corners of a box are rarely the object."""

POINT_RADIUS = 2
"""A point states a disk of this radius, in pixels of the graph, whatever is there."""

POINT_REACH = 0.15
"""A point speaks for pixels this near, as a share of the box's longer side: colours are first
learned for its side there, and what is of its own colour is taken as stated, too. Otherwise a
point in a large area that the graph takes for the other side would punch a hole, no more."""

POINT_TOLERANCE = 10
"""Difference of each of red, green and blue up to which a colour is the point's own."""

SPECK = 0.01
"""Islands below this share of the object's largest part are dropped: GrabCut sprinkles them."""

_SEED = 0


def grabcut_mask(
    rgb: NDArray[np.uint8],
    boxes: Sequence[Box],
    foreground: Sequence[Point] = (),
    background: Sequence[Point] = (),
) -> NDArray[np.int32]:
    """Cut objects out of one frame.

    Each object is cut out by itself, inside its boxes (several boxes of one id are one
    object); a point that is one object's foreground is background to all others. Where two
    objects claim a pixel, the one whose box came later is in front. The same arguments give
    the same mask.

    Args:
        rgb: ``(H, W, 3)`` uint8.
        boxes: At least one. The part outside the frame is ignored.
        foreground: Belong to their object; without an id, to the object of the last box that
            holds them.
        background: Do not belong to their object; without an id, to none.

    Returns:
        ``(H, W)`` int32 object ids, 0 = background.

    Raises:
        ConfigError: No box, or a point names an object that no box has.
        MaskError: A box or point lies outside the frame, a foreground point outside its
            object's boxes, there is no background to compare with, or an object is empty.
    """
    size = (rgb.shape[0], rgb.shape[1])
    objects = sort_prompts(size, boxes, foreground, background, within_boxes=True)
    return label_objects(size, objects, lambda prompts: _cut(rgb, prompts))


def _cut(rgb: NDArray[np.uint8], prompts: ObjectPrompts) -> NDArray[np.bool_]:
    """Return one object's ``(H, W)`` mask."""
    boxes, inside, outside = prompts.boxes, prompts.inside, prompts.outside
    window = _window(boxes, (rgb.shape[0], rgb.shape[1]))
    crop = rgb[window]
    top, left = window[0].start, window[1].start
    height, width = crop.shape[:2]
    scale = min(1.0, (MAX_PIXELS / (height * width)) ** 0.5)
    small = (max(1, round(height * scale)), max(1, round(width * scale)))
    trimap = np.full(crop.shape[:2], cv2.GC_BGD, np.uint8)
    for box in boxes:
        row, column = box.top - top, box.left - left
        trimap[row : row + box.height, column : column + box.width] = cv2.GC_PR_BGD
    for box in boxes:
        centre = (box.left - left + box.width // 2, box.top - top + box.height // 2)
        axes = (int(START * box.width / 2), int(START * box.height / 2))
        cv2.ellipse(trimap, centre, axes, 0, 0, 360, cv2.GC_PR_FGD, cv2.FILLED)
    if scale < 1:
        crop = _resize(crop, small, cv2.INTER_AREA)
        trimap = _resize(trimap, small, cv2.INTER_NEAREST_EXACT)
    longest = max(max(box.width, box.height) for box in boxes)
    places = [
        [(int((p.x - left) * scale), int((p.y - top) * scale)) for p in points]
        for points in (inside, outside)
    ]
    _state(crop, trimap, places[0], places[1], reach=round(POINT_REACH * longest * scale))
    mask = _grabcut(np.ascontiguousarray(crop), trimap, boxes[0].object_id)
    mask = _without_specks(mask, trimap == cv2.GC_FGD)
    if scale < 1:
        soft = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
        mask = (soft >= 0.5).astype(np.uint8)
    whole = np.zeros(rgb.shape[:2], np.bool_)
    whole[window] = mask > 0
    return whole


def _state(
    crop: NDArray[np.uint8],
    trimap: NDArray[np.uint8],
    inside: list[tuple[int, int]],
    outside: list[tuple[int, int]],
    *,
    reach: int,
) -> None:
    """Write into ``trimap`` what points, ``(x, y)`` each, say of themselves and around them."""
    smooth = cv2.medianBlur(np.ascontiguousarray(crop), 5)
    open_question = trimap >= cv2.GC_PR_BGD  # the probable values; outside a box all is clear
    near, alike = [], []
    for points in (inside, outside):
        circles = np.zeros_like(trimap)
        flooded = np.zeros((trimap.shape[0] + 2, trimap.shape[1] + 2), np.uint8)
        for x, y in points:
            cv2.circle(circles, (x, y), reach, 1, cv2.FILLED)
            # A point beyond the crop states what is known: that is background anyway.
            if 0 <= x < trimap.shape[1] and 0 <= y < trimap.shape[0]:
                tolerance = (POINT_TOLERANCE,) * 3
                flags = 4 | (1 << 8) | cv2.FLOODFILL_FIXED_RANGE | cv2.FLOODFILL_MASK_ONLY
                cv2.floodFill(smooth, flooded, (x, y), (0,), tolerance, tolerance, flags)
        near.append((circles > 0) & open_question)
        alike.append((flooded[1:-1, 1:-1] > 0) & near[-1])
    trimap[near[1] & ~near[0]] = cv2.GC_PR_BGD
    trimap[near[0] & ~near[1]] = cv2.GC_PR_FGD
    trimap[alike[1] & ~alike[0]] = cv2.GC_BGD
    trimap[alike[0] & ~alike[1]] = cv2.GC_FGD
    for points, value in ((outside, cv2.GC_BGD), (inside, cv2.GC_FGD)):
        for point in points:
            cv2.circle(trimap, point, POINT_RADIUS, value, cv2.FILLED)


def _resize(
    image: NDArray[np.uint8], size: tuple[int, int], interpolation: int
) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(image, size[::-1], interpolation=interpolation), np.uint8)


def _window(boxes: Sequence[Box], size: tuple[int, int]) -> tuple[slice, slice]:
    """Return rows and columns of the boxes with a margin of background around them."""
    left, top = min(b.left for b in boxes), min(b.top for b in boxes)
    right, bottom = max(b.left + b.width for b in boxes), max(b.top + b.height for b in boxes)
    margin = max(8, round(MARGIN * max(right - left, bottom - top)))
    return (
        slice(max(0, top - margin), min(size[0], bottom + margin)),
        slice(max(0, left - margin), min(size[1], right + margin)),
    )


def _grabcut(
    crop: NDArray[np.uint8], trimap: NDArray[np.uint8], object_id: int
) -> NDArray[np.uint8]:
    """Return a mask of 0 and 1 where ``trimap`` says where to look; it is not modified."""
    if not (trimap == cv2.GC_BGD).any():
        raise MaskError(
            f"object {object_id}: its box leaves no background to compare with",
            hint="draw the box closer around the object, or mark background with --bg x,y",
        )
    cut = trimap.copy()
    if (trimap & 1).any():  # Else background points cover all that could be the object.
        cv2.setRNGSeed(_SEED)  # The colours are clustered from random starts.
        models = np.zeros((1, 65)), np.zeros((1, 65))
        no_rectangle = (0, 0, 0, 0)  # not read where a mask says where to look
        cv2.grabCut(crop, cut, no_rectangle, *models, ITERATIONS, cv2.GC_INIT_WITH_MASK)
    mask = (cut & 1).astype(np.uint8)  # GC_FGD and GC_PR_FGD are odd
    if not mask.any():
        raise MaskError(
            f"object {object_id}: GrabCut finds nothing in its box but background",
            hint="mark the object with --fg x,y, or draw the box closer around it",
        )
    return mask


def _without_specks(mask: NDArray[np.uint8], stated: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Drop tiny islands, but none that the user pointed at."""
    count, parts, statistics, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count <= 2:  # background and one part
        return mask
    areas = statistics[:, cv2.CC_STAT_AREA]
    kept = areas >= SPECK * areas[1:].max()
    kept[0] = False
    kept[np.unique(parts[stated & (mask > 0)])] = True
    return kept[parts].astype(np.uint8)
