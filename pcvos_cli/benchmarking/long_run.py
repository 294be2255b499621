"""A long video through ``pcvos segment`` in a process of its own, watched from outside.

::

    clip ─> to and fro ─> long video ─> pcvos segment ─> masks, one by one
                                             └─ resident size, 10 times a second

What is watched is what users run, from its first import on; this process's own memory, of
torch and of the clip, does not count.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.errors import ConfigError, InputError, PCVOSError
from model.ops.threads import cpu_threads
from pcvos_cli.benchmarking.clip import BenchmarkSettings, clips_to_measure
from pcvos_cli.benchmarking.long_report import STRETCH, LongReport, Stretch
from pcvos_cli.benchmarking.machine import describe_machine, matmul_rates
from pcvos_cli.benchmarking.protocol import clip_name, conditions
from pcvos_cli.benchmarking.rates import REFERENCE_GFLOPS
from pcvos_cli.files import write_whole
from pcvos_cli.masks.writers import encode_palette_png
from pcvos_cli.run.formats import PLACES
from pcvos_cli.run.output_folder import REPORT
from pcvos_cli.run.plan import choose_device
from pcvos_cli.run.references import load_references
from pcvos_cli.run.report import SegmentReport
from pcvos_cli.run.settings import SegmentSettings
from pcvos_cli.video.encoding import write_video
from pcvos_cli.video.source import open_source

POLL_SECONDS = 0.1


class LongRunError(PCVOSError):
    """The process that was watched failed; the exit code is its own."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc] # One of the documented ones.


@dataclass(slots=True)
class Watched:
    """What was seen of a process.

    Attributes:
        done: For each mask, in order, the second at which it was there.
        resident: ``(masks so far, MB)`` at every look until the report was there.
        run_peak_mb: Largest resident size until then.
        peak_mb: That of the whole life. It is larger: when Python ends, torch's libraries are
            paged in once more to be closed (130 MB, all of it of files).
    """

    done: list[float] = field(default_factory=list)
    resident: list[tuple[int, float]] = field(default_factory=list)
    run_peak_mb: float = 0.0
    peak_mb: float = 0.0


def run_long(
    settings: BenchmarkSettings, frames: int, *, on_frames: Callable[[int], None] = lambda _: None
) -> LongReport:
    """Segment a long video: the clip forwards and backwards until there are enough frames.

    Args:
        settings: The clip, one L, at most one number of objects, and the method's settings.
        frames: Of the long video; at least 2.
        on_frames: Called with the number of further frames that have their masks.

    Raises:
        ConfigError: More than one L or number of objects, or settings that ``segment`` has
            no option for.
        PCVOSError: As ``clips_to_measure``; or ``segment`` failed.
    """
    if len(settings.intervals) > 1 or len(settings.objects) > 1 or settings.variants != ("full",):
        raise ConfigError(
            "--long is one run: give it one of --intervals and at most one of --objects",
            hint="such as --long 2000 --intervals 10",
        )
    if frames < 2:
        raise ConfigError(f"--long must be at least 2, got {frames}")
    device = choose_device(settings.segment.device, amp=settings.segment.amp)
    with TemporaryDirectory(prefix="pcvos-benchmark-") as name:
        folder = Path(name)
        video, mask = next(iter(clips_to_measure(settings, folder)))
        video, mask, pictures = write_long_video(video, mask, folder, frames, settings)
        out = folder / "out"
        command = segment_command(video, mask, out, settings.segment, settings.intervals[0])
        with cpu_threads(settings.segment.threads):
            rates = matmul_rates(device)
            watched = watch(command, out / PLACES["png"], out / REPORT, frames, on_frames)
            rates += matmul_rates(device)
            machine = describe_machine(device, rates=rates)
        report = SegmentReport.read(out / REPORT)
    if report is None:
        raise InputError("pcvos segment left no report")
    return LongReport(
        protocol=_protocol(settings, report, pictures),
        machine=machine,
        interval=settings.intervals[0],
        frames=report.frames,
        objects=len(report.object_ids),
        memory_frames=report.memory_frames,
        run_peak_mb=watched.run_peak_mb or report.peak_memory_mb,
        peak_mb=watched.peak_mb or report.peak_memory_mb,
        fps_end_to_end=report.fps_end_to_end,
        stretches=tuple(stretches(watched)),
    )


def to_and_fro(count: int, length: int) -> Iterator[int]:
    """Yield ``length`` indices: 0 to count - 1, back to 1, and again."""
    return islice(cycle([*range(count), *range(count - 2, 0, -1)]), length)


def write_long_video(
    video: Path, mask: Path, folder: Path, frames: int, settings: BenchmarkSettings
) -> tuple[Path, Path, int]:
    """Write a clip forwards and backwards.

    Args:
        video: The clip.
        mask: Of its first frame.
        folder: For the video and its mask, which are cropped to even sizes.
        frames: To write.
        settings: Say how much of the clip to use.

    Returns:
        The video, its mask, and the frames of the clip that were used.

    Raises:
        InputError: The clip has a single frame.
        OutputError: The video cannot be written.
    """
    with open_source(video) as source:
        labels = load_references([str(mask)], source)[0].labels
        height, width = (side - side % 2 for side in labels.shape)
        pictures: list[NDArray[np.uint8]] = [
            frame.rgb[:height, :width] for frame in islice(source, settings.wanted_frames)
        ]
    if len(pictures) < 2:
        raise InputError(f"{video}: a single frame leaves nothing to measure")
    path, reference = folder / "long.mp4", folder / "long.png"
    order = to_and_fro(len(pictures), frames)
    write_video(path, (pictures[index] for index in order), (height, width))
    write_whole(reference, encode_palette_png(labels[:height, :width]))
    return path, reference, len(pictures)


def segment_command(
    video: Path, mask: Path, out: Path, settings: SegmentSettings, interval: int
) -> list[str]:
    """Return the command that segments a video with these settings."""
    inference = settings.inference
    options: dict[str, Any] = {
        "mask": mask,
        "out": out,
        "format": ",".join(settings.formats),
        "interval": interval,
        "top-k": inference.top_k or "all",
        "progressive-interval": inference.progressive_interval,
        "max-memory-frames": inference.max_memory_frames or "all",
        "size": settings.size or "native",
        "weights": settings.weights,
        "model": settings.model,
        "device": settings.device,
        "engine": settings.engine,
        "threads": settings.threads,
    }
    given = [f"--{name}={value}" for name, value in options.items() if value is not None]
    given += ["--amp"] * settings.amp
    given += ["--no-progressive"] * (not inference.progressive)
    given += ["--no-refinement"] * (not inference.refinement)
    if inference.decode_provisional is not None:
        given.append(
            "--decode-provisional" if inference.decode_provisional else "--read-provisional"
        )
    if inference.drop_strays is not None:
        given.append("--drop-strays" if inference.drop_strays else "--keep-strays")
    return [sys.executable, "-m", "pcvos_cli", "segment", str(video), *given, "--quiet"]


def watch(
    command: Sequence[str],
    masks: Path,
    report: Path,
    frames: int,
    on_frames: Callable[[int], None] = lambda _: None,
) -> Watched:
    """Run a command; look at its memory, and at which masks there are, until it ends.

    Args:
        command: What writes the masks.
        masks: The folder in which they appear, ``00000.png`` and so on, in order.
        report: The file that is written when all else is done.
        frames: How many masks there will be.
        on_frames: Called with the number of masks that are new.

    Raises:
        LongRunError: If the command fails.
    """
    seen = Watched()
    with TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        try:
            running = True
            while running:
                time.sleep(POLL_SECONDS)
                # Before the last look, so that nothing is missed after it.
                running = process.poll() is None
                new = _count_masks(seen, masks, frames)
                if new:
                    on_frames(new)
                _look(seen, process.pid, working=not report.exists())
        finally:
            process.terminate()
            process.wait()
        said.seek(0)
        words = said.read().strip()
    if process.returncode:
        raise LongRunError(f"pcvos segment failed: {words}", max(1, process.returncode))
    return seen


def _count_masks(seen: Watched, masks: Path, frames: int) -> int:
    """Note which masks are there now; return how many of them are new."""
    before, now = len(seen.done), time.perf_counter()
    for index in range(before, frames):
        if not (masks / f"{index:05d}.png").exists():
            break
        seen.done.append(now)
    return len(seen.done) - before


def _look(seen: Watched, pid: int, *, working: bool) -> None:
    """Note the resident size, and where ``working`` that it is of the run itself."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:  # It has ended, or this is no Linux.
        return
    values = {line.partition(":")[0]: line.split()[1:2] for line in status.splitlines()}
    if not values.get("VmRSS"):  # A process that has ended and was not waited for has none.
        return
    seen.peak_mb = int(values["VmHWM"][0]) / 2**10
    if working:
        seen.run_peak_mb = seen.peak_mb
        seen.resident.append((len(seen.done), int(values["VmRSS"][0]) / 2**10))


def stretches(seen: Watched) -> Iterator[Stretch]:
    """Divide what was watched into stretches of ``STRETCH`` frames, the last one shorter.

    What there is before the first mask (imports, weights, the engine's start) belongs to no
    stretch. A mask is counted when it is seen, so short stretches are exact to a clip only.
    """
    for first in count(0, STRETCH):
        last = min(first + STRETCH, len(seen.done)) - 1
        if last < first:
            return
        begin = max(0, first - 1)
        seconds = (seen.done[last] - seen.done[begin]) / max(1, last - begin)
        sizes = [mb for masks, mb in seen.resident if first < masks <= last + 1]
        yield Stretch(first, last, seconds, max(sizes, default=0.0))


def _protocol(settings: BenchmarkSettings, report: SegmentReport, pictures: int) -> dict[str, Any]:
    """Say how the figures are taken."""
    return {
        "clip": clip_name(settings),
        "loop": f"{pictures} frames of the clip, forwards and backwards",
        **conditions(
            settings,
            report.settings,
            source_size=report.source_size,
            working_size=report.working_size,
            engine=report.engine,
        ),
        "outputs": ", ".join(settings.segment.formats),
        "run": "pcvos segment in a process of its own, once",
        "seconds": f"from mask to mask, over {STRETCH} frames",
        "resident": f"VmRSS of the process every {POLL_SECONDS} s, the largest of the stretch; "
        "the peaks are VmHWM, until the report was written and until the process had ended",
        "matmul": "float32 products of 2048 x 2048 matrices, before and after the run",
        "at_67": f"seconds x GFLOP/s / {REFERENCE_GFLOPS:.0f}",
    }
