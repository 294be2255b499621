"""Tasks for workers that need no network, so that a worker starts in a moment."""

import errno
import os
import signal
import time
from pathlib import Path
from typing import Any

from model.errors import MaskError
from pcvos_cli.batch.engine import TaskProgress


def double(argument: Any, progress: TaskProgress) -> Any:
    progress.expect(2)
    progress.advance(2)
    return 2 * argument


def fail(argument: str, _progress: TaskProgress) -> None:
    if argument == "mask":
        raise MaskError("too small", hint="draw it larger")
    if argument == "disk":
        raise OSError(errno.ENOSPC, "No space left on device", "x.png")
    raise ZeroDivisionError("by zero")


def die(argument: tuple[Path, int], _progress: TaskProgress) -> str:
    """Kill the worker so many times, then return."""
    path, times = argument
    with path.open("a") as file:
        file.write("x")
    if len(path.read_text()) <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def environment(name: str, _progress: TaskProgress) -> str | None:
    return os.environ.get(name)


def wait_and_say(path: Path, _progress: TaskProgress) -> None:
    """Wait for a long time, and say when that is broken off."""
    try:
        path.with_suffix(".begun").write_text(str(os.getpid()))
        time.sleep(300)
    finally:
        path.write_text("broken off")


def hold(folder: Path, _progress: TaskProgress) -> int:
    """Say that it has begun, and wait until there is a file named go."""
    (folder / f"{os.getpid()}.begun").touch()
    while not (folder / "go").exists():
        time.sleep(0.05)
    return os.getpid()
