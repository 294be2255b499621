"""A benchmark's report as tables and as curves of accuracy against speed. Free of torch."""

from collections.abc import Sequence
from dataclasses import dataclass

from pcvos_cli.benchmarking.report import BenchmarkReport, Measurement

MODEL_STAGES = (
    "key_encoder",
    "memory_read",
    "refinement",
    "decoder",
    "aggregation",
    "value_encoder",
)
"""Stages of the model, in the order of the data flow."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table in words: a title, the columns' names and the rows."""

    title: str
    header: list[str]
    rows: list[list[str]]


@dataclass(frozen=True, slots=True)
class Point:
    """One clip length: frames a second of the model alone, the score in percent, and L."""

    fps: float
    score: float
    interval: int


@dataclass(frozen=True, slots=True)
class Curve:
    """Accuracy against speed.

    Attributes:
        name: Of the weights, or of the row.
        score: Name of the score.
        points: In the order of L.
    """

    name: str
    score: str
    points: tuple[Point, ...]


def speed_table(report: BenchmarkReport) -> Table:
    """Return frames a second, memory and, where there is a data set, accuracy in percent."""
    first = report.measurements[0]
    on_device = first.peak_device_memory_mb is not None
    header = ["L", "objects", "model FPS", "end-to-end FPS", "peak MB"]
    header += ["device MB"] * on_device
    if first.accuracy:
        header += ["J&F", "J", "F"] + ["G"] * (first.accuracy.G is not None)
    rows = []
    for m in report.measurements:
        row = [str(m.interval), str(m.objects), str(m.fps_model), str(m.fps_end_to_end)]
        row.append(f"{m.peak_memory_mb:.0f}")
        if on_device:
            row.append(f"{m.peak_device_memory_mb or 0:.0f}")
        if m.accuracy:
            scores = (m.accuracy.JF_mean, m.accuracy.J_mean, m.accuracy.F_mean, m.accuracy.G)
            row += [f"{100 * score:.2f}" for score in scores if score is not None]
        rows.append(row)
    return Table("Frames a second: median (lowest..highest)", header, rows)


def stage_tables(report: BenchmarkReport) -> list[Table]:
    """Return milliseconds a frame: a table a number of objects, a row a stage.

    Stages of the model are those of its own runs; all others are those end to end.
    """
    lines: dict[int, list[Measurement]] = {}
    for m in report.measurements:
        lines.setdefault(m.objects, []).append(m)
    tables = []
    for objects, line in lines.items():
        seconds = [{**m.end_to_end_stages, **m.model_stages} for m in line]
        rows = [
            [stage.replace("_", " "), *(f"{1000 * one.get(stage, 0.0):.1f}" for one in seconds)]
            for stage in _stages(line)
        ]
        title = f"Milliseconds a frame, {objects} object{'s' * (objects > 1)}"
        tables.append(Table(title, ["", *(f"L={m.interval}" for m in line)], rows))
    return tables


def accuracy_curves(report: BenchmarkReport) -> list[Curve]:
    """Return accuracy against FPS, the paper's figure 1; empty without a data set.

    Accuracy has nothing to do with the clip's objects: the first number speaks for all.
    """
    first = report.measurements[0]
    if first.accuracy is None:
        return []
    points = tuple(
        Point(m.fps_model.median, m.accuracy.percent, m.interval)
        for m in report.measurements
        if m.objects == first.objects and m.accuracy is not None
    )
    return [Curve(report.protocol["weights"], first.accuracy.name, points)]


def _stages(line: Sequence[Measurement]) -> list[str]:
    """Return the stages in the order of the data flow, without sums of several."""
    model = {stage for m in line for stage in m.model_stages}
    # A dict keeps the order in which the stages ended first.
    outside = dict.fromkeys(stage for m in line for stage in m.end_to_end_stages)
    before = [stage for stage in ("decode", "resize") if stage in outside]
    inside = [stage for stage in MODEL_STAGES if stage in model]
    inside += sorted(model.difference(inside))
    return before + inside + [s for s in outside if s not in {*before, *inside, "model", "total"}]
