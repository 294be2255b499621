"""Accuracy against FPS in characters."""

import re

import pytest

from pcvos_cli.benchmarking.curves import Curve, Point
from pcvos_cli.benchmarking.scatter import scatter

OURS = Curve("ours", (Point(10, 82, 5), Point(20, 81, 10), Point(40, 80, 25)))
STCN = Curve("stcn*", (Point(12, 79, 5), Point(24, 76, 10), Point(48, 70, 25)))


def draw(*curves: Curve, width: int = 61, height: int = 21) -> list[str]:
    return scatter(curves, score="J&F", speed="FPS", width=width, height=height)


def places(lines: list[str], symbol: str) -> list[tuple[int, int]]:
    """Return (column, row) of a symbol in the drawing, left to right."""
    drawing = [line[8:] for line in lines[1:] if line[7:8] == "|"]
    return sorted(
        (x, y) for y, line in enumerate(drawing) for x, c in enumerate(line) if c == symbol
    )


def test_speed_is_on_a_log_axis_and_accuracy_on_a_straight_one():
    # A doubling of speed is the same way on the axis wherever it is; so is a point of J&F.
    (x1, y1), (x2, y2), (x3, y3) = places(draw(OURS), "o")
    assert x1 < x2 < x3
    assert y1 < y2 < y3
    assert abs((x2 - x1) - (x3 - x2)) <= 1
    assert abs((y2 - y1) - (y3 - y2)) <= 1


def test_each_curve_has_a_symbol_and_each_point_its_clip_length():
    lines = draw(OURS, STCN)
    assert len(places(lines, "o")) == len(places(lines, "x")) == 3
    assert lines[-1].split() == ["o", "ours", "x", "stcn*"]
    named = re.findall(r"L(\d+)", "".join(lines))
    assert sorted(named, key=int) == ["5", "5", "10", "10", "25", "25"]
    assert lines[0] == "J&F"
    assert "FPS (log scale)" in lines[-2]
    axis = next(line for line in lines if set(line.strip()) <= {"+", "-"})
    assert axis.count("+") >= 3
    assert {"10", "20", "40"} <= set(lines[lines.index(axis) + 1].split())


def test_of_two_points_in_one_place_the_first_curve_is_seen():
    lines = draw(OURS, Curve("same", OURS.points))
    assert len(places(lines, "o")) == 3
    assert places(lines, "x") == []


@pytest.mark.parametrize(
    "curves",
    [
        (Curve("one", (Point(0.5, 80, 5),)),),
        (Curve("flat", (Point(3.0, 80, 5), Point(3.0, 80, 10))),),
        (Curve("wide", (Point(0.1, 0, 5), Point(2000, 100, 10))),),
        tuple(Curve(f"c{i}", (Point(i + 1, i, 5),)) for i in range(11)),
    ],
)
def test_any_curves_fit_the_drawing(curves: tuple[Curve, ...]):
    lines = draw(*curves, width=40, height=10)
    assert all(len(line) <= 48 for line in lines[:-1])
    assert sum(line[7:8] == "|" for line in lines) == 10
    assert len(places(lines, "o")) >= 1
    assert all(line.isascii() and line == line.rstrip() for line in lines)
