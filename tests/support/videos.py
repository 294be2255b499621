"""Small video files, made with PyAV, that have one property each."""

import contextlib
import os
import threading
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from numpy.typing import NDArray

from pcvos_cli.video.reader import SCALER_THREADS


def pictures(
    count: int = 6, size: tuple[int, int] = (48, 64), seed: int = 0
) -> list[NDArray[np.uint8]]:
    """Return RGB frames: a smooth, lopsided background with a bright square moving right.

    No mirror image or rotation of a frame looks like the frame.

    Args:
        count: Number of frames.
        size: ``(height, width)``.
        seed: Shifts the background's colours.
    """
    height, width = size
    y, x = np.mgrid[0:height, 0:width]
    out = []
    for index in range(count):
        rgb = np.stack(
            [
                60 + 80 * x / max(1, width - 1),
                40 + 100 * y / max(1, height - 1),
                np.full(size, 50 + 20 * (seed % 5)),
            ],
            axis=-1,
        ).astype(np.uint8)
        side = max(1, height // 4)
        left = (index * 4) % max(1, width - side)
        rgb[height // 8 : height // 8 + side, left : left + side] = (240, 230, 60)
        out.append(rgb)
    return out


def write_video(
    path: Path,
    frames: Sequence[NDArray[np.uint8]] | None = None,
    *,
    fps: int | Fraction = 25,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    rotation: int = 0,
    hflip: bool = False,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    audio: str | None = None,
    seconds_of_audio: float | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    colorspace: int | None = None,
    color_range: int | None = None,
    container_format: str | None = None,
) -> Path:
    """Write a video file.

    Args:
        path: The file; its ending chooses the container.
        frames: ``(H, W, 3)`` RGB; ``None`` for ``pictures()``.
        fps: Nominal frame rate.
        pts: Timestamps in units of ``time_base``; ``None`` for 0, 1, 2, ...
        time_base: ``None`` for ``1 / fps``.
        rotation: Degrees counter-clockwise by which a player turns the frames.
        hflip: A player also mirrors them left to right.
        codec: PyAV's encoder name.
        pix_fmt: Stored pixel format.
        audio: Encoder of a sine tone (``aac``, ``pcm_s16le``), or ``None``.
        seconds_of_audio: ``None`` for the length of the video.
        options: Encoder options.
        container_options: Muxer options.
        colorspace: Declared and used (1 = BT.709, 5 = BT.601).
        color_range: Declared and used (1 = video, 2 = full).
        container_format: The container, where the path's ending does not say.

    Returns:
        ``path``.
    """
    frames = pictures() if frames is None else frames
    time_base = time_base or 1 / Fraction(fps)
    pts = range(len(frames)) if pts is None else pts
    with av.open(
        str(path), "w", format=container_format, container_options=container_options or {}
    ) as container:
        stream: Any = container.add_stream(codec, rate=Fraction(fps), options=options or {})
        context = stream.codec_context
        context.height, context.width = frames[0].shape[:2]
        context.pix_fmt = pix_fmt
        context.time_base = time_base
        if colorspace is not None:
            context.colorspace = colorspace
        if color_range is not None:
            context.color_range = color_range
        if rotation or hflip:
            stream.set_display_rotation(rotation, hflip=hflip)
        tone = None if audio is None else _add_tone(container, audio)
        for rgb, timestamp in zip(frames, pts, strict=True):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
            picture = picture.reformat(
                format=pix_fmt,
                dst_colorspace=colorspace,
                dst_color_range=color_range,
                threads=SCALER_THREADS,
            )
            picture.pts, picture.time_base = timestamp, time_base
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
        if tone is not None:
            length = seconds_of_audio or float((max(pts) + 1) * time_base)
            _play(container, tone, length)
    return path


def write_audio(path: Path, codec: str = "aac", seconds: float = 0.2) -> Path:
    """Write a file that holds a tone and no pictures."""
    with av.open(str(path), "w") as container:
        _play(container, _add_tone(container, codec), seconds)
    return path


def packets_of(path: Path, kind: str) -> list[tuple[Fraction, bytes]]:
    """Return ``(seconds, content)`` of all packets of the first video or audio stream."""
    with av.open(str(path)) as container:
        stream = next(s for s in container.streams if s.type == kind)
        return [
            (cast(int, p.pts) * Fraction(p.time_base.numerator, p.time_base.denominator), bytes(p))
            for p in container.demux(stream)
            if p.size
        ]


def times_of(path: Path) -> list[Fraction]:
    """Return the presentation times of a file's decoded frames, in seconds."""
    with av.open(str(path)) as container:
        base = container.streams.video[0].time_base
        assert base is not None
        unit = Fraction(base.numerator, base.denominator)
        return [cast(int, frame.pts) * unit for frame in container.decode(video=0)]


def _add_tone(container: Any, codec: str) -> Any:
    track = container.add_stream(codec, rate=48000)
    track.codec_context.layout = "mono"
    return track


def _play(container: Any, track: Any, seconds: float) -> None:
    context = track.codec_context
    samples = round(48000 * seconds)
    wave = (8000 * np.sin(np.arange(samples) * 2 * np.pi * 440 / 48000)).astype(np.int16)
    resampler = av.AudioResampler(format=context.format, layout="mono", rate=48000)
    step = 1024
    for start in range(0, samples, step):
        frame = av.AudioFrame.from_ndarray(wave[None, start : start + step], "s16", "mono")
        frame.sample_rate, frame.pts = 48000, start
        frame.time_base = Fraction(1, 48000)
        for ready in resampler.resample(frame):
            container.mux(track.encode(ready))
    container.mux(track.encode(None))


def fed(path: Path, content: bytes) -> Path:
    """Make a named pipe into which a thread writes."""
    os.mkfifo(path)

    def write() -> None:
        # The reader may have seen enough before the end.
        with path.open("wb", buffering=0) as pipe, contextlib.suppress(BrokenPipeError):
            pipe.write(content)

    threading.Thread(target=write, daemon=True).start()
    return path
