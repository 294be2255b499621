"""How the cost of a frame grows with the memory, without a long video to fill it."""

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from model.inference.clips import iter_clips
from model.inference.segmenter import ClipSegmenter
from model.memory.bank import FrameRecord, MemoryFrame
from model.types import Clip
from pcvos_cli.benchmarking.model_alone import time_clip
from pcvos_cli.benchmarking.trend import Trend
from pcvos_cli.run.backward import new_segmenter
from pcvos_cli.run.plan import Job
from pcvos_cli.run.settings import SegmentSettings

NOISE = 0.01
"""By how much copies differ, over the keys' spread: equal similarities would be searched in
another time than those of a video."""


def measure_growth(
    job: Job,
    frames: Sequence[NDArray[np.uint8]],
    settings: SegmentSettings,
    counts: Sequence[int],
    *,
    repeats: int,
) -> Trend:
    """Measure seconds a frame of a clip of L frames by the number of frames in the memory.

    The clip is followed by more, so its last frame enters the memory. A memory that is
    bounded is bounded above the largest of ``counts``.

    Args:
        job: The run.
        frames: Of the video; used over and over where they are too few.
        settings: L and the method's other settings.
        counts: Frames in the memory, ascending; at least two.
        repeats: Measured runs of each; their median counts.
    """
    inference = settings.inference
    if inference.max_memory_frames is not None:
        bound = max(inference.max_memory_frames, counts[-1] + 1)
        settings = replace(settings, inference=replace(inference, max_memory_frames=bound))
    endless = itertools.islice(itertools.cycle(frames), inference.interval + 2)
    reference, clip, *_ = iter_clips(endless, job.references, interval=inference.interval)
    first = new_segmenter(job, settings)
    first.segment(reference)
    memory = _copies(first.memory_frame(0), counts[-1])
    _time_with(job, settings, first, memory[: counts[0]], clip)  # Warms up.
    seconds: dict[int, list[float]] = {count: [] for count in counts}
    # Alternated, so that a slow moment of the machine does not fall on one of them.
    for _ in range(repeats):
        for count in counts:
            seconds[count].append(_time_with(job, settings, first, memory[:count], clip))
    return Trend.fit(counts, [statistics.median(values) for values in seconds.values()])


def _copies(frame: MemoryFrame, count: int) -> list[MemoryFrame]:
    """Return a memory frame and others that are nearly the same, the first as the reference."""
    generator = torch.Generator().manual_seed(0)
    spread = NOISE * frame.key.std(1, keepdim=True)
    copies = [frame]
    for number in range(1, count):
        noise = torch.randn(frame.key.shape, generator=generator).to(frame.key)
        copies.append(MemoryFrame(frame.key + spread * noise, frame.values, FrameRecord(number)))
    return copies


def _time_with(
    job: Job,
    settings: SegmentSettings,
    first: ClipSegmenter,
    memory: Sequence[MemoryFrame],
    clip: Clip,
) -> float:
    """Return seconds a frame of a clip with this memory."""
    segmenter = new_segmenter(job, settings)
    segmenter.restore(first.object_ids, memory, first.bodies)
    return time_clip(segmenter, clip, job) / len(clip.frames)
