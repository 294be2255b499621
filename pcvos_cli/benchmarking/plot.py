"""The figures of a benchmark, as PNG."""

import io
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

from pcvos_cli.benchmarking.report import BenchmarkReport, Machine
from pcvos_cli.benchmarking.tables import Curve
from pcvos_cli.files import make_directory, write_whole

_MARKERS = "os^Dv*"
"""Curves differ by more than their colour."""


def draw_speed(report: BenchmarkReport, path: Path) -> None:
    """Draw FPS by clip length, of the model alone and end to end; a curve a number of objects.

    Args:
        report: The measurements.
        path: The PNG to write.

    Raises:
        OutputError: If the file cannot be written.
    """
    figure = Figure(figsize=(10, 4.8), layout="constrained")
    figure.suptitle(f"{report.protocol['model']} on {report.machine.device}")
    alone, whole = figure.subplots(1, 2, sharey=True)
    for axes, title in ((alone, "model alone"), (whole, "end to end")):
        counts = dict.fromkeys(m.objects for m in report.measurements)
        for objects, marker in zip(counts, itertools.cycle(_MARKERS), strict=False):
            line = [m for m in report.measurements if m.objects == objects]
            speeds = [m.fps_model if axes is alone else m.fps_end_to_end for m in line]
            medians = [speed.median for speed in speeds]
            below = [speed.median - speed.low for speed in speeds]
            above = [speed.high - speed.median for speed in speeds]
            x = [m.interval for m in line]
            name = f"{objects} object{'s' * (objects > 1)}"
            axes.errorbar(x, medians, (below, above), marker=marker, capsize=3, label=name)
        axes.set_title(title)
        axes.set_xlabel("clip length L")
        axes.set_xticks(sorted({m.interval for m in report.measurements}))
        _log_axis(axes, "y")
    alone.set_ylabel("FPS")
    _finish(figure, alone, path)


def draw_accuracy(
    curves: Sequence[Curve], protocol: Mapping[str, Any], machine: Machine, path: Path
) -> None:
    """Draw accuracy against FPS on a log axis: the paper's figure 1.

    Args:
        curves: At least one.
        protocol: Of the report that they are from.
        machine: The machine that was measured.
        path: The PNG to write.

    Raises:
        OutputError: If the file cannot be written.
    """
    figure = Figure(figsize=(9.5, 5.4), layout="constrained")
    axes = figure.subplots()
    axes.margins(x=0.08)
    for curve, marker in zip(curves, itertools.cycle(_MARKERS), strict=False):
        fps = [point.fps for point in curve.points]
        scores = [point.score for point in curve.points]
        axes.plot(fps, scores, marker=marker, label=curve.name)
        for point in curve.points:
            axes.annotate(
                f"L={point.interval}",
                (point.fps, point.score),
                xytext=(5, 5),
                textcoords="offset points",
                fontsize=8,
            )
    _log_axis(axes, "x")
    axes.set_xlabel("FPS of the model alone")
    axes.set_ylabel(f"{curves[0].score}, %")
    title = f"{protocol['dataset']}, {protocol['working_size']}, {machine.device}"
    axes.set_title(title, fontsize=10)
    _finish(figure, axes, path)


def _finish(figure: Figure, axes: Axes, path: Path) -> None:
    # Outside, where it hides nothing: finding the best place inside can take seconds.
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper")
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=130)
    make_directory(path.parent)
    write_whole(path, content.getvalue())


def _log_axis(axes: Axes, name: str) -> None:
    axis = axes.xaxis if name == "x" else axes.yaxis
    (axes.set_xscale if name == "x" else axes.set_yscale)("log")
    axis.set_major_formatter(ScalarFormatter())
    # Less than a decade has no power of ten to name, so the ticks between are named.
    low, high = axes.get_xlim() if name == "x" else axes.get_ylim()
    axis.set_minor_formatter(ScalarFormatter() if high < 10 * low else NullFormatter())
    axes.grid(which="both", alpha=0.3)
