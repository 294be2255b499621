"""The whole flow on one page: source -> clips -> segmenter -> writers.

::

    decode, resize ──queue──> clips ─> segmenter ─> labels ──queue──> writers
       a thread                    the caller's thread                a thread

Both queues are bounded, so memory does not depend on the length of the video, and an error
on either side surfaces in the caller.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from model.errors import InputError, MaskError, OutputError
from model.inference.clips import iter_clips
from model.ops.frames import larger_size
from model.ops.timing import StageClock
from pcvos_cli.masks.formats import FORMATS
from pcvos_cli.masks.journal import LabelJournal
from pcvos_cli.masks.overlay import VideoWriter
from pcvos_cli.masks.writers import MaskWriter, PaletteWriter, ScoresWriter
from pcvos_cli.masks.youtube_vis import write_youtube_vis
from pcvos_cli.run.device import cpu_threads
from pcvos_cli.run.frames import (
    before_the_model,
    decode,
    new_segmenter,
    segmented,
    until_unreadable,
)
from pcvos_cli.run.identity import identity_digest
from pcvos_cli.run.output_folder import PLACES, REPORT, RLE, OutputFolder, check_refusal
from pcvos_cli.run.plan import Job, RunPlan, end_beyond, prepare
from pcvos_cli.run.references import mask_files
from pcvos_cli.run.report import Done, SegmentReport, make_report
from pcvos_cli.run.resume import SavedRun
from pcvos_cli.run.settings import SegmentSettings
from pcvos_cli.run.threads import BackgroundWriter, prefetch, queue_length
from pcvos_cli.video.source import FrameSource, VideoInfo, is_pipe, open_source

if TYPE_CHECKING:
    from pcvos_cli.matting.writers import SoftMasks

OnFrames = Callable[[int], None]
"""Called with the number of further frames that have their masks."""


def segment_video(
    source: Path | str,
    masks: Sequence[str | Path],
    output: Path | str,
    settings: SegmentSettings | None = None,
    *,
    on_start: Callable[[RunPlan], None] | None = None,
    on_frames: OnFrames | None = None,
) -> SegmentReport:
    """Segment a video and write a mask of every frame.

    Args:
        source: A video, or a folder of images in natural order.
        masks: ``M.png`` (the run's first frame), ``FRAME=M.png``, or a folder of masks named by
            frame.
        output: Folder for the results; created if missing.
        settings: Everything else; ``None`` for the defaults.
        on_start: Called once, with what is about to be done.
        on_frames: Called with the number of further frames that have their masks.

    Returns:
        What was done; ``run.json`` in ``output`` holds the same.

    Raises:
        ConfigError: An unknown model, a device that is not there or has no half precision,
            an engine that is not there or cannot run the network, a range of frames that is
            not in the video.
        InputError: The input is missing, unreadable or holds no frame; with ``strict``, it
            is damaged. Where it cannot be read to its end, the results of the frames before
            are written first.
        MaskError: A mask does not fit the video. Where only decoding shows that a mask's
            frame lies beyond the end, all results are written first.
        WeightsError: Weights are missing, corrupt or of another architecture.
        OutputError: The folder is refused or cannot be written; finished masks are kept.
            With ``resume``, what is in it is no unfinished run, or that of another one.
    """
    settings = settings or SegmentSettings()
    with open_input(source, masks, settings) as frames:
        job = prepare(frames, masks, Path(output), settings)
        return run_job(frames, job, on_start=on_start, on_frames=on_frames)


def run_job(
    source: FrameSource,
    job: Job,
    *,
    on_start: Callable[[RunPlan], None] | None = None,
    on_frames: OnFrames | None = None,
) -> SegmentReport:
    """Do what has been prepared; as ``segment_video``."""
    output = job.plan.output
    with (
        _folder(job) as folder,
        SavedRun(folder.path, job.identity) as saved,
    ):
        report = _find_unfinished(folder, saved, job) if job.settings.resume else None
        if report is None:
            if saved.next_frame is None:
                saved.begin()
                folder.clear()
            else:
                folder.clear_unfinished()
            if on_start is not None:
                on_start(_resuming(job.plan, saved))
            with cpu_threads(job.settings.threads):
                report = _segment(source, job, saved, on_frames or _ignore)
            report.write(folder.path / REPORT)
        saved.remove()
    if report.stopped is not None:
        raise InputError(
            report.stopped,
            hint=f"repair it; the masks of the {report.frames} frames before are in {output}",
        )
    end = job.frames.first + report.frames
    beyond = [frame for frame in job.references if frame >= end]
    if beyond:
        raise MaskError(
            f"{job.plan.input}: the mask of frame {beyond[0]} lies beyond the end: "
            f"{end} frames could be decoded",
            hint=f"the masks of those frames are in {output}",
        )
    return report


def plan_video(
    source: Path | str,
    masks: Sequence[str | Path],
    output: Path | str,
    settings: SegmentSettings | None = None,
) -> RunPlan:
    """Check all that ``segment_video`` checks before its first frame, and write nothing.

    Arguments and errors are those of ``segment_video``.

    Returns:
        Sizes, ids, clips and the expected size of the memory.
    """
    settings = settings or SegmentSettings()
    with open_input(source, masks, settings) as frames:
        job = prepare(frames, masks, Path(output), settings)
    overwrite = settings.overwrite or settings.resume
    check_refusal(Path(output), overwrite=overwrite, inputs=job.inputs)
    saved = SavedRun(Path(output), job.identity)
    if settings.resume:
        _find_unfinished(_folder(job), saved, job)
    return _resuming(job.plan, saved)


def open_input(
    source: Path | str, masks: Sequence[str | Path], settings: SegmentSettings
) -> FrameSource:
    """Open a run's input, as its settings say and without its masks; errors as ``open_source``."""
    if is_pipe(Path(source)) and (settings.resume or settings.backward):
        raise InputError(
            f"{source}: is a pipe, which can be read once only, and "
            f"--{'resume' if settings.resume else 'backward'} reads a video again",
            hint="write it to a file first, and give that",
        )
    return open_source(
        Path(source),
        fps=settings.fps,
        exclude=mask_files([str(mask) for mask in masks]),
        value_range=settings.value_range,
        channel=settings.channel,
    )


def _ignore(_frames: int) -> None:
    """Report to nobody."""


def _folder(job: Job) -> OutputFolder:
    return OutputFolder(
        Path(job.plan.output),
        overwrite=job.settings.overwrite,
        resume=job.settings.resume,
        inputs=job.inputs,
    )


def _find_unfinished(folder: OutputFolder, saved: SavedRun, job: Job) -> SegmentReport | None:
    """Look for a state to go on from; return the report of a run that is complete already.

    Raises:
        OutputError: There are results, and neither.
    """
    if saved.find() or not folder.holds_results:
        return None
    report = SegmentReport.read(folder.path / REPORT)
    if report is not None and report.identity == identity_digest(job.identity):
        if (gone := report.missing(folder.path)) is not None:
            raise OutputError(
                f"{folder.path}: this run was complete, but not all of it is there: {gone}",
                hint="pass --overwrite to make all of it again",
            )
        return replace(report, notes=("this run was complete already; nothing was done",))
    raise OutputError(
        f"{folder.path}: holds results, but no unfinished run to resume",
        hint="pass --overwrite to replace them, or choose another --out",
    )


def _resuming(plan: RunPlan, saved: SavedRun) -> RunPlan:
    return replace(plan, resume_at=saved.next_frame)


def _segment(source: FrameSource, job: Job, saved: SavedRun, on_frames: OnFrames) -> SegmentReport:
    plan, clock, done = job.plan, StageClock(), Done(saved.next_frame)
    segmenter = new_segmenter(job, clock)
    saved.restore(segmenter)
    journal = saved.open_journal()
    soft = _soft_masks(saved) if job.settings.makes_soft_masks else None
    if job.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(job.device)
    began = time.perf_counter()
    if plan.backward and done.resumed_at is None:
        from pcvos_cli.run.backward import segment_backward

        done.backward = segment_backward(
            source, job, journal, saved.scratch, clock, on_frames, soft
        )
    start = plan.first_frame if done.resumed_at is None else done.resumed_at
    writers = _open_writers(job, source.info)
    if soft is not None:
        writers["soft"] = soft
    depth = queue_length(job.settings.inference.interval, _frame_bytes(job))
    with (
        BackgroundWriter({**writers, "journal": journal}, depth, clock) as out,
        prefetch(decode(source, job, clock, seen_from=start), depth) as read_ahead,
    ):
        unreadable: list[InputError] = []
        decoded = read_ahead if job.settings.strict else until_unreadable(read_ahead, unreadable)
        for frame in before_the_model(decoded, start - plan.start, journal, job, soft):
            out.submit(frame)
            done.early += 1
            if not done.backward:  # Then they are counted already.
                on_frames(1)
        clips = iter_clips(
            decoded,
            job.references,
            interval=job.settings.inference.interval,
            start=start,
            continued=done.resumed_at is not None,
            pixels=lambda item: item.pixels,
            ends=job.ends,
            begins_shot=lambda item: item.begins_shot,
        )
        for clip in clips:
            for frame in segmented(clip, segmenter, job, clock):
                out.submit(frame)
                done.segmented += 1
                on_frames(1)
            if clip.cut:
                done.cuts[clip.start] = segmenter.absent
            del clip, frame  # Not while the next clip is made: its frames are in memory, too.
            out.submit(saved.saving(segmenter, start + done.segmented))
        if done.frames == 0:
            where = f" from {plan.start} on" if plan.start else ""
            nothing = InputError(
                f"{source.info.path}: holds no frame{where}",
                hint="the video ends before; check --start" if plan.start else None,
            )
            raise (*unreadable, nothing)[0]
        done.stopped = unreadable[0].message if unreadable else None
        done.warnings = (*source.warnings, *(error.message for error in unreadable))
        if "rle" in job.settings.formats:
            out.submit(partial(_write_rle, job, journal, source.info, done.warnings, clock))
    clock.seconds["total"] = time.perf_counter() - began
    notes = [note for note in source.notes if note not in plan.notes]
    notes += _lost_objects(job, journal, done.frames)
    end = plan.start + done.frames
    notes += [
        end_beyond(*pair, f"frame {end - 1}")
        for pair in job.ends
        if pair[1] >= end and pair[1] in job.frames
    ]
    notes += [note for w in writers.values() if isinstance(w, VideoWriter) for note in w.notes]
    return make_report(job, done, clock.seconds, segmenter.memory.frames, notes)


def _lost_objects(job: Job, journal: LabelJournal, frames: int) -> list[str]:
    """Return notes on objects that are on no frame but those of their masks."""
    plan, ended = job.plan, {object_id for object_id, _ in job.ends}
    most = len(plan.references)
    lost = [i for i in plan.object_ids if journal.frames_with[i] <= most and i not in ended]
    if frames <= most or not lost:
        return []
    from pcvos_cli.run.small_objects import notes_on_lost

    absent = job.settings.absent
    given = {
        i: [f for f, ids in plan.references.items() if i in ids and (i, f) not in absent]
        for i in lost
    }
    largest = larger_size(plan.source_size, plan.working_size, job.model.config.short_edge)
    return notes_on_lost(given, journal.frames_with, largest)


def _open_writers(job: Job, info: VideoInfo) -> dict[str, MaskWriter]:
    """Open the writers of all formats but RLE, whose file is made of the journal at the end.

    Raises:
        OutputError: If one cannot be opened; the others are aborted.
    """
    folder, size = Path(job.plan.output), (info.height, info.width)
    video: dict[str, Any] = {
        "fps": info.fps,
        "time_base": info.time_base,
        "source": None if info.is_folder or is_pipe(info.path) else info.path,
        "rotation": info.rotation,
        "whole": job.frames.is_whole(info.frame_count),
    }
    opened: dict[str, MaskWriter] = {}
    try:
        for name in job.settings.formats:
            path = folder / PLACES[name]
            match name:
                case "png":
                    opened[name] = PaletteWriter(path)
                case "overlay":
                    opened[name] = VideoWriter(path, size, **video)
                case "scores":
                    opened[name] = ScoresWriter(path)
                case "csv":
                    from pcvos_cli.masks.measurements import MeasurementWriter

                    opened[name] = MeasurementWriter(
                        path,
                        folder / (FORMATS[name].beside or ""),
                        job.plan.object_ids,
                        time_base=info.time_base,
                        title=info.path.name,
                        value_range=info.value_range,
                    )
        if job.settings.makes_soft_masks:
            from pcvos_cli.matting.writers import open_writers

            opened |= open_writers(
                job.settings.formats,
                folder,
                size,
                video,
                object_ids=job.plan.object_ids,
                choke=job.settings.choke,
                feather=job.settings.feather,
                background=job.settings.background,
            )
    except BaseException:
        for writer in opened.values():
            writer.abort()
        raise
    return opened


def _soft_masks(saved: SavedRun) -> "SoftMasks":
    from pcvos_cli.matting.writers import SoftMasks

    return SoftMasks(saved.soft)


def _write_rle(
    job: Job, journal: LabelJournal, info: VideoInfo, warnings: Sequence[str], clock: StageClock
) -> None:
    with clock("write_rle"):
        write_youtube_vis(
            Path(job.plan.output) / RLE,
            journal,
            size=job.plan.source_size,
            source=info.path.name,
            time_base=info.time_base,
            settings={**job.record, "warnings": list(warnings)},
            object_ids=job.plan.object_ids,
            categories=dict(job.settings.categories),
        )


def _frame_bytes(job: Job) -> int:
    """Return the memory of a frame that waits before or after the segmenter, at most."""
    plan = job.plan
    pixels, seen = (height * width for height, width in (plan.source_size, plan.working_size))
    scores = 4 * (len(plan.object_ids) + 1) * seen if "scores" in job.settings.formats else 0
    rgb_and_labels = (3 + 4) * pixels
    return rgb_and_labels + max(3 * seen, scores)
