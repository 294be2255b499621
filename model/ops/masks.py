"""Small operations on object masks."""

import torch
from torch import Tensor
from torch.nn import functional


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


def cells_to_masks(cells: Tensor, *, block: int) -> Tensor:
    """Unfold channels into pixels: ``(B, C * block ** 2, h, w)`` to ``(B, C, 4h, 4w)`` for 4."""
    return functional.pixel_shuffle(cells, block)


def object_masks(labels: Tensor, object_ids: tuple[int, ...]) -> Tensor:
    """Split an id map ``(H, W)`` into float32 masks ``(K, H, W)``, one for each id given."""
    ids = torch.tensor(object_ids, dtype=labels.dtype, device=labels.device)
    return (labels[None] == ids[:, None, None]).float()
