"""A benchmark's report as tables, CSV and curves. Free of torch."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pcvos_cli.benchmarking.curves import Curve, Point
from pcvos_cli.benchmarking.rates import REFERENCE_GFLOPS, TOTAL, Floor
from pcvos_cli.benchmarking.report import MODEL_STAGES, SCORES, BenchmarkReport, Measurement


@dataclass(frozen=True, slots=True)
class Table:
    """A table in words: a title, the columns' names and the rows."""

    title: str
    header: list[str]
    rows: list[list[str]]


def speed_table(report: BenchmarkReport) -> Table:
    """Return the table of speeds; a variant with a mark has an asterisk."""
    scored = any(m.accuracy for m in report.measurements)
    on_device = any(m.peak_device_memory_mb is not None for m in report.measurements)
    header = ["variant", "L", "objects", "model FPS", "end-to-end FPS", "peak MB"]
    header += ["device MB"] * on_device + ["J&F", "J", "F"] * scored
    rows = []
    for m in report.measurements:
        row = [m.variant + "*" * bool(m.mark), str(m.interval), str(m.objects)]
        row += [str(m.fps_model), str(m.fps_end_to_end), f"{m.peak_memory_mb:.0f}"]
        if on_device:
            row.append(f"{m.peak_device_memory_mb or 0:.0f}")
        if scored:
            row += [m.accuracy.percent(name) if m.accuracy else "-" for name in ("J&F", "J", "F")]
        rows.append(row)
    return Table("Frames a second: median (lowest..highest)", header, rows)


def seconds_table(report: BenchmarkReport) -> Table | None:
    """Return seconds a frame as measured and at the reference rate, beside their floor.

    ``None`` for reports of older versions.
    """
    rows = []
    for m in report.measurements:
        if m.matmul_gflops is None or m.floor is None:
            return None
        s = m.seconds
        row = [m.variant + "*" * bool(m.mark), str(m.interval), str(m.objects)]
        row += [f"{s['model']:.3f}", f"{s['end_to_end']:.3f}"]
        row += [f"{s['model'] / s['end_to_end']:.2f}", f"{m.matmul_gflops.median:.0f}"]
        row += [f"{s['model_at_67']:.3f}", f"{s['end_to_end_at_67']:.3f}"]
        row += [f"{m.floor.at_reference:.3f}", f"{m.floor.times[TOTAL]:.2f}"]
        rows.append(row)
    header = ["variant", "L", "objects", "model s", "end-to-end s", "FPS end to end / model"]
    header += ["GFLOP/s", "model s at 67", "end-to-end s at 67", "floor s at 67", "model / floor"]
    return Table(
        f"Seconds a frame, as measured and with matrix products at {REFERENCE_GFLOPS:.0f} GFLOP/s",
        header,
        rows,
    )


def floor_tables(report: BenchmarkReport) -> list[Table]:
    """Return how near the processor's limit each stage is: a table a variant and objects."""
    tables = []
    for case, line in _cases(report).items():
        floors = [m.floor for m in line if m.floor is not None]
        if len(floors) < len(line):
            continue
        stages = [stage for stage in MODEL_STAGES if stage in floors[0].multiply_adds]
        rows = [
            [stage.replace("_", " "), *(_floor_cell(floor, stage) for floor in floors)]
            for stage in [*stages, TOTAL]
        ]
        title = f"Multiply-adds a frame (G), floor (ms), time over floor: {case}"
        tables.append(Table(title, ["", *(f"L={m.interval}" for m in line)], rows))
    return tables


def _floor_cell(floor: Floor, stage: str) -> str:
    giga, milliseconds = floor.multiply_adds[stage] / 1e9, 1000 * floor.seconds[stage]
    times = f"{floor.times[stage]:.2f}" if stage in floor.times else "-"
    return f"{giga:.3f} / {milliseconds:.1f} / {times}"


def stage_tables(report: BenchmarkReport) -> list[Table]:
    """Return milliseconds a frame: a table a variant and number of objects, a row a stage.

    Stages of the model are those of its own runs; all others are those end to end.
    """
    tables = []
    for case, line in _cases(report).items():
        seconds = [{**m.end_to_end_stages, **m.model_stages} for m in line]
        rows = [
            [stage.replace("_", " "), *(f"{1000 * one.get(stage, 0.0):.1f}" for one in seconds)]
            for stage in _stages(line)
        ]
        title = f"Milliseconds a frame: {case}"
        tables.append(Table(title, ["", *(f"L={m.interval}" for m in line)], rows))
    return tables


def _cases(report: BenchmarkReport) -> dict[str, list[Measurement]]:
    """Return the measurements of each variant and number of objects, by their name in titles."""
    cases: dict[str, list[Measurement]] = {}
    for m in report.measurements:
        name = f"{m.variant}, {m.objects} object{'s' * (m.objects > 1)}"
        cases.setdefault(name, []).append(m)
    return cases


def accuracy_curves(report: BenchmarkReport) -> list[Curve]:
    """Return accuracy against FPS, a curve a variant: the paper's figure 1.

    Accuracy has nothing to do with the clip's objects: the first number speaks for all.
    """
    score = report.protocol.get("score", "J&F")
    points: dict[str, list[Point]] = {}
    for m in report.measurements:
        if m.objects == report.measurements[0].objects and m.accuracy is not None:
            point = Point(m.fps_model.median, 100 * m.accuracy.value(score), m.interval)
            points.setdefault(m.variant + "*" * bool(m.mark), []).append(point)
    return [
        Curve(name, tuple(sorted(line, key=lambda point: point.interval)))
        for name, line in points.items()
    ]


def measurements_csv(report: BenchmarkReport) -> str:
    """Return a CSV table with a line a measurement; seconds of stages are for one frame."""
    stages = [
        (kind, stage)
        for kind in ("model", "end_to_end")
        for stage in dict.fromkeys(
            stage for m in report.measurements for stage in getattr(m, f"{kind}_stages")
        )
    ]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    speeds = [
        f"fps_{kind}{end}" for kind in ("model", "end_to_end") for end in ("", "_low", "_high")
    ]
    writer.writerow(
        ["variant", "L", "objects", "frames", "memory_frames", *speeds]
        + ["peak_memory_mb", "peak_device_memory_mb", *SCORES.values(), "mark"]
        + ["matmul_gflops", *(f"{kind}_at_67" for kind in ("model", "end_to_end"))]
        + ["floor_seconds", "model_over_floor", "multiply_adds"]
        + [f"{kind}_seconds_{stage}" for kind, stage in stages]
    )
    for m in report.measurements:
        row: list[Any] = [m.variant, m.interval, m.objects, m.frames, m.memory_frames]
        for speed in (m.fps_model, m.fps_end_to_end):
            row += [speed.median, speed.low, speed.high]
        row += [m.peak_memory_mb, m.peak_device_memory_mb]
        row += [getattr(m.accuracy, name, None) for name in SCORES.values()]
        row += [m.mark, None if m.matmul_gflops is None else m.matmul_gflops.median]
        row += [m.seconds.get(f"{kind}_at_67") for kind in ("model", "end_to_end")]
        whole = [m.floor.seconds, m.floor.times, m.floor.multiply_adds] if m.floor else [{}] * 3
        row += [values.get(TOTAL) for values in whole]
        row += [getattr(m, f"{kind}_stages").get(stage) for kind, stage in stages]
        writer.writerow(["" if value is None else value for value in row])
    return text.getvalue()


def _stages(line: Sequence[Measurement]) -> list[str]:
    """Return the stages in the order of the data flow, without sums of several."""
    model = {stage for m in line for stage in m.model_stages}
    # A dict keeps the order in which the stages ended first.
    outside = dict.fromkeys(stage for m in line for stage in m.end_to_end_stages)
    before = [stage for stage in ("decode", "resize") if stage in outside]
    inside = [stage for stage in MODEL_STAGES if stage in model]
    inside += sorted(model.difference(inside))
    return before + inside + [s for s in outside if s not in {*before, *inside, "model", "total"}]
