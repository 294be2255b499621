"""Host memory does not depend on the number of frames, forwards or backwards."""

from pathlib import Path

import pytest

from tests.support.peak_memory import peak_of, write_first_mask, write_looped_video

FEW, MANY, MOST = 100, 1000, 3000

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def test_thirty_times_the_frames_in_the_same_memory(lite_weights: Path, tmp_path: Path) -> None:
    mask = write_first_mask(tmp_path / "m.png")
    video = write_looped_video(tmp_path / "v.mp4", MOST)
    # Frames are large and the model works on small ones: what the bank holds is next to nothing.
    base = (
        video, "--weights", lite_weights, "--size", "48", "--threads", "1", "--interval", "25",
        "--format", "png,rle,overlay",
    )  # fmt: skip

    def peak(name: str, *options: str) -> float:
        return peak_of(tmp_path / name, *base, *options).megabytes

    few = peak("few", "--mask", str(mask), "--end", str(FEW - 1))
    many = peak("many", "--mask", str(mask), "--end", str(MANY - 1))
    most = peak("most", "--mask", str(mask))
    last = MANY - 1
    back = peak("back", "--mask", f"{last}={mask}", "--end", str(last), "--backward")
    peaks = (
        f"peak MB: {few:.0f} for {FEW} frames, {many:.0f} for {MANY}, {most:.0f} for {MOST}, "
        f"{back:.0f} backwards"
    )
    # One frame and its labels are 0.5 MB, so holding a tenth of a thousand would show.
    assert many - few < 40, peaks
    assert most - few < 40, peaks
    assert back - few < 40, peaks
