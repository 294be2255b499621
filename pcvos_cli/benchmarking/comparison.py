"""The targets of speed and memory: before, after, and the floor. Free of torch.

``before`` are figures of an earlier commit, kept in a file; ``after`` is read from the reports
that lie beside it, by the names that ``make bench`` gives them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from model.errors import InputError
from pcvos_cli.benchmarking.long_report import LongReport
from pcvos_cli.benchmarking.rates import REFERENCE_GFLOPS, at_reference
from pcvos_cli.benchmarking.report import BenchmarkReport, Measurement
from pcvos_cli.benchmarking.tables import Table

Reports = Mapping[str, object]
"""Reports by the stem of their file."""

MISSING = "-"


@dataclass(frozen=True, slots=True)
class Value:
    """One figure.

    Attributes:
        value: In the unit of its row.
        gflops: Rate of matrix products meanwhile, where the figure is of seconds.
        floor: Seconds of its multiply-adds at ``REFERENCE_GFLOPS``, where they are counted.
        note: What else is known, or why there is no value.
    """

    value: float | None
    gflops: float | None = None
    floor: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        name: What is measured.
        target: In words; for seconds, at ``REFERENCE_GFLOPS``.
        unit: ``s``, ``x`` (a ratio) or ``MB``.
        find: Looks the figure up in the reports; ``None`` if they do not have it.
    """

    name: str
    target: str
    unit: str
    find: Callable[[Reports], Value | None]


@dataclass(frozen=True, slots=True)
class Before:
    """Figures of an earlier commit.

    Attributes:
        commit: Its hash.
        source: Where the figures were written down.
        figures: By key of ``ROWS``.
    """

    commit: str
    source: str
    figures: Mapping[str, Value]

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read ``{"before": {"commit", "source", "figures": {key: {"value", ...}}}}``.

        Raises:
            InputError: If it is another document, or names a figure that there is not.
        """
        try:
            values = document["before"]
            figures = {key: Value(**figure) for key, figure in values["figures"].items()}
            if unknown := set(figures) - set(ROWS):
                raise ValueError(f"no figure is called {min(unknown)!r}")
            return cls(values["commit"], values["source"], figures)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"not figures of an earlier commit: {error!r}") from error


def comparison_table(before: Before, reports: Reports) -> Table:
    """Return target, before, after and floor of every figure."""
    rows = []
    for key, row in ROWS.items():
        old, new = before.figures.get(key), row.find(reports)
        floor = None if new is None else new.floor
        rows.append(
            [
                row.name,
                row.target,
                _cell(row, old),
                _cell(row, new),
                MISSING if floor is None else f"{floor:.3f}",
            ]
        )
    header = ["figure", "target", f"before ({before.commit})", "after"]
    header.append(f"floor at {REFERENCE_GFLOPS:.0f} GFLOP/s")
    return Table(
        "Targets: seconds are a frame's, in brackets as they would be with matrix products at "
        f"{REFERENCE_GFLOPS:.0f} GFLOP/s, which is what targets are stated for",
        header,
        rows,
    )


def _cell(row: Row, figure: Value | None) -> str:
    if figure is None:
        return MISSING
    texts = []
    if figure.value is not None:
        texts.append({"s": "{:.3f} s", "x": "{:.2f}", "MB": "{:.0f} MB"}[row.unit])
        texts[0] = texts[0].format(figure.value)
        if row.unit == "s" and figure.gflops is not None:
            scaled = at_reference(figure.value, figure.gflops)
            texts[0] += f" at {figure.gflops:.0f} ({scaled:.3f})"
    if figure.note:
        texts.append(figure.note)
    return "; ".join(texts) or MISSING


def _measured(reports: Reports, name: str, interval: int, objects: int) -> Measurement | None:
    """Return the full method's measurement of a case, if that report has it."""
    report = reports.get(name)
    if not isinstance(report, BenchmarkReport):
        return None
    case = ("full", interval, objects)
    return next(
        (m for m in report.measurements if (m.variant, m.interval, m.objects) == case), None
    )


def _seconds(name: str, kind: str, interval: int, objects: int = 1) -> Callable[..., Value | None]:
    def find(reports: Reports) -> Value | None:
        m = _measured(reports, name, interval, objects)
        if m is None:
            return None
        gflops = None if m.matmul_gflops is None else m.matmul_gflops.median
        return Value(m.seconds[kind], gflops, None if m.floor is None else m.floor.at_reference)

    return find


def _ratio(
    above: tuple[str, str, int, int], below: tuple[str, str, int, int]
) -> Callable[..., Value | None]:
    """Divide two figures of ``_seconds``; their rates of matrix products do not count."""

    def find(reports: Reports) -> Value | None:
        values = []
        for name, kind, interval, objects in (above, below):
            found = _seconds(name, kind, interval, objects)(reports)
            if found is None or found.value is None:
                return None
            values.append(found.value)
        return Value(values[0] / values[1])

    return find


def _growth(name: str) -> Callable[[Reports], Value | None]:
    def find(reports: Reports) -> Value | None:
        report = reports.get(name)
        if not isinstance(report, BenchmarkReport) or report.scaling is None:
            return None
        trend = report.scaling.length
        note = f"{trend.counts[-1]} against {trend.counts[0]} frames, L = {report.scaling.interval}"
        return Value(trend.growth, note=note)

    return find


def _long(choose: Callable[[LongReport], Value]) -> Callable[[Reports], Value | None]:
    def find(reports: Reports) -> Value | None:
        report = reports.get("long")
        return choose(report) if isinstance(report, LongReport) else None

    return find


def _lite(interval: int, target: str = "") -> dict[str, Row]:
    """Return the rows of ``pcvos-lite`` with one object at a clip length."""
    name = f"pcvos-lite, 1 object, L = {interval}"
    model, whole = (("speed", kind, interval, 1) for kind in ("model", "end_to_end"))
    return {
        f"lite_model_{interval}": Row(f"{name}: model alone", "", "s", _seconds(*model)),
        f"lite_end_to_end_{interval}": Row(f"{name}: end to end", target, "s", _seconds(*whole)),
        f"lite_overlap_{interval}": Row(
            f"{name}: FPS end to end over model alone",
            "at least 0.95",
            "x",
            _ratio(model, whole),
        ),
    }


ROWS: dict[str, Row] = {
    **_lite(5),
    **_lite(10, "0.20 or less"),
    **_lite(15),
    **_lite(25),
    "lite_gain_25": Row(
        "pcvos-lite: FPS of the model at L = 25 over L = 5",
        "what the work saved allows",
        "x",
        _ratio(("speed", "model", 5, 1), ("speed", "model", 25, 1)),
    ),
    "lite_objects": Row(
        "pcvos-lite, L = 5: model's time, 10 objects over 1",
        "at most 4",
        "x",
        _ratio(("objects", "model", 5, 10), ("objects", "model", 5, 1)),
    ),
    "lite_objects_end_to_end": Row(
        "pcvos-lite, L = 5: time end to end, 10 objects over 1",
        "at most 4",
        "x",
        _ratio(("objects", "end_to_end", 5, 10), ("objects", "end_to_end", 5, 1)),
    ),
    "lite_growth": Row("pcvos-lite: growth with the memory", "", "x", _growth("objects")),
    "r50_1": Row(
        "pcvos-r50, 1 object, L = 10: model alone",
        "5.0 or less",
        "s",
        _seconds("speed-r50", "model", 10, 1),
    ),
    "r50_3": Row(
        "pcvos-r50, 3 objects, L = 10: model alone",
        "9.8 or less",
        "s",
        _seconds("speed-r50", "model", 10, 3),
    ),
    "r50_growth": Row(
        "pcvos-r50: growth with the memory", "at most 1.2", "x", _growth("speed-r50")
    ),
    "long_peak": Row(
        "pcvos-lite, a long video of 480p: peak resident size",
        "under 1,500 MB",
        "MB",
        _long(
            lambda r: Value(
                r.peak_mb,
                note=f"{r.run_peak_mb:.0f} MB until all was written; {r.frames:,} frames, "
                f"L = {r.interval}",
            )
        ),
    ),
    "long_growth": Row(
        "the same: time a frame, last quarter over the second",
        "1: constant",
        "x",
        _long(lambda r: Value(r.growth)),
    ),
}
"""All figures that have a target, and what they rest on, by key."""
