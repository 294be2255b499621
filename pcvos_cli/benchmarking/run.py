"""The work of ``pcvos benchmark`` once its options are read: figures, files, tables.

Free of torch until it measures.
"""

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from model.errors import ConfigError, OutputError
from pcvos_cli import console

if TYPE_CHECKING:
    from pcvos_cli.benchmarking.ablation_report import AblationCell, AblationReport
    from pcvos_cli.benchmarking.clip import BenchmarkSettings
    from pcvos_cli.benchmarking.curves import Curve
    from pcvos_cli.benchmarking.report import Accuracy, BenchmarkReport, Machine, Measurement
    from pcvos_cli.benchmarking.tables import Table
    from pcvos_cli.scoring.layouts import TruthDataset

SPEED_AXIS = "FPS of the model alone"


@dataclass(frozen=True, slots=True)
class Outputs:
    """What is asked for besides the tables.

    Attributes:
        json: One document on stdout in place of the tables.
        csv: File for all figures.
        plot: File for the picture.
        paper: Print the paper's tables too.
        overwrite: Replace files that are there.
    """

    json: bool
    csv: Path | None
    plot: Path | None
    paper: bool
    overwrite: bool

    def refuse_existing(self) -> None:
        """Raise OutputError if a file is there and must not be replaced."""
        for path in (self.csv, self.plot):
            if path is not None and path.exists() and not self.overwrite:
                raise OutputError(f"{path}: exists", hint="pass --overwrite or choose another name")


@dataclass(frozen=True, slots=True)
class AccuracyRequest:
    """The data set that accuracy is measured on.

    Attributes:
        dataset: Layout of ``root``.
        root: Its folder.
        split: List of sequences; ``None`` for the usual one.
        frames: Which frames count; ``None`` for the data set's habit.
        score: Name of the figure that stands for accuracy, of ``SCORES``.
        keep: Folder for the masks, or ``None``.
    """

    dataset: Literal["davis2016", "davis2017", "youtubevos"]
    root: Path
    split: str | None
    frames: Literal["inner", "all"] | None
    score: str
    keep: Path | None

    def load(self) -> "TruthDataset":
        """Find the data set and make sure that it can be segmented and scored.

        Raises:
            PCVOSError: As ``load_dataset`` and ``check_dataset``.
        """
        from pcvos_cli.benchmarking.accuracy import check_dataset
        from pcvos_cli.scoring.layouts import load_dataset

        truth = load_dataset(self.dataset, self.root, split=self.split, frames=self.frames)
        check_dataset(truth, self.score)
        return truth


def report_speed(
    settings: "BenchmarkSettings",
    accuracy: AccuracyRequest | None,
    outputs: Outputs,
    *,
    untrained: bool,
) -> None:
    """Measure speed, and accuracy where there is a data set; write what is asked for.

    Raises:
        PCVOSError: As ``run_benchmark`` and ``add_accuracy``.
    """
    from pcvos_cli.benchmarking.measure import run_benchmark
    from pcvos_cli.benchmarking.tables import accuracy_curves, measurements_csv

    truth = None if accuracy is None else accuracy.load()
    with _weights(settings, untrained=untrained) as settings:
        report = run_benchmark(settings, on_measurement=_note_speed)
    if accuracy is not None and truth is not None:
        from pcvos_cli.benchmarking.accuracy import add_accuracy

        report = add_accuracy(
            report,
            truth,
            settings.segment,
            score=accuracy.score,
            keep=accuracy.keep,
            on_accuracy=_note_accuracy,
            on_sequence=_note_sequence,
        )
    report = replace(report, protocol={"command": command_line(), **report.protocol})
    curves = [] if accuracy is None else accuracy_curves(report)
    _write_files(report, measurements_csv(report) if outputs.csv else "", curves, outputs)
    if outputs.json:
        console.result_json(report.to_document())
        return
    _write_protocol(report.protocol, report.machine)
    _write_speed(report)
    if curves:
        _write_curves(curves, report.protocol)


def report_long(
    settings: "BenchmarkSettings", frames: int, outputs: Outputs, *, untrained: bool
) -> None:
    """Segment a long video; write how seconds a frame and memory went.

    Args:
        settings: As for ``run_long``.
        frames: Of the video.
        outputs: Without a CSV.
        untrained: Use random weights.

    Raises:
        PCVOSError: As ``run_long``.
    """
    from pcvos_cli.benchmarking.long_report import long_table
    from pcvos_cli.benchmarking.long_run import run_long

    if outputs.csv is not None:
        raise ConfigError("--csv does not go with --long; --json holds every figure")
    with (
        _weights(settings, untrained=untrained) as settings,
        console.progress("segmenting") as progress,
    ):
        progress.expect(frames)
        report = run_long(settings, frames, on_frames=progress.advance)
    report = replace(report, protocol={"command": command_line(), **report.protocol})
    if outputs.plot is not None:
        from pcvos_cli.benchmarking.plot import draw_long

        draw_long(report, outputs.plot)
        console.note(f"plot: {outputs.plot}")
    if outputs.json:
        console.result_json(report.to_document())
        return
    _write_protocol(report.protocol, report.machine)
    for line in report.describe():
        console.result(line)
    _write_table(long_table(report))


def report_ablation(
    settings: "BenchmarkSettings",
    rows: Sequence[str],
    accuracy: AccuracyRequest,
    outputs: Outputs,
) -> None:
    """Measure the rows of the paper's tables 1 and 2; write what is asked for.

    Args:
        settings: As for ``run_ablation``.
        rows: ``NAME=WEIGHTS``; empty for one set of weights with parts switched off.
        accuracy: The data set.
        outputs: The files to write, and whether stdout gets JSON or tables.

    Raises:
        PCVOSError: As ``prepare_rows`` and ``run_ablation``.
    """
    from pcvos_cli.benchmarking.ablation import RowRequest, prepare_rows, run_ablation
    from pcvos_cli.benchmarking.ablation_report import ablation_csv, ablation_curves

    truth = accuracy.load()
    prepared = prepare_rows([RowRequest.parse(text) for text in rows], settings.segment)
    report = run_ablation(
        settings,
        prepared,
        truth,
        score=accuracy.score,
        keep=accuracy.keep,
        on_cell=lambda name, cell: _note_cell(name, cell, accuracy.score),
        on_sequence=_note_sequence,
    )
    report = replace(report, protocol={"command": command_line(), **report.protocol})
    curves = ablation_curves(report)
    _write_files(report, ablation_csv(report), curves, outputs)
    if outputs.json:
        console.result_json(report.to_document())
        return
    _write_protocol(report.protocol, report.machine)
    _write_ablation(report, paper=outputs.paper)
    _write_curves(curves, report.protocol)


@contextmanager
def _weights(settings: "BenchmarkSettings", *, untrained: bool) -> "Iterator[BenchmarkSettings]":
    """Give the settings with random weights in place of their own, where that is asked for."""
    if not untrained:
        yield settings
        return
    from pcvos_cli.benchmarking.untrained import untrained_weights

    with untrained_weights(settings.segment.model) as weights:
        yield replace(settings, segment=replace(settings.segment, weights=weights))


def command_line() -> str:
    """Return the command that runs, as a shell would take it."""
    return shlex.join(["pcvos", *sys.argv[1:]])


def _write_files(
    report: "BenchmarkReport | AblationReport",
    csv: str,
    curves: "Sequence[Curve]",
    outputs: Outputs,
) -> None:
    """Write the CSV and the picture, where asked for."""
    if outputs.csv is not None:
        from pcvos_cli.files import write_text

        write_text(outputs.csv, csv)
    if outputs.plot is None:
        return
    from pcvos_cli.benchmarking.plot import draw_report

    draw_report(report, curves, outputs.plot)
    console.note(f"plot: {outputs.plot}")


def _note_speed(m: "Measurement") -> None:
    console.note(
        f"{m.variant}, L {m.interval}, {m.objects} object{'s' * (m.objects > 1)}: "
        f"{m.fps_model.median:.2f} FPS model alone, {m.fps_end_to_end.median:.2f} FPS end to end"
    )


def _note_accuracy(variant: str, interval: int, accuracy: "Accuracy") -> None:
    console.note(f"{variant}, L {interval}: J&F {100 * accuracy.JF_mean:.2f}")


def _note_cell(name: str, cell: "AblationCell", score: str) -> None:
    console.note(
        f"{name}, L {cell.interval}: {score} {cell.accuracy.percent(score)}, "
        f"{cell.fps.median:.2f} FPS"
    )


def _note_sequence(name: str, number: int, count: int) -> None:
    console.detail(f"segmenting {name} ({number} of {count})")


def _write_protocol(protocol: Mapping[str, Any], machine: "Machine") -> None:
    for key, value in protocol.items():
        text = value
        if isinstance(value, dict):
            text = "; ".join(f"{name.replace('_', ' ')}: {words}" for name, words in value.items())
        console.result(f"{key.replace('_', ' ')}: {text}")
    console.result(f"device: {machine.describe()}")
    console.result(f"matrix products: {machine.matmul_gflops} GFLOP/s")
    console.result(
        "versions: " + ", ".join(f"{name} {text}" for name, text in machine.versions.items())
    )


def _write_speed(report: "BenchmarkReport") -> None:
    from pcvos_cli.benchmarking.tables import (
        floor_tables,
        seconds_table,
        speed_table,
        stage_tables,
    )

    _write_table(speed_table(report))
    for mark, sign in report.marks.items():
        console.result(f"{sign} {mark}")
    if report.scaling is not None:
        console.result("")
        console.result("How cost grows (model alone)")
        for line in report.scaling.describe():
            console.result(f"  {line}")
    seconds = seconds_table(report)
    for table in [*([] if seconds is None else [seconds]), *floor_tables(report)]:
        _write_table(table)
    for table in stage_tables(report):
        _write_table(table)


def _write_ablation(report: "AblationReport", *, paper: bool) -> None:
    from pcvos_cli.benchmarking.ablation_report import paper_tables, table_1, table_2

    _write_table(table_1(report))
    for mark, sign in report.marks.items():
        console.result(f"{sign} {mark}")
    schemes = table_2(report)
    if schemes is not None:
        _write_table(schemes)
    for table in paper_tables() if paper else ():
        _write_table(table)


def _write_curves(curves: "Sequence[Curve]", protocol: Mapping[str, Any]) -> None:
    from pcvos_cli.benchmarking.scatter import scatter

    console.result(f"\nAccuracy against speed, {protocol['dataset']}")
    for line in scatter(curves, score=protocol["score"], speed=SPEED_AXIS):
        console.result(line)


def _write_table(table: "Table") -> None:
    # Rich would fold a title that is wider than its table.
    console.result(f"\n{table.title}")
    console.result_table(None, table.header, table.rows)
