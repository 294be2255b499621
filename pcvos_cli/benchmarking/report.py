"""Results of ``pcvos benchmark``: dataclasses, and the JSON document. Free of torch."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure measured several times."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Summarise at least one value."""
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        """Return the median, and the range in brackets."""
        return f"{self.median:.2f} ({self.low:.2f}..{self.high:.2f})"


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Scores on a data set, in [0, 1].

    ``G`` is YouTube-VOS's mean over seen and unseen categories; ``None`` elsewhere.
    """

    JF_mean: float
    J_mean: float
    F_mean: float
    G: float | None = None

    @property
    def name(self) -> str:
        """The score that the field reports for the data set: G for YouTube-VOS, else J&F."""
        return "J&F" if self.G is None else "G"

    @property
    def percent(self) -> float:
        """That score in percent."""
        return 100 * (self.JF_mean if self.G is None else self.G)


@dataclass(frozen=True, slots=True)
class Measurement:
    """One clip length with one number of objects.

    Attributes:
        interval: L.
        objects: Number of objects.
        frames: Frames of the clip that was measured.
        memory_frames: Frames in the memory at its end.
        fps_model: Frames a second of the model alone, over the repeats.
        fps_end_to_end: Frames a second with decoding and writing, over the repeats.
        peak_memory_mb: Largest resident size of the process during the model's own runs,
            the clip's frames included; 0 where the system does not tell.
        peak_device_memory_mb: Largest allocation on a CUDA device then, or ``None``.
        model_stages: Seconds a frame by stage when the model runs alone (median).
        end_to_end_stages: Likewise end to end. Decoding and writing run beside the model,
            so they may add up to more than ``total``.
        accuracy: On the data set, or ``None`` if there was none.
    """

    interval: int
    objects: int
    frames: int
    memory_frames: int
    fps_model: Spread
    fps_end_to_end: Spread
    peak_memory_mb: float
    peak_device_memory_mb: float | None
    model_stages: Mapping[str, float]
    end_to_end_stages: Mapping[str, float]
    accuracy: Accuracy | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine that was measured.

    Attributes:
        device: The model's device.
        processor: The CPU, as the system calls it.
        cores: CPU cores that this process may use.
        threads: CPU threads of torch.
        system: The operating system.
        versions: Of Python and the packages that decide the result.
    """

    device: str
    processor: str
    cores: int
    threads: int
    system: str
    versions: Mapping[str, str]

    def describe(self) -> str:
        """Return device, threads, processor and system in a line."""
        return (
            f"{self.device}, {self.threads} CPU threads of {self.cores} cores, "
            f"{self.processor}, {self.system}"
        )


@dataclass(frozen=True, slots=True)
class BenchmarkReport:
    """All results of a benchmark.

    Attributes:
        protocol: How it was measured, in words and numbers.
        machine: The machine.
        measurements: In the order of number of objects, then clip length.
    """

    protocol: Mapping[str, Any]
    machine: Machine
    measurements: tuple[Measurement, ...]
