"""Faults in a video file that do not end it: counted, told, and mended in time."""

from dataclasses import dataclass, field
from typing import Any

import av

from pcvos_cli.video.source import VideoInfo


@dataclass
class Faults:
    """Counts of the faults in one pass over the file."""

    corrupt_packets: int = 0
    first_corrupt: int | None = None
    damaged_frames: int = 0
    first_damaged: int | None = None
    lost_frames: int = 0
    first_lost: int | None = None
    missing_pts: int = 0
    backward_pts: int = 0
    rescaled_frames: int = 0
    broken_off: bool = False
    truncated_at: int | None = None
    promised: int | None = None
    without_picture: int = 0
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

    def add_lost(self, frame: int) -> None:
        """Count a frame that never came out; it was sent while ``frame`` was due."""
        self.lost_frames += 1
        if self.first_lost is None:
            self.first_lost = frame

    def remarks(self) -> list[str]:
        """Return what is odd about the file and no fault."""
        if not self.without_picture:
            return []
        return [
            f"{self.without_picture} frame(s) are repeats, without a picture of their own: "
            "they get no mask"
        ]

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
        if self.lost_frames:
            out.append(
                f"{self.lost_frames} frame(s) could not be decoded and are missing, "
                f"the first near frame {self.first_lost}"
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


class LostFrames:
    """Frames that a decoder drops without an error, told by timestamps that never come out.

    Only where one packet is one frame. What lies before the first keyframe, or belongs to
    frames before it, no decoder can show; that is how a recording starts, not a fault.

    Args:
        codec: FFmpeg's name of the decoder.
        faults: Where they are counted.
    """

    CODECS = ("h264", "hevc", "vp8", "vp9", "av1")
    PATIENCE = 64
    """Packets after which a frame is given up; no decoder holds back more than 16."""

    def __init__(self, codec: str, faults: Faults) -> None:
        self._vp8 = "vp8" in codec or codec == "libvpx"
        self._watches = self._vp8 or any(name in codec for name in self.CODECS)
        self._faults = faults
        self._sent = 0
        self._first: int | None = None
        self._waiting: dict[int, tuple[int, int]] = {}  # pts -> number of packet, frame due

    def sent(self, packet: Any, due: int) -> None:
        """Expect a packet's frame; ``due`` is the index of the next frame."""
        if not self._watches or packet.pts is None or packet.is_discard:
            return
        if self._first is None and packet.is_keyframe:
            self._first = packet.pts
        if self._first is None or packet.pts < self._first:
            return
        if self._vp8 and not bytes(packet)[0] & 0x10:  # RFC 6386, 9.1: not to be shown
            return
        self._sent += 1
        self._waiting[packet.pts] = (self._sent, due)
        self._give_up(self._sent - self.PATIENCE)

    def failed(self, packet: Any) -> None:
        """Expect nothing of a packet that is counted as corrupt."""
        if packet is not None:
            self._waiting.pop(packet.pts, None)

    def decoded(self, picture: av.VideoFrame) -> None:
        """Note a frame that came out."""
        if picture.pts is not None:
            self._waiting.pop(picture.pts, None)

    def close(self) -> None:
        """Give up all that has not come out by the end."""
        self._give_up(self._sent)

    def _give_up(self, number: int) -> None:
        """Count what was sent up to a packet and never came out."""
        for pts, (sent, due) in list(self._waiting.items()):
            if sent > number:
                return
            self._faults.add_lost(due)
            del self._waiting[pts]


class Clock:
    """Timestamps that exist and increase, as every writer needs them.

    Like FFmpeg's ``best_effort_timestamp``, which PyAV does not offer: a frame's pts, or
    its dts where the container has no pts (AVI) or they turn out worse.
    """

    def __init__(self, video: VideoInfo, faults: Faults, *, has_pts: bool) -> None:
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
