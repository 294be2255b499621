"""Samples for the steps: which sample comes when is a function of seed and position alone.

So the data position of a checkpoint is its step, a resumed run sees what an uninterrupted
one sees, and the processes of a distributed run share out the batch of a single one.
"""

import signal
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from model.data.mixing import MixedDataset, start_worker
from model.data.sample import TrainingBatch, TrainingSample, collate
from model.errors import PCVOSError


class SampleStream(Dataset[TrainingSample | PCVOSError]):
    """Samples by position; an error is an item too.

    A worker's exception would reach the training process as the text of its traceback.
    """

    def __init__(self, mixed: MixedDataset) -> None:
        self.mixed = mixed

    def __getitem__(self, position: int) -> TrainingSample | PCVOSError:
        """Return the sample at a position, or why there is none."""
        try:
            return self.mixed[position]
        except PCVOSError as error:
            return error


class Positions:
    """A batch sampler: the positions that one process takes of each step's batch.

    Args:
        first: Step to begin with.
        steps: Steps in the whole training.
        batch: Samples a step, all processes together.
        rank: This process.
        processes: All of them; divides ``batch``.
    """

    def __init__(self, first: int, steps: int, batch: int, *, rank: int, processes: int) -> None:
        self.first, self.steps, self.batch = first, steps, batch
        self.share = batch // processes
        self.rank = rank

    def __len__(self) -> int:
        """Return the number of steps left."""
        return max(0, self.steps - self.first)

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.first, self.steps):
            start = step * self.batch + self.rank * self.share
            yield list(range(start, start + self.share))


def collate_or_error(
    samples: Sequence[TrainingSample | PCVOSError],
) -> TrainingBatch | PCVOSError:
    """Stack samples, or return the first error among them."""
    good = []
    for sample in samples:
        if isinstance(sample, PCVOSError):
            return sample
        good.append(sample)
    return collate(good)


def open_feed(
    mixed: MixedDataset, positions: Positions, *, workers: int, pin_memory: bool = False
) -> Iterator[TrainingBatch]:
    """Yield the batch of every step from ``positions.first`` on.

    Args:
        mixed: Samples by position.
        positions: Which of them make the batches.
        workers: Processes that make samples, a few batches ahead; 0 makes them here.
        pin_memory: Into page-locked memory, for CUDA.

    Raises:
        PCVOSError: If a source has nothing usable left.
        RuntimeError: If a worker was killed.
    """
    options: dict[str, Any] = {}
    if workers:
        # Spawned: a fork of a process that has run OpenMP threads can hang.
        options = {
            "multiprocessing_context": "spawn",
            "worker_init_fn": _quieten_worker,
            "prefetch_factor": 4,
        }
    loader = DataLoader(
        SampleStream(mixed),
        batch_sampler=positions,
        num_workers=workers,
        collate_fn=collate_or_error,
        generator=torch.Generator(),  # The global one stays as a resumed run finds it.
        pin_memory=pin_memory,
        **options,
    )
    for batch in loader:
        if isinstance(batch, PCVOSError):
            raise batch
        yield batch


def _quieten_worker(worker: int) -> None:
    """Leave the cores to the training process, and Ctrl-C to its handler."""
    start_worker(worker)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
