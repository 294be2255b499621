"""Where on a frame an object can be, read off its propagated mask.

A readout that carries propagated masks (``Decoder.mask_block``) says before any decoding which
cells resemble a part of the object in the memory. Elsewhere there is nothing to refine or to
decode, so both shrink from the frame to the object. Not in the paper, whose readouts carry none.

In the first 41 frames of six DAVIS sequences no pixel that the whole frame's decoding gave to the
object lay outside of the boxes (``docs/decisions.md``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.network.decoder import Decoder
from model.network.refinement import IntraClipRefinement
from model.ops.masks import own_masks

SUPPORT = 0.1
"""A cell belongs to an object's whereabouts where its propagated mask reaches this."""

CONTEXT = 1
"""Cells around them that are decoded too."""

ABSENT = -10.0
"""Logit of the object everywhere else, where the network says -7 to -3."""


@dataclass(frozen=True, slots=True)
class CellBox:
    """A part of a frame, in cells of stride 16. Ends are exclusive."""

    top: int
    bottom: int
    left: int
    right: int

    @classmethod
    def around(cls, boxes: "Sequence[CellBox]") -> "CellBox":
        """Return the smallest box that holds all of these."""
        return cls(
            min(box.top for box in boxes),
            max(box.bottom for box in boxes),
            min(box.left for box in boxes),
            max(box.right for box in boxes),
        )

    def aligned(self, rows: int, columns: int, size: tuple[int, int]) -> "CellBox":
        """Grow to whole windows of ``rows`` x ``columns``, within a frame of ``size``."""
        return CellBox(
            self.top // rows * rows,
            min(size[0], -(-self.bottom // rows) * rows),
            self.left // columns * columns,
            min(size[1], -(-self.right // columns) * columns),
        )

    def cut(self, x: Tensor, scale: int = 1) -> Tensor:
        """Return this part of ``(..., scale * h, scale * w)``; a view."""
        rows = slice(scale * self.top, scale * self.bottom)
        return x[..., rows, scale * self.left : scale * self.right]


Whereabouts = list[list[CellBox | None]]
"""Boxes by frame and object; ``None`` where an object cannot be at all."""


def find_whereabouts(readout: Tensor, mask_block: int) -> Whereabouts:
    """Find where each object can be.

    Args:
        readout: ``(B, K, C_v, T, h, w)``, the last ``2 * mask_block ** 2`` channels propagated
            masks, the object's first.
        mask_block: Parts of a mask along a cell's side.

    Returns:
        The boxes in ``B * T`` frames.
    """
    masks = readout[:, :, own_masks(mask_block)].amax(2)  # (B, K, T, h, w)
    found = (masks >= SUPPORT).transpose(1, 2).flatten(0, 1).cpu().numpy()
    return [[_box_around(cells) for cells in frame] for frame in found]


def _box_around(cells: NDArray[np.bool_]) -> CellBox | None:
    rows, columns = np.flatnonzero(cells.any(1)), np.flatnonzero(cells.any(0))
    if not len(rows):
        return None
    height, width = cells.shape
    return CellBox(
        max(0, int(rows[0]) - CONTEXT),
        min(height, int(rows[-1]) + 1 + CONTEXT),
        max(0, int(columns[0]) - CONTEXT),
        min(width, int(columns[-1]) + 1 + CONTEXT),
    )


def needed_cells(readout: Tensor, mask_block: int, window: tuple[int, int]) -> Tensor:
    """Return which cells refinement and decoder will look at.

    Args:
        readout: As ``find_whereabouts``, of one sample.
        mask_block: Likewise.
        window: Rows and columns of the windows that are refined; 1 and 1 without refinement.

    Returns:
        ``(T, h, w)`` bool, on the CPU.
    """
    frames, *size = readout.shape[3:]
    cells = torch.zeros((frames, *size), dtype=torch.bool)
    for windows in _windows(find_whereabouts(readout, mask_block), window, (size[0], size[1])):
        if windows is not None:
            windows.cut(cells)[:] = True
    return cells


def _windows(
    where: Whereabouts, window: tuple[int, int], size: tuple[int, int]
) -> list[CellBox | None]:
    """Return, by object, the windows that hold its boxes in all the frames of a sample."""
    by_object = ([b for b in boxes if b is not None] for boxes in zip(*where, strict=True))
    return [CellBox.around(found).aligned(*window, size) if found else None for found in by_object]


def refine_whereabouts(
    refinement: IntraClipRefinement, local_key: Tensor, readout: Tensor, whereabouts: Whereabouts
) -> Tensor:
    """Do what ``IntraClipRefinement`` does, for each object in the windows where it can be.

    Arguments and result as ``IntraClipRefinement.forward``; unrefined outside of the windows.
    """
    refined = readout.clone()
    _, rows, columns = refinement.window
    samples, _, _, frames, height, width = readout.shape
    for b in range(samples):
        of_sample = whereabouts[b * frames : (b + 1) * frames]
        for k, windows in enumerate(_windows(of_sample, (rows, columns), (height, width))):
            if windows is None:
                continue
            one = slice(b, b + 1), slice(k, k + 1)
            windows.cut(refined[one])[:] = refinement(
                windows.cut(local_key[b : b + 1]), windows.cut(readout[one])
            )
    return refined


def decode_whereabouts(
    decoder: Decoder,
    readout: Tensor,
    refined: Tensor,
    query_value: Tensor,
    f8: Tensor,
    f4: Tensor,
    whereabouts: Whereabouts,
) -> Tensor:
    """Do what ``Decoder`` does, for each object where it can be.

    Arguments and result as ``Decoder.forward``; ``whereabouts`` by frame and object.
    ``ABSENT`` outside of the boxes.
    """
    frames, objects, _, height, width = readout.shape
    logits = readout.new_full((frames, objects, 16 * height, 16 * width), ABSENT)
    for b, boxes in enumerate(whereabouts):
        for k, box in enumerate(boxes):
            if box is None:
                continue
            one = slice(b, b + 1), slice(k, k + 1)
            box.cut(logits[one], 16)[:] = decoder(
                box.cut(readout[one]),
                box.cut(refined[one]),
                box.cut(query_value[b : b + 1]),
                box.cut(f8[b : b + 1], 2),
                box.cut(f4[b : b + 1], 4),
            )
    return logits
