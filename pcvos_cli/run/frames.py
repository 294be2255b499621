"""Frames of a run: decoded, then with their masks."""

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from model.errors import InputError
from model.inference.segmenter import ClipSegmenter
from model.ops.frames import resize_frame
from model.ops.timing import StageClock
from model.types import Clip, ClipPrediction
from pcvos_cli.masks.journal import LabelJournal
from pcvos_cli.masks.writers import FrameMasks
from pcvos_cli.run.plan import Job
from pcvos_cli.run.settings import SegmentSettings
from pcvos_cli.video.cuts import HISTORY, CutDetector
from pcvos_cli.video.source import Frame, FrameSource

if TYPE_CHECKING:
    from pcvos_cli.matting.writers import SoftMasks


class Decoded(NamedTuple):
    """A frame of the source, its pixels at the working size, and whether a shot begins with it."""

    frame: Frame
    pixels: NDArray[np.uint8]
    begins_shot: bool = False


_UNSEEN = np.empty((0, 0, 3), np.uint8)


def decode(
    source: FrameSource, job: Job, clock: StageClock, *, seen_from: int = 0
) -> Iterator[Decoded]:
    """Yield a run's frames and what the model sees of them.

    Args:
        source: The video.
        job: The run.
        clock: Charged with the stages.
        seen_from: Frames before this one do not reach the model: most have no ``pixels``.

    Raises:
        InputError: The input cannot be read on; with ``strict``, it is damaged.
    """
    frames = source.frames_from(job.frames.first)
    is_cut = CutDetector() if job.settings.inference.cuts != "ignore" else None
    while True:
        with clock("decode"):
            frame = next(frames, None)
        if job.settings.strict and source.warnings:
            raise InputError(
                f"{source.info.path}: {source.warnings[0]}",
                hint="leave --strict out to keep what decodes",
            )
        if frame is None or frame.index not in job.frames:
            return
        if frame.index < seen_from - HISTORY:
            yield Decoded(frame, _UNSEEN)
            continue
        with clock("resize"):
            pixels = resize_frame(frame.rgb, job.plan.working_size)
        with clock("cuts"):
            begins_shot = is_cut is not None and is_cut(pixels)
        yield Decoded(frame, pixels, begins_shot)


def until_unreadable(decoded: Iterator[Decoded], errors: list[InputError]) -> Iterator[Decoded]:
    """Yield frames up to the one at which the input cannot be read on.

    The frames decoded by then are worth their masks, so the error waits in ``errors`` until they
    are written.
    """
    try:
        yield from decoded
    except InputError as error:
        errors.append(error)


def before_the_model(
    decoded: Iterator[Decoded],
    count: int,
    journal: LabelJournal,
    job: Job,
    soft: "SoftMasks | None" = None,
) -> Iterator[FrameMasks]:
    """Yield the run's first frames, which get their masks without the model.

    Frames in the journal, of an unfinished run or a backward pass, get the labels that they
    had, for the overlay comes into being only as a whole; their scores are files already. The
    others lie before the first reference mask and get an empty one.

    Args:
        decoded: The frames of the run.
        count: How many of them.
        journal: Of the run.
        job: The run.
        soft: The soft masks of the frames in the journal, if the run keeps them.

    Raises:
        OSError: The journal, or a soft mask, cannot be read.
        ValueError: It is damaged.
    """
    plan = job.plan
    empty = np.zeros(plan.source_size, np.int32)
    background = None
    if "scores" in job.settings.formats:
        background = np.zeros((1 + len(plan.object_ids), *plan.working_size), np.float32)
        background[0] = 1
    nothing = np.zeros(plan.working_size, np.uint8) if soft is not None else None
    for frame, *_ in islice(decoded, count):
        if frame.index in journal:
            kept = None if soft is None else soft.read(frame.index)
            labels = journal.labels(frame.index, plan.source_size)
            yield _with_masks(frame, labels, None, kept)
        else:
            yield _with_masks(frame, empty, background, nothing)


def new_segmenter(
    job: Job, clock: StageClock, settings: SegmentSettings | None = None
) -> ClipSegmenter:
    """Return a segmenter without a memory.

    Args:
        job: The run.
        clock: Charged with the segmenter's stages.
        settings: Of the method, where they are not the run's.
    """
    settings = settings or job.settings
    return ClipSegmenter(
        job.model,
        settings.inference,
        device=job.device,
        autocast=torch.float16 if settings.amp else None,
        clock=clock,
    )


def segmented(
    clip: Clip, segmenter: ClipSegmenter, job: Job, clock: StageClock
) -> Iterator[FrameMasks]:
    """Segment a clip of ``Decoded`` frames; yield each as soon as it has its masks."""
    for prediction in clock.each("model", segmenter.segment_frames(clip)):
        maps = prediction.labels(job.plan.source_size)
        for t in range(len(prediction)):
            with clock("labels"):
                labels = next(maps).numpy()
            scores = None
            if "scores" in job.settings.formats:
                scores = _all_channels(prediction, t, job.plan.object_ids)
            soft = None
            if job.settings.makes_soft_masks:
                soft = ((1 - prediction.probs[0, t]) * 255).round().byte().cpu().numpy()
            frame = clip.sources[prediction.start - clip.start + t].frame
            yield _with_masks(frame, labels, scores, soft)


def _with_masks(
    frame: Frame,
    labels: NDArray[np.int32],
    probs: NDArray[np.float32] | None,
    soft: NDArray[np.uint8] | None,
) -> FrameMasks:
    return FrameMasks(frame.index, frame.name, frame.pts, frame.rgb, labels, probs, soft)


def _all_channels(
    prediction: ClipPrediction, t: int, object_ids: tuple[int, ...]
) -> NDArray[np.float32]:
    """Return frame ``t``'s ``(1 + K, h, w)`` for all of the run's ids; 0 before they enter."""
    scores = np.zeros((1 + len(object_ids), *prediction.probs.shape[-2:]), np.float32)
    channels = [0, *(1 + object_ids.index(i) for i in prediction.object_ids)]
    scores[channels] = prediction.probs[:, t].numpy()
    return scores
