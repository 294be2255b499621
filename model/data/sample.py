"""Samples, batches and skipped items: they pass from the data to the trainer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.ops.frames import normalise

MIN_REFERENCE_SHARE = 0.005
"""An object counts when it covers at least this share of the sample's first frame."""

MAX_ATTEMPTS = 20
"""Items tried in a row before a source says that nothing in it is usable."""


@dataclass(frozen=True, slots=True)
class Problem:
    """An item of a data set that was skipped.

    Attributes:
        path: The file or folder.
        reason: What is wrong with it, without the path.
    """

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class UnusableItemError(Exception):
    """One item cannot be used; the source skips it and counts it. Never reaches a user.

    Args:
        path: The file or folder.
        reason: What is wrong with it.
    """

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(path, reason)
        self.problem = Problem(str(path), reason)


@dataclass(frozen=True, slots=True)
class TrainingSample:
    """A short video with exact masks.

    Attributes:
        frames: ``(T, 3, H, W)`` uint8, RGB, 0..255.
        labels: ``(T, H, W)`` uint8: 0 is background, 1..K are the objects. Each of the K
            objects covers at least ``MIN_REFERENCE_SHARE`` of frame 0; later it may vanish.
        object_count: K, at least 1.
        source: Name of the data set and the item, for messages.
        problems: Items that were skipped while this sample was made.
    """

    frames: Tensor
    labels: Tensor
    object_count: int
    source: str
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """Samples of one shape, stacked.

    Attributes:
        frames: ``(B, T, 3, H, W)`` float32, ImageNet-normalised.
        labels: ``(B, T, H, W)`` uint8, as in ``TrainingSample``.
        object_count: ``(B,)`` int64: K of each sample.
        sources: Names, one a sample.
        problems: Items that were skipped while the batch was made.
    """

    frames: Tensor
    labels: Tensor
    object_count: Tensor
    sources: tuple[str, ...]
    problems: tuple[Problem, ...] = ()

    def __len__(self) -> int:
        """Return the number of samples, ``B``."""
        return len(self.frames)

    def pin_memory(self) -> "TrainingBatch":
        """Return a copy in page-locked memory; ``DataLoader(pin_memory=True)`` calls this."""
        return TrainingBatch(
            self.frames.pin_memory(),
            self.labels.pin_memory(),
            self.object_count.pin_memory(),
            self.sources,
            self.problems,
        )


class SampleSource(Protocol):
    """A data set that makes samples: map-style, and random only through ``rng``."""

    @property
    def name(self) -> str:
        """Short name for messages."""

    @property
    def problems(self) -> Sequence[Problem]:
        """Items that were found unusable when the source was opened."""

    def __len__(self) -> int:
        """Return the number of items."""

    def sample(self, index: int, rng: np.random.Generator, *, max_gap: int = 5) -> TrainingSample:
        """Make a sample of item ``index``.

        Args:
            index: Item, taken modulo the number of items.
            rng: The only source of randomness: the same state gives the same sample.
            max_gap: Largest step between two clips of a video, in frames.

        Raises:
            InputError: If neither this nor ``MAX_ATTEMPTS`` other items can be used.
        """


def keep_visible(
    labels: NDArray[np.uint8], share: float = MIN_REFERENCE_SHARE
) -> tuple[NDArray[np.uint8], int]:
    """Renumber the objects that frame 0 shows well to 1..K; the others become background.

    Args:
        labels: ``(T, H, W)`` uint8.
        share: Of the frame that an object must cover.

    Returns:
        The labels and K, possibly 0.
    """
    area = np.bincount(labels[0].ravel(), minlength=256)
    visible = area >= share * labels[0].size
    visible[0] = False
    table = np.zeros(256, np.uint8)
    table[visible] = np.arange(1, visible.sum() + 1)
    return table[labels], int(visible.sum())


def collate(samples: Sequence[TrainingSample]) -> TrainingBatch:
    """Stack samples of one shape to a batch.

    Raises:
        ValueError: If there is no sample, or frames differ in shape.
    """
    shapes = {tuple(sample.frames.shape) for sample in samples}
    if len(shapes) != 1:
        raise ValueError(f"samples of a batch must share one shape, got {sorted(shapes)}")
    return TrainingBatch(
        frames=normalise(torch.stack([sample.frames for sample in samples])),
        labels=torch.stack([sample.labels for sample in samples]),
        object_count=torch.tensor([sample.object_count for sample in samples]),
        sources=tuple(sample.source for sample in samples),
        problems=tuple(problem for sample in samples for problem in sample.problems),
    )
