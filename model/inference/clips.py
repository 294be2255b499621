"""Frames to clips."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.config import STRIDE
from model.ops.images import normalise
from model.ops.padding import pad, padding_to_multiple
from model.types import Clip, ReferenceMask


def iter_clips(
    frames: Iterable[NDArray[np.uint8] | Tensor],
    references: Mapping[int, ReferenceMask],
    *,
    interval: int,
    start: int = 0,
    continued: bool = False,
) -> Iterator[Clip]:
    """Group frames into the clips between memory updates.

    The first clip is the first reference frame alone. After a reference frame, clips of
    ``interval`` frames follow; the clip before a further reference frame ends with it.
    Every frame is in exactly one clip, in order.

    Args:
        frames: ``(H, W, 3)`` uint8 RGB at the working size, read as they are needed, one
            ahead.
        references: Reference masks by frame index.
        interval: L.
        start: Index of the first item of ``frames``; it must have a reference mask, unless
            ``continued``.
        continued: The clips before ``start`` were made earlier, and a clip begins there.

    Yields:
        Clips, normalised and padded.

    Raises:
        ValueError: If ``start`` should have a reference mask and has none, or if
            ``interval`` is below 1.
    """
    if start not in references and not continued:
        raise ValueError(f"frame {start} has no reference mask to start from")
    if interval < 1:
        raise ValueError(f"interval must be at least 1, got {interval}")
    pending: list[Tensor] = []
    first = start
    ready: tuple[int, list[Tensor]] | None = None
    for index, frame in enumerate(frames, start=start):
        if ready is not None:
            yield _clip(*ready, references, interval, final=False)
            ready = None
        pending.append(torch.as_tensor(frame))
        if len(pending) == interval or index in references:
            # Held back until the next frame shows whether this clip is the final one.
            ready = (first, pending)
            first, pending = index + 1, []
    if ready is not None:
        yield _clip(*ready, references, interval, final=True)
    elif pending:
        yield _clip(first, pending, references, interval, final=True)


def _clip(
    start: int,
    frames: list[Tensor],
    references: Mapping[int, ReferenceMask],
    interval: int,
    *,
    final: bool,
) -> Clip:
    rgb = torch.stack(frames).permute(0, 3, 1, 2)
    height, width = rgb.shape[-2:]
    padding = padding_to_multiple((height, width), STRIDE)
    return Clip(
        start=start,
        frames=pad(normalise(rgb), padding),
        padding=padding,
        reference=references.get(start + len(frames) - 1),
        due=len(frames) == interval,
        final=final,
    )
