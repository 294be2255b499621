"""``pcvos mask`` and ``pcvos segment --box``: boxes in, masks that ``segment`` takes out."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pcvos_cli.masks.palette import voc_palette
from tests.support.cli import pcvos, pcvos_process, read_labels, square
from tests.support.videos import pictures, write_video

SIZE = (48, 64)
EXAMPLES = Path(__file__).parents[2] / "examples"
BOX = "0,2,16,20"  # around the square of the first frame


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "in.mp4", pictures(4))


def overlap(found: np.ndarray, true: np.ndarray) -> float:
    return float((found & true).sum() / (found | true).sum())


def test_a_mask_of_the_first_frame(video: Path, tmp_path: Path) -> None:
    out = tmp_path / "new folder" / "first.png"
    result = pcvos("mask", video, "--box", BOX, "-o", out)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith(f"{out}  frame 00000, 64 x 48, objects 1: ")
    assert result.stderr == ""
    labels = read_labels(out)
    assert labels.shape == SIZE
    assert overlap(labels == 1, square() == 1) > 0.85
    with Image.open(out) as image:
        assert bytes(image.getpalette() or b"")[:30] == voc_palette().tobytes()[:30]
    assert list(out.parent.iterdir()) == [out]


def test_the_same_twice_gives_the_same_bytes(video: Path, tmp_path: Path) -> None:
    contents = []
    for name in ("a.png", "b.png"):
        done = pcvos_process("mask", video, "-b", BOX, "-o", name, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]


def test_objects_points_a_later_frame_and_a_preview(video: Path, tmp_path: Path) -> None:
    out, preview = tmp_path / "m.png", tmp_path / "p.png"
    result = pcvos(
        "mask", video, "--frame", "3", "--box", "10,2,18,20:9", "--box", "30,25,30,20",
        "--fg", "18,10:9", "--fg", "45,35", "--bg", "62,2", "-o", out, "--preview", preview,
        "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    labels = read_labels(out)
    assert (report["mask"], report["preview"]) == (str(out), str(preview))
    assert (report["frame"], report["frame_name"], report["size"]) == (3, "00003", [48, 64])
    assert report["areas"] == {str(i): int((labels == i).sum()) for i in (1, 9)}
    assert overlap(labels == 9, square(box=(6, 12, 12, 12)) == 1) > 0.8
    assert labels[35, 45] == 1
    with Image.open(preview) as image:
        shown = np.array(image).astype(int)
    frame = pictures(4)[3].astype(int)
    assert shown.shape == frame.shape
    changed = np.abs(shown - frame).max(axis=2) > 40
    assert changed[labels == 9].mean() > 0.9
    assert changed[20:24, 2:8].mean() < 0.1  # far from both objects


def test_rotated_video_is_boxed_as_it_is_shown(tmp_path: Path) -> None:
    video = write_video(tmp_path / "turned.mp4", pictures(2), rotation=90)
    out = tmp_path / "m.png"
    # Turned by 90 degrees counter-clockwise, (x, y) of the stored frame is at (y, 63 - x).
    assert pcvos("mask", video, "--box", "2,48,20,16", "-o", out).exit_code == 0
    labels = read_labels(out)
    assert labels.shape == SIZE[::-1]
    assert overlap(labels == 1, np.rot90(square()) == 1) > 0.8


def test_a_folder_of_images_and_a_single_image(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for name, rgb in zip(("a", "b"), pictures(2), strict=True):
        Image.fromarray(rgb).save(folder / f"{name}.png")
    for source, frame in ((folder, "b"), (folder, "1"), (folder / "b.png", "0")):
        out = tmp_path / "m.png"
        result = pcvos("mask", source, "--frame", frame, "--box", "1,2,20,20", "-o", out,
                       "--overwrite")  # fmt: skip
        assert result.exit_code == 0, result.stderr
        assert overlap(read_labels(out) == 1, square(box=(6, 4, 12, 12)) == 1) > 0.85


def test_a_box_over_the_edge_is_cut_and_said(video: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.png"
    result = pcvos("mask", video, "--box", "-5,-3,20,24", "-o", out)
    assert result.exit_code == 0, result.stderr
    assert "0,0,15,21" in result.stderr
    assert overlap(read_labels(out) == 1, square() == 1) > 0.85
    assert pcvos("mask", video, "--box", "-5,-3,20,24", "-o", out, "--overwrite", "-q").stderr == ""


def test_segment_takes_a_box_in_place_of_a_mask(
    video: Path, lite_weights: Path, tmp_path: Path
) -> None:
    common = ["--weights", str(lite_weights), "--format", "png"]
    first = tmp_path / "first.png"
    assert pcvos("mask", video, "--box", BOX, "-o", first).exit_code == 0
    by_mask = pcvos("segment", video, "--mask", first, "-o", tmp_path / "a", *common)
    by_box = pcvos("segment", video, "--box", BOX, "-o", tmp_path / "b", *common)
    assert by_mask.exit_code == 0, by_mask.stderr
    assert by_box.exit_code == 0, by_box.stderr
    for index in range(4):
        a, b = (tmp_path / x / "masks" / f"{index:05}.png" for x in "ab")
        assert a.read_bytes() == b.read_bytes()
    assert "pixels of frame 00000" in by_box.stderr


def test_segment_s_box_is_on_the_first_frame_of_the_run(
    video: Path, lite_weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = pcvos("segment", video, "--box", "6,2,18,20", "--start", "2", "-o", out,
                   "--weights", lite_weights, "--format", "png")  # fmt: skip
    assert result.exit_code == 0, result.stderr
    labels = read_labels(out / "masks" / "00002.png")
    assert overlap(labels == 1, square(box=(6, 8, 12, 12)) == 1) > 0.85


@pytest.mark.parametrize("both", [True, False])
def test_segment_takes_one_of_mask_and_box(both: bool, video: Path, tmp_path: Path) -> None:
    options = ["--box", BOX, "--mask", "m.png"] if both else []
    result = pcvos("segment", video, *options, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "--box" in result.stderr
    assert "--mask" in result.stderr


BUNNY = ("--box", "229,256,294,304")


def test_the_example_s_bunny_from_its_box_and_points(tmp_path: Path) -> None:
    video, true = EXAMPLES / "bigbuckbunny.mp4", read_labels(EXAMPLES / "bigbuckbunny_first.png")
    scores = {}
    for name, options in {
        "box": BUNNY,
        "point": ("--fg", "336,432", "--bg", "159,441"),
        "both": (*BUNNY, "--bg", "256,450"),
        "grabcut": (*BUNNY, "--method", "grabcut"),
    }.items():
        out = tmp_path / f"{name}.png"
        result = pcvos("mask", video, *options, "-o", out)
        assert result.exit_code == 0, result.stderr
        scores[name] = overlap(read_labels(out) == 1, true == 1)
    assert scores["box"] > 0.8
    assert scores["both"] > scores["box"]
    assert scores["point"] > 0.3
    assert scores["grabcut"] < scores["box"]


def test_segment_takes_clicks_and_boxes_of_several_objects(
    video: Path, lite_weights: Path, tmp_path: Path
) -> None:
    prompts = ("--box", "0,2,16,20:4", "--click", "45,35:9")
    out, first = tmp_path / "out", tmp_path / "first.png"
    made = pcvos("mask", video, *prompts[:2], "--fg", prompts[3], "-o", first)
    assert made.exit_code == 0, made.stderr
    done = pcvos("segment", video, *prompts, "-o", out, "--weights", lite_weights,
                 "--format", "png")  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert "--box 0,2,16,20:4 --click 45,35:9: " in done.stderr
    labels = read_labels(first)
    assert set(np.unique(labels)) == {0, 4, 9}
    assert labels[35, 45] == 9
    assert np.array_equal(read_labels(out / "masks" / "00000.png"), labels)


def test_the_mask_in_the_folder_of_the_frames_is_no_frame(tmp_path: Path) -> None:
    for index, rgb in enumerate(pictures(2)):
        Image.fromarray(rgb).save(tmp_path / f"z{index}.jpg")
    for more in ([], ["--overwrite"]):
        result = pcvos(
            "mask", tmp_path, "--box", BOX, "-o", tmp_path / "a.png", "--method", "grabcut",
            "--json", *more,
        )  # fmt: skip
        assert result.exit_code == 0, result.stderr
        assert json.loads(result.stdout)["frame_name"] == "z0"


def test_an_image_that_may_be_no_frame_is_noted(tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    picture = np.random.default_rng(0).integers(40, 60, (48, 64, 3)).astype(np.uint8)
    picture[10:30, 20:44] += np.uint8(150)
    for name in ("0.tga", "1.tga", "2.tga", "mask.png"):
        Image.fromarray(picture).save(frames / name)
    result = pcvos("mask", frames, "--box", "18,8,28,24", "--method", "grabcut", "-o",
                   tmp_path / "m.png")  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert "mask.png is taken as a frame" in " ".join(result.stderr.split())
