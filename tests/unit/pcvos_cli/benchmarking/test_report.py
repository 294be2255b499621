"""A benchmark's report: JSON and back, tables, figures."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from model.errors import InputError
from pcvos_cli.benchmarking.plot import draw_report
from pcvos_cli.benchmarking.rates import Floor
from pcvos_cli.benchmarking.report import (
    SWITCHED,
    Accuracy,
    BenchmarkReport,
    Machine,
    Measurement,
    Spread,
)
from pcvos_cli.benchmarking.tables import (
    accuracy_curves,
    floor_tables,
    measurements_csv,
    seconds_table,
    speed_table,
    stage_tables,
)


def measurement(variant: str, interval: int, accuracy: Accuracy | None = None) -> Measurement:
    return Measurement(
        variant=variant,
        mark="" if variant == "full" else SWITCHED,
        interval=interval,
        objects=1,
        frames=11,
        memory_frames=3,
        fps_model=Spread(4.0 * interval, 3.0 * interval, 6.0 * interval),
        fps_end_to_end=Spread(2.0 * interval, 1.0 * interval, 2.5 * interval),
        peak_memory_mb=512.4,
        peak_device_memory_mb=None,
        model_stages={"value_encoder": 0.001, "key_encoder": 0.002, "decoder": 0.0035},
        end_to_end_stages={"decode": 0.004, "model": 0.02, "png": 0.005, "total": 0.03},
        accuracy=accuracy,
    )


def compared(measured: Measurement) -> Measurement:
    """Add the rate of matrix products, and a floor: the half of what the model takes."""
    counts = {"key_encoder": 2e9, "decoder": 3e9}
    total = 1 / measured.fps_model.median
    gflops = 4 * sum(counts.values()) / total / 1e9
    floor = Floor.of(counts, gflops=gflops, stages=measured.model_stages, total=total)
    return replace(measured, matmul_gflops=Spread(gflops, gflops / 2, 2 * gflops), floor=floor)


def report(*measurements: Measurement) -> BenchmarkReport:
    machine = Machine("cpu", "a CPU", 2, 1, "Linux", {"torch": "2.9"}, Spread(50.0, 40.0, 60.0))
    protocol = {
        "model": "pcvos-lite",
        "working_size": "854 x 480",
        "dataset": "davis2016",
        "score": "J&F",
    }
    return BenchmarkReport(protocol, machine, measurements)


def draw(found: BenchmarkReport, path: Path) -> None:
    draw_report(found, accuracy_curves(found), path)


def test_spread_is_the_median_and_the_range():
    assert Spread.of([5.0, 1.0, 2.0, 4.0]) == Spread(3.0, 1.0, 5.0)
    assert str(Spread(3.0, 1.0, 5.0)) == "3.00 (1.00..5.00)"


def test_json_comes_back_as_it_was():
    whole = report(measurement("full", 5, Accuracy(0.8, 0.7, 0.9)), measurement("stcn-like", 10))
    read = BenchmarkReport.from_document(json.loads(json.dumps(whole.to_document())))
    assert read == whole


def test_json_says_seconds_and_the_floor():
    whole = report(compared(measurement("full", 5)), measurement("full", 10))
    document = json.loads(json.dumps(whole.to_document()))
    assert BenchmarkReport.from_document(document) == whole
    first, second = document["measurements"]
    assert first["seconds"] == {
        "model": pytest.approx(0.05),
        "end_to_end": pytest.approx(0.1),
        "model_at_67": pytest.approx(0.05 * 400 / 67),
        "end_to_end_at_67": pytest.approx(0.1 * 400 / 67),
    }
    assert set(second["seconds"]) == {"model", "end_to_end"}  # No rate was measured.
    assert first["floor"]["multiply_adds"]["total"] == 5e9
    assert first["floor"]["seconds"]["total"] == pytest.approx(0.025)
    assert first["floor"]["times"] == {
        "key_encoder": pytest.approx(0.2),
        "decoder": pytest.approx(0.0035 / 0.015),
        "total": pytest.approx(2),
    }


def test_reports_of_older_versions_are_read():
    document = report(measurement("full", 5)).to_document()
    for name in ("matmul_gflops", "floor", "seconds"):
        del document["measurements"][0][name]
    read = BenchmarkReport.from_document(document)
    assert read == report(measurement("full", 5))
    assert seconds_table(read) is None
    assert floor_tables(read) == []


def test_seconds_stand_beside_their_floor():
    table = seconds_table(report(compared(measurement("full", 5))))
    assert table is not None
    row = dict(zip(table.header, table.rows[0], strict=True))
    assert (row["model s"], row["end-to-end s"]) == ("0.050", "0.100")
    assert row["FPS end to end / model"] == "0.50"
    assert (row["GFLOP/s"], row["model s at 67"]) == ("400", "0.299")
    assert (row["floor s at 67"], row["model / floor"]) == ("0.149", "2.00")


def test_each_stage_is_compared_with_its_floor():
    lines = [compared(measurement("full", L)) for L in (5, 10)]
    (table,) = floor_tables(report(*lines))
    assert table.title.endswith("full, 1 object")
    assert table.header == ["", "L=5", "L=10"]
    assert [row[0] for row in table.rows] == ["key encoder", "decoder", "total"]
    assert table.rows[-1][1] == "5.000 / 25.0 / 2.00"
    assert table.rows[0][1] == "2.000 / 10.0 / 0.20"


@pytest.mark.parametrize("document", [{}, {"machine": {}, "measurements": [], "protocol": {}}, []])
def test_another_document_is_refused(document):
    with pytest.raises(InputError, match="not a report of pcvos benchmark"):
        BenchmarkReport.from_document(document)


def test_a_switched_variant_is_marked_in_the_table():
    table = speed_table(report(measurement("full", 5), measurement("stcn-like", 5)))
    assert "J&F" not in table.header
    assert [len(row) for row in table.rows] == [len(table.header)] * 2
    assert [row[0] for row in table.rows] == ["full", "stcn-like*"]
    assert table.rows[0][3] == "20.00 (15.00..30.00)"


def test_accuracy_is_in_percent_where_there_is_one():
    table = speed_table(report(measurement("full", 5, Accuracy(0.8, 0.7, 0.9))))
    at = table.header.index("J&F")
    assert table.rows[0][at:] == ["80.00", "70.00", "90.00"]


def test_stages_stand_in_the_order_of_the_data_flow():
    fast = replace(measurement("full", 25), model_stages={"key_encoder": 0.001})
    first, second = stage_tables(report(measurement("full", 5), fast, measurement("stcn-like", 5)))
    assert first.title.endswith("full, 1 object")
    assert first.header == ["", "L=5", "L=25"]
    assert first.rows == [
        ["decode", "4.0", "4.0"],
        ["key encoder", "2.0", "1.0"],
        ["decoder", "3.5", "0.0"],
        ["value encoder", "1.0", "0.0"],
        ["png", "5.0", "5.0"],
    ]
    assert second.header == ["", "L=5"]


@pytest.mark.parametrize("scored", [False, True])
def test_figures_are_pictures_with_something_on_them(tmp_path: Path, scored: bool):
    accuracy = Accuracy(0.8, 0.7, 0.9) if scored else None
    lines = [measurement(v, L, accuracy) for v in ("full", "stcn-like") for L in (5, 25)]
    both, one = tmp_path / "new" / "both.png", tmp_path / "one.png"
    draw(report(*lines), both)
    draw(report(*lines[:2]), one)
    with Image.open(both) as picture, Image.open(one) as other:
        assert picture.format == "PNG"
        assert picture.size == other.size
        assert picture.tobytes() != other.tobytes()  # The second line was drawn.
    assert not list(tmp_path.rglob("*.tmp"))


def test_the_accuracy_figure_ignores_further_numbers_of_objects(tmp_path: Path):
    one = measurement("full", 5, Accuracy(0.8, 0.7, 0.9))
    draw(report(one), tmp_path / "a.png")
    draw(report(one, replace(one, objects=5)), tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_curves_are_in_percent_and_in_the_order_of_clip_length():
    lines = [
        measurement(v, L, Accuracy(0.8, 0.7, 0.9)) for v in ("full", "stcn-like") for L in (5, 25)
    ]
    found = report(*reversed(lines))
    found = replace(found, protocol={**found.protocol, "score": "J"})
    curves = {curve.name: curve.points for curve in accuracy_curves(found)}
    assert list(curves) == ["stcn-like*", "full"]
    assert [(p.interval, p.fps, p.score) for p in curves["full"]] == [
        (5, 20.0, pytest.approx(70)),
        (25, 100.0, pytest.approx(70)),
    ]
    assert accuracy_curves(report(measurement("full", 5))) == []


def test_the_csv_has_a_line_a_measurement_with_every_stage():
    scored = measurement("full", 5, Accuracy(0.8, 0.7, 0.9))
    other = replace(measurement("stcn-like", 25), model_stages={"key_encoder": 0.5})
    lines = measurements_csv(report(scored, other, compared(scored))).splitlines()
    first, second, floored = csv.DictReader(lines)
    assert (first["variant"], first["L"], first["fps_model"], first["fps_model_low"]) == (
        "full", "5", "20.0", "15.0",
    )  # fmt: skip
    assert (first["J_mean"], first["G"], first["mark"]) == ("0.7", "", "")
    assert float(first["end_to_end_seconds_png"]) == 0.005
    assert (first["matmul_gflops"], first["model_over_floor"]) == ("", "")
    assert float(floored["matmul_gflops"]) == pytest.approx(400)
    assert float(floored["model_at_67"]) == pytest.approx(0.05 * 400 / 67)
    assert float(floored["model_over_floor"]) == pytest.approx(2)
    assert float(floored["multiply_adds"]) == 5e9
    assert second["model_seconds_key_encoder"] == "0.5"
    assert second["model_seconds_decoder"] == second["JF_mean"] == ""
    assert second["mark"] == SWITCHED
