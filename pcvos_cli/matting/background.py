"""What stands behind the objects of a composition: a colour, a picture, a video, or blur."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ImageColor

from model.errors import ConfigError
from pcvos_cli.masks.writers import FrameMasks
from pcvos_cli.video.folder import IMAGE_SUFFIXES, read_rgb
from pcvos_cli.video.source import FrameSource, open_source

BLUR = "blur"

Picture = NDArray[np.uint8]
Background = Callable[[FrameMasks, NDArray[np.uint8]], Picture]
"""Returns the ``(H, W, 3)`` background of a frame, given the alpha of what is before it."""

_SHRUNK = 8
"""Blur is computed at the size over this."""


def check_background(text: str) -> Path | None:
    """Return the file or folder that ``--background`` names, or ``None`` for colour and blur.

    Raises:
        ConfigError: It is neither.
        InputError: It cannot be read.
    """
    path = Path(text)
    if path.exists():
        if not _is_image(path):
            open_source(path).close()
        return path
    if text != BLUR:
        _colour(text)
    return None


def open_background(
    text: str, size: tuple[int, int], *, time_base: Fraction, fps: Fraction
) -> Background:
    """Return the background that ``--background`` names.

    Pictures and videos are scaled to cover the frame, and cut at the sides or at the top and
    bottom. A video runs along by time, from its start at the run's first frame, and begins
    again at its end.

    Args:
        text: ``blur``, a colour (``green``, ``#00b140``), a picture, a video, or a folder of
            images.
        size: ``(height, width)`` of the frames.
        time_base: Seconds a unit of ``FrameMasks.pts``.
        fps: Frame rate of a folder of images.

    Raises:
        ConfigError: It is none of these.
        InputError: A file cannot be read.
    """
    path = check_background(text)
    if path is None:
        if text == BLUR:
            return lambda frame, alpha: _blurred(frame.rgb, alpha)
        plain: Picture = np.broadcast_to(np.array(_colour(text), np.uint8), (*size, 3))
        return lambda _frame, _alpha: plain
    if _is_image(path):
        picture = _cover(read_rgb(path), size)
        return lambda _frame, _alpha: picture
    return _Moving(open_source(path, fps=fps), size, time_base)


def _is_image(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES


def _colour(text: str) -> tuple[int, int, int]:
    try:
        red, green, blue, *_ = ImageColor.getrgb(text)
    except ValueError:
        raise ConfigError(
            f"--background {text}: neither a file nor a colour",
            hint="give a colour (green, #00b140), an image, a video, or blur",
        ) from None
    return red, green, blue


def _blurred(rgb: Picture, alpha: NDArray[np.uint8]) -> Picture:
    """Blur what is not the objects, so that their colours do not glow around them."""
    height, width = alpha.shape
    small = (max(1, width // _SHRUNK), max(1, height // _SHRUNK))
    clear = 1 - alpha.astype(np.float32) / 255
    share = cv2.resize(clear, small, interpolation=cv2.INTER_AREA)
    image = cv2.resize(rgb * clear[..., None], small, interpolation=cv2.INTER_AREA)
    sigma = max(1.0, min(small) / 20)
    total = cv2.GaussianBlur(image, (0, 0), sigma)
    weight = cv2.GaussianBlur(share, (0, 0), sigma)[..., None]
    # Deep inside a large object there is nothing to blur: the mean of the rest.
    mean = image.reshape(-1, 3).sum(axis=0) / max(1e-3, float(share.sum()))
    found = (total + 1e-3 * mean) / (weight + 1e-3)
    grown = cv2.resize(found.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.rint(np.clip(grown, 0, 255)).astype(np.uint8)


class _Moving:
    """A video as background."""

    def __init__(self, source: FrameSource, size: tuple[int, int], time_base: Fraction) -> None:
        self._size, self._time_base = size, time_base
        self._coming = _endless(source)
        self._next = next(self._coming)
        self._begin: int | None = None  # Timestamp of the run's first frame.
        self._shown = _cover(self._next[1], size)

    def __call__(self, frame: FrameMasks, _alpha: NDArray[np.uint8]) -> Picture:
        """Return the picture that is shown at the frame's time."""
        if self._begin is None:
            self._begin = frame.pts
        now = (frame.pts - self._begin) * self._time_base
        due: Picture | None = None
        while self._next[0] <= now:
            due = self._next[1]
            self._next = next(self._coming)
        if due is not None:
            self._shown = _cover(due, self._size)
        return self._shown


def _endless(source: FrameSource) -> Iterator[tuple[Fraction, Picture]]:
    """Yield the seconds since the beginning and the picture of each frame, again and again."""
    begin = Fraction(0)
    while True:
        first: int | None = None
        time = begin
        for frame in source:
            first = frame.pts if first is None else first
            time = begin + (frame.pts - first) * source.info.time_base
            yield time, frame.rgb
        begin = time + 1 / source.info.fps


def _cover(rgb: Picture, size: tuple[int, int]) -> Picture:
    """Scale a picture so that it covers ``size``, and cut off what is over on both sides."""
    (height, width), (rows, columns) = rgb.shape[:2], size
    scale = max(rows / height, columns / width)
    grown = (max(columns, round(width * scale)), max(rows, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    scaled = cv2.resize(rgb, grown, interpolation=how)
    top, left = (grown[1] - rows) // 2, (grown[0] - columns) // 2
    return np.ascontiguousarray(scaled[top : top + rows, left : left + columns]).astype(np.uint8)
