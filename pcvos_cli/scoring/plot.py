"""J over time as an SVG drawing, small enough to stand in a page."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 920, 210
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 12, 34


@dataclass(frozen=True, slots=True)
class Line:
    """One curve.

    Attributes:
        name: Shown when the pointer rests on it.
        colour: CSS colour.
        dashed: The predictions that are compared with.
        points: ``(position, value)``, values in [0, 1].
    """

    name: str
    colour: str
    dashed: bool
    points: Sequence[tuple[int, float]]


def plot_over_time(
    lines: Sequence[Line], frames: Sequence[str], marks: Sequence[tuple[int, str]]
) -> str:
    """Draw curves over the frames of a sequence.

    Args:
        lines: The curves; a gap in the positions is a gap in the curve.
        frames: Name of each position, for the axis.
        marks: ``(position, text)`` of frames that are shown as pictures.

    Returns:
        An ``<svg>`` element.
    """
    right = WIDTH - RIGHT
    step = (right - LEFT) / max(len(frames) - 1, 1)

    def x(position: int) -> float:
        return LEFT + position * step

    def y(value: float) -> float:
        return TOP + (1 - value) * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" class="plot">']
    for tick in (0, 0.25, 0.5, 0.75, 1):
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
            f'<text x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>'
        )
    every = max(1, -(-len(frames) // 8))
    for position in range(0, len(frames), every):
        parts.append(
            f'<text x="{x(position):.1f}" y="{HEIGHT - 16}" text-anchor="middle">'
            f"{escape(frames[position])}</text>"
        )
    for position, text in marks:
        parts.append(
            f'<line class="mark" x1="{x(position):.1f}" x2="{x(position):.1f}" y1="{TOP}"'
            f' y2="{HEIGHT - BOTTOM}"/><text class="mark" x="{x(position):.1f}"'
            f' y="{HEIGHT - 3}" text-anchor="middle">{escape(text)}</text>'
        )
    for line in lines:
        dash = ' stroke-dasharray="5 4"' if line.dashed else ""
        for run in _runs(line.points):
            # A single frame would draw nothing; a round cap on a tiny step makes it a dot.
            run = run if len(run) > 1 else [run[0], run[0]]
            path = " ".join(f"{x(p):.1f},{y(v):.1f}" for p, v in run)
            parts.append(
                f'<polyline points="{path}" stroke="{line.colour}"{dash}>'
                f"<title>{escape(line.name)}</title></polyline>"
            )
    parts.append("</svg>")
    return "".join(parts)


def _runs(points: Sequence[tuple[int, float]]) -> list[list[tuple[int, float]]]:
    """Split a curve where positions are missing."""
    runs: list[list[tuple[int, float]]] = []
    for point in points:
        if not runs or point[0] != runs[-1][-1][0] + 1:
            runs.append([])
        runs[-1].append(point)
    return runs
