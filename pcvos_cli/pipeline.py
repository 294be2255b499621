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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.errors import InputError, MaskError, OutputError
from model.inference.clips import iter_clips
from model.inference.segmenter import ClipSegmenter
from model.ops.timing import StageClock
from model.types import ClipPrediction
from pcvos_cli.masks.formats import PLACES, open_writers, writer_notes
from pcvos_cli.output_folder import REPORT, OutputFolder, check_refusal
from pcvos_cli.preparation import Job, device_name, prepare
from pcvos_cli.run_report import RunPlan, SegmentReport, package_versions, peak_resident_mb
from pcvos_cli.saved_run import SavedRun, identity_digest
from pcvos_cli.settings import SegmentSettings
from pcvos_cli.video.prefetch import BackgroundWriter, prefetch
from pcvos_cli.video.source import Frame, FrameSource, open_source
from pcvos_cli.video.working_size import resize_frame

OnFrames = Callable[[int], None]

READ_AHEAD = 4
"""Decoded frames held ready, and segmented frames waiting to be written."""


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
            a range of frames that is not in the video.
        InputError: The input is missing, unreadable or holds no frame; with ``strict``, it
            is damaged.
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
            OutputFolder(
                Path(output),
                overwrite=settings.overwrite,
                resume=settings.resume,
                inputs=job.inputs,
            ) as folder,
            SavedRun(folder.path, job.identity) as saved,
        ):
            if settings.resume and (whole := _find_unfinished(folder, saved, job)) is not None:
                return whole
            if saved.progress is None:
                saved.begin()
                folder.clear()
            else:
                folder.clear_unfinished()
            if on_start is not None:
                on_start(_resuming(job.plan, saved))
            with _cpu_threads(settings.threads):
                report = _segment(frames, job, folder.path, saved, settings, on_frames)
            report.write(folder.path / REPORT)
            saved.remove()
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
        saved.find()
    return _resuming(job.plan, saved)


def _find_unfinished(folder: OutputFolder, saved: SavedRun, job: Job) -> SegmentReport | None:
    """Look for a state to go on from; return the report of a run that is complete already.

    Raises:
        OutputError: There are results, and neither.
    """
    if saved.find() or not folder.holds_results:
        return None
    report = SegmentReport.read(folder.path / REPORT)
    if report is not None and report.identity == identity_digest(job.identity):
        saved.remove()  # What a kill in its last moment left.
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
    segmenter = ClipSegmenter(
        job.model,
        settings.inference,
        device=job.device,
        autocast=torch.float16 if settings.amp else None,
    )
    saved.restore(segmenter)
    start = plan.first_frame if saved.progress is None else saved.progress.next_frame
    written: dict[str, Any] = dict(job.record)  # The JSON's writer reads it when it closes.
    if job.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(job.device)
    began = time.perf_counter()
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
    with (
        BackgroundWriter((*writers, saved.open_journal()), READ_AHEAD) as out,
        prefetch(_decode(source, job, clock, settings), READ_AHEAD) as decoded,
    ):
        before = itertools.islice(decoded, start - plan.start)
        if saved.progress is None:
            early = _write_empty(before, plan, out, on_frames)
        else:
            early = _write_again(before, saved.labels(plan.source_size), out, on_frames)
        waiting: deque[Frame] = deque()  # Decoded but not segmented: at most L + 1 frames.
        clips = iter_clips(
            _keep_frames(decoded, waiting),
            job.references,
            interval=settings.inference.interval,
            start=start,
            continued=saved.progress is not None,
        )
        for clip in clips:
            with clock("model"):
                prediction = segmenter.segment(clip)
            masks = prediction.labels(plan.source_size)
            for t in range(len(prediction)):
                with clock("labels"):
                    labels = next(masks).numpy()
                scores = _all_channels(prediction, t, plan) if out.wants_probs else None
                out.submit(waiting.popleft(), labels, scores)
            segmented += len(prediction)
            out.then(saved.saving(segmenter, start + segmented))
            if on_frames is not None:
                on_frames(len(prediction))
        if early + segmented == 0:
            where = f" from {plan.start} on" if plan.start else ""
            raise InputError(f"{source.info.path}: holds no frame{where}")
        written["warnings"] = list(source.warnings)
    seconds = time.perf_counter() - began
    cuda = job.device.type == "cuda"
    model_seconds = clock.seconds["model"]
    frames = early + segmented
    new = frames if saved.progress is None else segmented
    return SegmentReport(
        input=plan.input,
        output=plan.output,
        outputs={name: str(folder / PLACES[name]) for name in settings.formats},
        frames=frames,
        segmented_frames=max(0, frames - (plan.first_frame - plan.start)),
        object_ids=plan.object_ids,
        source_size=plan.source_size,
        working_size=plan.working_size,
        memory_frames=segmenter.memory_frames,
        resumed_at=None if saved.progress is None else start,
        fps_model=segmented / model_seconds if segmented else 0.0,
        fps_end_to_end=new / seconds,
        peak_memory_mb=peak_resident_mb(),
        peak_device_memory_mb=torch.cuda.max_memory_allocated() / 2**20 if cuda else None,
        seconds={**segmenter.stage_seconds, **clock.seconds, "total": seconds},
        settings=job.record,
        versions=package_versions(),
        device=device_name(job.device),
        threads=torch.get_num_threads(),
        identity=identity_digest(job.identity),
        notes=(*plan.notes, *writer_notes(writers)),
        warnings=tuple(source.warnings),
    )


Decoded = tuple[Frame, NDArray[np.uint8]]
"""A frame of the source, and its pixels at the working size."""


def _decode(
    source: FrameSource, job: Job, clock: StageClock, settings: SegmentSettings
) -> Iterator[Decoded]:
    """Yield frames and what the model sees of them; with ``strict``, end at any damage."""
    frames = source.frames_from(job.frames.first)
    while True:
        with clock("decode"):
            frame = next(frames, None)
        if settings.strict and source.warnings:
            raise InputError(
                f"{source.info.path}: {source.warnings[0]}",
                hint="leave --strict out to keep what decodes",
            )
        if frame is None or frame.index not in job.frames:
            return
        with clock("resize"):
            small = resize_frame(frame.rgb, job.plan.working_size)
        yield frame, small


def _keep_frames(decoded: Iterator[Decoded], waiting: deque[Frame]) -> Iterator[NDArray[np.uint8]]:
    """Yield pixels at the working size; the frames they belong to wait for their masks."""
    for frame, small in decoded:
        waiting.append(frame)
        yield small


def _write_empty(
    decoded: Iterator[Decoded], plan: RunPlan, out: BackgroundWriter, on_frames: OnFrames | None
) -> int:
    """Give frames before the first reference mask an empty one; return how many there were."""
    labels = np.zeros(plan.source_size, np.int32)
    scores = np.zeros((1 + len(plan.object_ids), *plan.working_size), np.float32)
    scores[0] = 1
    count = 0
    for frame, _ in decoded:
        out.submit(frame, labels, scores if out.wants_probs else None)
        count += 1
        if on_frames is not None:
            on_frames(1)
    return count


def _write_again(
    decoded: Iterator[Decoded],
    finished: Iterator[NDArray[np.int32]],
    out: BackgroundWriter,
    on_frames: OnFrames | None,
) -> int:
    """Give frames that an unfinished run finished the masks it gave them; return their number.

    Their scores are files already; the overlay and the JSON come into being only as a whole.
    """
    count = 0
    for (frame, _), labels in zip(decoded, finished, strict=True):
        out.submit(frame, labels, None)
        count += 1
        if on_frames is not None:
            on_frames(1)
    return count


def _all_channels(prediction: ClipPrediction, t: int, plan: RunPlan) -> NDArray[np.float32]:
    """Return frame ``t``'s ``(1 + K, h, w)`` for all of the run's ids; 0 before they enter."""
    scores = np.zeros((1 + len(plan.object_ids), *plan.working_size), np.float32)
    channels = [0, *(1 + plan.object_ids.index(i) for i in prediction.object_ids)]
    scores[channels] = prediction.probs[:, t].numpy()
    return scores


@contextmanager
def _cpu_threads(count: int | None) -> Iterator[None]:
    """Let torch use ``count`` threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
