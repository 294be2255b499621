"""A line a video while a batch runs: on a terminal a table that lives, elsewhere a log."""

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pcvos_cli import console
from pcvos_cli.batch.engine import Advanced, Event, Expected, Started
from pcvos_cli.batch.jobs import Job
from pcvos_cli.batch.run import Result

if TYPE_CHECKING:
    from rich.table import Table

LINES = 12
"""Finished and failed videos that stay on the screen, each."""


@dataclass(slots=True)
class _Running:
    job: Job
    worker: str
    since: float
    frames: int = 0
    expected: int | None = None

    def describe(self) -> tuple[str, str, str]:
        """Return its frames, its FPS and the time left, in words."""
        seconds = time.monotonic() - self.since
        fps = self.frames / seconds if seconds > 0 else 0.0
        of = "" if self.expected is None else f" of {self.expected}"
        left = ""
        if self.expected is not None and self.frames:
            left = console.duration(seconds * (self.expected - self.frames) / self.frames)
        return f"{self.frames}{of}", f"{fps:.1f}" if self.frames else "", left


class Board:
    """What is known of a batch in progress.

    Args:
        total: Number of jobs.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._running: dict[int, _Running] = {}
        self._finished: deque[Result] = deque(maxlen=LINES)
        self._failed: deque[Result] = deque(maxlen=LINES)
        self.done = self.failed = self.skipped = 0

    def note(self, job: Job, event: Event | None) -> None:
        """Take in what happened."""
        match event:
            case Started(number, worker):
                self._running[number] = _Running(job, worker, time.monotonic())
            case Expected(number, frames) if number in self._running:
                self._running[number].expected = frames
            case Advanced(number, frames) if number in self._running:
                self._running[number].frames += frames
            case None:
                pass
            case _:
                self._running.pop(event.number, None)

    def add(self, result: Result, *, drawn: bool) -> None:
        """Take in a job that ended; where nothing is drawn, say so in a line."""
        self.done += result.fault is None
        self.failed += result.fault is not None
        self.skipped += result.skipped
        (self._finished if result.fault is None else self._failed).append(result)
        if drawn or result.skipped:
            return
        place, name = f"[{self.done + self.failed}/{self._total}]", result.job.name
        if result.fault is None:
            row = result.row
            more = "".join(f"; {sign}" for sign in row["signs"][:1])
            console.note(f"{place} {name}: {row['frames']} frames, {row['fps']:.1f} FPS{more}")
        else:
            fault = result.fault
            console.warning(f"{place} {name}: failed (code {fault.exit_code}): {fault.message}")

    def table(self) -> "Table":
        """Return what is to be seen now."""
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("video", "state", "frames", "FPS", "left"):
            table.add_column(column, justify="left" if column in ("video", "state") else "right")
        for result in self._failed:
            fault = result.fault
            assert fault is not None
            state = Text(f"failed ({fault.exit_code}): {fault.message}", style="red")
            table.add_row(Text(result.job.name), state)
        for result in self._finished:
            row, state = result.row, Text("done", style="green")
            if row["signs"]:
                state = Text(f"done: {row['signs'][0]}", style="yellow")
            table.add_row(Text(result.job.name), state, str(row["frames"]), f"{row['fps']:.1f}", "")
        for running in self._running.values():
            frames, fps, left = running.describe()
            state = Text(f"running ({running.worker})", style="cyan")
            table.add_row(Text(running.job.name), state, frames, fps, left)
        waiting = self._total - self.done - self.failed - len(self._running)
        table.add_row(Text(f"{self.done} done, {self.failed} failed, {waiting} waiting", "bold"))
        return table
