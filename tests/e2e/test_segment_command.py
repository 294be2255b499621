"""``pcvos segment`` from arguments to files, with the real network on tiny videos."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from model.config import InferenceConfig
from pcvos_cli import segment_video
from pcvos_cli.run.settings import SegmentSettings
from tests.support.cli import pcvos, pcvos_process, read_labels, square, write_mask
from tests.support.videos import pictures, times_of, write_video

FRAMES = 7
SIZE = (48, 64)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "in.mp4", pictures(FRAMES))


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    return write_mask(tmp_path / "first.png")


def run(*arguments: str | Path) -> Any:
    result = pcvos("segment", *arguments)
    assert result.exit_code == 0, result.stderr
    return result


def document(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_every_frame_gets_a_mask_in_every_format(
    video: Path, mask: Path, lite_weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = run(
        video, "--mask", mask, "--weights", lite_weights, "-o", out, "--interval", "3",
        "--format", "png,rle", "--format", "overlay,scores",
    )  # fmt: skip

    names = [f"{index:05}" for index in range(FRAMES)]
    assert [p.stem for p in sorted((out / "masks").iterdir())] == names
    assert [p.stem for p in sorted((out / "scores").iterdir())] == names
    labels = [read_labels(out / "masks" / f"{name}.png") for name in names]
    assert all(each.shape == SIZE for each in labels)
    np.testing.assert_array_equal(labels[0], square())

    masks = document(out / "masks.json")
    rles = masks["annotations"][0]["segmentations"]
    assert len(rles) == FRAMES
    for rle, each in zip(rles, labels, strict=True):
        decoded = np.zeros(SIZE, np.uint8) if rle is None else coco_mask.decode(rle)
        np.testing.assert_array_equal(decoded, each == 1)
    base = Fraction(masks["info"]["time_base"])
    assert [pts * base for pts in masks["info"]["pts"]] == times_of(video)
    assert masks["info"]["settings"]["interval"] == 3
    assert times_of(out / "overlay.mp4") == times_of(video)

    report = document(out / "run.json")
    assert report["frames"] == FRAMES
    assert report["segmented_frames"] == FRAMES
    assert report["object_ids"] == [1]
    assert report["settings"]["weights_sha256"]
    assert report["peak_memory_mb"] > 0
    assert 0 < report["fps_end_to_end"] < report["fps_model"]
    stages = {"decode", "key_encoder", "memory_read", "decoder", "value_encoder", "write_png"}
    assert stages <= set(report["seconds"])
    # The first frame, then frames 3 and 6; the last one is never needed again.
    assert report["memory_frames"] == 2

    *where, summary = result.stdout.strip().splitlines()
    assert [line.split()[1] for line in where] == [
        str(out / name) for name in ("masks", "masks.json", "overlay.mp4", "scores")
    ]
    assert f"{FRAMES} frames" in summary
    assert "FPS" in summary
    assert result.stderr == ""


def test_the_same_input_twice_gives_the_same_bytes(
    video: Path, mask: Path, lite_weights: Path, tmp_path: Path
) -> None:
    contents = []
    for name in ("a", "b"):
        out = tmp_path / name
        run(video, "--mask", mask, "--weights", lite_weights, "-o", out)
        files = sorted(p for p in out.rglob("*") if p.is_file() and p.name != "run.json")
        contents.append({p.relative_to(out): p.read_bytes() for p in files})
    assert contents[0] == contents[1]


def test_masks_are_those_of_the_scores(
    video: Path, mask: Path, lite_weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run(video, "--mask", mask, "--weights", lite_weights, "-o", out, "--size", "native",
        "--format", "scores,png")  # fmt: skip
    for index in range(FRAMES):
        prob = np.load(out / "scores" / f"{index:05}.npz")["prob"]
        assert prob.shape == (2, *SIZE)
        assert prob.dtype == np.float32
        np.testing.assert_allclose(prob.sum(0), 1, atol=1e-5)
        labels = read_labels(out / "masks" / f"{index:05}.png")
        np.testing.assert_array_equal(labels, prob.argmax(0))


def test_objects_enter_late_and_keep_their_ids(
    video: Path, lite_weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    second = write_mask(tmp_path / "second.png", square(value=9))
    fourth = write_mask(tmp_path / "fourth.png", square(box=(30, 40, 10, 10), value=4))
    run(
        video, "--mask", f"2={second}", "--mask", f"4={fourth}", "--weights", lite_weights,
        "-o", out, "--size", "native", "--format", "png,scores,rle",
    )  # fmt: skip

    labels = [read_labels(out / "masks" / f"{index:05}.png") for index in range(FRAMES)]
    assert not labels[0].any()
    assert not labels[1].any()
    np.testing.assert_array_equal(labels[2], square(value=9))
    assert 4 not in labels[3]
    np.testing.assert_array_equal(labels[4] == 4, square(box=(30, 40, 10, 10)) == 1)
    assert all(set(np.unique(each)) <= {0, 4, 9} for each in labels)

    probs = [np.load(out / "scores" / f"{index:05}.npz")["prob"] for index in range(FRAMES)]
    assert all(prob.shape == (3, *SIZE) for prob in probs)
    assert (probs[1][0] == 1).all()
    assert not probs[3][1].any()  # id 4 before it enters
    assert probs[3][2].any()
    ids = [annotation["id"] for annotation in document(out / "masks.json")["annotations"]]
    assert ids == [4, 9]
    assert document(out / "run.json")["segmented_frames"] == FRAMES - 2


def test_a_smaller_working_size_gives_masks_of_the_source_s_size(
    lite_weights: Path, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "wide.mp4", pictures(3, (66, 100)))
    mask = write_mask(tmp_path / "m.png", square((66, 100), (8, 0, 16, 16)))
    out = tmp_path / "out"
    run(video, "--mask", mask, "--weights", lite_weights, "-o", out, "--size", "33",
        "--format", "png,scores")  # fmt: skip
    assert read_labels(out / "masks" / "00002.png").shape == (66, 100)
    assert np.load(out / "scores" / "00002.npz")["prob"].shape == (2, 33, 50)
    assert document(out / "run.json")["working_size"] == [33, 50]


def test_only_the_automatic_size_enlarges(
    video: Path, mask: Path, lite_weights: Path, tmp_path: Path
) -> None:
    def working_size(*size: str) -> list[int]:
        arguments = (video, "--mask", mask, "--weights", lite_weights, "-o", tmp_path / "out")
        plan: dict[str, list[int]] = json.loads(
            run(*arguments, *size, "--dry-run", "--json").stdout
        )
        return plan["working_size"]

    for size in ("480", "native"):
        assert working_size("--size", size) == list(SIZE)
    assert working_size() == working_size("--size", "auto") == [2 * side for side in SIZE]


@pytest.mark.parametrize(
    "options",
    [
        ["--no-refinement"],
        ["--no-progressive"],
        ["--progressive-interval", "1"],
        ["--top-k", "1"],
        ["--top-k", "all"],
        ["--interval", "2"],
        ["--size", "32"],
    ],
    ids=" ".join,
)
def test_every_option_of_the_method_does_something(
    options: list[str], mask: Path, lite_weights: Path, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "in.mp4", pictures(8))
    base = ["--interval", "7"] if "--interval" not in options else []
    for name, extra in (("plain", ["--interval", "7"]), ("changed", [*base, *options])):
        run(video, "--mask", mask, "--weights", lite_weights, "-o", tmp_path / name,
            "--format", "scores", *extra)  # fmt: skip
    plain, changed = (
        np.load(tmp_path / name / "scores" / "00007.npz")["prob"] for name in ("plain", "changed")
    )
    assert plain.shape != changed.shape or not np.array_equal(plain, changed)


def test_a_folder_of_images_names_its_masks_by_image(
    mask: Path, lite_weights: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for name, rgb in zip(("f2", "f10", "f1"), pictures(3), strict=True):
        Image.fromarray(rgb).save(folder / f"{name}.png")
    out = tmp_path / "out"
    run(folder, "--mask", f"f2={mask}", "--weights", lite_weights, "-o", out, "--fps", "12.5")
    assert sorted(p.stem for p in (out / "masks").iterdir()) == ["f1", "f10", "f2"]
    assert not read_labels(out / "masks" / "f1.png").any()
    assert times_of(out / "overlay.mp4") == [Fraction(index * 2, 25) for index in range(3)]


def test_one_frame_is_a_video(mask: Path, lite_weights: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / "one.mp4", pictures(1))
    run(video, "--mask", mask, "--weights", lite_weights, "-o", tmp_path / "out")
    np.testing.assert_array_equal(read_labels(tmp_path / "out/masks/00000.png"), square())


def test_overwrite_leaves_nothing_of_the_longer_run_before(
    video: Path, mask: Path, lite_weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run(video, "--mask", mask, "--weights", lite_weights, "-o", out)
    (out / "notes.txt").write_text("the user's own")
    shorter = write_video(tmp_path / "short.mp4", pictures(2))
    run(shorter, "--mask", mask, "--weights", lite_weights, "-o", out, "--overwrite",
        "--format", "png")  # fmt: skip
    found = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    assert found == {"masks/00000.png", "masks/00001.png", "run.json", "notes.txt"}
    run(shorter, "--mask", mask, "--weights", lite_weights, "-o", out, "--overwrite",
        "--format", "rle")  # fmt: skip
    assert {p.name for p in out.iterdir()} == {"masks.json", "run.json", "notes.txt"}


def test_dry_run_says_what_would_be_done_and_writes_nothing(
    video: Path, mask: Path, lite_weights: Path, tmp_path: Path
) -> None:
    before = sorted(tmp_path.iterdir())
    arguments = (video, "--mask", f"1={mask}", "--weights", lite_weights, "--interval", "4",
                 "-o", tmp_path / "out", "--dry-run")  # fmt: skip
    text = run(*arguments).stdout
    plan = json.loads(run(*arguments, "--json").stdout)
    assert sorted(tmp_path.iterdir()) == before
    assert "64 x 48" in text
    assert plan["source_size"] == list(SIZE)
    assert plan["references"] == {"1": [1]}
    assert (plan["clips"], plan["expected_memory_frames"]) == (3, 2)  # 1 | 2 3 4 5 | 6
    assert plan["expected_memory_mb"] > 0


def test_json_is_all_there_is_on_stdout_and_quiet_is_quiet(
    video: Path, mask: Path, lite_weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = run(video, "--mask", mask, "--weights", lite_weights, "-o", out, "--json", "--quiet")
    assert json.loads(result.stdout) == document(out / "run.json")
    assert result.stderr == ""


def test_a_process_of_its_own_uses_the_folder_it_is_in(
    video: Path, mask: Path, lite_weights: Path, tmp_path: Path
) -> None:
    there = tmp_path / "elsewhere"
    there.mkdir()
    done = pcvos_process(
        "segment", video, "--mask", mask, "--weights", lite_weights, "--threads", "1", "-v",
        cwd=there,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(list((there / "in_masks" / "masks").iterdir())) == FRAMES
    assert document(there / "in_masks" / "run.json")["threads"] == 1
    assert "key_encoder" in done.stderr
    assert "key_encoder" not in done.stdout


def test_the_same_from_python(video: Path, mask: Path, lite_weights: Path, tmp_path: Path) -> None:
    seen: list[int] = []
    settings = SegmentSettings(
        InferenceConfig(interval=2), weights=lite_weights, formats=("png",), size=None
    )
    report = segment_video(video, [mask], tmp_path / "out", settings, on_frames=seen.append)
    assert report.frames == FRAMES == sum(seen)
    assert seen == [1] * FRAMES, "told of each frame when its mask is there"
    assert report.outputs == {"png": str(tmp_path / "out" / "masks")}
