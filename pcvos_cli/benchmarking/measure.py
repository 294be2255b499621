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

from model.errors import ConfigError, MaskError
from model.inference.clips import iter_clips
from model.ops.timing import StageClock
from pcvos_cli.backward import new_segmenter
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
from pcvos_cli.benchmarking.scene import MovingShapes
from pcvos_cli.decoding import decode
from pcvos_cli.masks.output import write_whole
from pcvos_cli.masks.reference import load_references
from pcvos_cli.masks.writers import encode_palette_png
from pcvos_cli.pipeline import segment_video
from pcvos_cli.preparation import Job, prepare
from pcvos_cli.settings import SegmentSettings
from pcvos_cli.video.encoding import write_video
from pcvos_cli.video.source import open_source

DEFAULT_SIZE = 480
"""Short edge of a made clip where the size is left to the source."""


@dataclass(frozen=True, slots=True)
class BenchmarkSettings:
    """What to measure.

    Attributes:
        segment: Size, weights, device, threads, and the method's other settings.
        intervals: L, each measured by itself.
        objects: Numbers of objects; empty for all that the mask has (1 in a made clip).
        variants: Names of ``VARIANTS``.
        frames: Frames of the clip to use; ``None`` for the first one and two clips of the
            largest L.
        repeats: Measured runs of each kind.
        video: The clip; ``None`` makes one.
        mask: The mask of its first frame.
    """

    segment: SegmentSettings
    intervals: tuple[int, ...] = (5, 10, 15, 25)
    objects: tuple[int, ...] = ()
    variants: tuple[str, ...] = ("full",)
    frames: int | None = None
    repeats: int = 3
    video: Path | None = None
    mask: Path | None = None

    def __post_init__(self) -> None:
        """Refuse values that mean nothing.

        Raises:
            ConfigError: Naming the option and the value.
        """
        for name in ("intervals", "objects"):
            if any(value < 1 for value in getattr(self, name)):
                raise ConfigError(f"--{name}: give numbers above 0")
        if not self.intervals or not self.variants:
            raise ConfigError("--intervals and --variants need at least one value")
        unknown = [name for name in self.variants if name not in VARIANTS]
        if unknown:
            raise ConfigError(
                f"--variants {unknown[0]}: no such variant",
                hint=f"choose from {', '.join(VARIANTS)}",
            )
        if self.repeats < 1:
            raise ConfigError(f"--repeats must be at least 1, got {self.repeats}")
        if self.frames is not None and self.frames < 2:
            raise ConfigError(f"--frames must be at least 2, got {self.frames}")
        if (self.video is None) != (self.mask is None):
            raise ConfigError("--video and --mask belong together")

    @property
    def wanted_frames(self) -> int:
        """Frames of the clip, if it is long enough."""
        return self.frames or 1 + 2 * max(self.intervals)


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
    with (
        TemporaryDirectory(prefix="pcvos-benchmark-") as folder,
        _threads(settings.segment.threads),
    ):
        for video, mask in _clips(settings, Path(folder)):
            with open_source(video) as source:
                job = prepare(source, [str(mask)], Path(folder) / "out", settings.segment)
                decoded = decode(source, job, StageClock(), settings.segment)
                frames = [small for _, small in itertools.islice(decoded, settings.wanted_frames)]
            if len(frames) < 2:
                raise ConfigError(f"{video}: a single frame has nothing to measure")
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
    assert machine is not None, "there is at least one number of objects"
    return BenchmarkReport(protocol, machine, tuple(measurements))


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


def _clips(settings: BenchmarkSettings, folder: Path) -> Iterator[tuple[Path, Path]]:
    """Yield a video and the mask of its first frame for each number of objects."""
    if settings.video is None or settings.mask is None:
        height = settings.segment.size or DEFAULT_SIZE
        height += height % 2  # H.264 needs even sizes.
        size = (height, 2 * round(height * 8 / 9))
        for objects in settings.objects or (1,):
            scene = MovingShapes(size, objects)
            video = folder / f"{objects}.mp4"
            write_video(video, scene.frames(settings.wanted_frames), size)
            yield video, _write_mask(folder, scene.labels(0), range(1, objects + 1))
        return
    with open_source(settings.video) as source:
        loaded = load_references([str(settings.mask)], source)
    if len(loaded) != 1 or loaded[0].frame_index != 0:
        raise MaskError(f"{settings.mask}: give one mask, of the video's first frame")
    ids = loaded[0].object_ids
    for objects in settings.objects or (len(ids),):
        if objects > len(ids):
            raise ConfigError(
                f"--objects {objects}: {settings.mask} has {len(ids)}",
                hint="leave --video out to have a clip with as many objects as you like",
            )
        yield settings.video, _write_mask(folder, loaded[0].labels, ids[:objects])


def _write_mask(folder: Path, labels: NDArray[np.int32], ids: Sequence[int]) -> Path:
    """Write the objects' mask with ids from 1 on, since cost does not depend on them."""
    renumbered = np.zeros_like(labels)
    for number, object_id in enumerate(ids, 1):
        renumbered[labels == object_id] = number
    path = folder / f"{len(ids)}.png"
    write_whole(path, encode_palette_png(renumbered))
    return path


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
    """The model's seconds over a clip, and how they divide into stages."""

    seconds: float
    stages: dict[str, float]
    memory_frames: int


def _run_model(
    job: Job, frames: Sequence[NDArray[np.uint8]], settings: SegmentSettings
) -> _ModelRun:
    """Segment frames from memory; making clips of them is not charged to the model."""
    segmenter = new_segmenter(job, settings)
    clips = iter_clips(frames, job.references, interval=settings.inference.interval)
    seconds = 0.0
    for clip in clips:
        synchronise(job.device)
        start = time.perf_counter()
        segmenter.segment(clip)
        synchronise(job.device)
        seconds += time.perf_counter() - start
    return _ModelRun(seconds, segmenter.stage_seconds, segmenter.memory_frames)


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
