"""Followers of a training, and its final report."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.data.sample import Problem
from model.training.step import StepResult
from model.training.validation import ValidationScore


class TrainReporter:
    """A follower of a training that says nothing. Called by the leading process alone."""

    def started(self, step: int, steps: int) -> None:
        """The training begins, or goes on, after ``step`` of ``steps``."""

    def stepped(self, step: int, result: StepResult) -> None:
        """``step`` steps are done."""

    def logged(self, line: Mapping[str, Any]) -> None:
        """A line went to ``metrics.jsonl``."""

    def pictured(self, step: int, picture: NDArray[np.uint8]) -> None:
        """Samples and predictions were drawn, ``(H, W, 3)`` RGB."""

    def validated(self, step: int, score: ValidationScore, best: bool) -> None:
        """The network was scored."""

    def skipped(self, problem: Problem) -> None:
        """An item of the data could not be used; each is told once."""


@dataclass(frozen=True, slots=True)
class FitReport:
    """How a training ended.

    Attributes:
        step: Steps done.
        finished: All steps are done; otherwise it was stopped and can be resumed.
        seconds: Spent in training, all pieces together.
        best_score: Best validation, or ``None``.
        stage_seconds: Seconds by stage of this piece.
        steps_here: Steps of this piece.
        skipped: Items of the data that could not be used, in this piece.
    """

    step: int
    finished: bool
    seconds: float
    best_score: float | None
    stage_seconds: dict[str, float]
    steps_here: int
    skipped: int
