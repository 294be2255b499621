"""Disks that fill up and folders that vanish while ``segment`` runs; each with a timeout."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from model.inference.segmenter import ClipSegmenter
from model.types import Clip, ClipPrediction
from tests.support.cli import pcvos, write_mask
from tests.support.videos import pictures, write_video

pytestmark = pytest.mark.timeout(90)

FRAMES = 24
ENOUGH = "64m"


@pytest.fixture
def arguments(lite_weights: Path, tmp_path: Path) -> list[str | Path]:
    video = write_video(tmp_path / "in.mp4", pictures(FRAMES))
    mask = write_mask(tmp_path / "first.png")
    return [video, "--mask", mask, "--weights", lite_weights, "--interval", "3"]


def results(out: Path) -> dict[str, bytes]:
    files = [p for p in out.rglob("*") if p.is_file() and p.name != "run.json"]
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in files}


def mount(folder: Path, options: str) -> bool:
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)],
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own; ``mount`` with ``remount,size=`` changes its size."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if shutil.which("mount") is None or not mount(folder, "size=1m"):
        pytest.skip("may not mount a small disk here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("kilobytes", [20, 60, 140])
def test_a_full_disk_ends_the_run_and_a_larger_one_lets_it_go_on(
    kilobytes: int, arguments: list[str | Path], small_disk: Path, tmp_path: Path
) -> None:
    whole, out = tmp_path / "whole", small_disk / "out"
    assert pcvos("segment", *arguments, "-o", whole).exit_code == 0
    assert mount(small_disk, f"remount,size={kilobytes}k")

    result = pcvos("segment", *arguments, "-o", out)
    assert result.exit_code == 6, result.stderr
    assert "Traceback" not in result.stderr
    assert "space" in result.stderr
    assert not list(small_disk.rglob("*.tmp"))
    assert not (out / "run.json").exists()
    for path in out.rglob("*.png"):
        with Image.open(path) as image:
            image.load()

    assert mount(small_disk, f"remount,size={ENOUGH}")
    result = pcvos("segment", *arguments, "-o", out, "--resume")
    assert result.exit_code == 0, result.stderr
    assert results(out) == results(whole)


def test_an_output_folder_that_vanishes_in_mid_run(
    arguments: list[str | Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert pcvos("segment", *arguments, "-o", whole).exit_code == 0
    segment, seen = ClipSegmenter.segment_frames, 0

    def removing(self: ClipSegmenter, clip: Clip) -> Iterator[ClipPrediction]:
        nonlocal seen
        seen += 1
        if seen == 3:
            out.rename(tmp_path / "gone")  # at once; the writers go on meanwhile
            shutil.rmtree(tmp_path / "gone", ignore_errors=True)
        return segment(self, clip)

    monkeypatch.setattr(ClipSegmenter, "segment_frames", removing)
    result = pcvos("segment", *arguments, "-o", out)
    assert result.exit_code == 6, result.stderr
    assert str(out) in result.stderr
    assert "Traceback" not in result.stderr
    assert seen < FRAMES // 3
    monkeypatch.undo()
    assert pcvos("segment", *arguments, "-o", out, "--resume").exit_code == 0
    assert results(out) == results(whole)


def test_weights_that_change_under_an_unfinished_run(
    arguments: list[str | Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from model.checkpoint import load_checkpoint, save_checkpoint

    weights = tmp_path / "mine.safetensors"
    shutil.copy(arguments[4], weights)
    arguments[4] = weights
    out = tmp_path / "out"

    def interrupt(self: ClipSegmenter, clip: Clip) -> Iterator[ClipPrediction]:
        if clip.start > 6:
            raise KeyboardInterrupt
        return segment(self, clip)

    segment = ClipSegmenter.segment_frames
    monkeypatch.setattr(ClipSegmenter, "segment_frames", interrupt)
    assert pcvos("segment", *arguments, "-o", out).exit_code == 130
    monkeypatch.undo()
    checkpoint = load_checkpoint(weights)
    first = next(iter(checkpoint.state))
    changed = {**checkpoint.state, first: torch.zeros_like(checkpoint.state[first])}
    save_checkpoint(weights, checkpoint.config, changed, {})
    result = pcvos("segment", *arguments, "-o", out, "--resume")
    assert result.exit_code == 6, result.stderr
    assert "weights_sha256" in result.stderr
