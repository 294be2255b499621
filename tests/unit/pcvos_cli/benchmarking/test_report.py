"""A benchmark's report: tables, curves, figures."""

from dataclasses import asdict, replace
from pathlib import Path

from PIL import Image

from pcvos_cli.benchmarking.plot import draw_accuracy, draw_speed
from pcvos_cli.benchmarking.report import (
    Accuracy,
    BenchmarkReport,
    Machine,
    Measurement,
    Spread,
)
from pcvos_cli.benchmarking.tables import accuracy_curves, speed_table, stage_tables

SCORED = Accuracy(0.8, 0.7, 0.9)


def measurement(
    interval: int, accuracy: Accuracy | None = None, *, objects: int = 1
) -> Measurement:
    return Measurement(
        interval=interval,
        objects=objects,
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


def report(*measurements: Measurement) -> BenchmarkReport:
    machine = Machine("cpu", "a CPU", 2, 1, "Linux", {"torch": "2.9"})
    protocol = {
        "model": "pcvos-lite",
        "weights": "w.safetensors",
        "working_size": "854 x 480",
        "dataset": "davis2016",
    }
    return BenchmarkReport(protocol, machine, measurements)


def pixels(path: Path) -> bytes:
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return picture.tobytes()


def test_spread_is_the_median_and_the_range():
    assert Spread.of([5.0, 1.0, 2.0, 4.0]) == Spread(3.0, 1.0, 5.0)
    assert str(Spread(3.0, 1.0, 5.0)) == "3.00 (1.00..5.00)"


def test_the_document_has_every_figure():
    document = asdict(report(measurement(5, SCORED)))
    (measured,) = document["measurements"]
    assert measured["fps_model"] == {"median": 20.0, "low": 15.0, "high": 30.0}
    assert measured["accuracy"] == {"JF_mean": 0.8, "J_mean": 0.7, "F_mean": 0.9, "G": None}
    assert measured["model_stages"]["decoder"] == 0.0035
    assert document["machine"]["threads"] == 1


def test_speeds_stand_by_clip_length_and_objects():
    table = speed_table(report(measurement(5), measurement(5, objects=2)))
    assert [len(row) for row in table.rows] == [len(table.header)] * 2
    assert table.rows[1] == ["5", "2", "20.00 (15.00..30.00)", "10.00 (5.00..12.50)", "512"]


def test_accuracy_is_in_percent_where_there_is_one():
    table = speed_table(report(measurement(5, SCORED)))
    at = table.header.index("J&F")
    assert table.header[at:] == ["J&F", "J", "F"]
    assert table.rows[0][at:] == ["80.00", "70.00", "90.00"]
    table = speed_table(report(measurement(5, replace(SCORED, G=0.75))))
    assert (table.header[-1], table.rows[0][-1]) == ("G", "75.00")


def test_device_memory_has_a_column_where_there_is_a_device():
    table = speed_table(report(replace(measurement(5), peak_device_memory_mb=99.6)))
    assert (table.header[-1], table.rows[0][-1]) == ("device MB", "100")


def test_stages_stand_in_the_order_of_the_data_flow():
    fast = replace(measurement(25), model_stages={"key_encoder": 0.001})
    first, second = stage_tables(report(measurement(5), fast, measurement(5, objects=2)))
    assert first.title.endswith(" 1 object")
    assert first.header == ["", "L=5", "L=25"]
    assert first.rows == [
        ["decode", "4.0", "4.0"],
        ["key encoder", "2.0", "1.0"],
        ["decoder", "3.5", "0.0"],
        ["value encoder", "1.0", "0.0"],
        ["png", "5.0", "5.0"],
    ]
    assert second.title.endswith(" 2 objects")
    assert second.header == ["", "L=5"]


def test_the_figure_of_speed_has_a_curve_a_number_of_objects(tmp_path: Path):
    lines = [measurement(L, objects=count) for count in (1, 2) for L in (5, 25)]
    draw_speed(report(*lines), tmp_path / "new" / "two.png")
    draw_speed(report(*lines[:2]), tmp_path / "one.png")
    assert pixels(tmp_path / "new" / "two.png") != pixels(tmp_path / "one.png")
    assert not list(tmp_path.rglob("*.tmp"))


def test_the_figure_of_accuracy_ignores_further_numbers_of_objects(tmp_path: Path):
    def draw(name: str, *measurements: Measurement) -> bytes:
        found = report(*measurements)
        draw_accuracy(accuracy_curves(found), found.protocol, found.machine, tmp_path / name)
        return pixels(tmp_path / name)

    one = measurement(5, SCORED)
    assert draw("a.png", one) == draw("b.png", one, replace(one, objects=5))
    assert draw("a.png", one) != draw("c.png", one, measurement(25, SCORED))


def test_a_curve_is_in_percent_and_in_the_order_of_clip_length():
    (curve,) = accuracy_curves(report(measurement(5, SCORED), measurement(25, SCORED)))
    assert (curve.name, curve.score) == ("w.safetensors", "J&F")
    assert [(p.interval, p.fps, p.score) for p in curve.points] == [
        (5, 20.0, 80.0),
        (25, 100.0, 80.0),
    ]
    assert accuracy_curves(report(measurement(5))) == []
