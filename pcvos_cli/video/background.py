"""A thread for what must not hold up the model."""

import contextlib
import os
import threading
from collections.abc import Callable


class BackgroundThread:
    """Work in a thread that gives way to all others, where the system can have it so (Linux).

    The model's threads wait for each other dozens of times a frame, so one that must share its
    core holds up all. What they leave of two cores is enough for reading and writing 480p. A
    thread cannot leave that class again without privileges, and beside other programs that take
    all cores it gets nowhere; then a second one, which does not give way, takes over (``hurry``).

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

    def is_alive(self) -> bool:
        """Tell whether the work goes on, or may yet be taken over."""
        return self._thread.is_alive()

    def join(self, timeout: float) -> None:
        """Wait for the end of the work, at most so many seconds."""
        self._thread.join(timeout)
