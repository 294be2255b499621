"""The jobs of a batch on a Ray cluster: the extra ``cluster``.

A job is a Ray task with its CPUs and, where there are any, a GPU; Ray chooses the node, and
begins a task again whose worker or node is lost. Progress comes through an actor beside the
driver. Every node needs pcvos in the driver's version, and sees inputs and OUT by the
driver's paths; weights travel through Ray's object store.
"""

import os
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from model.errors import ConfigError, MissingPackage
from pcvos_cli.batch.engine import (
    UNEXPECTED,
    Ended,
    Event,
    Fault,
    Function,
    SentProgress,
    Started,
    attempt,
)
from pcvos_cli.batch.processes import OUT_OF_MEMORY, PATIENCE_SECONDS, available_cores
from pcvos_cli.batch.worker import REPORT_SECONDS
from pcvos_cli.files import make_directory, write_whole

LOCAL = "local"
"""The address that starts a cluster of this machine alone."""

RETRIES = 3
"""How often a task is begun again whose worker or node is lost."""

AHEAD = 2
"""Tasks in flight for each that can run: nodes need not wait for the driver."""

RESOURCES_SECONDS = 2.0
"""How often the driver asks how large the cluster is."""

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # pcvos sends nothing to anybody.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


class RayCluster:
    """An ``Engine`` of Ray tasks; a context manager.

    Args:
        address: ``local``, ``auto``, or ``HOST:PORT`` of the cluster's head.
        threads: CPUs of a task.
        gpu: A task may use a GPU: each gets one, where the cluster has any.

    Raises:
        MissingPackage: Ray is not installed.
        ConfigError: There is no cluster at the address.
    """

    def __init__(self, address: str, *, threads: int, gpu: bool = False) -> None:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        try:
            import ray
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
        except ImportError as error:
            raise MissingPackage("--ray", "ray", "cluster") from error
        self._ray: Any = ray
        self._own = not ray.is_initialized()
        if self._own:
            _connect(ray, address)
        self.threads = threads
        self._numbers: dict[Any, int] = {}  # By the reference of what a task returns.
        self._references: dict[int, Any] = {}
        self._begun: Counter[int] = Counter()
        self._weights: dict[Path, Any] = {}
        self._workers, self._asked = 1, -RESOURCES_SECONDS
        gpus = float(gpu and self._cluster("GPU") > 0)
        self._per_worker = {"CPU": float(threads), "GPU": gpus}
        here = NodeAffinitySchedulingStrategy(
            self._ray.get_runtime_context().get_node_id(), soft=False
        )
        self._postbox = self._ray.remote(num_cpus=0, scheduling_strategy=here)(_Postbox).remote()
        self._task = self._ray.remote(num_cpus=threads, num_gpus=gpus, max_retries=RETRIES)(_run)

    @property
    def workers(self) -> int:
        """Tasks that can run at once; nodes join and leave."""
        if time.monotonic() - self._asked > RESOURCES_SECONDS:
            self._asked = time.monotonic()
            rooms = [self._cluster(kind) // n for kind, n in self._per_worker.items() if n]
            self._workers = max(1, int(min(rooms)))
        return self._workers

    def _cluster(self, kind: str) -> float:
        return float(self._ray.cluster_resources().get(kind, 0))

    @property
    def limit(self) -> int:
        """Tasks in flight at most."""
        return AHEAD * self.workers

    def submit(self, number: int, function: Function, argument: Any) -> None:
        """Hand a task to Ray."""
        reference = self._task.remote(
            number, function, argument, self._postbox, self._weights_of(argument)
        )
        self._numbers[reference] = number
        self._references[number] = reference

    def _weights_of(self, argument: Any) -> Any:
        """Return a user's own weights of a job as an object of Ray's, put there once."""
        settings = getattr(argument, "settings", None)
        path = getattr(settings, "weights", None)
        if path is None:
            return None
        if path not in self._weights:
            with suppress(OSError):  # Then the job says so itself.
                self._weights[path] = self._ray.put(path.read_bytes())
        return self._weights.get(path)

    def poll(self, seconds: float) -> list[Event]:
        """Return what happened; wait for at most so long if nothing did."""
        waiting = list(self._numbers)
        ready, _ = self._ray.wait(waiting, num_returns=1, timeout=seconds, fetch_local=False)
        if ready:  # There may be others.
            ready, _ = self._ray.wait(
                waiting, num_returns=len(waiting), timeout=0, fetch_local=False
            )
        happened = [event for event in self._news() if event.number in self._references]
        for event in happened:
            if isinstance(event, Started):
                self._begun[event.number] += 1
                if self._begun[event.number] > 1 + RETRIES:  # Ray has no bound on lost memory.
                    self._ray.cancel(self._references[event.number], force=True)
        return happened + [self._end(reference) for reference in ready]

    def _news(self) -> list[Event]:
        with suppress(self._ray.exceptions.RayError):
            return self._ray.get(self._postbox.take.remote())
        return []

    def _end(self, reference: Any) -> Ended:
        number = self._numbers.pop(reference)
        del self._references[number]
        begun = max(1, self._begun.pop(number, 1))
        try:
            ended: Ended = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            return Ended(number, None, self._loss(error, begun), "", begun, 0.0)
        return replace(ended, attempts=begun)

    def _loss(self, error: Exception, begun: int) -> Fault:
        first = str(error).strip().partition("\n")[0]
        if isinstance(error, self._ray.exceptions.OutOfMemoryError):
            return Fault(
                f"its node was out of memory {begun} times",
                "give each job more --threads, so that fewer run on a node, or a smaller --size",
                OUT_OF_MEMORY,
            )
        return Fault(f"its worker or node was lost {begun} times: {first}", None, UNEXPECTED)

    def __enter__(self) -> "RayCluster":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Break off what is in flight, as Ctrl-C does: finished masks are kept."""
        if not self._ray.is_initialized():
            return
        left, self._numbers = list(self._numbers), {}
        for reference in left:
            self._ray.cancel(reference)
        if left:
            self._ray.wait(left, num_returns=len(left), timeout=PATIENCE_SECONDS)
        if self._own:
            self._ray.shutdown()
        else:
            self._ray.kill(self._postbox)


def _connect(ray: Any, address: str) -> None:
    quiet = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
    here: dict[str, Any] = {
        "num_cpus": available_cores(),
        "include_dashboard": False,
        # Reachable from this machine alone. Ray takes 127.0.0.1 for a name of this machine, and
        # looks for its address outside; macOS has no other address than that.
        "_node_ip_address": "127.0.0.2" if sys.platform == "linux" else "127.0.0.1",
    }
    try:
        ray.init(address=address, **quiet, **(here if address == LOCAL else {}))
    except Exception as error:  # Ray raises whatever it meets, plain Exception too.
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(
            f"--ray {address}: no Ray cluster answers there ({reason})",
            hint="give HOST:PORT of its head (ray start --head), auto, or local",
        ) from error


class _Postbox:
    """An actor that keeps events until the driver takes them."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def add(self, event: Event) -> None:
        self._events.append(event)

    def take(self) -> list[Event]:
        taken, self._events = self._events, []
        return taken


def _run(number: int, function: Function, argument: Any, postbox: Any, weights: Any) -> Ended:
    """Run a task on a node."""
    import ray

    worker = f"{os.uname().nodename}:{os.getpid()}"
    # Waited for: attempts are counted by it, and a worker that dies at once would take it along.
    with suppress(ray.exceptions.RayError):
        ray.get(postbox.add.remote(Started(number, worker)), timeout=PATIENCE_SECONDS)
    if weights is not None:
        argument = _with_weights(argument, weights)
    # Nobody waits for it, and if it is lost nothing is.
    progress = SentProgress(number, postbox.add.remote, 4 * REPORT_SECONDS)
    value, fault, seconds = attempt(function, argument, progress)
    return Ended(number, value, fault, worker, 1, seconds)


def _with_weights(argument: Any, content: bytes) -> Any:
    """Return a job whose weights are a file of this node."""
    job = argument.job
    if job.settings.weights.is_file():
        return argument
    folder = Path(tempfile.gettempdir()) / f"pcvos-{os.getuid()}" / sha256(content).hexdigest()
    path = folder / job.settings.weights.name
    if not path.is_file():
        make_directory(folder)
        write_whole(path, content)
    return replace(argument, job=replace(job, settings=replace(job.settings, weights=path)))
