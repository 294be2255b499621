"""J and F of every frame and object of a folder of predictions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.errors import InputError, MaskError
from model.metrics.contour import contour_accuracy, window_of
from model.metrics.region import region_similarity
from model.metrics.summary import ObjectScore, summarise_object
from pcvos_cli.masks.label_files import VOID, LabelMap, label_values, read_labels
from pcvos_cli.run.output_folder import MASKS, RLE
from pcvos_cli.scoring.layouts import TruthDataset, TruthSequence, prediction_folder
from pcvos_cli.scoring.parallel import parallel_map


@dataclass(frozen=True, slots=True)
class FrameTask:
    """One true mask and its prediction."""

    truth: Path
    prediction: Path
    merged: bool


@dataclass(frozen=True, slots=True)
class FrameScore:
    """Scores of one pair of masks.

    Attributes:
        size: ``(height, width)``.
        truth_ids: Ids in the true mask, ascending, without void.
        predicted_ids: Ids in the prediction, ascending.
        values: ``(J, F)`` of every id in either.
    """

    size: tuple[int, int]
    truth_ids: tuple[int, ...]
    predicted_ids: tuple[int, ...]
    values: dict[int, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class ObjectSeries:
    """An object over time.

    Attributes:
        positions: Where it counts, as positions in ``TruthSequence.frames``.
        J: One value for each position.
        F: Likewise.
    """

    positions: tuple[int, ...]
    J: tuple[float, ...]
    F: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SequenceSeries:
    """A sequence over time: its objects by id, and the size of its masks."""

    sequence: TruthSequence
    size: tuple[int, int]
    objects: dict[int, ObjectSeries]

    def scores(self) -> list[ObjectScore]:
        """Return the summary of each object."""
        return [
            summarise_object(self.sequence.name, k, series.J, series.F)
            for k, series in self.objects.items()
        ]

    def frame_means(self) -> dict[int, float]:
        """Return the mean J over the objects that count, for each position."""
        values: dict[int, list[float]] = {}
        for series in self.objects.values():
            for position, value in zip(series.positions, series.J, strict=True):
                values.setdefault(position, []).append(value)
        return {position: float(np.mean(values[position])) for position in sorted(values)}


def score_dataset(
    dataset: TruthDataset,
    predictions: Path,
    *,
    jobs: int,
    on_start: Callable[[int], None] = lambda _: None,
    on_frames: Callable[[int], None] = lambda _: None,
) -> list[SequenceSeries]:
    """Score a folder of predictions, frame by frame on ``jobs`` processes.

    Args:
        dataset: With a true mask for every frame.
        predictions: ``<sequence>/<frame>.png``; for a data set of one folder the masks may
            lie in ``predictions`` itself.
        jobs: Processes; each holds one pair of masks at a time.
        on_start: Called with the number of frames once the processes run. Begin a bar
            here and not before: its thread would make starting them slow.
        on_frames: Called with the number of frames that were finished.

    Raises:
        InputError: If a prediction or a sequence is missing or unreadable, or if no frame
            is left to score.
        MaskError: If sizes differ or a prediction holds an id that the truth does not.
    """
    tasks: list[FrameTask] = []
    for sequence in dataset.sequences:
        folder = prediction_folder(dataset, sequence, predictions)
        _require_all(sequence, folder)
        tasks += [
            FrameTask(sequence.mask(i), folder / f"{stem}.png", sequence.merged)
            for i, stem in enumerate(sequence.frames)
        ]
    series = []
    with parallel_map(score_frame, tasks, jobs) as results:
        on_start(len(tasks))
        for sequence in dataset.sequences:
            frames = []
            for _ in sequence.frames:
                frames.append(next(results))
                on_frames(1)
            folder = prediction_folder(dataset, sequence, predictions)
            series.append(_assemble(dataset, sequence, folder, frames))
    return series


def read_pair(task: FrameTask) -> tuple[LabelMap, LabelMap]:
    """Return the true mask and the prediction as they are compared, ``(H, W)`` ids.

    Raises:
        InputError: If a mask cannot be read.
        MaskError: If the sizes differ, or a mask of one object holds several.
    """
    return _interpret(task, *_read(task))


def score_frame(task: FrameTask) -> FrameScore:
    """Score all objects of one frame.

    Raises:
        InputError: If a mask cannot be read.
        MaskError: If the sizes differ, or a mask of one object holds several.
    """
    truth, prediction = _read(task)
    size = (truth.shape[0], truth.shape[1])
    # Most of a frame is background in both masks and adds nothing to J or F.
    window = window_of(((truth | prediction) != 0).view(np.uint8))
    truth, prediction = _interpret(task, truth[window], prediction[window])
    truth_ids, predicted_ids = label_values(truth), label_values(prediction)
    values = {}
    for k in sorted({*truth_ids, *predicted_ids}):
        a, b = prediction == k, truth == k
        values[k] = (region_similarity(a, b), contour_accuracy(a, b, frame_size=size))
    return FrameScore(size, truth_ids, predicted_ids, values)


def _read(task: FrameTask) -> tuple[LabelMap, LabelMap]:
    truth, prediction = read_labels(task.truth), read_labels(task.prediction)
    if truth.shape != prediction.shape:
        raise MaskError(
            f"{task.prediction}: {_text(prediction.shape)}, but the true mask is"
            f" {_text(truth.shape)}",
            hint="write masks at the size of the data set's masks",
        )
    return truth, prediction


def _interpret(task: FrameTask, truth: LabelMap, prediction: LabelMap) -> tuple[LabelMap, LabelMap]:
    """Apply the rules on values: one object or several, void, and 255 for id 1."""
    if task.merged:
        return (truth > 0).view(np.uint8), _one_object(prediction, task.prediction)
    if truth.dtype == np.uint8 and truth.max() == VOID:
        truth = truth * (truth != VOID)
    if prediction.max() == VOID and (
        label_values(prediction) == (VOID,) and set(label_values(truth)) <= {1}
    ):
        # A mask of only 0 and 255 is id 1.
        prediction = (prediction > 0).view(np.uint8)
    return truth, prediction


def _one_object(prediction: LabelMap, path: Path) -> LabelMap:
    values = label_values(prediction)
    if values not in ((), (1,), (VOID,)):
        shown = ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")
        raise MaskError(
            f"{path}: holds {shown}, but the true masks hold one object",
            hint="a mask of one object is 0 and 255, or 0 and 1",
        )
    return (prediction > 0).view(np.uint8)


def _require_all(sequence: TruthSequence, folder: Path) -> None:
    """Raise InputError unless there is a prediction for every labelled frame."""
    if not folder.is_dir():
        raise InputError(
            f"{folder}: no such folder; the predictions of {sequence.name} are missing",
            hint="predictions lie in one folder a sequence, <sequence>/<frame>.png",
        )
    there = {path.name for path in folder.iterdir()}
    missing = [stem for stem in sequence.frames if f"{stem}.png" not in there]
    if missing:
        raise InputError(
            f"{folder}: {len(missing)} of {len(sequence.frames)} masks are missing,"
            f" the first is {missing[0]}.png",
            hint=f"convert {folder / RLE} first: pcvos convert {folder} --to davis "
            f"-o {folder / MASKS}"
            if (folder / RLE).is_file()
            else "write a mask for every frame, also where nothing is seen",
        )


def _assemble(
    dataset: TruthDataset, sequence: TruthSequence, folder: Path, frames: Sequence[FrameScore]
) -> SequenceSeries:
    """Turn the scores of a sequence's frames into one series an object."""
    counted = _counted(dataset, sequence, frames)
    known = set(counted) if sequence.listed is None else set(sequence.listed)
    for stem, frame in zip(sequence.frames, frames, strict=True):
        extra = sorted(set(frame.predicted_ids) - known)
        if extra:
            raise MaskError(
                f"{folder / stem}.png: id {extra[0]} is not an object of {sequence.name}"
                f" (they are {', '.join(map(str, sorted(known)))})",
                hint="predictions keep the ids of the true masks",
            )
    sizes = {frame.size for frame in frames}
    if len(sizes) > 1:
        raise MaskError(f"{sequence.masks}: true masks of {len(sizes)} sizes in one sequence")
    objects = {}
    for k, positions in counted.items():
        # An id in neither mask is a frame without the object, rightly left empty.
        pairs = [frames[i].values.get(k, (1.0, 1.0)) for i in positions]
        if pairs:
            objects[k] = ObjectSeries(
                tuple(positions), tuple(j for j, _ in pairs), tuple(f for _, f in pairs)
            )
    if not objects:
        raise InputError(
            f"{sequence.masks}: {len(frames)} true masks leave no frame to score",
            hint="--frames all keeps the first and the last frame"
            if dataset.frames == "inner" and dataset.name != "youtubevos"
            else None,
        )
    return SequenceSeries(sequence, frames[0].size, objects)


def _counted(
    dataset: TruthDataset, sequence: TruthSequence, frames: Sequence[FrameScore]
) -> dict[int, list[int]]:
    """Return for each object the positions of the frames where it counts."""
    if sequence.listed is not None:
        return {k: list(positions[1:]) for k, positions in sequence.listed.items()}
    inner = dataset.frames == "inner"
    positions = range(len(frames))[1:-1] if inner else range(len(frames))
    if dataset.ids_of_first_frame:
        largest = max(frames[0].truth_ids, default=0)
        if largest == 0:
            raise MaskError(f"{sequence.mask(0)}: no object in the first true mask")
        return {k: list(positions) for k in range(1, largest + 1)}
    first: dict[int, int] = {}
    for i, frame in enumerate(frames):
        for k in frame.truth_ids:
            first.setdefault(k, i)
    if not first:
        raise MaskError(f"{sequence.masks}: no object in any true mask")
    return {k: [i for i in positions if i >= first[k] + inner] for k in sorted(first)}


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
