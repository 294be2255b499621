"""Threads on both sides of the segmenter: read ahead, write behind.

Both are bounded, hand every error of the worker to the caller, and never hang: waits are
short and look after the other side each time.
"""

import contextlib
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Generic, Self, TypeVar

from model.ops.timing import StageClock
from pcvos_cli.masks.writers import FrameMasks, MaskWriter

T = TypeVar("T")

READ_AHEAD = 4
"""Decoded frames held ready, and segmented frames waiting to be written, at least."""

QUEUE_BYTES = 48 << 20
"""Memory that more than ``READ_AHEAD`` frames in a queue may take, roughly."""

POLL_SECONDS = 0.05
"""How long a wait lasts before it looks whether the other side is still there."""

PATIENCE_SECONDS = 10.0
"""How long ``close`` waits for a worker that is stuck in a call before it leaves it behind."""


def queue_length(clip_length: int, frame_bytes: int) -> int:
    """Return how many frames a queue before or after the segmenter should hold.

    The segmenter takes a clip's frames at once, and hands them on at once. A queue of a clip
    lets the threads on both sides work while it is busy; with a shorter one they wait for it,
    and then it waits for them.

    Args:
        clip_length: L.
        frame_bytes: Memory of a waiting frame.
    """
    return max(READ_AHEAD, min(clip_length, QUEUE_BYTES // frame_bytes))


class _End:
    """Follows the last item."""


_END = _End()


class prefetch(Generic[T]):  # noqa: N801  used like a function, as contextlib.closing is
    """Read ahead of the consumer in a thread; an iterator and a context manager.

    Args:
        iterable: Read entirely within the thread. If its iterator has a ``close`` method (a
            generator), the thread calls it at the end.
        depth: Items held ready at most.

    Raises:
        ValueError: If ``depth`` is below 1.
    """

    def __init__(self, iterable: Iterable[T], depth: int = 4) -> None:
        if depth < 1:
            raise ValueError(f"depth must be at least 1, got {depth}")
        self._items: queue.Queue[T | _End] = queue.Queue(depth)
        self._error: BaseException | None = None
        self._stop = threading.Event()
        self._iterable = iterable
        self._thread = threading.Thread(target=self._read, name="pcvos-prefetch", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        iterator: Iterator[T] | None = None
        try:
            iterator = iter(self._iterable)
            for item in iterator:
                if not _offer(self._items, item, self._stop.is_set):
                    break
        except BaseException as error:  # crosses the thread, whatever it is
            self._error = error
        try:
            getattr(iterator, "close", lambda: None)()
        except BaseException as error:
            self._error = self._error or error
        # So that the consumer, who may be waiting already, need not find out by itself.
        _offer(self._items, _END, self._stop.is_set)

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        """Return the next item.

        Raises:
            StopIteration: At the end, and after ``close``.
            BaseException: Whatever the iterable raised, after the items before it.
        """
        while not self._stop.is_set():
            # Asked before the queue: a thread that has ended can add nothing afterwards.
            alive = self._thread.is_alive()
            with contextlib.suppress(queue.Empty):
                item = self._items.get(timeout=POLL_SECONDS if alive else 0.001)
                if isinstance(item, _End):
                    break
                return item
            if not alive:
                break
        error, self._error = self._error, None
        if error is not None and not self._stop.is_set():
            raise error
        raise StopIteration

    def close(self) -> None:
        """Stop reading and drop what is held. Safe to call twice."""
        self._stop.set()
        self._thread.join(PATIENCE_SECONDS)
        _drain(self._items)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class BackgroundWriter:
    """Several writers behind one bounded queue and one thread.

    All calls to the writers happen in the thread, so a writer is never aborted while it
    writes. As a context manager it closes on success and aborts on an error.

    Args:
        writers: By name, called in this order for each frame.
        depth: Frames held back at most.
        clock: Charged with each writer's seconds, as ``write_`` and its name.

    Raises:
        ValueError: If ``depth`` is below 1.
    """

    def __init__(
        self, writers: Mapping[str, MaskWriter], depth: int = 4, clock: StageClock | None = None
    ) -> None:
        if depth < 1:
            raise ValueError(f"depth must be at least 1, got {depth}")
        self._writers = dict(writers)
        self._clock = clock or StageClock()
        self._jobs: queue.Queue[FrameMasks | Callable[[], None]] = queue.Queue(depth)
        self._error: BaseException | None = None
        self._finish = threading.Event()
        self._drop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="pcvos-writer", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            self._write_all()
            if not self._drop.is_set():
                for name, writer in self._writers.items():
                    with self._clock(f"write_{name}"):
                        writer.close()
                return
        except BaseException as error:  # crosses the thread, whatever it is
            self._error = error
        for writer in self._writers.values():
            with contextlib.suppress(Exception):  # the first error is the one to report
                writer.abort()

    def _write_all(self) -> None:
        while not self._drop.is_set():
            finishing = self._finish.is_set()
            try:
                job = self._jobs.get(timeout=0 if finishing else POLL_SECONDS)
            except queue.Empty:
                if finishing:
                    return
                continue
            if isinstance(job, FrameMasks):
                for name, writer in self._writers.items():
                    with self._clock(f"write_{name}"):
                        writer.write(job)
            else:
                job()

    def submit(self, frame: FrameMasks) -> None:
        """Queue one frame; waits while the queue is full.

        Raises:
            OutputError: A writer failed on this or an earlier frame.
        """
        self._put(frame)

    def then(self, action: Callable[[], None]) -> None:
        """Queue a call, made in the writers' thread once all frames before are written.

        Raises:
            OutputError: A writer, or an earlier action, failed.
        """
        self._put(action)

    def _put(self, job: FrameMasks | Callable[[], None]) -> None:
        if not _offer(self._jobs, job, self._has_ended):
            if self._error is not None:
                raise self._error
            raise ValueError("the writer is closed")

    def _has_ended(self) -> bool:
        return not self._thread.is_alive()

    def close(self) -> None:
        """Write what is queued and finish all files. Safe to call twice.

        Raises:
            OutputError: A writer failed; then all have been aborted.
        """
        self._finish.set()
        # Wakes the thread, which may be waiting for work.
        _offer(self._jobs, lambda: None, self._has_ended)
        while not self._has_ended():
            self._thread.join(POLL_SECONDS)
        if self._error is not None:
            raise self._error

    def abort(self) -> None:
        """Drop what is queued and abort the writers: whole files stay. Never raises."""
        self._drop.set()
        self._thread.join(PATIENCE_SECONDS)
        _drain(self._jobs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


def _offer(items: "queue.Queue[T]", item: T, given_up: Callable[[], bool]) -> bool:
    """Put ``item`` unless the other side has gone; return whether it was put."""
    while not given_up():
        with contextlib.suppress(queue.Full):
            items.put(item, timeout=POLL_SECONDS)
            return True
    return False


def _drain(items: "queue.Queue[T]") -> None:
    with contextlib.suppress(queue.Empty):
        while True:
            items.get_nowait()
