"""The masks of a whole video as others have them: folders of PNGs, MOTS, binary, RLE in JSON."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.errors import InputError, MaskError
from pcvos_cli.labels.tools import (
    Annotations,
    is_coco,
    is_labelme,
    json_files,
    load_json,
    read_arrays,
    read_coco,
    read_cvat,
    read_labelme,
)
from pcvos_cli.labels.youtube_vis import VideoRLE, read_youtube_vis
from pcvos_cli.masks.formats import FORMATS
from pcvos_cli.masks.label_files import MOTS_BASE, VOID, label_values, read_labels
from pcvos_cli.video.folder import image_files, natural_key

MASKS, RLE = FORMATS["png"].place, FORMATS["rle"].place

MOTS_IGNORE = 10_000
"""Pixels of a MOTS image that count neither way."""

_HINT = (
    "give a folder of `pcvos segment`, a folder of mask PNGs (palette, grey or MOTS), a folder "
    "with one folder of binary PNGs an object, JSON of YouTube-VIS, COCO or labelme, XML of CVAT "
    "for video, or .npy, .npz or a TIFF stack with ids"
)


@dataclass(frozen=True, slots=True)
class LabelSequence:
    """Object ids of every frame, read as they are asked for.

    Attributes:
        inputs: Files and folders that are read.
        kind: The format they were taken for: ``palette``, ``mots``, ``binary``, ``youtube-vis``.
        names: Output name of each frame.
        size: ``(height, width)`` of all frames.
        object_ids: All ids, ascending, also those that no frame has.
        read: Returns a fresh pass over ``(H, W)`` int32 id maps, 0 = background.
        notes: Decisions made on the way; grows while reading.
        pts: Timestamp of each frame, or ``None`` where nobody knows.
        time_base: Seconds a unit of ``pts``, or ``None``.
        categories: Names of the objects' classes, by object id, where they have one.
        numbered: ``names`` are indices of frames.
    """

    inputs: tuple[Path, ...]
    kind: str
    names: tuple[str, ...]
    size: tuple[int, int]
    object_ids: tuple[int, ...]
    read: Callable[[], Iterator[NDArray[np.int32]]]
    notes: list[str] = field(default_factory=list)
    pts: tuple[int, ...] | None = None
    time_base: Fraction | None = None
    categories: dict[int, str] = field(default_factory=dict)
    numbered: bool = False


def open_labels(path: Path) -> LabelSequence:
    """Find out what a path holds, and which objects.

    PNGs are all read once for that: a converted file has to list every object before its
    first frame. Memory holds the names and, of a JSON, its RLEs; never the masks.

    Args:
        path: A result folder of ``pcvos segment``; a folder of PNGs with object ids
            (palette, grey, 16-bit, MOTS); a folder of ``<id>/`` folders of binary PNGs, as of
            SA-V; a YouTube-VIS JSON of one video; a COCO or labelme JSON, or a folder of them;
            the XML of CVAT for video; or ``.npy``, ``.npz`` or a TIFF with maps of ids.

    Raises:
        InputError: It is missing, unreadable or none of these.
        MaskError: Frames differ in size, or values cannot be ids.
    """
    if path.is_file():
        match path.suffix.lower():
            case ".json":
                return _from_json(path)
            case ".xml":
                return _from_annotations(path, read_cvat(path))
            case ".npy" | ".npz" | ".tif" | ".tiff":
                return _from_annotations(path, read_arrays(path))
        raise InputError(f"{path}: is a file of no known kind", hint=_HINT)
    if not path.is_dir():
        raise InputError(f"{path}: not found", hint="check the path")
    files = _pngs(path)
    if files:
        return _from_pngs(path, files)
    if (path / MASKS).is_dir() and (files := _pngs(path / MASKS)):
        return _from_pngs(path / MASKS, files, times=path / RLE)
    if (path / RLE).is_file():
        return _from_json(path / RLE)
    objects = {
        int(folder.name): files
        for folder in sorted(path.iterdir(), key=natural_key)
        if re.fullmatch(r"[0-9]+", folder.name, re.ASCII)
        and folder.is_dir()
        and (files := _pngs(folder))
    }
    if objects:
        return _from_binary(objects)
    if files := json_files(path):
        return _from_annotations(path, _documents(path, {f: load_json(f) for f in files}))
    raise InputError(f"{path}: holds no masks", hint=_HINT)


def _documents(path: Path, documents: dict[Path, Any]) -> Annotations:
    """Read JSON files of one form, each of which is about one image, or one about all.

    Raises:
        InputError: They are of no form that is known, or of several.
    """
    if all(map(is_labelme, documents.values())):
        return read_labelme(documents)
    if all(map(is_coco, documents.values())):
        return read_coco(documents)
    raise InputError(f"{path}: JSON of no known form", hint=_HINT)


def _from_annotations(path: Path, found: Annotations) -> LabelSequence:
    notes = list(found.notes)

    def read() -> Iterator[NDArray[np.int32]]:
        overlaps = 0
        for name in found.frames:
            labels = np.zeros(found.size, np.int32)
            overlaps += _paint(labels, found.masks(path, name))
            yield labels
        _note_overlaps(overlaps, notes)

    ids = {object_id for shapes in found.frames.values() for object_id, _ in shapes}
    return LabelSequence(
        inputs=(path,),
        kind=found.kind,
        names=tuple(name or "00000" for name in found.frames),
        size=found.size,
        object_ids=tuple(sorted(ids)),
        read=read,
        notes=notes,
        categories=found.categories,
        numbered=found.numbered,
    )


def _pngs(folder: Path) -> list[Path]:
    return [file for file in image_files(folder) if file.suffix.lower() == ".png"]


def _from_json(path: Path) -> LabelSequence:
    document = load_json(path)
    if is_labelme(document) or (is_coco(document) and "videos" not in document):
        return _from_annotations(path, _documents(path, {path: document}))
    video = read_youtube_vis(path)
    notes: list[str] = []

    def read() -> Iterator[NDArray[np.int32]]:
        overlaps = 0
        for index in range(len(video.names)):
            labels = np.zeros(video.size, np.int32)
            overlaps += _paint(labels, video.masks(index))
            yield labels
        _note_overlaps(overlaps, notes)

    return LabelSequence(
        inputs=(path,),
        kind="youtube-vis",
        names=video.names,
        size=video.size,
        object_ids=tuple(sorted(video.tracks)),
        read=read,
        notes=notes,
        pts=video.pts,
        time_base=video.time_base,
        categories=video.categories,
    )


def _from_pngs(folder: Path, files: list[Path], *, times: Path | None = None) -> LabelSequence:
    """Read ids as pixel values, with the rules of 255 and of MOTS for the folder as a whole."""
    values, size, deep = _survey(files)
    notes: list[str] = []
    kind, ids = "palette", {value: value for value in values}
    if deep and values and min(values) >= MOTS_BASE:
        kind, ids = "mots", _mots_ids(values, notes)
    elif values == {VOID}:
        ids = {VOID: 1}
        notes.append("every mask is 0 and 255: 255 is object 1")
    elif VOID in values and max(values) == VOID:
        del ids[VOID]
        notes.append("255 is void, written as background")
    changed = {value: ids.get(value, 0) for value in values if ids.get(value, 0) != value}

    def read() -> Iterator[NDArray[np.int32]]:
        for file in files:
            stored = read_labels(file)
            labels = stored.astype(np.int32)
            for value, object_id in changed.items():
                labels[stored == value] = object_id
            yield labels

    video = _times(times, files)
    return LabelSequence(
        inputs=(folder,) if video is None or times is None else (folder, times),
        kind=kind,
        names=tuple(file.stem for file in files),
        size=size,
        object_ids=tuple(sorted(set(ids.values()))),
        read=read,
        notes=notes,
        pts=None if video is None else video.pts,
        time_base=None if video is None else video.time_base,
        categories={} if video is None else video.categories,
    )


def _survey(files: list[Path]) -> tuple[set[int], tuple[int, int], bool]:
    """Return all values but 0, the size, and whether a file has more than 8 bits."""
    values: set[int] = set()
    size: tuple[int, int] | None = None
    deep = False
    for file in files:
        labels = read_labels(file)
        found = (labels.shape[0], labels.shape[1])
        size = size or found
        if found != size:
            raise MaskError(
                f"{file}: is {found[1]}x{found[0]}, but {files[0].name} is {size[1]}x{size[0]}",
                hint="all masks of a video have one size",
            )
        deep = deep or labels.dtype != np.uint8
        values.update(label_values(labels))
    assert size is not None, "no files"
    return values, size, deep


def _mots_ids(values: set[int], notes: list[str]) -> dict[int, int]:
    """Return the object id of each MOTS value; instances keep their number where they can."""
    objects = sorted(values - {MOTS_IGNORE})
    if MOTS_IGNORE in values:
        notes.append(f"MOTS: {MOTS_IGNORE} is the ignored region, written as background")
    instances = [value % MOTS_BASE for value in objects]
    if 0 not in instances and len(set(instances)) == len(instances):
        return dict(zip(objects, instances, strict=True))
    listed = ", ".join(f"{value} = {number}" for number, value in enumerate(objects, 1))
    notes.append(f"MOTS: objects numbered anew: {listed}")
    return {value: number for number, value in enumerate(objects, 1)}


def _times(path: Path | None, files: list[Path]) -> VideoRLE | None:
    """Return the JSON beside a run's masks, whose timestamps are theirs, or ``None``."""
    if path is None or not path.is_file():
        return None
    try:
        video = read_youtube_vis(path)
    except (InputError, MaskError):
        return None  # The PNGs are what is converted.
    return video if video.names == tuple(file.stem for file in files) else None


def _from_binary(objects: dict[int, list[Path]]) -> LabelSequence:
    """Read one folder of binary PNGs an object; a frame that one lacks is empty there."""
    notes: list[str] = []
    if 0 in objects:
        objects = {number + 1: files for number, files in objects.items()}
        notes.append("folders count from 0: object ids are one more")
    size: tuple[int, int] | None = None
    first = next(iter(objects.values()))[0]
    by_name: dict[str, dict[int, Path]] = {}
    for object_id, files in objects.items():
        for file in files:
            by_name.setdefault(file.stem, {})[object_id] = file
            found = read_labels(file).shape
            size = size or (found[0], found[1])
            if found != size:
                raise MaskError(
                    f"{file}: is {found[1]}x{found[0]}, but {first} is {size[1]}x{size[0]}",
                    hint="all masks of a video have one size",
                )
    assert size is not None, "no files"
    frame_size = size
    names = tuple(sorted(by_name, key=lambda name: natural_key(Path(name + ".png"))))
    missing = sum(len(objects) - len(files) for files in by_name.values())
    if missing:
        notes.append(f"{missing} masks are not there: those objects count as absent")

    def read() -> Iterator[NDArray[np.int32]]:
        overlaps = 0
        for name in names:
            labels = np.zeros(frame_size, np.int32)
            masks = ((i, _binary(file)) for i, file in sorted(by_name[name].items()))
            overlaps += _paint(labels, masks)
            yield labels
        _note_overlaps(overlaps, notes)

    return LabelSequence(
        inputs=tuple(files[0].parent for files in objects.values()),
        kind="binary",
        names=names,
        size=frame_size,
        object_ids=tuple(sorted(objects)),
        read=read,
        notes=notes,
    )


def _binary(path: Path) -> NDArray[np.bool_]:
    labels = read_labels(path)
    values: Sequence[int] = label_values(labels)
    if len(values) > 1:
        raise MaskError(
            f"{path}: {len(values)} values besides 0, so it is not binary",
            hint="threshold it, or put palette PNGs into one folder",
        )
    return labels > 0


def _paint(labels: NDArray[np.int32], masks: Iterator[tuple[int, NDArray[np.bool_]]]) -> int:
    """Paint objects in order; return 1 where one covers another, else 0."""
    overlap = False
    for object_id, mask in masks:
        overlap = overlap or bool(labels[mask].any())
        labels[mask] = object_id
    return int(overlap)


def _note_overlaps(frames: int, notes: list[str]) -> None:
    text = f"objects overlap on {frames} frames: the one listed last is in front"
    if frames and text not in notes:
        notes.append(text)
