"""Targets: what was before and what is after."""

from dataclasses import replace
from pathlib import Path

import pytest

from model.errors import InputError
from pcvos_cli.benchmarking.comparison import ROWS, Before, comparison_table
from pcvos_cli.benchmarking.documents import main
from pcvos_cli.benchmarking.report import Spread
from pcvos_cli.benchmarking.trend import Scaling, Trend
from tests.unit.pcvos_cli.benchmarking import test_report as speed
from tests.unit.pcvos_cli.benchmarking.test_long import long_report

BEFORE = Before.from_document(
    {
        "before": {
            "commit": "abc",
            "source": "a page",
            "figures": {
                "lite_end_to_end_10": {"value": 0.5, "gflops": 134},
                "lite_objects": {"value": 4.4},
                "r50_1": {"value": None, "note": "not measured"},
                "long_peak": {"value": 1440, "note": "60 frames"},
            },
        }
    }
)


def table(reports: dict[str, object]) -> dict[str, list[str]]:
    """Return the rows by the key of their figure, without names."""
    rows = comparison_table(BEFORE, reports).rows
    return {key: row[1:] for key, row in zip(ROWS, rows, strict=True)}


def test_figures_are_found_in_the_reports():
    lines = [
        speed.compared(speed.measurement(v, L)) for v in ("full", "stcn-like") for L in (5, 10)
    ]
    trend = Trend.fit([2, 100], [0.2, 0.23])
    many = replace(speed.measurement("full", 5), objects=10, fps_model=Spread(5.0, 5.0, 5.0))
    reports = {
        "speed": speed.report(*lines),
        "objects": speed.report(speed.measurement("full", 5), many),
        "speed-r50": replace(
            speed.report(replace(speed.compared(speed.measurement("full", 10)), objects=3)),
            scaling=Scaling("full", 10, 1, trend, None),
        ),
        "long": long_report([0.2, 0.2, 0.2, 0.3]),
    }
    rows = table(reports)
    # L = 10 has 40 FPS alone and 20 end to end, at 800 GFLOP/s.
    assert rows["lite_model_10"][2:] == ["0.025 s at 800 (0.299)", "0.149"]
    assert rows["lite_end_to_end_10"] == [
        "0.20 or less", "0.500 s at 134 (1.000)", "0.050 s at 800 (0.597)", "0.149",
    ]  # fmt: skip
    assert rows["lite_overlap_10"][:3] == ["at least 0.95", "-", "0.50"]
    assert rows["lite_model_15"][2:] == ["-", "-"]
    assert rows["lite_gain_25"][2] == "-"
    assert rows["lite_objects"][:3] == ["at most 4", "4.40", "4.00"]
    assert rows["r50_1"][1:3] == ["not measured", "-"]
    assert rows["r50_3"][2].startswith("0.025 s at 800")
    assert rows["r50_growth"][2] == "1.15; 100 against 2 frames, L = 10"
    assert rows["long_peak"][1:3] == [
        "1440 MB; 60 frames", "999 MB; 950 MB until all was written; 400 frames, L = 10",
    ]  # fmt: skip
    assert rows["long_growth"][2] == "1.50"


def test_without_reports_nothing_is_claimed():
    assert all(row[2:] == ["-", "-"] for row in table({}).values())


@pytest.mark.parametrize(
    "document",
    [{}, [], {"before": {"commit": "a", "source": "b", "figures": {"speed": {"value": 1}}}}],
)
def test_another_document_is_refused(document):
    with pytest.raises(InputError, match="earlier commit"):
        Before.from_document(document)


def test_the_figures_that_are_kept_can_be_read(tmp_path: Path, capsys):
    kept = Path(__file__).parents[4] / "docs/benchmarks/before.json"
    (tmp_path / "before.json").write_bytes(kept.read_bytes())
    assert main([str(tmp_path)]) == 3  # They alone are no benchmark.
    assert "no JSON of pcvos benchmark" in capsys.readouterr().err
