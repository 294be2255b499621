"""Progressive memory matching (paper, section 3.5, eq. 4)."""

import torch
from torch import Tensor

from model.memory.affinity import read_memory
from model.memory.bank import Memory


def progressive_read(
    query_key: Tensor, memory: Memory, *, interval: int | None, top_k: int | None = None
) -> Tensor:
    """Read a clip in segments, each with the previous ones as provisional memory.

    The clip is split into segments of ``interval`` frames, each read in parallel. The key
    and the readout of a segment's last frame join the memory of the segments after it.
    Provisional memory ends with the call: ``memory`` itself is never changed.

    Args:
        query_key: ``(B, C_k, T, h, w)``.
        memory: ``(B, C_k, N)`` keys and ``(B, K, C_v, N)`` values. Its ``usage`` is added to;
            what provisional memory receives is not counted.
        interval: F, frames in a segment; ``None`` reads the whole clip at once.
        top_k: As in ``read_memory``.

    Returns:
        The readout, ``(B, K, C_v, T, h, w)``.
    """
    frames, height, width = query_key.shape[2:]
    step = frames if interval is None else interval
    readouts: list[Tensor] = []
    for start in range(0, frames, step):
        segment = query_key[:, :, start : start + step]
        read = read_memory(
            segment.flatten(2),
            memory.key,
            memory.value,
            top_k=top_k,
            handicap=memory.handicap,
            usage=memory.usage,
        )
        read = read.unflatten(-1, (segment.shape[2], height, width))
        readouts.append(read)
        if start + step < frames:
            memory = extended(memory, segment[:, :, -1], read[:, :, :, -1])
    return readouts[0] if len(readouts) == 1 else torch.cat(readouts, dim=3)


def extended(memory: Memory, key: Tensor, value: Tensor) -> Memory:
    """Return a memory with one provisional frame more.

    Args:
        memory: Stays as it is.
        key: ``(B, C_k, h, w)``.
        value: ``(B, K, C_v, h, w)``.
    """
    # Joined along rows, so that both stay views of contiguous (B, N, ...), as the bank has them;
    # joining transposed views takes eight times as long.
    keys = torch.cat((memory.key.mT, key.flatten(2).mT), dim=1)
    old = memory.value.permute(0, 3, 1, 2)
    new = value.flatten(3).permute(0, 3, 1, 2)
    rows = torch.cat((old, new), dim=1)
    return Memory(
        keys.mT,
        rows.permute(0, 2, 3, 1),
        memory.handicap,
        memory.usage,
    )
