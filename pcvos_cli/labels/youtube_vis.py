"""Reading YouTube-VIS JSON: COCO RLE per object and frame, of anybody's making."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from model.errors import InputError, MaskError
from pcvos_cli.masks.youtube_vis import GENERAL
from pcvos_cli.video.folder import IMAGE_SUFFIXES

MAX_ID = 65535
"""Largest object id; that of reference masks, too."""


@dataclass(frozen=True, slots=True)
class VideoRLE:
    """One video's objects.

    Attributes:
        path: The JSON file.
        names: Output name of each frame.
        size: ``(height, width)``.
        tracks: By object id, ascending in the order of the file, one segmentation a frame:
            COCO RLE, polygons, or ``None``.
        pts: Timestamp of each frame, or ``None``.
        time_base: Seconds a unit of ``pts``, or ``None``.
        categories: Names of the objects' classes by object id, where they are more than "object".
    """

    path: Path
    names: tuple[str, ...]
    size: tuple[int, int]
    tracks: dict[int, list[Any]]
    pts: tuple[int, ...] | None
    time_base: Fraction | None
    categories: dict[int, str] = field(default_factory=dict)

    def masks(self, index: int) -> Iterator[tuple[int, NDArray[np.bool_]]]:
        """Yield ``(object_id, (H, W) mask)`` of one frame, in the order of the file.

        Raises:
            MaskError: A segmentation is not of this frame's size, or not well formed.
        """
        for object_id, segmentations in self.tracks.items():
            if segmentations[index]:
                try:
                    yield object_id, decode_mask(segmentations[index], self.size)
                except ValueError as error:
                    raise MaskError(
                        f"{self.path}: object {object_id}, frame {self.names[index]}: {error}",
                        hint="the file is damaged; write it again",
                    ) from error


def read_youtube_vis(path: Path) -> VideoRLE:
    """Read a JSON in the form of YouTube-VIS that holds one video.

    The document is held in memory, which for RLE is some hundred bytes a mask.

    Raises:
        InputError: It is missing, no JSON, of another form, or holds several videos.
        MaskError: An object's id is unusable, or it has not one segmentation a frame.
    """
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a readable JSON ({error})") from error
    try:
        videos, annotations = document["videos"], document["annotations"]
        count = len(videos)
        if count != 1:
            raise InputError(
                f"{path}: holds {count} videos", hint="put the one to convert into its own file"
            )
        (video,) = videos
        size = (int(video["height"]), int(video["width"]))
        names = _names(video)
        tracks: dict[int, list[Any]] = {}
        named = {c["id"]: str(c["name"]) for c in document.get("categories", [])}
        categories: dict[int, str] = {}
        for annotation in annotations:
            if annotation["video_id"] == video["id"]:
                _add(path, annotation, len(names), tracks)
                category = named.get(annotation.get("category_id"), GENERAL)
                if category != GENERAL:
                    categories[annotation["id"]] = category
    except (KeyError, TypeError, ValueError) as error:
        reason = f"no {error.args[0]!r}" if isinstance(error, KeyError) else str(error)
        raise InputError(
            f"{path}: not in the form of YouTube-VIS ({reason})",
            hint="it needs videos[] and annotations[] with video_id and segmentations[]",
        ) from error
    if min(size) < 1 or not names:
        raise InputError(f"{path}: holds no frame")
    pts, time_base = _times(document, len(names))
    return VideoRLE(path, names, size, tracks, pts, time_base, categories)


def frame_stem(name: Any) -> str:
    """Return a frame's name without folders, as Windows too writes them, and image ending.

    What stands behind the ending of an address (``00003.jpg?size=2``) goes with it.
    """
    last = PurePosixPath(str(name).replace("\\", "/")).name
    for text in (last, last.partition("?")[0]):
        stem, dot, ending = text.rpartition(".")
        if dot and f".{ending.lower()}" in IMAGE_SUFFIXES:
            return stem
    return last


def _names(video: dict[str, Any]) -> tuple[str, ...]:
    """Return the frames' names without folders and image endings; numbers where they clash."""
    length = len(video["file_names"]) if "file_names" in video else int(video["length"])
    names = [frame_stem(name) for name in video.get("file_names", ())]
    usable = all(name and "\0" not in name for name in names)
    if usable and len(names) == len(set(names)) == length:
        return tuple(names)
    digits = max(5, len(str(length - 1)))
    return tuple(f"{index:0{digits}d}" for index in range(length))


def _add(path: Path, annotation: dict[str, Any], frames: int, tracks: dict[int, list[Any]]) -> None:
    object_id, segmentations = annotation["id"], annotation["segmentations"]
    if not isinstance(object_id, int) or not 1 <= object_id <= MAX_ID or object_id in tracks:
        raise MaskError(
            f"{path}: annotation id {object_id!r} cannot be an object id",
            hint=f"ids are whole numbers from 1 to {MAX_ID}, each once",
        )
    if not isinstance(segmentations, list) or len(segmentations) != frames:
        raise MaskError(
            f"{path}: object {object_id} has {len(segmentations)} segmentations, "
            f"but the video has {frames} frames"
        )
    tracks[object_id] = segmentations


def _times(document: dict[str, Any], frames: int) -> tuple[tuple[int, ...] | None, Fraction | None]:
    """Return the timestamps that pcvos stores beside the form, if they are there."""
    try:
        pts = tuple(int(value) for value in document["info"]["pts"])
        time_base = Fraction(document["info"]["time_base"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None, None
    return (pts, time_base) if len(pts) == frames and time_base > 0 else (None, None)


def decode_mask(segmentation: Any, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the ``(H, W)`` mask of a COCO segmentation.

    Args:
        segmentation: RLE with ``counts`` as text or as a list, or a list of polygons.
        size: ``(height, width)`` that it must have.

    Raises:
        ValueError: It is of another size, or its runs do not add up to it.
    """
    if isinstance(segmentation, list):
        if not all(_is_polygon(polygon, 10 * max(size)) for polygon in segmentation):
            raise ValueError("neither RLE nor polygons")
        rle = coco_mask.merge(coco_mask.frPyObjects(segmentation, *size))
        return coco_mask.decode(rle).astype(np.bool_)
    if not isinstance(segmentation, dict) or "counts" not in segmentation:
        raise ValueError("neither RLE nor polygons")
    found = tuple(segmentation.get("size", ()))
    if found != size:
        raise ValueError(f"its size is {list(found)}, the video's is {list(size)}")
    counts = segmentation["counts"]
    runs = counts if isinstance(counts, list) else run_lengths(counts)
    # pycocotools leaves pixels without a run as it finds them in memory.
    if not all(isinstance(n, int) and n >= 0 for n in runs) or sum(runs) != size[0] * size[1]:
        raise ValueError(f"its runs do not add up to {size[0] * size[1]} pixels")
    ones = np.arange(len(runs)) % 2 == 1
    columns = np.repeat(ones, np.asarray(runs, np.int64))
    return np.ascontiguousarray(columns.reshape(size[::-1]).T)


def _is_polygon(values: Any, limit: float) -> bool:
    """Tell whether it is ``[x, y, x, y, ...]``, not so far off that drawing it never ends."""
    return (
        isinstance(values, list)
        and len(values) >= 6
        and len(values) % 2 == 0
        and all(isinstance(v, int | float) and -limit <= v <= limit for v in values)
    )


def run_lengths(counts: Any) -> list[int]:
    """Return the runs of a compressed RLE, first one of zeros.

    Each is written in digits of 5 bits from the lowest on, bit 6 saying that more follow;
    from the fourth run on, as the difference to the run before the last.

    Raises:
        ValueError: It is not of that form.
    """
    if not isinstance(counts, str) or not counts.isascii():
        raise ValueError("its counts are no RLE")
    runs: list[int] = []
    value = shift = 0
    for letter in counts:
        digit = ord(letter) - 48
        if not 0 <= digit < 64 or shift > 40:
            raise ValueError("its counts are no RLE")
        value |= (digit & 0x1F) << shift
        shift += 5
        if digit & 0x20:
            continue
        if digit & 0x10:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("its counts are cut off")
    return runs
