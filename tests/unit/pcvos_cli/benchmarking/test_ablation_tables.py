"""The paper's tables from measured rows."""

from pathlib import Path

import pytest
from PIL import Image

from model.errors import ConfigError
from pcvos_cli.benchmarking.ablation import RowRequest
from pcvos_cli.benchmarking.ablation_tables import (
    AblationCell,
    AblationReport,
    AblationRow,
    ablation_curves,
    table_1,
    table_2,
)
from pcvos_cli.benchmarking.plot import draw_accuracy
from pcvos_cli.benchmarking.report import Accuracy, Machine, Spread
from pcvos_cli.benchmarking.training_scheme import TrainingScheme

CLIP = TrainingScheme("clip", 7, True, "the recipe in the weights")


def row(name: str, parts: str, *, training: TrainingScheme | None = CLIP) -> AblationRow:
    on = parts.split("+")
    cells = tuple(
        AblationCell(L, Spread(L / 2, L / 4, L), Accuracy(0.8 - L / 100, 0.7, 0.9 - L / 50))
        for L in (5, 25)
    )
    pct = None if "pct?" in on else "pct" in on
    pmm, icr = "pmm" in on, "icr" in on
    return AblationRow(name, pmm, pct, icr, "pcvos-lite", "w", "0" * 64, training, cells)


def report(*rows: AblationRow) -> AblationReport:
    machine = Machine("cpu", "a CPU", 2, 1, "Linux", {"torch": "2.9"})
    return AblationReport({"working_size": "854 x 480", "dataset": "davis2016"}, machine, rows)


def test_table_1_has_check_marks_then_scores_then_speeds():
    unknown = row("theirs", "pmm+pct?+icr", training=None)
    table = table_1(report(row("stcn", ""), row("pmm+pct", "pmm+pct"), unknown))
    assert table.header == [
        "Method", "PMM", "PCT", "ICR", "L=5", "L=25", "FPS 5", "FPS 25",
    ]  # fmt: skip
    assert [line[:4] for line in table.rows] == [
        ["stcn", "", "", ""],
        ["pmm+pct", "✓", "✓", ""],
        ["theirs", "✓", "?", "✓"],
    ]
    assert table.rows[0][4:] == ["75.00", "55.00", "2.50", "12.50"]
    assert "J&F" in table.title


def test_table_2_has_training_schemes_with_every_part_on():
    frame = TrainingScheme("frame", 3, False, "the recipe in the weights")
    rows = (
        row("trad", "pmm+icr", training=frame),
        row("ours", "pmm+pct+icr"),
        row("half", "pmm+pct"),
        row("unknown", "pmm+pct?+icr", training=None),
    )
    table = table_2(report(*rows))
    assert table is not None
    assert table.header == ["Scheme", "Type", "NF", "CS", "L=5", "L=25"]
    assert [line[:4] for line in table.rows] == [
        ["trad", "Frame", "3", ""],
        ["ours", "Clip", "7", "✓"],
    ]
    assert table_2(report(rows[2])) is None


def test_the_figure_has_a_curve_a_row(tmp_path: Path):
    two = report(row("ours", "pmm+pct+icr"), row("half", "pmm+pct"))
    curves = ablation_curves(two)
    assert [curve.name for curve in curves] == ["ours", "half"]
    assert [(p.interval, p.fps) for p in curves[0].points] == [(5, 2.5), (25, 12.5)]
    draw_accuracy(curves[:1], two.protocol, two.machine, tmp_path / "one.png")
    draw_accuracy(curves, two.protocol, two.machine, tmp_path / "two.png")
    with Image.open(tmp_path / "one.png") as a, Image.open(tmp_path / "two.png") as b:
        assert a.tobytes() != b.tobytes()


@pytest.mark.parametrize(
    ("text", "pmm", "icr", "pct"),
    [
        ("stcn=w", False, False, False),
        ("PMM=w", True, False, False),
        ("pmm+pct = w", True, False, True),
        ("icr+pct+pmm=w", True, True, True),
        ("ours=w", True, None, None),
        ("7 frames=w", True, None, None),
    ],
)
def test_a_rows_name_says_which_parts_are_on(
    text: str, pmm: bool, icr: bool | None, pct: bool | None
):
    request = RowRequest.parse(text)
    assert (request.pmm, request.icr, request.pct) == (pmm, icr, pct)
    assert request.name == text.partition("=")[0].strip()
    assert request.weights == Path("w")


@pytest.mark.parametrize("text", ["w.safetensors", "=w", "ours=", " = "])
def test_a_row_without_name_or_weights_is_refused(text: str):
    with pytest.raises(ConfigError, match="NAME=WEIGHTS"):
        RowRequest.parse(text)
