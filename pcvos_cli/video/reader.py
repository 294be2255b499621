"""Video files through PyAV: upright RGB frames with the timestamps of the container."""

import contextlib
import itertools
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from model.errors import InputError
from pcvos_cli.video.faults import Clock, Faults, LostFrames
from pcvos_cli.video.source import Frame, FrameSource, VideoInfo, is_pipe
from pcvos_cli.video.truncation import frames_in_index, is_cut_off
from pcvos_cli.video.upright import Turn

if TYPE_CHECKING:
    from pcvos_cli.video.hdr import ToneMap
    from pcvos_cli.video.intensity import Intensity

MAX_CORRUPT_RUN = 8
"""Undecodable packets in a row that are skipped; one more and the file is given up."""

FALLBACK_FPS = Fraction(25)
"""Frame rate assumed for synthesised timestamps where the container gives none."""

SCALER_THREADS = 1
"""Threads that convert one frame. PyAV's default is one a core, with which the scaler of
FFmpeg 8.1 wrote eight wrong pixels in 3 of 100 small conversions; with one thread, none."""


class VideoSource(FrameSource):
    """Frames of a video file, decoded as they are asked for.

    The file is opened anew by each iteration, so one source can be read more than once.
    Decoding runs on one frame at a time (slices may use threads): with frame threads, how
    many frames are lost around a corrupt packet depends on the number of cores.

    Args:
        path: Anything FFmpeg reads from a local file.
        value_range: Values of more than 8 bits that are shown as black and as white; ``None``
            for what they span (see ``deep``).

    Raises:
        ConfigError: There is a ``value_range``, and no such values.
        InputError: Not found, zero bytes, not a video, audio only, no decodable frame.
    """

    _intensity: "Intensity | None"

    def __init__(self, path: Path, *, value_range: tuple[float, float] | None = None) -> None:
        self._path = path
        self._given = value_range
        self._faults = Faults()
        self._running: list[Generator[Frame, None, None]] = []
        with contextlib.closing(open_container(path)) as container:
            stream = video_stream(container, path)
            with contextlib.closing(
                decode_pictures(container, stream, self._faults, path)
            ) as frames:
                first = next(frames, None)
            if first is None:
                raise InputError(
                    f"{path}: no frame could be decoded",
                    hint="the file is empty, damaged or encrypted; re-encode it with ffmpeg",
                )
            self._look(container, stream, first)
        self._faults = Faults()

    def _look(self, container: InputContainer, stream: VideoStream, first: av.VideoFrame) -> None:
        """Learn from the first frame what all are like."""
        self._turn = Turn.of(first)
        self._coded_size = (first.height, first.width)
        self._tone_map = _tone_map(first)
        self._intensity = None
        if first.format.components[0].bits > 8 or self._given is not None:
            from pcvos_cli.video.deep import find_scale

            hdr = self._tone_map is not None
            self._intensity = find_scale(self._path, first, self._given, hdr=hdr)
        self._info = self._describe(container, stream)

    def _describe(self, container: InputContainer, stream: VideoStream) -> VideoInfo:
        height, width = self._turn.size(self._coded_size)
        scale = self._intensity
        time_base = _fraction(stream.time_base) or Fraction(1, 90000)
        fps = _fraction(stream.average_rate) or _fraction(stream.guessed_rate) or FALLBACK_FPS
        return VideoInfo(
            path=self._path,
            height=height,
            width=width,
            coded_size=self._coded_size,
            rotation=self._turn.degrees,
            fps=fps,
            frame_count=stream.frames or None,
            time_base=time_base,
            has_audio=any(s.type == "audio" for s in container.streams),
            name_digits=max(5, len(str(_last_index(container, stream, fps)))),
            value_range=None if scale is None else (scale.low, scale.high),
        )

    @property
    def warnings(self) -> list[str]:
        """Faults of the current or last pass, one sentence for each kind."""
        return self._faults.sentences()

    @property
    def notes(self) -> list[str]:
        """How the video is understood; more once it has been decoded."""
        colours = [] if self._tone_map is None else [self._tone_map.note]
        if self._intensity is not None:
            colours += self._intensity.notes(given=self._given is not None)
        return colours + self._faults.remarks()

    def _frames(self, first: int) -> Iterator[Frame]:
        """Decode, and yield the frames from index ``first`` on.

        Those before are decoded too, for an index is sure only where all are counted
        (seeking goes by time, which files get wrong), but not converted to RGB.

        Raises:
            InputError: More than ``MAX_CORRUPT_RUN`` packets in a row cannot be decoded.
        """
        self._faults = Faults()
        return self._start(first)

    def _start(self, first: int) -> Iterator[Frame]:
        frames = self._pass(self._faults, first)
        self._running.append(frames)
        return frames

    def _pass(self, faults: Faults, first: int) -> Generator[Frame, None, None]:
        # The container lives and dies inside this generator, so that it is never closed
        # under a thread that is decoding from it.
        with contextlib.closing(open_container(self._path)) as container:
            stream = video_stream(container, self._path)
            decoded = decode_pictures(container, stream, faults, self._path)
            with contextlib.closing(decoded):
                yield from self._shown(decoded, container, faults, first)

    def _shown(
        self,
        decoded: Iterator[av.VideoFrame],
        container: InputContainer,
        faults: Faults,
        first: int,
    ) -> Iterator[Frame]:
        """Yield decoded frames from index ``first`` on with their times, in RGB."""
        clock = Clock(self._info, faults, has_pts=container.format.name != "avi")
        to_rgb = VideoReformatter()
        for index, picture in enumerate(decoded):
            if self._closed:
                return
            pts = clock.pts(picture)
            if index < first:
                continue
            yield Frame(
                index=index,
                name=self._info.frame_name(index),
                pts=pts,
                rgb=self.to_rgb(picture, to_rgb, faults, index),
            )

    def to_rgb(
        self, picture: av.VideoFrame, to_rgb: VideoReformatter, faults: Faults, index: int
    ) -> NDArray[np.uint8]:
        """Convert to upright RGB of BT.709, from what the frame declares of its colours.

        Raises:
            InputError: It has values that are no numbers.
        """
        height, width = self._coded_size
        if (picture.height, picture.width) != self._coded_size:
            faults.rescaled_frames += 1
        if self._intensity is not None:
            from pcvos_cli.video.deep import values_of

            values = values_of(picture, self._coded_size)
            return self._turn.apply(self._intensity.rgb(values, index))
        converted = to_rgb.reformat(
            picture,
            width,
            height,
            "rgb24" if self._tone_map is None else self._tone_map.FORMAT,
            interpolation=Interpolation.BICUBIC,
            threads=SCALER_THREADS,
        )
        if self._tone_map is not None:
            converted = self._tone_map.apply(converted)
        rgb = cast(NDArray[np.uint8], converted.to_ndarray())
        if picture.format.name.startswith("gray") and picture.color_range == ColorRange.MPEG:
            rgb = _VIDEO_TO_FULL_RANGE[rgb]  # swscale copies grey and ignores its range
        return self._turn.apply(rgb)

    def close(self) -> None:
        """End every iteration. Safe to call twice and from another thread."""
        super().close()
        for frames in self._running:
            # A generator that another thread is executing refuses to be closed; it sees
            # the flag at its next frame and ends by itself.
            with contextlib.suppress(ValueError):
                frames.close()
        self._running.clear()


def _tone_map(picture: av.VideoFrame) -> "ToneMap | None":
    """Return what brings a video to BT.709; ``None`` where it is that, or like it."""
    trc = int(getattr(picture, "color_trc", None) or 0)
    primaries = int(getattr(picture, "color_primaries", None) or 0)
    if trc not in _HDR and primaries not in _WIDE:
        return None
    from pcvos_cli.video.hdr import ToneMap

    return ToneMap(trc, primaries)


_HDR = frozenset({16, 18})
"""Transfer functions of H.273 that ``hdr`` knows: PQ and HLG."""

_WIDE = frozenset({9, 12})
"""Primaries likewise: BT.2020 and Display P3."""

_VIDEO_TO_FULL_RANGE = np.clip(
    np.rint((np.arange(256, dtype=np.float64) - 16) * 255 / 219), 0, 255
).astype(np.uint8)


def open_container(path: Path) -> InputContainer:
    """Open a container, or say in words why not."""
    if is_pipe(path):
        raise InputError(
            f"{path}: is a pipe, and this reads a video more than once",
            hint="write it to a file first, and give that",
        )
    try:
        if path.stat().st_size == 0:
            raise InputError(f"{path}: the file is empty (0 bytes)", hint="copy it again")
        # "file:" keeps names with a colon from being read as a protocol; the whitelist
        # keeps a play list from reaching the network.
        return av.open(
            f"file:{path}",
            mode="r",
            container_options={"protocol_whitelist": "file"},
            metadata_errors="replace",
        )
    except FileNotFoundError:
        raise InputError(f"{path}: not found", hint="check the path") from None
    except (FFmpegError, OSError) as error:
        from pcvos_cli.video.refusals import unreadable

        raise unreadable(path, _reason(error)) from error


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """Return the default video stream; cover art does not count."""
    pictures = [s for s in container.streams.video if not _is_still(s)]
    if not pictures:
        kinds = sorted({s.type for s in container.streams})
        only = " (audio only)" if "audio" in kinds else ""
        raise InputError(f"{path}: has no video stream{only}", hint="give a file with pictures")
    # An animated AVIF has a still beside its track, and both are default.
    stream = max(
        pictures,
        key=lambda s: (bool(s.disposition & av.stream.Disposition.default), s.frames != 1),
    )
    if container.format.name == "tty":  # FFmpeg would film the text as a terminal
        raise InputError(f"{path}: is a text file, not a video", hint="check the path")
    if stream.codec_context is None:
        raise InputError(
            f"{path}: its video codec is not supported", hint="re-encode it to H.264 with ffmpeg"
        )
    stream.codec_context.thread_type = "SLICE"
    return stream


def _is_still(stream: VideoStream) -> bool:
    stills = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    return bool(stream.disposition & stills)


def _packets(container: InputContainer, faults: Faults) -> Iterator[Any]:
    """Yield the packets of all streams, going on after a read error where that is possible."""
    failures = 0
    while True:
        try:
            for packet in container.demux():
                failures = 0
                yield packet
            return
        except FFmpegError as error:
            failures += 1
            if failures > MAX_CORRUPT_RUN:
                faults.broken_off = True
                faults.notes.append(f"reading stopped: {_reason(error)}")
                return


def decode_pictures(
    container: InputContainer, stream: VideoStream, faults: Faults, path: Path
) -> Generator[av.VideoFrame, None, None]:
    """Yield decoded frames; skip what cannot be decoded, within limits."""
    done = read = run = 0
    end, ticks = 0.0, _Ticks(is_avi=container.format.name == "avi")
    lost = LostFrames(stream.codec_context.name, faults)
    flush: list[None] = [None]  # sent after the last packet, also where reading broke off
    for packet in itertools.chain(_packets(container, faults), flush):
        if packet is not None:
            if packet.size == 0:
                continue  # PyAV's own flush packets, one a stream
            if packet.pts is not None and packet.time_base:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.stream_index != stream.index:
                continue
            read += 1
            ticks.add(packet)
            lost.sent(packet, done)
        try:
            pictures = stream.codec_context.decode(packet)
            run = 0
        except EOFError:
            pictures = []
        except FFmpegError as error:
            run += 1
            faults.add_corrupt(done)
            lost.failed(packet)
            if run > MAX_CORRUPT_RUN:
                raise InputError(
                    f"{path}: more than {MAX_CORRUPT_RUN} corrupt packets in a row after frame "
                    f"{done} ({_reason(error)})",
                    hint="repair the file, for example with ffmpeg -err_detect ignore_err",
                ) from error
            continue
        for picture in pictures:
            if picture.is_corrupt:
                faults.add_damaged(done)
            lost.decoded(picture)
            done += 1
            yield picture
    lost.close()
    short = _is_short(container, stream, read, end)
    if short and stream.frames and path.is_file() and ticks.whole(stream, path):
        faults.without_picture, short = stream.frames - read, False
    if faults.broken_off or short or is_cut_off(path, container.format.name):
        faults.truncated_at, faults.promised = done, stream.frames or None


class _Ticks:
    """The time from a stream's first packet to the end of its last one.

    Args:
        is_avi: Of an AVI: it begins at 0, also where the first frames have no picture.
    """

    def __init__(self, *, is_avi: bool) -> None:
        self._is_avi = is_avi
        self._first: int | None = 0 if is_avi else None
        self._count = 0

    def whole(self, stream: VideoStream, path: Path) -> bool:
        """Tell whether it is all that the container promises.

        Then frames that are missing have no picture of their own: capture software writes
        empty ones in place of those that it dropped.
        """
        if self._is_avi:  # A tick a frame; the duration shrinks with a file that is cut off.
            indexed = frames_in_index(path, stream.index)
            return max(self._count, indexed) >= stream.frames
        return 0 < (stream.duration or 0) <= self._count

    def add(self, packet: Any) -> None:
        """Add a packet."""
        if packet.dts is not None:
            self._first = packet.dts if self._first is None else self._first
            self._count = packet.dts + (packet.duration or 0) - self._first


def _is_short(container: InputContainer, stream: VideoStream, read: int, end: float) -> bool:
    """Tell whether a file has less than its container says, where that can be relied on."""
    kind = container.format.name
    if stream.frames and ("mp4" in kind or kind == "avi"):
        return read < stream.frames
    if ("matroska" in kind or kind == "flv") and container.duration:
        return end < container.duration / av.time_base - 0.5
    return False


def _last_index(container: InputContainer, stream: VideoStream, fps: Fraction) -> int:
    """Return the index of the last frame, or what the length says about it."""
    if stream.frames:
        return stream.frames - 1
    return round((container.duration or 0) / av.time_base * fps)


def _fraction(value: Any) -> Fraction | None:
    """Return PyAV's rational (its own type from version 19 on) as ``Fraction``; 0 is none."""
    if value is None or not value.denominator or not value.numerator:
        return None
    return Fraction(int(value.numerator), int(value.denominator))


def _reason(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error)
