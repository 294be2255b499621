"""Which frames of a video make a training sample (paper, sections 3.6 and 4.1)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.errors import ConfigError

INTRA_CLIP_GAP = 5
"""Largest step between two frames of one clip."""


def random_gaps(
    frame_count: int, clip_length: int, rng: np.random.Generator, *, max_gap: int = 5
) -> NDArray[np.int64]:
    """Return the steps between the frames of a sample: a reference, then clips.

    Args:
        frame_count: T, usually ``2 * clip_length + 1``.
        clip_length: N. The steps from the reference to the first clip and from clip to clip
            are *inter-clip*, those within a clip *intra-clip*.
        rng: Randomness.
        max_gap: Largest inter-clip step; intra-clip steps are at most that, and at most
            ``INTRA_CLIP_GAP``.

    Returns:
        ``(T - 1,)`` int64, each at least 1.
    """
    limits = np.full(frame_count - 1, min(INTRA_CLIP_GAP, max_gap))
    limits[::clip_length] = max_gap
    return rng.integers(1, limits + 1)


def sample_frames(
    video_length: int,
    frame_count: int,
    clip_length: int,
    rng: np.random.Generator,
    *,
    max_gap: int = 5,
) -> NDArray[np.int64]:
    """Choose the frames of a sample from a video.

    Half of the samples run backwards in time. Where the gaps do not fit into the video,
    random ones shrink until they do.

    Args:
        video_length: Frames in the video, at least ``frame_count``.
        frame_count: T.
        clip_length: N.
        rng: Randomness.
        max_gap: Largest inter-clip step.

    Returns:
        ``(T,)`` int64, strictly rising or strictly falling indices.

    Raises:
        ValueError: If the video is too short.
    """
    if video_length < frame_count:
        raise ValueError(f"{frame_count} frames wanted of a video of {video_length}")
    gaps = random_gaps(frame_count, clip_length, rng, max_gap=max_gap)
    while gaps.sum() > video_length - 1:
        gaps[rng.choice(np.flatnonzero(gaps > 1))] -= 1
    offsets = np.concatenate([[0], np.cumsum(gaps)])
    start = int(rng.integers(video_length - int(offsets[-1])))
    # Backwards, the reference is the latest frame: the gaps keep their order.
    return start + (offsets[-1] - offsets if rng.random() < 0.5 else offsets)


@dataclass(frozen=True, slots=True)
class GapSchedule:
    """The inter-clip gap over training: rises to ``peak``, holds, and anneals back.

    A function of the sample's position alone, so that data workers need not be told and a
    resumed run continues where it was.

    Attributes:
        total: Samples in the whole training.
        base: Gap at the start and at the end.
        peak: Largest gap.
        rise_end: Share of the training after which the peak is reached.
        fall_start: Share after which the gap falls.
        fall_end: Share after which it is ``base`` again.
    """

    total: int
    base: int = 5
    peak: int = 15
    rise_end: float = 0.3
    fall_start: float = 0.8
    fall_end: float = 0.9

    def __post_init__(self) -> None:
        """Refuse a schedule that cannot be followed.

        Raises:
            ConfigError: If ends are out of order or gaps are below 1.
        """
        if not 0 < self.rise_end <= self.fall_start < self.fall_end <= 1:
            raise ConfigError(
                "gap schedule: need 0 < rise_end <= fall_start < fall_end <= 1, got "
                f"{self.rise_end}, {self.fall_start}, {self.fall_end}"
            )
        if self.total < 1 or not 1 <= self.base <= self.peak:
            raise ConfigError(
                f"gap schedule: need total >= 1 and 1 <= base <= peak, got total {self.total}, "
                f"base {self.base}, peak {self.peak}"
            )

    def __call__(self, position: int) -> int:
        """Return the largest gap for the sample at ``position``."""
        progress = position / self.total
        bends = [0.0, self.rise_end, self.fall_start, self.fall_end]
        value = np.interp(progress, bends, [self.base, self.peak, self.peak, self.base])
        return round(float(value))
