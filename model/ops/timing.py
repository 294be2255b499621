"""A clock that adds up seconds by stage."""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

T = TypeVar("T")


class StageClock:
    """Adds up the seconds that each named stage took.

    On CUDA it waits for the device at both ends of a stage when ``synchronise`` is set, so
    that a stage is charged for its own work; leave it unset where speed itself matters.
    """

    def __init__(self, *, synchronise: bool = False) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._synchronise = synchronise

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Charge the enclosed block to ``stage``."""
        self._wait()
        start = time.perf_counter()
        try:
            yield
        finally:
            self._wait()
            self.seconds[stage] += time.perf_counter() - start

    def each(self, stage: str, items: Iterable[T]) -> Iterator[T]:
        """Yield items, and charge what it takes to make them to ``stage``."""
        iterator = iter(items)
        while True:
            with self(stage):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    def _wait(self) -> None:
        if self._synchronise and torch.cuda.is_available():
            torch.cuda.synchronize()
