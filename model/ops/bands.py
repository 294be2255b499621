"""Maps too large for the cache, band by band.

Where a row of a result depends on nearby rows only, layers may work through a map in bands, each
with the rows around it that its result depends on: what they make on the way is then as high as a
band, and the result is that of the whole.
"""

from collections.abc import Iterable
from itertools import pairwise

from torch import Tensor

from model.ops.joining import joined


def cut_bands(x: Tensor, *, stride: int, reach: tuple[int, int], most: int) -> tuple[Tensor, ...]:
    """Cut a map into bands, each with the rows around it that its result depends on.

    Args:
        x: ``(B, C, H, W)``.
        stride: Rows of ``x`` in a row of the result. Where H is no multiple, x is one band.
        reach: How many rows of ``x`` above and below a band its result depends on, at most;
            multiples of ``stride``.
        most: Rows of a band, at most, beside what it reaches; more where that is less than
            ``reach``.

    Returns:
        Views of ``x``, ``(B, C, h, W)``.
    """
    height = int(x.shape[2])
    above, below = reach
    # No band is smaller than the reach, so that all but the first and the last have all of it.
    count = min(-(-height // max(1, most)), height // max(reach))
    if count < 2 or height % stride:
        return (x,)
    ends = [stride * (height // stride * i // count) for i in range(count + 1)]
    return tuple(x[:, :, max(0, start - above) : end + below] for start, end in pairwise(ends))


def join_bands(results: Iterable[Tensor], *, stride: int, reach: tuple[int, int]) -> Tensor:
    """Put the results of bands together, without those of the rows around them.

    Args:
        results: ``(B, C, h, W)``, what layers made of each of ``cut_bands``.
        stride: As ``cut_bands``, like ``reach``.
        reach: In rows of the map that was cut.

    Returns:
        ``(B, C, H / stride, W)``.
    """
    bands = list(results)
    last = len(bands) - 1
    above, below = (rows // stride for rows in reach)
    return joined(
        (
            band[:, :, above if i else 0 : band.shape[2] - (below if i < last else 0)]
            for i, band in enumerate(bands)
        ),
        dim=2,
    )
