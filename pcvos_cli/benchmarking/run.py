"""The work of ``pcvos benchmark`` once its options are read: measure, write files and tables.

Free of torch until it measures.
"""

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

from model.config import PRESETS
from model.errors import ConfigError, MissingPackage
from pcvos_cli import console
from pcvos_cli.files import make_directory, refuse_existing
from pcvos_cli.weights_store import DEFAULT_MODEL

if TYPE_CHECKING:
    from pcvos_cli.benchmarking.ablation_tables import AblationCell, AblationReport
    from pcvos_cli.benchmarking.clip import BenchmarkSettings
    from pcvos_cli.benchmarking.report import Accuracy, BenchmarkReport, Measurement
    from pcvos_cli.benchmarking.tables import Table
    from pcvos_cli.scoring.layouts import TruthDataset


@dataclass(frozen=True, slots=True)
class Outputs:
    """Which results are written, and where.

    Attributes:
        json: One document on stdout in place of the tables.
        plot: File for the picture.
        overwrite: Replace files that are there.
    """

    json: bool
    plot: Path | None
    overwrite: bool

    def check(self) -> None:
        """Make sure, before anything is measured, that the results can be written.

        Raises:
            MissingPackage: If there is a plot to draw without matplotlib.
            OutputError: If a file is there and must not be replaced.
        """
        if self.plot is None:
            return
        refuse_existing(self.plot, overwrite=self.overwrite)
        try:
            import matplotlib  # noqa: F401
        except ImportError as error:
            raise MissingPackage("--plot", "matplotlib", "plots") from error


@dataclass(frozen=True, slots=True)
class AccuracyRequest:
    """The data set that accuracy is measured on.

    Attributes:
        dataset: Layout of ``root``.
        root: Its folder.
        split: List of sequences; ``None`` for the usual one.
        keep: Folder for the masks, or ``None``.
    """

    dataset: Literal["davis2016", "davis2017", "youtubevos"]
    root: Path
    split: str | None
    keep: Path | None

    @contextmanager
    def masks(self) -> Iterator[Path]:
        """Give the folder for the masks: the user's, or a temporary one."""
        if self.keep is None:
            with TemporaryDirectory(prefix="pcvos-benchmark-") as temporary:
                yield Path(temporary)
            return
        make_directory(self.keep)
        yield self.keep

    def load(self) -> "TruthDataset":
        """Find the data set and make sure that it can be segmented and scored.

        Raises:
            PCVOSError: As ``load_dataset`` and ``check_dataset``.
        """
        from pcvos_cli.benchmarking.accuracy import check_dataset
        from pcvos_cli.scoring.layouts import load_dataset

        truth = load_dataset(self.dataset, self.root, split=self.split)
        check_dataset(truth)
        return truth


def report_speed(
    settings: "BenchmarkSettings",
    accuracy: AccuracyRequest | None,
    outputs: Outputs,
    *,
    untrained: bool,
) -> None:
    """Measure speed, and accuracy where there is a data set; write the results.

    Raises:
        PCVOSError: As ``run_benchmark`` and ``add_accuracy``.
    """
    from pcvos_cli.benchmarking.measure import run_benchmark
    from pcvos_cli.benchmarking.tables import accuracy_curves, speed_table, stage_tables

    truth = None if accuracy is None else accuracy.load()
    with _weights(settings, untrained=untrained) as settings:
        report = run_benchmark(settings, on_measurement=_note_speed)
    if accuracy is not None and truth is not None:
        from pcvos_cli.benchmarking.accuracy import add_accuracy

        with accuracy.masks() as masks:
            report = add_accuracy(
                report,
                truth,
                settings.segment,
                masks,
                on_accuracy=lambda interval, accuracy: _note_accuracy(f"L {interval}", accuracy),
                on_sequence=_note_sequence,
            )
    report = replace(report, protocol={"command": command_line(), **report.protocol})
    if outputs.plot is not None:
        from pcvos_cli.benchmarking.plot import draw_accuracy, draw_speed

        curves = accuracy_curves(report)
        if curves:
            draw_accuracy(curves, report.protocol, report.machine, outputs.plot)
        else:
            draw_speed(report, outputs.plot)
    tables = [speed_table(report), *stage_tables(report)]
    _write(report, tables, outputs)


def report_ablation(
    settings: "BenchmarkSettings",
    rows: Sequence[str],
    accuracy: AccuracyRequest,
    outputs: Outputs,
) -> None:
    """Measure the rows of the paper's tables 1 and 2; write the results.

    Args:
        settings: As for ``run_ablation``.
        rows: ``NAME=WEIGHTS``.
        accuracy: The data set.
        outputs: The files to write, and whether stdout gets JSON or tables.

    Raises:
        PCVOSError: As ``prepare_rows`` and ``run_ablation``.
    """
    from pcvos_cli.benchmarking.ablation import RowRequest, prepare_rows, run_ablation
    from pcvos_cli.benchmarking.ablation_tables import ablation_curves, table_1, table_2

    truth = accuracy.load()
    prepared = prepare_rows([RowRequest.parse(text) for text in rows], settings.segment)
    with accuracy.masks() as masks:
        report = run_ablation(
            settings, prepared, truth, masks, on_cell=_note_cell, on_sequence=_note_sequence
        )
    report = replace(report, protocol={"command": command_line(), **report.protocol})
    if outputs.plot is not None:
        from pcvos_cli.benchmarking.plot import draw_accuracy

        draw_accuracy(ablation_curves(report), report.protocol, report.machine, outputs.plot)
    schemes = table_2(report)
    tables = [table_1(report), *([] if schemes is None else [schemes])]
    _write(report, tables, outputs)


@contextmanager
def _weights(settings: "BenchmarkSettings", *, untrained: bool) -> "Iterator[BenchmarkSettings]":
    """Give the settings with random weights in place of their own, where that is asked for.

    What the network computes costs the same with all weights. Its masks are noise, which
    takes longer to write than masks usually do.

    Raises:
        ConfigError: There is no such preset.
        OutputError: There is no room for temporary files.
    """
    if not untrained:
        yield settings
        return
    import torch

    from model.build import build_pcvos
    from model.checkpoint import save_checkpoint

    name = settings.segment.model or DEFAULT_MODEL
    if name not in PRESETS:
        raise ConfigError(
            f"--model {name}: no such model", hint=f"choose one of {', '.join(PRESETS)}"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_pcvos(PRESETS[name])
    with TemporaryDirectory(prefix="pcvos-benchmark-") as folder:
        path = Path(folder) / f"untrained-{name}.safetensors"
        save_checkpoint(path, network.config, network.state_dict(), {"source": "random values"})
        yield replace(settings, segment=replace(settings.segment, weights=path))


def command_line() -> str:
    """Return the command that runs, as a shell would take it."""
    return shlex.join(["pcvos", *sys.argv[1:]])


def _note_speed(m: "Measurement") -> None:
    console.note(
        f"L {m.interval}, {m.objects} object{'s' * (m.objects > 1)}: "
        f"{m.fps_model.median:.2f} FPS model alone, {m.fps_end_to_end.median:.2f} FPS end to end"
    )


def _note_accuracy(case: str, accuracy: "Accuracy") -> None:
    console.note(f"{case}: {accuracy.name} {accuracy.percent:.2f}")


def _note_cell(name: str, cell: "AblationCell") -> None:
    _note_accuracy(f"{name}, L {cell.interval}, {cell.fps.median:.2f} FPS", cell.accuracy)


def _note_sequence(name: str, number: int, count: int) -> None:
    console.detail(f"segmenting {name} ({number} of {count})")


def _write(
    report: "BenchmarkReport | AblationReport", tables: "Sequence[Table]", outputs: Outputs
) -> None:
    """Write the JSON document, or else the protocol and the tables."""
    if outputs.plot is not None:
        console.note(f"plot: {outputs.plot}")
    if outputs.json:
        console.result_json(report)
        return
    for key, value in report.protocol.items():
        text = value
        if isinstance(value, dict):
            text = "; ".join(f"{name.replace('_', ' ')}: {words}" for name, words in value.items())
        console.result(f"{key.replace('_', ' ')}: {text}")
    console.result(f"device: {report.machine.describe()}")
    console.result(
        "versions: " + ", ".join(f"{name} {text}" for name, text in report.machine.versions.items())
    )
    for table in tables:
        # Rich would fold a title that is wider than its table.
        console.result(f"\n{table.title}")
        console.result_table(None, table.header, table.rows)
