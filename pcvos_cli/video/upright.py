"""Display matrices: how stored frames are turned upright."""

from dataclasses import dataclass
from typing import Any, cast

import av
import numpy as np
from av.sidedata.sidedata import Type
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Turn:
    """How stored frames are turned upright: transpose, then mirror.

    Attributes:
        transpose: Swap rows and columns first.
        mirror_rows: Then reverse the order of the rows.
        mirror_columns: Then reverse the order of the columns.
    """

    transpose: bool = False
    mirror_rows: bool = False
    mirror_columns: bool = False

    @classmethod
    def of(cls, picture: av.VideoFrame) -> "Turn":
        """Read the display matrix; the nearest multiple of 90 degrees, mirrored or not."""
        try:
            side_data = _side_data(picture)["DISPLAYMATRIX"]
        except KeyError:
            return cls()
        # 16.16 fixed point, row vectors: (x, y) goes to (a x + c y, b x + d y).
        a, b, _, c, d = np.frombuffer(bytes(side_data), np.int32)[:5].tolist()
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return cls(False, d < 0, a < 0)
        return cls(True, b < 0, c < 0)

    @property
    def degrees(self) -> int:
        """Counter-clockwise rotation; a mirror image counts as its rotation."""
        if self.transpose:
            return 90 if self.mirror_rows else 270
        return 180 if self.mirror_rows and self.mirror_columns else 0

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the displayed ``(height, width)`` of a stored one."""
        return (size[1], size[0]) if self.transpose else size

    def apply(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turn ``(H, W, 3)`` upright; contiguous."""
        if self.transpose:
            rgb = rgb.transpose(1, 0, 2)
        rows = slice(None, None, -1 if self.mirror_rows else 1)
        columns = slice(None, None, -1 if self.mirror_columns else 1)
        turned = rgb[rows, columns]
        # ascontiguousarray keeps the negative stride of an axis of one pixel; torch refuses it.
        return turned.copy() if min(turned.strides) < 0 else np.ascontiguousarray(turned)


def _side_data(picture: av.VideoFrame) -> Any:
    """Return a frame's side data, whatever else is among it.

    PyAV raises ``ValueError`` on a type of FFmpeg's that it has no name for, such as the EXIF
    of motion JPEG, and with that hides all of it. Then all types get a name.
    """
    try:
        return picture.side_data
    except ValueError:
        cast(Any, Type)._missing_ = classmethod(_nameless)
        return picture.side_data


def _nameless(cls: Any, value: object) -> Any:
    member = object.__new__(cls)
    member._name_, member._value_ = f"NAMELESS_{value}", value
    return member
