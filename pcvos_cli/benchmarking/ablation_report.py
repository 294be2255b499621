"""Rows of the paper's tables 1 and 2 as ``pcvos benchmark --ablation`` found them.

Free of torch.
"""

import csv
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from model.errors import InputError
from pcvos_cli.benchmarking.curves import Curve, Point
from pcvos_cli.benchmarking.paper import (
    PAPER_INTERVALS,
    PAPER_SOURCE,
    PAPER_TABLE_1,
    PAPER_TABLE_2,
)
from pcvos_cli.benchmarking.report import Accuracy, Machine, Spread
from pcvos_cli.benchmarking.tables import Table
from pcvos_cli.benchmarking.training_scheme import TrainingScheme

PARTS = ("pmm", "pct", "icr")
"""Progressive matching, per-clip training, intra-clip refinement: columns of table 1."""

PAPER_ROWS = frozenset(parts for _, parts, _ in PAPER_TABLE_1)
"""Combinations of parts that table 1 has."""

REFINEMENT_OFF = (
    "ICR switched off at test time under weights trained with it: not comparable with the paper's"
)
PROGRESSIVE_OFF = "PMM switched off at test time: a combination that the paper does not have"

_NOTES = "*†‡"


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
        name: The user's, or that of a variant.
        pmm: Whether progressive matching is on.
        pct: Whether the weights were trained per clip; ``None`` if that is not known.
        icr: Whether intra-clip refinement is on.
        marks: What to know before the row is compared with the paper's; empty if nothing.
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
    marks: tuple[str, ...]
    model: str
    weights: str
    weights_sha256: str
    training: TrainingScheme | None
    cells: tuple[AblationCell, ...]


@dataclass(frozen=True, slots=True)
class AblationReport:
    """All that an ablation found.

    Attributes:
        protocol: How it was measured; ``score`` is the field of ``Accuracy`` that is shown.
        machine: What the speeds were taken on.
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
    def marks(self) -> dict[str, str]:
        """The marks of all rows, each with the sign that stands for it in tables."""
        texts = dict.fromkeys(mark for row in self.rows for mark in row.marks)
        return dict(zip(texts, _NOTES, strict=False))

    def label(self, row: AblationRow) -> str:
        """Return a row's name with the signs of its marks."""
        return row.name + "".join(self.marks[mark] for mark in row.marks)

    def to_document(self) -> dict[str, Any]:
        """Return the JSON document of ``pcvos benchmark --ablation --json``."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "AblationReport":
        """Read what ``to_document`` wrote.

        Raises:
            InputError: If it is another document.
        """
        try:
            rows = [_row(item) for item in document["rows"]]
            if not rows:
                raise ValueError("no rows")
            return cls(document["protocol"], Machine.from_values(document["machine"]), tuple(rows))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"not a report of pcvos benchmark --ablation: {error!r}") from error


def _row(values: Mapping[str, Any]) -> AblationRow:
    cells = tuple(
        AblationCell(cell["interval"], Spread(**cell["fps"]), Accuracy(**cell["accuracy"]))
        for cell in values["cells"]
    )
    training = values["training"]
    scheme = None if training is None else TrainingScheme(**training)
    changed = {"cells": cells, "training": scheme, "marks": tuple(values["marks"])}
    return AblationRow(**{**values, **changed})


def table_1(report: AblationReport) -> Table:
    """Return the rows in the layout of the paper's table 1, with the speeds beside."""
    score = report.protocol["score"]
    header = ["Method", *(part.upper() for part in PARTS)]
    header += [f"L={interval}" for interval in report.intervals]
    header += [f"FPS {interval}" for interval in report.intervals]
    rows = [
        [
            report.label(row),
            *(_check(on) for on in (row.pmm, row.pct, row.icr)),
            *(cell.accuracy.percent(score) for cell in row.cells),
            *(f"{cell.fps.median:.2f}" for cell in row.cells),
        ]
        for row in report.rows
    ]
    title = f"Table 1, modules at each clip length L: {score}, then FPS of the model alone"
    return Table(title, header, rows)


def table_2(report: AblationReport) -> Table | None:
    """Return the rows in the layout of the paper's table 2, or ``None`` if there are none.

    Its rows are training schemes, all with every part on, so those with a part off are
    left out, and those of weights that do not say how they were trained.
    """
    score = report.protocol["score"]
    rows = [
        [
            report.label(row),
            row.training.type.capitalize(),
            str(row.training.frames),
            _check(row.training.clip_supervision),
            *(cell.accuracy.percent(score) for cell in row.cells),
        ]
        for row in report.rows
        if row.training is not None and row.pmm and row.icr
    ]
    header = ["Scheme", "Type", "NF", "CS", *(f"L={interval}" for interval in report.intervals)]
    return Table(f"Table 2, training schemes: {score}", header, rows) if rows else None


def paper_tables() -> list[Table]:
    """Return tables 1 and 2 with the paper's figures, and say so in their titles."""
    lengths = [f"L={interval}" for interval in PAPER_INTERVALS]
    first = [
        [name, *(_check(part in parts) for part in PARTS), *map(str, scores)]
        for name, parts, scores in PAPER_TABLE_1
    ]
    second = [
        [name, kind.capitalize(), str(frames), _check(supervised), *map(str, scores)]
        for name, kind, frames, supervised, scores in PAPER_TABLE_2
    ]
    header_1 = ["Method", *(part.upper() for part in PARTS), *lengths]
    header_2 = ["Scheme", "Type", "NF", "CS", *lengths]
    return [
        Table(f"The paper's table 1 ({PAPER_SOURCE})", header_1, first),
        Table(f"The paper's table 2 ({PAPER_SOURCE})", header_2, second),
    ]


def ablation_curves(report: AblationReport) -> list[Curve]:
    """Return accuracy against FPS, a curve a row: the paper's figure 1."""
    score = report.protocol["score"]
    return [
        Curve(
            report.label(row),
            tuple(
                Point(cell.fps.median, 100 * cell.accuracy.value(score), cell.interval)
                for cell in row.cells
            ),
        )
        for row in report.rows
    ]


def ablation_csv(report: AblationReport) -> str:
    """Return a CSV table with a line for each row at each clip length."""
    lines = []
    for row in report.rows:
        scheme = row.training
        for cell in row.cells:
            lines.append(
                {
                    "row": row.name,
                    **{part: getattr(row, part) for part in PARTS},
                    "type": scheme and scheme.type,
                    "NF": scheme and scheme.frames,
                    "CS": scheme and scheme.clip_supervision,
                    "model": row.model,
                    "weights": row.weights,
                    "weights_sha256": row.weights_sha256,
                    "L": cell.interval,
                    "fps_model": cell.fps.median,
                    "fps_model_low": cell.fps.low,
                    "fps_model_high": cell.fps.high,
                    **asdict(cell.accuracy),
                    "marks": "; ".join(row.marks),
                }
            )
    text = io.StringIO()
    # DictWriter writes None as nothing: what is not known.
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _check(on: bool | None) -> str:
    return "?" if on is None else "✓" * on
