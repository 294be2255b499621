"""From masks in one format to masks in another: read, write, nothing segmented."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np

from model.errors import MaskError, OutputError
from pcvos_cli.convert.writers import (
    BinaryWriter,
    CocoWriter,
    CvatWriter,
    LabelmeWriter,
    MotsWriter,
    YoutubeVisWriter,
    is_from_pcvos,
)
from pcvos_cli.files import (
    check_reachable,
    make_directory,
    output_errors,
    refuse_existing,
    temporary,
)
from pcvos_cli.labels.sources import LabelSequence, open_labels
from pcvos_cli.masks.label_files import MOTS_BASE, VOID
from pcvos_cli.masks.writers import FrameMasks, MaskWriter, PaletteWriter

Target = Literal["youtube-vis", "coco", "labelme", "cvat", "mots", "binary", "davis"]
JSON_TARGETS = ("youtube-vis", "coco", "cvat")
"""Targets that are one file; the others are a folder."""


@dataclass(frozen=True, slots=True)
class ConversionSettings:
    """How masks are converted.

    Attributes:
        target: The format.
        overwrite: Replace an older result.
        fps: Frame rate of masks without timestamps (``youtube-vis``).
        class_id: Class of all objects (``mots``), 1 to 64.
        suffix: Ending of the frames' files (``coco``, ``labelme``).
        categories: Pairs of an object's id and the name of its class (``youtube-vis``,
            ``coco``, ``labelme``, ``cvat``); they go before the source's own.
    """

    target: Target
    overwrite: bool = False
    fps: Fraction = Fraction(24)
    class_id: int = 1
    suffix: str = ".jpg"
    categories: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ConversionReport:
    """The result of a conversion.

    Attributes:
        input: The file or folder that was read.
        kind: The format that it was taken for.
        output: The file or folder written.
        target: Its format.
        frames: Number of frames.
        size: ``(height, width)``.
        object_ids: All ids, ascending.
        notes: Decisions made on the way.
    """

    input: str
    kind: str
    output: str
    target: str
    frames: int
    size: tuple[int, int]
    object_ids: tuple[int, ...]
    notes: tuple[str, ...]


def convert_masks(
    source: Path,
    output: Path,
    settings: ConversionSettings,
    *,
    on_start: Callable[[int], None] | None = None,
    on_frames: Callable[[int], None] | None = None,
) -> ConversionReport:
    """Convert the masks of one video.

    One frame is held at a time. The output appears under its name when it is whole; a run
    that fails leaves nothing, and an older result as it was.

    Args:
        source: As ``open_labels``.
        output: A file for ``youtube-vis`` and ``coco``, a folder for the others.
        settings: The target and its options.
        on_start: Called once with the number of frames.
        on_frames: Called with the number of further frames done.

    Raises:
        InputError: As ``open_labels``.
        MaskError: As ``open_labels``, or the ids do not fit the target.
        OutputError: The output is refused or cannot be written.
    """
    check_output(output, settings)
    labels = open_labels(source)
    _check_inputs(output, labels)
    _check_ids(labels, settings)
    if on_start is not None:
        on_start(len(labels.names))
    if settings.target in JSON_TARGETS:
        _write(labels, _json_writer(output, source, labels, settings), on_frames)
    else:
        with _whole_folder(output) as folder:
            _write(labels, _folder_writer(folder, labels, settings), on_frames)
    return ConversionReport(
        input=str(source),
        kind=labels.kind,
        output=str(output),
        target=settings.target,
        frames=len(labels.names),
        size=labels.size,
        object_ids=labels.object_ids,
        notes=tuple(labels.notes),
    )


def _write(
    labels: LabelSequence, writer: MaskWriter, on_frames: Callable[[int], None] | None
) -> None:
    no_pixels = np.broadcast_to(np.uint8(0), (*labels.size, 3))  # these writers draw nothing
    try:
        for index, (name, ids) in enumerate(zip(labels.names, labels.read(), strict=True)):
            pts = index if labels.pts is None else labels.pts[index]
            writer.write(FrameMasks(index, name, pts, no_pixels, ids))
            if on_frames is not None:
                on_frames(1)
    except BaseException:
        writer.abort()
        raise
    writer.close()


def _json_writer(
    output: Path, source: Path, labels: LabelSequence, settings: ConversionSettings
) -> MaskWriter:
    categories = labels.categories | dict(settings.categories)
    if settings.target == "cvat":
        return CvatWriter(output, labels.size, categories=categories)
    if settings.target == "coco":
        return CocoWriter(
            output,
            labels.size,
            suffix=settings.suffix,
            object_ids=labels.object_ids,
            categories=categories,
        )
    return YoutubeVisWriter(
        output,
        labels.size,
        source=source.resolve().name,
        time_base=labels.time_base or 1 / settings.fps,
        settings={"converted_from": labels.kind},
        object_ids=labels.object_ids,
        categories=categories,
    )


def _folder_writer(folder: Path, labels: LabelSequence, settings: ConversionSettings) -> MaskWriter:
    if settings.target == "labelme":
        categories = labels.categories | dict(settings.categories)
        return LabelmeWriter(folder, suffix=settings.suffix, categories=categories)
    if settings.target == "mots":
        return MotsWriter(folder, class_id=settings.class_id)
    if settings.target == "binary":
        return BinaryWriter(folder, labels.object_ids)
    return PaletteWriter(folder)


def _check_ids(labels: LabelSequence, settings: ConversionSettings) -> None:
    """Refuse ids that the target cannot hold, before anything is written."""
    limits = {"davis": (VOID - 1, "255 is void there"), "mots": (MOTS_BASE - 1, "class * 1000")}
    limit, reason = limits.get(settings.target, (None, ""))
    largest = max(labels.object_ids, default=0)
    if limit is not None and largest > limit:
        raise MaskError(
            f"{labels.inputs[0]}: object id {largest} does not fit --to {settings.target}, which "
            f"holds 1 to {limit} ({reason})",
            hint="use --to youtube-vis, coco or binary, which hold any id",
        )


def check_output(output: Path, settings: ConversionSettings) -> None:
    """Refuse an output that must not be written, without touching it.

    Raises:
        OutputError: It exists and ``overwrite`` is off, is of the other kind (file, folder),
            or is a folder that holds anything but masks.
    """
    wants_file = settings.target in JSON_TARGETS
    check_reachable(output)
    if output.is_dir() and wants_file:
        raise OutputError(
            f"{output}: is a folder",
            hint=f"--to {settings.target} writes a file: name "
            f"one.{'xml' if settings.target == 'cvat' else 'json'}",
        )
    if output.is_file() and not wants_file:
        raise OutputError(f"{output}: is a file", hint=f"--to {settings.target} writes a folder")
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    refuse_existing(output, overwrite=settings.overwrite)
    if not wants_file:
        _refuse_foreign(output)


def _refuse_foreign(folder: Path) -> None:
    """Refuse to replace a folder that this command cannot have made."""
    for path in folder.rglob("*"):
        depth = len(path.relative_to(folder).parts)
        ours = path.suffix == ".png" or (path.suffix == ".json" and is_from_pcvos(path))
        if (path.is_dir() and depth > 1) or (path.is_file() and not ours):
            raise OutputError(
                f"{folder}: holds {path.relative_to(folder)}, which is no mask",
                hint="only folders of mask PNGs are replaced; choose another --out",
            )


def _check_inputs(output: Path, labels: LabelSequence) -> None:
    target = output.resolve()
    for path in labels.inputs:
        if target == path.resolve() or target in path.resolve().parents:
            raise OutputError(
                f"{output}: {path} is read by this run and would be replaced",
                hint="choose another --out",
            )


@contextmanager
def _whole_folder(output: Path) -> Iterator[Path]:
    """Yield a folder beside ``output`` that takes its name when the block has succeeded."""
    partial, old = temporary(output), output.with_name(f"{output.name}.old.tmp")
    make_directory(output.parent)
    for leftover in (partial, old):  # of a killed run
        if leftover.exists():
            _refuse_foreign(leftover)
            with output_errors(leftover):
                shutil.rmtree(leftover)
    with output_errors(partial):
        partial.mkdir()
    try:
        yield partial
        with output_errors(output):
            if output.exists():
                output.replace(old)
            partial.replace(output)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        if old.exists() and not output.exists():
            old.replace(output)
        raise
    shutil.rmtree(old, ignore_errors=True)
