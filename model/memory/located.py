"""Reading the memory where objects can be, and nowhere else.

Where a query location resembles every memory location of an object much less than what was in
its place a moment ago, no mask can be read there: the softmax leaves nothing of it. That takes a
comparison with the memory's object locations instead of the whole memory, a tenth of it on
average, and no search for the best matches. What is read is equal to what
``ProgressiveReader`` reads. Around it, where refinement and decoder look too, the background is
that of the newest memory frame. Not in the paper, whose readouts carry no masks.
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
    """Reads a clip as ``ProgressiveReader`` does, but only cells where an object can be.

    Args:
        memory: As ``ProgressiveReader``, B = 1; its last h * w locations are its newest frame.
        size: ``(h, w)`` of the frames.
        provisional: How many frames will be remembered, at most.
        masks: Where among the C_v channels the objects' own masks are.
        needed: Takes a readout ``(1, K, C_v, t, h, w)`` that is complete wherever there is a
            mask and zero elsewhere; returns which cells will be looked at, ``(t, h, w)`` bool.
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
        self._seen = self._reader.keys(self._shows(memory.value[0]).nonzero()[:, 0])
        self._value_shape = memory.value.shape[1:3]
        self._value_type = memory.value.dtype
        # Where something was shown before there will be something again: it is not asked for.
        self._before = torch.zeros(self._cells, dtype=torch.bool)

    def read(self, query_key: Tensor, *, top_k: int | None = None) -> Tensor:
        """Read the clip's next frames, ``(1, C_k, t, h, w)``.

        Returns:
            ``(1, K, C_v, t, h, w)``. Where no object can be: the value of the most similar of
            the cells around on the newest memory frame, without masks, if it is needed, or zero.
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

    def _shows(self, values: Tensor) -> Tensor:
        """Return where ``(K, C_v, ...)`` shows an object, ``(...)`` bool."""
        return values[:, self._masks].amax((0, 1)) >= TRACE

    def remember(self, value: Tensor) -> None:
        """Make the last frame that was read provisional memory, values ``(1, K, C_v, h, w)``."""
        before = self._reader.length
        super().remember(value)
        new = self._reader.keys(self._shows(value[0].flatten(2)).nonzero()[:, 0] + before)
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
