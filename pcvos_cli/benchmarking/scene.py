"""A clip for those who have none at hand: textured ellipses that move, always the same."""

import math
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from model.errors import ConfigError

MIN_RADIUS = 3
"""Pixels; a smaller ellipse is not an object to segment."""

MAX_OBJECTS = 254
"""Ids that an 8-bit mask can hold: 255 means void there."""


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
