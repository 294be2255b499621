"""Watch ``pcvos segment`` along a long video: seconds a frame, memory, and J.

    python docs/lab/long_video.py CLIP FIRST_MASK.png --frames 2000 --json long.json
    python docs/lab/long_video.py DAVIS/JPEGImages/480p/dog DAVIS/Annotations/480p/dog/00000.png \
        --truth DAVIS/Annotations/480p/dog --frames 400 --options="--max-memory-frames 5"

The clip is played forwards and backwards until there are enough frames, so every frame of a clip
with true masks has one. The command runs in a process of its own whose resident size is read ten
times a second: this process's memory does not count.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count, cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from model.metrics.region import region_similarity
from pcvos_cli.video.encoding import write_video
from pcvos_cli.video.source import open_source

STRETCH = 100
"""Frames over which seconds are averaged."""

POLL_SECONDS = 0.1


@dataclass(slots=True)
class Watched:
    """Course of a process.

    Attributes:
        done: For each mask, in order, the second at which it was there.
        resident: ``(masks so far, MB)`` at every look until the report was there. Later looks do
            not count: when Python ends, torch's libraries are paged in once more to be closed.
        peak_mb: Largest resident size until then.
    """

    done: list[float] = field(default_factory=list)
    resident: list[tuple[int, float]] = field(default_factory=list)
    peak_mb: float = 0.0


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive frames, both ends included: seconds a frame, largest resident size, mean J."""

    first: int
    last: int
    seconds: float
    resident_mb: float
    j: float | None = None


def to_and_fro(count: int, length: int) -> list[int]:
    """Return ``length`` indices: 0 to count - 1, back to 1, and again."""
    return list(islice(cycle([*range(count), *range(count - 2, 0, -1)]), length))


def write_long_video(clip: Path, mask: Path, folder: Path, order_length: int) -> tuple[Path, int]:
    """Write the clip forwards and backwards as ``long.mp4``, its mask as ``long.png``.

    Both are cropped to even sizes, which H.264 needs.

    Returns:
        The video, and the number of frames of the clip.
    """
    with open_source(clip) as source:
        pictures = [frame.rgb for frame in source]
    height, width = (side - side % 2 for side in pictures[0].shape[:2])
    with Image.open(mask) as image:
        image.crop((0, 0, width, height)).save(folder / "long.png")
    order = to_and_fro(len(pictures), order_length)
    video = folder / "long.mp4"
    write_video(video, (pictures[i][:height, :width] for i in order), (height, width))
    return video, len(pictures)


def watch(command: Sequence[str], masks: Path, report: Path, frames: int) -> Watched:
    """Run a command; look at its memory and its masks until it ends.

    Args:
        command: Writes the masks.
        masks: The folder in which they appear, ``00000.png`` and so on, in order.
        report: The file that is written when all else is done.
        frames: Number of masks.

    Raises:
        CalledProcessError: If the command fails.
    """
    seen = Watched()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        while process.poll() is None:
            time.sleep(POLL_SECONDS)
            working = not report.exists()
            _count_masks(seen, masks, frames)
            if working:
                _look(seen, process.pid)
        _count_masks(seen, masks, frames)
    finally:
        process.terminate()
        process.wait()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return seen


def _count_masks(seen: Watched, masks: Path, frames: int) -> None:
    now = time.perf_counter()
    for index in range(len(seen.done), frames):
        if not (masks / f"{index:05d}.png").exists():
            return
        seen.done.append(now)


def _look(seen: Watched, pid: int) -> None:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:  # The process has ended, or this is no Linux.
        return
    values = {line.partition(":")[0]: line.split()[1:2] for line in status.splitlines()}
    if values.get("VmRSS"):  # A process that has ended and was not waited for has none.
        seen.peak_mb = int(values["VmHWM"][0]) / 2**10
        seen.resident.append((len(seen.done), int(values["VmRSS"][0]) / 2**10))


def stretches(seen: Watched, scores: Sequence[float] = ()) -> Iterator[Stretch]:
    """Divide the course into stretches of ``STRETCH`` frames, the last one shorter.

    The time before the first mask (imports, weights, the engine's start) belongs to no stretch.
    A mask is counted when it is seen, so short stretches are exact to a clip only.
    """
    for first in count(0, STRETCH):
        last = min(first + STRETCH, len(seen.done)) - 1
        if last < first:
            return
        begin = max(0, first - 1)
        seconds = (seen.done[last] - seen.done[begin]) / max(1, last - begin)
        sizes = [mb for masks, mb in seen.resident if first < masks <= last + 1]
        part = scores[first : last + 1]
        j = float(np.mean(part)) if part else None
        yield Stretch(first, last, seconds, max(sizes, default=0.0), j)


def score(masks: Path, truth: Path, clip_frames: int, frames: int) -> list[float]:
    """Return J of each frame: all objects together against those of the true mask."""
    true = [np.array(Image.open(path)) > 0 for path in sorted(truth.glob("*.png"))]
    scores = []
    for index, shown in enumerate(to_and_fro(clip_frames, frames)):
        predicted = np.array(Image.open(masks / f"{index:05d}.png")) > 0
        height, width = predicted.shape
        scores.append(region_similarity(predicted, true[shown][:height, :width]))
    return scores


def main() -> None:
    """Watch one run and print its stretches."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path, help="video, or folder of images")
    parser.add_argument("mask", type=Path, help="mask of its first frame")
    parser.add_argument("--truth", type=Path, help="folder of its true masks")
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--options", default="", help="for pcvos segment")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with TemporaryDirectory(prefix="pcvos-lab-") as name:
        folder, out = Path(name), Path(name) / "out"
        video, clip_frames = write_long_video(options.clip, options.mask, folder, options.frames)
        command = [sys.executable, "-m", "pcvos_cli", "segment", str(video), "--out", str(out)]
        command += ["--mask", str(folder / "long.png"), "--quiet", *shlex.split(options.options)]
        seen = watch(command, out / "masks", out / "run.json", options.frames)
        scores = []
        if options.truth is not None:
            scores = score(out / "masks", options.truth, clip_frames, options.frames)
    parts = list(stretches(seen, scores))
    for part in parts:
        j = "" if part.j is None else f", J {part.j:.4f}"
        print(  # noqa: T201
            f"frames {part.first} to {part.last}: {part.seconds:.3f} s a frame, "
            f"{part.resident_mb:.0f} MB{j}"
        )
    print(f"peak {seen.peak_mb:.0f} MB")  # noqa: T201
    if options.json is not None:
        document = {
            "command": shlex.join(["python", *sys.argv]),
            "cores": os.cpu_count(),
            "peak_mb": seen.peak_mb,
            "stretches": [asdict(part) for part in parts],
        }
        options.json.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
