"""Synthetic video: things move, bend and hide each other before photographs.

What real video teaches is asked for on purpose: camera pans and a camera that follows,
articulated motion, occluders, look-alikes that are no target, things that leave and come
back, thin parts, changing light, blur, noise. The scenes are planned in ``scenes``.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from model.data.images import ImageCache
from model.data.sample import MAX_ATTEMPTS, Problem, TrainingSample, keep_visible
from model.data.sampling import random_gaps
from model.data.synthetic.config import SyntheticConfig
from model.data.synthetic.cutouts import Props
from model.data.synthetic.scenes import Director
from model.errors import ConfigError

_NOMINAL_LENGTH = 1000


class SyntheticVideo:
    """A source of synthetic video with exact masks.

    Without any folder it works too, with procedural pictures and drawn shapes.

    Args:
        size: ``(height, width)`` of the frames, pixels.
        frame_count: T.
        clip_length: N; decides which gaps are inter-clip.
        max_objects: Largest K.
        photos: Folders of photos, for backgrounds and textures.
        objects: Folders of annotated stills, or of sprites (images with alpha), to cut
            things out of.
        config: How often things happen.

    Raises:
        InputError: If a folder is missing or nothing in it is usable.
        ConfigError: If the sizes make no sense.
    """

    def __init__(
        self,
        size: tuple[int, int] = (256, 256),
        *,
        frame_count: int = 7,
        clip_length: int = 3,
        max_objects: int = 2,
        photos: Sequence[Path] = (),
        objects: Sequence[Path] = (),
        config: SyntheticConfig | None = None,
    ) -> None:
        if min(size) < 32 or frame_count < 2 or clip_length < 1 or not 1 <= max_objects <= 254:
            raise ConfigError(
                f"synthetic video: cannot make {frame_count} frames of {size[0]} x {size[1]} "
                f"with up to {max_objects} objects and clips of {clip_length}"
            )
        self.size = size
        self.frame_count = frame_count
        self.clip_length = clip_length
        self.max_objects = max_objects
        self.config = config or SyntheticConfig()
        self.props = Props(photos, objects, ImageCache())
        self.problems = self.props.problems
        self.name = "synthetic" if photos or objects else "synthetic (procedural)"

    def __len__(self) -> int:
        """Return the number of photos and annotated items: a nominal epoch."""
        return len(self.props) or _NOMINAL_LENGTH

    def sample(self, index: int, rng: np.random.Generator, *, max_gap: int = 5) -> TrainingSample:
        """Make a sample; see ``SampleSource``. ``index`` only names it.

        Raises:
            InputError: If too many files in a row are unreadable.
        """
        gaps = random_gaps(self.frame_count, self.clip_length, rng, max_gap=max_gap)
        times = np.concatenate([[0], np.cumsum(gaps)]).astype(np.float64)
        problems: list[Problem] = []
        for attempt in range(MAX_ATTEMPTS):
            director = Director(
                self.props,
                self.config,
                self.size,
                self.max_objects,
                times,
                rng,
                plain=attempt >= MAX_ATTEMPTS // 2,
            )
            frames, labels = director.shoot()
            problems += director.problems
            labels, count = keep_visible(labels, self.config.min_share)
            if count:
                return TrainingSample(
                    frames=torch.from_numpy(frames.transpose(0, 3, 1, 2).copy()),
                    labels=torch.from_numpy(labels),
                    object_count=count,
                    source=f"{self.name} {index}",
                    problems=tuple(problems),
                )
        raise AssertionError("a plain scene has its target in view")
