"""Progressive memory matching (paper, section 3.5, eq. 4)."""

from typing import Protocol

from torch import Tensor

from model.memory.bank import Memory
from model.memory.reader import MemoryReader
from model.ops.concatenation import concatenated


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


def progressive_read(
    query_key: Tensor, memory: Memory, *, interval: int | None, top_k: int | None = None
) -> Tensor:
    """Read a whole clip, ``(B, C_k, T, h, w)`` to ``(B, K, C_v, T, h, w)``.

    Other arguments as ``ProgressiveReader`` and its ``read``.
    """
    frames, height, width = query_key.shape[2:]
    reader = ProgressiveReader(memory, (height, width), frames=frames, interval=interval)
    return reader.read(query_key, top_k=top_k)
