"""Videos in grey of more than 8 bits, or colours of 16: values as they are, and their scale."""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError

from model.errors import ConfigError
from pcvos_cli.video.intensity import SAMPLES, Intensity, Values, check_numbers
from pcvos_cli.video.reader import open_container, video_stream
from pcvos_cli.video.source import is_pipe

DEEP = frozenset(
    f"{name}{order}"
    for name in (
        *("gray9", "gray10", "gray12", "gray14", "gray16", "grayf32", "ya16"),
        *("rgb48", "bgr48", "rgba64", "bgra64", "gbrp16", "gbrap16"),
    )
    for order in ("le", "be")
)
"""Pixel formats whose values get a scale. Colours of 10 and 12 bits are of cameras and discs,
which use their range as it is declared."""


def find_scale(
    path: Path, first: av.VideoFrame, given: tuple[float, float] | None, *, hdr: bool
) -> Intensity | None:
    """Return how a video's values are shown; ``None`` for as FFmpeg converts them.

    Args:
        path: The video. Of a pipe, the first frame alone is looked at.
        first: Its first frame.
        given: Values that the user wants to be black and white.
        hdr: Its tones are mapped already.

    Raises:
        ConfigError: A scale is given, and the video has no such values.
        InputError: There are values that are no numbers.
    """
    if first.format.name not in DEEP or hdr:
        if given is not None:
            raise ConfigError(
                f"--range is for images, and for video in grey of more than 8 bits or colours of "
                f"16, and {path} is neither"
            )
        return None
    if given is not None:
        return Intensity(*given)
    size = (first.height, first.width)
    samples = [values_of(first, size), *(() if is_pipe(path) else _samples(path, size))]
    scale = Intensity.of(samples)
    scale.of_first = len(samples) == 1
    return scale


def _samples(path: Path, size: tuple[int, int]) -> Iterator[Values]:
    """Yield the values of frames spread evenly, or as near to that as keyframes allow."""
    with contextlib.closing(open_container(path)) as container:
        stream = video_stream(container, path)
        begin, length = container.start_time or 0, container.duration or 0
        for part in range(1, SAMPLES if length else 0):
            picture, wanted = None, begin + length * part // (SAMPLES - 1)
            # Damage, or a file in which nothing can be sought: other frames tell.
            with contextlib.suppress(FFmpegError):
                container.seek(wanted)
                for picture in itertools.islice(container.decode(stream), SAMPLES):
                    if (picture.time or 0) * av.time_base >= wanted:
                        break
            if picture is not None and picture.format.name in DEEP:
                yield values_of(picture, size)


def values_of(picture: av.VideoFrame, size: tuple[int, int]) -> Values:
    """Return the values of a decoded frame of ``DEEP``, ``(H, W)`` or ``(H, W, 3)``.

    Args:
        picture: The frame.
        size: ``(H, W)``; a frame of another size is scaled to it.

    Raises:
        InputError: There are values that are no numbers.
    """
    if (picture.height, picture.width) != size:
        picture = picture.reformat(width=size[1], height=size[0], threads=1)
    if picture.format.name not in DEEP:  # The stream changes.
        picture = picture.reformat(format="gray16le", threads=1)
    if picture.format.name.startswith("ya16"):
        plane, kind = picture.planes[0], "<u2" if picture.format.name.endswith("le") else ">u2"
        rows = np.frombuffer(bytes(plane), kind).reshape(picture.height, -1)
        return rows[:, : 2 * picture.width : 2].astype(np.uint16)
    if not picture.format.name.startswith("gray"):
        picture = picture.reformat(format="rgb48le", threads=1)
    values = picture.to_ndarray()
    check_numbers(values, "the video")
    return values
