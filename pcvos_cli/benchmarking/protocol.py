"""How a benchmark's figures are taken, in words: it is printed above every one."""

from collections.abc import Mapping
from typing import Any

from pcvos_cli.benchmarking.clip import BenchmarkSettings
from pcvos_cli.benchmarking.machine import MATRIX_SIDE, reset_peak_memory
from pcvos_cli.benchmarking.rates import REFERENCE_GFLOPS
from pcvos_cli.run.plan import Job

SCALING = (
    "length: seconds a frame of the clip after the first frame, with a memory filled with near "
    "copies of that frame, median of the repeats; objects: from the speeds; least squares"
)


def clip_name(settings: BenchmarkSettings) -> str:
    """Say which clip is measured."""
    made = "made: textured ellipses that move, the same every time"
    return made if settings.video is None else str(settings.video)


def conditions(
    settings: BenchmarkSettings,
    record: Mapping[str, Any],
    *,
    source_size: tuple[int, int],
    working_size: tuple[int, int],
    engine: str,
) -> dict[str, Any]:
    """Say what ran on the clip.

    Args:
        settings: Of the benchmark.
        record: Settings of the run, as ``Job.record``.
        source_size: ``(height, width)`` of the clip, pixels.
        working_size: The same as the model sees it.
        engine: What ran key encoder and decoder.
    """
    (height, width), (rows, columns) = source_size, working_size
    inference = settings.segment.inference
    return {
        "source_size": f"{width} x {height}",
        "working_size": f"{columns} x {rows}",
        "model": record["model"],
        "weights": record["weights"],
        "weights_sha256": record["weights_sha256"],
        "top_k": inference.top_k,
        "progressive_interval": record["progressive_interval"],
        "max_memory_frames": inference.max_memory_frames,
        "decode_provisional": record["decode_provisional"],
        "drop_strays": record["drop_strays"],
        "half_precision": settings.segment.amp,
        "engine": engine,
    }


def benchmark_protocol(settings: BenchmarkSettings, job: Job, frames: int) -> dict[str, Any]:
    """Say how the figures are taken."""
    return {
        "clip": clip_name(settings),
        "frames": frames,
        **conditions(
            settings,
            job.record,
            source_size=job.plan.source_size,
            working_size=job.plan.working_size,
            engine=job.plan.engine,
        ),
        "repeats": settings.repeats,
        "warm_up": "before the repeats, the first frame and one clip, of each kind of run",
        "model_fps": "all frames by the seconds in ClipSegmenter, fed from memory; CUDA is waited "
        "for at both ends of every stage",
        "end_to_end_fps": "all frames by the seconds from the first frame's decoding to the last "
        f"file's closing ({', '.join(settings.segment.formats)}); weights are loaded, and the "
        "engine is started, before",
        "spread": "median (lowest..highest) of the repeats, of both kinds in turn",
        "peak_memory": "resident size of the process during the model's own first run, the clip's "
        "frames included"
        + ("" if reset_peak_memory(job.device) else "; of the process so far, on this system"),
        **({"scaling": SCALING} if settings.scaling else {}),
        "matmul": f"float32 products of {MATRIX_SIDE} x {MATRIX_SIDE} matrices, in the same run; "
        "of a measurement, right before and after it",
        "floor": "multiply-adds of convolutions and matrix products of the model, counted, "
        "two operations each, at the measurement's rate of matrix products",
        "at_67": f"seconds x GFLOP/s / {REFERENCE_GFLOPS:.0f}",
    }
