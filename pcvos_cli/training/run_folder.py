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

OUTCOME = (
    "state.pt",
    "best.safetensors",
    "last.safetensors",
    "metrics.jsonl",
    "curves.png",
    "samples.png",
)
"""Files that a run leaves, TensorBoard's aside."""

_LOCK = ".pcvos.lock"


@contextmanager
def run_folder(out: Path, *, resume: bool, overwrite: bool) -> Iterator[None]:
    """Lock a run's folder; refuse one that holds another run, unless told to replace it."""
    from filelock import FileLock, Timeout  # Not at the top: `pcvos --help` comes by here.

    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: is a file, not a folder", hint="choose another --out")
    held = [name for name in OUTCOME if (out / name).exists()]
    if held and not (resume or overwrite):
        raise OutputError(
            f"{out}: holds {', '.join(held)} of an earlier run",
            hint="--resume goes on with it, --overwrite replaces it",
        )
    created = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / _LOCK, timeout=0)
        lock.acquire()
    except Timeout as error:
        raise OutputError(
            f"{out}: another run is writing there", hint="wait for it or change --out"
        ) from error
    except OSError as error:
        raise OutputError(f"{out}: cannot write there: {error.strerror or error}") from error
    try:
        if not resume:
            for name in held:
                (out / name).unlink()
        yield
    finally:
        # Unlinked while held: filelock's next holder notices a lock file that is gone.
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
        # A run that failed before its first step leaves no trace.
        if created and not any(out.iterdir()):
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
