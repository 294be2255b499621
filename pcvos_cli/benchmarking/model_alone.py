"""The model alone: frames in memory, no decoding, no writing."""

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.errors import InputError
from model.inference.clips import iter_clips
from model.inference.segmenter import ClipSegmenter
from model.ops.threads import cpu_threads
from model.ops.timing import StageClock
from model.types import Clip
from pcvos_cli.benchmarking.clip import BenchmarkSettings, clips_to_measure
from pcvos_cli.benchmarking.machine import synchronise
from pcvos_cli.benchmarking.protocol import benchmark_protocol
from pcvos_cli.benchmarking.report import Spread
from pcvos_cli.run.backward import new_segmenter
from pcvos_cli.run.decoding import decode
from pcvos_cli.run.plan import Job, prepare
from pcvos_cli.run.settings import SegmentSettings
from pcvos_cli.video.source import open_source


@dataclass(frozen=True, slots=True)
class ModelRun:
    """The model's seconds, how they divide into stages, and frames in the memory at the end."""

    seconds: float
    stages: dict[str, float]
    memory_frames: int


def run_model(job: Job, frames: Sequence[NDArray[np.uint8]], settings: SegmentSettings) -> ModelRun:
    """Segment frames from memory; making clips of them is not charged to the model."""
    segmenter = new_segmenter(job, settings, synchronise=True)
    clips = iter_clips(frames, job.references, interval=settings.inference.interval)
    total = sum(time_clip(segmenter, clip, job) for clip in clips)
    return ModelRun(total, segmenter.stage_seconds, segmenter.memory_frames)


def warm_up_model(job: Job, frames: Sequence[NDArray[np.uint8]], settings: SegmentSettings) -> None:
    """Segment the first frame and one clip."""
    run_model(job, frames[: 1 + settings.inference.interval], settings)


def time_clip(segmenter: ClipSegmenter, clip: Clip, job: Job) -> float:
    """Segment a clip, and return the seconds until the device has done it."""
    synchronise(job.device)
    start = time.perf_counter()
    for _ in segmenter.segment_frames(clip):
        pass
    synchronise(job.device)
    return time.perf_counter() - start


def measure_model(
    settings: BenchmarkSettings, choices: Sequence[SegmentSettings]
) -> tuple[list[Spread], dict[str, Any]]:
    """Measure the model alone, with some settings after each other on one clip.

    Args:
        settings: The clip, the repeats, and the weights that all ``choices`` share.
        choices: What to measure.

    Returns:
        Frames a second with each of ``choices``, and how they were taken.

    Raises:
        PCVOSError: As ``run_benchmark``.
    """
    with (
        TemporaryDirectory(prefix="pcvos-benchmark-") as folder,
        cpu_threads(settings.segment.threads),
    ):
        video, mask = next(iter(clips_to_measure(settings, Path(folder))))
        job, frames = load_clip(settings, video, mask, Path(folder))
        protocol = benchmark_protocol(settings, job, len(frames))
        speeds = []
        for chosen in choices:
            runs = run_model_repeatedly(settings, job, frames, chosen)
            speeds.append(Spread.of([len(frames) / run.seconds for run in runs]))
    return speeds, protocol


def load_clip(
    settings: BenchmarkSettings, video: Path, mask: Path, folder: Path
) -> tuple[Job, list[NDArray[np.uint8]]]:
    """Prepare a run on a clip and decode its frames into memory."""
    with open_source(video) as source:
        job = prepare(source, [str(mask)], folder / "out", settings.segment)
        decoded = decode(source, job, StageClock(), settings.segment)
        frames = [small for _, small in itertools.islice(decoded, settings.wanted_frames)]
    if len(frames) < 2:
        raise InputError(f"{video}: a single frame leaves nothing to measure")
    return job, frames


def run_model_repeatedly(
    settings: BenchmarkSettings,
    job: Job,
    frames: Sequence[NDArray[np.uint8]],
    chosen: SegmentSettings,
) -> list[ModelRun]:
    """Run the model alone as often as asked for, after a warm-up."""
    warm_up_model(job, frames, chosen)
    return [run_model(job, frames, chosen) for _ in range(settings.repeats)]
