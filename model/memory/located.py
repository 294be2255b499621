"""Reading the memory where objects can be, and nowhere else.

Where a query location resembles every memory location of an object much less than what was in
its place a moment ago, no mask can be read there: the softmax leaves nothing of it. That takes a
comparison with the memory's object locations instead of the whole memory, a tenth of it on
average, and no search for the best matches. What is read is equal to what
``ProgressiveReader`` reads. Not in the paper, whose readouts carry no masks.
"""

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from model.memory.bank import Memory
from model.memory.progressive import ProgressiveReader

TRACE = 0.05
"""A memory location shows an object where some part of the object's mask reaches this."""

GAP = 4.0
"""What the best of them may lack, in units of the softmax's exponent: exp(-4) is 0.018.

With 4, none of the cells of four sequences whose mask reaches 0.05 is overlooked; with 3, 0.3 %
of them; with 2, 2 % (``docs/decisions.md``)."""

NEAR = 1
"""Cells to each side between where something is and where it was on the newest memory frame."""


class LocatedReader(ProgressiveReader):
    """Reads a clip as ``ProgressiveReader`` does, but only cells that an object may need.

    Args:
        memory: As ``ProgressiveReader``, B = 1; its last h * w locations are its newest frame.
        size: ``(h, w)`` of the frames.
        provisional: How many frames will be remembered, at most.
        masks: Where among the C_v channels the objects' own masks are.
        needed: Takes a readout ``(1, K, C_v, t, h, w)`` that is complete wherever there is a
            mask and zero elsewhere; returns which cells are to be read, ``(t, h, w)`` bool.
    """

    def __init__(
        self,
        memory: Memory,
        size: tuple[int, int],
        *,
        provisional: int,
        masks: slice,
        needed: Callable[[Tensor], Tensor],
    ) -> None:
        super().__init__(memory, size, provisional=provisional)
        self._masks = masks
        self._needed = needed
        # (N,): the objects share what is read.
        shown = memory.value[0, :, masks].amax((0, 1)) >= TRACE
        self._seen = self._reader.keys(shown.nonzero()[:, 0])
        self._value_shape = memory.value.shape[1:3]
        self._value_type = memory.value.dtype
        # What was needed of the frames before will be needed again, and is not asked for.
        self._before = torch.zeros(self._cells, dtype=torch.bool)

    def read(self, query_key: Tensor, *, top_k: int | None = None) -> Tensor:
        """Read the clip's next frames, ``(1, C_k, t, h, w)``; zero where nothing is needed.

        Returns:
            ``(1, K, C_v, t, h, w)``.
        """
        frames = query_key.shape[2]
        self._queries = queries = self._reader.queries(query_key.flatten(2))
        found = self._before.repeat(frames)
        sought = (~found).nonzero()[:, 0]
        if len(sought):
            newest = self._reader.length - self._cells
            near = _near(*self._size, sought.device)[sought % self._cells] + newest
            found[sought] = self._reader.resembles(queries[0, sought], self._seen, near, gap=GAP)
        rows = torch.zeros((len(found), *self._value_shape), dtype=self._value_type)
        # Rows (m, K, C_v), since values are read as such; seen as (1, K, C_v, t, h, w).
        readout = rows.permute(1, 2, 0).unflatten(-1, (frames, *self._size))[None]
        self._read_into(rows, queries, found, top_k)
        needed = self._needed(readout)
        self._read_into(rows, queries, needed.flatten() & ~found, top_k)
        self._before = needed.flatten(1).any(0)
        return readout

    def _read_into(self, rows: Tensor, queries: Tensor, cells: Tensor, top_k: int | None) -> None:
        """Read some of the queries: ``cells``, ``(m,)`` bool."""
        index = cells.nonzero()[:, 0]
        if len(index):
            values = self._reader.read(queries[:, index], top_k=top_k)
            rows.index_copy_(0, index, values[0].permute(2, 0, 1))

    def remember(self, value: Tensor) -> None:
        """Make the last frame that was read provisional memory, values ``(1, K, C_v, h, w)``."""
        before = self._reader.length
        super().remember(value)
        shown = value[0, :, self._masks].flatten(2).amax((0, 1)) >= TRACE
        new = self._reader.keys(shown.nonzero()[:, 0] + before)
        self._seen = torch.cat((self._seen, new))


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
