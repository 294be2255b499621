"""One video on several workers: the stretches between its reference masks, then their join.

A stretch begins on a reference frame whose mask lists every object that was there before, so it
needs nothing of what came before: it is a run of its own. Its memory begins with that mask
alone, which is what the split costs. A reference mask that lists fewer objects does not split
the video.

The join is the run of the whole video, resumed where all is done: its journal gets the labels
of the stretches, and the writers make masks, JSON and overlay of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from model.errors import ConfigError
from model.ops.timing import StageClock
from pcvos_cli.batch.engine import TaskProgress
from pcvos_cli.batch.work import Assignment, with_masks
from pcvos_cli.files import make_directory, write_whole
from pcvos_cli.masks.journal import decode_labels
from pcvos_cli.masks.palette import MAX_PALETTE_ID
from pcvos_cli.masks.reference import LoadedMask
from pcvos_cli.masks.writers import FrameMasks, encode_palette_png
from pcvos_cli.masks.youtube_vis import read_entries
from pcvos_cli.run.frames import new_segmenter
from pcvos_cli.run.output_folder import REPORT, RLE
from pcvos_cli.run.pipeline import open_input, run_job, segment_video
from pcvos_cli.run.plan import prepare
from pcvos_cli.run.references import load_references
from pcvos_cli.run.report import SegmentReport
from pcvos_cli.run.resume import SavedRun
from pcvos_cli.run.settings import SegmentSettings
from pcvos_cli.video.folder import image_files
from pcvos_cli.video.source import FrameSource, find_range

JOINED = ("png", "rle", "overlay")
"""Formats that can be made of the labels of stretches."""

STRETCHES = "stretches"


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a job that is a run of its own.

    Attributes:
        assignment: The job.
        start: Index of its first frame.
        masks: Its reference masks, as ``segment_video`` takes them.
        settings: Its range of frames, and all else of the job.
    """

    assignment: Assignment
    start: int
    masks: tuple[str, ...]
    settings: SegmentSettings

    @property
    def folder(self) -> Path:
        """Where its masks are until they are joined."""
        return stretch_folder(self.assignment) / f"{self.start:05}"


def stretch_folder(assignment: Assignment) -> Path:
    """Return where the stretches of a job are until they are joined: beside its workplace."""
    return assignment.workplace.with_name(f"{assignment.workplace.name}.{STRETCHES}")


def check_formats(settings: SegmentSettings) -> None:
    """Refuse formats that need more than labels.

    Raises:
        ConfigError: Naming them.
    """
    others = [name for name in settings.formats if name not in JOINED]
    if others:
        raise ConfigError(
            f"--split-at-references cannot join {', '.join(others)}",
            hint=f"choose from {','.join(JOINED)}, or leave it out",
        )


def find_stretches(assignment: Assignment, _progress: TaskProgress) -> tuple[Stretch, ...]:
    """Find the stretches of a job; none where its masks do not split it.

    Raises:
        PCVOSError: The video or a mask cannot be read.
    """
    settings, masks = assignment.settings, list(assignment.job.masks)
    check_formats(settings)
    if not masks:
        return ()
    with open_input(assignment.job.source, masks, settings) as source:
        frames = find_range(settings.start, settings.end, source)
        given = load_references(masks, source, first=frames.first, resize=settings.resize_mask)
        seams = _seams(given)
        largest = max(object_id for mask in given for object_id in mask.object_ids)
        if not seams or largest > MAX_PALETTE_ID:
            return ()
        starts = [frames.first, *seams]
        ends: list[int | str | None] = [*(seam - 1 for seam in seams), settings.end]
        found = []
        for start, end in zip(starts, ends, strict=True):
            last = end if isinstance(end, int) else None
            own = [m for m in given if start <= m.frame_index and not _beyond(m.frame_index, last)]
            ids = {object_id for mask in own for object_id in mask.object_ids}
            gone, absent = (
                tuple(
                    (object_id, index)
                    for object_id, frame in pairs
                    if (index := _index(source, frame)) is not None
                    and object_id in ids
                    and start < index
                    and not _beyond(index, last)
                )
                for pairs in (settings.end_objects, settings.absent)
            )
            chosen = replace(
                settings,
                start=start,
                end=end,
                formats=("rle",),
                end_objects=gone,
                absent=absent,
                resize_mask=False,
            )
            values = tuple(_write_masks(assignment, own, source))
            found.append(Stretch(assignment, start, values, chosen))
    return tuple(found)


def _beyond(index: int, last: int | None) -> bool:
    return last is not None and index > last


def _index(source: FrameSource, frame: int | str) -> int | None:
    return frame if isinstance(frame, int) else source.frame_index(frame)


def _seams(given: list[LoadedMask]) -> list[int]:
    """Return the reference frames whose masks list all objects so far, but for the first."""
    known: set[int] = set()
    seams = []
    for mask in given:
        if known and known <= set(mask.object_ids):
            seams.append(mask.frame_index)
        known |= set(mask.object_ids)
    return seams


def _write_masks(
    assignment: Assignment, masks: list[LoadedMask], source: FrameSource
) -> Iterator[str]:
    """Write a stretch's masks by id, for the ids of colours depend on all masks; yield values."""
    folder = stretch_folder(assignment) / "masks"
    make_directory(folder)
    info = source.info
    names = [file.stem for file in image_files(info.path)] if info.is_folder else None
    for mask in masks:
        name = f"{mask.frame_index:05}" if names is None else names[mask.frame_index]
        path = folder / f"{name}.png"
        write_whole(path, encode_palette_png(mask.labels))
        yield f"{name}={path}"


def segment_stretch(stretch: Stretch, progress: TaskProgress) -> SegmentReport:
    """Segment a stretch, or go on with it; as ``segment_video``."""
    return segment_video(
        stretch.assignment.job.source,
        stretch.masks,
        stretch.folder,
        stretch.settings,
        on_start=lambda plan: progress.expect(plan.frames),
        on_frames=progress.advance,
    )


def join_stretches(assignment: Assignment, output: Path, progress: TaskProgress) -> SegmentReport:
    """Join the stretches of a job in a folder, or find it joined already.

    Raises:
        PCVOSError: As ``segment_video``.
    """
    settings = assignment.settings
    seams = [stretch.start for stretch in assignment.stretches[1:]]
    reports = [SegmentReport.read(stretch.folder / REPORT) for stretch in assignment.stretches]

    def join(masks: list[str]) -> SegmentReport:
        with open_input(assignment.job.source, masks, settings) as source:
            job = prepare(source, masks, output, settings)
            job = replace(
                job,
                record={**job.record, "split_at": seams},
                identity={**job.identity, "split_at": seams},
            )
            if all(report is not None for report in reports):
                make_directory(output)
                with SavedRun(output, job.identity) as saved:
                    saved.begin()
                    journal = saved.open_journal()
                    end = 0
                    for stretch in assignment.stretches:
                        for frame in _labelled(stretch, job.plan.source_size):
                            journal.write(frame)
                            end = frame.index + 1
                    saved.saving(new_segmenter(job, StageClock()), end)()
            return run_job(
                source,
                job,
                on_start=lambda plan: progress.expect(plan.frames),
                on_frames=progress.advance,
            )

    report = with_masks(assignment, join)
    whole = [part for part in reports if part is not None]
    if len(whole) < len(reports):  # It was joined by an earlier batch.
        return report
    seconds = {"total": report.seconds["total"]}
    for part in whole:
        for stage, spent in part.seconds.items():
            seconds[stage] = seconds.get(stage, 0.0) + spent
    report = replace(
        report,
        resumed_at=None,
        seconds=seconds,
        fps_model=report.frames / seconds["model"],
        fps_end_to_end=report.frames / seconds["total"],
        notes=(*report.notes, f"split at frames {', '.join(map(str, seams))}"),
    )
    report.write(output / REPORT)
    return report


def _labelled(stretch: Stretch, size: tuple[int, int]) -> Iterator[FrameMasks]:
    """Yield the frames of a finished stretch, without pixels."""
    nothing = np.empty((0, 0, 3), np.uint8)
    for entry in read_entries(stretch.folder / RLE):
        labels = decode_labels(entry.codes, size)
        yield FrameMasks(stretch.start + entry.index, entry.name, entry.pts, nothing, labels)
