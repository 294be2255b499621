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
        query_key: ``(B, C_k, T, h, w)``.
        memory: ``(B, C_k, N)`` keys and ``(B, K, C_v, N)`` values.
        provisional: How many frames will be remembered, at most.
    """

    def __init__(self, query_key: Tensor, memory: Memory, *, provisional: int) -> None:
        self._size = query_key.shape[-2:]
        self._cells = self._size.numel()
        self._reader = MemoryReader(
            query_key.flatten(2),
            memory.key,
            memory.value,
            handicap=memory.handicap,
            usage=memory.usage,
            room=provisional * self._cells,
        )

    def read(self, start: int, end: int, *, top_k: int | None = None) -> Tensor:
        """Read the frames from ``start`` to before ``end``; ``(B, K, C_v, end - start, h, w)``."""
        read = self._reader.read(start * self._cells, end * self._cells, top_k=top_k)
        return read.unflatten(-1, (end - start, *self._size))

    def remember(self, frame: int, value: Tensor) -> None:
        """Make a frame provisional memory, with values ``(B, K, C_v, h, w)``."""
        start = frame * self._cells
        self._reader.remember(start, start + self._cells, value.flatten(3))


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
    frames = query_key.shape[2]
    step = frames if interval is None else interval
    reader = ProgressiveReader(query_key, memory, provisional=(frames - 1) // step)
    readouts: list[Tensor] = []
    for start in range(0, frames, step):
        end = min(start + step, frames)
        readouts.append(reader.read(start, end, top_k=top_k))
        if end < frames:
            reader.remember(end - 1, readouts[-1][:, :, :, -1])
    return joined(readouts, dim=3)
