"""Operations on object masks: between ids, soft masks and the channels of a cell."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

PROBABILITY_MARGIN = 1e-7
"""Probabilities are kept this far from 0 and 1 before their odds are taken."""


def soft_aggregate(object_probs: Tensor, *, dim: int = 0) -> Tensor:
    """Merge independent object masks into one distribution per pixel.

    The background is the product of ``1 - p``; every channel's odds are then normalised to
    sum to 1 (soft aggregation of RGMP and STM, section 3.4 of the paper).

    Args:
        object_probs: ``(..., K, ...)`` probabilities in [0, 1], objects along ``dim``.
        dim: The axis of the objects.

    Returns:
        ``(..., K + 1, ...)``, sums to 1 along ``dim``, channel 0 is the background.
    """
    background = (1 - object_probs).prod(dim=dim, keepdim=True)
    probs = torch.cat((background, object_probs), dim=dim)
    probs = probs.clamp_(PROBABILITY_MARGIN, 1 - PROBABILITY_MARGIN)
    odds = probs.div_(1 - probs)  # At most 1e7, so sums neither overflow nor need logarithms.
    return odds.div_(odds.sum(dim, keepdim=True))


def others(probs: Tensor) -> Tensor:
    """Return, for each object, the sum of all other objects' probabilities.

    Args:
        probs: ``(B, K, H, W)``.

    Returns:
        ``(B, K, H, W)``; zero where there is one object.
    """
    if probs.shape[1] == 1:
        return torch.zeros_like(probs)
    # Not `total - own`: where one object dominates, that leaves rounding noise behind.
    k = probs.shape[1]
    keep = 1 - torch.eye(k, dtype=probs.dtype, device=probs.device)
    return torch.einsum("kj,bjhw->bkhw", keep, probs)


def masks_to_cells(masks: Tensor, *, stride: int, block: int) -> Tensor:
    """Fold each cell's part of a mask into channels.

    The mask is averaged down to ``stride / block`` pixels, then every ``block x block``
    square of it becomes the channels of one cell.

    Args:
        masks: ``(B, C, H, W)``, H and W multiples of ``stride``.
        stride: Side of a cell in pixels.
        block: Sub-blocks along a cell's side.

    Returns:
        ``(B, C * block * block, H / stride, W / stride)``; ``cells_to_masks`` undoes it.
    """
    pooled = masks if stride == block else functional.avg_pool2d(masks, stride // block)
    return functional.pixel_unshuffle(pooled, block)


def own_masks(block: int) -> slice:
    """Return where among a value's channels an object's mask is, as ``block ** 2`` of them.

    The last as many are the others'.
    """
    return slice(-2 * block**2, -(block**2))


def own_cover(values: Tensor, block: int) -> Tensor:
    """Return how much of each cell an object's mask covers, ``(..., C_v, N)`` to ``(..., N)``."""
    return values[..., own_masks(block), :].float().mean(-2)


def cells_to_masks(cells: Tensor, *, block: int) -> Tensor:
    """Unfold channels into pixels: ``(B, C * block ** 2, h, w)`` to ``(B, C, 4h, 4w)`` for 4."""
    return functional.pixel_shuffle(cells, block)


def object_masks(labels: Tensor, object_ids: tuple[int, ...]) -> Tensor:
    """Split an id map ``(H, W)`` into float32 masks ``(K, H, W)``, one for each id given."""
    ids = torch.tensor(object_ids, dtype=labels.dtype, device=labels.device)
    return (labels[None] == ids[:, None, None]).float()


class _Axis(NamedTuple):
    """Bilinear interpolation along one axis: ``low`` and ``high`` neighbour of each place."""

    low: Tensor
    high: Tensor
    weight: Tensor  # Of ``high``.


def label_pixels(probs: Tensor, ids: Tensor, size: tuple[int, int] | None = None) -> Tensor:
    """Return the label of each pixel's most probable channel, after a bilinear resize.

    Where the four pixels between which a value is interpolated agree on the largest
    channel, that channel is the largest in between too. So values are interpolated along
    edges only: at 4K a hundredth of the pixels, and no map of that size is made but the
    result.

    Args:
        probs: ``(C, h, w)``.
        ids: ``(C,)`` int32, the label of each channel.
        size: ``(H, W)``; ``None`` keeps ``(h, w)``.

    Returns:
        ``(H, W)`` int32: what ``interpolate(..., mode="bilinear")`` and then
        ``max`` give. Only where channels tie within the rounding of an interpolation
        another one of them may be named.
    """
    coarse = _most_probable(probs, ids)
    if size is None or tuple(probs.shape[1:]) == size:
        return coarse
    rows, columns = (
        _axis(old, new, probs.device) for old, new in zip(probs.shape[1:], size, strict=True)
    )
    below = torch.cat((coarse[1:], coarse[-1:]))
    edge = (coarse != below) | (coarse != _right(coarse)) | (coarse != _right(below))
    # Columns first: then whole rows are copied, six times faster than the other way round.
    labels = coarse.index_select(1, columns.low).index_select(0, rows.low)
    y, x = _pixels_of(edge, rows.low, columns.low)
    labels[y, x] = _most_probable(_interpolate(probs, rows, columns, y, x), ids)
    return labels


def _most_probable(probs: Tensor, ids: Tensor) -> Tensor:
    """Return the label of the largest channel, of equals the first: ``(C, ...)`` to ``(...)``.

    Channel by channel, since torch looks along a first axis slowly on a CPU: at 480p with one
    object ``max`` takes four times as long as this, and ``argmax`` 25 times as long as ``max``.
    Channel numbers are bytes as long as they fit.
    """
    count = probs.shape[0]
    narrow = torch.uint8 if count <= 256 else torch.int32
    if count == 1:
        return ids[:1].expand(probs.shape[1:]).contiguous()
    best, winner = probs[0], (probs[1] > probs[0]).view(torch.uint8).to(narrow)
    for number, channel in enumerate(probs[2:], 2):
        best = torch.maximum(best, probs[number - 1])
        larger = (channel > best).view(torch.uint8).to(narrow)
        winner = torch.maximum(winner, larger * number)
    return ids.index_select(0, winner.flatten().int()).view(winner.shape)


def _right(x: Tensor) -> Tensor:
    """Return each pixel's neighbour to the right; the last column's is itself."""
    return torch.cat((x[:, 1:], x[:, -1:]), dim=1)


def _pixels_of(cells: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pixels ``y, x`` whose cell ``rows[y], columns[x]`` is marked."""
    i, j = cells.nonzero(as_tuple=True)
    y, inside_y = _places(rows, cells.shape[0])
    x, inside_x = _places(columns, cells.shape[1])
    inside = inside_y[i][:, :, None] & inside_x[j][:, None, :]  # (cells, rows, columns of each)
    return (
        y[i][:, :, None].expand_as(inside)[inside],
        x[j][:, None, :].expand_as(inside)[inside],
    )


def _places(ascending: Tensor, values: int) -> tuple[Tensor, Tensor]:
    """Return where each of ``0..values-1`` stands: ``(values, most)``, and which of it counts."""
    counts = torch.bincount(ascending, minlength=values)
    steps = torch.arange(int(counts.max()), device=ascending.device)
    return (counts.cumsum(0) - counts)[:, None] + steps, steps < counts[:, None]


def _axis(old: int, new: int, device: torch.device) -> _Axis:
    """Place ``new`` pixels between ``old`` ones as torch's bilinear interpolation does."""
    scale = torch.tensor(old / new, dtype=torch.float32)
    places = (torch.arange(new, dtype=torch.float32) + 0.5) * scale - 0.5
    places = places.clamp(min=0)
    low = places.long().clamp(max=old - 1)
    weight = (places - low).clamp(0, 1)
    return _Axis(low.to(device), (low + 1).clamp(max=old - 1).to(device), weight.to(device))


def _interpolate(probs: Tensor, rows: _Axis, columns: _Axis, y: Tensor, x: Tensor) -> Tensor:
    """Return ``(C, n)`` values at the places ``y, x`` of the resized map."""
    top, bottom, down = rows.low[y], rows.high[y], rows.weight[y]
    left, right, across = columns.low[x], columns.high[x], columns.weight[x]
    upper = probs[:, top, left] * (1 - across) + probs[:, top, right] * across
    lower = probs[:, bottom, left] * (1 - across) + probs[:, bottom, right] * across
    return upper * (1 - down) + lower * down
