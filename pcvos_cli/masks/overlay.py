"""Videos of a run: a picture for each frame, with the source's timestamps and its audio."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.video.reformatter import (
    ColorPrimaries,
    ColorRange,
    Colorspace,
    ColorTrc,
    Interpolation,
    VideoReformatter,
)
from numpy.typing import NDArray

from model.errors import OutputError
from pcvos_cli.files import make_directory, output_errors, remove, temporary
from pcvos_cli.masks.palette import draw_masks
from pcvos_cli.masks.writers import FrameMasks

if TYPE_CHECKING:
    from pcvos_cli.masks.audio import AudioTracks

ENCODERS: dict[str, dict[str, str]] = {
    # No B-frames: packets leave in the order of the frames, so dts equals pts.
    # superfast takes 7 ms of CPU a frame at 480p where veryfast takes 13, for 8% more bytes.
    "libx264": {"crf": "18", "preset": "superfast", "bf": "0"},
    "mpeg4": {"qscale": "3", "flags": "+qscale", "bf": "0"},
}
"""Encoders in order of preference, with their settings."""

ENCODER_THREADS = 4
"""Fixed, since the number of threads shapes the bytes that libx264 writes."""

MP4_AUDIO = frozenset({"aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"})
"""Codecs of audio that players know in MP4; the muxer takes more, PCM and Vorbis among them."""

MPEG4_MAX_TICKS = 65535
"""MPEG-4 part 2 cannot count finer fractions of a second than this."""


@dataclass(frozen=True, slots=True)
class VideoForm:
    """A container and the codecs in it.

    Attributes:
        kind: What the video is, in words.
        container: FFmpeg's name of the format.
        encoders: Encoders of the picture in order of preference, with their settings.
        pix_fmt: Stored pixel format.
        audio: Encoder of audio that the container cannot hold as it is.
        copied: Codecs of audio that are copied; ``None`` for all that it can hold.
        even: Width and height must be even.
        options: Of the container.
    """

    kind: str = "overlay"
    container: str = "mp4"
    encoders: Mapping[str, dict[str, str]] = field(default_factory=lambda: ENCODERS)
    pix_fmt: str = "yuv420p"
    audio: str = "aac"
    copied: frozenset[str] | None = MP4_AUDIO
    even: bool = True
    options: Mapping[str, str] = field(default_factory=lambda: {"movflags": "+faststart"})

    @property
    def container_name(self) -> str:
        """As users know it: MP4, MOV, WebM."""
        return {"webm": "WebM"}.get(self.container, self.container.upper())


def overlay_picture(frame: FrameMasks) -> NDArray[np.uint8]:
    """Return the frame with its masks drawn in."""
    return draw_masks(frame.rgb, frame.labels)


class VideoWriter:
    """The source with its masks drawn in, as H.264 in MP4, in the colours of BT.709.

    ``picture`` and ``form`` make other videos of it. Each frame is shown at the time of the
    source's frame, exactly (in WebM, to the millisecond). Audio streams are copied without
    re-encoding where players of the container know them, else encoded; title, languages,
    timecode and subtitles are kept. A frame of odd width or
    height is padded to even, where the codec needs that, by repeating its last column or row.

    Args:
        path: The file.
        size: ``(height, width)`` of the frames.
        fps: Average frames a second.
        time_base: Seconds a unit of ``FrameMasks.pts``.
        source: The video file, for its audio and the shape of its pixels; ``None`` where
            there is none.
        rotation: Degrees by which the source's frames were turned upright.
        whole: All of its frames come, so all of its audio belongs to them. If not, the
            audio is cut to the time between the first frame and the end of the last.
        picture: Returns the ``(H, W, 3)`` RGB or ``(H, W, 4)`` RGBA picture of a frame.
        form: Container and codecs.

    Raises:
        OutputError: The file cannot be created.
    """

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        *,
        fps: Fraction,
        time_base: Fraction,
        source: Path | None = None,
        rotation: int = 0,
        whole: bool = True,
        picture: Callable[[FrameMasks], NDArray[np.uint8]] = overlay_picture,
        form: VideoForm | None = None,
    ) -> None:
        self._path = path
        self._picture = picture
        self._form = form = form or VideoForm()
        self._fps, self._time_base = fps, time_base
        self._rotation = rotation
        self._whole = whole
        self._end: float | None = None  # Where the last frame ends, in seconds.
        self._notes: list[str] = []
        self._partial = temporary(path)
        self._to_yuv = VideoReformatter()
        self._shift: int | None = None
        height, width = size
        self._height, self._width = size
        if form.even and (height % 2 or width % 2):
            self._height, self._width = height + height % 2, width + width % 2
            self._notes.append(
                f"{form.kind} padded from {width}x{height} to {self._width}x{self._height}: "
                "H.264 needs even sizes"
            )
        make_directory(path.parent)
        self._source: InputContainer | None = None
        self._out: OutputContainer | None = None
        with self._failing_whole():
            self._partial.touch()  # a folder that cannot be written is known at once
            self._out = av.open(
                f"file:{self._partial}",
                mode="w",
                format=form.container,
                container_options={
                    "avoid_negative_ts": "disabled",
                    **form.options,
                    **(
                        {"movie_timescale": str(_movie_timescale(time_base))}
                        if "movflags" in form.options
                        else {}
                    ),
                },
            )
            self._source = None if source is None else _open_source(source)
            self._stream = self._add_video(self._out)
            self._audio = None if self._source is None else self._carry(self._source, self._out)

    @property
    def notes(self) -> list[str]:
        """Remarks on the file for the user: padding, audio that is missing or changed."""
        return self._notes

    @contextlib.contextmanager
    def _failing_whole(self) -> Iterator[None]:
        """On any error remove the file; report trouble with it as ``OutputError``."""
        try:
            with output_errors(self._path):
                yield
        except (FFmpegError, ValueError) as error:
            self.abort()
            raise OutputError(f"{self._path}: cannot be encoded ({error})") from error
        except BaseException:
            self.abort()
            raise

    def _add_video(self, out: OutputContainer) -> Any:
        encoders = self._form.encoders
        name = next((name for name in encoders if _can_encode(name)), None)
        if name is None:
            raise ValueError(f"this FFmpeg has no {' or '.join(encoders)}")
        time_base = self._time_base
        if name == "mpeg4" and time_base.denominator > MPEG4_MAX_TICKS:
            raise ValueError(f"mpeg4 cannot keep timestamps in units of {time_base} s")
        stream: Any = out.add_stream(
            name, rate=self._fps.limit_denominator(1_000_000), options=dict(encoders[name])
        )
        context = stream.codec_context
        context.width, context.height = self._width, self._height
        context.pix_fmt = self._form.pix_fmt
        context.time_base = time_base
        context.thread_count = ENCODER_THREADS
        context.max_b_frames = 0
        context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
        context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        aspect = self._sample_aspect()
        if aspect is not None:
            context.sample_aspect_ratio = aspect
        return stream

    def _carry(self, source: InputContainer, out: OutputContainer) -> "AudioTracks":
        """Take over the source's tags, and begin with its sound and subtitles."""
        from pcvos_cli.masks.audio import AudioTracks
        from pcvos_cli.masks.tags import carried_subtitles, carry_tags

        form = self._form
        kinds: dict[str, Any] = {"whole": self._whole, "kind": form.kind}
        self._notes += carry_tags(source, out, self._stream, **kinds)
        return AudioTracks(
            source,
            out,
            self._notes,
            encoder=form.audio,
            video=form.kind,
            container=form.container_name,
            copied=form.copied,
            subtitles=carried_subtitles(source, out, self._notes, **kinds),
        )

    def _sample_aspect(self) -> Any:
        """Return width over height of the source's pixels as displayed, if not square."""
        if self._source is None or not self._source.streams.video:
            return None
        aspect = self._source.streams.video[0].sample_aspect_ratio
        if not aspect or aspect == 1:
            return None
        return 1 / aspect if self._rotation % 180 else aspect

    def write(self, frame: FrameMasks) -> None:
        """Draw and encode one frame.

        Raises:
            OutputError: It cannot be written; the unfinished file is removed.
        """
        assert self._out is not None, "write after close or abort"
        picture = self._draw(frame)
        if self._shift is None:
            self._set_shift(frame.pts)
            if self._audio is not None and not self._whole:
                self._audio.skip_until(float(max(0, frame.pts) * self._time_base))
        picture.pts = frame.pts + (self._shift or 0)
        picture.time_base = self._time_base
        picture.duration = max(1, round(1 / (self._fps * self._time_base)))
        if not self._whole:
            self._end = float((picture.pts + picture.duration) * self._time_base)
        with self._failing_whole():
            self._mux(self._stream.encode(picture))

    def _draw(self, frame: FrameMasks) -> av.VideoFrame:
        """Return the picture to encode."""
        rgb = self._picture(frame)
        rows, columns = self._height - rgb.shape[0], self._width - rgb.shape[1]
        if rows or columns:
            rgb = np.pad(rgb, ((0, rows), (0, columns), (0, 0)), mode="edge")
        return self._to_yuv.reformat(
            av.VideoFrame.from_ndarray(rgb, format="rgb24" if rgb.shape[2] == 3 else "rgba"),
            format=self._form.pix_fmt,
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BICUBIC,
            threads=1,  # More threads wrote wrong pixels: see video/reader.py.
        )

    def _set_shift(self, first_pts: int) -> None:
        """Choose the delay of all timestamps: none, unless the video starts before 0."""
        self._shift = max(0, -first_pts)
        if self._shift:
            delay = self._shift * self._time_base
            if self._audio is not None:
                self._audio.delay = delay
            self._notes.append(
                f"{self._form.kind} starts {float(delay):g} s late: "
                f"{self._form.container_name} cannot start before 0"
            )

    def _mux(self, packets: Any) -> None:
        assert self._out is not None
        for packet in packets:
            if self._audio is not None:
                self._audio.copy_until(float(packet.pts * packet.time_base))
            self._out.mux(packet)

    def close(self) -> None:
        """Finish the file and give it its name.

        Raises:
            OutputError: It cannot be written; the unfinished file is removed.
        """
        if self._out is None:
            return
        with self._failing_whole():
            self._mux(self._stream.encode(None))
            if self._audio is not None:
                self._audio.copy_until(self._end)
                self._audio.close()
            out, self._out = self._out, None
            out.close()
            self._partial.replace(self._path)
        self._close_source()

    def abort(self) -> None:
        """Remove the unfinished file."""
        out, self._out = self._out, None
        if out is not None:
            # Closing writes the trailer, which may fail for the reason we abort for.
            with contextlib.suppress(FFmpegError, OSError, ValueError):
                out.close()
        self._close_source()
        remove(self._partial)

    def _close_source(self) -> None:
        if self._source is not None:
            self._source.close()
            self._source = None


def _movie_timescale(time_base: Fraction) -> int:
    """Return units a second in which a late start of the video is exact.

    A start that is not 0 is stored in the movie's units, by default milliseconds.
    """
    ticks = time_base.denominator
    return min(ticks * max(1, -(-90_000 // ticks)), 2**31 - 1)


def _open_source(path: Path) -> InputContainer:
    """Open the source a second time, for its audio and pixel shape."""
    return av.open(
        f"file:{path}",
        container_options={"protocol_whitelist": "file"},
        metadata_errors="replace",
    )


def _can_encode(name: str) -> bool:
    try:
        av.codec.Codec(name, "w")
    except (ValueError, FFmpegError):
        return False
    return True
