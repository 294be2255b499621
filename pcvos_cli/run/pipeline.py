"""The whole flow on one page: source -> clips -> segmenter -> writers.

::

    decode, resize ──queue──> clips ─> segmenter ─> labels ──queue──> writers
       a thread                    the caller's thread                a thread

Both queues are bounded, so memory does not depend on the length of the video, and an error
on either side surfaces in the caller.
"""

import itertools
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from model.errors import InputError, MaskError, OutputError
from model.inference.clips import iter_clips
from model.ops.threads import cpu_threads
from model.ops.timing import StageClock
from model.types import ClipPrediction
from pcvos_cli.run.backward import new_segmenter, segment_backward
from pcvos_cli.run.decoding import UntilUnreadable, decode, keep_frames
from pcvos_cli.run.early_frames import OnFrames, write_again, write_empty
from pcvos_cli.run.formats import PLACES, all_channels, open_writers, writer_notes
from pcvos_cli.run.output_folder import REPORT, OutputFolder, check_refusal
from pcvos_cli.run.plan import Job, device_name, prepare
from pcvos_cli.run.report import RunPlan, SegmentReport, package_versions, peak_resident_mb
from pcvos_cli.run.resume import SavedRun, identity_digest
from pcvos_cli.run.settings import SegmentSettings
from pcvos_cli.run.threads import BackgroundWriter, prefetch, queue_length
from pcvos_cli.video.source import Frame, FrameSource, open_source


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
    with open_source(Path(source), fps=settings.fps) as frames:
        job = prepare(frames, masks, Path(output), settings)
        with (
            _folder(job, settings) as folder,
            SavedRun(folder.path, job.identity) as saved,
        ):
            report = _find_unfinished(folder, saved, job) if settings.resume else None
            if report is None:
                if saved.progress is None:
                    saved.begin()
                    folder.clear()
                else:
                    folder.clear_unfinished()
                if on_start is not None:
                    on_start(_resuming(job.plan, saved))
                with cpu_threads(settings.threads):
                    report = _segment(frames, job, folder.path, saved, settings, on_frames)
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
            f"{source}: the mask of frame {beyond[0]} lies beyond the end: "
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
    with open_source(Path(source), fps=settings.fps) as frames:
        job = prepare(frames, masks, Path(output), settings)
    overwrite = settings.overwrite or settings.resume
    check_refusal(Path(output), overwrite=overwrite, inputs=job.inputs)
    saved = SavedRun(Path(output), job.identity)
    if settings.resume:
        _find_unfinished(_folder(job, settings), saved, job)
    return _resuming(job.plan, saved)


def _folder(job: Job, settings: SegmentSettings) -> OutputFolder:
    return OutputFolder(
        Path(job.plan.output),
        overwrite=settings.overwrite,
        resume=settings.resume,
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
        return replace(report, notes=("this run was complete already; nothing was done",))
    raise OutputError(
        f"{folder.path}: holds results, but no unfinished run to resume",
        hint="pass --overwrite to replace them, or choose another --out",
    )


def _resuming(plan: RunPlan, saved: SavedRun) -> RunPlan:
    return plan if saved.progress is None else replace(plan, resume_at=saved.progress.next_frame)


def _segment(
    source: FrameSource,
    job: Job,
    folder: Path,
    saved: SavedRun,
    settings: SegmentSettings,
    on_frames: OnFrames | None,
) -> SegmentReport:
    plan, clock = job.plan, StageClock()
    segmenter = new_segmenter(job, settings)
    saved.restore(segmenter)
    start = plan.first_frame if saved.progress is None else saved.progress.next_frame
    written: dict[str, Any] = dict(job.record)  # The JSON's writer reads it when it closes.
    if job.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(job.device)
    began = time.perf_counter()
    backward = None
    if plan.backward and saved.progress is None:
        backward = segment_backward(source, job, folder, saved.room, settings, clock, on_frames)
    writers = open_writers(
        folder,
        settings.formats,
        source.info,
        settings=written,
        object_ids=plan.object_ids,
        clock=clock,
        whole=job.frames.is_whole(source.info.frame_count),
    )
    segmented = 0
    waiting_frames = queue_length(settings.inference.interval, _frame_bytes(plan, settings))
    with (
        BackgroundWriter((*writers, saved.open_journal()), waiting_frames) as out,
        prefetch(decode(source, job, clock, settings), waiting_frames) as read_ahead,
    ):
        decoded = UntilUnreadable(read_ahead, strict=settings.strict)
        before = itertools.islice(decoded, start - plan.start)
        if backward is not None:
            early = write_again(before, backward.labels(), out, None)
        elif saved.progress is None:
            early = write_empty(before, plan, out, on_frames)
        else:
            early = write_again(before, saved.labels(plan.source_size), out, on_frames)
        waiting: deque[Frame] = deque()  # Decoded but not segmented: at most L + 1 frames.
        clips = iter_clips(
            keep_frames(decoded, waiting),
            job.references,
            interval=settings.inference.interval,
            start=start,
            continued=saved.progress is not None,
        )
        for clip in clips:
            for prediction in clock.each("model", segmenter.segment_frames(clip)):
                count = _submit(prediction, waiting, out, plan, clock)
                segmented += count
                if on_frames is not None:
                    on_frames(count)
            # Not while the next clip is made: at 480p and L = 25 its frames are 31 MB.
            del clip, prediction
            out.then(saved.saving(segmenter, start + segmented))
        if early + segmented == 0:
            where = f" from {plan.start} on" if plan.start else ""
            raise decoded.error or InputError(
                f"{source.info.path}: holds no frame{where}",
                hint="the video ends before; check --start" if plan.start else None,
            )
        stopped = None if decoded.error is None else decoded.error.message
        warnings = [*source.warnings, *([stopped] if stopped else [])]
        written["warnings"] = warnings
    seconds = time.perf_counter() - began
    cuda = job.device.type == "cuda"
    clock.add(segmenter.stage_seconds)
    model_seconds = clock.seconds["model"]
    frames = early + segmented
    new = frames if saved.progress is None else segmented
    through_model = segmented + (early if backward is not None else 0)
    both_ways = plan.backward and (backward is not None or saved.progress is not None)
    skipped = 0 if both_ways else plan.first_frame - plan.start
    return SegmentReport(
        input=plan.input,
        output=plan.output,
        outputs={name: str(folder / PLACES[name]) for name in settings.formats},
        frames=frames,
        segmented_frames=max(0, frames - skipped),
        object_ids=plan.object_ids,
        source_size=plan.source_size,
        working_size=plan.working_size,
        memory_frames=segmenter.memory_frames,
        resumed_at=None if saved.progress is None else start,
        fps_model=through_model / model_seconds if through_model else 0.0,
        fps_end_to_end=new / seconds,
        peak_memory_mb=peak_resident_mb(),
        peak_device_memory_mb=torch.cuda.max_memory_allocated() / 2**20 if cuda else None,
        seconds={**clock.seconds, "total": seconds},
        settings=job.record,
        versions=package_versions(),
        device=device_name(job.device),
        engine=plan.engine,
        threads=torch.get_num_threads(),
        identity=identity_digest(job.identity),
        notes=(*plan.notes, *writer_notes(writers)),
        warnings=tuple(warnings),
        stopped=stopped,
    )


def _frame_bytes(plan: RunPlan, settings: SegmentSettings) -> int:
    """Return what a frame takes that waits before or after the segmenter, at most."""
    pixels, seen = (height * width for height, width in (plan.source_size, plan.working_size))
    scores = 4 * (len(plan.object_ids) + 1) * seen if "scores" in settings.formats else 0
    # RGB, the picture as decoded (1.5) and int32 labels; as seen, or its masks.
    return (3 + 2 + 4) * pixels + max(3 * seen, scores)


def _submit(
    prediction: ClipPrediction,
    waiting: deque[Frame],
    out: BackgroundWriter,
    plan: RunPlan,
    clock: StageClock,
) -> int:
    """Hand the frames of a clip, which come next in ``waiting``, to the writers; count them."""
    masks = prediction.labels(plan.source_size)
    for t in range(len(prediction)):
        with clock("labels"):
            labels = next(masks).numpy()
        scores = all_channels(prediction, t, plan.object_ids) if out.wants_probs else None
        out.submit(waiting.popleft(), labels, scores)
    return len(prediction)
