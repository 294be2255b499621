"""Label maps between server and page: runs of one object id, as pairs of 32-bit integers."""

import numpy as np
from numpy.typing import NDArray

from model.errors import MaskError

Labels = NDArray[np.uint8]

MAX_ID = 254
"""Largest object id of a palette PNG: 255 is void there."""


def encode_runs(labels: Labels) -> bytes:
    """Return ``(id, length)`` pairs, little-endian uint32, of ``(H, W)`` ids row by row."""
    flat = labels.ravel()
    starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    lengths = np.diff(np.append(starts, flat.size))
    return np.stack((flat[starts], lengths), axis=1).astype("<u4").tobytes()


def decode_runs(content: bytes, size: tuple[int, int]) -> Labels:
    """Read what ``encode_runs`` wrote.

    Args:
        content: From a page, so it may be anything.
        size: ``(H, W)`` of the result.

    Raises:
        MaskError: It is no label map of this size.
    """
    if len(content) % 8:
        raise MaskError(f"{len(content)} bytes are no pairs of 32-bit integers")
    pairs = np.frombuffer(content, "<u4").reshape(-1, 2)
    ids, lengths = pairs[:, 0], pairs[:, 1].astype(np.int64)
    pixels = size[0] * size[1]
    if lengths.sum() != pixels or lengths.max(initial=0) > pixels:
        raise MaskError(f"the mask has {lengths.sum()} pixels, but the frame has {pixels}")
    if ids.max(initial=0) > MAX_ID:
        raise MaskError(f"object {ids.max()}: ids go from 1 to {MAX_ID}")
    return np.repeat(ids.astype(np.uint8), lengths).reshape(size)
