"""The settings of a benchmark, and its clips, made or given."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.errors import ConfigError, MaskError
from pcvos_cli.benchmarking.scene import MovingShapes
from pcvos_cli.files import write_whole
from pcvos_cli.masks.writers import encode_palette_png
from pcvos_cli.run.references import load_references
from pcvos_cli.run.settings import SegmentSettings
from pcvos_cli.video.encoding import write_video
from pcvos_cli.video.source import open_source

DEFAULT_SIZE = 480
"""Short edge of a made clip where the size is left to the source."""


@dataclass(frozen=True, slots=True)
class BenchmarkSettings:
    """Settings of a benchmark.

    Attributes:
        segment: Size, weights, device and threads.
        intervals: L, each measured by itself.
        objects: Numbers of objects; empty for all that the mask has (1 in a made clip).
        frames: Frames of the clip to use; ``None`` for the first one and two clips of the
            largest L.
        repeats: Measured runs of each kind.
        video: The clip; ``None`` makes one.
        mask: The mask of its first frame.
    """

    segment: SegmentSettings
    intervals: tuple[int, ...] = (5, 10, 15, 25)
    objects: tuple[int, ...] = ()
    frames: int | None = None
    repeats: int = 3
    video: Path | None = None
    mask: Path | None = None

    def __post_init__(self) -> None:
        """Refuse values that mean nothing.

        Raises:
            ConfigError: Naming the option and the value.
        """
        for name in ("intervals", "objects"):
            if any(value < 1 for value in getattr(self, name)):
                raise ConfigError(f"--{name}: give numbers above 0")
        if not self.intervals:
            raise ConfigError("--intervals needs at least one value")
        if self.repeats < 1:
            raise ConfigError(f"--repeats must be at least 1, got {self.repeats}")
        if self.frames is not None and self.frames < 2:
            raise ConfigError(f"--frames must be at least 2, got {self.frames}")
        if (self.video is None) != (self.mask is None):
            raise ConfigError("--video and --mask belong together")

    @property
    def wanted_frames(self) -> int:
        """Frames of the clip, if it is long enough."""
        return self.frames or 1 + 2 * max(self.intervals)


def clips_to_measure(settings: BenchmarkSettings, folder: Path) -> Iterator[tuple[Path, Path]]:
    """Yield a video and the mask of its first frame for each number of objects.

    Args:
        settings: Of the benchmark.
        folder: Receives made clips and masks.

    Raises:
        ConfigError: A number of objects that cannot be had.
        PCVOSError: The video or the mask cannot be read, the folder not written.
    """
    if settings.video is None or settings.mask is None:
        edge = settings.segment.size
        height = edge if isinstance(edge, int) else DEFAULT_SIZE
        height += height % 2  # H.264 needs even sizes.
        size = (height, 2 * round(height * 8 / 9))
        for objects in settings.objects or (1,):
            scene = MovingShapes(size, objects)
            video = folder / f"{objects}.mp4"
            write_video(video, scene.frames(settings.wanted_frames), size)
            yield video, _write_mask(folder, scene.labels(0), range(1, objects + 1))
        return
    with open_source(settings.video) as source:
        loaded = load_references([str(settings.mask)], source)
    if len(loaded) != 1 or loaded[0].frame_index != 0:
        raise MaskError(f"{settings.mask}: give one mask, of the video's first frame")
    ids = loaded[0].object_ids
    for objects in settings.objects or (len(ids),):
        if objects > len(ids):
            raise ConfigError(
                f"--objects {objects}: {settings.mask} has {len(ids)}",
                hint="leave --video out to have a clip with as many objects as you like",
            )
        yield settings.video, _write_mask(folder, loaded[0].labels, ids[:objects])


def _write_mask(folder: Path, labels: NDArray[np.int32], ids: Sequence[int]) -> Path:
    """Write the objects' mask with ids from 1 on, since cost does not depend on them."""
    renumbered = np.zeros_like(labels)
    for number, object_id in enumerate(ids, 1):
        renumbered[labels == object_id] = number
    path = folder / f"{len(ids)}.png"
    write_whole(path, encode_palette_png(renumbered))
    return path
