"""``pcvos batch``: many videos in, a folder each and a contact sheet out."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.main

from model.errors import ConfigError
from pcvos_cli import console
from pcvos_cli.commands.segment import segment
from pcvos_cli.options import settings_of

if TYPE_CHECKING:
    from pcvos_cli.batch.dry_run import Forecast
    from pcvos_cli.batch.engine import Engine
    from pcvos_cli.batch.jobs import Job
    from pcvos_cli.run.settings import SegmentSettings

FAILURES = 1
"""Exit code where a video failed; its own code is in the summary."""

_OF_A_VIDEO = {"source", "mask", "box", "click", "output"}
_OF_THE_BATCH = {"overwrite", "resume", "dry_run", "json", "quiet", "verbose", "debug"}


def _batch(
    jobs: Annotated[
        Path,
        typer.Argument(
            metavar="JOBS",
            help="A folder of videos, each with its mask (clip.mp4 and clip.png or clip_masks/; "
            "or DAVIS), or a .csv or .jsonl file with a video a row.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--out", "--output", "-o", metavar="FOLDER", help="Gets a folder for each video."
        ),
    ],
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            "-w",
            min=1,
            help="Processes. Default: one a GPU, else one a core as far as the memory goes.",
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray",
            metavar="ADDRESS|local",
            help="Run on a Ray cluster instead: HOST:PORT of its head, auto, or local.",
        ),
    ] = None,
    split_at_references: Annotated[
        bool,
        typer.Option(
            "--split-at-references",
            help="Segment the stretches between masks that list all objects side by side, and "
            "join them. Nothing is remembered from one to the next.",
        ),
    ] = False,
    **values: Any,
) -> None:
    """Segment many videos side by side; one that fails stops no other.

    All options of pcvos segment that are not of one video alone hold for every video.
    Exit code 1: a video failed; summary.csv and batch.jsonl say which, and why.
    """
    console.configure(**{name: values[name] for name in ("quiet", "verbose", "debug")})
    if ray is not None and workers is not None:
        raise ConfigError(
            "--workers is for this machine alone",
            hint="a Ray cluster runs as many jobs as it has room for, --threads CPUs each",
        )
    settings = settings_of(values)
    from pcvos_cli.batch.jobs import check_names, read_jobs

    if split_at_references:
        from pcvos_cli.batch.stretches import check_formats

        check_formats(settings)
    listed = [_with_settings(job, values) for job in read_jobs(jobs, _columns(), output)]
    check_names(listed)
    from pcvos_cli.batch.ledger import check_batch
    from pcvos_cli.batch.run import open_engine

    check_batch(output, resume=settings.resume, overwrite=settings.overwrite)
    with open_engine(len(listed), settings, workers, ray) as engine:
        if values["dry_run"]:
            _dry_run(engine, listed, output, settings, json=values["json"])
        else:
            _run(engine, listed, output, settings, split=split_at_references, json=values["json"])


def _signature() -> inspect.Signature:
    """Return the parameters of ``_batch``, and those of ``segment`` that hold for many videos."""
    own = [p for p in inspect.signature(_batch).parameters.values() if p.name != "values"]
    shared = [
        p for p in inspect.signature(segment).parameters.values() if p.name not in _OF_A_VIDEO
    ]
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*own, *shared)]
    return inspect.Signature(parameters, return_annotation=None)


def batch(**values: Any) -> None:  # noqa: D103  its help is that of _batch
    _batch(**values)


batch.__doc__ = _batch.__doc__
# Typer asks for the signature: the options of `segment` are declared there alone.
batch.__signature__ = _signature()  # type: ignore[attr-defined]


@lru_cache
def _segment_command() -> Any:
    """Return ``segment`` as Typer parses it."""
    app = typer.Typer(add_completion=False)
    app.command()(segment)
    return typer.main.get_command(app)


@lru_cache
def _option_names() -> dict[str, Any]:
    """Return the options of ``segment`` that a row may set, by the names of its columns."""
    kept = {}
    for option in _segment_command().params:
        if option.name in _OF_A_VIDEO | _OF_THE_BATCH | {"help"}:
            continue
        for text in option.opts:
            if text.startswith("--"):
                kept[text[2:].replace("-", "_")] = option
    return kept


def _columns() -> frozenset[str]:
    return frozenset(_option_names())


def _with_settings(job: "Job", values: Mapping[str, Any]) -> "Job":
    """Return the job with settings of its own where its row has some.

    Raises:
        ConfigError: A cell cannot be read.
    """
    if not job.options:
        return job
    try:
        return replace(job, settings=_settings(job, job.options, values))
    except ConfigError as error:
        for name, cell in job.options.items():
            try:
                _settings(job, {name: cell}, values)
            except ConfigError as one:
                raise ConfigError(f"{job.where}, column {name}: {one}", hint=one.hint) from one
        raise ConfigError(f"{job.where}: {error}", hint=error.hint) from error  # Of several.


def _settings(
    job: "Job", options: Mapping[str, Any], values: Mapping[str, Any]
) -> "SegmentSettings":
    """Return the batch's settings with some of a row's cells.

    Raises:
        ConfigError: A cell cannot be read.
    """
    names, words = _option_names(), [str(job.source)]
    for name, cell in options.items():
        words += _words(names[name], name, cell)
    command = _segment_command()
    try:
        context = command.make_context("segment", words)
        given = {
            name: value
            for name, value in context.params.items()
            if context.get_parameter_source(name).name == "COMMANDLINE" and name != "source"
        }
        return settings_of({**values, **given})
    except Exception as error:  # of the parser that Typer carries, which has no name outside it
        if not hasattr(error, "format_message"):
            raise
        raise ConfigError(error.format_message()) from error


def _words(option: Any, name: str, cell: Any) -> list[str]:
    """Return a cell as it would be typed."""
    text = next(text for text in option.opts if text == f"--{name.replace('_', '-')}")
    if not option.is_flag:
        cells = cell if isinstance(cell, list) else [cell]
        return [word for one in cells for word in (text, str(one))]
    match str(cell).strip().lower():
        case "1" | "true" | "yes":
            return [text]
        case "0" | "false" | "no":
            return list(option.secondary_opts[:1])
    raise ConfigError(f"is {cell!r}", hint="write true or false")


def _run(
    engine: "Engine",
    jobs: "Sequence[Job]",
    output: Path,
    settings: "SegmentSettings",
    *,
    split: bool,
    json: bool,
) -> None:
    from pcvos_cli.batch.board import Board
    from pcvos_cli.batch.ledger import SUMMARY
    from pcvos_cli.batch.run import segment_many
    from pcvos_cli.batch.sheet import SHEET

    board = Board(len(jobs))
    rows = []
    frames = 0
    console.detail(f"{engine.workers} workers, {engine.threads} threads each")
    with console.live(board.table) as drawn:
        for result in segment_many(
            jobs, output, settings, engine=engine, split_at_references=split, on_event=board.note
        ):
            board.add(result, drawn=drawn)
            if json:
                rows.append(result.row)
            frames += 0 if result.report is None else result.report.frames
    if json:
        console.result_json(rows)
    else:
        skipped = f" ({board.skipped} complete already)" if board.skipped else ""
        for path in (output / SHEET, output / SUMMARY):
            console.result(f"{'look at' if path.name == SHEET else '':>8}  {path}")
        console.result(f"{board.done} done{skipped}, {board.failed} failed, {frames} frames")
    if board.failed:
        raise typer.Exit(FAILURES)


def _dry_run(
    engine: "Engine",
    jobs: "Sequence[Job]",
    output: Path,
    settings: "SegmentSettings",
    *,
    json: bool,
) -> None:
    from pcvos_cli.batch.dry_run import forecast
    from pcvos_cli.batch.run import assignments

    found = forecast(engine, assignments(jobs, output, settings, engine.threads), output)
    if json:
        console.result_json([expected.to_dict() for expected in found])
    else:
        heads = ("video", "state", "frames", "size", "objects", "seconds", "")
        console.result_table(None, heads, [_line(expected) for expected in found])
        seconds = [expected.seconds for expected in found if expected.seconds is not None]
        fails = sum(expected.fault is not None for expected in found)
        at_once = engine.workers
        about = f", about {sum(seconds) / at_once:.0f} s on {at_once} workers" if seconds else ""
        console.result(f"{len(found)} videos, {fails} would fail{about}")
    if any(expected.fault is not None for expected in found):
        raise typer.Exit(FAILURES)


def _line(expected: "Forecast") -> list[str]:
    name, plan = expected.assignment.job.name, expected.plan
    if plan is None:
        fault = expected.fault
        why = "" if fault is None else f"code {fault.exit_code}: {fault.message}"
        return [name, expected.state, "", "", "", "", why]
    (height, width), (rows, columns) = plan.source_size, plan.working_size
    return [
        name,
        expected.state if plan.resume_at is None else f"resume at {plan.resume_at}",
        "?" if plan.frames is None else str(plan.frames),
        f"{width} x {height}, at {columns} x {rows}",
        ",".join(map(str, plan.object_ids)),
        "?" if expected.seconds is None else f"{expected.seconds:.0f}",
        "; ".join(plan.notes),
    ]
