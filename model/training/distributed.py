"""One process or many: what ``torchrun`` says about them, and what they agree on."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes of a run.

    Attributes:
        rank: This one, 0-based. Only rank 0 writes and validates.
        count: All of them.
        local_rank: This one on its machine: the index of its GPU.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def any(self, flag: bool, device: torch.device) -> bool:
        """Return whether the flag is set in some process."""
        if self.count == 1:
            return flag
        shared = torch.tensor(float(flag), device=device)
        distributed.all_reduce(shared, op=distributed.ReduceOp.MAX)
        return bool(shared.item())

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of a tensor over the processes."""
        if self.count == 1:
            return values
        shared = values.clone()
        distributed.all_reduce(shared)
        return shared / self.count

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.count > 1:
            distributed.barrier()


def processes_of_environment() -> Processes:
    """Read what ``torchrun`` put into the environment; one process without it."""
    environment = os.environ
    if "RANK" not in environment or "WORLD_SIZE" not in environment:
        return Processes()
    return Processes(
        int(environment["RANK"]),
        int(environment["WORLD_SIZE"]),
        int(environment.get("LOCAL_RANK", "0")),
    )


@contextmanager
def joined(processes: Processes, device: torch.device) -> Iterator[None]:
    """Connect the processes: NCCL between GPUs, gloo between CPUs."""
    if processes.count == 1:
        yield
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()
