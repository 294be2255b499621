"""The figures of a benchmark, as PNG."""

import io
import itertools
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

from pcvos_cli.benchmarking.ablation_report import AblationReport
from pcvos_cli.benchmarking.curves import Curve
from pcvos_cli.benchmarking.long_report import LongReport
from pcvos_cli.benchmarking.report import BenchmarkReport, Machine, Measurement
from pcvos_cli.files import make_directory, write_whole

_MARKERS = "os^Dv*"
"""Curves differ by more than their colour."""


def draw_report(
    report: BenchmarkReport | AblationReport, curves: Sequence[Curve], path: Path
) -> None:
    """Draw accuracy against FPS on a log axis (the paper's figure 1), or else FPS by L.

    Args:
        report: What was measured.
        curves: Accuracy against FPS; empty where there is no accuracy.
        path: The PNG to write.

    Raises:
        OutputError: If the file cannot be written.
    """
    if curves or isinstance(report, AblationReport):
        figure = _accuracy_figure(report, curves)
    else:
        figure = _speed_figure(report)
    _save(figure, path)


def draw_long(report: LongReport, path: Path) -> None:
    """Draw seconds a frame and resident memory along a long video.

    Args:
        report: What was measured.
        path: The PNG to write.

    Raises:
        OutputError: If the file cannot be written.
    """
    figure = Figure(figsize=(9.5, 4.8), layout="constrained")
    setup = _setup(report.protocol["model"], report.machine)
    figure.suptitle(f"{setup}, L={report.interval}, {report.protocol['working_size']}")
    above, below = figure.subplots(2, 1, sharex=True)
    x = [(s.first + s.last) / 2 for s in report.stretches]
    above.plot(x, [s.seconds for s in report.stretches], marker="o")
    above.set_ylabel("seconds a frame")
    below.plot(x, [s.resident_mb for s in report.stretches], marker="s", color="tab:orange")
    below.axhline(report.run_peak_mb, linestyle="--", color="gray")
    below.annotate("peak", (x[0], report.run_peak_mb), (0, 3), textcoords="offset points")
    below.set_ylabel("resident MB")
    below.set_xlabel("frame")
    for axes in (above, below):
        # From zero, so that small changes look small.
        axes.set_ylim(0, 1.1 * axes.get_ylim()[1])
        axes.grid(alpha=0.3)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=130)
    make_directory(path.parent)
    write_whole(path, content.getvalue())


def _speed_figure(report: BenchmarkReport) -> Figure:
    figure = Figure(figsize=(10, 4.8), layout="constrained")
    figure.suptitle(_setup(report.protocol["model"], report.machine))
    alone, whole = figure.subplots(1, 2, sharey=True)
    for axes, title in ((alone, "model alone"), (whole, "end to end")):
        curves = zip(_lines(report).items(), itertools.cycle(_MARKERS), strict=False)
        for (name, line), marker in curves:
            speeds = [m.fps_model if axes is alone else m.fps_end_to_end for m in line]
            medians = [speed.median for speed in speeds]
            below = [speed.median - speed.low for speed in speeds]
            above = [speed.high - speed.median for speed in speeds]
            x = [m.interval for m in line]
            axes.errorbar(x, medians, (below, above), marker=marker, capsize=3, label=name)
        axes.set_title(title)
        axes.set_xlabel("clip length L")
        axes.set_xticks(sorted({m.interval for m in report.measurements}))
        _log_axis(axes, "y")
    alone.set_ylabel("FPS")
    # Outside, where it hides nothing: finding the best place inside can take seconds.
    figure.legend(*whole.get_legend_handles_labels(), loc="outside right upper")
    return figure


def _accuracy_figure(report: BenchmarkReport | AblationReport, curves: Sequence[Curve]) -> Figure:
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
    protocol = report.protocol
    axes.set_xlabel(f"FPS of the model alone, {protocol['working_size']}")
    axes.set_ylabel(protocol["score"])
    models = (
        list(dict.fromkeys(row.model for row in report.rows))
        if isinstance(report, AblationReport)
        else [protocol["model"]]
    )
    axes.set_title(
        f"{protocol['dataset']}: {_setup(', '.join(models), report.machine)}", fontsize=10
    )
    marks = report.marks
    if marks:
        figure.supxlabel("\n".join(f"{sign} {mark}" for mark, sign in marks.items()), fontsize=7)
    figure.legend(loc="outside right upper")
    return figure


def _lines(report: BenchmarkReport) -> dict[str, list[Measurement]]:
    """Return the measurements of each curve by its name, in the order of L."""
    several = len({m.objects for m in report.measurements}) > 1
    lines: dict[str, list[Measurement]] = {}
    for m in sorted(report.measurements, key=lambda m: m.interval):
        name = f"{m.variant} (test-time switch)" if m.mark else m.variant
        if several:
            name += f", {m.objects} object{'s' * (m.objects > 1)}"
        lines.setdefault(name, []).append(m)
    return lines


def _setup(model: str, machine: Machine) -> str:
    """Return what was measured on what, for a title."""
    return f"{model} on {machine.device}, {machine.threads} CPU threads"


def _log_axis(axes: Axes, name: str) -> None:
    axis = axes.xaxis if name == "x" else axes.yaxis
    (axes.set_xscale if name == "x" else axes.set_yscale)("log")
    axis.set_major_formatter(ScalarFormatter())
    # Less than a decade has no power of ten to name, so the ticks between are named.
    low, high = axes.get_xlim() if name == "x" else axes.get_ylim()
    axis.set_minor_formatter(ScalarFormatter() if high < 10 * low else NullFormatter())
    axes.grid(which="both", alpha=0.3)
