"""Peak memory of ``pcvos segment`` for several lengths of one looped 320 x 240 video.

``python -m tests.support.peak_memory 100 1000 3000 -- --interval 10 --threads 1``: a line a
length, with the shipped weights, each in a process of its own. What comes after ``--`` goes
to ``segment``. What grows with the length is the memory bank, whose size is in the table.
"""

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.cli import pcvos_process, square, write_mask
from tests.support.videos import pictures, write_video

SIZE = (240, 320)
LOOP = 50
"""Frames after which the video begins again."""


@dataclass(frozen=True, slots=True)
class Peak:
    """The cost of one run.

    Attributes:
        megabytes: Largest resident size of the process.
        memory_frames: Frames in the memory at the end.
        bank_megabytes: Size of their keys and values.
        fps: Frames by seconds, end to end.
    """

    megabytes: float
    memory_frames: int
    bank_megabytes: float
    fps: float


def write_looped_video(path: Path, frames: int) -> Path:
    """Write a video that repeats itself, and return its path."""
    loop = pictures(LOOP, SIZE)
    return write_video(path, (loop * (-(-frames // LOOP)))[:frames])


def write_first_mask(path: Path) -> Path:
    """Write the mask of the first frame's square, and return its path."""
    return write_mask(path, square(SIZE, (30, 0, 60, 60)))


def peak_of(out: Path, *arguments: str | Path, timeout: float = 3600) -> Peak:
    """Run ``segment`` in a process of its own and return what it took."""
    plan = json.loads(_run(out, *arguments, "--dry-run", "--json", timeout=timeout))
    _run(out, *arguments, timeout=timeout)
    report = json.loads((out / "run.json").read_text())
    per_frame = plan["expected_memory_mb"] / max(1, plan["expected_memory_frames"])
    return Peak(
        report["peak_memory_mb"],
        report["memory_frames"],
        per_frame * report["memory_frames"],
        report["fps_end_to_end"],
    )


def _run(out: Path, *arguments: Any, timeout: float) -> str:
    done = pcvos_process("segment", *arguments, "-o", out, cwd=out.parent, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return done.stdout


def main(lengths: list[int], options: list[str]) -> None:
    """Print a table of what each length takes."""
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        video = write_looped_video(here / "v.mp4", max(lengths))
        mask = write_first_mask(here / "m.png")
        print("frames  peak MB  of it bank MB  frames in memory    FPS")  # noqa: T201
        for frames in lengths:
            part = ("--end", str(frames - 1), *options)
            peak = peak_of(here / str(frames), video, "--mask", mask, *part)
            print(  # noqa: T201
                f"{frames:6}  {peak.megabytes:7.0f}  {peak.bank_megabytes:13.1f}  "
                f"{peak.memory_frames:16}  {peak.fps:5.1f}",
                flush=True,
            )


if __name__ == "__main__":
    given = sys.argv[1:]
    split = given.index("--") if "--" in given else len(given)
    main([int(text) for text in given[:split]] or [100, 1000, 3000], given[split + 1 :])
