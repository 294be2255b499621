"""Boxes and points sorted by object, and the objects' masks put into one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.errors import ConfigError, MaskError
from pcvos_cli.first_mask.boxes import Box, Point


@dataclass(frozen=True, slots=True)
class ObjectPrompts:
    """Boxes and points of one object.

    Attributes:
        object_id: The object.
        boxes: Their parts inside the frame; several are parts of one object.
        inside: Points on it.
        outside: Points off it; those on other objects are among them.
    """

    object_id: int
    boxes: tuple[Box, ...]
    inside: tuple[Point, ...]
    outside: tuple[Point, ...]


def sort_prompts(
    size: tuple[int, int],
    boxes: Sequence[Box],
    foreground: Sequence[Point],
    background: Sequence[Point],
    *,
    within_boxes: bool,
) -> list[ObjectPrompts]:
    """Sort boxes and points by object, the frontmost object last.

    Args:
        size: ``(height, width)`` of the frame.
        boxes: The part outside the frame is ignored.
        foreground: Belong to their object; without an id, to the object of the last box that
            holds them, else to the only object there is, which is 1 where there is no box.
        background: Do not belong to their object; without an id, to none.
        within_boxes: Every object needs a box, and its points lie inside.

    Raises:
        ConfigError: Nothing says where an object is, or which object a point means.
        MaskError: A box or point lies outside the frame, or a point outside its boxes.
    """
    parts: dict[int, list[Box]] = {}
    for box in _inside(boxes, size):
        # A later box of an object moves it to the front.
        parts[box.object_id] = [*parts.pop(box.object_id, []), box]
    if within_boxes and not boxes:
        raise ConfigError("no box given", hint="give --box x,y,w,h")
    if not boxes and not foreground:
        raise ConfigError("no box and no point given", hint="give --box x,y,w,h or --fg x,y")
    if not within_boxes:
        for point in foreground:
            if point.object_id is not None or not parts:
                parts.setdefault(point.object_id or 1, [])
    for point in (*foreground, *background):
        _check_point(point, size, set(parts))
    owned = [(p, _owner(p, boxes, list(parts), within_boxes=within_boxes)) for p in foreground]
    return [
        ObjectPrompts(
            object_id,
            tuple(own),
            tuple(point for point, owner in owned if owner == object_id),
            (
                *(point for point, owner in owned if owner != object_id),
                *(point for point in background if point.object_id in (None, object_id)),
            ),
        )
        for object_id, own in parts.items()
    ]


def label_objects(
    size: tuple[int, int],
    objects: Sequence[ObjectPrompts],
    cut: Callable[[ObjectPrompts], NDArray[np.bool_]],
) -> NDArray[np.int32]:
    """Cut out one object after the other; where two claim a pixel, the later is in front.

    Args:
        size: ``(height, width)`` of the frame.
        objects: As from ``sort_prompts``.
        cut: Returns an object's mask, ``(H, W)``, which is not empty.

    Returns:
        ``(H, W)`` int32 object ids, 0 = background.

    Raises:
        MaskError: An object is covered by the others; or as ``cut``.
    """
    labels = np.zeros(size, np.int32)
    for prompts in objects:
        labels[cut(prompts)] = prompts.object_id
    for prompts in objects:
        if not (labels == prompts.object_id).any():
            raise MaskError(
                f"object {prompts.object_id}: the objects of later boxes cover all of it",
                hint=f"give its box last, or mark it with --fg x,y:{prompts.object_id}",
            )
    return labels


def _inside(boxes: Sequence[Box], size: tuple[int, int]) -> list[Box]:
    """Return the boxes' parts inside the frame."""
    found = []
    for box in boxes:
        part = box.within(size)
        if part is None:
            raise MaskError(
                f"--box {box}: lies outside the frame, which is {size[1]}x{size[0]}",
                hint="a box is left, top, width, height in pixels of the displayed frame",
            )
        found.append(part)
    return found


def _check_point(point: Point, size: tuple[int, int], ids: set[int]) -> None:
    if point.x >= size[1] or point.y >= size[0]:
        raise MaskError(
            f"point {point}: lies outside the frame, which is {size[1]}x{size[0]}",
            hint="a point is column, row in pixels of the displayed frame, from 0 on",
        )
    if point.object_id is not None and point.object_id not in ids:
        raise ConfigError(
            f"point {point}: no box has object {point.object_id}",
            hint=f"the boxes' objects are {', '.join(map(str, sorted(ids)))}",
        )


def _owner(point: Point, boxes: Sequence[Box], ids: Sequence[int], *, within_boxes: bool) -> int:
    """Return the object that a foreground point belongs to."""
    for box in reversed(boxes):
        if box.holds(point) and point.object_id in (None, box.object_id):
            return box.object_id
    if within_boxes:
        which = "every box" if point.object_id is None else f"the box of object {point.object_id}"
        raise MaskError(
            f"--fg {point}: lies outside {which}",
            hint="an object is looked for inside its boxes; draw them larger",
        )
    if point.object_id is not None:
        return point.object_id
    if len(ids) > 1:
        raise ConfigError(
            f"point {point}: lies outside every box, so it may mean any object",
            hint=f"write {point}:ID, with one of {', '.join(map(str, sorted(ids)))}",
        )
    return ids[0]
