"""Several sources as one data set whose samples depend on the seed and the position alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from model.data.sample import Problem, SampleSource, TrainingSample
from model.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Ingredient:
    """A source and how often it is drawn.

    Attributes:
        source: The source.
        weight: Each of its items counts this many times; the paper counts those of DAVIS 5 times.
        probability: Draw it with this probability whatever its size, or ``None``.
    """

    source: SampleSource
    weight: float = 1.0
    probability: float | None = None


class MixedDataset(Dataset[TrainingSample]):
    """A map-style data set over positions 0, 1, 2, ... of a training run.

    Position, not epoch: sample ``p`` is drawn by a generator seeded with ``(seed, p)``, so it
    does not depend on the number of workers, on processes, or on where a run was resumed.
    Items are drawn with replacement. Positions beyond ``len`` are valid.

    Args:
        ingredients: At least one.
        seed: Of the whole run.
        length: What ``len`` says; ``None`` is the number of items times their weights.
        max_gap: Largest inter-clip gap, or a function of the position (``GapSchedule``).

    Raises:
        ConfigError: If weights or probabilities make no distribution.
    """

    def __init__(
        self,
        ingredients: Sequence[Ingredient],
        *,
        seed: int,
        length: int | None = None,
        max_gap: int | Callable[[int], int] = 5,
    ) -> None:
        if not ingredients:
            raise ConfigError("no training data: name at least one source")
        if seed < 0:
            raise ConfigError(f"the seed must not be negative, got {seed}")
        self.ingredients = tuple(ingredients)
        self.seed = seed
        self.max_gap = max_gap
        self.probabilities = _probabilities(self.ingredients)
        items = sum(len(part.source) * part.weight for part in self.ingredients)
        self._length = length if length is not None else max(round(items), 1)

    def __len__(self) -> int:
        """Return the nominal number of samples."""
        return self._length

    @property
    def problems(self) -> list[Problem]:
        """Items that were skipped when the sources were opened."""
        return [problem for part in self.ingredients for problem in part.source.problems]

    def __getitem__(self, position: int) -> TrainingSample:
        """Make the sample of ``position``, 0 or more.

        Raises:
            InputError: If a source has nothing usable.
        """
        if position < 0:
            raise IndexError(f"positions count from 0, got {position}")
        rng = np.random.default_rng((self.seed, position))
        max_gap = self.max_gap(position) if callable(self.max_gap) else self.max_gap
        source = self.ingredients[
            int(rng.choice(len(self.probabilities), p=self.probabilities))
        ].source
        return source.sample(int(rng.integers(len(source))), rng, max_gap=max_gap)


def _probabilities(ingredients: Sequence[Ingredient]) -> NDArray[np.float64]:
    fixed = sum(part.probability or 0.0 for part in ingredients)
    sized = [
        len(part.source) * part.weight if part.probability is None else 0.0 for part in ingredients
    ]
    valid = all(
        part.weight > 0 and (part.probability is None or 0 < part.probability <= 1)
        for part in ingredients
    )
    if not valid or fixed > 1 + 1e-9 or (fixed < 1 - 1e-9 and not sum(sized)):
        raise ConfigError(
            "weights must be positive, and probabilities in (0, 1] with a sum of at most 1 "
            "(of 1 where every source has one), got "
            + ", ".join(f"{p.source.name}: {p.weight} / {p.probability}" for p in ingredients)
        )
    total = sum(sized)
    chances = np.array(
        [
            part.probability if part.probability is not None else (1 - fixed) * size / total
            for part, size in zip(ingredients, sized, strict=True)
        ]
    )
    return chances / chances.sum()


def start_worker(worker_id: int) -> None:
    """Keep a data worker to one thread; give it to ``DataLoader(worker_init_fn=...)``."""
    del worker_id
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
