"""Animated WebP as a video, which FFmpeg does not decode and Pillow does."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from model.errors import InputError
from pcvos_cli.video.source import Frame, FrameSource, VideoInfo

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


class WebPSource(FrameSource):
    """Frames of an animated WebP, in its own timing.

    Args:
        path: The file.
        durations: As ``frame_durations``.

    Raises:
        InputError: It cannot be read.
    """

    def __init__(self, path: Path, durations: list[int]) -> None:
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
            fps=Fraction(1000 * len(durations), sum(durations)),
            frame_count=len(durations),
            time_base=Fraction(1, 1000),
        )

    def _frames(self, first: int) -> Iterator[Frame]:
        """Read from index ``first`` on; those before are decoded too, for each builds on the last.

        Raises:
            InputError: A frame cannot be decoded.
        """
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
