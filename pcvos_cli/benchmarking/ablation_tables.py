"""Results of ``pcvos benchmark --ablation``, in the layout of the paper's tables 1 and 2.

Free of torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pcvos_cli.benchmarking.report import Accuracy, Machine, Spread
from pcvos_cli.benchmarking.tables import Curve, Point, Table
from pcvos_cli.benchmarking.training_scheme import TrainingScheme

PARTS = ("pmm", "pct", "icr")
"""Progressive matching, per-clip training, intra-clip refinement: columns of table 1."""


@dataclass(frozen=True, slots=True)
class AblationCell:
    """One row at one clip length.

    Attributes:
        interval: L.
        fps: Frames a second of the model alone, on the benchmark's clip.
        accuracy: On the data set.
    """

    interval: int
    fps: Spread
    accuracy: Accuracy


@dataclass(frozen=True, slots=True)
class AblationRow:
    """A combination of parts, or a training scheme, with its weights.

    Attributes:
        name: The user's.
        pmm: Whether progressive matching is on.
        pct: Whether the weights were trained per clip; ``None`` if that is not known.
        icr: Whether intra-clip refinement is on.
        model: Preset of the weights.
        weights: Their name.
        weights_sha256: Of the file.
        training: How they were trained, as far as they say.
        cells: In the order of L.
    """

    name: str
    pmm: bool
    pct: bool | None
    icr: bool
    model: str
    weights: str
    weights_sha256: str
    training: TrainingScheme | None
    cells: tuple[AblationCell, ...]


@dataclass(frozen=True, slots=True)
class AblationReport:
    """All results of an ablation.

    Attributes:
        protocol: How it was measured.
        machine: The machine on which the speeds were taken.
        rows: In the order asked for.
    """

    protocol: Mapping[str, Any]
    machine: Machine
    rows: tuple[AblationRow, ...]

    @property
    def intervals(self) -> tuple[int, ...]:
        """The clip lengths, ascending."""
        return tuple(cell.interval for cell in self.rows[0].cells)

    @property
    def score(self) -> str:
        """Name of the score that tables and curves show."""
        return self.rows[0].cells[0].accuracy.name


def table_1(report: AblationReport) -> Table:
    """Return the rows in the layout of the paper's table 1, with the speeds beside."""
    header = ["Method", *(part.upper() for part in PARTS)]
    header += [f"L={interval}" for interval in report.intervals]
    header += [f"FPS {interval}" for interval in report.intervals]
    rows = [
        [
            row.name,
            *(_check(on) for on in (row.pmm, row.pct, row.icr)),
            *(f"{cell.accuracy.percent:.2f}" for cell in row.cells),
            *(f"{cell.fps.median:.2f}" for cell in row.cells),
        ]
        for row in report.rows
    ]
    title = f"Table 1, modules at each clip length L: {report.score}, then FPS of the model alone"
    return Table(title, header, rows)


def table_2(report: AblationReport) -> Table | None:
    """Return the rows in the layout of the paper's table 2, or ``None`` if there are none.

    Its rows are training schemes, all with every part on, so those with a part off are
    left out, and those of weights that do not say how they were trained.
    """
    rows = [
        [
            row.name,
            row.training.type.capitalize(),
            str(row.training.frames),
            _check(row.training.clip_supervision),
            *(f"{cell.accuracy.percent:.2f}" for cell in row.cells),
        ]
        for row in report.rows
        if row.training is not None and row.pmm and row.icr
    ]
    header = ["Scheme", "Type", "NF", "CS", *(f"L={interval}" for interval in report.intervals)]
    return Table(f"Table 2, training schemes: {report.score}", header, rows) if rows else None


def ablation_curves(report: AblationReport) -> list[Curve]:
    """Return accuracy against FPS, a curve a row: the paper's figure 1."""
    return [
        Curve(
            row.name,
            report.score,
            tuple(
                Point(cell.fps.median, cell.accuracy.percent, cell.interval) for cell in row.cells
            ),
        )
        for row in report.rows
    ]


def _check(on: bool | None) -> str:
    return "?" if on is None else "✓" * on
