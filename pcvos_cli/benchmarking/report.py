"""What ``pcvos benchmark`` found: dataclasses, and the JSON and tables made of them.

Free of torch.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from model.errors import InputError
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


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Scores of a variant on a data set, in [0, 1]."""

    JF_mean: float
    J_mean: float
    F_mean: float


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

    def to_document(self) -> dict[str, Any]:
        """Return the JSON document of ``pcvos benchmark --json``."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "BenchmarkReport":
        """Read what ``to_document`` wrote.

        Raises:
            InputError: If it is another document.
        """
        try:
            machine = dict(document["machine"])
            machine["matmul_gflops"] = Spread(**machine["matmul_gflops"])
            measurements = []
            for item in document["measurements"]:
                values = dict(item)
                for name in ("fps_model", "fps_end_to_end"):
                    values[name] = Spread(**values[name])
                if values["accuracy"] is not None:
                    values["accuracy"] = Accuracy(**values["accuracy"])
                measurements.append(Measurement(**values))
            scaling = document["scaling"]
            return cls(
                document["protocol"],
                Machine(**machine),
                tuple(measurements),
                None if scaling is None else Scaling.from_values(scaling),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"not a report of pcvos benchmark: {error!r}") from error


@dataclass(frozen=True, slots=True)
class Table:
    """A table in words: a title, the columns' names and the rows."""

    title: str
    header: list[str]
    rows: list[list[str]]


def speed_table(report: BenchmarkReport) -> Table:
    """Return the table of speeds; a variant with a mark has an asterisk."""
    scored = any(m.accuracy for m in report.measurements)
    on_device = any(m.peak_device_memory_mb is not None for m in report.measurements)
    header = ["variant", "L", "objects", "model FPS", "end-to-end FPS", "peak MB"]
    header += ["device MB"] * on_device + ["J&F", "J", "F"] * scored
    rows = []
    for m in report.measurements:
        row = [m.variant + "*" * bool(m.mark), str(m.interval), str(m.objects)]
        row += [str(m.fps_model), str(m.fps_end_to_end), f"{m.peak_memory_mb:.0f}"]
        if on_device:
            row.append(f"{m.peak_device_memory_mb or 0:.0f}")
        if scored:
            score = m.accuracy
            values = (score.JF_mean, score.J_mean, score.F_mean) if score else ()
            row += [f"{100 * value:.2f}" for value in values] or ["-"] * 3
        rows.append(row)
    return Table("Frames a second: median (lowest..highest)", header, rows)


def stage_tables(report: BenchmarkReport) -> list[Table]:
    """Return milliseconds a frame: a table a variant and number of objects, a row a stage.

    Stages of the model are those of its own runs; all others are those end to end.
    """
    cases: dict[tuple[str, int], list[Measurement]] = {}
    for m in report.measurements:
        cases.setdefault((m.variant, m.objects), []).append(m)
    tables = []
    for (variant, objects), line in cases.items():
        seconds = [{**m.end_to_end_stages, **m.model_stages} for m in line]
        rows = [
            [stage.replace("_", " "), *(f"{1000 * one.get(stage, 0.0):.1f}" for one in seconds)]
            for stage in _stages(line)
        ]
        title = f"Milliseconds a frame: {variant}, {objects} object{'s' * (objects > 1)}"
        tables.append(Table(title, ["", *(f"L={m.interval}" for m in line)], rows))
    return tables


def _stages(line: Sequence[Measurement]) -> list[str]:
    """Return the stages in the order of the data flow, without sums of several."""
    model = {stage for m in line for stage in m.model_stages}
    # A dict keeps the order in which the stages ended first.
    outside = dict.fromkeys(stage for m in line for stage in m.end_to_end_stages)
    before = [stage for stage in ("decode", "resize") if stage in outside]
    inside = [stage for stage in MODEL_STAGES if stage in model]
    inside += sorted(model.difference(inside))
    return before + inside + [s for s in outside if s not in {*before, *inside, "model", "total"}]
