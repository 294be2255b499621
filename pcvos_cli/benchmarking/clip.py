"""The settings of a benchmark, and its clips: given, or made, which are always the same."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from model.errors import ConfigError, MaskError
from pcvos_cli.files import write_whole
from pcvos_cli.masks.writers import encode_palette_png
from pcvos_cli.run.references import load_references
from pcvos_cli.run.settings import SegmentSettings
from pcvos_cli.video.encoding import write_video
from pcvos_cli.video.source import open_source

DEFAULT_SIZE = 480
"""Short edge of a made clip where ``--size`` is no number."""

MIN_RADIUS = 3
"""Pixels; a smaller ellipse is not an object to segment."""

MAX_OBJECTS = 254
"""Ids that an 8-bit mask can hold: 255 means void there."""


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


class MovingShapes:
    """A scene with a panning textured background and an ellipse for each object.

    Each ellipse stays in a cell of its own, so none hides another.

    Args:
        size: ``(height, width)`` in pixels.
        objects: Number of ellipses, ids 1 to ``objects``.

    Raises:
        ConfigError: If they would be too small to be seen.
    """

    def __init__(self, size: tuple[int, int], objects: int) -> None:
        self._size = size
        self._columns = math.ceil(math.sqrt(objects))
        self._rows = math.ceil(objects / self._columns)
        cell = min(size[0] / self._rows, size[1] / self._columns)
        self._radius = 0.3 * cell
        if self._radius < MIN_RADIUS or objects > MAX_OBJECTS:
            raise ConfigError(
                f"--objects {objects}: too many for a made clip of {size[1]} x {size[0]}",
                hint="choose fewer objects or a larger --size",
            )
        self._objects = objects
        random = np.random.default_rng(0)
        self._textures = [_texture(random, size) for _ in range(objects + 1)]

    def labels(self, index: int) -> NDArray[np.int32]:
        """Return the ``(H, W)`` ids of frame ``index``."""
        labels = np.zeros(self._size, np.uint8)
        for k in range(self._objects):
            row, column = divmod(k, self._columns)
            phase = index / 12 + k
            x = (column + 0.5 + 0.18 * math.cos(phase)) * self._size[1] / self._columns
            y = (row + 0.5 + 0.18 * math.sin(phase)) * self._size[0] / self._rows
            axes = (round(self._radius), round(0.7 * self._radius))
            turn = 4.0 * index + 40 * k
            cv2.ellipse(labels, (round(x), round(y)), axes, turn, 0, 360, k + 1, cv2.FILLED)
        return labels.astype(np.int32)

    def frames(self, count: int) -> Iterator[NDArray[np.uint8]]:
        """Yield ``count`` frames, ``(H, W, 3)`` RGB."""
        for index in range(count):
            labels = self.labels(index)
            rgb = np.roll(self._textures[0], (index, 2 * index), axis=(0, 1))
            for k in range(1, self._objects + 1):
                inside = labels == k
                # Textures move with their object only roughly: the model does not care.
                moved = np.roll(self._textures[k], (-index, index), axis=(0, 1))
                rgb[inside] = moved[inside]
            yield rgb


def _texture(random: np.random.Generator, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return smooth noise around a colour of its own, ``(H, W, 3)``."""
    height, width = size
    coarse = random.integers(-60, 61, (max(2, height // 12), max(2, width // 12), 3))
    colour = random.integers(70, 186, 3)
    noise = cv2.resize((coarse + colour).astype(np.float32), (width, height))
    return np.clip(noise.reshape(height, width, 3), 0, 255).astype(np.uint8)
