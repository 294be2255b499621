"""One job in a worker: what ``pcvos segment`` runs, in a folder that appears when it is whole.

A job works in ``OUT/.unfinished/NAME``, with ``resume`` on, and its folder is renamed to
``OUT/NAME`` at the end. Whatever ends a worker, its job goes on from there in another one.
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from model.errors import OutputError, PCVOSError
from pcvos_cli.batch.engine import TaskProgress
from pcvos_cli.batch.findings import examine
from pcvos_cli.batch.jobs import Job
from pcvos_cli.files import LOCK, output_errors
from pcvos_cli.run.identity import content_digest, identity_digest, package_versions
from pcvos_cli.run.output_folder import REPORT, OutputFolder
from pcvos_cli.run.pipeline import plan_video, segment_video
from pcvos_cli.run.plan import RunPlan
from pcvos_cli.run.report import SegmentReport
from pcvos_cli.run.settings import SegmentSettings
from pcvos_cli.video.folder import image_files
from pcvos_cli.weights_store import file_sha256, resolve_weights

if TYPE_CHECKING:
    from pcvos_cli.batch.stretches import Stretch

UNFINISHED = ".unfinished"
"""Folder inside OUT in which jobs work."""

PICTURES = ".pictures"
"""Folder inside OUT with the contact sheet's pictures, ``NAME.jpg``."""

LOCK_SECONDS = 60.0
"""How long a job waits for a worker of a driver that was killed, which ends within seconds."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """A job as a worker gets it.

    Attributes:
        job: The job, with settings of its own.
        out: OUT of the batch: a path that every worker sees.
        overwrite: Replace what an earlier batch left in the job's folder.
        split: Split it at reference masks that list all objects.
        stretches: The parts that are done, if it has been split.
    """

    job: Job
    out: Path
    overwrite: bool = False
    split: bool = False
    stretches: tuple["Stretch", ...] = ()

    @property
    def settings(self) -> SegmentSettings:
        """The job's settings, for its first attempt and for all others."""
        assert self.job.settings is not None
        return replace(self.job.settings, resume=True, overwrite=False)

    @property
    def folder(self) -> Path:
        """Where the results are once they are whole."""
        return self.out / self.job.name

    @property
    def workplace(self) -> Path:
        """Where they come into being."""
        return self.out / UNFINISHED / self.job.name


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a job gave, for the ledger.

    Attributes:
        report: The run's.
        key: As ``job_key``.
        signs: Why a person should look at it.
        suspicion: How much so; 0 for nothing.
    """

    report: SegmentReport
    key: str = ""
    signs: tuple[str, ...] = ()
    suspicion: float = 0.0


def segment_job(assignment: Assignment, progress: TaskProgress) -> Outcome:
    """Segment the video of a job, and publish its folder.

    Raises:
        PCVOSError: As ``segment_video``. Where that leaves results, they are published.
    """
    key = job_key(assignment)
    report = _publishing(assignment, progress)
    signs: tuple[str, ...] = ()
    suspicion = 0.0
    with contextlib.suppress(PCVOSError, OSError, ValueError):  # The results stand without it.
        picture = assignment.out / PICTURES / f"{assignment.job.name}.jpg"
        found = examine(report, assignment.settings, picture, assignment.job.masks)
        signs, suspicion = found.signs, found.suspicion
    return Outcome(report, key, signs, suspicion)


def job_key(assignment: Assignment) -> str:
    """Return what decides a job's results, or an empty text where an input cannot be read.

    It is that of the run, as far as it can be known without starting the network: so a
    finished job can be passed over quickly.
    """
    job, settings = assignment.job, assignment.settings
    try:
        weights = resolve_weights(settings.weights, settings.model)
        digest = hashlib.sha256()
        for mask in job.masks:
            path = Path(mask)
            if not path.exists():  # FRAME=FILE
                path = Path(mask.partition("=")[2])
            for file in image_files(path) if path.is_dir() else [path]:
                digest.update(os.fsencode(file.name) + file.read_bytes())
        values = {
            **{field.name: str(getattr(settings, field.name)) for field in fields(settings)},
            "weights": _weights_digest(weights.path, weights.path.stat().st_mtime_ns),
            "input": content_digest(job.source),
            "background": _background_digest(settings.background),
            "masks": (job.masks, digest.hexdigest()),
            "prompts": (job.boxes, job.clicks),
            "split": assignment.split,
            "versions": package_versions(),
        }
    except (OSError, PCVOSError):
        return ""
    return identity_digest(values)


def _background_digest(background: str | None) -> str:
    there = background is not None and Path(background).exists()
    return content_digest(Path(str(background))) if there else ""


@lru_cache(maxsize=64)
def _weights_digest(path: Path, _changed: int) -> str:
    return file_sha256(path)


def plan_job(assignment: Assignment, _progress: TaskProgress) -> RunPlan:
    """Check a job as ``pcvos segment --dry-run`` does, and write nothing.

    Raises:
        PCVOSError: As ``plan_video``.
    """
    settings, target = assignment.settings, assignment.folder
    if assignment.overwrite:
        settings = replace(settings, resume=False, overwrite=True)
    elif not (target / REPORT).is_file():
        target = assignment.workplace
    plan = with_masks(
        assignment, lambda masks: plan_video(assignment.job.source, masks, target, settings)
    )
    return replace(plan, output=str(assignment.folder))


def _publishing(assignment: Assignment, progress: TaskProgress) -> SegmentReport:
    folder, work = assignment.folder, assignment.workplace
    earlier = None if assignment.overwrite else SegmentReport.read(folder / REPORT)
    if earlier is not None and earlier.missing(folder) is None:
        # But of which run? This refuses that of another one, and else does nothing.
        return segment_into(assignment, folder, progress)
    _wait_for(work)
    try:
        report = segment_into(assignment, work, progress)
    except PCVOSError as error:
        if (work / REPORT).is_file():  # The input broke off; what was before it has its masks.
            _publish(work, folder)
        raise _moved(error, work, folder) from error
    if earlier is not None and earlier.identity != report.identity:
        raise OutputError(
            f"{folder}: holds what is left of the results of another run",
            hint="pass --overwrite to replace them, or choose another --out",
        )
    _publish(work, folder)
    if assignment.stretches:
        from pcvos_cli.batch.stretches import stretch_folder

        shutil.rmtree(stretch_folder(assignment), ignore_errors=True)
    return _with_paths(report, work, folder)


def segment_into(assignment: Assignment, output: Path, progress: TaskProgress) -> SegmentReport:
    """Segment a job's video into a folder, or go on with what is there; as ``segment_video``."""
    if assignment.stretches:
        from pcvos_cli.batch.stretches import join_stretches

        return join_stretches(assignment, output, progress)
    return with_masks(
        assignment,
        lambda masks: segment_video(
            assignment.job.source,
            masks,
            output,
            assignment.settings,
            on_start=lambda plan: progress.expect(plan.frames),
            on_frames=progress.advance,
        ),
    )


def with_masks(assignment: Assignment, run: Callable[[list[str]], Any]) -> Any:
    """Call with the job's masks, or with one made of its boxes and clicks."""
    job = assignment.job
    if job.masks:
        return run(list(job.masks))
    from pcvos_cli.first_mask.make import prompted_mask

    start = assignment.settings.start
    frame = None if start is None else str(start)
    with prompted_mask(job.source, job.boxes, job.clicks, frame, on_note=lambda _: None) as masks:
        return run(masks)


def _wait_for(work: Path) -> None:
    """Wait until no other worker is in a job's workplace."""
    lock = work / LOCK
    if lock.exists():
        try:
            with FileLock(lock, timeout=LOCK_SECONDS):
                pass
        except Timeout as error:
            raise OutputError(f"{work}: another worker is at it", hint="end it first") from error


def _publish(work: Path, folder: Path) -> None:
    """Give whole results their name.

    Raises:
        OutputError: It cannot be done.
    """
    report = SegmentReport.read(work / REPORT)
    assert report is not None, f"{work}: whole, so its report is there"
    with output_errors(folder):
        _with_paths(report, work, folder).write(work / REPORT)
        if folder.exists():
            with OutputFolder(folder, overwrite=True) as old:
                old.clear()
            with contextlib.suppress(OSError):
                folder.rmdir()
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.exists():  # There are files of somebody else's, which stay.
            for entry in sorted(work.iterdir(), key=lambda entry: entry.name == REPORT):
                entry.replace(folder / entry.name)
            shutil.rmtree(work)
        else:
            work.replace(folder)


def _with_paths(report: SegmentReport, work: Path, folder: Path) -> SegmentReport:
    outputs = {
        name: str(folder / Path(path).relative_to(work))
        if Path(path).is_relative_to(work)
        else path
        for name, path in report.outputs.items()
    }
    return replace(report, output=str(folder), outputs=outputs)


def _moved(error: PCVOSError, work: Path, folder: Path) -> PCVOSError:
    """Return the error with the folder that the user knows, and the batch's options."""
    error.message = error.message.replace(str(work), str(folder))
    error.args = (error.message,)
    if error.hint:
        error.hint = error.hint.replace(str(work), str(folder))
    return error
