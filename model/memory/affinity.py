"""The memory locations most similar to each query: a matrix product, top k (section 3.3).

The product is the one cost that grows with a video, and written out whole it is bound by the
memory's bandwidth: 1,620 queries of a 480p frame against 40 memory frames make 420 MB. So it is
made tile by tile; of each tile only the largest of every ``GROUP`` columns is kept; and the few
groups that can hold one of the best are compared once more.
"""

import functools
import warnings

import torch
from torch import Tensor

from model.types import concatenated

TILE = 1 << 10
"""Columns of a tile. With a thousand rows it has 4 MB, stays in the cache, and its product runs at
twice the rate of one of 16,384 columns and 256 rows."""

MOST_QUERIES = 1 << 11
"""Rows of a tile, ..."""

MAXIMA = 1 << 23
"""... and largest-of-a-group kept at a time (32 MB): fewer rows where the memory is long."""

GROUP = 8
"""Columns in a group, where the best of a row are looked for in groups first."""

GROUP_FROM = 1500
"""Columns from which on that is faster than looking at each of them."""


def nearest(query: Tensor, keys: Tensor, length: int, count: int) -> tuple[Tensor, Tensor]:
    """Return the largest products of each query with keys, and whose they are.

    Args:
        query: ``(M, C)`` float32.
        keys: ``(n, C)`` float32, n a multiple of ``GROUP``. Those from ``length`` on are filling:
            their products must be the lowest there are.
        length: How many are keys; at least ``count``.
        count: How many are wanted.

    Returns:
        Products and rows of ``keys``, ``(M, count)`` each, descending. Which of several equal
        ones is taken at the edge is not defined.
    """
    if length < GROUP_FROM or length // GROUP < count:
        top = (query @ keys[:length].t()).topk(count, dim=1)
        return top.values, top.indices
    columns = keys.shape[0]
    groups = columns // GROUP
    blocks = -(-len(query) // max(1, min(MOST_QUERIES, MAXIMA // groups)))
    rows = max(1, -(-len(query) // max(1, blocks)))  # Of equal size.
    tile = TILE if query.device.type == "cpu" else 16 * TILE  # Elsewhere each call costs.
    tracked = torch.is_grad_enabled() and (query.requires_grad or keys.requires_grad)
    # One buffer for all tiles: glibc's heap keeps the holes that blocks of their own leave.
    buffer = query.new_empty(rows * min(tile, columns))
    maxima = query.new_empty(rows * groups)
    found = []
    for block in query.split(rows):
        largest = maxima[: len(block) * groups].view(len(block), groups)
        _largest_of_groups(block.detach(), keys.detach(), tile, buffer, largest)
        best_groups = largest.topk(count, dim=1, sorted=False).indices
        candidates = _columns(best_groups, columns, tile)
        products = products_at(block, keys, candidates, tracked=tracked)
        top = products.topk(count, dim=1)
        found.append((top.values, candidates.gather(1, top.indices)))
    return concatenated(values for values, _ in found), concatenated(
        locations for _, locations in found
    )


def largest(query: Tensor, keys: Tensor) -> Tensor:
    """Return the largest product of each query with any of the keys, ``(M,)``.

    Args:
        query: ``(M, C)`` float32.
        keys: ``(n, C)`` float32; with none of them it is the lowest number there is.
    """
    found = query.new_full((len(query),), torch.finfo(query.dtype).min)
    buffer = query.new_empty(len(query) * min(TILE, len(keys)))
    for tile in keys.split(TILE) if len(keys) else ():
        product = buffer[: len(query) * len(tile)].view(len(query), len(tile))
        torch.mm(query, tile.t(), out=product)
        torch.maximum(found, product.amax(1), out=found)
    return found


def _largest_of_groups(query: Tensor, keys: Tensor, tile: int, buffer: Tensor, out: Tensor) -> None:
    """Fill ``out``, ``(m, n / GROUP)``, with the largest product in each group of keys."""
    for start in range(0, keys.shape[0], tile):
        compared = keys[start : start + tile]
        columns = compared.shape[0]
        product = buffer[: len(query) * columns].view(len(query), columns)
        torch.mm(query, compared.t(), out=product)
        # A group is spread over its tile, so that the maximum runs along contiguous rows.
        first = start // GROUP
        groups = out[:, first : first + columns // GROUP]
        torch.amax(product.view(len(query), GROUP, -1), 1, out=groups)


def _columns(groups: Tensor, length: int, tile: int) -> Tensor:
    """Return the columns of each of some groups, ``(m, g)`` to ``(m, g * GROUP)``.

    Rows of ``length`` columns are cut into tiles, the last of which may be shorter.
    """
    in_tile = tile // GROUP
    number = groups // in_tile
    last = (length - 1) // tile
    stride = torch.where(number == last, (length - last * tile) // GROUP, in_tile)
    first = number * tile + (groups - number * in_tile)
    steps = torch.arange(GROUP, device=groups.device)
    return (first[..., None] + stride[..., None] * steps).flatten(1)


def products_at(query: Tensor, keys: Tensor, rows: Tensor, *, tracked: bool = False) -> Tensor:
    """Return the products of query i with the keys in ``rows[i]``, ``(m, c)``.

    Gradients flow where they are ``tracked``, which takes longer on a CPU.
    """
    # A row of a sparse matrix holds no more than there are columns.
    if tracked or query.device.type != "cpu" or rows.shape[1] > len(keys):
        return torch.bmm(keys[rows], query[..., None]).squeeze(-1)
    # A sixth of the time, as no row is copied: 160 each of 1,620 queries are 67 MB.
    _accept_csr()
    count = rows.shape[1]
    pattern = torch.sparse_csr_tensor(
        torch.arange(0, rows.numel() + 1, count),
        rows.flatten(),
        query.new_zeros(rows.numel()),
        size=(len(query), len(keys)),
        check_invariants=False,
    )
    products = torch.sparse.sampled_addmm(pattern, query, keys.t(), beta=0.0)
    return products.values().view(rows.shape)


@functools.cache
def _accept_csr() -> None:
    """Let torch say once, and unheard, that its compressed rows are in beta."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = torch.zeros(1, dtype=torch.int64)
        torch.sparse_csr_tensor(torch.arange(2), one, torch.zeros(1), size=(1, 1))
