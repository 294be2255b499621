"""What ``pcvos benchmark --long`` found: seconds a frame and memory along a long video.

Free of torch.
"""

import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from model.errors import InputError
from pcvos_cli.benchmarking.rates import REFERENCE_GFLOPS, at_reference
from pcvos_cli.benchmarking.report import Machine
from pcvos_cli.benchmarking.tables import Table

STRETCH = 100
"""Frames over which seconds are averaged."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive frames of the video.

    Attributes:
        first: Index of the first frame.
        last: Index of the last one, included.
        seconds: A frame, end to end.
        resident_mb: Largest resident size of the process meanwhile, in MB; 0 where the system
            does not tell.
    """

    first: int
    last: int
    seconds: float
    resident_mb: float


@dataclass(frozen=True, slots=True)
class LongReport:
    """How ``pcvos segment`` went along a long video.

    Attributes:
        protocol: How it was measured, in words and numbers.
        machine: What on.
        interval: L.
        frames: Of the video.
        objects: Number of objects.
        memory_frames: Frames in the memory at the end.
        run_peak_mb: Largest resident size of the process until its results were written, in MB.
        peak_mb: That of its whole life: when Python ends, libraries are paged in to be closed.
        fps_end_to_end: All frames by the seconds from the first frame's decoding to the last
            file's closing.
        stretches: In order, from the first frame to the last.
    """

    protocol: Mapping[str, Any]
    machine: Machine
    interval: int
    frames: int
    objects: int
    memory_frames: int
    run_peak_mb: float
    peak_mb: float
    fps_end_to_end: float
    stretches: tuple[Stretch, ...]

    @property
    def growth(self) -> float:
        """Seconds a frame of the last quarter over those of the second (medians).

        In 2,000 frames at L = 10 the memory has its 40 frames before the second quarter, so
        with the default bound this is 1 unless something else grows.
        """
        quarter = max(1, len(self.stretches) // 4)
        seconds = [stretch.seconds for stretch in self.stretches]
        early = seconds[quarter : 2 * quarter] or seconds[:1]
        return statistics.median(seconds[-quarter:]) / statistics.median(early)

    def describe(self) -> list[str]:
        """Return what was found, line by line."""
        seconds = 1 / self.fps_end_to_end
        scaled = at_reference(seconds, self.machine.matmul_gflops.median)
        sizes = [stretch.resident_mb for stretch in self.stretches]
        return [
            f"{self.frames} frames, L {self.interval}, {self.objects} "
            f"object{'s' * (self.objects > 1)}, {self.memory_frames} frames in the memory at the "
            "end",
            f"{seconds:.3f} s a frame end to end, {scaled:.3f} at {REFERENCE_GFLOPS:.0f} GFLOP/s; "
            f"the last quarter takes {self.growth:.2f} times the second",
            f"peak {self.run_peak_mb:.0f} MB, {self.peak_mb:.0f} MB with the process's end; "
            f"{sizes[0]:.0f} MB over the first {STRETCH} frames, "
            f"{sizes[-1]:.0f} MB over the last",
        ]

    def to_document(self) -> dict[str, Any]:
        """Return the JSON document of ``pcvos benchmark --long --json``."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "LongReport":
        """Read what ``to_document`` wrote.

        Raises:
            InputError: If it is another document.
        """
        try:
            stretches = tuple(Stretch(**values) for values in document["stretches"])
            if not stretches:
                raise ValueError("no stretches")
            machine = Machine.from_values(document["machine"])
            return cls(**{**document, "stretches": stretches, "machine": machine})
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"not a report of pcvos benchmark --long: {error!r}") from error


def long_table(report: LongReport) -> Table:
    """Return seconds a frame and resident memory by stretches."""
    rate = report.machine.matmul_gflops.median
    rows = [
        [
            f"{s.first} to {s.last}",
            f"{s.seconds:.3f}",
            f"{at_reference(s.seconds, rate):.3f}",
            f"{s.resident_mb:.0f}",
        ]
        for s in report.stretches
    ]
    header = ["frames", "s a frame", f"at {REFERENCE_GFLOPS:.0f} GFLOP/s", "resident MB"]
    return Table("Seconds a frame, end to end, and memory along the video", header, rows)
