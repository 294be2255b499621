"""JOBS -> the videos of a batch, with their masks. Free of torch.

A folder is searched for videos, and for folders of images, that have their masks beside them;
a CSV or JSON Lines file has a row a video.
"""

import codecs
import csv
import io
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from model.errors import ConfigError, InputError
from pcvos_cli.batch.engine import Fault
from pcvos_cli.run.output_folder import REPORT
from pcvos_cli.run.settings import SegmentSettings
from pcvos_cli.video.folder import image_files, natural_key

VIDEO_SUFFIXES = frozenset(
    f".{ending}"
    for ending in (
        *("mp4", "mov", "m4v", "mkv", "webm", "avi", "mpg", "mpeg", "mts", "m2ts", "ts", "mxf"),
        *("wmv", "flv", "ogv", "3gp", "y4m"),
    )
)
"""Files of a folder that are videos; upper case counts too, hidden files never."""

LEDGER = "batch.jsonl"
"""Marks the output folder of a batch."""

_VIDEO, _MASK, _BOX, _CLICK, _OUTPUT = COLUMNS = ("video", "mask", "box", "click", "output")
_BETWEEN_MASKS = ";"
_NO_MASK_CODE = 3


@dataclass(frozen=True, slots=True)
class Job:
    """A video of a batch.

    Attributes:
        source: The video, or a folder of images.
        masks: As ``segment_video`` takes them.
        name: Its folder inside the batch's output, with ``/`` between the parts; empty for the
            video's own name.
        settings: How to segment it; ``None`` for the batch's settings.
        boxes: In place of masks: boxes as ``--box`` takes them.
        clicks: Likewise, as ``--click`` takes them.
        options: Further columns of its row, by the option's name, as they are written there.
        where: The file and line of its row.
        fault: Why it cannot be run, or ``None``.
    """

    source: Path
    masks: tuple[str, ...] = ()
    name: str = ""
    settings: SegmentSettings | None = None
    boxes: tuple[str, ...] = ()
    clicks: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    where: str = ""
    fault: Fault | None = None


def read_jobs(path: Path, options: Collection[str], out: Path) -> list[Job]:
    """Read JOBS.

    Args:
        path: A folder, or a file that ends in ``.csv`` or ``.jsonl``.
        options: Names of options that may be columns.
        out: The batch's output folder, which is not searched.

    Returns:
        The jobs, each with a name of its own.

    Raises:
        ConfigError: A column is unknown, or two jobs would write to one folder.
        InputError: JOBS is missing, is no such file, or has no video.
    """
    if path.is_dir():
        jobs = _search(path, out)
    elif path.suffix.lower() == ".csv":
        jobs = _named([_job(path, *row) for row in _csv_rows(path, options)])
    elif path.suffix.lower() in (".jsonl", ".ndjson"):
        jobs = _named([_job(path, *row) for row in _json_rows(path, options)])
    else:
        raise InputError(
            f"{path}: {'no list of jobs' if path.exists() else 'not found'}",
            hint="give a folder of videos with their masks, or a file .csv or .jsonl",
        )
    if not jobs:
        hint = "a video clip.mp4 has its mask in clip.png, or its masks in clip_masks/"
        if path.is_dir():
            sets = (place for place in sorted(path.iterdir()) if (place / "JPEGImages").is_dir())
            hint = next((f"give a data set inside, such as {place}" for place in sets), hint)
        raise InputError(f"{path}: holds no video", hint=hint)
    return jobs


def check_names(jobs: Sequence[Job]) -> None:
    """Refuse names by which a job would write outside the batch's folder, or into another's.

    Raises:
        ConfigError: Naming both.
    """
    taken: dict[str, str] = {}
    for job in jobs:
        parts = PurePosixPath(job.name).parts
        source = f"{job.where}: {job.source}" if job.where else str(job.source)
        if not parts or job.name.startswith("/") or any(part.startswith(".") for part in parts):
            raise ConfigError(
                f"{source}: its output {job.name!r} is no folder inside the batch's",
                hint="give a name, or names with / between, that do not begin with a dot",
            )
        if job.name in taken:
            raise ConfigError(
                f"{source} and {taken[job.name]} would both be written to {job.name}",
                hint="give them an output each, in a column of that name",
            )
        taken[job.name] = source
    for name, source in taken.items():
        for parent in map(str, PurePosixPath(name).parents):
            if parent in taken:
                raise ConfigError(
                    f"{source} would be written to {name}, inside the folder of {taken[parent]}",
                    hint="give them an output each, in a column of that name",
                )


def _named(jobs: list[Job]) -> list[Job]:
    """Give a name to each that has none: that of the video, with its ending if need be."""
    stems = Counter(_stem(job.source) for job in jobs if not job.name)
    return [
        job
        if job.name
        else replace(
            job, name=job.source.name if stems[_stem(job.source)] > 1 else _stem(job.source)
        )
        for job in jobs
    ]


def default_names(jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs with names, as they get in a list without a column for them.

    Raises:
        ConfigError: As ``check_names``.
    """
    named = _named(list(jobs))
    check_names(named)
    return named


def _stem(source: Path) -> str:
    return source.name if source.is_dir() or source.suffix == "" else source.stem


def _text(path: Path) -> str:
    """Return what a list holds: UTF-8, or UTF-16 that says so, as Windows writes it.

    Raises:
        InputError: It cannot be read, or is in another encoding.
    """
    try:
        content = path.read_bytes()
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return content.decode("utf-16")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path}: line {line}: is not UTF-8 (byte {content[error.start]:#x})",
            hint="save the list as UTF-8; spreadsheets call it CSV UTF-8",
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def _csv_rows(path: Path, options: Collection[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of a CSV file, each with where it is.

    Cells are parted by commas, or by what the first line has in their place: spreadsheets in
    much of Europe write semicolons.
    """
    text = _text(path)
    first = text.partition("\n")[0]
    parted = next((mark for mark in ",;\t" if mark in first), ",")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=parted)
    columns: list[str] = []
    line = 1
    try:
        for row in reader:
            where, line = f"{path}: line {line}", reader.line_num + 1
            cells = [cell.strip() for cell in row]
            if not any(cells):  # Spreadsheets end with rows of empty cells.
                continue
            if not columns:
                columns = [_column(cell.lower()) for cell in cells]
                twice = [name for name, count in Counter(columns).items() if name and count > 1]
                if _VIDEO not in columns:
                    raise InputError(
                        f"{where}: there is no column {_VIDEO}",
                        hint=f"the first line names the columns: {_VIDEO}{parted}{_MASK}",
                    )
                if twice:
                    raise InputError(
                        f"{where}: there are two columns {twice[0]}", hint="remove or rename one"
                    )
                _check_columns(where, filter(None, columns), options)
                continue
            if any(cells[len(columns) :]):
                raise InputError(
                    f"{where}, cell {len(columns) + 1}: has more cells than columns",
                    hint=f'a cell with "{parted}" in it is put in quotes: "1{parted}2"',
                )
            for number, (name, cell) in enumerate(zip(columns, cells, strict=False), 1):
                if cell and not name:
                    raise InputError(
                        f"{where}, cell {number}: its column has no name",
                        hint="name it in the first line, or empty the cell",
                    )
            yield where, {n: c for n, c in zip(columns, cells, strict=False) if c}
    except csv.Error as error:
        raise InputError(
            f"{path}: line {line}: not a readable CSV row ({error})",
            hint="a cell in quotes ends with a quote, and a quote inside it is written twice",
        ) from error


def _json_rows(path: Path, options: Collection[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of a JSON Lines file, each with where it is."""
    for number, line in enumerate(_text(path).split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}: line {number}"
        hint = 'a line is an object: {"video": "a.mp4", "mask": "a.png"}'
        try:
            row = json.loads(line)
        except ValueError as error:
            column = getattr(error, "colno", 1)
            raise InputError(f"{where}, column {column}: not JSON ({error})", hint=hint) from error
        if not isinstance(row, dict):
            raise InputError(f"{where}: is no JSON object", hint=hint)
        given = {_column(k): v for k, v in row.items() if v is not None}
        _check_columns(where, given, options)
        yield where, given


def _column(name: str) -> str:
    return name.strip().replace("-", "_")


def _check_columns(where: str, names: Iterable[str], options: Collection[str]) -> None:
    """Refuse columns that nothing reads; ``where`` they are named.

    Raises:
        ConfigError: Naming the first.
    """
    for name in names:
        if name not in COLUMNS and name not in options:
            raise ConfigError(
                f"{where}: there is no column {name!r}",
                hint=f"columns are {', '.join(COLUMNS)}, and of the options of pcvos segment "
                f"{', '.join(sorted(options))}",
            )


def _job(path: Path, where: str, row: dict[str, Any]) -> Job:
    if _VIDEO not in row:
        raise InputError(
            f"{where} names no {_VIDEO}", hint=f"its column is called {_VIDEO}, and has a file"
        )
    masks = [_beside(path, value) for value in _values(row.pop(_MASK, ()))]
    boxes, clicks = _values(row.pop(_BOX, ())), _values(row.pop(_CLICK, ()))
    fault = None
    if bool(masks) == bool(boxes or clicks):
        fault = Fault(f"{where} must have a mask, or boxes and clicks", None, 2)
    return Job(
        source=_path(path, str(row.pop(_VIDEO))),
        masks=tuple(masks),
        name=_name(str(row.pop(_OUTPUT, ""))),
        boxes=boxes,
        clicks=clicks,
        options=row,
        where=where,
        fault=fault,
    )


def _values(cell: Any) -> tuple[str, ...]:
    """Return the values of a cell that may hold several."""
    if isinstance(cell, str):
        return tuple(value.strip() for value in cell.split(_BETWEEN_MASKS) if value.strip())
    return tuple(map(str, cell if isinstance(cell, (list, tuple)) else (cell,)))


def _path(file: Path, text: str) -> Path:
    """Return a path that is relative to the list's folder, also as Windows writes it."""
    path = file.parent / text
    turned = file.parent / text.replace("\\", "/")
    return turned if turned.exists() and not path.exists() else path


def _name(text: str) -> str:
    """Return an output in the one way to write it."""
    return PurePosixPath(text.replace("\\", "/")).as_posix() if text else ""


def _beside(file: Path, value: str) -> str:
    """Return a value of ``--mask`` with its path relative to the list's folder."""
    frame, equals, rest = value.partition("=")
    if equals and not (file.parent / value).exists():
        return f"{frame}={_path(file, rest)}"
    return str(_path(file, value))


def _search(folder: Path, out: Path) -> list[Job]:
    """Find videos and folders of images with their masks, in natural order."""
    if (folder / "JPEGImages").is_dir() and (folder / "Annotations").is_dir():
        return _dataset(folder)
    found: list[Job] = []
    for place in _folders(folder, out.resolve()):
        for entry in sorted(place.iterdir(), key=natural_key):
            is_video = entry.suffix.lower() in VIDEO_SUFFIXES and entry.is_file()
            if entry.name.startswith(".") or not (is_video or entry.is_dir()):
                continue
            mask = _mask_of(entry)
            if mask is None and not is_video:
                continue  # Any folder.
            name = entry.relative_to(folder).with_suffix("" if is_video else entry.suffix)
            found.append(_found(entry, mask, name.as_posix()))
    counts = Counter(job.name for job in found)
    return [
        replace(job, name=job.source.relative_to(folder).as_posix())
        if counts[job.name] > 1
        else job
        for job in found
    ]


def _found(source: Path, mask: Path | None, name: str) -> Job:
    if mask is not None:
        return Job(source, (str(mask),), name)
    expected = source.with_name(f"{source.stem}.png"), source.with_name(f"{source.stem}_masks")
    fault = Fault(
        f"{source}: has no mask",
        f"add {expected[0].name} (of its first frame), or {expected[1].name}/ with masks named "
        "by frame",
        _NO_MASK_CODE,
    )
    return Job(source, (), name, fault=fault)


def _folders(top: Path, out: Path) -> Iterator[Path]:
    """Yield a folder and those inside, but for results, masks and images of a video."""
    yield top
    for folder in sorted((p for p in top.iterdir() if p.is_dir()), key=natural_key):
        if folder.name.startswith(".") or folder.resolve() == out:
            continue
        if (folder / REPORT).exists() or (folder / LEDGER).exists():
            continue
        if _mask_of(folder) is not None or folder.name.endswith("_masks"):
            continue
        yield from _folders(folder, out)


def _mask_of(source: Path) -> Path | None:
    """Return ``clip.png`` or ``clip_masks/`` beside a video or a folder of images."""
    stem = source.name if source.is_dir() else source.stem
    picture, folder = source.with_name(f"{stem}.png"), source.with_name(f"{stem}_masks")
    if picture.is_file():
        return picture
    # pcvos segment calls its results so, too; those are in folders inside.
    return folder if folder.is_dir() and image_files(folder) else None


def _dataset(folder: Path) -> list[Job]:
    """Find the sequences of DAVIS or YouTube-VOS: ``JPEGImages/[480p/]bear`` and its masks.

    Where every frame has a mask (DAVIS), the first one counts, as in its benchmark; else all.
    """
    images, masks = folder / "JPEGImages", folder / "Annotations"
    if not any(image_files(place) for place in images.iterdir() if place.is_dir()):
        sizes = sorted(p.name for p in images.iterdir() if (masks / p.name).is_dir())
        if not sizes:
            return []
        size = "480p" if "480p" in sizes else sizes[0]
        images, masks = images / size, masks / size
    found = []
    for sequence in sorted((p for p in images.iterdir() if p.is_dir()), key=natural_key):
        frames = image_files(sequence)
        if not frames:
            continue
        given = masks / sequence.name
        stated = image_files(given) if given.is_dir() else []
        mask: Path | None = given if stated else None
        if len(stated) >= len(frames):
            mask = stated[0]
        found.append(_found(sequence, mask, sequence.name))
    return found
