"""Segmenting a data set from its first labels, so that it can be scored.

Resumable by sequence: a sequence's folder appears when it is whole, and is kept by the
next run with the same settings.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from model.errors import InputError, MaskError, OutputError
from pcvos_cli.batch.engine import (
    Advanced,
    CountedProgress,
    Ended,
    Started,
    TaskProgress,
    run_tasks,
)
from pcvos_cli.batch.processes import Processes, available_cores, divide
from pcvos_cli.files import locked, output_errors, write_text, write_whole
from pcvos_cli.masks.label_files import VOID, label_values, read_labels
from pcvos_cli.masks.writers import encode_palette_png
from pcvos_cli.run.output_folder import MASKS
from pcvos_cli.run.pipeline import segment_video
from pcvos_cli.run.resume import differences
from pcvos_cli.run.settings import SegmentSettings
from pcvos_cli.scoring.layouts import TruthDataset, TruthSequence
from pcvos_cli.weights_store import read_weights

SETTINGS = "evaluation.json"
"""Says what made the predictions of a folder, so that two runs are never mixed."""

WORK = ".unfinished"


def segment_dataset(
    dataset: TruthDataset,
    output: Path,
    settings: SegmentSettings,
    *,
    overwrite: bool,
    workers: int | None = None,
    on_sequence: Callable[[str, int, int], None],
    on_frames: Callable[[int], None],
) -> dict[str, Any]:
    """Segment every sequence from the first label of each object, several side by side.

    Args:
        dataset: With images. Of its masks only the first label of each object is read.
        output: Receives ``<sequence>/<frame>.png``, a mask for every frame.
        settings: How to segment; formats and overwriting are set here.
        overwrite: Begin anew where the folder holds predictions of other settings.
        workers: How many at once; ``None`` for what cores, memory and GPUs allow.
        on_sequence: Called with name, number and count before each sequence.
        on_frames: Called with the number of frames that were finished.

    Returns:
        What made the predictions, for the protocol.

    Raises:
        ConfigError: If the data set has no images, or a setting is wrong.
        MaskError: If a sequence has no object.
        OutputError: If the folder is in use, holds predictions of other settings, or
            cannot be written.
    """
    dataset.check_images()
    made_by = describe_making(dataset, settings)
    settings = replace(settings, formats=("png",), overwrite=True)
    with output_errors(output), locked(output):
        _claim(dataset, output, made_by, overwrite=overwrite)
        # Threads decide the last digit, so they depend neither on the memory that happens
        # to be free nor on how many sequences are left.
        count, cores = len(dataset.sequences), available_cores()
        settings = replace(settings, threads=settings.threads or cores // max(1, min(cores, count)))
        left = [
            _Task(number, sequence, output, settings)
            for number, sequence in enumerate(dataset.sequences, 1)
            if not (output / sequence.name).is_dir()
        ]
        _segment_all(left, count, settings, workers, on_sequence, on_frames)
        shutil.rmtree(output / WORK, ignore_errors=True)
    return made_by


def write_references(sequence: TruthSequence, folder: Path) -> None:
    """Write each object's first label, and nothing else of the truth, as masks by frame.

    An object enters on the first frame that labels it; on that frame other objects are
    left out, since a reference mask would correct them.

    Raises:
        MaskError: If no frame labels an object.
    """
    folder.mkdir(parents=True, exist_ok=True)
    known: set[int] = set()
    for position, entering in _entries(sequence):
        path = sequence.mask(position)
        if not path.exists():
            raise InputError(f"{path}: missing, but objects begin on this frame")
        labels = read_labels(path)
        if sequence.merged:
            labels = (labels > 0).view(np.uint8)
        present = {k for k in label_values(labels) if k != VOID}
        new = present - known if entering is None else present & entering
        if new:
            kept = np.where(np.isin(labels, sorted(new)), labels, 0).astype(np.uint8)
            write_whole(folder / f"{sequence.frames[position]}.png", encode_palette_png(kept))
        known |= new
    if not known:
        raise MaskError(f"{sequence.masks}: no object in any first label")


def _entries(sequence: TruthSequence) -> list[tuple[int, set[int] | None]]:
    """Return the positions where objects enter, with their ids where a list says so."""
    if sequence.listed is None:
        # As the data sets without lists are defined: all objects are there from the start.
        return [(0, None)]
    entering: dict[int, set[int]] = {}
    for k, positions in sequence.listed.items():
        entering.setdefault(positions[0], set()).add(k)
    return [(position, entering[position]) for position in sorted(entering)]


@dataclass(frozen=True, slots=True)
class _Task:
    """A sequence as a worker gets it: its number in the data set, where its masks go, and how."""

    number: int
    sequence: TruthSequence
    output: Path
    settings: SegmentSettings


def _segment_all(
    tasks: Sequence[_Task],
    count: int,
    settings: SegmentSettings,
    workers: int | None,
    on_sequence: Callable[[str, int, int], None],
    on_frames: Callable[[int], None],
) -> None:
    """Segment sequences in the workers of a batch, or in this process if one is enough.

    Raises:
        PCVOSError: Of the first that fails; the others are broken off.
    """
    gpu = settings.device in ("auto", "cuda")
    share = divide(len(tasks), workers=workers, threads=settings.threads, gpu=gpu)
    if share.workers == 1:
        for task in tasks:
            on_sequence(task.sequence.name, task.number, count)
            _segment(task, CountedProgress(on_frames))
        return
    with Processes(share) as engine:
        for event in run_tasks(engine, _segment, tasks):
            match event:
                case Started(place, _):
                    on_sequence(tasks[place].sequence.name, tasks[place].number, count)
                case Advanced(_, frames):
                    on_frames(frames)
                case Ended(fault=fault) if fault is not None:
                    raise fault.error()


def _segment(task: _Task, progress: TaskProgress) -> None:
    sequence, output = task.sequence, task.output
    assert sequence.images is not None
    work = output / WORK / sequence.name
    shutil.rmtree(work, ignore_errors=True)
    references = work / "references"
    write_references(sequence, references)
    segment_video(
        _all_frames(sequence.images),
        [references],
        work / "run",
        task.settings,
        on_frames=progress.advance,
    )
    (work / "run" / MASKS).replace(output / sequence.name)
    shutil.rmtree(work)


def _all_frames(images: Path) -> Path:
    """Return the 30 fps frames of a YouTube-VOS video where they are there."""
    split = images.parents[1]
    dense = split.parent / "all_frames" / f"{split.name}_all_frames" / "JPEGImages" / images.name
    return dense if dense.is_dir() else images


def _claim(
    dataset: TruthDataset, output: Path, made_by: dict[str, Any], *, overwrite: bool
) -> None:
    """Mark the folder as made with these settings, or refuse it."""
    path = output / SETTINGS
    folders = [
        p for p in output.iterdir() if p.is_dir() and p.name != WORK and not p.name.startswith(".")
    ]
    before = read_making(output)
    if folders and not makes_the_same(before, made_by):
        if not path.is_file():
            raise OutputError(
                f"{output}: holds folders that pcvos evaluate did not make",
                hint="choose another folder with --output",
            )
        if not overwrite:
            different = differences(before, made_by) if isinstance(before, dict) else []
            which = f": {', '.join(different[:3])}" if different else ""
            raise OutputError(
                f"{output}: holds masks that were made with other settings{which}",
                hint="choose another folder with --output, or pass --overwrite",
            )
        for sequence in dataset.sequences:
            if (output / sequence.name).is_dir():
                shutil.rmtree(output / sequence.name)
    write_text(path, json.dumps(made_by, indent=2, sort_keys=True) + "\n")


def read_making(folder: Path) -> Any:
    """Return what made the predictions of a folder, or ``None`` if it does not say."""
    try:
        return json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def describe_making(dataset: TruthDataset, settings: SegmentSettings) -> dict[str, Any]:
    """Return what decides the predictions, as plain JSON values.

    Raises:
        ConfigError: If the model is unknown.
        WeightsError: If there are no weights.
    """
    (_, name), checkpoint = read_weights(settings.weights, settings.model)
    return {
        "dataset": dataset.name,
        "split": dataset.split,
        "weights": name,
        "weights_sha256": checkpoint.sha256,
        "short_edge": settings.size,
        **asdict(settings.inference.for_model(checkpoint.config)),
        **({"amp": True} if settings.amp else {}),
        **({"engine": settings.engine} if settings.engine != "auto" else {}),
    }


def makes_the_same(a: Any, b: Any) -> bool:
    """Tell whether two descriptions of ``describe_making`` are of the same masks.

    The name of the weights does not matter, since their hash is there; nor does progressive
    matching where a clip ends before it would begin (``F >= L``).
    """
    return isinstance(a, dict) and isinstance(b, dict) and _deciding(a) == _deciding(b)


def _deciding(making: dict[str, Any]) -> dict[str, Any]:
    values = {name: value for name, value in making.items() if name != "weights"}
    within, clip = values.get("progressive_interval"), values.get("interval")
    never = isinstance(within, int) and isinstance(clip, int) and within >= clip
    if never or not values.get("progressive", True):
        values |= {"progressive": False, "progressive_interval": None}
    return values
