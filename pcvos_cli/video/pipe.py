"""A video that comes through a pipe: read once, as a stream."""

import contextlib
import itertools
import os
import select
from collections.abc import Generator, Iterator
from io import FileIO
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError

from model.errors import InputError
from pcvos_cli.video.faults import Faults
from pcvos_cli.video.reader import VideoSource, decode_pictures, video_stream
from pcvos_cli.video.source import STDIN, Frame

_WAIT_SECONDS = 0.5
"""Between two looks whether somebody writes, so that Ctrl-C ends the wait."""


class PipeSource(VideoSource):
    """Frames of a video on standard input or in a named pipe, decoded as they come.

    It can be iterated once. Its sound is not read: the writers open a file again for it.

    Args:
        path: The pipe, or ``-`` for standard input. Waits until somebody writes.
        value_range: As of a file; ``None`` for what the first frame spans.

    Raises:
        ConfigError: As of a file.
        InputError: It is no video, or one whose index comes last.
    """

    def __init__(self, path: Path, *, value_range: tuple[float, float] | None = None) -> None:
        self._path = path
        self._given = value_range
        self._faults = Faults()
        self._running = []
        self._begun = False
        self._ended = contextlib.ExitStack()
        pipe = self._ended.enter_context(_open(path))
        try:
            self._container = _container(pipe, path)
            self._ended.callback(self._container.close)
            stream = video_stream(self._container, path)
            self._decoded = decode_pictures(self._container, stream, self._faults, path)
            self._first = next(self._decoded, None)
            if self._first is None:
                raise InputError(f"{path}: no frame could be decoded", hint=_HINT)
            self._look(self._container, stream, self._first)
            self._ended.callback(self._decoded.close)
        except BaseException:
            self._ended.close()
            raise

    @property
    def notes(self) -> list[str]:
        """As of a file, and that there is no sound."""
        said = super().notes
        if self._info.has_audio:
            said.append("the sound of a pipe is not carried over")
        return said

    def _frames(self, first: int) -> Iterator[Frame]:
        """As of a file; the second time an error."""
        if self._begun:
            raise InputError(
                f"{self._path}: a pipe can be read once only",
                hint="write it to a file first, and give that",
            )
        self._begun = True
        return self._start(first)

    def _pass(self, faults: Faults, first: int) -> Generator[Frame, None, None]:
        assert self._first is not None
        with self._ended:
            pictures = itertools.chain([self._first], self._decoded)
            self._first = None
            yield from self._shown(pictures, self._container, faults, first)

    def close(self) -> None:
        """End the iteration. Safe to call twice and from another thread."""
        super().close()
        if not self._begun:
            self._begun = True
            self._ended.close()


_HINT = (
    "MP4 in a pipe needs its index first (ffmpeg -movflags +frag_keyframe+empty_moov), or send "
    "Matroska (-f matroska); or write it to a file"
)


def _open(path: Path) -> FileIO:
    """Open a pipe once somebody writes to it.

    Raises:
        InputError: It cannot be opened.
    """
    try:
        if str(path) == STDIN:
            return FileIO(os.dup(0))
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        while not select.select([number], [], [], _WAIT_SECONDS)[0]:
            pass
        os.set_blocking(number, True)
        return FileIO(number)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error})", hint="check the pipe") from error


def _container(file: FileIO, path: Path) -> InputContainer:
    """Open the video in a pipe.

    Raises:
        InputError: It is no video, or none that can be read as it comes.
    """
    pipe = _Unseekable(file)
    try:
        return av.open(pipe, mode="r", metadata_errors="replace")
    except (FFmpegError, OSError) as error:
        if not pipe.began:
            raise InputError(
                f"{path}: ended without a byte", hint="look at what should write to it"
            ) from error
        raise InputError(
            f"{path}: no video that can be read as it comes ({error.strerror or error})", hint=_HINT
        ) from error


class _Unseekable:
    """The reading side of a pipe, as PyAV takes files."""

    def __init__(self, file: FileIO) -> None:
        self._file = file
        self.began = False

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes; none at the end."""
        content = self._file.read(size) or b""
        self.began = self.began or bool(content)
        return content
