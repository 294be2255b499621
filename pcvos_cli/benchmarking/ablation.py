"""The paper's tables 1 and 2: speed and accuracy of rows that differ in parts or training."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from model.checkpoint import load_checkpoint
from model.config import PCVOSConfig
from model.errors import ConfigError
from model.ops.threads import cpu_threads
from pcvos_cli.benchmarking.ablation_report import (
    PAPER_ROWS,
    PARTS,
    PROGRESSIVE_OFF,
    REFINEMENT_OFF,
    AblationCell,
    AblationReport,
    AblationRow,
)
from pcvos_cli.benchmarking.accuracy import AccuracyMeter, accuracy_protocol
from pcvos_cli.benchmarking.clip import BenchmarkSettings
from pcvos_cli.benchmarking.machine import describe_machine
from pcvos_cli.benchmarking.measure import variant_settings
from pcvos_cli.benchmarking.model_alone import measure_model
from pcvos_cli.benchmarking.report import VARIANTS, Spread, Variant
from pcvos_cli.benchmarking.training_scheme import TrainingScheme, read_scheme
from pcvos_cli.run.plan import choose_device
from pcvos_cli.run.settings import SegmentSettings
from pcvos_cli.scoring.layouts import TruthDataset
from pcvos_cli.weights_store import resolve_weights

BASELINE = "stcn"
"""Name of the row with none of the parts."""

PER_ROW = ("model", "weights", "weights_sha256", "end_to_end_fps", "peak_memory")
"""Entries of a benchmark's protocol that rows state themselves, or that are not measured."""


@dataclass(frozen=True, slots=True)
class RowRequest:
    """A row as it was asked for.

    Attributes:
        name: What the table calls it.
        weights: Its file; ``None`` for those of the benchmark's settings.
        pmm: Whether to match progressively.
        icr: Whether to refine; ``None`` where the weights can.
        pct: Whether the weights are said to be trained per clip; ``None`` if nothing is
            said. A run cannot choose it, so it is checked.
    """

    name: str
    weights: Path | None = None
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
    """A row whose weights have been looked at.

    Attributes:
        row: Without cells.
        settings: With its weights; parts and L are set for each cell.
        variant: Its parts that a run can switch.
    """

    row: AblationRow
    settings: SegmentSettings
    variant: Variant


@dataclass(frozen=True, slots=True)
class _Weights:
    """What a file of weights says of itself."""

    name: str
    sha256: str
    config: PCVOSConfig
    training: TrainingScheme | None


def prepare_rows(requests: Sequence[RowRequest], settings: SegmentSettings) -> list[PreparedRow]:
    """Check the weights of all rows, before anything is measured.

    Args:
        requests: Empty for the rows that come of switching parts of one set of weights,
            those of ``settings``, off at test time.
        settings: Of the run; its weights and model are for rows without their own.

    Raises:
        ConfigError: If two rows have one name, or a name and its weights contradict.
        WeightsError: If weights are missing or cannot be read.
    """
    names = [request.name for request in requests]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"--row {name}: given twice; each row needs a name of its own")
    if requests and (settings.weights is not None or settings.model is not None):
        raise ConfigError(
            "--row names the weights of each row, so there are none for --weights or --model"
        )
    known: dict[Path | None, _Weights] = {}
    if not requests:
        known[None] = _look_at(settings.weights, settings.model)
        # From the paper's first row to its last; without refinement two of them are left.
        order = ["stcn-like", "no-refinement", "no-progressive", "full"]
        order = order if known[None].config.refines else order[2:]
        requests = [
            RowRequest(
                name,
                pmm=VARIANTS[name].progressive,
                icr=name in order[-2:] and known[None].config.refines,
            )
            for name in order
        ]
    for request in requests:
        if request.weights not in known:
            known[request.weights] = _look_at(request.weights, None)
    return [_prepare(request, known[request.weights], settings) for request in requests]


def _look_at(weights: Path | None, model: str | None) -> _Weights:
    path, name = resolve_weights(weights, model)
    checkpoint = load_checkpoint(path)
    return _Weights(
        name,
        checkpoint.sha256,
        checkpoint.config,
        read_scheme(checkpoint.metadata, str(path)),
    )


def _prepare(request: RowRequest, weights: _Weights, settings: SegmentSettings) -> PreparedRow:
    """Find out which parts are on and what has to be said of them."""
    icr = weights.config.refines if request.icr is None else request.icr
    if icr and not weights.config.refines:
        raise ConfigError(
            f"--row {request.name}: {weights.name} has no refinement",
            hint="leave icr out of the row's name",
        )
    pct = request.pct
    if weights.training is not None:
        pct = weights.training.type == "clip"
        if request.pct not in (None, pct):
            raise ConfigError(
                f"--row {request.name}: {weights.name} was trained {weights.training.type} by"
                f" {weights.training.type} ({weights.training.origin})",
                hint=f"{'add pct to' if pct else 'leave pct out of'} the row's name",
            )
    marks = []
    if weights.config.refines and not icr:
        marks.append(REFINEMENT_OFF)
    on = frozenset(part for part, is_on in (("pmm", request.pmm), ("icr", icr)) if is_on)
    combinations = {on | {"pct"} if per_clip else on for per_clip in _possible(pct)}
    if not request.pmm and not combinations & PAPER_ROWS:
        marks.append(PROGRESSIVE_OFF)
    row = AblationRow(
        name=request.name,
        pmm=request.pmm,
        pct=pct,
        icr=icr,
        marks=tuple(marks),
        model=weights.config.name,
        weights=weights.name,
        weights_sha256=weights.sha256,
        training=weights.training,
        cells=(),
    )
    settings = replace(settings, inference=settings.inference.for_model(weights.config))
    if request.weights is not None:
        settings = replace(settings, weights=request.weights)
    return PreparedRow(
        row, settings, Variant(request.name, refinement=icr, progressive=request.pmm)
    )


def _possible(pct: bool | None) -> tuple[bool, ...]:
    return (True, False) if pct is None else (pct,)


def run_ablation(
    settings: BenchmarkSettings,
    rows: Sequence[PreparedRow],
    truth: TruthDataset,
    *,
    score: str,
    keep: Path | None = None,
    on_cell: Callable[[str, AblationCell], None] = lambda *_: None,
    on_sequence: Callable[[str, int, int], None] = lambda *_: None,
) -> AblationReport:
    """Measure speed and accuracy of every row at every clip length.

    Rows with the same weights that differ in progressive matching alone are one and the
    same where a clip ends before it would begin (``F >= L``), and are measured once there.

    Args:
        settings: The clip that speed is measured on, clip lengths, repeats.
        rows: At least one.
        truth: The data set that accuracy is measured on.
        score: The name of the figure that tables show.
        keep: As for ``AccuracyMeter``.
        on_cell: Called with a row's name and a cell when it is done.
        on_sequence: As for ``AccuracyMeter``.

    Raises:
        PCVOSError: As ``run_benchmark``, ``segment_dataset`` and ``score_dataset``.
    """
    meter = AccuracyMeter(truth, keep=keep, on_sequence=on_sequence)
    speeds: dict[tuple[str, bool, bool, int], Spread] = {}
    protocol: dict[str, Any] = {}
    with cpu_threads(settings.segment.threads):
        machine = describe_machine(choose_device(settings.segment.device, amp=settings.segment.amp))
    finished = []
    for prepared in rows:
        row = prepared.row
        within = prepared.settings.inference.within
        choices, keys = [], []
        for interval in settings.intervals:
            choices.append(variant_settings(prepared.settings, prepared.variant, interval))
            progressive = row.pmm and within is not None and within < interval
            keys.append((row.weights_sha256, row.icr, progressive, interval))
        missing = {
            key: chosen for key, chosen in zip(keys, choices, strict=True) if key not in speeds
        }
        if missing:
            clip = replace(settings, segment=prepared.settings)
            found, taken = measure_model(clip, list(missing.values()))
            speeds.update(zip(missing, found, strict=True))
            protocol = {name: value for name, value in taken.items() if name not in PER_ROW}
        cells = []
        for key, chosen in zip(keys, choices, strict=True):
            cell = AblationCell(chosen.inference.interval, speeds[key], meter.measure(chosen))
            cells.append(cell)
            on_cell(row.name, cell)
        finished.append(replace(row, cells=tuple(cells)))
    return AblationReport(protocol | accuracy_protocol(truth, score), machine, tuple(finished))
