"""Animated WebP as a video, which FFmpeg does not decode and Pillow does."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from PIL import Image

from model.errors import InputError
from pcvos_cli.video.source import Frame, VideoInfo

_DEFAULT_MS = 100
"""Duration of a frame that states none, as browsers take it."""


def frame_durations(path: Path) -> list[int]:
    """Return the milliseconds of each frame of an animated WebP; none for a still or another file.

    They stand in the headers of its ``ANMF`` chunks, so no picture is decoded.
    """
    durations = []
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WEBP":
            return []
        while len(chunk := file.read(8)) == 8:
            length = int.from_bytes(chunk[4:], "little")
            start = file.tell()
            if chunk[:4] == b"ANMF":
                durations.append(int.from_bytes(file.read(16)[12:15], "little") or _DEFAULT_MS)
            file.seek(start + length + length % 2)
    return durations


class WebPSource:
    """Frames of an animated WebP, in its own timing.

    Args:
        path: The file.
        durations: As ``frame_durations``.

    Raises:
        InputError: It cannot be read.
    """

    def __init__(self, path: Path, durations: list[int]) -> None:
        self._closed = False
        self._pts = [sum(durations[:index]) for index in range(len(durations))]
        try:
            with Image.open(path, formats=("WEBP",)) as image:
                width, height = image.size
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise InputError(f"{path}: not a readable WebP ({error})") from error
        self._info = VideoInfo(
            path=path,
            height=height,
            width=width,
            coded_size=(height, width),
            rotation=0,
            fps=Fraction(1000 * len(durations), sum(durations)),
            frame_count=len(durations),
            time_base=Fraction(1, 1000),
            has_audio=False,
            is_folder=False,
        )

    @property
    def info(self) -> VideoInfo:
        """The source's facts, known before decoding."""
        return self._info

    @property
    def notes(self) -> list[str]:
        """Always empty."""
        return []

    @property
    def warnings(self) -> list[str]:
        """Always empty: a frame that cannot be read is an error."""
        return []

    def frame_index(self, name: str) -> int | None:
        """Return the index that ``name`` spells in digits, or ``None``."""
        return int(name) if name.isascii() and name.isdigit() else None

    def __iter__(self) -> Iterator[Frame]:
        """Read from the first frame on; errors as ``frames_from``."""
        return self.frames_from(0)

    def frames_from(self, first: int) -> Iterator[Frame]:
        """Read from index ``first`` on; those before are decoded too, for each builds on the last.

        Raises:
            InputError: A frame cannot be decoded.
            ValueError: The source was closed.
        """
        if self._closed:
            raise ValueError(f"{self._info.path}: the source is closed")
        return self._frames(first)

    def _frames(self, first: int) -> Iterator[Frame]:
        path = self._info.path
        with Image.open(path, formats=("WEBP",)) as image:
            for index, pts in enumerate(self._pts):
                if self._closed:
                    return
                try:
                    image.seek(index)
                    image.load()
                except (OSError, EOFError, SyntaxError, ValueError) as error:
                    raise InputError(
                        f"{path}: frame {index} cannot be decoded ({error})",
                        hint="the file is damaged; write it again",
                    ) from error
                if index >= first:
                    rgb = np.array(image.convert("RGB"))
                    yield Frame(index, self._info.frame_name(index), pts, rgb)

    def close(self) -> None:
        """End every iteration. Safe to call twice."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
