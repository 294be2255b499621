"""Maps too large for the cache, band by band."""

from collections.abc import Callable

import torch
from torch import Tensor

from model.ops.blocks import even_blocks


def by_bands(
    layers: Callable[[Tensor], Tensor],
    x: Tensor,
    *,
    stride: int,
    reach: tuple[int, int],
    most: int,
) -> Tensor:
    """Apply layers to bands of rows, each with the rows beyond it that its result depends on.

    The result is that of ``layers(x)``; what they make on the way is as high as a band.

    Args:
        layers: ``(B, C, H, W)`` to ``(B, C', H / stride, W')``, where a row depends on nearby
            rows only, and all that is beyond the map is padding.
        x: ``(B, C, H, W)``, H a multiple of ``stride``.
        stride: Rows of ``x`` in a row of the result.
        reach: How many rows of ``x`` above and below a band its result depends on, at most;
            multiples of ``stride``.
        most: Rows of a band, at most, beside what it reaches; ``stride`` if that is more.

    Returns:
        ``(B, C', H / stride, W')``.
    """
    height = int(x.shape[2])  # An export is for one size; its division rounds otherwise.
    rows = stride * even_blocks(height // stride, max(1, most // stride))
    if rows >= height:
        return layers(x)
    above, below = reach
    results = []
    for start in range(0, height, rows):
        end = min(start + rows, height)
        first = max(start - above, 0)
        result = layers(x[:, :, first : end + below])
        skipped = (start - first) // stride
        results.append(result[:, :, skipped : skipped + (end - start) // stride])
    return torch.cat(results, 2)
