"""Reading a memory in one call."""

from torch import Tensor

from model.memory.bank import Memory
from model.memory.progressive import MemoryReader, ProgressiveReader


def read_memory(
    query_key: Tensor,
    memory_key: Tensor,
    memory_value: Tensor,
    *,
    top_k: int | None = None,
    age_penalty: Tensor | None = None,
    usage: Tensor | None = None,
) -> Tensor:
    """Read once, ``(B, K, C_v, m)``; arguments and errors as ``MemoryReader``."""
    reader = MemoryReader(memory_key, memory_value, age_penalty=age_penalty, usage=usage)
    return reader.read(reader.queries(query_key), top_k=top_k)


def progressive_read(
    query_key: Tensor, memory: Memory, *, interval: int | None, top_k: int | None = None
) -> Tensor:
    """Read a whole clip, ``(B, C_k, T, h, w)`` to ``(B, K, C_v, T, h, w)``.

    Other arguments as ``ProgressiveReader`` and its ``read``.
    """
    frames, height, width = query_key.shape[2:]
    reader = ProgressiveReader(memory, (height, width), frames=frames, interval=interval)
    return reader.read(query_key, top_k=top_k)
