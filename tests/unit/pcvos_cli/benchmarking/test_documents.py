"""Benchmarks as Markdown."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pcvos_cli.benchmarking.ablation_report import REFINEMENT_OFF
from pcvos_cli.benchmarking.bound_report import BoundLine, BoundReport
from pcvos_cli.benchmarking.documents import RESULTS, main, to_markdown
from pcvos_cli.benchmarking.report import SWITCHED, Accuracy
from pcvos_cli.benchmarking.tables import Table
from pcvos_cli.benchmarking.trend import Scaling, Trend
from tests.unit.pcvos_cli.benchmarking import test_ablation_report as ablation
from tests.unit.pcvos_cli.benchmarking import test_report as speed
from tests.unit.pcvos_cli.benchmarking.test_long import long_report


def test_every_json_of_a_folder_becomes_a_section(tmp_path: Path):
    measured = speed.report(
        speed.measurement("full", 5), speed.measurement("stcn-like", 25, Accuracy(0.8, 0.7, 0.9))
    )
    trend = Trend.fit([1, 2, 3], [0.1, 0.2, 0.3])
    measured = replace(
        measured,
        protocol={**measured.protocol, "command": "pcvos benchmark --intervals 5,25"},
        scaling=Scaling("full", 5, 1, trend, None),
    )
    rows = ablation.report(
        ablation.row("half", "pmm+pct", REFINEMENT_OFF), ablation.row("ours", "pmm+pct+icr")
    )
    (tmp_path / "speed.json").write_text(json.dumps(measured.to_document()))
    (tmp_path / "accuracy.json").write_text(json.dumps(rows.to_document()))
    (tmp_path / "accuracy.png").write_bytes(b"")

    assert main([str(tmp_path)]) == 0

    page = (tmp_path / RESULTS).read_text()
    first, second = page.index("## accuracy: davis2016"), page.index("## speed: pcvos-lite")
    assert first < second
    accuracy, speeds = page[first:second], page[second:]
    assert "![accuracy](accuracy.png)" in accuracy
    assert "| half\\* | ✓ | ✓ |  | 75.00 | 55.00 | 2.50 | 12.50 |" in accuracy
    assert f"\\* {REFINEMENT_OFF}" in accuracy
    assert "| ours | Clip | 7 | ✓ | 75.00 | 55.00 |" in accuracy
    assert "the paper's own figures" in accuracy
    assert "![" not in speeds
    assert "`pcvos benchmark --intervals 5,25`" in speeds
    assert f"\\* {SWITCHED}" in speeds
    assert "| stcn-like\\* | 25 | 1 |" in speeds
    assert "| key encoder | 2.0 |" in speeds
    assert "100.000 ms for each frame in the memory" in speeds
    check_tables(page)


def check_tables(page: str) -> None:
    """Every row of a table must have as many cells as its header."""
    for table in page.split("\n\n"):
        lines = [line for line in table.splitlines() if line.startswith("|")]
        assert len({line.replace("\\|", "").count("|") for line in lines}) <= 1


def test_long_videos_and_targets_have_sections(tmp_path: Path):
    long = long_report([0.2, 0.2, 0.2, 0.2])
    lines = (
        BoundLine("dog", 400, 5, "oldest", 0.8, 0.7, (0.1, 0.2, 0.3, 0.4)),
        BoundLine("dog", 400, None, "usage", 0.85, 0.75, (0.1, 0.2, 0.3, 0.4)),
    )
    bounds = BoundReport({"model": "pcvos-lite", "command": "python x"}, long.machine, lines)
    figures = {"lite_model_5": {"value": 0.1, "gflops": 67}}
    before = {"before": {"commit": "abc", "source": "a page", "figures": figures}}
    floored = speed.report(speed.compared(speed.measurement("full", 5)))
    documents = {
        "before": before,
        "long": long.to_document(),
        "long-accuracy": bounds.to_document(),
        "speed": floored.to_document(),
    }
    for name, document in documents.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    (tmp_path / "long.png").write_bytes(b"")

    assert main([str(tmp_path)]) == 0

    page = (tmp_path / RESULTS).read_text()
    assert [line for line in page.splitlines() if line.startswith("## ")] == [
        "## Targets, before and after",
        "## long: pcvos-lite",
        "## long-accuracy: pcvos-lite",
        "## speed: pcvos-lite",
    ]
    assert "| 0.100 s at 67 (0.100) | 0.050 s at 400 (0.299) | 0.149 |" in page
    assert "![long](long.png)" in page
    assert "peak 950 MB" in page
    assert "| 300 to 399 | 0.200 | 0.400 | 930 |" in page
    assert "| dog | 400 | 5 | oldest | 80.00 | 70.00 | 0.100, 0.200, 0.300, 0.400 |" in page
    assert "| dog | 400 | all | - | 85.00 | 75.00 |" in page
    assert "| key encoder | 2.000 / 10.0 / 0.20 |" in page
    check_tables(page)
    assert BoundReport.from_document(json.loads(json.dumps(bounds.to_document()))) == bounds


def test_signs_of_markdown_are_text_in_a_table():
    text = to_markdown(Table("a*", ["<x>", "|"], [["*", "1"]]))
    assert text == "**a\\***\n\n| \\<x> | \\| |\n| --- | --- |\n| \\* | 1 |\n"


@pytest.mark.parametrize(
    "text", [None, "{", "[]", '{"rows": []}', '{"bounds": [{}]}', '{"stretches": []}']
)
def test_what_is_no_benchmark_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None
):
    if text is not None:
        (tmp_path / "speed.json").write_text(text)

    assert main([str(tmp_path)]) == 3

    assert str(tmp_path if text is None else tmp_path / "speed.json") in capsys.readouterr().err
    assert not (tmp_path / RESULTS).exists()


def test_one_folder_has_to_be_named(capsys: pytest.CaptureFixture[str]):
    assert main([]) == 2
    assert "FOLDER" in capsys.readouterr().err
