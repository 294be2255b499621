"""Measuring the speed of segmenting: the model alone, and end to end.

::

    clip in a file ─> prepare ─> frames in memory ─> ClipSegmenter   (model alone)
                 └──────────────────────────────> segment_video      (end to end)
"""

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.errors import InputError
from model.inference.clips import iter_clips
from model.ops.timing import StageClock
from pcvos_cli.benchmarking.clip import BenchmarkSettings, clips_to_measure
from pcvos_cli.benchmarking.machine import (
    describe_machine,
    peak_device_memory_mb,
    peak_memory_mb,
    reset_peak_memory,
    synchronise,
)
from pcvos_cli.benchmarking.report import BenchmarkReport, Measurement, Spread
from pcvos_cli.run.device import cpu_threads
from pcvos_cli.run.frames import decode, new_segmenter
from pcvos_cli.run.pipeline import segment_video
from pcvos_cli.run.plan import Job, prepare
from pcvos_cli.run.settings import SegmentSettings
from pcvos_cli.video.source import open_source


@dataclass(frozen=True, slots=True)
class ModelRun:
    """The model's seconds, how they divide into stages, and frames in the memory at the end."""

    seconds: float
    stages: dict[str, float]
    memory_frames: int


def run_benchmark(
    settings: BenchmarkSettings, *, on_measurement: Callable[[Measurement], None] = lambda _: None
) -> BenchmarkReport:
    """Measure every clip length with every number of objects.

    Args:
        settings: The clip, clip lengths, numbers of objects and repeats.
        on_measurement: Called with each measurement when it is done.

    Raises:
        ConfigError: A device or a number of objects that cannot be had.
        InputError: The video cannot be read, or has a single frame.
        MaskError: The mask is not one of the video's first frame.
        WeightsError: Weights are missing, corrupt or of another architecture.
        OutputError: There is no room for temporary files.
    """
    measurements: list[Measurement] = []
    with (
        TemporaryDirectory(prefix="pcvos-benchmark-") as folder,
        cpu_threads(settings.segment.threads),
    ):
        for video, mask in clips_to_measure(settings, Path(folder)):
            job, frames = _load_clip(settings, video, mask, Path(folder))
            if not measurements:
                machine = describe_machine(job.device)
                protocol = _protocol(settings, job, len(frames))
            for interval in settings.intervals:
                measured = _measure(settings, job, frames, interval, video, mask)
                measurements.append(measured)
                on_measurement(measured)
    return BenchmarkReport(protocol, machine, tuple(measurements))


def measure_model(
    settings: BenchmarkSettings, choices: Sequence[SegmentSettings]
) -> tuple[list[Spread], dict[str, Any]]:
    """Measure the model alone, with some settings after each other on one clip.

    Args:
        settings: The clip, the repeats, and the weights that all ``choices`` share.
        choices: The settings to measure.

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
        job, frames = _load_clip(settings, video, mask, Path(folder))
        speeds = []
        for chosen in choices:
            warm_up_model(job, frames, chosen)
            runs = [run_model(job, frames, chosen) for _ in range(settings.repeats)]
            speeds.append(Spread.of([len(frames) / run.seconds for run in runs]))
        return speeds, _protocol(settings, job, len(frames))


def with_interval(settings: SegmentSettings, interval: int) -> SegmentSettings:
    """Return the settings with another clip length L."""
    return replace(settings, inference=replace(settings.inference, interval=interval))


def run_model(job: Job, frames: Sequence[NDArray[np.uint8]], settings: SegmentSettings) -> ModelRun:
    """Segment frames from memory; making clips of them is not charged to the model."""
    clock = StageClock(synchronise=True)
    segmenter = new_segmenter(job, clock, settings)
    total = 0.0
    for clip in iter_clips(frames, job.references, interval=settings.inference.interval):
        synchronise(job.device)
        start = time.perf_counter()
        for _ in segmenter.segment_frames(clip):
            pass
        synchronise(job.device)
        total += time.perf_counter() - start
    return ModelRun(total, dict(clock.seconds), segmenter.memory.frames)


def warm_up_model(job: Job, frames: Sequence[NDArray[np.uint8]], settings: SegmentSettings) -> None:
    """Segment the first frame and one clip."""
    run_model(job, frames[: 1 + settings.inference.interval], settings)


def _load_clip(
    settings: BenchmarkSettings, video: Path, mask: Path, folder: Path
) -> tuple[Job, list[NDArray[np.uint8]]]:
    """Prepare a run on a clip and decode its frames into memory."""
    with open_source(video) as source:
        job = prepare(source, [str(mask)], folder / "out", settings.segment)
        decoded = decode(source, job, StageClock())
        frames = [item.pixels for item in itertools.islice(decoded, settings.wanted_frames)]
    if len(frames) < 2:
        raise InputError(f"{video}: a single frame leaves nothing to measure")
    return job, frames


def _measure(
    settings: BenchmarkSettings,
    job: Job,
    frames: Sequence[NDArray[np.uint8]],
    interval: int,
    video: Path,
    mask: Path,
) -> Measurement:
    chosen = with_interval(settings.segment, interval)
    reset_peak_memory(job.device)
    warm_up_model(job, frames, chosen)
    runs = [run_model(job, frames, chosen)]
    peak, on_device = peak_memory_mb(), peak_device_memory_mb(job.device)
    whole = replace(chosen, end=len(frames) - 1, overwrite=True)
    with TemporaryDirectory(prefix="pcvos-benchmark-") as out:
        segment_video(video, [str(mask)], out, replace(whole, end=min(interval, len(frames) - 1)))
        reports = [segment_video(video, [str(mask)], out, whole)]
        for _ in range(settings.repeats - 1):
            # In turn: within a minute the clock of a shared machine changes by a third.
            runs.append(run_model(job, frames, chosen))
            reports.append(segment_video(video, [str(mask)], out, whole))
    count = len(frames)
    return Measurement(
        interval=interval,
        objects=len(job.plan.object_ids),
        frames=count,
        memory_frames=runs[0].memory_frames,
        fps_model=Spread.of([count / run.seconds for run in runs]),
        fps_end_to_end=Spread.of([report.fps_end_to_end for report in reports]),
        peak_memory_mb=peak,
        peak_device_memory_mb=on_device,
        model_stages=_medians([run.stages for run in runs], count),
        end_to_end_stages=_medians([report.seconds for report in reports], count),
    )


def _medians(runs: Sequence[dict[str, float]], frames: int) -> dict[str, float]:
    """Return the median seconds a frame of each stage."""
    return {stage: statistics.median(run[stage] for run in runs) / frames for stage in runs[0]}


def _protocol(settings: BenchmarkSettings, job: Job, frames: int) -> dict[str, Any]:
    """Say how the figures are taken: it is printed above them."""
    (height, width), (rows, columns) = job.plan.source_size, job.plan.working_size
    made = "made: textured ellipses that move, the same every time"
    peak = "resident size of the process during the model's own first run, the clip's frames "
    peak += "included" if reset_peak_memory(job.device) else "included, or of the process so far"
    return {
        "clip": made if settings.video is None else str(settings.video),
        "frames": frames,
        "source_size": f"{width} x {height}",
        "working_size": f"{columns} x {rows}",
        **{name: job.record[name] for name in ("model", "weights", "weights_sha256")},
        "half_precision": settings.segment.amp,
        "engine": job.plan.engine,
        "repeats": settings.repeats,
        "warm_up": "before the repeats, the first frame and one clip, of each kind of run",
        "model_fps": "all frames by the seconds in ClipSegmenter, fed from memory; CUDA is waited "
        "for at both ends of every stage",
        "end_to_end_fps": "all frames by the seconds from the first frame's decoding to the last "
        f"file's closing ({', '.join(settings.segment.formats)}); weights are loaded, and the "
        "engine is started, before",
        "spread": "median (lowest..highest) of the repeats, of both kinds in turn",
        "peak_memory": peak,
    }
