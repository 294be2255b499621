"""Where the next frames are encoded: around the objects. For inference on a CPU.

The key encoder is most of a frame's time, and most of a frame is far from every object. Where masks
of earlier frames of the clip are known (decoded provisional memory), only a window around them is
encoded; around it the features stay those of the frames before. A clip's first frames, one of
``LOOK_AROUND`` and those with a reference mask are encoded whole, and all of them while an object
is out of sight: what comes back may come back anywhere. Not in the paper.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from model.config import STRIDE
from model.inference.object_boxes import CellBox
from model.types import KeyFeatures

REACH = 0.2
"""How far objects are looked for in any case, to each side, share of the frame's shorter side.

On 36 sequences of DAVIS, 0.001 % of the objects' pixels lay outside of their windows, and 0.1 % of
every third frame's (``docs/lab/history.md``)."""

LOOK_AROUND = 10
"""Of so many frames at least one is encoded whole."""

WORTHWHILE = 0.9
"""Share of a frame from which on the whole of it is encoded."""

SHOWN = 0.3
"""A pixel shows an object where it is as probable as this."""

STEP = 4
"""Every so manyth pixel of masks is looked at: what the decoder gives, before it is enlarged."""


class SearchWindow:
    """Follows the objects of a clip.

    Args:
        ahead: How many frames may be encoded before the first of them has masks.
    """

    def __init__(self, ahead: int) -> None:
        self._ahead = ahead
        self._before: NDArray[np.int64] | None = None  # Sides of their box, in steps.

    def follow(self, masks: Tensor, is_gone: Sequence[bool]) -> CellBox | None:
        """Return where to look for the objects on the frames that follow.

        They are looked for further away where a side of their box moved since the frame before:
        what moves may turn to any side.

        Args:
            masks: ``(K, H, W)`` soft masks on a frame; sides multiples of 16.
            is_gone: Of each object, whether the frames that follow are said to be without it.

        Returns:
            The window; ``None``: everywhere.
        """
        before, self._before = self._before, None
        shown = (masks[:, STEP // 2 :: STEP, STEP // 2 :: STEP] >= SHOWN).numpy()
        seen = shown.any((1, 2))
        if not seen.any() or not (seen | np.array(is_gone)).all():
            return None
        rows, columns = (np.flatnonzero(shown.any((0, axis))) for axis in (2, 1))
        self._before = sides = np.array([rows[0], rows[-1] + 1, columns[0], columns[-1] + 1])
        if before is None:
            return None
        height, width = (side // STRIDE for side in masks.shape[1:])
        reach = REACH * min(masks.shape[1:]) / STEP + self._ahead * abs(sides - before).max()
        top, bottom, left, right = (sides + reach * np.array([-1, 1, -1, 1])) * STEP / STRIDE
        window = CellBox(*_within(top, bottom, height), *_within(left, right, width))
        return window if window.area < WORTHWHILE * height * width else None


def renew(features: KeyFeatures, part: KeyFeatures, window: CellBox, *, places: int) -> KeyFeatures:
    """Return features that are ``part`` in the window and as before around it.

    Args:
        features: Of one frame before, whole.
        part: Of B frames, of the window.
        window: Where it is.
        places: So many last channels of a key are its place in the frame: they stay.
    """

    def paste(before: Tensor, new: Tensor, scale: int, kept: int = 0) -> Tensor:
        pasted = before.repeat(len(new), 1, 1, 1)
        count = new.shape[1] - kept
        window.cut(pasted[:, :count], scale)[:] = new[:, :count]
        return pasted

    local_key = None
    if features.local_key is not None and part.local_key is not None:
        local_key = paste(features.local_key, part.local_key, 1)
    return KeyFeatures(
        paste(features.key, part.key, 1, places),
        local_key,
        paste(features.query_value, part.query_value, 1),
        paste(features.f16, part.f16, 1),
        paste(features.f8, part.f8, 2),
        paste(features.f4, part.f4, 4),
    )


def _within(start: float, end: float, whole: int) -> tuple[int, int]:
    """Return a window's whole cells, which lie as the whole frame's at every stride.

    Behind stride 16 an even number of cells is taken together otherwise than an odd one.
    """
    first, last = max(0, math.floor(start)), min(whole, math.ceil(end))
    return first // 2 * 2, last + (last - whole) % 2
