"""What ``pcvos benchmark`` found: dataclasses, and JSON there and back.

Free of torch.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from model.errors import InputError
from pcvos_cli.benchmarking.rates import Floor, at_reference
from pcvos_cli.benchmarking.trend import Scaling

MODEL_STAGES = (
    "key_encoder",
    "memory_read",
    "refinement",
    "decoder",
    "aggregation",
    "value_encoder",
)
"""Stages of the model, in the order of the data flow."""


@dataclass(frozen=True, slots=True)
class Variant:
    """Which parts of the method are on.

    Attributes:
        name: As ``--variants`` takes it.
        refinement: Intra-clip refinement.
        progressive: Progressive matching.
    """

    name: str
    refinement: bool
    progressive: bool


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("full", refinement=True, progressive=True),
        Variant("no-refinement", refinement=False, progressive=True),
        Variant("no-progressive", refinement=True, progressive=False),
        Variant("stcn-like", refinement=False, progressive=False),
    )
}

SWITCHED = "test-time switch, not the paper's baseline"
"""Marks a variant that is the full model's weights with a part left out."""


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


SCORES = {"J&F": "JF_mean", "J": "J_mean", "F": "F_mean", "G": "G"}
"""What one figure can stand for accuracy: its name in tables, its field in ``Accuracy``."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Scores of a variant on a data set, in [0, 1].

    ``G`` is YouTube-VOS's mean over seen and unseen categories; ``None`` elsewhere.
    """

    JF_mean: float
    J_mean: float
    F_mean: float
    G: float | None = None

    def value(self, score: str) -> float:
        """Return the score of that name, as in ``SCORES``."""
        value = getattr(self, SCORES[score])
        assert value is not None, f"{score} was refused for this data set"
        return float(value)

    def percent(self, score: str) -> str:
        """Return the score of that name as tables show it."""
        return f"{100 * self.value(score):.2f}"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One variant at one clip length with one number of objects.

    Attributes:
        variant: A name of ``VARIANTS``.
        mark: What to know of the variant before comparing it; empty for ``full``.
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
        matmul_gflops: Rate of matrix products right before and after, or ``None`` in reports
            of older versions; so is ``floor``.
        floor: The multiply-adds of the model, and how far above them it is.
    """

    variant: str
    mark: str
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
    matmul_gflops: Spread | None = None
    floor: Floor | None = None

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds a frame (medians); ``..._at_67`` with matrix products at 67 GFLOP/s."""
        seconds = {
            "model": 1 / self.fps_model.median,
            "end_to_end": 1 / self.fps_end_to_end.median,
        }
        if self.matmul_gflops is not None:
            rate = self.matmul_gflops.median
            seconds |= {f"{kind}_at_67": at_reference(s, rate) for kind, s in seconds.items()}
        return seconds

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """Read the fields back from JSON."""
        # What follows from the others is written for those who read the JSON.
        known = {name: value for name, value in values.items() if name != "seconds"}
        for name in ("fps_model", "fps_end_to_end"):
            known[name] = Spread(**known[name])
        if known["accuracy"] is not None:
            known["accuracy"] = Accuracy(**known["accuracy"])
        if known.get("matmul_gflops") is not None:
            known["matmul_gflops"] = Spread(**known["matmul_gflops"])
        if known.get("floor") is not None:
            known["floor"] = Floor.from_values(known["floor"])
        return cls(**known)


@dataclass(frozen=True, slots=True)
class Machine:
    """What the figures were taken on.

    Attributes:
        device: What the model ran on.
        processor: The CPU, as the system calls it.
        cores: CPU cores that this process may use.
        threads: CPU threads of torch.
        system: The operating system.
        versions: Of Python and the packages that decide the result.
        matmul_gflops: Rate of a float32 2048 x 2048 matrix product on ``device`` with
            ``threads``, in the same run, so that machines can be compared.
    """

    device: str
    processor: str
    cores: int
    threads: int
    system: str
    versions: Mapping[str, str]
    matmul_gflops: Spread

    def describe(self) -> str:
        """Return device, threads, processor and system in a line."""
        return (
            f"{self.device}, {self.threads} CPU threads of {self.cores} cores, "
            f"{self.processor}, {self.system}"
        )

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """Read the fields back from JSON."""
        return cls(**{**values, "matmul_gflops": Spread(**values["matmul_gflops"])})


@dataclass(frozen=True, slots=True)
class BenchmarkReport:
    """All that a benchmark found.

    Attributes:
        protocol: How it was measured, in words and numbers.
        machine: What on.
        measurements: In the order of number of objects, variant, clip length.
        scaling: How cost grows, or ``None`` if it was not asked for.
    """

    protocol: Mapping[str, Any]
    machine: Machine
    measurements: tuple[Measurement, ...]
    scaling: Scaling | None = None

    @property
    def marks(self) -> dict[str, str]:
        """The marks of all variants, each with the sign that stands for it in tables."""
        return {m.mark: "*" for m in self.measurements if m.mark}

    def to_document(self) -> dict[str, Any]:
        """Return the JSON document of ``pcvos benchmark --json``."""
        document = asdict(self)
        for values, measured in zip(document["measurements"], self.measurements, strict=True):
            values["seconds"] = measured.seconds
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "BenchmarkReport":
        """Read what ``to_document`` wrote.

        Raises:
            InputError: If it is another document.
        """
        try:
            measurements = [Measurement.from_values(item) for item in document["measurements"]]
            scaling = document["scaling"]
            return cls(
                document["protocol"],
                Machine.from_values(document["machine"]),
                tuple(measurements),
                None if scaling is None else Scaling.from_values(scaling),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"not a report of pcvos benchmark: {error!r}") from error
