"""Video files through PyAV: upright RGB frames with the timestamps of the container."""

import contextlib
import itertools
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from model.errors import InputError
from pcvos_cli.video.source import Frame, VideoInfo

MAX_CORRUPT_RUN = 8
"""Undecodable packets in a row that are skipped; one more and the file is given up."""

FALLBACK_FPS = Fraction(25)
"""Frame rate assumed for synthesised timestamps where the container gives none."""


@dataclass
class _Faults:
    """What went wrong during one pass over the file, in counts."""

    corrupt_packets: int = 0
    first_corrupt: int | None = None
    damaged_frames: int = 0
    first_damaged: int | None = None
    missing_pts: int = 0
    backward_pts: int = 0
    rescaled_frames: int = 0
    broken_off: bool = False
    truncated_at: int | None = None
    promised: int | None = None
    notes: list[str] = field(default_factory=list)

    def add_corrupt(self, frame: int) -> None:
        """Count a packet that was skipped while ``frame`` was due."""
        self.corrupt_packets += 1
        if self.first_corrupt is None:
            self.first_corrupt = frame

    def add_damaged(self, frame: int) -> None:
        """Count a frame that the decoder had to patch up."""
        self.damaged_frames += 1
        if self.first_damaged is None:
            self.first_damaged = frame

    def sentences(self) -> list[str]:
        """Return one sentence for each kind of fault."""
        out = list(self.notes)
        if self.corrupt_packets:
            out.append(
                f"{self.corrupt_packets} corrupt packet(s) skipped, "
                f"the first near frame {self.first_corrupt}"
            )
        if self.damaged_frames:
            out.append(
                f"{self.damaged_frames} frame(s) decoded with damage, "
                f"the first is frame {self.first_damaged}"
            )
        if self.truncated_at is not None:
            of = "" if self.promised is None else f" of {self.promised}"
            out.append(f"the file is truncated: it ends after {self.truncated_at}{of} frames")
        if self.missing_pts:
            out.append(f"{self.missing_pts} frame(s) without a timestamp: synthesised")
        if self.backward_pts:
            out.append(f"{self.backward_pts} timestamp(s) did not advance: moved forward")
        if self.rescaled_frames:
            out.append(
                f"{self.rescaled_frames} frame(s) of another size scaled to that of the first"
            )
        return out


class VideoSource:
    """Frames of a video file, decoded as they are asked for.

    The file is opened anew by each iteration, so one source can be read more than once.
    Decoding runs on one frame at a time (slices may use threads): with frame threads, how
    many frames are lost around a corrupt packet depends on the number of cores.

    Args:
        path: Anything FFmpeg reads from a local file.

    Raises:
        InputError: Not found, zero bytes, not a video, audio only, no decodable frame.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._faults = _Faults()
        self._closed = False
        self._running: list[Generator[Frame, None, None]] = []
        with contextlib.closing(_open(path)) as container:
            stream = _video_stream(container, path)
            with contextlib.closing(_decode(container, stream, self._faults, path)) as frames:
                first = next(frames, None)
            if first is None:
                raise InputError(
                    f"{path}: no frame could be decoded",
                    hint="the file is empty, damaged or encrypted; re-encode it with ffmpeg",
                )
            self._turn = _Turn.of(first)
            self._coded_size = (first.height, first.width)
            self._info = self._describe(container, stream)
        self._faults = _Faults()

    def _describe(self, container: InputContainer, stream: VideoStream) -> VideoInfo:
        height, width = self._turn.size(self._coded_size)
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
            is_folder=False,
        )

    @property
    def info(self) -> VideoInfo:
        """What is known before decoding."""
        return self._info

    @property
    def warnings(self) -> list[str]:
        """What went wrong in the current or last pass, one sentence for each kind."""
        return self._faults.sentences()

    @property
    def truncated(self) -> bool:
        """Whether the last pass ended before the end that the container promises."""
        return self._faults.truncated_at is not None

    def frame_index(self, name: str) -> int | None:
        """Return the index that ``name`` spells in digits (``7``, ``00007``), or ``None``."""
        return int(name) if name.isascii() and name.isdigit() else None

    def __iter__(self) -> Iterator[Frame]:
        """Decode from the first frame on.

        Raises:
            InputError: More than ``MAX_CORRUPT_RUN`` packets in a row cannot be decoded.
            ValueError: The source was closed.
        """
        if self._closed:
            raise ValueError(f"{self._path}: the source is closed")
        self._faults = _Faults()
        frames = self._frames(self._faults)
        self._running.append(frames)
        return frames

    def _frames(self, faults: _Faults) -> Generator[Frame, None, None]:
        # The container lives and dies inside this generator, so that it is never closed
        # under a thread that is decoding from it.
        with contextlib.closing(_open(self._path)) as container:
            stream = _video_stream(container, self._path)
            clock = _Clock(self._info, faults, has_pts=container.format.name != "avi")
            to_rgb = VideoReformatter()
            decoded = _decode(container, stream, faults, self._path)
            with contextlib.closing(decoded):
                for index, picture in enumerate(decoded):
                    if self._closed:
                        return
                    yield Frame(
                        index=index,
                        name=f"{index:05d}",
                        pts=clock.pts(picture),
                        rgb=self._rgb(picture, to_rgb, faults),
                    )

    def _rgb(
        self, picture: av.VideoFrame, to_rgb: VideoReformatter, faults: _Faults
    ) -> NDArray[np.uint8]:
        """Convert to upright RGB, from the colour space and range that the frame declares."""
        height, width = self._coded_size
        if (picture.height, picture.width) != self._coded_size:
            faults.rescaled_frames += 1
        converted = to_rgb.reformat(
            picture, width, height, "rgb24", interpolation=Interpolation.BICUBIC, threads=1
        )
        rgb = cast(NDArray[np.uint8], converted.to_ndarray())
        if picture.format.name.startswith("gray") and picture.color_range == ColorRange.MPEG:
            rgb = _VIDEO_TO_FULL_RANGE[rgb]  # swscale copies grey and ignores its range
        return self._turn.apply(rgb)

    def close(self) -> None:
        """End every iteration. Safe to call twice and from another thread."""
        self._closed = True
        for frames in self._running:
            # A generator that another thread is executing refuses to be closed; it sees
            # the flag at its next frame and ends by itself.
            with contextlib.suppress(ValueError):
                frames.close()
        self._running.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


_VIDEO_TO_FULL_RANGE = np.clip(
    np.rint((np.arange(256, dtype=np.float64) - 16) * 255 / 219), 0, 255
).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class _Turn:
    """How stored frames are turned upright: transpose, then mirror.

    Attributes:
        transpose: Swap rows and columns first.
        mirror_rows: Then reverse the order of the rows.
        mirror_columns: Then reverse the order of the columns.
    """

    transpose: bool = False
    mirror_rows: bool = False
    mirror_columns: bool = False

    @classmethod
    def of(cls, picture: av.VideoFrame) -> "_Turn":
        """Read the display matrix; the nearest multiple of 90 degrees, mirrored or not."""
        try:
            side_data = cast(Any, picture.side_data)["DISPLAYMATRIX"]
        except KeyError:
            return cls()
        # 16.16 fixed point, row vectors: (x, y) goes to (a x + c y, b x + d y).
        a, b, _, c, d = np.frombuffer(bytes(side_data), np.int32)[:5].tolist()
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return cls(False, d < 0, a < 0)
        return cls(True, b < 0, c < 0)

    @property
    def degrees(self) -> int:
        """Counter-clockwise rotation; a mirror image counts as its rotation."""
        if self.transpose:
            return 90 if self.mirror_rows else 270
        return 180 if self.mirror_rows and self.mirror_columns else 0

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the displayed ``(height, width)`` of a stored one."""
        return (size[1], size[0]) if self.transpose else size

    def apply(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turn ``(H, W, 3)`` upright; contiguous."""
        if self.transpose:
            rgb = rgb.transpose(1, 0, 2)
        rows = slice(None, None, -1 if self.mirror_rows else 1)
        columns = slice(None, None, -1 if self.mirror_columns else 1)
        return np.ascontiguousarray(rgb[rows, columns])


class _Clock:
    """Timestamps that exist and increase, as every writer needs them.

    Like FFmpeg's ``best_effort_timestamp``, which PyAV does not offer: a frame's pts, or
    its dts where the container has no pts (AVI) or they turn out worse.
    """

    def __init__(self, video: VideoInfo, faults: _Faults, *, has_pts: bool) -> None:
        self._step = max(1, round(1 / (video.fps * video.time_base)))
        self._faults = faults
        self._last: int | None = None
        self._last_pts: int | None = None
        self._last_dts: int | None = None
        self._faulty_pts, self._faulty_dts = (0, 0) if has_pts else (1, 0)
        self._duration = self._step

    def pts(self, picture: av.VideoFrame) -> int:
        """Return the frame's own timestamp, or the next one that makes sense."""
        pts = self._guess(picture.pts, picture.dts)
        if pts is None:
            self._faults.missing_pts += 1
            pts = 0 if self._last is None else self._last + self._duration
        elif self._last is not None and pts <= self._last:
            self._faults.backward_pts += 1
            pts = self._last + 1
        self._last = pts
        self._duration = picture.duration or self._step
        return pts

    def _guess(self, pts: int | None, dts: int | None) -> int | None:
        """Return the one of the two that has been the more regular so far."""
        if dts is not None:
            self._faulty_dts += self._last_dts is not None and dts <= self._last_dts
            self._last_dts = dts
        elif pts is not None:
            self._last_dts = pts
        if pts is not None:
            self._faulty_pts += self._last_pts is not None and pts <= self._last_pts
            self._last_pts = pts
        elif dts is not None:
            self._last_pts = dts
        good = self._faulty_pts <= self._faulty_dts
        return pts if pts is not None and (good or dts is None) else dts


def _open(path: Path) -> InputContainer:
    """Open a container, or say in words why not."""
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
        raise InputError(
            f"{path}: not a readable video ({_reason(error)})",
            hint="the file is damaged, cut off before its index (moov), or no video at all; "
            "try ffprobe on it",
        ) from error


def _video_stream(container: InputContainer, path: Path) -> VideoStream:
    """Return the default video stream; cover art does not count."""
    pictures = [s for s in container.streams.video if not _is_still(s)]
    if not pictures:
        kinds = sorted({s.type for s in container.streams})
        only = " (audio only)" if "audio" in kinds else ""
        raise InputError(f"{path}: has no video stream{only}", hint="give a file with pictures")
    stream = max(pictures, key=lambda s: bool(s.disposition & av.stream.Disposition.default))
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


def _packets(container: InputContainer, faults: _Faults) -> Iterator[Any]:
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


def _decode(
    container: InputContainer, stream: VideoStream, faults: _Faults, path: Path
) -> Generator[av.VideoFrame, None, None]:
    """Yield decoded frames; skip what cannot be decoded, within limits."""
    done = read = run = 0
    end = 0.0
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
        try:
            pictures = stream.codec_context.decode(packet)
            run = 0
        except EOFError:
            pictures = []
        except FFmpegError as error:
            run += 1
            faults.add_corrupt(done)
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
            done += 1
            yield picture
    if faults.broken_off or _is_short(container, stream, read, end):
        faults.truncated_at, faults.promised = done, stream.frames or None


def _is_short(container: InputContainer, stream: VideoStream, read: int, end: float) -> bool:
    """Tell whether a file ends before its container says, where that can be relied on."""
    kind = container.format.name
    if stream.frames and ("mp4" in kind or kind == "avi"):
        return read < stream.frames
    if "matroska" in kind and container.duration:
        return end < container.duration / av.time_base - 0.5
    return False


def _fraction(value: Any) -> Fraction | None:
    """Return PyAV's rational (its own type from version 19 on) as ``Fraction``; 0 is none."""
    if value is None or not value.denominator or not value.numerator:
        return None
    return Fraction(int(value.numerator), int(value.denominator))


def _reason(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error)
