"""Memory read: compare query keys with memory keys, gather values (paper, section 3.3)."""

import math

import torch
from torch import Tensor
from torch.nn import functional

BLOCK_ELEMENTS = 1 << 22
"""Affinities held at a time, so that peak memory does not depend on L or N (16 MB)."""

PART = 1 << 14
"""Memory locations that a block of queries is compared with at a time, where only the best are
kept. With all of a long memory at once, a block is so few queries that the matrix product
takes twice the time."""

GROUP = 10
"""Columns in a group, where the best of a row are looked for in groups first."""

GROUP_FROM = 1500
"""Columns from which on that is faster than looking at each of them."""

SAFE_MAGNITUDE = 1e4
"""Keys larger than this are scaled down before squaring: float32 overflows at 1e19."""


def read_memory(
    query_key: Tensor,
    memory_key: Tensor,
    memory_value: Tensor,
    *,
    top_k: int | None = None,
    handicap: Tensor | None = None,
    usage: Tensor | None = None,
) -> Tensor:
    """Read a value for every query location from the memory.

    Keys are compared by negative squared Euclidean distance divided by ``sqrt(C_k)``
    (STCN, Cheng et al., NeurIPS 2021) and normalised over the memory with a softmax.
    All objects share that affinity, so one more object costs one more gather
    but no second comparison.

    Args:
        query_key: ``(B, C_k, M)``, floating point, finite.
        memory_key: ``(B, C_k, N)``, same dtype and device as ``query_key``.
        memory_value: ``(B, K, C_v, N)``. Read but never modified. Fastest when it is a
            view of a contiguous ``(B, N, K, C_v)``, as ``MemoryBank`` keeps it.
        top_k: Keep the ``top_k`` best matches of each query location and renormalise
            over them. ``None``, or a value of ``N`` or more, keeps all.
        handicap: ``(n,)`` float32 with n <= N: what the similarities of the first n memory
            locations lose, in units of the softmax's exponent.
        usage: ``(n,)`` float32 with n <= N: to each of the first n memory locations the
            affinity is added that all query locations together gave it. Every query
            location gives 1, to all N. ``None`` counts nothing.

    Returns:
        The readout, ``(B, K, C_v, M)``. Every element is a convex combination of
        memory values.

    Raises:
        ValueError: If key channels or memory lengths disagree, if the memory is empty,
            or if ``top_k`` is below 1.

    Note:
        Time is ``O(B * N * M * C_k)`` for the affinity; a 480p frame adds 1620
        locations (30 x 54 at stride 16) to ``N``. Query locations are read in blocks of
        at most ``BLOCK_ELEMENTS`` affinities.
    """
    batch, width, queries = query_key.shape
    length = memory_key.shape[-1]
    _check_shapes(query_key, memory_key, memory_value, top_k)

    query_key, memory_key = query_key.float(), memory_key.float()
    # amax, not max: over a transposed view, as the bank's keys are, max takes 20 times as long.
    peak = torch.maximum(query_key.detach().abs().amax(), memory_key.detach().abs().amax())
    shrink = (peak / SAFE_MAGNITUDE).clamp(min=1.0)
    query_key, memory_key = query_key / shrink, memory_key / shrink
    # Distances do not change when all keys move together, but float32 keeps more of their
    # differences: a seventh of the rounding on the published network, so fewer near ties
    # at the edge of the top k fall the wrong way.
    centre = memory_key.mean(-1, keepdim=True)
    query_key, memory_key = query_key - centre, memory_key - centre
    # Undoes the shrinking after the maximum is taken off; exactly 1 for ordinary keys.
    scale = (shrink * shrink).clamp(max=torch.finfo(torch.float32).max) / math.sqrt(width)

    # -|q - m|^2 less |q|^2, which is the same for the whole memory and drops out, as one
    # product of (2 q, 1) and (m, -|m|^2): adding to it later would be a pass over (M, N).
    offset = -(memory_key * memory_key).sum(1)  # (B, N)
    if handicap is not None:
        offset[:, : len(handicap)] -= handicap / scale
    query = torch.cat((2 * query_key, torch.ones_like(query_key[:, :1])), dim=1)
    memory = memory_key.new_empty((batch, length, width + 1))  # rows, as the bank has them
    memory[..., :width] = memory_key.mT  # A third of the time that cat takes for it.
    memory[..., width] = offset

    rows = memory_value.permute(0, 3, 1, 2).flatten(2)  # (B, N, K * C_v)
    keeps_all = top_k is None or top_k >= length
    part = length if keeps_all else -(-length // -(-length // PART))  # Parts of one size.
    block = max(1, BLOCK_ELEMENTS // part)
    # One room for all blocks: glibc's heap keeps the holes that blocks of their own leave
    # between the small results, 700 MB of them at 40 frames of 480p.
    tracked = torch.is_grad_enabled() and (query.requires_grad or memory.requires_grad)
    room = None if tracked else query.new_empty(min(block, queries) * part)
    # Distances are differences of large numbers: half precision would lose them.
    with torch.autocast(query_key.device.type, enabled=False):
        readout = [
            _read_block(
                query[b, :, m : m + block],
                memory[b],
                rows[b],
                scale,
                top_k,
                usage,
                part,
                room,
            )
            for b in range(batch)
            for m in range(0, queries, block)
        ]
    read = torch.cat(readout).to(memory_value.dtype)  # (B * M, K * C_v)
    read = read.view(batch, queries, *memory_value.shape[1:3])
    return read.permute(0, 2, 3, 1)


def _read_block(
    query: Tensor,
    memory: Tensor,
    rows: Tensor,
    scale: Tensor,
    top_k: int | None,
    usage: Tensor | None,
    part: int,
    room: Tensor | None,
) -> Tensor:
    """Read ``(m, D)`` for queries ``(C_k + 1, m)`` from ``(N, C_k + 1)`` and ``(N, D)``."""
    if top_k is None or top_k >= memory.shape[0]:
        similarity = _compare(query, memory, room)  # (m, N)
        # In this order nothing overflows whatever the keys: the largest exponent is 0.
        similarity = (similarity - similarity.amax(1, keepdim=True)) * scale
        affinity = torch.softmax(similarity, dim=1)
        if usage is not None:
            usage += affinity[:, : len(usage)].sum(0)
        return affinity @ rows.float()
    best, index = _best_of_parts(query, memory, top_k, part, room)
    weight = torch.softmax((best - best[:, :1]) * scale, dim=1)
    if usage is not None:
        given = torch.bincount(index.flatten(), weight.flatten(), memory.shape[0])
        usage += given[: len(usage)]
    return functional.embedding_bag(index, rows.float(), per_sample_weights=weight, mode="sum")


def _compare(query: Tensor, memory: Tensor, room: Tensor | None) -> Tensor:
    """Return the similarities ``(m, n)`` of ``(C_k + 1, m)`` and ``(n, C_k + 1)``, in ``room``."""
    shape = (query.shape[1], memory.shape[0])
    out = None if room is None else room[: shape[0] * shape[1]].view(shape)
    return torch.mm(query.t(), memory.t(), out=out)


def _best_of_parts(
    query: Tensor, memory: Tensor, count: int, part: int, room: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the best similarities and their memory locations, ``(m, count)``, descending."""
    found = []
    for start in range(0, memory.shape[0], part):
        compared = memory[start : start + part]
        best, index = _best(_compare(query, compared, room), min(count, compared.shape[0]))
        found.append((best, index + start))
    if len(found) == 1:
        return found[0]
    best = torch.cat([values for values, _ in found], dim=1)
    index = torch.cat([locations for _, locations in found], dim=1)
    chosen = best.topk(count, dim=1)
    return chosen.values, index.gather(1, chosen.indices)


def _best(similarity: Tensor, count: int, *, ordered: bool = True) -> tuple[Tensor, Tensor]:
    """Return the largest values of each row and their columns, ``(m, count)``, descending.

    In long rows the best ``count`` lie in the ``count`` groups of columns whose largest
    values are the largest, which are found in the same way; only those are searched. The
    values are those of ``topk``; which of several equal ones is taken at the edge may differ.
    """
    rows, length = similarity.shape
    groups = length // GROUP
    if length < GROUP_FROM or groups < count:
        best = similarity.topk(count, dim=1, sorted=ordered)
        return best.values, best.indices
    # A group is every `groups`-th column, so that the maximum runs along contiguous rows.
    head = groups * GROUP
    largest = similarity.detach()[:, :head].view(rows, GROUP, groups).amax(1)
    _, chosen = _best(largest, count, ordered=False)
    columns = torch.arange(0, head, groups, device=similarity.device)
    candidates = (chosen[:, :, None] + columns).flatten(1)  # (m, count * GROUP)
    if head < length:
        rest = torch.arange(head, length, device=similarity.device)
        candidates = torch.cat((candidates, rest.expand(rows, -1)), dim=1)
    best = similarity.gather(1, candidates).topk(count, dim=1, sorted=ordered)
    return best.values, candidates.gather(1, best.indices)


def _check_shapes(
    query_key: Tensor, memory_key: Tensor, memory_value: Tensor, top_k: int | None
) -> None:
    if query_key.shape[:2] != memory_key.shape[:2]:
        raise ValueError(
            f"query keys {tuple(query_key.shape)} and memory keys {tuple(memory_key.shape)} "
            "differ in batch or channels"
        )
    if memory_key.shape[-1] != memory_value.shape[-1]:
        raise ValueError(
            f"{memory_key.shape[-1]} memory keys but {memory_value.shape[-1]} memory values"
        )
    if memory_key.shape[-1] == 0:
        raise ValueError("the memory is empty")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be at least 1, got {top_k}")
