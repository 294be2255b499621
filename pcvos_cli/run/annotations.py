"""Reference masks that are not one image a frame.

Folders of masks named by frame, masks of an object each, and what labelling tools write:
``--mask instances.json`` and its like.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from model.errors import InputError, MaskError
from pcvos_cli.masks.label_files import label_values
from pcvos_cli.masks.reference import LoadedMask
from pcvos_cli.masks.unusual import fitted
from pcvos_cli.run.references import naming, no_frame
from pcvos_cli.video.folder import image_files
from pcvos_cli.video.source import FrameSource


def mask_folder(path: Path, source: FrameSource) -> list[tuple[int, Path]]:
    """Return the masks of a folder with the index of each one's frame.

    Raises:
        InputError: It holds none.
        MaskError: A name is not a frame.
    """
    files = image_files(path)
    if not files and (path / "masks").is_dir():  # Results, as `convert` and `evaluate` take them.
        return mask_folder(path / "masks", source)
    if not files:
        raise InputError(f"{path}: the folder holds no masks", hint=naming(source))
    indices = match_names([file.stem for file in files], source, [str(file) for file in files])
    return list(zip(indices, files, strict=True))


def match_names(names: Sequence[str], source: FrameSource, places: Sequence[str]) -> list[int]:
    """Match frames by output name, or, where none fits, by the last number in each name.

    Args:
        names: Of masks, without endings.
        source: Whose frames they are.
        places: Where each name comes from, for messages.

    Raises:
        MaskError: A name is not a frame, or its number is not sure to mean one.
    """
    found = [source.frame_index(name) for name in names]
    known = [index for index in found if index is not None]
    if not known:
        known = _by_number(names, source)
    if len(known) < len(names):
        place = found.index(None)
        raise MaskError(f"{places[place]}: {no_frame(names[place], source)}", hint=naming(source))
    return known


def _by_number(names: Sequence[str], source: FrameSource) -> list[int]:
    """Return the frames that the names' last numbers mean; none if that is not sure."""

    def numbers(texts: Sequence[str]) -> list[int] | None:
        found = [re.findall(r"[0-9]+", text) for text in texts]
        last = [int(digits[-1]) for digits in found if digits]
        return last if len(last) == len(set(last)) == len(texts) else None

    wanted = numbers(names)
    if wanted is None or len({re.sub(r"[0-9]+$", "", name) for name in names}) > 1:
        return []
    if not source.info.is_folder:
        count = source.info.frame_count
        return wanted if count is None or max(wanted) < count else []
    own = numbers([file.stem for file in image_files(source.info.path)])
    places = {} if own is None else {number: place for place, number in enumerate(own)}
    return [places[number] for number in wanted] if set(wanted) <= set(places) else []


def together(masks: list[LoadedMask]) -> LoadedMask:
    """Put the masks of several objects of one frame together.

    Raises:
        MaskError: One of them has other values than one object's.
    """
    for mask in masks:
        if mask.object_ids != (1,):
            raise MaskError(
                f"{mask.path}: frame {mask.frame_index} has several masks, and this one has "
                f"object {', '.join(map(str, mask.object_ids))}",
                hint="give one mask a frame with all objects, or a black and white one an object",
            )
    folders = [mask.path.parent.name for mask in masks]
    ids = list(range(1, len(masks) + 1))
    if len(set(folders)) == len(masks) and all(n.isascii() and n.isdigit() for n in folders):
        shift = min(map(int, folders)) == 0
        ids = [int(name) + shift for name in folders]
    labels = np.zeros_like(masks[0].labels)
    for object_id, mask in zip(ids, masks, strict=True):
        labels[mask.labels > 0] = object_id
    listed = ", ".join(
        f"{mask.path} is object {object_id}" for object_id, mask in zip(ids, masks, strict=True)
    )
    notes = [note for mask in masks for note in mask.notes] + [listed]
    return LoadedMask(masks[0].path, masks[0].frame_index, labels, tuple(sorted(ids)), notes)


def load_annotations(
    path: Path, source: FrameSource, *, frame: int | None, first: int, resize: bool
) -> list[LoadedMask]:
    """Read the frames that have objects.

    Args:
        path: As ``open_labels``.
        source: Whose frames they are, by name, by number, or by index where the format
            counts frames.
        frame: The frame that the user says it is about, or ``None``.
        first: The frame of a file that is about one frame without a name.
        resize: As ``read_reference``.

    Raises:
        InputError: It cannot be read.
        MaskError: It has no object, does not fit the video, or names no frame of it.
    """
    from pcvos_cli.labels.sources import open_labels

    labels = open_labels(path)
    found = [
        (name, ids.copy(), label_values(ids))
        for name, ids in zip(labels.names, labels.read(), strict=True)
        if ids.any()
    ]
    if not found:
        raise MaskError(
            f"{path}: has no object on any frame",
            hint="polygons, masks and RLE are read; boxes go with --box, and points with --click",
        )
    if labels.kind == "mots":
        labels.notes.insert(0, "16-bit values are read as MOTS: class * 1000 + object")
    names = [name for name, _, _ in found]
    alone = len(labels.names) == 1
    if frame is not None:
        if len(found) > 1:
            raise MaskError(
                f"{path}: has masks of {len(found)} frames, each with the name of its own",
                hint="give it without FRAME=",
            )
        indices = [frame]
    elif labels.numbered:
        indices = [int(name) for name in names]
    elif alone and labels.kind == "array":
        indices = [first]
    else:
        try:
            indices = match_names(names, source, [str(path)] * len(names))
        except MaskError:
            if not alone:
                raise
            indices = [first]  # A file about one image, whatever that is called.
    count = source.info.frame_count
    for index in indices:
        if count is not None and index >= count:
            raise MaskError(
                f"{path}: has objects on frame {index}, but {source.info.path} has {count} frames "
                f"(0 to {count - 1})",
                hint="frames count from 0; check that it is of this video",
            )
    size = (source.info.height, source.info.width)
    masks = []
    for position, (index, (_, ids, object_ids)) in enumerate(zip(indices, found, strict=True)):
        notes = list(labels.notes) if position == 0 else []
        if ids.shape != size:
            ids = fitted(
                path, index, ids, size, notes, resize=resize, coded_size=source.info.coded_size
            )
        masks.append(LoadedMask(path, index, ids, object_ids, notes, labels.categories))
    return masks
