"""Progressive memory matching (paper, section 3.5, eq. 4)."""

from torch import Tensor

from model.memory.bank import Memory
from model.memory.reader import MemoryReader
from model.ops.joining import joined


class ProgressiveReader:
    """Reads a clip part by part, each with the ends of those before it as provisional memory.

    Provisional memory ends with the reader: ``memory`` itself is never changed, but for its
    ``usage``, which is added to; what provisional memory receives is not counted.

    Args:
        memory: ``(B, C_k, N)`` keys and ``(B, K, C_v, N)`` values.
        size: ``(h, w)`` of the frames.
        provisional: How many frames will be remembered, at most.
    """

    def __init__(self, memory: Memory, size: tuple[int, int], *, provisional: int) -> None:
        self._size = size
        self._cells = size[0] * size[1]
        self._reader = MemoryReader(
            memory.key,
            memory.value,
            handicap=memory.handicap,
            usage=memory.usage,
            room=provisional * self._cells,
        )
        self._queries: Tensor | None = None  # Of what was read last.

    def read(self, query_key: Tensor, *, top_k: int | None = None) -> Tensor:
        """Read the clip's next frames, ``(B, C_k, t, h, w)``; returns ``(B, K, C_v, t, h, w)``."""
        self._queries = queries = self._reader.queries(query_key.flatten(2))
        return self._reader.read(queries, top_k=top_k).unflatten(-1, (-1, *self._size))

    def remember(self, value: Tensor) -> None:
        """Make the last frame that was read provisional memory, values ``(B, K, C_v, h, w)``."""
        assert self._queries is not None, "nothing was read"
        self._reader.remember(self._queries[:, -self._cells :], value.flatten(3))


def progressive_read(
    query_key: Tensor, memory: Memory, *, interval: int | None, top_k: int | None = None
) -> Tensor:
    """Read a clip in segments, each with the previous ones as provisional memory.

    The clip is split into segments of ``interval`` frames, each read in parallel. The key
    and the readout of a segment's last frame join the memory of the segments after it.

    Args:
        query_key: ``(B, C_k, T, h, w)``.
        memory: As ``ProgressiveReader``.
        interval: F, frames in a segment; ``None`` reads the whole clip at once.
        top_k: As in ``MemoryReader.read``.

    Returns:
        The readout, ``(B, K, C_v, T, h, w)``.
    """
    frames, height, width = query_key.shape[2:]
    step = frames if interval is None else interval
    reader = ProgressiveReader(memory, (height, width), provisional=(frames - 1) // step)
    readouts: list[Tensor] = []
    for segment in query_key.split(step, dim=2):
        if readouts:
            reader.remember(readouts[-1][:, :, :, -1])
        readouts.append(reader.read(segment, top_k=top_k))
    return joined(readouts, dim=3)
