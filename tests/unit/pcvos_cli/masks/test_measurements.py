"""``--format csv``: what it says of an object is what a count of its pixels says."""

import csv
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from model.errors import OutputError
from pcvos_cli.masks import measurements
from pcvos_cli.masks.measurements import COLUMNS, MeasurementWriter
from pcvos_cli.masks.writers import FrameMasks


def test_rows_are_those_of_the_pixels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    writer = MeasurementWriter(
        tmp_path / "objects.csv", tmp_path / "report.html", (1, 4),
        time_base=Fraction(1, 10), title="a <b>", value_range=(1000.0, 2000.0),
    )  # fmt: skip
    maps = []
    for index in range(3):
        labels = np.zeros((40, 60), np.int32)
        labels[5:20, 10 : 14 + index] = 1
        if index == 1:
            y, x = np.mgrid[:40, :60]
            labels[np.abs((x - 40) + (y - 20)) + 4 * np.abs((x - 40) - (y - 20)) < 24] = 4
            labels[39, 30:50] = 4
        rgb = np.repeat(rng.integers(0, 256, (40, 60, 1), np.uint8), 3, axis=2)
        maps.append((labels, rgb))
        writer.write(FrameMasks(index, f"{index:05}", 5 * index, rgb, labels))
    assert not (tmp_path / "objects.csv").exists()
    writer.close()
    with (tmp_path / "objects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [(r["frame"], r["object"]) for r in rows] == [
        (str(f), o) for f in range(3) for o in ("1", "4")
    ]
    for row in rows:
        labels, rgb = maps[int(row["frame"])]
        ys, xs = np.nonzero(labels == int(row["object"]))
        assert int(row["area"]) == len(xs)
        assert float(row["time"]) == pytest.approx(0.5 * int(row["frame"]))
        if not len(xs):
            assert row["centroid_x"] == row["mean_intensity"] == row["touches_border"] == ""
            continue
        assert float(row["centroid_x"]) == pytest.approx(xs.mean(), abs=0.001)
        assert float(row["centroid_y"]) == pytest.approx(ys.mean(), abs=0.001)
        box = [int(row[f"bbox_{key}"]) for key in ("x", "y", "width", "height")]
        assert box == [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
        mean = 1000 + rgb[ys, xs, 0].mean() / 255 * 1000
        assert float(row["mean_intensity"]) == pytest.approx(mean, rel=1e-5)
        assert row["touches_border"] == ("1" if 39 in ys else "0")
    assert abs(float(rows[0]["orientation"])) == pytest.approx(90)
    ys, xs = np.nonzero(maps[1][0] == 4)
    (a, b), (_, d) = np.cov(xs, -ys)
    axis = np.degrees(0.5 * np.arctan2(2 * b, a - d))
    assert float(rows[3]["orientation"]) == pytest.approx(axis, abs=0.01)
    page = (tmp_path / "report.html").read_text()
    assert page.count("<polyline") == 2
    assert "a &lt;b&gt;" in page


def test_orientation_is_anticlockwise_from_the_x_axis(tmp_path: Path) -> None:
    writer = MeasurementWriter(
        tmp_path / "o.csv", tmp_path / "r.html", (1,), time_base=Fraction(1), title="t"
    )
    y, x = np.mgrid[:60, :60]
    for index, degrees in enumerate((0, 30, 60, -45)):
        turn = np.radians(degrees)
        along = (x - 30) * np.cos(turn) - (y - 30) * np.sin(turn)
        across = (x - 30) * np.sin(turn) + (y - 30) * np.cos(turn)
        labels = ((np.abs(along) < 20) & (np.abs(across) < 4)).astype(np.int32)
        writer.write(FrameMasks(index, "f", index, np.zeros((60, 60, 3), np.uint8), labels))
    writer.close()
    found = [float(line.split(",")[-2]) for line in (tmp_path / "o.csv").read_text().split()[1:]]
    assert found == pytest.approx([0, 30, 60, -45], abs=1)


def test_abort_leaves_nothing_and_no_frames_are_no_error(tmp_path: Path) -> None:
    for name in ("a", "b"):
        writer = MeasurementWriter(
            tmp_path / f"{name}.csv", tmp_path / f"{name}.html", (1,),
            time_base=Fraction(1), title="t",
        )  # fmt: skip
        if name == "a":
            writer.abort()
            assert list(tmp_path.iterdir()) == []
        else:
            writer.close()
    assert (tmp_path / "b.csv").read_text() == ",".join(COLUMNS) + "\n"
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        MeasurementWriter(
            tmp_path / "file" / "o.csv", tmp_path / "r.html", (1,), time_base=Fraction(1), title="t"
        )


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 54812, "0 10000 20000 30000 40000 50000"),
        (0, 1, "0 0.2 0.4 0.6 0.8 1"),
        (0, 400, "0 100 200 300 400"),
        (0, 3, "0 1 2 3"),
        (41.7, 43.05, "41.8 42 42.2 42.4 42.6 42.8 43"),
        (0.04, 0.04 + 1e-9, None),
    ],
)
def test_ticks_are_round(low: float, high: float, ticks: str | None) -> None:
    found = measurements._ticks(low, high)
    assert 2 <= len(found) <= 8
    assert ticks is None or " ".join(f"{tick:.10g}" for tick in found) == ticks
