"""COCO RLE of object ids, as pycocotools writes and reads it."""

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask


def encode_labels(labels: NDArray[np.int32]) -> dict[int, str]:
    """Return the ``counts`` of the COCO RLE of each id in an ``(H, W)`` map, ids ascending."""
    height, width = labels.shape
    # RLE runs down the columns. The runs of all objects at once: pycocotools would pass over
    # the frame for each.
    pixels = cv2.transpose(labels).ravel()
    starts = np.concatenate(([0], np.flatnonzero(pixels[1:] != pixels[:-1]) + 1))
    ends = np.append(starts[1:], pixels.size)
    ids = pixels[starts]
    codes = {}
    for object_id in np.unique(ids[ids > 0]):
        own = ids == object_id
        edges = np.stack((starts[own], ends[own]), axis=1).ravel()
        counts = np.diff(edges, prepend=0, append=height * width)
        runs = counts if counts[-1] else counts[:-1]
        rle = coco_mask.frPyObjects({"counts": runs, "size": [height, width]}, height, width)
        codes[int(object_id)] = rle["counts"].decode("ascii")
    return codes


def decode_labels(codes: Mapping[int, str], size: tuple[int, int]) -> NDArray[np.int32]:
    """Return the ``(H, W)`` map of what ``encode_labels`` returned."""
    labels = np.zeros(size, np.int32)
    for object_id, counts in codes.items():
        rle = {"size": list(size), "counts": counts.encode("ascii")}
        labels[coco_mask.decode(rle) == 1] = object_id
    return labels


def bbox_of(rle: dict[str, Any]) -> list[int]:
    """Return the ``[x, y, width, height]`` of a COCO RLE, in pixels."""
    return [int(value) for value in coco_mask.toBbox(rle)]


def area_of(rle: dict[str, Any]) -> int:
    """Return the number of pixels of a COCO RLE."""
    return int(coco_mask.area(rle))
