"""Stage one: a short "video" made of one still image (paper, section 3.6).

Every frame is the image under a random affine map, a smooth elastic deformation and a
change of colour of its own; the mask moves along.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from model.data.deformation import Floats, random_deformation
from model.data.sample import MAX_ATTEMPTS, Problem, TrainingSample, keep_visible
from model.data.stills import StillFolder
from model.data.transforms import (
    AugmentConfig,
    affine,
    fitting_view,
    random_colour_matrix,
    recolour,
    warp,
)
from model.errors import InputError

ROTATION = 20.0
"""How far frames of a still image differ, to either side: in degrees, ..."""

SHIFT = 0.12
"""... in shares of the shorter side, ..."""

SCALE = 0.2
"""... in the natural logarithm of the size, ..."""

SHEAR = 0.12
"""... and in the tangent."""

ELASTIC = 0.06
"""Largest deformation, halves of the longer side."""

AUGMENT = AugmentConfig(crop_area=(0.45, 1.0))
"""View and colour, once a frame sequence."""


class StaticImages:
    """A source that makes a few frames of each still image.

    Args:
        root: Folder of images with masks; see ``model.data.stills`` for the layouts.
        size: ``(height, width)`` of the frames, pixels.
        frame_count: T; the paper makes 3.
        max_objects: Largest K.

    Raises:
        InputError: If the folder is missing or nothing in it is usable.
    """

    def __init__(
        self,
        root: Path,
        size: tuple[int, int] = (384, 384),
        *,
        frame_count: int = 3,
        max_objects: int = 2,
    ) -> None:
        self.folder = StillFolder(root)
        self.name = self.folder.name
        self.problems: Sequence[Problem] = self.folder.problems
        self.size = size
        self.frame_count = frame_count
        self.max_objects = max_objects

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.folder)

    def sample(self, index: int, rng: np.random.Generator, *, max_gap: int = 5) -> TrainingSample:  # noqa: ARG002
        """Make frames of image ``index``; see ``SampleSource``.

        ``max_gap`` has no meaning for a still image: its frames have no order.

        Raises:
            InputError: If too many images in a row cannot be used.
        """
        problems: list[Problem] = []
        for _ in range(MAX_ATTEMPTS):
            image, stored, path, skipped = self.folder.load_any(index, rng, self.max_objects)
            problems += skipped
            view = fitting_view([stored], self.size, rng, AUGMENT)
            colour = random_colour_matrix(rng, AUGMENT)
            frames, labels = [], []
            for _ in range(self.frame_count):
                deformation = random_deformation(
                    rng, strength=rng.uniform(0, ELASTIC), joints=0, waves=5
                )
                matrix = self._frame_motion(rng) @ view
                frame, label = warp(image, stored, matrix, self.size, deformation)
                own_colour = random_colour_matrix(rng, AUGMENT)
                frames.append(recolour(recolour(frame, colour), own_colour))
                labels.append(label)
            visible, count = keep_visible(np.stack(labels))
            if count:
                return TrainingSample(
                    frames=torch.from_numpy(np.stack(frames).transpose(0, 3, 1, 2).copy()),
                    labels=torch.from_numpy(visible),
                    object_count=count,
                    source=f"{self.name} {path.name}",
                    problems=tuple(problems),
                )
            problems.append(Problem(str(path), "its objects are too small or left the crop"))
            index = int(rng.integers(len(self.folder)))
        raise InputError(
            f"{self.folder.root}: {MAX_ATTEMPTS} images in a row show no object in a "
            f"{self.size[0]} x {self.size[1]} crop; last: {problems[-1]}"
        )

    def _frame_motion(self, rng: np.random.Generator) -> Floats:
        height, width = self.size
        unit = SHIFT * min(self.size)
        moved = affine(
            scale=math.exp(SCALE * rng.uniform(-1, 1)),
            angle=math.radians(ROTATION * rng.uniform(-1, 1)),
            shear=SHEAR * rng.uniform(-1, 1),
            shift=(
                width / 2 + unit * rng.uniform(-1, 1),
                height / 2 + unit * rng.uniform(-1, 1),
            ),
        )
        return moved @ affine(shift=(-width / 2, -height / 2))
