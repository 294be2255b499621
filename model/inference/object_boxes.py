"""Reading, refining and decoding an object inside its box, for inference on a CPU.

A readout that carries propagated masks (``Decoder.mask_block``) shows before any decoding which
cells resemble a part of the object in the memory. ``with_object_boxes`` returns a network whose
reader, refinement and decoder spend no work on the others. Not in the paper, whose readouts carry
no masks.

In the first 41 frames of six DAVIS sequences, every pixel that whole frames gave to the object lay
inside its boxes (``docs/decisions.md``).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.config import InferenceConfig
from model.memory.bank import Memory
from model.memory.progressive import ProgressiveReader
from model.network.decoder import Decoder
from model.network.refinement import IntraClipRefinement
from model.ops.masks import own_masks
from model.pcvos import PCVOS

SUPPORT = 0.1
"""A cell belongs to an object's box where its propagated mask reaches this."""

CONTEXT = 1
"""Cells around them that are decoded too."""

ABSENT = -10.0
"""Logit of the object outside of its box, where the network gives -7 to -3."""

TRACE = 0.05
"""A memory location shows an object where some part of the object's mask reaches this."""

GAP = 4.0
"""A cell is read unless its best match that shows an object is this much worse than its best match
on the newest memory frame, in units of the softmax's exponent: exp(-4) is 0.018.

With 4, none of the cells of four sequences whose mask reaches 0.05 is missed; with 3, 0.3 % of
them; with 2, 2 % (``docs/decisions.md``)."""

NEAR = 1
"""Cells to each side that something moves between the newest memory frame and the next one."""


def with_object_boxes(model: PCVOS, settings: InferenceConfig) -> PCVOS:
    """Return a network that reads, refines and decodes objects inside their boxes.

    Args:
        model: With a ``mask_block``; its parts are shared, not copied.
        settings: Filled in by ``for_model``. The memory is read in boxes where provisional
            memory is decoded: readouts as provisional memory (eq. 4) need whole frames.

    Returns:
        A network with the same results wherever an object can be, for one video at a time
        and without gradients.
    """
    block = model.decoder.mask_block
    refinement = model.refinement if settings.refinement else None
    window = (1, 1) if refinement is None else refinement.window[1:]
    reader = partial(
        BoxReader,
        masks=own_masks(block),
        needed=partial(needed_cells, mask_block=block, window=window),
    )
    return PCVOS(
        model.config,
        key_encoder=model.key_encoder,
        value_encoder=model.value_encoder,
        # They stand in for the modules, with the same calls.
        refinement=cast(IntraClipRefinement, BoxRefinement(refinement, block))
        if refinement is not None
        else None,
        decoder=cast(Decoder, BoxDecoder(model.decoder)),
        reader=reader if settings.decode_provisional else model.reader,
    )


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

    @property
    def area(self) -> int:
        """Cells in it."""
        return (self.bottom - self.top) * (self.right - self.left)

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


def object_boxes(readout: Tensor, mask_block: int) -> list[list[CellBox | None]]:
    """Return the box of each object on each frame.

    Args:
        readout: ``(B, K, C_v, T, h, w)``, the last ``2 * mask_block ** 2`` channels propagated
            masks, the object's first.
        mask_block: Parts of a mask along a cell's side.

    Returns:
        K boxes for each of ``B * T`` frames; ``None`` where the object cannot be at all.
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


def _clip_windows(
    readout: Tensor, mask_block: int, window: tuple[int, int]
) -> list[CellBox | None]:
    """Return, by object, the windows that hold its boxes in all frames of one sample."""
    size = (int(readout.shape[4]), int(readout.shape[5]))
    by_object = zip(*object_boxes(readout, mask_block), strict=True)
    present = ([box for box in boxes if box is not None] for boxes in by_object)
    return [CellBox.around(p).aligned(*window, size) if p else None for p in present]


def needed_cells(readout: Tensor, mask_block: int, window: tuple[int, int]) -> Tensor:
    """Return which cells refinement and decoder will look at.

    Args:
        readout: As ``object_boxes``, of one sample.
        mask_block: Likewise.
        window: Rows and columns of the windows that are refined; 1 and 1 without refinement.

    Returns:
        ``(T, h, w)`` bool, on the CPU.
    """
    cells = torch.zeros(readout.shape[3:], dtype=torch.bool)
    for windows in _clip_windows(readout, mask_block, window):
        if windows is not None:
            windows.cut(cells)[:] = True
    return cells


class BoxRefinement(nn.Module):
    """Stands in for ``IntraClipRefinement``: refines each object in the windows of its boxes.

    Args:
        refinement: The module that is applied to them.
        mask_block: As ``object_boxes``.
    """

    def __init__(self, refinement: IntraClipRefinement, mask_block: int) -> None:
        super().__init__()
        self._refinement = refinement
        self._mask_block = mask_block

    def forward(self, local_key: Tensor, readout: Tensor) -> Tensor:
        """Refine as ``IntraClipRefinement``; unrefined outside of the windows."""
        refined = readout.clone()
        _, rows, columns = self._refinement.window
        for b in range(len(readout)):
            sample = slice(b, b + 1)
            windows = _clip_windows(readout[sample], self._mask_block, (rows, columns))
            for k, box in enumerate(windows):
                if box is None:
                    continue
                one = sample, slice(k, k + 1)
                box.cut(refined[one])[:] = self._refinement(
                    box.cut(local_key[sample]), box.cut(readout[one])
                )
        return refined


class BoxDecoder(nn.Module):
    """Stands in for ``Decoder``: decodes each object inside its box.

    Args:
        decoder: The module that is applied to the boxes.
    """

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self._decoder = decoder
        self.mask_block = decoder.mask_block

    def forward(
        self, readout: Tensor, refined: Tensor, query_value: Tensor, f8: Tensor, f4: Tensor
    ) -> Tensor:
        """Decode as ``Decoder``; ``ABSENT`` outside of the boxes."""
        frames, objects, _, height, width = readout.shape
        logits = readout.new_full((frames, objects, 16 * height, 16 * width), ABSENT)
        for b, boxes in enumerate(object_boxes(readout[:, :, :, None], self.mask_block)):
            for k, box in enumerate(boxes):
                if box is None:
                    continue
                one = slice(b, b + 1), slice(k, k + 1)
                box.cut(logits[one], 16)[:] = self._decoder(
                    box.cut(readout[one]),
                    box.cut(refined[one]),
                    box.cut(query_value[b : b + 1]),
                    box.cut(f8[b : b + 1], 2),
                    box.cut(f4[b : b + 1], 4),
                )
        return logits


class BoxReader(ProgressiveReader):
    """Reads a clip as ``ProgressiveReader`` does, but only cells where an object can be.

    Where a query location resembles every memory location of an object much less than the
    newest memory frame around it, no mask can be read: the softmax leaves nothing of it. That
    takes a comparison with the memory's object locations, a tenth of it on average, and no
    search for the best matches. Around what is read, where refinement and decoder look too,
    the background is that of the newest memory frame.

    Args:
        memory: As ``ProgressiveReader``, B = 1; its last h * w locations are its newest frame.
        size: ``(h, w)`` of the frames.
        frames: As ``ProgressiveReader``.
        interval: As ``ProgressiveReader``.
        masks: Where among the C_v channels the objects' own masks are.
        needed: Takes a readout ``(1, K, C_v, t, h, w)`` that is complete wherever there is a
            mask and zero elsewhere; returns which cells will be looked at, ``(t, h, w)`` bool.
    """

    def __init__(
        self,
        memory: Memory,
        size: tuple[int, int],
        *,
        frames: int,
        interval: int | None,
        masks: slice,
        needed: Callable[[Tensor], Tensor],
    ) -> None:
        super().__init__(memory, size, frames=frames, interval=interval)
        self._masks = masks
        self._needed = needed
        # (N,): the objects share what is read.
        self._seen = self._reader.keys(self._shows(memory.value[0]).nonzero()[:, 0])
        self._value_shape = memory.value.shape[1:3]
        self._value_type = memory.value.dtype
        # Where something was shown before there will be something again: it is not asked for.
        self._before = torch.zeros(self._cells, dtype=torch.bool)

    def _read_segment(self, query_key: Tensor, top_k: int | None) -> Tensor:
        """Read ``(1, C_k, t, h, w)`` as ``ProgressiveReader`` where an object can be.

        Elsewhere it is the value of the most similar of the cells around on the newest memory
        frame, without masks, if it is needed, or zero.
        """
        frames = query_key.shape[2]
        self._queries = queries = self._reader.queries(query_key.flatten(2))
        found = self._before.repeat(frames)
        nearest = torch.zeros(len(found), dtype=torch.int64)  # Memory locations, where not found.
        sought = (~found).nonzero()[:, 0]
        if len(sought):
            newest = self._reader.length - self._cells
            near = _near(*self._size, sought.device)[sought % self._cells] + newest
            found[sought], nearest[sought] = self._reader.resembles(
                queries[0, sought], self._seen, near, gap=GAP
            )
        rows = torch.zeros((len(found), *self._value_shape), dtype=self._value_type)
        # Rows (m, K, C_v), since values are read as such; seen as (1, K, C_v, t, h, w).
        readout = rows.permute(1, 2, 0).unflatten(-1, (frames, *self._size))[None]
        cells = found.nonzero()[:, 0]
        if len(cells):
            values = self._reader.read(queries[:, cells], top_k=top_k)
            rows.index_copy_(0, cells, values[0].permute(2, 0, 1))
        around = (self._needed(readout).flatten() & ~found).nonzero()[:, 0]
        background = self._reader.values_at(nearest[around])
        background[..., self._masks.start :] = 0  # The object's, and those of the others.
        rows.index_copy_(0, around, background)
        self._before = self._shows(readout[0]).flatten(1).any(0)
        return readout

    def remember(self, value: Tensor) -> None:
        """Make the last frame that was read provisional memory, values ``(1, K, C_v, h, w)``."""
        before = self._reader.length
        super().remember(value)
        new = self._reader.keys(self._shows(value[0].flatten(2)).nonzero()[:, 0] + before)
        self._seen = torch.cat((self._seen, new))

    def _shows(self, values: Tensor) -> Tensor:
        """Return where ``(K, C_v, ...)`` shows an object, ``(...)`` bool."""
        return values[:, self._masks].amax((0, 1)) >= TRACE


@lru_cache(maxsize=16)
def _near(height: int, width: int, device: torch.device) -> Tensor:
    """Return each cell's neighbours within ``NEAR``, ``(h * w, (2 * NEAR + 1) ** 2)``."""
    with torch.inference_mode(False):
        steps = torch.arange(-NEAR, NEAR + 1, device=device)
        rows = torch.arange(height, device=device)[:, None] + steps
        columns = torch.arange(width, device=device)[:, None] + steps
        rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
        cells = rows[:, None, :, None] * width + columns[None, :, None, :]
        return cells.flatten(2).flatten(0, 1)
