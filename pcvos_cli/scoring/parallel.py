"""Work on all cores, a few frames at a time."""

import multiprocessing
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from math import ceil
from multiprocessing.context import BaseContext
from typing import TypeVar

import cv2

from model.errors import OutOfMemoryError

Task = TypeVar("Task")
Result = TypeVar("Result")

LARGEST_CHUNK = 16
"""Tasks handed to a process at once: enough to hide the cost of handing over."""


@contextmanager
def parallel_map(
    function: Callable[[Task], Result], tasks: Sequence[Task], jobs: int
) -> Iterator[Iterator[Result]]:
    """Start processes and give an iterator over ``function(task)``, in the tasks' order.

    An error of a task is raised at its place in that order. Leaving the block ends the
    processes and drops what has not begun.

    Args:
        function: At the top level of a module, so that a process can be sent its name.
        tasks: Small, since they are sent to other processes.
        jobs: Processes; 1 works in this one.

    Raises:
        OutOfMemoryError: If a process was killed, which is how a system without memory
            ends one.
    """
    jobs = min(jobs, len(tasks))
    if jobs <= 1:
        yield map(function, tasks)
        return
    chunk = min(LARGEST_CHUNK, ceil(len(tasks) / (jobs * 8)))
    threads = cv2.getNumThreads()
    # Each process has a core to itself. Set before the fork: OpenCV's own threads do not
    # survive one, and stopping them afterwards would wait for them for ever.
    cv2.setNumThreads(1)
    pool = ProcessPoolExecutor(jobs, mp_context=_context(), initializer=_begin_worker)
    try:
        with warnings.catch_warnings():
            # Python 3.12 warns of forks beside threads; numpy's, which it counts, are safe.
            warnings.simplefilter("ignore", DeprecationWarning)
            results = pool.map(function, tasks, chunksize=chunk)
        yield results
    except BrokenProcessPool as error:
        raise OutOfMemoryError(
            "a scoring process was killed, most likely for want of memory",
            hint="try fewer processes with --jobs",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        cv2.setNumThreads(threads)


def _context() -> BaseContext:
    """Return how to start processes: forking takes milliseconds where it is safe."""
    safe = sys.platform == "linux" and threading.active_count() == 1
    return multiprocessing.get_context("fork" if safe else "spawn")


def _begin_worker() -> None:
    # Ctrl-C reaches the whole group; the parent alone answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    cv2.setNumThreads(1)
