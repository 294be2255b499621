"""Threads on both sides of the segmenter: read ahead, write behind.

Both are bounded, hand every error of the worker to the caller, and never hang: a wait looks
after the other side now and then.
"""

import contextlib
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Self, TypeVar

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
"""How long a worker that is stuck in a call is waited for before it is left behind."""


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


@contextlib.contextmanager
def prefetch(iterable: Iterable[T], depth: int = READ_AHEAD) -> Iterator[Iterator[T]]:
    """Read ahead of the consumer in a thread while the block runs.

    Args:
        iterable: Read entirely within the thread. If its iterator has a ``close`` method (a
            generator), the thread calls it at the end.
        depth: Items held ready at most.

    Yields:
        The items; after those before it, whatever error the iterable raised.

    Raises:
        ValueError: If ``depth`` is below 1.
    """
    items: queue.Queue[tuple[T] | None] = _queue(depth)
    stop = threading.Event()
    errors: list[BaseException] = []

    def read() -> None:
        try:
            iterator = iter(iterable)
            try:
                for item in iterator:
                    if not _offer(items, (item,), stop.is_set):
                        break
            finally:
                getattr(iterator, "close", lambda: None)()
        except BaseException as error:  # Crosses the thread, whatever it is.
            errors.append(error)
        _offer(items, None, stop.is_set)

    def ready() -> Iterator[T]:
        while not stop.is_set():
            try:
                found = items.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            if found is None:
                break
            yield found[0]
        if errors and not stop.is_set():
            raise errors.pop()

    thread = threading.Thread(target=read, name="pcvos-prefetch", daemon=True)
    thread.start()
    try:
        yield ready()
    finally:
        stop.set()
        thread.join(PATIENCE_SECONDS)


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
        self,
        writers: Mapping[str, MaskWriter],
        depth: int = READ_AHEAD,
        clock: StageClock | None = None,
    ) -> None:
        self._writers = dict(writers)
        self._clock = clock or StageClock()
        self._jobs: queue.Queue[FrameMasks | Callable[[], None] | None] = _queue(depth)
        self._error: BaseException | None = None
        self._drop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="pcvos-writer", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            while not self._drop.is_set():
                try:
                    job = self._jobs.get(timeout=POLL_SECONDS)
                except queue.Empty:
                    continue
                if job is None or isinstance(job, FrameMasks):
                    self._pass_on(job)
                else:
                    job()
                if job is None:
                    return
        except BaseException as error:  # Crosses the thread, whatever it is.
            self._error = error
        for writer in self._writers.values():
            with contextlib.suppress(Exception):  # the first error is the one to report
                writer.abort()

    def _pass_on(self, frame: FrameMasks | None) -> None:
        """Let every writer write a frame; ``None``: close."""
        for name, writer in self._writers.items():
            with self._clock(f"write_{name}"):
                if frame is None:
                    writer.close()
                else:
                    writer.write(frame)

    def submit(self, job: FrameMasks | Callable[[], None]) -> None:
        """Queue one frame, or a call that the thread makes once all frames before are written.

        Waits while the queue is full.

        Raises:
            OutputError: A writer, or a call, failed on this or an earlier frame.
        """
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
        _offer(self._jobs, None, self._has_ended)
        while not self._has_ended():
            self._thread.join(POLL_SECONDS)
        if self._error is not None:
            raise self._error

    def abort(self) -> None:
        """Drop what is queued and abort the writers: whole files stay. Never raises."""
        self._drop.set()
        self._thread.join(PATIENCE_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


def _queue(depth: int) -> "queue.Queue[T]":
    if depth < 1:
        raise ValueError(f"depth must be at least 1, got {depth}")
    return queue.Queue(depth)


def _offer(items: "queue.Queue[T]", item: T, given_up: Callable[[], bool]) -> bool:
    """Put ``item`` unless the other side has gone; return whether it was put."""
    while not given_up():
        with contextlib.suppress(queue.Full):
            items.put(item, timeout=POLL_SECONDS)
            return True
    return False
