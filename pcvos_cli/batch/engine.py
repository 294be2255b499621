"""What the driver of a batch asks of its workers. Free of torch.

An engine takes tasks, at most ``limit`` at once, and reports what becomes of them. It knows
no videos: a task is a function of a module and its argument, both of which can be pickled.
"""

import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from model.errors import PCVOSError, as_known

ATTEMPTS = 2
"""How often a task is begun whose worker dies: it may be the worker's fault, or the task's."""

UNEXPECTED = 1


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a task failed.

    Attributes:
        message: What is wrong and where.
        hint: How to fix it, or ``None``.
        exit_code: What the command line would end with.
        trace: The traceback; empty for errors that a user can mend.
    """

    message: str
    hint: str | None = None
    exit_code: int = UNEXPECTED
    trace: str = ""

    @classmethod
    def of(cls, error: Exception) -> "Fault":
        """Describe an error."""
        known = as_known(error)
        if known is not None:
            return cls(known.message, known.hint, known.exit_code)
        trace = "".join(traceback.format_exception(error))
        return cls(f"unexpected {type(error).__name__}: {error}", None, UNEXPECTED, trace)

    def error(self) -> PCVOSError:
        """Return it as an error with its exit code."""
        error = PCVOSError(self.message, hint=self.hint)
        error.exit_code = self.exit_code  # type: ignore[misc]  # of this one, not of its class
        return error


class TaskProgress(Protocol):
    """Given to a task's function, which says how far it is; ``console.Progress`` is one."""

    def expect(self, frames: int | None) -> None:
        """Say how many frames there will be, or ``None`` if nobody knows."""
        ...

    def advance(self, frames: int) -> None:
        """Add finished frames."""
        ...


class SentProgress:
    """Sends how far a task is, not more often than anybody could read it.

    Args:
        number: The task's.
        send: Called with each event.
        seconds: Between two of them, at least.
    """

    def __init__(self, number: int, send: "Callable[[Event], object]", seconds: float) -> None:
        self._number, self._send, self._seconds = number, send, seconds
        self._frames, self._sent = 0, 0.0

    def expect(self, frames: int | None) -> None:
        """Say how many frames there will be."""
        self._send(Expected(self._number, frames))

    def advance(self, frames: int) -> None:
        """Add finished frames, and send them if it is time."""
        self._frames += frames
        if time.monotonic() - self._sent >= self._seconds:
            self.flush()

    def flush(self) -> None:
        """Send what has not been sent."""
        if self._frames:
            self._send(Advanced(self._number, self._frames))
        self._frames, self._sent = 0, time.monotonic()


class CountedProgress:
    """Says how many frames are finished, where nobody asks how many there will be.

    Args:
        on_frames: Called with the number of further frames.
    """

    def __init__(self, on_frames: Callable[[int], None]) -> None:
        self.advance = on_frames

    def expect(self, frames: int | None) -> None:
        """Pass over it."""


Function = Callable[[Any, TaskProgress], Any]
"""Takes the task's argument. Found by its name in a module, as pickle does."""


@dataclass(frozen=True, slots=True)
class Started:
    """A task has begun.

    Attributes:
        number: The task's.
        worker: Where: a process id, or a node and a process id.
    """

    number: int
    worker: str


@dataclass(frozen=True, slots=True)
class Expected:
    """A task says how many frames there will be."""

    number: int
    frames: int | None


@dataclass(frozen=True, slots=True)
class Advanced:
    """A task has finished further frames."""

    number: int
    frames: int


@dataclass(frozen=True, slots=True)
class Ended:
    """A task is over.

    Attributes:
        number: The task's.
        value: What its function returned; ``None`` with a fault.
        fault: Why it failed, or ``None``.
        worker: Where it ended.
        attempts: How often it was begun.
        seconds: From the beginning of the last attempt.
    """

    number: int
    value: Any
    fault: Fault | None
    worker: str
    attempts: int
    seconds: float


Event = Started | Expected | Advanced | Ended


class Engine(Protocol):
    """Workers."""

    @property
    def threads(self) -> int:
        """CPU threads of each worker."""
        ...

    @property
    def workers(self) -> int:
        """Tasks that run at once; it may change."""
        ...

    @property
    def limit(self) -> int:
        """Tasks that it takes at once; it may change, too."""
        ...

    def submit(self, number: int, function: Function, argument: Any) -> None:
        """Begin a task, or keep it for a worker that is about to be free."""
        ...

    def poll(self, seconds: float) -> list[Event]:
        """Return what happened, in order; wait for at most so long if nothing did."""
        ...

    def close(self) -> None:
        """End all workers; what they had finished on disk stays. Safe to call twice."""
        ...


_PATIENCE_SECONDS = 0.5


def run_tasks(
    engine: Engine, function: Function, arguments: Iterable[Any]
) -> Iterator[Event | None]:
    """Run a function on every argument, and yield what happens, in order, or now and then ``None``.

    Arguments are taken one by one as workers become free, so there may be any number.

    Args:
        engine: The workers; the caller closes it.
        function: What each runs.
        arguments: A task's number is its place here.
    """
    waiting = enumerate(arguments)
    in_flight, more = 0, True
    while True:
        while more and in_flight < engine.limit:
            task = next(waiting, None)
            if task is None:
                more = False
                break
            engine.submit(task[0], function, task[1])
            in_flight += 1
        if not in_flight:
            return
        events = engine.poll(_PATIENCE_SECONDS)
        for event in events:
            in_flight -= isinstance(event, Ended)
            yield event
        if not events:
            yield None


def attempt(
    function: Function, argument: Any, progress: TaskProgress
) -> tuple[Any, Fault | None, float]:
    """Call a task's function in a worker; return its value, its fault and its seconds."""
    began = time.perf_counter()
    try:
        value, fault = function(argument, progress), None
    except Exception as error:  # crosses to another process, whatever it is
        value, fault = None, Fault.of(error)
    return value, fault, time.perf_counter() - began
