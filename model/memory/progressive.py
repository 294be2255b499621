"""Memory read (paper, section 3.3) and progressive matching (section 3.5, eq. 4)."""

import math
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from model.memory.affinity import GROUP, largest, nearest, products_at
from model.memory.bank import Memory
from model.types import concatenated

BLOCK_ELEMENTS = 1 << 22
"""Affinities held at a time where all matches are kept (16 MB)."""


class MemoryReader:
    """Reads values from a memory, for one clip.

    Keys are compared by negative squared Euclidean distance divided by ``sqrt(C_k)``
    (STCN, Cheng et al., NeurIPS 2021) and normalised over the memory with a softmax.
    All objects share that affinity, so one more object costs one more gather
    but no second comparison.

    Memory keys are made ready for comparison once for all reads of the clip, beside space for
    the clip's own keys that are provisionally remembered. Query keys are made ready as they
    come (``queries``).

    Args:
        memory_key: ``(B, C_k, N)``, floating point, finite.
        memory_value: ``(B, K, C_v, N)``. Read but never modified. Fastest when it is a
            view of a contiguous ``(B, N, K, C_v)``, as ``MemoryBank`` keeps it.
        age_penalty: ``(n,)`` float32 with n <= N: what the similarities of the first n memory
            locations lose, in units of the softmax's exponent.
        usage: ``(n,)`` float32 with n <= N: to each of the first n memory locations the
            affinity is added that all query locations together gave it. Every query
            location that is read gives 1, to all it reads. ``None`` counts nothing.
        capacity: How many locations will be remembered, at most.

    Raises:
        ValueError: If keys and values disagree in number, or if there are none.
    """

    def __init__(
        self,
        memory_key: Tensor,
        memory_value: Tensor,
        *,
        age_penalty: Tensor | None = None,
        usage: Tensor | None = None,
        capacity: int = 0,
    ) -> None:
        _check_memory(memory_key, memory_value)
        batch, width, self._lasting = memory_key.shape
        self._length = self._lasting
        self._usage = usage
        self._value_shape = memory_value.shape[1:3]
        self._value_type = memory_value.dtype
        self._values = memory_value.permute(0, 3, 1, 2).flatten(2)  # (B, N, K * C_v)
        self._later_values: Tensor | None = None  # Of what was remembered.

        memory_key = memory_key.float()
        # Distances do not change when all keys move together, but float32 keeps more of their
        # differences: a seventh of the rounding on the published network, so fewer near ties
        # at the edge of the top k fall the wrong way.
        self._centre = memory_key.mean(-1, keepdim=True)
        memory_key = memory_key - self._centre
        self._scale = 1 / math.sqrt(width)

        # -|q - m|^2 less |q|^2, which is the same for the whole memory and drops out, as one
        # product of (2 q, 1) and (m, -|m|^2): adding to it later would be a pass over (m, N).
        whole = -(-(self._lasting + capacity) // GROUP) * GROUP
        self._keys = memory_key.new_empty((batch, whole, width + 1))  # Rows, as the bank has them.
        self._keys[:, : self._lasting, :width] = memory_key.mT  # A third of the time of cat.
        offset = -(memory_key * memory_key).sum(1)  # (B, N)
        if age_penalty is not None:
            offset[:, : len(age_penalty)] -= age_penalty / self._scale
        self._keys[:, : self._lasting, width] = offset
        self._keys[:, self._lasting :, :width] = 0
        # Filling, never among the best.
        self._keys[:, self._lasting :, width] = torch.finfo(torch.float32).min

    def queries(self, key: Tensor) -> Tensor:
        """Make query keys ready for comparison.

        Args:
            key: ``(B, C_k, m)``, floating point, finite.

        Returns:
            ``(B, m, C_k + 1)`` float32.

        Raises:
            ValueError: If batch or channels are not those of the memory.
        """
        if key.shape[:2] != (self._keys.shape[0], self._keys.shape[2] - 1):
            memory = (self._keys.shape[0], self._keys.shape[2] - 1, self._lasting)
            raise ValueError(
                f"query keys {tuple(key.shape)} and memory keys {memory} "
                "differ in batch or channels"
            )
        moved = key.float() - self._centre
        return torch.cat((2 * moved, torch.ones_like(moved[:, :1])), 1).mT.contiguous()

    def read(self, queries: Tensor, *, top_k: int | None = None) -> Tensor:
        """Read a value for each query.

        Args:
            queries: ``(B, m, C_k + 1)``, as ``queries`` gives them, or some of them.
            top_k: Keep the ``top_k`` best matches of each query location and renormalise
                over them. ``None``, or a value of N or more, keeps all.

        Returns:
            The readout, ``(B, K, C_v, m)``. Every element is a convex combination
            of values.

        Raises:
            ValueError: If ``top_k`` is below 1.

        Note:
            Time is ``O(B * N * m * C_k)`` for the affinity; a 480p frame adds 1620 locations
            (30 x 54 at stride 16) to N.
        """
        if top_k is not None and top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {top_k}")
        # Distances are differences of large numbers: half precision would lose them.
        with torch.autocast(queries.device.type, enabled=False):
            samples = [
                self._read_all(sample, query)
                if top_k is None or top_k >= self._length
                else self._read_best(sample, query, top_k)
                for sample, query in enumerate(queries)
            ]
        read = torch.stack(samples).to(self._value_type)  # (B, m, K * C_v)
        return read.unflatten(2, self._value_shape).permute(0, 2, 3, 1)

    def remember(self, queries: Tensor, value: Tensor) -> None:
        """Add query locations to the memory, for the reads that follow.

        Args:
            queries: ``(B, m, C_k + 1)``, as ``queries`` gives them.
            value: ``(B, K, C_v, m)``, theirs.
        """
        new = slice(self._length, self._length + queries.shape[1])
        if self._keys.requires_grad:
            self._keys = self._keys.clone()  # What was read needs them as they were.
        key = queries[..., :-1] / 2
        self._keys[:, new, :-1] = key
        self._keys[:, new, -1] = -(key * key).sum(2)
        self._length = new.stop
        rows = value.permute(0, 3, 1, 2).flatten(2).float()
        before = self._later_values
        self._later_values = rows if before is None else torch.cat((before, rows), dim=1)

    def keys(self, rows: Tensor) -> Tensor:
        """Return keys of the first sample's memory as ``resembles`` takes them."""
        return self._keys[0, rows]

    @property
    def length(self) -> int:
        """Locations in the memory, N and those remembered."""
        return self._length

    def values_at(self, rows: Tensor) -> Tensor:
        """Return the values of some locations of the first sample's memory, ``(m, K, C_v)``."""
        if self._later_values is None:
            return self._values[0, rows].unflatten(1, self._value_shape)
        later = rows >= self._lasting
        values = self._values[0, rows.clamp(max=self._lasting - 1)]
        values[later] = self._later_values[0, rows[later] - self._lasting]
        return values.unflatten(1, self._value_shape)

    def resembles(
        self, queries: Tensor, keys: Tensor, near: Tensor, *, gap: float
    ) -> tuple[Tensor, Tensor]:
        """Return which query locations resemble one of some keys almost as much as others.

        Args:
            queries: ``(m, C_k + 1)``, of the first sample.
            keys: ``(o, C_k + 1)``, as ``keys`` gives them.
            near: ``(m, c)`` int64, the others: memory locations by query location.
            gap: How much less, in units of the softmax's exponent.

        Returns:
            ``(m,)`` bool; and which of the others they resemble most, ``(m,)`` int64.
        """
        others = products_at(queries, self._keys[0, : self._length], near).max(1)
        alike = (largest(queries, keys) - others.values) * self._scale > -gap
        return alike, near.gather(1, others.indices[:, None])[:, 0]

    def _read_best(self, sample: int, query: Tensor, top_k: int) -> Tensor:
        """Return ``(m, K * C_v)`` for queries ``(m, C_k + 1)``."""
        filled = -(-self._length // GROUP) * GROUP
        best, index = nearest(query, self._keys[sample, :filled], self._length, top_k)
        weight = torch.softmax(best * self._scale, dim=1)
        if self._usage is not None:
            given = torch.bincount(index.flatten(), weight.flatten(), self._length)
            self._usage += given[: len(self._usage)]
        values = self._values[sample].float()
        if self._later_values is None:
            return functional.embedding_bag(index, values, per_sample_weights=weight, mode="sum")
        # From two tensors, since joining them would copy the memory for each provisional frame.
        later = index >= self._lasting
        lasting = functional.embedding_bag(
            index.masked_fill(later, 0),
            values,
            per_sample_weights=weight.masked_fill(later, 0),
            mode="sum",
        )
        return lasting + functional.embedding_bag(
            (index - self._lasting).clamp(min=0),
            self._later_values[sample],
            per_sample_weights=weight.masked_fill(~later, 0),
            mode="sum",
        )

    def _read_all(self, sample: int, query: Tensor) -> Tensor:
        """Return ``(m, K * C_v)`` for queries ``(m, C_k + 1)``, a mean over the whole memory."""
        keys, values = self._keys[sample, : self._length], self._values[sample].float()
        blocks = []
        for block in query.split(max(1, BLOCK_ELEMENTS // self._length)):
            similarity = block @ keys.t()
            affinity = torch.softmax(similarity * self._scale, dim=1)
            if self._usage is not None:
                self._usage += affinity[:, : len(self._usage)].sum(0)
            read = affinity[:, : self._lasting] @ values
            if self._later_values is not None:
                read = read + affinity[:, self._lasting :] @ self._later_values[sample]
            blocks.append(read)
        return concatenated(blocks)


def _check_memory(memory_key: Tensor, memory_value: Tensor) -> None:
    if memory_key.shape[-1] != memory_value.shape[-1]:
        raise ValueError(
            f"{memory_key.shape[-1]} memory keys but {memory_value.shape[-1]} memory values"
        )
    if memory_key.shape[-1] == 0:
        raise ValueError("the memory is empty")


class ProgressiveReader:
    """Reads a clip in segments of F frames, with the ends of earlier ones as provisional memory.

    Provisional memory ends with the reader: ``memory`` itself is never changed, but for its
    ``usage``, which is added to; what provisional memory receives is not counted.

    Args:
        memory: ``(B, C_k, N)`` keys and ``(B, K, C_v, N)`` values.
        size: ``(h, w)`` of the frames.
        frames: T, frames in the clip.
        interval: F, frames in a segment; ``None``: T.
    """

    def __init__(
        self, memory: Memory, size: tuple[int, int], *, frames: int, interval: int | None
    ) -> None:
        self._size = size
        self._cells = size[0] * size[1]
        self._interval = interval or frames
        self._reader = MemoryReader(
            memory.key,
            memory.value,
            age_penalty=memory.age_penalty,
            usage=memory.usage,
            capacity=(frames - 1) // self._interval * self._cells,
        )
        self._queries: Tensor | None = None  # Of the segment that was read last.

    def read(self, query_key: Tensor, *, top_k: int | None = None) -> Tensor:
        """Read the clip's next frames.

        Between two segments, the readout of the first one's last frame becomes provisional
        memory. After the last of these frames the caller decides what does (``remember``).

        Args:
            query_key: ``(B, C_k, t, h, w)``.
            top_k: As in ``MemoryReader.read``.

        Returns:
            The readout, ``(B, K, C_v, t, h, w)``.
        """
        readouts: list[Tensor] = []
        for segment in query_key.split(self._interval, dim=2):
            if readouts:
                self.remember(readouts[-1][:, :, :, -1])
            readouts.append(self._read_segment(segment, top_k))
        return concatenated(readouts, dim=3)

    def remember(self, value: Tensor) -> None:
        """Make the last frame that was read provisional memory, values ``(B, K, C_v, h, w)``."""
        assert self._queries is not None, "nothing was read"
        self._reader.remember(self._queries[:, -self._cells :], value.flatten(3))

    def _read_segment(self, query_key: Tensor, top_k: int | None) -> Tensor:
        self._queries = queries = self._reader.queries(query_key.flatten(2))
        return self._reader.read(queries, top_k=top_k).unflatten(-1, (-1, *self._size))


class ReaderFactory(Protocol):
    """Opens a reader of a memory for one clip; ``ProgressiveReader`` itself is one."""

    def __call__(
        self, memory: Memory, size: tuple[int, int], *, frames: int, interval: int | None
    ) -> ProgressiveReader:
        """Return the reader; arguments as ``ProgressiveReader``."""
        ...
