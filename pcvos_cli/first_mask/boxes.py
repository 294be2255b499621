"""Boxes and points by which a user shows where the objects are. Free of OpenCV and torch."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from model.errors import ConfigError

MAX_ID = 254
"""Largest id for an object of a palette mask; 255 means void there."""

_BOX = re.compile(r"(-?\d+),(-?\d+),(\d+),(\d+)(?::(\d+))?", re.ASCII)
_POINT = re.compile(r"(\d+),(\d+)(?::(\d+))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle that holds an object.

    Attributes:
        left: First column, in pixels; may be negative.
        top: First row; may be negative.
        width: Columns.
        height: Rows.
        object_id: The object inside.
    """

    left: int
    top: int
    width: int
    height: int
    object_id: int = 1

    def __str__(self) -> str:
        """Return it as it is written on the command line, without the id."""
        return f"{self.left},{self.top},{self.width},{self.height}"

    def within(self, size: tuple[int, int]) -> "Box | None":
        """Return the part inside a frame of ``(height, width)``, or ``None`` if there is none."""
        left, top = max(0, self.left), max(0, self.top)
        width = min(size[1], self.left + self.width) - left
        height = min(size[0], self.top + self.height) - top
        if width < 1 or height < 1:
            return None
        return Box(left, top, width, height, self.object_id)

    def holds(self, point: "Point") -> bool:
        """Tell whether a point lies inside."""
        return (
            self.left <= point.x < self.left + self.width
            and self.top <= point.y < self.top + self.height
        )


@dataclass(frozen=True, slots=True)
class Point:
    """A pixel whose side the user states.

    Attributes:
        x: Column.
        y: Row.
        object_id: The object meant; ``None`` leaves it to the boxes.
    """

    x: int
    y: int
    object_id: int | None = None

    def __str__(self) -> str:
        """Return it as it is written on the command line."""
        return f"{self.x},{self.y}" + ("" if self.object_id is None else f":{self.object_id}")


def parse_boxes(texts: Sequence[str]) -> list[Box]:
    """Read boxes: ``x,y,w,h`` or ``x,y,w,h:id``.

    A box without an id gets the smallest one that no other box has, in the order given.

    Raises:
        ConfigError: One is not of that form, is empty, or its id is not from 1 to 254.
    """
    found = []
    for text in texts:
        match = _BOX.fullmatch(text.replace(" ", ""))
        if match is None:
            raise ConfigError(
                f"--box {text}: not a box",
                hint="write x,y,w,h or x,y,w,h:id in pixels: left, top, width, height",
            )
        left, top, width, height = map(int, match.groups()[:4])
        if width < 1 or height < 1:
            raise ConfigError(f"--box {text}: is {width} x {height} pixels", hint="draw it larger")
        found.append(((left, top, width, height), _object_id("--box", text, match[5])))
    taken = {object_id for _, object_id in found if object_id is not None}
    boxes = []
    for sides, given in found:
        object_id = given
        if object_id is None:
            object_id = next(i for i in range(1, MAX_ID + 2) if i not in taken)
            taken.add(object_id)
        if object_id > MAX_ID:
            raise ConfigError(f"--box: more than {MAX_ID} objects do not fit a palette mask")
        boxes.append(Box(*sides, object_id))
    return boxes


def parse_points(texts: Sequence[str], option: str) -> list[Point]:
    """Read points: ``x,y`` or ``x,y:id``.

    Args:
        texts: As given.
        option: Named in errors.

    Raises:
        ConfigError: One is not of that form, or its id is not from 1 to 254.
    """
    found = []
    for text in texts:
        match = _POINT.fullmatch(text.replace(" ", ""))
        if match is None:
            raise ConfigError(
                f"{option} {text}: not a point", hint="write x,y or x,y:id: column, row"
            )
        found.append(Point(int(match[1]), int(match[2]), _object_id(option, text, match[3])))
    return found


def _object_id(option: str, text: str, digits: str | None) -> int | None:
    if digits is None:
        return None
    if not 1 <= int(digits) <= MAX_ID:
        raise ConfigError(f"{option} {text}: object ids are 1 to {MAX_ID}")
    return int(digits)
