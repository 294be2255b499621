"""Measuring the speed of segmenting: the model alone, and end to end.

::

    clip in a file ─> prepare ─> frames in memory ─> ClipSegmenter   (model alone)
                 └──────────────────────────────> segment_video      (end to end)
"""

import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.errors import ConfigError, InputError
from model.inference.clips import iter_clips
from model.ops.timing import StageClock
from pcvos_cli.backward import new_segmenter
from pcvos_cli.benchmarking.clip import BenchmarkSettings, clips_to_measure
from pcvos_cli.benchmarking.machine import (
    MATRIX_SIDE,
    describe_machine,
    peak_device_memory_mb,
    peak_memory_mb,
    reset_peak_memory,
    synchronise,
)
from pcvos_cli.benchmarking.report import (
    SWITCHED,
    VARIANTS,
    BenchmarkReport,
    Machine,
    Measurement,
    Spread,
    Variant,
)
from pcvos_cli.benchmarking.trend import Scaling, Trend
from pcvos_cli.decoding import decode
from pcvos_cli.pipeline import segment_video
from pcvos_cli.preparation import Job, prepare
from pcvos_cli.settings import SegmentSettings
from pcvos_cli.video.source import open_source

SCALING = (
    "length: seconds a frame of each clip of a video that is the frames over and over, median of "
    "the repeats; objects: from the speeds; least squares"
)

SCALING_CLIPS = 16
"""Clips over which the memory grows when cost is measured by length."""


def run_benchmark(
    settings: BenchmarkSettings, *, on_measurement: Callable[[Measurement], None] = lambda _: None
) -> BenchmarkReport:
    """Measure every variant at every clip length with every number of objects.

    Args:
        settings: What to measure.
        on_measurement: Called with each measurement when it is done.

    Raises:
        ConfigError: A device, a variant or a number of objects that cannot be had.
        InputError: The video cannot be read, or has a single frame.
        MaskError: The mask is not one of the video's first frame.
        WeightsError: Weights are missing, corrupt or of another architecture.
        OutputError: There is no room for temporary files.
    """
    measurements: list[Measurement] = []
    protocol: dict[str, Any] = {}
    machine: Machine | None = None
    length: Trend | None = None
    with (
        TemporaryDirectory(prefix="pcvos-benchmark-") as folder,
        _threads(settings.segment.threads),
    ):
        for video, mask in clips_to_measure(settings, Path(folder)):
            with open_source(video) as source:
                job = prepare(source, [str(mask)], Path(folder) / "out", settings.segment)
                decoded = decode(source, job, StageClock(), settings.segment)
                frames = [small for _, small in itertools.islice(decoded, settings.wanted_frames)]
            if len(frames) < 2:
                raise InputError(f"{video}: a single frame leaves nothing to measure")
            if machine is None:
                _check_variants(settings.variants, job)
                machine = describe_machine(job.device)
                protocol = _protocol(settings, job, len(frames))
            for name in settings.variants:
                for interval in settings.intervals:
                    measured = _measure(
                        settings, job, frames, VARIANTS[name], interval, video, mask
                    )
                    measurements.append(measured)
                    on_measurement(measured)
            if settings.scaling and length is None:
                length = _measure_length(settings, job, frames)
    assert machine is not None, "there is at least one number of objects"
    scaling = None if length is None else _scaling(length, measurements)
    return BenchmarkReport(protocol, machine, tuple(measurements), scaling)


def variant_settings(settings: SegmentSettings, variant: Variant, interval: int) -> SegmentSettings:
    """Return the settings that switch a variant's parts."""
    full = settings.inference
    inference = replace(
        full,
        interval=interval,
        refinement=variant.refinement,
        progressive_interval=full.progressive_interval if variant.progressive else None,
    )
    return replace(settings, inference=inference)


def _measure(
    settings: BenchmarkSettings,
    job: Job,
    frames: Sequence[NDArray[np.uint8]],
    variant: Variant,
    interval: int,
    video: Path,
    mask: Path,
) -> Measurement:
    chosen = variant_settings(settings.segment, variant, interval)
    reset_peak_memory(job.device)
    _run_model(job, frames[: 1 + interval], chosen)  # warm-up
    runs = [_run_model(job, frames, chosen) for _ in range(settings.repeats)]
    peak, on_device = peak_memory_mb(), peak_device_memory_mb(job.device)
    whole = replace(chosen, end=len(frames) - 1, overwrite=True)
    with TemporaryDirectory(prefix="pcvos-benchmark-") as out:
        segment_video(video, [str(mask)], out, replace(whole, end=min(interval, len(frames) - 1)))
        reports = [segment_video(video, [str(mask)], out, whole) for _ in range(settings.repeats)]
    count = len(frames)
    return Measurement(
        variant=variant.name,
        mark=_mark(variant, job),
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


@dataclass(frozen=True, slots=True)
class _ModelRun:
    """The model's seconds, how they divide into stages, and frames in the memory at the end.

    ``clips`` has, for each clip of L frames, the frames in the memory and seconds a frame.
    """

    seconds: float
    stages: dict[str, float]
    memory_frames: int
    clips: list[tuple[int, float]]


def _run_model(
    job: Job, frames: Sequence[NDArray[np.uint8]], settings: SegmentSettings
) -> _ModelRun:
    """Segment frames from memory; making clips of them is not charged to the model."""
    segmenter = new_segmenter(job, settings)
    clips = iter_clips(frames, job.references, interval=settings.inference.interval)
    total = 0.0
    by_clip = []
    for clip in clips:
        memory_frames = segmenter.memory_frames
        synchronise(job.device)
        start = time.perf_counter()
        segmenter.segment(clip)
        synchronise(job.device)
        seconds = time.perf_counter() - start
        total += seconds
        if memory_frames and clip.due:
            by_clip.append((memory_frames, seconds / clip.frames.shape[0]))
    return _ModelRun(total, segmenter.stage_seconds, segmenter.memory_frames, by_clip)


def _measure_length(
    settings: BenchmarkSettings, job: Job, frames: Sequence[NDArray[np.uint8]]
) -> Trend:
    """Measure clip after clip of a long video, which is the frames over and over."""
    interval = settings.intervals[0]
    chosen = variant_settings(settings.segment, VARIANTS[settings.variants[0]], interval)
    # One clip more than counts: the last one adds nothing to the memory.
    count = 1 + interval * (SCALING_CLIPS + 1)
    endless = list(itertools.islice(itertools.cycle(frames), count))
    runs = [_run_model(job, endless, chosen).clips[:-1] for _ in range(settings.repeats)]
    counts = [memory_frames for memory_frames, _ in runs[0]]
    medians = [statistics.median(run[i][1] for run in runs) for i in range(len(counts))]
    return Trend.fit(counts, medians)


def _scaling(length: Trend, measurements: Sequence[Measurement]) -> Scaling:
    """Put the fits together; that by objects uses what was measured already."""
    first = measurements[0]
    same = [m for m in measurements if (m.variant, m.interval) == (first.variant, first.interval)]
    by_objects = None
    if len(same) > 1:
        by_objects = Trend.fit([m.objects for m in same], [1 / m.fps_model.median for m in same])
    return Scaling(first.variant, first.interval, first.objects, length, by_objects)


def _medians(runs: Sequence[dict[str, float]], frames: int) -> dict[str, float]:
    """Return the median seconds a frame of each stage."""
    return {stage: statistics.median(run[stage] for run in runs) / frames for stage in runs[0]}


def _check_variants(names: Sequence[str], job: Job) -> None:
    """Refuse to switch off what the model does not have."""
    for name in names:
        if not VARIANTS[name].refinement and job.model.config.refinement is None:
            raise ConfigError(
                f"--variants {name}: {job.model.config.name} has no refinement to switch off",
                hint="no-progressive switches off its progressive matching",
            )


def _mark(variant: Variant, job: Job) -> str:
    if variant.name == "full":
        return ""
    # A model without refinement is the paper's baseline once it matches in parallel.
    return SWITCHED if job.model.config.refinement is not None else "test-time switch"


def _protocol(settings: BenchmarkSettings, job: Job, frames: int) -> dict[str, Any]:
    """Say how the figures are taken."""
    (height, width), (rows, columns) = job.plan.source_size, job.plan.working_size
    made = "made: textured ellipses that move, the same every time"
    inference = settings.segment.inference
    return {
        "clip": made if settings.video is None else str(settings.video),
        "frames": frames,
        "source_size": f"{width} x {height}",
        "working_size": f"{columns} x {rows}",
        "model": job.record["model"],
        "weights": job.record["weights"],
        "weights_sha256": job.record["weights_sha256"],
        "top_k": inference.top_k,
        "progressive_interval": inference.progressive_interval,
        "half_precision": settings.segment.amp,
        "repeats": settings.repeats,
        "warm_up": "before the repeats, the first frame and one clip, of each kind of run",
        "model_fps": "all frames by the seconds in ClipSegmenter, fed from memory; CUDA is waited "
        "for at both ends of every stage",
        "end_to_end_fps": "all frames by the seconds from the first frame's decoding to the last "
        f"file's closing ({', '.join(settings.segment.formats)}); weights are loaded before",
        "spread": "median (lowest..highest) of the repeats",
        "peak_memory": "resident size of the process during the model's own runs, the clip's "
        "frames included"
        + ("" if reset_peak_memory(job.device) else "; of the process so far, on this system"),
        **({"scaling": SCALING} if settings.scaling else {}),
        "matmul": f"float32 products of {MATRIX_SIDE} x {MATRIX_SIDE} matrices, in the same run",
    }


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Let torch use ``count`` threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
