"""The values of ``--mask``: which file states which frame."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from model.errors import InputError, MaskError
from pcvos_cli.masks.label_files import MOTS_BASE
from pcvos_cli.masks.reference import ColourMap, LoadedMask, read_reference
from pcvos_cli.video.folder import image_files
from pcvos_cli.video.source import FrameSource, is_tiff

_FILE = "a mask is a file: download it, or write it to one, and give that"


def load_references(
    values: Sequence[str], source: FrameSource, *, first: int = 0, resize: bool = False
) -> list[LoadedMask]:
    """Find and read all reference masks of a run.

    Args:
        values: As ``parse_mask_options``.
        source: The source whose frames they name.
        first: As ``parse_mask_options``.
        resize: As ``read_reference``.

    Returns:
        The masks in the order of their frames; a colour has one id in all of them.

    Raises:
        InputError: As ``parse_mask_options`` and ``read_reference``.
        MaskError: As ``parse_mask_options`` and ``read_reference``.
    """
    info = source.info
    size = (info.height, info.width)
    colours: ColourMap = {}
    images, loaded = [], []
    for value in values:
        frame, path = _split(value, source)
        if path is not None and not (path.is_file() or path.is_dir()):
            raise InputError(f"{path}: is a pipe or a device, and no mask", hint=_FILE)
        if path is not None and is_annotation(path):
            from pcvos_cli.run.annotations import load_annotations

            if frame is None and not Path(value).exists():
                name = value.removesuffix(f"={path}")
                raise MaskError(
                    f"--mask {value}: {no_frame(name, source)}", hint=naming(source, name)
                )
            loaded += load_annotations(path, source, frame=frame, first=first, resize=resize)
        else:
            images.append(value)
    for frame_index, paths in parse_mask_options(images, source, first=first).items():
        masks = [
            read_reference(
                path,
                frame_index,
                size,
                resize=resize,
                coded_size=info.coded_size,
                colours=colours,
            )
            for path in paths
        ]
        if len(masks) > 1:
            from pcvos_cli.run.annotations import together

            masks = [together(masks)]
        masks[0].notes.extend(_named_otherwise(paths[0], frame_index, source, values))
        loaded += masks
    return _each_frame_once(loaded)


def _named_otherwise(
    path: Path, frame_index: int, source: FrameSource, values: Sequence[str]
) -> list[str]:
    """Return a note on a mask of the first frame that has the name of another one."""
    named = source.frame_index(path.stem)
    is_name = source.info.is_folder or named is None or path.stem == source.info.frame_name(named)
    if named in (None, frame_index) or not is_name or str(path) not in values:
        return []
    return [
        f"taken for the run's first frame, though it has the name of frame {path.stem}: if it is "
        f"of that one, give {path.stem}={path}"
    ]


def _readings(value: str) -> Iterator[tuple[str | None, Path]]:
    """Yield how a value of ``--mask`` can be read: as a path, or ``FRAME=PATH`` at each ``=``."""
    yield None, Path(value)
    for position, letter in enumerate(value):
        if letter == "=":
            yield value[:position], Path(value[position + 1 :])


def _split(value: str, source: FrameSource) -> tuple[int | None, Path | None]:
    """Return the frame and the existing path that a value of ``--mask`` names."""
    for name, path in _readings(value):
        if path.exists():
            return None if name is None else source.frame_index(name), path
    return None, None


def is_annotation(path: Path) -> bool:
    """Whether a path holds masks of several frames or objects in another form than images."""
    if path.is_file():
        return path.suffix.lower() in {".json", ".xml", ".npy", ".npz"} or _is_stack(path)
    if files := image_files(path):
        return _is_mots(files[0])
    return any(
        (item.is_dir() and item.name.isdigit()) or item.suffix.lower() == ".json"
        for item in path.iterdir()
        if not item.name.startswith(".")
    )


def _is_stack(path: Path) -> bool:
    """Whether a file is a TIFF of several grey pages: maps of the ids of all frames."""
    if not is_tiff(path):
        return False
    from pcvos_cli.video.tiff import has_grey_pages

    return has_grey_pages(path)


def _is_mots(path: Path) -> bool:
    """Whether an image has 16 bits, and all its values are ``class * 1000 + object``."""
    try:
        with Image.open(path) as image:
            values = np.unique(np.asarray(image)) if image.mode.startswith("I") else np.zeros(1)
    except (OSError, SyntaxError, ValueError):
        return False  # The reader of masks says what is wrong.
    return bool(values[-1] >= MOTS_BASE and (values[values > 0] >= MOTS_BASE).all())


def _each_frame_once(masks: list[LoadedMask]) -> list[LoadedMask]:
    """Return the masks in the order of their frames.

    Raises:
        MaskError: Two are for one frame.
    """
    found: dict[int, LoadedMask] = {}
    for mask in masks:
        if mask.frame_index in found:
            raise _twice(mask.path, mask.frame_index, found[mask.frame_index].path)
        found[mask.frame_index] = mask
    return [found[index] for index in sorted(found)]


def _twice(path: Path, frame_index: int, other: Path) -> MaskError:
    return MaskError(
        f"{path}: frame {frame_index} has a mask already ({other})",
        hint="give one mask a frame; paint all objects into it",
    )


def mask_files(values: Sequence[str]) -> list[Path]:
    """Return the files that the values of ``--mask`` name one by one, before frames are known."""
    named = (next((path for _, path in _readings(v) if path.exists()), None) for v in values)
    return [path for path in named if path is not None and path.is_file()]


def parse_mask_options(
    values: Sequence[str], source: FrameSource, *, first: int = 0
) -> dict[int, list[Path]]:
    """Match reference mask files with frames.

    A value is a file (``first.png``: the run's first frame), ``FRAME=file`` (FRAME is the
    frame's output name: the index of a video, the stem of an image), or a folder of masks
    whose stems are such names. A path that exists as it stands is taken as it stands, even
    with ``=`` in it.

    Args:
        values: As given on the command line.
        source: The source whose frames they name.
        first: Index of the run's first frame.

    Returns:
        Frame index to its files, ascending. Several are masks of one object each.

    Raises:
        InputError: A file is missing, or a folder has no masks.
        MaskError: A name is not a frame, a frame lies beyond the end, or one file is given
            twice for a frame.
    """
    found: dict[int, list[Path]] = {}
    for value in values:
        for frame_index, path in _one(value, source, first):
            count = source.info.frame_count
            if count is not None and frame_index >= count:
                raise MaskError(
                    f"{path}: is for frame {frame_index}, but {source.info.path} has {count} "
                    f"frames (0 to {count - 1})",
                    hint="frames count from 0; check the number",
                )
            if path in found.setdefault(frame_index, []):
                raise _twice(path, frame_index, path)
            found[frame_index].append(path)
    return dict(sorted(found.items()))


def _one(value: str, source: FrameSource, first: int) -> Iterable[tuple[int, Path]]:
    unknown: str | None = None
    for frame, path in _readings(value):
        if frame is None and path.is_dir():
            from pcvos_cli.run.annotations import mask_folder

            return mask_folder(path, source)
        if frame is None and path.exists():
            return [(first, path)]
        if frame is not None and path.is_file():
            index = source.frame_index(frame)
            if index is not None:
                return [(index, path)]
            unknown = unknown or frame
    if unknown is not None:
        raise MaskError(
            f"--mask {value}: {no_frame(unknown, source)}", hint=naming(source, unknown)
        )
    name, equals, rest = value.partition("=")
    if equals and Path(rest).is_dir():
        raise MaskError(
            f"{rest}: is a folder, whose masks have the names of their frames",
            hint="give it without FRAME=",
        )
    missing = rest if equals and source.frame_index(name) is not None else value
    raise InputError(
        f"{missing}: mask not found",
        hint=_FILE
        if missing == "-" or "://" in missing
        else "--mask takes first.png, FRAME=mask.png, a folder of masks named by frame, or "
        "what a labelling tool exports",
    )


def no_frame(name: str, source: FrameSource) -> str:
    """Say that a source has no frame of this output name."""
    return f"{source.info.path} has no frame named {name!r}"


def naming(source: FrameSource, name: str = "") -> str:
    """Say how the masks of a source are named, and what frame a wrong name may mean."""
    if source.info.is_folder:
        named = source.frame_numbered(name)
        example = "" if named is None else f": {named}"
        return f"a mask is named after its image, without the ending{example}"
    return "frames of a video are named by their index from 0 on: 00000, 00001, ..."
