"""The paper's tables 1 and 2: speed and accuracy of rows that differ in parts or training."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from model.errors import ConfigError
from pcvos_cli.benchmarking.ablation_tables import (
    PARTS,
    AblationCell,
    AblationReport,
    AblationRow,
)
from pcvos_cli.benchmarking.accuracy import accuracy_protocol, measure_accuracy
from pcvos_cli.benchmarking.clip import BenchmarkSettings
from pcvos_cli.benchmarking.machine import describe_machine
from pcvos_cli.benchmarking.measure import measure_model, with_interval
from pcvos_cli.benchmarking.training_scheme import read_scheme
from pcvos_cli.run.device import choose_device, cpu_threads
from pcvos_cli.run.settings import SegmentSettings
from pcvos_cli.scoring.layouts import TruthDataset
from pcvos_cli.weights_store import read_weights

BASELINE = "stcn"
"""Name of the row with none of the parts."""

PER_ROW = ("model", "weights", "weights_sha256", "end_to_end_fps", "peak_memory")
"""Entries of a benchmark's protocol that rows state themselves, or that are not measured."""


@dataclass(frozen=True, slots=True)
class RowRequest:
    """A row as it was asked for.

    Attributes:
        name: What the table calls it.
        weights: Its file.
        pmm: Whether to match progressively.
        icr: Whether the weights are said to refine; ``None`` if nothing is said.
        pct: Whether the weights are said to be trained per clip; ``None`` if nothing is
            said. A run can choose neither of the two, so they are checked.
    """

    name: str
    weights: Path
    pmm: bool = True
    icr: bool | None = None
    pct: bool | None = None

    @classmethod
    def parse(cls, text: str) -> "RowRequest":
        """Read ``NAME=WEIGHTS``.

        A name of parts with ``+`` between (``pmm``, ``pmm+pct``, ``pmm+pct+icr``), or
        ``stcn`` for none, says which parts are on; under any other name all are that the
        weights have.

        Raises:
            ConfigError: If there is no name or no file.
        """
        name, equals, weights = (part.strip() for part in text.partition("="))
        if not (equals and name and weights):
            raise ConfigError(
                f"--row {text!r} is not NAME=WEIGHTS", hint="such as --row pmm+pct=w.safetensors"
            )
        parts = set(name.lower().split("+")) - {BASELINE}
        if not parts <= set(PARTS):
            return cls(name, Path(weights))
        return cls(name, Path(weights), **{part: part in parts for part in PARTS})


@dataclass(frozen=True, slots=True)
class PreparedRow:
    """A row whose weights have been looked at: without cells, and the settings of its runs."""

    row: AblationRow
    settings: SegmentSettings


def prepare_rows(requests: Sequence[RowRequest], settings: SegmentSettings) -> list[PreparedRow]:
    """Check the weights of all rows, before anything is measured.

    Args:
        requests: At least one.
        settings: Of the run, without weights or model.

    Raises:
        ConfigError: If two rows have one name, or a name and its weights contradict.
        WeightsError: If weights are missing or cannot be read.
    """
    names = [request.name for request in requests]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"--row {name}: given twice; each row needs a name of its own")
    if settings.weights is not None or settings.model is not None:
        raise ConfigError(
            "--row names the weights of each row, so there are none for --weights or --model"
        )
    return [_prepare(request, settings) for request in requests]


def _prepare(request: RowRequest, settings: SegmentSettings) -> PreparedRow:
    """Look at a row's weights, and refuse a name that contradicts them."""
    (path, weights), checkpoint = read_weights(request.weights, None)
    icr = checkpoint.config.refines
    if request.icr not in (None, icr):
        raise ConfigError(
            f"--row {request.name}: {weights} {'refines' if icr else 'has no refinement'}",
            hint=f"{'add icr to' if icr else 'leave icr out of'} the row's name",
        )
    training = read_scheme(checkpoint.metadata, str(path))
    pct = request.pct
    if training is not None:
        pct = training.type == "clip"
        if request.pct not in (None, pct):
            raise ConfigError(
                f"--row {request.name}: {weights} was trained {training.type} by"
                f" {training.type} ({training.origin})",
                hint=f"{'add pct to' if pct else 'leave pct out of'} the row's name",
            )
    inference = replace(settings.inference.for_model(checkpoint.config), progressive=request.pmm)
    row = AblationRow(
        name=request.name,
        pmm=request.pmm,
        pct=pct,
        icr=icr,
        model=checkpoint.config.name,
        weights=weights,
        weights_sha256=checkpoint.sha256,
        training=training,
        cells=(),
    )
    return PreparedRow(row, replace(settings, weights=request.weights, inference=inference))


def run_ablation(
    settings: BenchmarkSettings,
    rows: Sequence[PreparedRow],
    truth: TruthDataset,
    masks: Path,
    *,
    on_cell: Callable[[str, AblationCell], None] = lambda *_: None,
    on_sequence: Callable[[str, int, int], None] = lambda *_: None,
) -> AblationReport:
    """Measure speed and accuracy of every row at every clip length.

    Rows with the same weights that differ in progressive matching alone have the same masks
    where a clip ends before it would begin (``F >= L``), which are made once.

    Args:
        settings: The clip that speed is measured on, clip lengths, repeats.
        rows: At least one.
        truth: The data set that accuracy is measured on.
        masks: As for ``measure_accuracy``; likewise ``on_sequence``.
        on_cell: Called with a row's name and a cell when it is done.
        on_sequence: Called before a sequence is segmented.

    Raises:
        PCVOSError: As ``run_benchmark`` and ``measure_accuracy``.
    """
    with cpu_threads(settings.segment.threads):
        machine = describe_machine(choose_device(settings.segment.device, amp=settings.segment.amp))
    protocol: dict[str, Any] = {}
    finished = []
    for prepared in rows:
        choices = [with_interval(prepared.settings, interval) for interval in settings.intervals]
        speeds, taken = measure_model(replace(settings, segment=prepared.settings), choices)
        protocol = {name: value for name, value in taken.items() if name not in PER_ROW}
        cells = []
        for chosen, fps in zip(choices, speeds, strict=True):
            accuracy = measure_accuracy(truth, chosen, masks, on_sequence=on_sequence)
            cells.append(AblationCell(chosen.inference.interval, fps, accuracy))
            on_cell(prepared.row.name, cells[-1])
        finished.append(replace(prepared.row, cells=tuple(cells)))
    return AblationReport(protocol | accuracy_protocol(truth), machine, tuple(finished))
