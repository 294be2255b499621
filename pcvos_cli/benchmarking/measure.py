"""Measuring the speed of segmenting: the model alone, and end to end.

::

    clip in a file ─> prepare ─> frames in memory ─> ClipSegmenter   (model alone)
                 └──────────────────────────────> segment_video      (end to end)
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.errors import ConfigError
from model.ops.threads import cpu_threads
from pcvos_cli.benchmarking.clip import BenchmarkSettings, clips_to_measure
from pcvos_cli.benchmarking.floor import count_multiply_adds
from pcvos_cli.benchmarking.growth import measure_growth
from pcvos_cli.benchmarking.machine import (
    describe_machine,
    matmul_rates,
    peak_device_memory_mb,
    peak_memory_mb,
    reset_peak_memory,
)
from pcvos_cli.benchmarking.model_alone import load_clip, run_model, warm_up_model
from pcvos_cli.benchmarking.protocol import benchmark_protocol
from pcvos_cli.benchmarking.rates import Floor
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
from pcvos_cli.run.pipeline import segment_video
from pcvos_cli.run.plan import Job
from pcvos_cli.run.settings import SegmentSettings


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
        cpu_threads(settings.segment.threads),
    ):
        for video, mask in clips_to_measure(settings, Path(folder)):
            job, frames = load_clip(settings, video, mask, Path(folder))
            if machine is None:
                _check_variants(settings.variants, job)
                machine = describe_machine(job.device)
                protocol = benchmark_protocol(settings, job, len(frames))
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
        progressive=variant.progressive,
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
    rates = matmul_rates(job.device)
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
    rates += matmul_rates(job.device)
    count = len(frames)
    objects = len(job.plan.object_ids)
    fps_model = Spread.of([count / run.seconds for run in runs])
    stages = _medians([run.stages for run in runs], count)
    multiply_adds = count_multiply_adds(
        job.model.config, chosen.inference, job.plan.working_size, objects=objects, frames=count
    )
    speed = Spread.of(rates)
    return Measurement(
        variant=variant.name,
        mark=_mark(variant, job),
        interval=interval,
        objects=objects,
        frames=count,
        memory_frames=runs[0].memory_frames,
        fps_model=fps_model,
        fps_end_to_end=Spread.of([report.fps_end_to_end for report in reports]),
        peak_memory_mb=peak,
        peak_device_memory_mb=on_device,
        model_stages=stages,
        end_to_end_stages=_medians([report.seconds for report in reports], count),
        matmul_gflops=speed,
        floor=Floor.of(
            multiply_adds, gflops=speed.median, stages=stages, total=1 / fps_model.median
        ),
    )


def _measure_length(
    settings: BenchmarkSettings, job: Job, frames: Sequence[NDArray[np.uint8]]
) -> Trend:
    """Measure how cost grows with the memory, at the smallest L."""
    interval = settings.intervals[0]
    chosen = variant_settings(settings.segment, VARIANTS[settings.variants[0]], interval)
    return measure_growth(job, frames, chosen, settings.scaling_frames, repeats=settings.repeats)


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
    return SWITCHED if job.model.config.refines else "test-time switch"
