"""A video to look at: the source with its masks drawn in, its timestamps and its audio."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

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
from pcvos_cli.masks.audio import AudioTracks
from pcvos_cli.masks.drawing import draw_masks, line_width
from pcvos_cli.masks.label_map import LabelMap, box_of_all
from pcvos_cli.video.reader import SCALER_THREADS
from pcvos_cli.video.source import Colours, Frame, VideoInfo

ENCODERS: dict[str, dict[str, str]] = {
    # No B-frames: packets leave in the order of the frames, so dts equals pts.
    # superfast takes 7 ms of CPU a frame at 480p where veryfast takes 13, for 8% more bytes.
    "libx264": {"crf": "18", "preset": "superfast", "bf": "0"},
    "mpeg4": {"qscale": "3", "flags": "+qscale", "bf": "0"},
}
"""Encoders in order of preference, with their settings."""

ENCODER_THREADS = 4
"""For large frames; fixed, since the number of threads shapes the bytes that libx264 writes."""

ALONE_PIXELS = 1 << 19
"""Frames of at most so many pixels (480p takes 6 ms) are encoded in the thread that draws them: it
gives way to the model's (``BackgroundThread``), as libx264's own threads cannot."""

MPEG4_MAX_TICKS = 65535
"""MPEG-4 part 2 cannot count finer fractions of a second than this."""


BT709 = Colours(Colorspace.ITU709, ColorRange.MPEG, ColorPrimaries.BT709, ColorTrc.BT709)
"""Colours of an overlay whose source is no video, or one of other pixels."""

UNKNOWN_COLORSPACE = 2
"""FFmpeg's number. Its scaler reads it as BT.601, so a picture's RGB is turned back as such."""

BORDER = 4
"""Pixels around outlines within which colours, stored for four pixels each, may be touched."""


class OverlayWriter:
    """The source with its masks drawn in, as H.264 in MP4.

    Only objects and a little around them are drawn and converted where the source's pictures
    can be encoded as they are (``VideoInfo.colours``); the rest of them stays what it was.

    Each frame is shown at the time of the source's frame, exactly. Audio streams are copied
    without re-encoding where MP4 can hold them, else encoded to AAC. A frame of odd width
    or height is padded to even by repeating its last column or row.

    Args:
        path: The MP4 file.
        info: The source.
        whole: All of its frames come, so all of its audio belongs to them. If not, the
            audio is cut to the time between the first frame and the end of the last.

    Raises:
        OutputError: The file cannot be created.
    """

    wants_probs = False

    def __init__(self, path: Path, info: VideoInfo, *, whole: bool = True) -> None:
        self._path = path
        self._whole = whole
        self._end: float | None = None  # Where the last frame ends, in seconds.
        self._info = info
        self._colours = info.colours or BT709
        self._notes: list[str] = []
        self._partial = temporary(path)
        self._to_yuv = VideoReformatter()
        self._rows, self._columns = _Side(info.height), _Side(info.width)
        self._shift: int | None = None
        self._height, self._width = info.height + info.height % 2, info.width + info.width % 2
        if (self._height, self._width) != (info.height, info.width):
            self._notes.append(
                f"overlay padded from {info.width}x{info.height} to "
                f"{self._width}x{self._height}: H.264 needs even sizes"
            )
        make_directory(path.parent)
        self._source: InputContainer | None = None
        self._out: OutputContainer | None = None
        with self._failing_whole():
            self._partial.touch()  # a folder that cannot be written is known at once
            self._out = av.open(
                f"file:{self._partial}",
                mode="w",
                format="mp4",
                container_options={
                    "movflags": "+faststart",
                    "avoid_negative_ts": "disabled",
                    "movie_timescale": str(_movie_timescale(info)),
                },
            )
            self._source = _open_source(info)
            self._stream = self._add_video(self._out)
            self._audio = AudioTracks(self._source, self._out, self._notes)
            # Not with the first frame: the encoder's threads inherit from who starts them, and
            # the thread of ``BackgroundWriter`` gives way to all others.
            self._out.start_encoding()

    @property
    def notes(self) -> list[str]:
        """What a user should know of the file: padding, audio that is missing or changed."""
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
        name = next(name for name in ENCODERS if _can_encode(name))
        time_base = self._info.time_base
        if name == "mpeg4" and time_base.denominator > MPEG4_MAX_TICKS:
            raise ValueError(f"mpeg4 cannot keep timestamps in units of {time_base} s")
        stream: Any = out.add_stream(
            name, rate=self._info.fps.limit_denominator(1_000_000), options=dict(ENCODERS[name])
        )
        context = stream.codec_context
        context.width, context.height = self._width, self._height
        context.pix_fmt = "yuv420p"
        context.time_base = time_base
        alone = self._height * self._width <= ALONE_PIXELS
        context.thread_count = 1 if alone else ENCODER_THREADS
        context.max_b_frames = 0
        for name, value in self._colours._asdict().items():
            setattr(context, name, value)
        aspect = self._sample_aspect()
        if aspect is not None:
            context.sample_aspect_ratio = aspect
        return stream

    def _sample_aspect(self) -> Any:
        """Return width over height of the source's pixels as displayed, if not square."""
        if self._source is None or not self._source.streams.video:
            return None
        aspect = self._source.streams.video[0].sample_aspect_ratio
        if not aspect or aspect == 1:
            return None
        return 1 / aspect if self._info.rotation % 180 else aspect

    def write(
        self,
        frame: Frame,
        labels: LabelMap,
        probs: NDArray[np.float32] | None,  # noqa: ARG002
    ) -> None:
        """Draw and encode one frame.

        Raises:
            OutputError: It cannot be written; the unfinished file is removed.
        """
        assert self._out is not None, "write after close or abort"
        picture = self._draw(frame, labels)
        if self._shift is None:
            self._set_shift(frame.pts)
            if not self._whole:
                self._audio.skip_until(float(max(0, frame.pts) * self._info.time_base))
        picture.pts = frame.pts + (self._shift or 0)
        picture.time_base = self._info.time_base
        picture.duration = max(1, round(1 / (self._info.fps * self._info.time_base)))
        if not self._whole:
            self._end = float((picture.pts + picture.duration) * self._info.time_base)
        with self._failing_whole():
            self._mux(self._stream.encode(picture))

    def _draw(self, frame: Frame, labels: LabelMap) -> av.VideoFrame:
        """Return the picture to encode."""
        if frame.picture is None:
            rgb = draw_masks(frame.rgb, labels)
            rows, columns = self._height - rgb.shape[0], self._width - rgb.shape[1]
            if rows or columns:
                rgb = np.pad(rgb, ((0, rows), (0, columns), (0, 0)), mode="edge")
            return self._converted(rgb)
        picture = _copy(frame.picture)
        objects = box_of_all(labels)
        if objects is not None:
            line = line_width((self._height, self._width))
            box = (
                self._rows.around(objects[0], line + BORDER),
                self._columns.around(objects[1], line + BORDER),
            )
            part = self._converted(draw_masks(frame.rgb[box], labels[box], line=line))
            for of_picture, of_part, step in zip(
                _planes(picture), _planes(part), (1, 2, 2), strict=True
            ):
                rows, columns = (slice(side.start // step, side.stop // step) for side in box)
                of_picture[rows, columns] = of_part
        return picture

    def _converted(self, rgb: NDArray[np.uint8]) -> av.VideoFrame:
        """Convert pixels with even sides; they must live until then."""
        colorspace = self._colours.colorspace
        return self._to_yuv.reformat(
            av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(rgb), format="rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU601 if colorspace == UNKNOWN_COLORSPACE else colorspace,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BICUBIC,
            threads=SCALER_THREADS,
        )

    def _set_shift(self, first_pts: int) -> None:
        """Choose the delay of all timestamps: none, unless the video starts before 0."""
        self._shift = max(0, -first_pts)
        if self._shift:
            delay = self._shift * self._info.time_base
            self._audio.delay = delay
            self._notes.append(f"overlay starts {float(delay):g} s late: MP4 cannot start before 0")

    def _mux(self, packets: Any) -> None:
        assert self._out is not None
        for packet in packets:
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


class _Side:
    """Where objects are along one side of the frame: a range that moves but does not shrink.

    The scaler takes a while to get ready for another size.
    """

    STEP = 32

    def __init__(self, whole: int) -> None:
        self._whole = whole
        self._length = 0

    def around(self, objects: slice, margin: int) -> slice:
        """Return a range of even ends that holds the objects and so much around."""
        start = max(0, objects.start - margin) // 2 * 2
        needed = min(self._whole, objects.stop + margin) - start
        self._length = min(self._whole, max(self._length, -(-needed // self.STEP) * self.STEP))
        start = min(start, self._whole - self._length)
        return slice(start, start + self._length)


def _planes(picture: av.VideoFrame) -> list[NDArray[np.uint8]]:
    """Return what a picture of bytes is stored in, ``(h, w)`` each; views, without padding."""
    return [
        np.frombuffer(cast(Any, plane), np.uint8).reshape(plane.height, plane.line_size)[
            :, : plane.width
        ]
        for plane in picture.planes
    ]


def _copy(picture: av.VideoFrame) -> av.VideoFrame:
    copy = av.VideoFrame(picture.width, picture.height, picture.format.name)
    for to, of in zip(_planes(copy), _planes(picture), strict=True):
        to[:] = of
    return copy


def _movie_timescale(info: VideoInfo) -> int:
    """Return units a second in which a late start of the video is exact.

    A start that is not 0 is stored in the movie's units, by default milliseconds.
    """
    ticks = info.time_base.denominator
    return min(ticks * max(1, -(-90_000 // ticks)), 2**31 - 1)


def _open_source(info: VideoInfo) -> InputContainer | None:
    """Open the source a second time, for its audio and pixel shape."""
    if info.is_folder:
        return None
    return av.open(
        f"file:{info.path}",
        container_options={"protocol_whitelist": "file"},
        metadata_errors="replace",
    )


def _can_encode(name: str) -> bool:
    try:
        av.codec.Codec(name, "w")
    except (ValueError, FFmpegError):
        return False
    return True
