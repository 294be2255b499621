"""Host memory does not depend on the number of frames, forwards or backwards."""

import json
from pathlib import Path

import pytest

from tests.support.cli import pcvos_process, square, write_mask
from tests.support.videos import pictures, write_video

SIZE = (240, 320)
FEW, MANY = 100, 1000

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def peak_megabytes(out: Path, *arguments: str | Path) -> float:
    """Run in a process of its own; frames are large, the model works on small ones."""
    done = pcvos_process(
        "segment", *arguments, "-o", out, "--size", "48", "--threads", "1", "--interval", "25",
        "--format", "png,rle,overlay", cwd=out.parent, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return float(json.loads((out / "run.json").read_text())["peak_memory_mb"])


def test_ten_times_the_frames_in_the_same_memory(lite_weights: Path, tmp_path: Path) -> None:
    mask = write_mask(tmp_path / "m.png", square(SIZE, (30, 0, 60, 60)))
    video = write_video(tmp_path / "v.mp4", pictures(50, SIZE) * (MANY // 50))
    base = (video, "--weights", lite_weights)
    few = peak_megabytes(tmp_path / "few", *base, "--mask", mask, "--end", str(FEW - 1))
    many = peak_megabytes(tmp_path / "many", *base, "--mask", mask)
    back = peak_megabytes(tmp_path / "back", *base, "--mask", f"{MANY - 1}={mask}", "--backward")
    peaks = f"peak MB: {few:.0f} for {FEW} frames, {many:.0f} for {MANY}, {back:.0f} backwards"
    # One frame and its labels are 0.5 MB, so holding a tenth of them would show.
    assert many - few < 40, peaks
    assert back - few < 40, peaks
