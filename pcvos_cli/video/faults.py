"""What goes wrong in a video file without ending it: counted, told, and mended in time."""

from dataclasses import dataclass, field

import av

from pcvos_cli.video.source import VideoInfo


@dataclass
class Faults:
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
