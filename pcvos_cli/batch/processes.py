"""Worker processes on this machine. Free of torch.

Each worker has its share of the cores and, where there are any, a GPU of its own. A worker
that dies (killed, out of memory, a crash in a library) takes nobody with it: another one
begins its task again, once, and where that one dies too, the task has failed.
"""

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pcvos_cli.batch.engine import (
    ATTEMPTS,
    UNEXPECTED,
    Ended,
    Event,
    Fault,
    Function,
    Started,
)

WORKER_BYTES = 1_500_000_000
"""Memory that a worker may need: pcvos-lite took 1.06 GB at 854 x 480, the driver and the cache
of the system want some."""

PATIENCE_SECONDS = 20.0
"""How long ``close`` waits for workers to put down what they have in hand."""

OUT_OF_MEMORY = 7


@dataclass(frozen=True, slots=True)
class Share:
    """How this machine is divided.

    Attributes:
        workers: Processes.
        threads: CPU threads of each.
        gpus: Names of GPUs for ``CUDA_VISIBLE_DEVICES``, dealt out in turn; empty for the CPU.
    """

    workers: int
    threads: int
    gpus: tuple[str, ...] = ()


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def available_memory() -> int | None:
    """Return how many bytes are free on this machine and in its container, or ``None``."""
    free = []
    with contextlib.suppress(OSError, StopIteration, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable:"))
        free.append(int(line.split()[1]) * 1024)
    with contextlib.suppress(OSError, ValueError):  # "max" is no number: no limit
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text())
        free.append(limit - int((group / "memory.current").read_text()))
    return min(free, default=None)


def visible_gpus() -> tuple[str, ...]:
    """Return the CUDA devices of this process, as ``CUDA_VISIBLE_DEVICES`` names them."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = [name.strip() for name in named.split(",") if name.strip()]
    return tuple(names or map(str, range(count)))[:count]


def divide(
    tasks: int | None, *, workers: int | None = None, threads: int | None = None, gpu: bool = False
) -> Share:
    """Divide this machine among workers.

    By default a GPU has a worker; without GPUs a core has one, as far as the memory goes: a
    video on one thread gives more frames a second and core than on several.

    Args:
        tasks: How many there are; ``None`` for nobody knows.
        workers: Processes; ``None`` for what cores, memory and GPUs allow.
        threads: CPU threads of each; ``None`` for an equal share of the cores.
        gpu: Tasks may run on GPUs.
    """
    cores = available_cores()
    gpus = visible_gpus() if gpu else ()
    if workers is None:
        workers = len(gpus) or cores // (threads or 1)
        memory = available_memory()
        if memory is not None and not gpus:
            workers = min(workers, memory // WORKER_BYTES)
    workers = max(1, workers if tasks is None else min(workers, tasks))
    return Share(workers, threads or max(1, cores // workers), gpus)


class Processes:
    """An ``Engine`` of worker processes, started as they are needed.

    Args:
        share: How many, and what each has of the machine.
    """

    def __init__(self, share: Share) -> None:
        self.share = share
        self.threads = share.threads
        self.workers = self.limit = share.workers  # One task a worker.
        self._events: queue.SimpleQueue[tuple[_Worker, Event | None]] = queue.SimpleQueue()
        self._free: list[_Worker] = []
        self._busy: dict[int, _Worker] = {}
        self._closed = False

    def submit(self, number: int, function: Function, argument: Any) -> None:
        """Give a task to a free worker, or to a new one."""
        self._begin(_Task(number, 1, function, argument))

    def _begin(self, task: "_Task") -> None:
        worker = self._free.pop() if self._free else self._start()
        self._busy[task.number] = worker
        worker.give(task)

    def _start(self) -> "_Worker":
        taken = {worker.seat for worker in self._busy.values()}
        seat = next(i for i in range(self.share.workers) if i not in taken)
        return _Worker(seat, self.share, self._events)

    def poll(self, seconds: float) -> list[Event]:
        """Return what happened; a task whose worker died is begun again here."""
        happened: list[Event] = []
        wait: float | None = seconds
        with contextlib.suppress(queue.Empty):
            while True:
                worker, event = self._events.get(timeout=wait) if wait else self._events.get(False)
                wait = None
                happened += self._look_at(worker, event)
        return happened

    def _look_at(self, worker: "_Worker", event: Event | None) -> list[Event]:
        task = worker.task
        if event is not None:
            if isinstance(event, Ended):
                worker.task = None
                del self._busy[event.number]
                self._free.append(worker)
            return [event]
        code, words = worker.bury()
        if task is None:  # It died while it had nothing to do.
            self._free = [other for other in self._free if other is not worker]
            return []
        del self._busy[task.number]
        if task.attempt < ATTEMPTS:
            self._begin(replace(task, attempt=task.attempt + 1))
            return []
        fault = _death(code, words)
        seconds = time.monotonic() - worker.since
        return [Ended(task.number, None, fault, worker.name, task.attempt, seconds)]

    def close(self) -> None:
        """End all workers: a task in hand is broken off, its finished masks are kept."""
        if self._closed:
            return
        self._closed = True
        workers = [*self._free, *self._busy.values()]
        for worker in workers:
            worker.dismiss()
        deadline = time.monotonic() + PATIENCE_SECONDS
        for worker in workers:
            worker.bury(deadline - time.monotonic())

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class _Task:
    number: int
    attempt: int
    function: Function
    argument: Any


class _Worker:
    """One process and the thread that listens to it."""

    def __init__(
        self,
        seat: int,
        share: Share,
        events: "queue.SimpleQueue[tuple[_Worker, Event | None]]",
    ) -> None:
        self.seat = seat
        self.task: _Task | None = None
        self.since = time.monotonic()
        self._words = tempfile.TemporaryFile()  # noqa: SIM115  closed by bury
        threads = str(share.threads)
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(str(Path(path).absolute()) for path in sys.path),
            "OMP_NUM_THREADS": threads,
            "OPENCV_FOR_THREADS_NUM": threads,
        }
        if share.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = share.gpus[seat % len(share.gpus)]
        self._process = subprocess.Popen(
            # -P: a file of the current folder must not stand in for a module.
            [sys.executable, "-P", "-m", "pcvos_cli.batch.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            env=environment,
        )
        self.name = str(self._process.pid)
        self._listener = threading.Thread(target=self._listen, args=(events,), daemon=True)
        self._listener.start()

    def _listen(self, events: "queue.SimpleQueue[tuple[_Worker, Event | None]]") -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):
            while True:
                event = pickle.load(self._process.stdout)
                if isinstance(event, Started):
                    self.since = time.monotonic()
                events.put((self, event))
        events.put((self, None))

    def give(self, task: _Task) -> None:
        """Send it a task. If it has died, the listener says so."""
        assert self._process.stdin is not None
        message = pickle.dumps((task.number, task.attempt, task.function, task.argument))
        self.task, self.since = task, time.monotonic()
        with contextlib.suppress(OSError):
            self._process.stdin.write(message)
            self._process.stdin.flush()

    def dismiss(self) -> None:
        """Tell it that there will be no more tasks, and to put down the one in hand."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def bury(self, seconds: float = 1.0) -> tuple[int, str]:
        """Wait for its end, and bring it about if it takes too long.

        Returns:
            Its exit code, and the end of what it wrote to stderr.
        """
        self.dismiss()
        try:
            code = self._process.wait(max(0.1, seconds))
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._listener.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        with self._words as words:
            words.seek(max(0, words.seek(0, os.SEEK_END) - 2000))
            return code, words.read().decode("utf-8", "replace").strip()


def _death(code: int, words: str) -> Fault:
    times = f"{ATTEMPTS} times"
    if code == -signal.SIGKILL:
        return Fault(
            f"its worker was killed {times} (signal 9), most likely for want of memory",
            "try fewer --workers or a smaller --size",
            OUT_OF_MEMORY,
        )
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    last = words.splitlines()[-1] if words else "it said nothing"
    return Fault(f"its worker died {times} ({how}): {last}", None, UNEXPECTED, words)
