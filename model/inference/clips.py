"""Frames to clips."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.config import STRIDE
from model.ops.frames import padding_to_multiple
from model.types import Clip, ClipFrames, ReferenceMask


def iter_clips(
    frames: Iterable[Any],
    references: Mapping[int, ReferenceMask],
    *,
    interval: int,
    start: int = 0,
    continued: bool = False,
    pixels: Callable[[Any], NDArray[np.uint8] | Tensor] | None = None,
    ends: Iterable[tuple[int, int]] = (),
    begins_shot: Callable[[Any], bool] | None = None,
) -> Iterator[Clip]:
    """Group frames into the clips between memory updates.

    The first clip is the first reference frame alone. After a reference frame, clips of
    ``interval`` frames follow; the clip before a further reference frame ends with it. The
    first frame of another shot is a clip of its own.
    Every frame is in exactly one clip, in order.

    Args:
        frames: ``(H, W, 3)`` RGB at the size the model works at, uint8 or floating point
            in [0, 1], read as they are needed, one ahead.
        references: Reference masks by frame index.
        interval: L.
        start: Index of the first item of ``frames``; it must have a reference mask, unless
            ``continued``.
        continued: The clips before ``start`` were made earlier, and a clip begins there.
        pixels: Takes such pixels from an item of ``frames``, where the items are anything
            else. The items themselves come with the clip, as its ``sources``.
        ends: Pairs of an object's id and the first frame on which it is absent; it comes back
            with a reference mask of that or a later frame that lists it.
        begins_shot: Tells whether an item is the first frame of another shot; ``None``: none is.

    Yields:
        Clips. Their frames share the memory of what was read.

    Raises:
        ValueError: If ``start`` should have a reference mask and has none, if ``interval``
            is below 1, or if a frame has another shape than the first or than its mask.
    """
    if start not in references and not continued:
        raise ValueError(f"frame {start} has no reference mask to start from")
    if interval < 1:
        raise ValueError(f"interval must be at least 1, got {interval}")
    clip = partial(_clip, references=references, interval=interval, ends=tuple(ends))
    first, pending = start, list[tuple[Tensor, Any]]()
    is_whole = is_shot = False  # Of the frames that are pending.
    size: tuple[int, ...] | None = None
    for index, item in enumerate(frames, start=start):
        cut = begins_shot is not None and begins_shot(item)
        # Held back until this frame shows that the clip is not the final one.
        if pending and (is_whole or cut):
            yield clip(first, pending, is_shot, final=False)
            first, pending = index, []
        rgb = _pixels(item if pixels is None else pixels(item), index, references.get(index), size)
        pending.append((rgb, item))
        size = tuple(rgb.shape)
        is_whole, is_shot = len(pending) == interval or index in references or cut, cut
    if pending:
        yield clip(first, pending, is_shot, final=True)


def _pixels(
    frame: NDArray[np.uint8] | Tensor,
    index: int,
    reference: ReferenceMask | None,
    size: tuple[int, ...] | None,
) -> Tensor:
    """Return a frame as a tensor, or say what is wrong with it."""
    if isinstance(frame, np.ndarray):
        # torch shares memory; it takes neither read-only nor mirrored arrays.
        whole = frame.flags.writeable and min(frame.strides, default=0) >= 0
        frame = torch.from_numpy(frame if whole else frame.copy())
    shape = tuple(frame.shape)
    if len(shape) != 3 or shape[2] != 3:
        raise ValueError(f"frame {index} must be (H, W, 3), got {shape}")
    if size is not None and shape != size:
        raise ValueError(f"frame {index} is {shape}, but those before are {size}")
    if reference is not None and tuple(reference.labels.shape) != shape[:2]:
        raise ValueError(
            f"the mask of frame {index} is {tuple(reference.labels.shape)}, "
            f"but the frame is {shape[:2]}"
        )
    return frame


def _clip(
    start: int,
    pending: list[tuple[Tensor, Any]],
    cut: bool,
    *,
    final: bool,
    references: Mapping[int, ReferenceMask],
    interval: int,
    ends: Iterable[tuple[int, int]],
) -> Clip:
    frames, sources = zip(*pending, strict=True)
    height, width = frames[0].shape[:2]
    return Clip(
        start=start,
        frames=ClipFrames(frames, padding_to_multiple((height, width), STRIDE)),
        sources=sources,
        reference=references.get(start + len(frames) - 1),
        due=len(frames) == interval or cut,
        final=final,
        gone=_gone(start, start + len(frames), references, ends),
        cut=cut,
    )


def _gone(
    start: int,
    end: int,
    references: Mapping[int, ReferenceMask],
    ends: Iterable[tuple[int, int]],
) -> dict[int, int]:
    """Return from which frame on each object is absent in a clip of frames ``start`` to ``end``.

    A reference mask on the clip's own last frame overrules that by itself.
    """
    gone: dict[int, int] = {}
    for object_id, absent in ends:
        back = any(
            absent <= frame < start and object_id in mask.object_ids
            for frame, mask in references.items()
        )
        if absent < end and not back:
            gone[object_id] = max(start, min(absent, gone.get(object_id, end)))
    return gone
