"""From one number a frame to the numbers of a table: mean, recall and decay."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

RECALL_THRESHOLD = 0.5
"""A frame counts as found when its score is above this."""

DECAY_BINS = 4
"""Decay compares the first of this many parts of a sequence with the last."""


@dataclass(frozen=True, slots=True)
class MeasureSummary:
    """One measure, J or F, over the frames of an object or over objects.

    Attributes:
        mean: In [0, 1].
        recall: Share of frames above 0.5.
        decay: Mean of the first quarter of the frames minus that of the last, in [-1, 1];
            positive when quality is lost over time.
    """

    mean: float
    recall: float
    decay: float


@dataclass(frozen=True, slots=True)
class ObjectScore:
    """The scores of one object of one sequence."""

    sequence: str
    object_id: int
    J: MeasureSummary
    F: MeasureSummary

    @property
    def name(self) -> str:
        """``<sequence>_<object id>``, as the DAVIS 2017 scorer calls it."""
        return f"{self.sequence}_{self.object_id}"


@dataclass(frozen=True, slots=True)
class GroupScore:
    """The scores of several objects: every object weighs the same, however long its video.

    Attributes:
        J: Means over the objects of their mean, recall and decay of region similarity.
        F: The same of contour accuracy.
        objects: How many objects.
    """

    J: MeasureSummary
    F: MeasureSummary
    objects: int

    @property
    def JF_mean(self) -> float:  # noqa: N802
        """J&F: the mean of the two means."""
        return (self.J.mean + self.F.mean) / 2


def summarise_frames(values: ArrayLike) -> MeasureSummary:
    """Return mean, recall and decay of one object's scores.

    The quarters of the decay share their edges: ``round(linspace(1, n, 5) + 1e-10) - 1``,
    ends inclusive, as in the DAVIS scorers. (The 2017 scorer stores these edges in 8 bits,
    which goes wrong beyond 256 frames; here they are exact.)

    Args:
        values: ``(n,)`` scores in the order of the frames, in [0, 1].

    Raises:
        ValueError: If there is no score or one is not finite.
    """
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1 or scores.size == 0 or not np.isfinite(scores).all():
        raise ValueError(f"need one finite score a frame, got an array of {scores.shape}")
    edges = np.round(np.linspace(1, scores.size, DECAY_BINS + 1) + 1e-10).astype(np.int64) - 1
    first = scores[edges[0] : edges[1] + 1].mean()
    last = scores[edges[-2] : edges[-1] + 1].mean()
    return MeasureSummary(
        mean=float(scores.mean()),
        recall=float((scores > RECALL_THRESHOLD).mean()),
        decay=float(first - last),
    )


def summarise_object(
    sequence: str, object_id: int, region: ArrayLike, contour: ArrayLike
) -> ObjectScore:
    """Return the scores of one object from the ``(n,)`` J and F of its frames.

    Raises:
        ValueError: If a score is missing or not finite.
    """
    return ObjectScore(sequence, object_id, summarise_frames(region), summarise_frames(contour))


def summarise_objects(objects: Sequence[ObjectScore]) -> GroupScore:
    """Return the score of a sequence, of a group of objects or of a whole data set.

    Raises:
        ValueError: If there are no objects.
    """
    if not objects:
        raise ValueError("no objects to summarise")
    return GroupScore(
        J=_mean_of([score.J for score in objects]),
        F=_mean_of([score.F for score in objects]),
        objects=len(objects),
    )


def _mean_of(summaries: Sequence[MeasureSummary]) -> MeasureSummary:
    """Return the mean of every field."""
    table = np.array([(s.mean, s.recall, s.decay) for s in summaries])
    return MeasureSummary(*(float(value) for value in table.mean(0)))
