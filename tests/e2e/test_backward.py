"""``--backward``: from the first reference mask back to the start."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from model.inference.segmenter import ClipSegmenter
from model.types import Clip, ClipPrediction
from tests.support.cli import pcvos, read_labels, square, write_mask
from tests.support.videos import pictures, times_of, write_video

FRAMES = 14
REFERENCE = 8


def segment(*arguments: str | Path) -> Any:
    result = pcvos("segment", *arguments)
    assert result.exit_code == 0, result.stderr
    return result


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "frames"
    path.mkdir()
    for index, rgb in enumerate(pictures(FRAMES)):
        Image.fromarray(rgb).save(path / f"{index:02}.png")
    return path


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    return write_mask(tmp_path / "m.png", square(box=(6, 32, 12, 12), value=3))


def files(out: Path) -> dict[str, bytes]:
    return {
        p.relative_to(out).as_posix(): p.read_bytes()
        for p in out.rglob("*")
        if p.is_file() and p.name != "run.json"
    }


@pytest.mark.parametrize("interval", ["1", "3", "20"])
def test_backward_is_forward_on_the_reversed_video(
    interval: str, folder: Path, mask: Path, lite_weights: Path, tmp_path: Path
) -> None:
    reversed_folder = tmp_path / "reversed"
    reversed_folder.mkdir()
    for index in range(REFERENCE + 1):
        image = (folder / f"{REFERENCE - index:02}.png").read_bytes()
        (reversed_folder / f"{index:02}.png").write_bytes(image)
    base = ("--weights", lite_weights, "--interval", interval, "--format", "png,scores")
    both, plain, oracle = tmp_path / "both", tmp_path / "plain", tmp_path / "oracle"
    given = (folder, "--mask", f"{REFERENCE:02}={mask}", *base)
    report = json.loads(segment(*given, "-o", both, "--backward", "--json").stdout)
    segment(*given, "-o", plain)
    segment(reversed_folder, "--mask", mask, *base, "-o", oracle)
    for kind, ending in (("masks", "png"), ("scores", "npz")):
        names = sorted(p.name for p in (both / kind).iterdir())
        assert names == [f"{index:02}.{ending}" for index in range(FRAMES)]
        for index in range(FRAMES):
            content = (both / kind / f"{index:02}.{ending}").read_bytes()
            other = plain / kind / f"{index:02}.{ending}"
            if index < REFERENCE:
                other = oracle / kind / f"{REFERENCE - index:02}.{ending}"
            assert content == other.read_bytes(), (kind, index)
    assert report["segmented_frames"] == FRAMES
    assert report["settings"]["backward"] is True
    assert not (both / ".pcvos-resume").exists()


def test_every_output_is_in_the_order_of_the_video(
    mask: Path, lite_weights: Path, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "in.mp4", pictures(FRAMES), audio="aac")
    out = tmp_path / "out"
    later = write_mask(tmp_path / "later.png", square(box=(30, 40, 10, 10), value=1))
    arguments = (
        video, "--mask", f"{REFERENCE}={mask}", "--mask", f"11={later}", "--start", "2",
        "--weights", lite_weights, "--interval", "2", "--size", "native", "--backward", "-o", out,
        "--format", "png,rle,overlay,scores,cutout,matte",
    )  # fmt: skip
    plan = json.loads(segment(*arguments, "--dry-run", "--json").stdout)
    # 8 | 9 10 | 11 | 12 13 forwards, 8 | 7 6 | 5 4 | 3 2 backwards; memory: 8, 10, 11 or 8, 6, 4
    assert (plan["clips"], plan["expected_memory_frames"], plan["backward"]) == (8, 3, True)
    segment(*arguments)
    document = json.loads((out / "masks.json").read_text())
    names = [f"{index:05}" for index in range(2, FRAMES)]
    assert document["videos"][0]["file_names"] == names
    rles = {a["id"]: a["segmentations"] for a in document["annotations"]}
    for position, name in enumerate(names):
        labels = read_labels(out / "masks" / f"{name}.png")
        for object_id, of_frames in rles.items():
            rle = of_frames[position]
            decoded = np.zeros(labels.shape, np.uint8) if rle is None else coco_mask.decode(rle)
            np.testing.assert_array_equal(decoded, labels == object_id)
        prob = np.load(out / "scores" / f"{name}.npz")["prob"]
        assert prob.shape == (3, *labels.shape)  # also of the object that enters on frame 11
        np.testing.assert_array_equal(np.array([0, 1, 3])[prob.argmax(0)], labels)
        with Image.open(out / "cutout" / f"{name}.png") as cutout:
            alpha = np.asarray(cutout)[..., 3]
        assert ((alpha > 127) == (labels > 0)).mean() > 0.97
    assert times_of(out / "overlay.mp4") == times_of(video)[2:]
    assert times_of(out / "matte.mp4") == times_of(video)[2:]


@pytest.mark.parametrize("clips", [2, 5])
def test_a_broken_run_is_resumed_on_the_way_back_and_forth(
    clips: int, folder: Path, mask: Path, lite_weights: Path, tmp_path: Path
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    arguments = (
        folder, "--mask", f"{REFERENCE:02}={mask}", "--weights", lite_weights, "--backward",
        "--interval", "3", "--format", "png,rle,overlay,scores,cutout,matte",
    )  # fmt: skip
    segment(*arguments, "-o", whole)
    original, seen = ClipSegmenter.segment_frames, 0

    def broken(self: ClipSegmenter, clip: Clip) -> Iterator[ClipPrediction]:
        nonlocal seen
        if seen == clips:
            raise KeyboardInterrupt
        seen += 1
        return original(self, clip)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClipSegmenter, "segment_frames", broken)
        assert pcvos("segment", *arguments, "-o", out).exit_code == 130
    segment(*arguments, "-o", out, "--resume")
    assert files(out) == files(whole)


def test_backward_from_the_first_frame_changes_nothing(
    folder: Path, mask: Path, lite_weights: Path, tmp_path: Path
) -> None:
    arguments = (folder, "--mask", mask, "--weights", lite_weights, "--format", "png")
    segment(*arguments, "-o", tmp_path / "plain")
    segment(*arguments, "-o", tmp_path / "both", "--backward")
    assert files(tmp_path / "plain") == files(tmp_path / "both")


def test_a_reference_frame_that_cannot_be_decoded(
    mask: Path, lite_weights: Path, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (12, 48, 64, 3), dtype=np.uint8)
    video = write_video(
        tmp_path / "cut.mp4", list(noise), container_options={"movflags": "faststart"}
    )
    video.write_bytes(video.read_bytes()[: video.stat().st_size * 6 // 10])
    out = tmp_path / "out"
    result = pcvos(
        "segment", video, "--mask", f"11={mask}", "--weights", lite_weights, "-o", out,
        "--backward",
    )  # fmt: skip
    assert result.exit_code == 4, result.stderr
    assert "beyond the end" in result.stderr
    assert json.loads((out / "run.json").read_text())["segmented_frames"] == 0
    assert not any(read_labels(path).any() for path in (out / "masks").iterdir())
