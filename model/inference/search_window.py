"""Where the next frames are encoded: around the objects. For inference on a CPU.

The key encoder is most of a frame's time, and most of a frame is far from every object. Where masks
of earlier frames of the clip are known (decoded provisional memory), only a window around them is
encoded; around it the features stay those of the frames before. A clip's first frame and every
``LOOK_AROUND``-th are encoded whole, and all of them while an object is out of sight: what comes
back may come back anywhere. Not in the paper.
"""

import math
from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from model.config import STRIDE
from model.inference.object_boxes import CellBox, box_around
from model.types import KeyFeatures

REACH = 0.22
"""How far objects are looked for on the next frames, share of the frame's shorter side.

On 36 sequences of DAVIS, 0.05 % of the objects' pixels lie further away on the second frame after;
with 0.12, 0.3 % do (``docs/lab/history.md``)."""

LOOK_AROUND = 10
"""Of so many frames at least one is encoded whole."""

WORTHWHILE = 0.75
"""Share of a frame from which on the whole of it is encoded."""

SHOWN = 0.3
"""An object is in a cell where some pixel of it is as probable as this."""

STEP = 4
"""Every so manyth pixel of masks is looked at: what the decoder gives, before it is enlarged."""


def search_window(masks: Tensor, may_be_gone: Sequence[bool]) -> CellBox | None:
    """Return where to look for objects on the frames that follow.

    Args:
        masks: ``(K, H, W)`` soft masks of the objects on a frame; sides multiples of 16.
        may_be_gone: Of each, whether it need not be looked for once it is out of sight.

    Returns:
        The window; ``None``: everywhere.
    """
    few = masks[:, STEP // 2 :: STEP, STEP // 2 :: STEP]
    cells = functional.max_pool2d(few, STRIDE // STEP) >= SHOWN  # (K, h, w)
    height, width = cells.shape[1:]
    reach = math.ceil(REACH * min(height, width))
    seen = [box_around(shown, reach) for shown in cells.numpy()]
    if any(box is None and not gone for box, gone in zip(seen, may_be_gone, strict=True)):
        return None
    boxes = [box for box in seen if box is not None]
    if not boxes:
        return None
    around = CellBox.around(boxes)
    window = CellBox(
        *_sides(around.top, around.bottom, height), *_sides(around.left, around.right, width)
    )
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


def _sides(start: int, end: int, whole: int) -> tuple[int, int]:
    """Return a window's start and end so that its cells lie as the whole frame's at every stride.

    Behind stride 16 an even number of cells is taken together otherwise than an odd one.
    """
    return start // 2 * 2, end + (end - whole) % 2
