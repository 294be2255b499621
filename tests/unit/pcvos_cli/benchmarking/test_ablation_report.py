"""The paper's tables from measured rows."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from model.errors import ConfigError, InputError
from pcvos_cli.benchmarking.ablation import RowRequest
from pcvos_cli.benchmarking.ablation_report import (
    PROGRESSIVE_OFF,
    REFINEMENT_OFF,
    AblationCell,
    AblationReport,
    AblationRow,
    ablation_csv,
    ablation_curves,
    paper_tables,
    table_1,
    table_2,
)
from pcvos_cli.benchmarking.plot import draw_report
from pcvos_cli.benchmarking.report import Accuracy, Machine, Spread
from pcvos_cli.benchmarking.training_scheme import TrainingScheme

CLIP = TrainingScheme("clip", 7, True, "the recipe in the weights")


def row(name: str, parts: str, *marks: str, training: TrainingScheme | None = CLIP) -> AblationRow:
    on = parts.split("+")
    cells = tuple(
        AblationCell(L, Spread(L / 2, L / 4, L), Accuracy(0.8 - L / 100, 0.7, 0.9 - L / 50))
        for L in (5, 25)
    )
    pct = None if "pct?" in on else "pct" in on
    pmm, icr = "pmm" in on, "icr" in on
    return AblationRow(name, pmm, pct, icr, marks, "pcvos-lite", "w", "0" * 64, training, cells)


def report(*rows: AblationRow, score: str = "J&F") -> AblationReport:
    machine = Machine("cpu", "a CPU", 2, 1, "Linux", {"torch": "2.9"}, Spread(50.0, 40.0, 60.0))
    protocol = {"working_size": "854 x 480", "dataset": "davis2016", "score": score}
    return AblationReport(protocol, machine, rows)


def test_table_1_has_check_marks_then_scores_then_speeds():
    switched = row("no-refinement", "pmm+pct", REFINEMENT_OFF)
    both = row("stcn-like", "pct", REFINEMENT_OFF, PROGRESSIVE_OFF)
    unknown = row("theirs", "pmm+pct?+icr", training=None)
    table = table_1(report(both, switched, unknown, row("ours", "pmm+pct+icr")))
    assert table.header == [
        "Method", "PMM", "PCT", "ICR", "L=5", "L=25", "FPS 5", "FPS 25",
    ]  # fmt: skip
    assert [line[:4] for line in table.rows] == [
        ["stcn-like*†", "", "✓", ""],
        ["no-refinement*", "✓", "✓", ""],
        ["theirs", "✓", "?", "✓"],
        ["ours", "✓", "✓", "✓"],
    ]
    assert table.rows[0][4:] == ["75.00", "55.00", "2.50", "12.50"]
    assert "J&F" in table.title


def test_another_score_is_shown_where_asked_for():
    table = table_1(report(row("ours", "pmm+pct+icr"), score="F"))
    assert table.rows[0][4:6] == ["80.00", "40.00"]
    assert "F, then FPS" in table.title


def test_table_2_has_training_schemes_with_every_part_on():
    frame = TrainingScheme("frame", 3, False, "the recipe in the weights")
    rows = (
        row("trad", "pmm+icr", training=frame),
        row("ours", "pmm+pct+icr"),
        row("half", "pmm+pct", REFINEMENT_OFF),
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


def test_the_papers_figures_are_called_so_and_are_those_of_the_paper():
    first, second = paper_tables()
    assert "the paper's own" in first.title
    assert "YouTube-VOS 2019" in second.title
    assert first.rows[-1] == ["Ours", "✓", "✓", "✓", "84.6", "84.1", "83.6", "83.0"]
    assert first.rows[1] == ["", "✓", "", "", "82.7", "82.3", "81.7", "81.1"]
    assert second.rows[0] == ["Trad.", "Frame", "3", "", "83.1", "82.6", "82.3", "81.8"]
    assert second.rows[4] == ["(3)", "Clip", "7", "", "83.7", "83.3", "82.5", "82.0"]


def test_json_comes_back_as_it_was():
    whole = report(row("ours", "pmm+pct+icr"), row("half", "pmm+pct", REFINEMENT_OFF))
    assert AblationReport.from_document(json.loads(json.dumps(whole.to_document()))) == whole
    with pytest.raises(InputError, match="not a report"):
        AblationReport.from_document({"protocol": {}, "machine": {}, "rows": []})


def test_the_csv_says_what_is_known():
    lines = ablation_csv(report(row("ours", "pmm+pct+icr"), row("x", "pct?", training=None)))
    ours, _, other, _ = csv.DictReader(lines.splitlines())
    assert (ours["row"], ours["pct"], ours["NF"], ours["L"]) == ("ours", "True", "7", "5")
    assert float(ours["JF_mean"]) == pytest.approx(0.75)
    assert other["pct"] == other["type"] == other["G"] == ""


def test_the_figure_has_a_curve_a_row(tmp_path: Path):
    one = report(row("ours", "pmm+pct+icr"))
    two = report(*one.rows, replace(row("half", "pmm+pct", REFINEMENT_OFF)))
    curves = ablation_curves(two)
    assert [curve.name for curve in curves] == ["ours", "half*"]
    assert [(p.interval, p.fps) for p in curves[0].points] == [(5, 2.5), (25, 12.5)]
    draw_report(one, ablation_curves(one), tmp_path / "one.png")
    draw_report(two, curves, tmp_path / "two.png")
    with Image.open(tmp_path / "one.png") as a, Image.open(tmp_path / "two.png") as b:
        assert a.size == b.size
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
