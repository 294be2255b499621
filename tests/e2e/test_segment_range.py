"""``--start``, ``--end`` and ``--amp``: a part of a video, in half precision."""

import json
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support import cli
from tests.support.cli import pcvos, read_labels, square, write_mask
from tests.support.videos import packets_of, pictures, times_of, write_video

FRAMES = 12
FIRST, LAST = 3, 9


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "in.mp4", pictures(FRAMES))


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    return write_mask(tmp_path / "m.png", square(box=(6, 12, 12, 12)))


fails = partial(cli.fails, "segment")


def test_a_range_is_segmented_as_if_the_rest_were_not_there(
    video: Path, mask: Path, lite_weights: Path, tmp_path: Path
) -> None:
    whole, part = tmp_path / "whole", tmp_path / "part"
    base = (video, "--weights", lite_weights, "--interval", "2")
    assert pcvos("segment", *base, "--mask", f"{FIRST}={mask}", "-o", whole).exit_code == 0
    # A mask without a frame is that of the run's first one.
    result = pcvos(
        "segment", *base, "--mask", mask, "-o", part, "--start", str(FIRST), "--end", f"{LAST:05}",
        "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr

    names = [f"{index:05}" for index in range(FIRST, LAST + 1)]
    assert sorted(p.stem for p in (part / "masks").iterdir()) == names
    for name in names:
        assert (part / f"masks/{name}.png").read_bytes() == (
            whole / f"masks/{name}.png"
        ).read_bytes()
    times = times_of(video)[FIRST : LAST + 1]
    document = json.loads((part / "masks.json").read_text())
    base_unit = Fraction(document["info"]["time_base"])
    assert [pts * base_unit for pts in document["info"]["pts"]] == times
    assert document["videos"][0]["file_names"] == names
    assert times_of(part / "overlay.mp4") == times
    report = json.loads(result.stdout)
    assert report["frames"] == LAST - FIRST + 1
    assert (report["settings"]["start"], report["settings"]["end"]) == (FIRST, LAST)


def test_frames_before_a_later_mask_are_empty_in_a_range_too(
    video: Path, mask: Path, lite_weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = (video, "--weights", lite_weights, "--mask", f"6={mask}", "--start", "4", "-o", out)
    plan = json.loads(pcvos("segment", *arguments, "--dry-run", "--json").stdout)
    assert (plan["start"], plan["frames"], plan["first_frame"], plan["clips"]) == (4, 8, 6, 2)
    assert pcvos("segment", *arguments, "--format", "png").exit_code == 0
    labels = {p.stem: read_labels(p) for p in sorted((out / "masks").iterdir())}
    assert list(labels) == [f"{index:05}" for index in range(4, FRAMES)]
    assert not labels["00004"].any()
    assert not labels["00005"].any()
    np.testing.assert_array_equal(labels["00006"], read_labels(mask))


def test_a_range_of_images_goes_by_name_before_index(
    mask: Path, lite_weights: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for name, rgb in zip(("1", "2", "f3", "f4"), pictures(4), strict=True):
        Image.fromarray(rgb).save(folder / f"{name}.png")
    out = tmp_path / "out"
    result = pcvos(
        "segment", folder, "--weights", lite_weights, "--mask", mask, "-o", out,
        "--start", "2", "--end", "2", "--format", "png",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert [p.stem for p in (out / "masks").iterdir()] == ["2"]
    result = pcvos(
        "segment", folder, "--weights", lite_weights, "--mask", mask, "-o", out, "--overwrite",
        "--start", "f3", "--end", "3", "--format", "png",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert sorted(p.stem for p in (out / "masks").iterdir()) == ["f3", "f4"]


@pytest.mark.parametrize(("ending", "audio"), [("mp4", "aac"), ("mkv", "pcm_s16le")])
def test_the_sound_is_cut_to_the_range(
    ending: str, audio: str, mask: Path, lite_weights: Path, tmp_path: Path
) -> None:
    video = write_video(tmp_path / f"in.{ending}", pictures(25), fps=10, audio=audio)
    out = tmp_path / "out"
    result = pcvos(
        "segment", video, "--weights", lite_weights, "--mask", mask, "-o", out,
        "--start", "10", "--end", "14", "--format", "overlay",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert times_of(out / "overlay.mp4") == times_of(video)[10:15]
    sound = [float(seconds) for seconds, _ in packets_of(out / "overlay.mp4", "audio")]
    # What is encoded begins with a packet of 1,024 samples more, which a player passes over.
    assert min(sound) == pytest.approx(1.0, abs=0.03 if audio == "aac" else 0.05)
    assert max(sound) == pytest.approx(1.5, abs=0.06)
    if audio == "aac":
        copied = {content for _, content in packets_of(out / "overlay.mp4", "audio")}
        assert copied <= {content for _, content in packets_of(video, "audio")}


@pytest.mark.parametrize(
    ("options", "code", "word"),
    [
        (["--start", "12"], 2, "12 frames (0 to 11)"),
        (["--end", "99"], 2, "12 frames (0 to 11)"),
        (["--start", "5", "--end", "4"], 2, "--start is frame 5"),
        (["--start", "x"], 2, "--start x"),
        (["--start", "-1"], 2, "--start -1"),
        (["--amp", "--device", "cpu"], 2, "--amp"),
    ],
)
def test_what_makes_no_sense_is_refused(
    options: list[str], code: int, word: str, video: Path, mask: Path, tmp_path: Path
) -> None:
    fails(code, video, "--mask", mask, "-o", tmp_path / "out", *options, saying=word)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("frame", [2, 10])
def test_masks_outside_the_range_are_refused(
    frame: int, video: Path, mask: Path, tmp_path: Path
) -> None:
    fails(
        4, video, "--mask", f"{frame}={mask}", "--start", "3", "--end", "9", "-o", tmp_path / "o",
        saying=f"is for frame {frame}, but the run goes from frame 3 to frame 9",
    )  # fmt: skip


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_amp_gives_nearly_the_same_masks(
    video: Path, mask: Path, lite_weights: Path, tmp_path: Path
) -> None:
    base = (video, "--weights", lite_weights, "--mask", mask, "--device", "cuda")
    probs = []
    for name, extra in (("full", []), ("half", ["--amp"])):
        out = tmp_path / name
        done = pcvos("segment", *base, "-o", out, "--format", "scores", "--end", "5", *extra)
        assert done.exit_code == 0, done.stderr
        probs.append(np.load(out / "scores" / "00005.npz")["prob"])
    assert not np.array_equal(*probs)
    np.testing.assert_allclose(*probs, atol=0.05)
