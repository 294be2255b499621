"""A source of frames, a video file or a folder of images, and a range of its frames."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from model.errors import ConfigError

STDIN = "-"
"""The input that means standard input."""


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """Facts of a source, known before it is decoded.

    Attributes:
        path: The file or folder.
        height: Rows of a displayed frame (rotation applied), in pixels.
        width: Columns of a displayed frame.
        coded_size: ``(height, width)`` as stored, before rotation.
        fps: Average frames a second (a folder's is the ``--fps`` option).
        frame_count: Frames the container promises, or ``None`` if it does not say. May lie.
        time_base: Seconds per unit of ``Frame.pts``.
        rotation: Degrees, counter-clockwise, by which decoded frames are turned upright.
        has_audio: The container has an audio stream.
        is_folder: The source is a folder of images.
        value_range: Values of the images that are shown as black and as white, where that
            had to be chosen.
        name_digits: Digits of the name of a video's frame.
    """

    path: Path
    height: int
    width: int
    coded_size: tuple[int, int]
    fps: Fraction
    frame_count: int | None
    time_base: Fraction
    rotation: int = 0
    has_audio: bool = False
    is_folder: bool = False
    value_range: tuple[float, float] | None = None
    name_digits: int = 5

    def frame_name(self, index: int) -> str:
        """Return the output name of a video's frame; names sort as the frames follow."""
        return f"{index:0{self.name_digits}d}"


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded frame.

    Attributes:
        index: 0-based position in the source.
        name: Stem of its outputs: the file's stem for a folder; for a video the index, in five
            digits or as many as its last frame needs.
        pts: Presentation time in units of ``VideoInfo.time_base``.
        rgb: ``(H, W, 3)`` uint8, upright.
    """

    index: int
    name: str
    pts: int
    rgb: NDArray[np.uint8]


class FrameSource(ABC):
    """Frames in order, decoded as they are asked for. A context manager.

    A kind of source sets ``_info`` and yields its frames from ``_frames``, which ends once
    ``_closed`` is set.
    """

    _info: VideoInfo
    _closed = False

    @property
    def info(self) -> VideoInfo:
        """Facts of the source, known before decoding."""
        return self._info

    @property
    def notes(self) -> list[str]:
        """How the source is understood, for the user; may grow while decoding."""
        return []

    @property
    def warnings(self) -> list[str]:
        """Faults so far that did not end the stream; grows while decoding."""
        return []

    def frame_index(self, name: str) -> int | None:
        """Return the index of the frame with this output name, or ``None``."""
        return int(name) if name.isascii() and name.isdigit() else None

    def frame_numbered(self, number: str) -> str | None:  # noqa: ARG002
        """Return the output name of the only frame that has this number in its name, if any."""
        return None

    def __iter__(self) -> Iterator[Frame]:
        """Read from the first frame on; errors as ``frames_from``."""
        return self.frames_from(0)

    def frames_from(self, first: int) -> Iterator[Frame]:
        """Yield the frames from index ``first`` on; they keep their index, name and pts.

        Raises:
            InputError: A frame cannot be read.
            ValueError: The source was closed.
        """
        if self._closed:
            raise ValueError(f"{self._info.path}: the source is closed")
        return self._frames(first)

    @abstractmethod
    def _frames(self, first: int) -> Iterator[Frame]: ...

    def close(self) -> None:
        """End every iteration and release the file. Safe to call twice and in mid-iteration."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class FrameRange:
    """Frames ``first`` to ``last`` of a source, by index.

    Attributes:
        first: 0-based index of the first frame.
        last: Index of the last frame, included; ``None`` for the source's last.
    """

    first: int = 0
    last: int | None = None

    def __contains__(self, index: int) -> bool:
        """Whether the frame lies inside."""
        return self.first <= index and (self.last is None or index <= self.last)

    def end(self, frame_count: int | None) -> int | None:
        """Return the index after the last frame, ``None`` if nobody knows.

        Args:
            frame_count: Frames the source promises, or ``None``.
        """
        return frame_count if self.last is None else self.last + 1

    def is_whole(self, frame_count: int | None) -> bool:
        """Whether that is every frame of a source that promises ``frame_count``."""
        return self.first == 0 and self.end(frame_count) == frame_count


def find_range(start: int | str | None, end: int | str | None, source: FrameSource) -> FrameRange:
    """Read ``--start`` and ``--end``: output names or indices.

    In a folder of images whose names are numbers, a name goes before an index.

    Args:
        start: First frame; ``None`` for the source's first.
        end: Last frame, included; ``None`` for the source's last.
        source: Whose frames they name.

    Raises:
        ConfigError: A frame is not there, or the end lies before the start.
    """
    first = 0 if start is None else frame_index(f"--start {start}", start, source)
    last = None if end is None else frame_index(f"--end {end}", end, source)
    if last is not None and last < first:
        raise ConfigError(
            f"--start is frame {first}, but --end is frame {last}",
            hint="the end comes last; both frames are included",
        )
    return FrameRange(first, last)


def frame_index(option: str, value: int | str, source: FrameSource) -> int:
    """Return the index of a frame by output name or index.

    Raises:
        ConfigError: It is not there, in words that begin with ``option``.
    """
    path, count = source.info.path, source.info.frame_count
    text = str(value)
    index = value if isinstance(value, int) else source.frame_index(text)
    if index is None and text.isascii() and text.isdigit():
        index = int(text)
    if index is None or index < 0:
        raise ConfigError(
            f"{option}: {path} has no such frame",
            hint="give an index (the first frame is 0) or a frame's output name",
        )
    if count is not None and index >= count:
        named = source.frame_numbered(text)
        raise ConfigError(
            f"{option}: {path} has {count} frames (0 to {count - 1})",
            hint="frames count from 0; without --end, the run goes on to the last"
            if named is None
            else f"the image of that number is called {named}",
        )
    return index


def open_source(
    path: Path,
    *,
    fps: Fraction = Fraction(24),
    exclude: Collection[Path] = (),
    value_range: tuple[float, float] | None = None,
    channel: int | None = None,
) -> FrameSource:
    """Open a video file or a folder of images.

    Args:
        path: Anything FFmpeg reads, a folder of images in natural order, or a pipe.
        fps: Frame rate that a folder of images is given.
        exclude: Images in that folder that are no frames.
        value_range: Values of the images, or of a video of more than 8 bits, that are shown as
            black and as white.
        channel: Which channel of a TIFF stack is shown, from 0 on.

    Raises:
        ConfigError: A video is given a ``channel``, or one of 8 bits a ``value_range``; or a
            stack has no such channel.
        InputError: Not found, zero bytes, no video stream, a folder without images.
    """
    if path.is_dir():
        from pcvos_cli.video.folder import FolderSource

        return FolderSource(path, fps=fps, exclude=exclude, value_range=value_range)
    if is_pipe(path):
        if channel is not None:
            raise ConfigError(f"--channel is for TIFF stacks, and {path} is a pipe")
        from pcvos_cli.video.pipe import PipeSource

        return PipeSource(path, value_range=value_range)
    if not path.is_file():
        from pcvos_cli.video.refusals import no_file

        raise no_file(path)
    if is_tiff(path):
        from pcvos_cli.video.tiff import TiffSource, is_stack

        if is_stack(path):  # FFmpeg shows one page, and of deep ones the upper bits.
            return TiffSource(path, fps, channel=channel, value_range=value_range)
    if channel is not None:
        raise ConfigError(f"--channel is for TIFF stacks, and {path} is none")
    other = _picture_file(path)
    if other is not None:
        if value_range is not None:
            other.close()
            raise ConfigError(f"--range is for values of more than 8 bits, and {path} has none")
        return other
    from pcvos_cli.video.reader import VideoSource

    return VideoSource(path, value_range=value_range)


def is_pipe(path: Path) -> bool:
    """Whether a path is standard input (``-``) or a named pipe, which can be read once."""
    return str(path) == STDIN or path.is_fifo()


def _picture_file(path: Path) -> FrameSource | None:
    """Open a file of several pictures of which FFmpeg shows none, or one; ``None`` for others."""
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError:
        return None  # The reader says what is wrong.
    if head[:4] == b"RIFF" and head[8:] == b"WEBP":
        from pcvos_cli.video.webp import WebPSource, frame_durations

        durations = frame_durations(path)
        return WebPSource(path, durations) if durations else None
    return None


def is_tiff(path: Path) -> bool:
    """Whether a file begins as a TIFF does."""
    try:
        with path.open("rb") as file:
            return file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
    except OSError:
        return False  # The reader says what is wrong.
