"""A training's folder and its end: locked against a second run, stopped between two steps."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from model.errors import OutputError
from pcvos_cli import console
from pcvos_cli.files import check_reachable, locked

OUTCOME = (
    "state.pt",
    "best.safetensors",
    "last.safetensors",
    "metrics.jsonl",
    "curves.png",
    "samples.png",
)
"""Files that a run leaves, TensorBoard's aside."""


@contextmanager
def run_folder(out: Path, *, resume: bool, overwrite: bool) -> Iterator[None]:
    """Lock a run's folder; refuse one that holds another run, unless told to replace it."""
    check_reachable(out)
    held = [name for name in OUTCOME if (out / name).exists()]
    if held and not (resume or overwrite):
        raise OutputError(
            f"{out}: holds {', '.join(held)} of an earlier run",
            hint="--resume goes on with it, --overwrite replaces it",
        )
    created = not out.exists()
    try:
        with locked(out):
            if not resume:
                for name in held:
                    (out / name).unlink()
            yield
    finally:
        # A run that failed before its first step leaves no trace.
        if created and out.is_dir() and not any(out.iterdir()):
            out.rmdir()


class Stop:
    """Whether the run should be saved and ended after this step.

    Attributes:
        signal: The signal that asked for it, if one did.

    Args:
        pause_after: Minutes after which it is wanted anyway.
    """

    def __init__(self, pause_after: float | None) -> None:
        self.signal: int | None = None
        self._deadline = None if pause_after is None else time.monotonic() + 60 * pause_after

    def wanted(self) -> bool:
        """Return whether to stop."""
        late = self._deadline is not None and time.monotonic() >= self._deadline
        return late or self.signal is not None


@contextmanager
def stop_on_signals(pause_after: float | None) -> Iterator[Stop]:
    """Turn the first Ctrl-C or SIGTERM into a wish to stop; the second acts at once."""
    stop = Stop(pause_after)
    before: dict[int, Callable[[int, FrameType | None], Any] | int | None] = {
        number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)
    }

    def wish(number: int, _frame: FrameType | None) -> None:
        stop.signal = number
        signal.signal(number, before[number])
        console.note("stopping after this step; the run is saved (once more: stop at once)")

    for number in before:
        signal.signal(number, wish)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
