"""Accuracy against FPS in characters: the paper's figure 1 for a terminal.

Plain ASCII, so that it looks the same in every terminal, log file and issue.
"""

import itertools
import math
from collections.abc import Sequence

from pcvos_cli.benchmarking.curves import Curve

SYMBOLS = "ox+#%&@$"
LINE = "."
_MARGIN = 0.06
_ROUND = (1, 2, 5, 3, 4, 1.5, 7, 6, 2.5, 3.5, 4.5, 1.2)
"""First digits of the FPS that are named on the axis, as far as there is room: these first."""


def scatter(
    curves: Sequence[Curve], *, score: str, speed: str, width: int = 64, height: int = 18
) -> list[str]:
    """Draw curves on a log axis of FPS; each point has its L beside it.

    Of points in the same place the first curve's is seen.

    Args:
        curves: At least one point in all.
        score: What the vertical axis is.
        speed: What the horizontal axis is.
        width: Columns of the drawing, without the axis' labels.
        height: Rows of the drawing.

    Returns:
        Lines without line ends: the vertical axis' name, the drawing, the axis, a legend.
    """
    points = [point for curve in curves for point in curve.points]
    low, high = _range([math.log10(point.fps) for point in points], least=0.05)
    bottom, top = _range([point.score for point in points], least=0.5)

    def column(fps: float) -> int:
        return round((math.log10(fps) - low) / (high - low) * (width - 1))

    def row(value: float) -> int:
        return round((top - value) / (top - bottom) * (height - 1))

    cells = [[" "] * width for _ in range(height)]
    for curve in reversed(curves):
        places = [(column(point.fps), row(point.score)) for point in curve.points]
        for a, b in itertools.pairwise(places):
            steps = max(abs(b[0] - a[0]), abs(b[1] - a[1]), 1)
            for step in range(steps + 1):
                x, y = (round(p + (q - p) * step / steps) for p, q in zip(a, b, strict=True))
                cells[y][x] = LINE
    for curve, symbol in reversed(list(zip(curves, _symbols(len(curves)), strict=True))):
        for point in curve.points:
            cells[row(point.score)][column(point.fps)] = symbol
    for point in points:
        _name(cells, column(point.fps), row(point.score), f"L{point.interval}")
    ticks = {row(value): f"{value:6.1f}" for value in _between(bottom, top, height // 4)}
    lines = [score]
    lines += [f"{ticks.get(y, ''):>6} |{''.join(line).rstrip()}" for y, line in enumerate(cells)]
    lines += _axis(low, high, width, speed)
    legend = [f"{s} {curve.name}" for curve, s in zip(curves, _symbols(len(curves)), strict=True)]
    return [*(line.rstrip() for line in lines), "       " + "   ".join(legend)]


def _range(values: Sequence[float], *, least: float) -> tuple[float, float]:
    """Return bounds with some room around the values, at least ``least`` on either side."""
    room = max(_MARGIN * (max(values) - min(values)), least)
    return min(values) - room, max(values) + room


def _symbols(count: int) -> list[str]:
    return [SYMBOLS[i % len(SYMBOLS)] for i in range(count)]


def _between(low: float, high: float, count: int) -> list[float]:
    return [low + (high - low) * i / count for i in range(count + 1)]


def _name(cells: list[list[str]], x: int, y: int, text: str) -> None:
    """Write a point's name where no point is: right of it, left of it, above or below."""
    for dx, dy in ((1, 0), (-len(text), 0), (0, -1), (0, 1)):
        left, line = x + dx, y + dy
        if not (0 <= line < len(cells) and left >= 0 and left + len(text) <= len(cells[line])):
            continue
        if all(cell in (" ", LINE) for cell in cells[line][left : left + len(text)]):
            cells[line][left : left + len(text)] = text
            return


def _axis(low: float, high: float, width: int, speed: str) -> list[str]:
    """Return the horizontal axis with round FPS named, at least the two ends."""
    named = [
        digit * 10**power
        for digit in _ROUND
        for power in range(math.floor(low), math.ceil(high) + 1)
        if low <= math.log10(digit * 10**power) <= high
    ]
    if len(named) < 2:
        named = [10**low, 10**high]
    axis, labels = ["-"] * width, [" "] * width
    for fps in named:
        at = round((math.log10(fps) - low) / (high - low) * (width - 1))
        text = f"{fps:.3g}"
        left = min(at, width - len(text))
        if all(cell == " " for cell in labels[max(left - 1, 0) : left + len(text) + 1]):
            axis[at] = "+"
            labels[left : left + len(text)] = text
    return [
        "       +" + "".join(axis),
        "        " + "".join(labels),
        f"        {speed} (log scale)",
    ]
