"""Crops of single objects, for training on prompts: a picture with a mask, zoomed in."""

import math
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from model.data.davis import davis_videos, is_davis
from model.data.images import Pixels, read_image
from model.data.sample import MAX_ATTEMPTS, Problem, TrainingSample, UnusableItemError
from model.data.sequences import read_object_ids
from model.data.stills import StillFolder
from model.data.transforms import AugmentConfig, random_colour_matrix, recolour
from model.errors import InputError
from model.ops.zoom import Window, zoom, zoom_window

MIN_OBJECT_SHARE = 0.003
"""Of the crop: smaller objects are passed over."""

CLOSE = 0.65
"""Chance of a crop about an object as a box gives it; else it shows more, up to everything."""

AUGMENT = AugmentConfig()
"""Colours and mirroring."""


class ObjectCrops:
    """A source that makes one-frame samples: one object each, at all scales of context.

    Args:
        root: Stills with masks (see ``model.data.stills``), or videos in DAVIS layout, of
            which any frame is taken.
        size: ``(height, width)`` of the crops, pixels.

    Raises:
        InputError: If the folder is missing or nothing in it is usable.
    """

    def __init__(self, root: Path, size: tuple[int, int]) -> None:
        self.name = root.name
        self.root = root
        self.size = size
        self._pictures: _Frames | StillFolder = (
            _Frames(root) if is_davis(root) else StillFolder(root)
        )
        self.problems = self._pictures.problems

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self._pictures)

    def sample(self, index: int, rng: np.random.Generator, *, max_gap: int = 5) -> TrainingSample:  # noqa: ARG002
        """Make a crop of picture ``index``; see ``SampleSource``. Its labels are 0 and 1.

        Raises:
            InputError: If too many pictures in a row cannot be used.
        """
        problems: list[Problem] = []
        for _ in range(MAX_ATTEMPTS):
            try:
                image, labels = self._pictures.load(index, rng, 1)
                window = _random_window(labels, rng)
            except UnusableItemError as error:
                problems.append(error.problem)
                index = int(rng.integers(len(self)))
                continue
            crop = zoom(image, window, self.size)
            mask = zoom(labels * np.uint8(255), window, self.size) > 127
            if mask.mean() < MIN_OBJECT_SHARE:
                index = int(rng.integers(len(self)))
                continue
            if rng.random() < AUGMENT.flip:
                crop, mask = crop[:, ::-1], mask[:, ::-1]
            crop = recolour(np.ascontiguousarray(crop), random_colour_matrix(rng, AUGMENT))
            return TrainingSample(
                frames=torch.from_numpy(crop.transpose(2, 0, 1)[None].copy()),
                labels=torch.from_numpy(mask[None].astype(np.uint8)),
                object_count=1,
                source=f"{self.name} {index}",
                problems=tuple(problems),
            )
        raise InputError(
            f"{self.root}: {MAX_ATTEMPTS} pictures in a row cannot be used"
            + (f"; last: {problems[-1]}" if problems else "")
        )


class _Frames:
    """Single frames of videos in DAVIS layout; stands in for a ``StillFolder``."""

    def __init__(self, root: Path) -> None:
        videos, self.problems = davis_videos(root, minimum=1)
        self._frames = [
            pair for video in videos for pair in zip(video.frames, video.masks, strict=True)
        ]
        if not self._frames:
            raise InputError(f"{root}: no frame with a mask")

    def __len__(self) -> int:
        return len(self._frames)

    def load(
        self, index: int, rng: np.random.Generator, max_objects: int
    ) -> tuple[Pixels, NDArray[np.uint8]]:
        frame, mask = self._frames[index % len(self)]
        labels = read_object_ids(mask)
        areas = np.bincount(labels.ravel())
        areas[0] = 0
        ids = rng.permutation(np.flatnonzero(areas >= labels.size * MIN_OBJECT_SHARE / 4))
        if not ids.size:
            raise UnusableItemError(mask, "no object to be seen")
        image = read_image(frame)
        if image.shape[:2] != labels.shape:
            raise UnusableItemError(mask, "mask and frame differ in size")
        table = np.zeros(256, np.uint8)
        table[ids[:max_objects]] = np.arange(1, len(ids[:max_objects]) + 1)
        return image, table[labels]


def _random_window(labels: NDArray[np.uint8], rng: np.random.Generator) -> Window:
    """Return a window that holds the object, or most of it, somewhere about its middle."""
    left, top, width, height = cv2.boundingRect(labels)
    size = (labels.shape[0], labels.shape[1])
    if rng.random() < CLOSE:
        margin = float(rng.uniform(1.2, 1.7))
    else:
        fill = max(width / size[1], height / size[0])
        margin = math.exp(rng.uniform(math.log(1.5), math.log(max(2.0, min(1.2 / fill, 8)))))
    slack = np.array([width, height]) * (margin - 1) / 2
    shift = rng.uniform(-0.7, 0.7, 2) * slack
    stretch = np.exp(rng.uniform(-0.15, 0.15, 2)) * np.array([width, height]) / 2
    middle = np.array([left + width / 2, top + height / 2]) + shift
    box = (*(middle - stretch), *(middle + stretch))
    return zoom_window(tuple(map(float, box)), size, margin=margin)  # type: ignore[arg-type]
