"""Rows of the table of bad inputs that end well, or need a file of a special kind.

What is refused for plainer reasons is in ``test_segment_exit_codes``; damage and odd shapes
of video in ``test_fuzzed_videos``; full disks and kills in ``test_segment_faults`` and
``tests/e2e/test_resume``.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from pcvos_cli.masks.palette import voc_palette
from pcvos_cli.weights_store import MANIFEST, read_manifest
from tests.support.cli import pcvos, read_labels, square, write_mask
from tests.support.videos import pictures, times_of, write_video

pytestmark = pytest.mark.timeout(120)

SIZE = (48, 64)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "in.mp4", pictures(3))


class Segment:
    """``pcvos segment`` with the tests' weights, into a folder that is thrown away."""

    def __init__(self, weights: Path, out: Path) -> None:
        self._weights = weights
        self.out = out

    def __call__(self, code: int, *arguments: str | Path, saying: str = "") -> Any:
        shutil.rmtree(self.out, ignore_errors=True)
        result = pcvos("segment", *arguments, "--weights", self._weights, "-o", self.out)
        assert result.exit_code == code, result.stderr
        assert saying in " ".join(result.stderr.split())
        assert "Traceback" not in result.stderr
        if code != 0:
            assert 1 <= len(result.stderr.splitlines()) <= 3
        return result

    def mask(self, index: int) -> np.ndarray:
        return read_labels(self.out / "masks" / f"{index:05}.png")


@pytest.fixture
def segment(lite_weights: Path, tmp_path: Path) -> Segment:
    return Segment(lite_weights, tmp_path / "out")


# ---- videos


def test_an_mp4_cut_before_its_index(segment: Segment, tmp_path: Path) -> None:
    whole = write_video(tmp_path / "w.mp4").read_bytes()
    path = tmp_path / "v.mp4"
    path.write_bytes(whole[: len(whole) // 2])
    segment(3, path, "--mask", write_mask(tmp_path / "m.png"), saying=f"{path}: not a readable")


def test_missing_timestamps_are_made_and_said(segment: Segment, tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.h264", pictures(3))
    segment(0, video, "--mask", write_mask(tmp_path / "m.png"), saying="synthesised")
    expected = [Fraction(index, 25) for index in range(3)]
    assert times_of(segment.out / "overlay.mp4") == expected
    assert "synthesised" in json.loads((segment.out / "run.json").read_text())["warnings"][0]


@pytest.mark.parametrize("rotation", [90, 270])
def test_a_mask_of_the_stored_size_of_a_turned_video(
    rotation: int, segment: Segment, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "v.mp4", pictures(2), rotation=rotation)
    stored = write_mask(tmp_path / "stored.png")
    result = segment(4, video, "--mask", stored, saying="stored rotated and shown upright")
    assert "is 64x48, but the frame is 48x64" in result.stderr
    upright = write_mask(tmp_path / "upright.png", square((64, 48)))
    segment(0, video, "--mask", upright)


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "options"),
    [
        ("ffv1", "yuv420p10le", {}),
        ("ffv1", "yuva420p", {}),
        ("ffv1", "gray", {}),
        ("ffv1", "gray16le", {}),
        ("libx264", "yuv420p", {"flags": "+ildct+ilme", "x264-params": "tff=1"}),
    ],
)
def test_pixel_formats(
    codec: str, pix_fmt: str, options: dict[str, str], segment: Segment, tmp_path: Path
) -> None:
    video = write_video(
        tmp_path / "v.mkv", pictures(2), codec=codec, pix_fmt=pix_fmt, options=options
    )
    segment(0, video, "--mask", write_mask(tmp_path / "m.png"))
    np.testing.assert_array_equal(segment.mask(0), square())


def test_a_very_large_frame(segment: Segment, tmp_path: Path) -> None:
    size = (2304, 4096)
    video = write_video(
        tmp_path / "v.avi", pictures(1, size), codec="mjpeg", pix_fmt="yuvj420p"
    )  # fmt: skip
    labels = square(size, (300, 0, 500, 500))
    mask = write_mask(tmp_path / "m.png", labels)
    segment(0, video, "--mask", mask, "--size", "32", "--format", "png")
    # The edges of the object are at most one cell of the working size off.
    assert (segment.mask(0) != labels).mean() < 0.01


# ---- masks


def _grey(value: int) -> np.ndarray:
    return (square() * value).astype(np.uint8)


def _colours() -> np.ndarray:
    rgb = np.zeros((*SIZE, 3), np.uint8)
    rgb[square() > 0] = (255, 0, 0)
    rgb[30:40, 30:40] = (0, 200, 10)
    return rgb


def _colour_ids() -> np.ndarray:
    labels = square()
    labels[30:40, 30:40] = 2
    return labels


def _davis() -> tuple[np.ndarray, np.ndarray]:
    labels = _colour_ids() * 5
    return voc_palette()[labels].astype(np.uint8), labels


def _with_alpha(rgb: np.ndarray) -> np.ndarray:
    return np.dstack([rgb, np.where(rgb.any(2), 255, 0).astype(np.uint8)])


@pytest.mark.parametrize(
    ("name", "pixels", "expected", "note"),
    [
        ("m.png", _grey(255), square(), ""),
        ("m.png", _grey(37), square(value=37), ""),
        ("m.png", _grey(255) > 0, square(), ""),
        ("m.png", (square() * 9).astype(np.uint16), square(value=9), ""),
        ("m.jpg", _grey(255), square(), "values of 128 and above are object 1"),
        ("m.png", _colours(), _colour_ids(), "#ff0000 = 1, #00c80a = 2"),
        ("m.png", _with_alpha(_colours()), _colour_ids(), "#ff0000 = 1, #00c80a = 2"),
        ("m.png", *_davis(), "colours of the DAVIS palette"),
    ],
    ids=["0 and 255", "grey", "1-bit", "16-bit", "jpeg", "rgb", "rgba", "davis rgb"],
)
def test_masks_as_people_have_them(
    name: str,
    pixels: np.ndarray,
    expected: np.ndarray,
    note: str,
    video: Path,
    segment: Segment,
    tmp_path: Path,
) -> None:
    Image.fromarray(pixels).save(tmp_path / name, **({"quality": 95} if "jpg" in name else {}))
    segment(0, video, "--mask", tmp_path / name, "--format", "png", saying=note)
    np.testing.assert_array_equal(segment.mask(0), expected)


@pytest.mark.parametrize(
    ("name", "pixels", "words"),
    [
        ("m.png", cv2.GaussianBlur(_grey(255), (5, 5), 0), "values: looks anti-aliased"),
        ("m.jpg", _colours(), "a colour JPEG cannot be a mask"),
        ("m.png", pictures(1)[0], "colours: looks anti-aliased"),
        ("m.png", _grey(0), "has no object"),
    ],
    ids=["anti-aliased", "colour jpeg", "photograph", "empty"],
)
def test_masks_that_cannot_be_understood(
    name: str, pixels: np.ndarray, words: str, video: Path, segment: Segment, tmp_path: Path
) -> None:
    Image.fromarray(pixels).save(tmp_path / name)
    segment(4, video, "--mask", tmp_path / name, saying=words)
    assert not segment.out.exists()


def test_a_mask_that_is_no_image(video: Path, segment: Segment, tmp_path: Path) -> None:
    (tmp_path / "m.png").write_text("a mask, honestly")
    segment(3, video, "--mask", tmp_path / "m.png", saying="a mask is an image")


def test_gaps_in_ids_are_kept_and_255_beside_ids_is_void(
    video: Path, segment: Segment, tmp_path: Path
) -> None:
    labels = square(value=3)
    labels[30:40, 30:40] = 200
    segment(0, video, "--mask", write_mask(tmp_path / "m.png", labels))
    np.testing.assert_array_equal(segment.mask(0), labels)
    labels[30:40, 30:40] = 255
    segment(0, video, "--mask", write_mask(tmp_path / "m.png", labels), saying="255 is void")
    np.testing.assert_array_equal(segment.mask(0), square(value=3))


def test_ids_above_255_are_for_rle(video: Path, segment: Segment, tmp_path: Path) -> None:
    Image.fromarray((square() * 300).astype(np.uint16)).save(tmp_path / "m.png")
    later = ("--mask", write_mask(tmp_path / "a.png"), "--mask", f"2={tmp_path / 'm.png'}")
    segment(6, video, *later, saying="object id 300 does not fit a palette PNG (0 to 255)")
    assert not segment.out.exists(), "refused before the work, not on the frame where it enters"
    segment(0, video, *later, "--format", "rle,overlay")
    annotations = json.loads((segment.out / "masks.json").read_text())["annotations"]
    assert [each["id"] for each in annotations] == [1, 300]


@pytest.mark.parametrize(
    "box", [(0, 0, *SIZE), (0, 0, 1, 1), (47, 0, 1, 64)], ids=["full", "a corner", "the border"]
)
def test_objects_that_fill_the_frame_or_hardly_exist(
    box: tuple[int, int, int, int], video: Path, segment: Segment, tmp_path: Path
) -> None:
    labels = square(SIZE, box)
    mask = write_mask(tmp_path / "m.png", labels)
    segment(0, video, "--mask", mask, "--size", "16", "--format", "png,scores")
    for index in range(3):
        probs = np.load(segment.out / "scores" / f"{index:05}.npz")["prob"]
        assert np.isfinite(probs).all()
        assert set(np.unique(segment.mask(index))) <= {0, 1}


# ---- outputs, weights


@pytest.mark.parametrize(
    "name", ["a b c", "new\nline", "üñí 日本", "-dash", "x=y:z", "%d", "[a]", "'quoted\"", "..."]
)
def test_names_of_all_kinds(
    name: str, video: Path, segment: Segment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / name
    here.mkdir()
    monkeypatch.chdir(here)
    shutil.copy(video, f"{name}.mp4")
    write_mask(Path(f"{name}.png"))
    segment.out = Path(f"./{name} out")
    segment(0, f"./{name}.mp4", "--mask", f"./{name}.png")
    assert len(list((segment.out / "masks").iterdir())) == 3
    assert len(times_of(segment.out / "overlay.mp4")) == 3


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder in which nobody may write, root included."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("may not mount a disk here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("below", ["", "out"])
def test_a_disk_that_may_not_be_written(
    below: str, video: Path, lite_weights: Path, read_only: Path, tmp_path: Path
) -> None:
    mask = write_mask(tmp_path / "m.png")
    out = read_only / below
    result = pcvos("segment", video, "--mask", mask, "--weights", lite_weights, "-o", out)
    assert result.exit_code == 6, result.stderr
    assert str(out) in result.stderr
    assert "--out" in result.stderr


def test_shipped_weights_with_another_hash(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    (entry, *_) = read_manifest()
    shutil.copy(entry.path.parent / MANIFEST, folder)
    content = bytearray(entry.path.read_bytes())
    content[-1] ^= 1
    (folder / entry.path.name).write_bytes(content)
    monkeypatch.setattr("pcvos_cli.weights_store.weights_folder", lambda: folder)
    mask = write_mask(tmp_path / "m.png")
    result = pcvos("segment", video, "--mask", mask, "-o", tmp_path / "out")
    assert result.exit_code == 5, result.stderr
    assert "SHA-256" in result.stderr
    assert "reinstall" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="file names are text elsewhere")
def test_names_that_are_no_text_end_well(lite_weights: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / os.fsdecode(b"v\xff.mp4"), pictures(2))
    mask = write_mask(tmp_path / os.fsdecode(b"m\xfe.png"))
    out = tmp_path / "out"
    result = pcvos("segment", video, "-m", mask, "--weights", lite_weights, "-o", out, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["input"] == str(video)
    assert json.loads((out / "run.json").read_text())["input"] == str(video)
    assert json.loads((out / "masks.json").read_text())["info"]["source"] == video.name


@pytest.mark.skipif(sys.platform != "linux", reason="file names are text elsewhere")
def test_names_that_are_no_text_in_a_batch_its_table_and_exports(
    lite_weights: Path, tmp_path: Path
) -> None:
    name = os.fsdecode(b"f\xff")
    frames = tmp_path / "jobs" / name
    frames.mkdir(parents=True)
    for index, rgb in enumerate(pictures(2)):
        Image.fromarray(rgb).save(frames / f"{name}{index}.png")
    (tmp_path / "jobs" / f"{name}_masks").mkdir()
    write_mask(tmp_path / "jobs" / f"{name}_masks" / f"{name}0.png")
    out = tmp_path / "out"
    batch = ["batch", tmp_path / "jobs", "-o", out, "--format", "png,csv", "-w", "1"]
    for more in ([], ["--resume"]):
        result = pcvos(*batch, "--weights", lite_weights, *more)
        assert result.exit_code == 0, result.stderr
    assert "1 complete already" in result.stdout
    assert "f\\udcff1" in (out / name / "objects.csv").read_text()
    assert "f%FF" in (out / "contact.html").read_text()
    assert "f\\udcff" in (out / "summary.csv").read_text()
    for form, target in (("labelme", "labels"), ("youtube-vis", "a.json"), ("coco", "b.json")):
        result = pcvos("convert", out / name, "--to", form, "-o", tmp_path / target)
        assert result.exit_code == 0, result.stderr


def _photos(folder: Path, *, orientation: int = 1) -> Path:
    folder.mkdir()
    exif = Image.Exif()
    exif[0x0112] = orientation
    for index, rgb in enumerate(pictures(2)):
        Image.fromarray(rgb).save(folder / f"{index}.jpg", exif=exif)
    return folder


@pytest.mark.parametrize("prefix", ["", "1="])
def test_a_mask_in_the_folder_of_the_frames_is_no_frame(
    segment: Segment, prefix: str, tmp_path: Path
) -> None:
    folder = _photos(tmp_path / "in")
    segment(0, folder, "-m", f"{prefix}{write_mask(folder / 'mask.png')}", "--format", "png")
    assert sorted(p.name for p in (segment.out / "masks").iterdir()) == ["0.png", "1.png"]


@pytest.mark.parametrize("more", [[], ["--resize-mask"]])
def test_a_mask_of_photos_as_they_are_stored_is_refused(
    segment: Segment, more: list[str], tmp_path: Path
) -> None:
    folder = _photos(tmp_path / "in", orientation=6)
    mask = write_mask(tmp_path / "m.png")
    result = segment(4, folder, "-m", mask, *more, saying="stored rotated and shown upright")
    assert "--resize-mask" not in result.stderr
