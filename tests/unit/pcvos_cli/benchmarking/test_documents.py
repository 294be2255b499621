"""Benchmarks as Markdown."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pcvos_cli.benchmarking.ablation_report import REFINEMENT_OFF
from pcvos_cli.benchmarking.documents import RESULTS, main, to_markdown
from pcvos_cli.benchmarking.report import SWITCHED, Accuracy
from pcvos_cli.benchmarking.tables import Table
from pcvos_cli.benchmarking.trend import Scaling, Trend
from tests.unit.pcvos_cli.benchmarking import test_ablation_report as ablation
from tests.unit.pcvos_cli.benchmarking import test_report as speed


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
    for table in page.split("\n\n"):
        lines = [line for line in table.splitlines() if line.startswith("|")]
        assert len({line.replace("\\|", "").count("|") for line in lines}) <= 1


def test_signs_of_markdown_are_text_in_a_table():
    text = to_markdown(Table("a*", ["<x>", "|"], [["*", "1"]]))
    assert text == "**a\\***\n\n| \\<x> | \\| |\n| --- | --- |\n| \\* | 1 |\n"


@pytest.mark.parametrize("text", [None, "{", "[]", '{"rows": []}'])
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
