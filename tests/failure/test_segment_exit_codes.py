"""A user's mistakes, and the exit code and words that follow."""

import os
import pickle
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image
from safetensors.torch import save_file

from model.checkpoint import load_checkpoint, save_checkpoint
from model.config import PCVOS_R50
from tests.support import cli
from tests.support.cli import MODULE, pcvos, read_labels, square, write_mask
from tests.support.videos import pictures, write_audio, write_video

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "in.mp4", pictures(4))


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    return write_mask(tmp_path / "first.png")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def fails(code: int, *arguments: str | Path, saying: str = "") -> str:
    """Run ``segment``, check the exit code, the length and the words; return stderr."""
    said = cli.fails("segment", code, *arguments, saying=saying)
    if code != 2:
        assert 1 <= len(said.splitlines()) <= 3
    return said


# ---- 2: usage


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--size", "big"], "--size"),
        (["--size", "0"], "--size"),
        (["--size", "4"], "16 pixels"),
        (["--format", "png,gif"], "'gif'"),
        (["--format", ","], "choose from"),
        (["--interval", "0"], "--interval"),
        (["--top-k", "few"], "--top-k"),
        (["--top-k", "0"], "--top-k"),
        (["--max-memory-frames", "0"], "--max-memory-frames"),
        (["--fps", "0"], "--fps"),
        (["--fps", "1/0"], "--fps"),
        (["--device", "tpu"], "--device"),
        (["--threads", "0"], "--threads"),
        (["--model", "pcvos-r101"], "pcvos-r101"),
        (["--no-such-option"], "--no-such-option"),
    ],
    ids=" ".join,
)
def test_usage(options: list[str], word: str, video: Path, mask: Path, out: Path) -> None:
    fails(2, video, "--mask", mask, "-o", out, *options, saying=word)
    assert not out.exists()


@pytest.mark.parametrize("place", [0, 2, 4])
def test_an_empty_argument_is_no_folder(place: int, video: Path, mask: Path, out: Path) -> None:
    """As of a variable of the shell that is not set; a path of it would be the current folder."""
    arguments = [video, "-m", mask, "-o", out]
    arguments[place] = ""
    result = pcvos("segment", *arguments)
    assert result.exit_code == 2
    assert "is empty: is a variable unset?" in " ".join(result.stderr.replace("│", "").split())
    assert not out.exists()


def test_a_mask_is_required(video: Path) -> None:
    fails(2, video, saying="--mask")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there(video: Path, mask: Path, out: Path) -> None:
    fails(2, video, "--mask", mask, "-o", out, "--device", "cuda", saying="--device cuda")


# ---- 3: input


def _text(path: Path) -> Path:
    path.write_text("not a video")
    return path


def _empty(path: Path) -> Path:
    path.touch()
    return path


def _bare(path: Path) -> Path:
    path.with_suffix("").mkdir()
    return path.with_suffix("")


@pytest.mark.parametrize(
    "make",
    [lambda path: path, _text, _empty, _bare, write_audio],
    ids=["missing", "text", "zero bytes", "folder without images", "audio only"],
)
def test_input(make, mask: Path, out: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = make(tmp_path / "bad.mp4")
    fails(3, path, "--mask", mask, "-o", out, saying=str(path))
    assert not out.exists()


def test_mask_file_missing(video: Path, out: Path, tmp_path: Path) -> None:
    fails(3, video, "--mask", tmp_path / "no.png", "-o", out, saying="no.png")


def test_a_cut_video_is_kept_up_to_there_and_refused_when_strict(
    mask: Path, lite_weights: Path, out: Path, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (12, 48, 64, 3), dtype=np.uint8)
    whole = write_video(
        tmp_path / "whole.mp4", list(noise), container_options={"movflags": "faststart"}
    )
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    arguments = (cut, "--mask", mask, "--weights", lite_weights, "-o", out, "--format", "png,rle")
    result = pcvos("segment", *arguments)
    assert result.exit_code == 0, result.stderr
    kept = len(list((out / "masks").iterdir()))
    assert 0 < kept < 12
    assert "warning" in result.stderr
    assert f"{kept} of 12 frames" in result.stderr
    for document in ("run.json", "masks.json"):
        assert f"{kept} of 12 frames" in (out / document).read_text()
    fails(3, *arguments, "--overwrite", "--strict", saying=str(cut))


# ---- 4: mask and video disagree


def test_mask_of_another_size(video: Path, lite_weights: Path, out: Path, tmp_path: Path) -> None:
    mask = write_mask(tmp_path / "m.png", square((24, 32), (3, 0, 6, 6)))
    arguments = (video, "--mask", mask, "--weights", lite_weights, "-o", out, "--format", "png")
    stderr = fails(4, *arguments, saying="--resize-mask")
    assert "32x24" in stderr
    assert "64x48" in stderr
    assert pcvos("segment", *arguments, "--resize-mask").exit_code == 0
    np.testing.assert_array_equal(read_labels(out / "masks" / "00000.png"), square())


def test_empty_mask(video: Path, out: Path, tmp_path: Path) -> None:
    mask = write_mask(tmp_path / "m.png", square(value=0))
    fails(4, video, "--mask", mask, "-o", out, saying="no object")


def test_mask_beyond_the_end(video: Path, mask: Path, out: Path) -> None:
    fails(4, video, "--mask", f"4={mask}", "-o", out, saying="frame 4")


def test_mask_beyond_the_end_that_only_decoding_shows(
    mask: Path, lite_weights: Path, out: Path, tmp_path: Path
) -> None:
    # Matroska does not store a frame count.
    video = write_video(tmp_path / "in.mkv", pictures(4))
    fails(
        4, video, "--mask", mask, "--mask", f"9={mask}", "--weights", lite_weights, "-o", out,
        saying="4 frames",
    )  # fmt: skip
    assert len(list((out / "masks").iterdir())) == 4
    assert (out / "overlay.mp4").is_file()


# ---- 5: weights


class _Payload:
    """Unpickling this creates a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.marker),)


def test_weights_missing_or_none_shipped(
    video: Path, mask: Path, out: Path, tmp_path: Path
) -> None:
    arguments = (video, "--mask", mask, "-o", out)
    fails(5, *arguments, "--weights", tmp_path / "no.safetensors", saying="no.safetensors")
    fails(5, *arguments, "--model", "pcvos-r50", saying="pcvos weights import")
    assert not out.exists()


def test_weights_truncated(
    video: Path, mask: Path, lite_weights: Path, out: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "cut.safetensors"
    for share in (0.0, 0.001, 0.5, 0.999):
        whole = lite_weights.read_bytes()
        weights.write_bytes(whole[: int(len(whole) * share)])
        fails(5, video, "--mask", mask, "--weights", weights, "-o", out, saying=str(weights))


def test_weights_of_another_architecture(
    video: Path, mask: Path, lite_weights: Path, out: Path, tmp_path: Path
) -> None:
    lite = load_checkpoint(lite_weights)
    mislabelled = tmp_path / "r50.safetensors"
    save_checkpoint(mislabelled, PCVOS_R50, lite.state, {})
    foreign = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(3)}, foreign)
    arguments = (video, "--mask", mask, "-o", out)
    fails(5, *arguments, "--weights", mislabelled, saying="pcvos-r50")
    fails(5, *arguments, "--weights", foreign, saying=str(foreign))
    fails(5, *arguments, "--weights", lite_weights, "--model", "pcvos-r50", saying="pcvos-lite")


def test_weights_that_are_a_web_page(video: Path, mask: Path, out: Path, tmp_path: Path) -> None:
    weights = tmp_path / "page.safetensors"
    weights.write_text("<!DOCTYPE html><html><body>Sign in</body></html>" * 20)
    fails(5, video, "--mask", mask, "--weights", weights, "-o", out, saying="web page")


@pytest.mark.parametrize("container", ["pickle", "torch"])
def test_a_pickle_with_code_is_refused_and_never_executed(
    container: str, video: Path, mask: Path, out: Path, tmp_path: Path
) -> None:
    marker, weights = tmp_path / "executed", tmp_path / "evil.pth"
    payload = {"key_encoder.conv1.weight": _Payload(marker)}
    if container == "pickle":
        weights.write_bytes(pickle.dumps(payload))
    else:
        torch.save(payload, weights)
    fails(5, video, "--mask", mask, "--weights", weights, "-o", out, saying=str(weights))
    converted = tmp_path / "x.safetensors"
    result = pcvos("weights", "import", weights, "--out", converted)
    assert result.exit_code == 5, result.stderr
    assert not converted.exists()
    assert not marker.exists()


# ---- 6: output


def test_results_are_not_overwritten_unasked(
    video: Path, mask: Path, lite_weights: Path, out: Path
) -> None:
    arguments = (video, "--mask", mask, "--weights", lite_weights, "-o", out, "--format", "png")
    assert pcvos("segment", *arguments).exit_code == 0
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    fails(6, *arguments, saying="--overwrite")
    fails(6, *arguments, "--dry-run", saying="--overwrite")
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == before


def test_a_run_that_fails_early_destroys_nothing(
    video: Path, mask: Path, lite_weights: Path, out: Path, tmp_path: Path
) -> None:
    arguments = (video, "--mask", mask, "-o", out, "--overwrite")
    assert pcvos("segment", *arguments, "--weights", lite_weights).exit_code == 0
    before = sorted(p.name for p in out.rglob("*"))
    fails(5, *arguments, "--weights", tmp_path / "no.safetensors")
    assert sorted(p.name for p in out.rglob("*")) == before


@pytest.mark.parametrize("below", ["", "folder"])
def test_output_is_a_file(
    below: str, video: Path, mask: Path, lite_weights: Path, out: Path
) -> None:
    out.write_text("mine")
    fails(6, video, "--mask", mask, "--weights", lite_weights, "-o", out / below, saying=str(out))
    assert out.read_text() == "mine"


def test_masks_of_the_user_in_the_output_folder_are_safe(
    video: Path, lite_weights: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "masks"
    folder.mkdir()
    write_mask(folder / "00000.png")
    fails(
        6, video, "--mask", folder, "--weights", lite_weights, "-o", tmp_path, "--overwrite",
        saying="input of this run",
    )  # fmt: skip
    assert (folder / "00000.png").is_file()


def test_two_runs_in_one_folder(video: Path, mask: Path, lite_weights: Path, out: Path) -> None:
    out.mkdir()
    arguments = (video, "--mask", mask, "--weights", lite_weights, "-o", out, "--format", "png")
    with FileLock(out / ".pcvos.lock"):
        fails(6, *arguments, saying="another run")
        assert not (out / "masks").exists()
    assert pcvos("segment", *arguments).exit_code == 0
    assert not (out / ".pcvos.lock").exists()


def test_a_writer_s_error_ends_the_run(
    video: Path, mask: Path, lite_weights: Path, out: Path
) -> None:
    # A folder stands where the third mask should go.
    (out / "masks" / "00002.png").mkdir(parents=True)
    fails(
        6, video, "--mask", mask, "--weights", lite_weights, "-o", out, "--format", "png,overlay",
        "--overwrite", saying="00002.png",
    )  # fmt: skip
    assert not list(out.rglob("*.tmp"))
    assert not (out / "run.json").exists()


# ---- 7: out of memory, 1: unexpected, 130 and 143: signals


@pytest.mark.parametrize(
    ("error", "code", "word"),
    [
        (MemoryError(), 7, "--size"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), 7, "2 GiB"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), 7, "--size"),
        (OSError(28, "No space left on device", "x.png"), 6, "x.png"),
        (ZeroDivisionError("a bug of ours"), 1, "--debug"),
    ],
)
def test_errors_from_inside(
    error: Exception,
    code: int,
    word: str,
    video: Path,
    mask: Path,
    lite_weights: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr("model.inference.segmenter.ClipSegmenter.segment_frames", broken)
    arguments = (video, "--mask", mask, "--weights", lite_weights, "-o", out)
    fails(code, *arguments, saying=word)
    assert not out.exists() or not any(p.is_file() for p in out.rglob("*"))
    shown = pcvos("segment", *arguments, "--debug")
    assert shown.exit_code == code
    assert "Traceback" in shown.stderr


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_keeps_whole_masks(
    number: signal.Signals, code: int, mask: Path, lite_weights: Path, out: Path, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "long.mp4", pictures(800))
    run = subprocess.Popen(
        [*MODULE, "segment", video, "--mask", mask, "--weights", lite_weights, "-o", out],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 45
        while not (out / "masks" / "00012.png").exists():
            assert run.poll() is None, run.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        run.send_signal(number)
        stdout, stderr = run.communicate(timeout=15)
    finally:
        run.kill()
    assert run.returncode == code, stderr
    assert stdout == ""
    assert "Traceback" not in stderr
    masks = sorted((out / "masks").iterdir())
    assert [p.name for p in masks] == [f"{index:05}.png" for index in range(len(masks))]
    for path in masks:
        with Image.open(path) as image:
            image.load()
    assert sorted(p.name for p in out.iterdir()) == [".pcvos-resume", "masks"]
    assert "--resume" in stderr
