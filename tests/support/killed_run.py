"""``pcvos segment`` in a process that kills itself with signal 9.

``python -m tests.support.killed_run seconds 0.7 ARGUMENTS``: 0.7 s after segmenting began.
``python -m tests.support.killed_run rename 12.5 ARGUMENTS``: between the rename of the 12th
file to its final name and the 13th (``12``: instead of the 12th).
"""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from pcvos_cli.app import app
from pcvos_cli.run import pipeline


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _kill_after(seconds: float) -> None:
    segment = pipeline._segment

    def timed(*arguments: Any) -> Any:
        threading.Timer(seconds, _kill).start()
        return segment(*arguments)

    pipeline._segment = timed


def _kill_at_rename(number: float) -> None:
    rename, count, lock = Path.replace, 0, threading.Lock()

    def counting(self: Path, target: Path) -> Path:
        nonlocal count
        with lock:
            count += 1
            if count == number:
                _kill()
            renamed = rename(self, target)
            if count + 0.5 == number:
                _kill()
            return renamed

    Path.replace = counting  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    kind, value, *arguments = sys.argv[1:]
    {"seconds": _kill_after, "rename": _kill_at_rename}[kind](float(value))
    app(["segment", *arguments])
