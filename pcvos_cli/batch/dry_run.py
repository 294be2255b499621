"""What a batch would do: every job checked, the first ones timed, nothing written."""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from pcvos_cli.batch.engine import Ended, Engine, Fault, TaskProgress, run_tasks
from pcvos_cli.batch.ledger import read_rows
from pcvos_cli.batch.run import finished
from pcvos_cli.batch.work import Assignment, plan_job, segment_into
from pcvos_cli.run.plan import RunPlan

SAMPLE_SECONDS = 20.0
"""A sample ends after so many seconds, or after two clips."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What would become of a job.

    Attributes:
        assignment: The job.
        plan: What it would do; ``None`` where it is complete, or fails.
        fault: Why it would fail, or ``None``.
        seconds: How long it would take a worker; ``None`` where nobody knows.
    """

    assignment: Assignment
    plan: RunPlan | None
    fault: Fault | None = None
    seconds: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON-able values."""
        fault = self.fault
        return {
            "job": self.assignment.job.name,
            "input": str(self.assignment.job.source),
            "state": self.state,
            "plan": None if self.plan is None else asdict(self.plan),
            "exit_code": 0 if fault is None else fault.exit_code,
            "error": None if fault is None else fault.message,
            "seconds": self.seconds,
        }

    @property
    def state(self) -> str:
        """``complete``, ``resume``, ``run`` or ``fails``."""
        if self.fault is not None:
            return "fails"
        if self.plan is None:
            return "complete"
        return "run" if self.plan.resume_at is None else "resume"


def forecast(engine: Engine, tasks: Sequence[Assignment], out: Path) -> list[Forecast]:
    """Check all jobs in the workers, then time the first ones, one a worker.

    Args:
        engine: The workers.
        tasks: The jobs.
        out: The batch's folder, which may hold an unfinished batch.
    """
    rows = read_rows(out)
    found: dict[int, Forecast] = {}
    left = []
    for number, task in enumerate(tasks):
        if task.job.fault is not None:
            found[number] = Forecast(task, None, task.job.fault)
        elif finished(task, rows.get(task.job.name)) is not None:
            found[number] = Forecast(task, None)
        else:
            left.append(number)
    for ended in _ends(engine, plan_job, [tasks[number] for number in left]):
        number = left[ended.number]
        found[number] = Forecast(tasks[number], ended.value, ended.fault)
    ahead = [found[number] for number in left if found[number].plan is not None]
    rate = _rate(engine, ahead[: engine.workers])
    return [_timed(found[number], rate) for number in range(len(tasks))]


def _timed(expected: Forecast, rate: float | None) -> Forecast:
    plan = expected.plan
    if plan is None or rate is None or plan.frames is None:
        return expected
    seconds = rate * plan.frames * _pixels(plan)
    return Forecast(expected.assignment, plan, None, seconds)


def _pixels(plan: RunPlan) -> int:
    return plan.working_size[0] * plan.working_size[1]


def _rate(engine: Engine, ahead: Sequence[Forecast]) -> float | None:
    """Return a worker's seconds a frame and pixel, while the others are as busy."""
    samples = [expected.assignment for expected in ahead]
    rates = [
        ended.value / _pixels(plan)
        for ended in _ends(engine, time_job, samples)
        if ended.value is not None and (plan := ahead[ended.number].plan) is not None
    ]
    return median(rates) if rates else None


def _ends(engine: Engine, function: Any, tasks: Sequence[Assignment]) -> Iterator[Ended]:
    for event in run_tasks(engine, function, tasks):
        if isinstance(event, Ended):
            yield event


class _EnoughError(Exception):
    """A sample is long enough."""


class _Watch:
    """Times frames from the first one on, and ends the run after some."""

    def __init__(self, most: int) -> None:
        self._most, self._count = most, 0
        self._first = self._last = time.perf_counter()

    def expect(self, frames: int | None) -> None:
        """Need not know."""

    def advance(self, frames: int) -> None:
        self._last = time.perf_counter()
        if self._count == 0:
            self._first = self._last
        self._count += frames
        if self._count > self._most or self._last - self._first > SAMPLE_SECONDS:
            raise _EnoughError

    @property
    def seconds_a_frame(self) -> float | None:
        return (self._last - self._first) / (self._count - 1) if self._count > 1 else None


def time_job(assignment: Assignment, _progress: TaskProgress) -> float | None:
    """Segment the beginning of a job's video into a folder that is deleted.

    Returns:
        Seconds a frame, or ``None`` where there are too few.

    Raises:
        PCVOSError: As ``segment_video``.
    """
    watch = _Watch(2 * assignment.settings.inference.interval)
    with TemporaryDirectory(prefix="pcvos-") as folder, suppress(_EnoughError):
        segment_into(assignment, Path(folder) / "sample", watch)
    return watch.seconds_a_frame
