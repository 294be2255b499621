"""A thread for what must not hold up the model."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator

STARVED_SECONDS = 0.5
"""What gives way does so no more once a piece of it took so long, or was waited for in all."""


class BackgroundThread:
    """Work in a thread that gives way to all others, where the system can have it so (Linux).

    The model's threads wait for each other dozens of times a frame, so one that must share its
    core holds up all. What they leave of two cores is enough for reading and writing 480p. A
    thread cannot leave that class again without privileges, and beside other programs that take
    all cores it gets nowhere, and holds up all others of the process if it has the interpreter's
    lock. So a second one, which does not give way, takes over once a piece of the work took long,
    once it was ``awaited`` for long in all, or when there is a ``hurry``.

    Threads that libraries start inherit the class of the one that starts them, and cannot be
    relieved. So they should be started before ``give_way``.

    Args:
        work: Called in the thread, with this object. It calls ``give_way`` when it may, and
            returns ``False``, soon, once ``is_relieved``: it is then called anew, in the
            thread that takes over. Otherwise it returns ``True`` when all is done. It may not
            raise.
        name: The thread's.
    """

    def __init__(self, work: Callable[["BackgroundThread"], bool], name: str) -> None:
        self._work = work
        self._name = name
        self._done = False
        self._lock = threading.Lock()
        self._gives_way = False
        self._hurried = False
        self._waited = 0.0
        self._began: float | None = None  # When the piece that is worked on was begun.
        self._first = self._thread = self._start(self._begin)

    def _start(self, target: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=target, name=self._name, daemon=True)
        thread.start()
        return thread

    def _begin(self) -> None:
        self._done = self._work(self)

    def _take_over(self) -> None:
        self._first.join()
        if not self._done:
            self._done = self._work(self)

    def give_way(self) -> None:
        """Give way from now on, unless there is a hurry. Called by the work."""
        with self._lock:
            if self._hurried or self._gives_way:
                return
            with contextlib.suppress(AttributeError, OSError):  # Not Linux, or not allowed.
                os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
                self._gives_way = True

    @property
    def is_relieved(self) -> bool:
        """Whether another thread is to take over from this one. Asked by the work."""
        takes_over = self._hurried and self._gives_way
        return takes_over and threading.current_thread() is self._first

    def hurry(self) -> None:
        """Have the work go on in a thread that does not give way. Never waits."""
        with self._lock:
            if self._hurried:
                return
            self._hurried = True
            if self._gives_way:
                # Started here: a thread inherits its class from the one that starts it.
                self._thread = self._start(self._take_over)

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Note that the block is a piece of the work, such as a frame. Used by the work."""
        self._began = time.monotonic()
        try:
            yield
        finally:
            self._began = None

    @contextlib.contextmanager
    def awaited(self) -> Iterator[None]:
        """Count the time in the block, which waits for the work, and look how that gets on.

        Whoever waits does so again and again, some hundredths of a second each time.
        """
        entered = time.monotonic()
        try:
            yield
        finally:
            if self._gives_way and not self._hurried:
                now = time.monotonic()
                self._waited += now - entered
                began = self._began
                if max(self._waited, now - (began or now)) > STARVED_SECONDS:
                    self.hurry()

    def is_alive(self) -> bool:
        """Tell whether the work goes on, or may yet be taken over."""
        return self._thread.is_alive()

    def join(self, timeout: float) -> None:
        """Wait for the end of the work, at most so many seconds."""
        self._thread.join(timeout)
