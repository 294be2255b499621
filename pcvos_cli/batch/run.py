"""The whole flow of a batch: jobs -> workers -> ledger, summary and contact sheet."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pcvos_cli.batch.cluster import RayCluster
from pcvos_cli.batch.engine import Ended, Engine, Event, Fault, run_tasks
from pcvos_cli.batch.jobs import Job, default_names
from pcvos_cli.batch.ledger import (
    DONE,
    FAILED,
    Ledger,
    read_head,
    remove_empty,
    write_summary,
)
from pcvos_cli.batch.processes import Processes, divide
from pcvos_cli.batch.stretches import find_stretches, segment_stretch
from pcvos_cli.batch.work import (
    PICTURES,
    UNFINISHED,
    Assignment,
    Outcome,
    job_key,
    segment_job,
)
from pcvos_cli.run.output_folder import REPORT
from pcvos_cli.run.report import SegmentReport
from pcvos_cli.run.settings import SegmentSettings


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a job.

    Attributes:
        job: The job, with its name and settings.
        report: The run's, as ``segment_video`` returns it; ``None`` with a fault.
        fault: Why it failed, or ``None``.
        row: Its line of ``batch.jsonl``.
        skipped: It was complete already.
    """

    job: Job
    report: SegmentReport | None
    fault: Fault | None
    row: dict[str, Any]
    skipped: bool = False


def segment_many(
    jobs: Iterable[Job],
    output: Path | str,
    settings: SegmentSettings | None = None,
    *,
    engine: Engine | None = None,
    workers: int | None = None,
    split_at_references: bool = False,
    on_event: Callable[[Job, Event | None], None] | None = None,
) -> Iterator[Result]:
    """Segment many videos side by side, and yield what becomes of each as it ends.

    A video that fails stops no other. The last step of the iteration writes ``summary.csv``
    and ``contact.html``; break it off, and ``resume`` goes on from there.

    Args:
        jobs: The videos; a job's own settings win over ``settings``.
        output: Folder that gets a folder a job, whole or not at all, and ``batch.jsonl``.
        settings: For all jobs. ``resume`` goes on with an unfinished batch: what is complete
            is passed over, the rest is done. ``overwrite`` begins anew.
        engine: The workers, which the caller closes; ``None`` for processes of this call.
        workers: How many processes; ``None`` for what cores, memory and GPUs allow.
        split_at_references: Segment the stretches between reference masks that list all objects
            side by side, and join them: no memory passes from one to the next.
        on_event: Called with all that happens, and now and then with ``None``.

    Raises:
        ConfigError: Two jobs would write to one folder.
        OutputError: The folder is refused, in use, or cannot be written.
    """
    settings = settings or SegmentSettings()
    out = Path(output)
    named = default_names(list(jobs))
    own = engine is None
    engine = engine or open_engine(len(named), settings, workers)
    try:
        head = {"pcvos": version("pcvos"), "threads": settings.threads or engine.threads}
        with Ledger(out, head, resume=settings.resume, overwrite=settings.overwrite) as ledger:
            if settings.overwrite:
                shutil.rmtree(out / UNFINISHED, ignore_errors=True)
                shutil.rmtree(out / PICTURES, ignore_errors=True)
            tasks = assignments(named, out, settings, engine.threads, split=split_at_references)
            yield from _finish(ledger, engine, tasks, on_event)
            remove_empty(out / UNFINISHED)
            from pcvos_cli.batch.sheet import write_sheet

            lines = ledger.rows()
            rows = [lines[job.name] for job in named]
            write_summary(out, rows)
            write_sheet(out, rows)
    finally:
        if own:
            engine.close()


def open_engine(
    tasks: int, settings: SegmentSettings, workers: int | None = None, ray: str | None = None
) -> Processes | RayCluster:
    """Start the workers of a batch; a context manager that ends them.

    Args:
        tasks: How many jobs there are.
        settings: Of the batch.
        workers: How many processes; ``None`` for what cores, memory and GPUs allow.
        ray: Address of a Ray cluster, ``auto`` or ``local``; ``None`` for processes.

    Raises:
        ConfigError: There is no such cluster, or Ray is not installed.
    """
    gpu = settings.device in ("auto", "cuda")
    if ray is not None:
        return RayCluster(ray, threads=settings.threads or 1, gpu=gpu)
    return Processes(divide(tasks, workers=workers, threads=settings.threads, gpu=gpu))


def assignments(
    jobs: Sequence[Job],
    out: Path,
    settings: SegmentSettings,
    threads: int,
    *,
    split: bool = False,
) -> list[Assignment]:
    """Return jobs as workers take them: with paths that hold elsewhere, and settings.

    The number of threads is part of a run's identity, so a batch that is resumed keeps that
    of its beginning.

    Args:
        jobs: With names.
        out: The batch's output.
        settings: The batch's.
        split: As ``split_at_references``.
        threads: Where neither settings nor an unfinished batch say so.
    """
    begun = read_head(out) if settings.resume else None
    threads = settings.threads or (begun or {}).get("threads", threads)
    tasks = []
    for job in jobs:
        own = job.settings or settings
        source, masks = job.source.absolute(), tuple(map(_absolute, job.masks))
        own = replace(
            own,
            threads=own.threads or threads,
            weights=None if own.weights is None else own.weights.absolute(),
            background=_absolute_file(own.background),
        )
        job = replace(job, source=source, masks=masks, settings=own)
        tasks.append(Assignment(job, out.absolute(), settings.overwrite, split=split))
    return tasks


def _absolute_file(text: str | None) -> str | None:
    """Return a file's path as one that holds in any folder, and any other text as it is."""
    return text if text is None or not Path(text).exists() else str(Path(text).absolute())


def _absolute(mask: str) -> str:
    """Return a value of ``--mask`` that holds in any folder."""
    frame, equals, file = mask.partition("=")
    if equals and not Path(mask).exists():
        return f"{frame}={Path(file).absolute()}"
    return str(Path(mask).absolute())


def _finish(
    ledger: Ledger,
    engine: Engine,
    tasks: Sequence[Assignment],
    on_event: Callable[[Job, Event | None], None] | None,
) -> Iterator[Result]:
    rows = ledger.rows()
    left: list[Assignment] = []
    for task in tasks:
        fault, report = task.job.fault, finished(task, rows.get(task.job.name))
        if fault is not None:
            row = _row(task, Ended(-1, None, fault, worker="", attempts=0, seconds=0.0))
            ledger.add(row)
            yield Result(task.job, None, fault, row)
        elif report is not None:
            yield Result(task.job, report, None, rows[task.job.name], skipped=True)
        else:
            left.append(task)
    del rows
    splitting, left = left, []
    for task, failed in _split(engine, splitting, on_event):
        if failed is None:
            left.append(task)
        else:
            row = _row(task, failed)
            ledger.add(row)
            yield Result(task.job, None, failed.fault, row)
    for event in run_tasks(engine, segment_job, left):
        job = left[0 if event is None else event.number].job
        if on_event is not None:
            on_event(job, event)
        if isinstance(event, Ended):
            row = _row(left[event.number], event)
            ledger.add(row)
            report = event.value.report if event.fault is None else None
            yield Result(job, report, event.fault, row)


def _split(
    engine: Engine,
    tasks: Sequence[Assignment],
    on_event: Callable[[Job, Event | None], None] | None,
) -> Iterator[tuple[Assignment, Ended | None]]:
    """Segment the stretches of jobs that are to be split, and yield all jobs.

    Yields:
        A job, with its stretches if it has any; and how a stretch of it failed, or ``None``.
    """
    found: dict[int, Ended] = {}
    places = [place for place, task in enumerate(tasks) if task.split]
    for event in run_tasks(engine, find_stretches, [tasks[place] for place in places]):
        if isinstance(event, Ended):
            found[places[event.number]] = event
    stretches = [part for place in places for part in found[place].value or ()]
    failed = {tasks[place].job.name: end for place, end in found.items() if end.fault}
    for event in run_tasks(engine, segment_stretch, stretches):
        part = stretches[0 if event is None else event.number]
        job = part.assignment.job
        if on_event is not None:
            on_event(replace(job, name=f"{job.name} from frame {part.start} on"), event)
        if isinstance(event, Ended) and event.fault is not None:
            failed[job.name] = event
    for place, task in enumerate(tasks):
        parts = found[place].value if place in found else None
        yield replace(task, stretches=parts or ()), failed.get(task.job.name)


def finished(task: Assignment, row: dict[str, Any] | None) -> SegmentReport | None:
    """Return the report of a job that is complete, or ``None``.

    Complete is what the ledger says is done, of the very inputs and settings, and is there.
    """
    if row is None or row["status"] != DONE or task.overwrite or task.job.fault is not None:
        return None
    report = SegmentReport.read(task.folder / REPORT)
    if report is None or report.identity != row["identity"] or report.missing(task.folder):
        return None
    return report if row["key"] and row["key"] == job_key(task) else None


def _row(task: Assignment, event: Ended) -> dict[str, Any]:
    """Return a job's line of the ledger."""
    row: dict[str, Any] = {
        "job": task.job.name,
        "input": str(task.job.source),
        "output": str(task.folder),
        "status": DONE if event.fault is None else FAILED,
        "exit_code": 0 if event.fault is None else event.fault.exit_code,
        "seconds": round(event.seconds, 3),
        "attempts": event.attempts,
        "worker": event.worker,
    }
    if event.fault is not None:
        row |= {"error": event.fault.message, "hint": event.fault.hint}
        return row | ({"trace": event.fault.trace} if event.fault.trace else {})
    outcome: Outcome = event.value
    report = outcome.report
    return row | {
        "frames": report.frames,
        "objects": list(report.object_ids),
        "fps": round(report.fps_end_to_end, 3),
        "warnings": list(report.warnings),
        "signs": list(outcome.signs),
        "suspicion": outcome.suspicion,
        "identity": report.identity,
        "key": outcome.key,
    }
