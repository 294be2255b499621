"""The figures of a benchmark, as PNG."""

import io
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

from pcvos_cli.benchmarking.report import BenchmarkReport, Measurement
from pcvos_cli.masks.output import make_directory, write_whole


def draw(report: BenchmarkReport, path: Path) -> None:
    """Draw accuracy against FPS where there is accuracy (the paper's figure 1), else FPS by L.

    Raises:
        OutputError: If the file cannot be written.
    """
    scored = any(m.accuracy for m in report.measurements)
    figure = _accuracy_figure(report) if scored else _speed_figure(report)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=130)
    make_directory(path.parent)
    write_whole(path, content.getvalue())


def _speed_figure(report: BenchmarkReport) -> Figure:
    figure = Figure(figsize=(10, 4.8), layout="constrained")
    figure.suptitle(_title(report))
    alone, whole = figure.subplots(1, 2, sharey=True)
    for axes, title in ((alone, "model alone"), (whole, "end to end")):
        for name, line in _lines(report).items():
            speeds = [m.fps_model if axes is alone else m.fps_end_to_end for m in line]
            medians = [speed.median for speed in speeds]
            below = [speed.median - speed.low for speed in speeds]
            above = [speed.high - speed.median for speed in speeds]
            x = [m.interval for m in line]
            axes.errorbar(x, medians, (below, above), marker="o", capsize=3, label=name)
        axes.set_title(title)
        axes.set_xlabel("clip length L")
        axes.set_xticks(sorted({m.interval for m in report.measurements}))
        _log_axis(axes, "y")
    alone.set_ylabel("FPS")
    whole.legend()
    return figure


def _accuracy_figure(report: BenchmarkReport) -> Figure:
    figure = Figure(figsize=(8, 5.4), layout="constrained")
    axes = figure.subplots()
    # Accuracy has nothing to do with the clip's objects: the first number speaks for all.
    objects = report.measurements[0].objects
    for name, line in _lines(report, objects).items():
        points = [
            (m.fps_model.median, 100 * m.accuracy.JF_mean, m.interval) for m in line if m.accuracy
        ]
        points.sort(key=lambda point: point[2])
        axes.plot([p[0] for p in points], [p[1] for p in points], marker="o", label=name)
        for fps, score, interval in points:
            axes.annotate(
                f"L={interval}", (fps, score), xytext=(5, 5), textcoords="offset points", fontsize=8
            )
    _log_axis(axes, "x")
    axes.set_xlabel(f"FPS of the model alone, {report.protocol['working_size']}")
    axes.set_ylabel("J&F")
    axes.set_title(f"{report.protocol['dataset']}: {_title(report)}")
    axes.legend()
    return figure


def _lines(report: BenchmarkReport, objects: int | None = None) -> dict[str, list[Measurement]]:
    """Return the measurements of each curve by its name, in the order of L."""
    several = len({m.objects for m in report.measurements}) > 1 and objects is None
    lines: dict[str, list[Measurement]] = {}
    for m in sorted(report.measurements, key=lambda m: m.interval):
        if objects is not None and m.objects != objects:
            continue
        name = f"{m.variant} (test-time switch)" if m.mark else m.variant
        if several:
            name += f", {m.objects} object{'s' * (m.objects > 1)}"
        lines.setdefault(name, []).append(m)
    return lines


def _title(report: BenchmarkReport) -> str:
    machine = report.machine
    return f"{report.protocol['model']} on {machine.device}, {machine.threads} CPU threads"


def _log_axis(axes: Axes, name: str) -> None:
    axis = axes.xaxis if name == "x" else axes.yaxis
    (axes.set_xscale if name == "x" else axes.set_yscale)("log")
    axis.set_major_formatter(ScalarFormatter())
    # Less than a decade has no power of ten to name, so the ticks between are named.
    low, high = axes.get_xlim() if name == "x" else axes.get_ylim()
    axis.set_minor_formatter(ScalarFormatter() if high < 10 * low else NullFormatter())
    axes.grid(which="both", alpha=0.3)
