"""The values of ``--mask``: which file states which frame."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from model.errors import InputError, MaskError
from pcvos_cli.masks.reference import ColourMap, LoadedMask, read_reference
from pcvos_cli.video.folder import image_files
from pcvos_cli.video.source import FrameSource


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
    size = (source.info.height, source.info.width)
    colours: ColourMap = {}
    return [
        read_reference(
            path,
            frame_index,
            size,
            resize=resize,
            coded_size=source.info.coded_size,
            colours=colours,
        )
        for frame_index, path in parse_mask_options(values, source, first=first).items()
    ]


def mask_files(values: Sequence[str]) -> list[Path]:
    """Return the files that the values of ``--mask`` name one by one, before frames are known."""
    files = []
    for value in values:
        after = [Path(value[i + 1 :]) for i, letter in enumerate(value) if letter == "="]
        path = next((p for p in (Path(value), *after) if p.exists()), None)
        if path is not None and path.is_file():
            files.append(path)
    return files


def parse_mask_options(
    values: Sequence[str], source: FrameSource, *, first: int = 0
) -> dict[int, Path]:
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
        Frame index to file, ascending.

    Raises:
        InputError: A file is missing, or a folder has no masks.
        MaskError: A name is not a frame, a frame lies beyond the end, or two masks are
            for one frame.
    """
    found: dict[int, Path] = {}
    for value in values:
        for frame_index, path in _one(value, source, first):
            count = source.info.frame_count
            if count is not None and frame_index >= count:
                raise MaskError(
                    f"{path}: is for frame {frame_index}, but {source.info.path} has {count} "
                    f"frames (0 to {count - 1})",
                    hint="frames count from 0; check the number",
                )
            if frame_index in found:
                raise MaskError(
                    f"{path}: frame {frame_index} has a mask already ({found[frame_index]})",
                    hint="give one mask a frame; paint all objects into it",
                )
            found[frame_index] = path
    return dict(sorted(found.items()))


def _one(value: str, source: FrameSource, first: int) -> Iterable[tuple[int, Path]]:
    path = Path(value)
    if path.is_dir():
        return _folder(path, source)
    if path.exists():
        return [(first, path)]
    unknown: str | None = None
    for position in (i for i, letter in enumerate(value) if letter == "="):
        name, file = value[:position], Path(value[position + 1 :])
        frame_index = source.frame_index(name)
        if file.is_file():
            if frame_index is not None:
                return [(frame_index, file)]
            unknown = unknown or name
    if unknown is not None:
        raise MaskError(f"--mask {value}: {_no_frame(unknown, source)}", hint=_naming(source))
    name, equals, rest = value.partition("=")
    missing = rest if equals and source.frame_index(name) is not None else value
    raise InputError(
        f"{missing}: mask not found",
        hint="--mask takes first.png, FRAME=mask.png, or a folder of masks named by frame",
    )


def _folder(path: Path, source: FrameSource) -> list[tuple[int, Path]]:
    files = image_files(path)
    if not files:
        raise InputError(f"{path}: the folder holds no masks", hint=_naming(source))
    matched = []
    for file in files:
        frame_index = source.frame_index(file.stem)
        if frame_index is None:
            raise MaskError(f"{file}: {_no_frame(file.stem, source)}", hint=_naming(source))
        matched.append((frame_index, file))
    return matched


def _no_frame(name: str, source: FrameSource) -> str:
    return f"{source.info.path} has no frame named {name!r}"


def _naming(source: FrameSource) -> str:
    if source.info.is_folder:
        return "a mask is named after its image, without the ending"
    return "frames of a video are named by their index from 0 on: 00000, 00001, ..."
