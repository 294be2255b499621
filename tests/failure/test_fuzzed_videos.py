"""Made and damaged videos through ``pcvos segment``: right masks at the right times, or words.

Clips are one frame long where damaged files are compared with whole ones: a mask then
depends on no later frame.
"""

import itertools
import json
import random
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

from tests.support.cli import pcvos, read_labels, square, write_mask
from tests.support.videos import packets_of, pictures, times_of, write_video

pytestmark = pytest.mark.timeout(240)

SIZE = (48, 64)
COUNT = 12
INTRA = {"g": "1", "bf": "0"}
LOSSLESS = {"codec": "png", "pix_fmt": "rgb24"}


def noise(count: int = COUNT) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (*SIZE, 3), dtype=np.uint8) for _ in range(count)]


def document(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


class Run:
    """A run that was kept within the promises: its code, its words and its results."""

    def __init__(self, out: Path, *arguments: str | Path) -> None:
        result = pcvos("segment", *arguments, "-o", out)
        assert result.exit_code in {0, 3}, result.stderr
        assert "Traceback" not in result.stderr
        self.code = result.exit_code
        self.stderr = str(result.stderr)
        self.masks: dict[Fraction, NDArray[np.uint8]] = {}
        self.warnings: list[str] = []
        if (out / "run.json").is_file():
            self._read(out)
        else:
            assert self.code == 3, "a run that ends well has a report"
            assert not list(out.rglob("*.png"))
        if self.code == 3:
            assert str(arguments[0]) in self.stderr
            assert 1 <= len(self.stderr.splitlines()) <= 3

    def _read(self, out: Path) -> None:
        masks, report = document(out / "masks.json"), document(out / "run.json")
        self.warnings = report["warnings"]
        assert masks["info"]["settings"]["warnings"] == self.warnings
        pts = masks["info"]["pts"]
        files = sorted((out / "masks").iterdir())
        assert [p.stem for p in files] == [f"{index:05}" for index in range(len(pts))]
        assert report["frames"] == len(pts)
        assert all(a < b for a, b in itertools.pairwise(pts))
        base = Fraction(masks["info"]["time_base"])
        rles = masks["annotations"][0]["segmentations"]
        for time, file, rle in zip(pts, files, rles, strict=True):
            labels = read_labels(file)
            decoded = np.zeros(labels.shape, bool) if rle is None else coco_mask.decode(rle) > 0
            np.testing.assert_array_equal(labels == 1, decoded)
            self.masks[time * base] = labels


@pytest.fixture
def arguments(lite_weights: Path, tmp_path: Path) -> list[str | Path]:
    mask = write_mask(tmp_path / "first.png")
    return ["--mask", mask, "--weights", lite_weights, "--interval", "1", "--format", "png,rle"]


# ---- made: any size, rate, rotation and timing


@settings(
    max_examples=8,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # the others trace or repeat whole runs
)
@given(
    size=st.tuples(st.integers(1, 41), st.integers(1, 41)),
    rotation=st.sampled_from([0, 90, 180, 270]),
    time_base=st.sampled_from([Fraction(1, 25), Fraction(1001, 30000), Fraction(1, 1000)]),
    start=st.integers(0, 40),
    steps=st.lists(st.integers(1, 30), max_size=4),
)
@example(size=(9, 1), rotation=270, time_base=Fraction(1, 25), start=0, steps=[])
def test_a_video_gets_the_masks_of_its_upright_frames_at_its_times(
    lite_weights: Path,
    size: tuple[int, int],
    rotation: int,
    time_base: Fraction,
    start: int,
    steps: list[int],
) -> None:
    pts = [start + sum(steps[:index]) for index in range(len(steps) + 1)]
    upright = pictures(len(pts), size)
    stored = [np.rot90(rgb, -rotation // 90) for rgb in upright]
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        video = write_video(
            here / "v.mov", stored, pts=pts, time_base=time_base, rotation=rotation, **LOSSLESS
        )  # fmt: skip
        (here / "frames").mkdir()
        for index, rgb in enumerate(upright):
            Image.fromarray(rgb).save(here / "frames" / f"{index:05}.png")
        labels = square(size, (0, 0, -(-size[0] // 2), -(-size[1] // 2)))
        mask = write_mask(here / "m.png", labels)
        for source in ("v.mov", "frames"):
            done = pcvos(
                "segment", here / source, "--mask", mask, "--weights", lite_weights,
                "--interval", "2", "-o", here / f"{source}_out",
            )  # fmt: skip
            assert done.exit_code == 0, done.stderr
        of_video, of_frames = here / "v.mov_out", here / "frames_out"
        assert len(list((of_video / "masks").iterdir())) == len(pts)
        np.testing.assert_array_equal(read_labels(of_video / "masks" / "00000.png"), labels)
        for path in (of_video / "masks").iterdir():
            assert path.read_bytes() == (of_frames / "masks" / path.name).read_bytes()
        times = times_of(video)
        # A start that is not 0 goes into an edit list, which counts in milliseconds.
        for time, written in zip(times, pts, strict=True):
            assert abs(time - written * time_base) <= Fraction(1, 1000)
        masks = document(of_video / "masks.json")["info"]
        assert [time * Fraction(masks["time_base"]) for time in masks["pts"]] == times
        assert times_of(of_video / "overlay.mp4") == times


# ---- cut


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
def test_a_video_cut_at_each_tenth_keeps_what_decodes(
    ending: str, arguments: Sequence[str | Path], tmp_path: Path
) -> None:
    whole = write_video(
        tmp_path / f"whole.{ending}", noise(), options=INTRA,
        container_options={"movflags": "faststart"} if ending == "mp4" else {},
    )  # fmt: skip
    expected = Run(tmp_path / "whole", whole, *arguments)
    assert len(expected.masks) == COUNT
    assert expected.warnings == []
    content = whole.read_bytes()
    kept = []
    for tenth in range(1, 10):
        path = tmp_path / f"cut{tenth}.{ending}"
        length = len(content) * tenth // 10
        path.write_bytes(content[: length + (length % 188 == 0)])
        run = Run(tmp_path / f"out{tenth}", path, *arguments)
        kept.append(len(run.masks))
        if run.code == 3:
            continue
        assert any(f"ends after {len(run.masks)}" in words for words in run.warnings)
        assert run.warnings[0] in " ".join(run.stderr.split())
        intact = list(run.masks.items())[:-1]  # the last frame may have been cut as well
        for time, labels in intact:
            np.testing.assert_array_equal(labels, expected.masks[time])
    assert kept == sorted(kept)
    assert kept[-1] >= COUNT - 3


# ---- damaged


@pytest.mark.parametrize(
    "seeds", [range(2), pytest.param(range(2, 30), marks=pytest.mark.slow)], ids=["few", "many"]
)
@pytest.mark.parametrize(
    ("name", "codec", "container_options"),
    [
        ("v.mp4", "libx264", {"movflags": "faststart"}),
        ("f.mp4", "libx264", {"movflags": "frag_keyframe+empty_moov"}),
        ("v.mkv", "libx264", {}),
        ("v.ts", "libx264", {}),
        ("v.avi", "mpeg4", {}),
        ("v.webm", "libvpx-vp9", {}),
    ],
)
def test_flipped_bytes_give_whole_results_or_words(
    name: str,
    codec: str,
    container_options: dict[str, str],
    arguments: Sequence[str | Path],
    seeds: range,
    tmp_path: Path,
) -> None:
    video = write_video(
        tmp_path / name, noise(), codec=codec, container_options=container_options
    )  # fmt: skip
    content = video.read_bytes()
    first = content.index(b"mdat") if name == "v.mp4" else len(content) // 10
    for seed in seeds:
        rng = random.Random(seed)
        damaged = bytearray(content)
        for _ in range(2 + 9 * (seed % 4)):
            damaged[rng.randrange(first + 4, len(content))] ^= 1 << rng.randrange(8)
        path = tmp_path / f"{seed}{name}"
        path.write_bytes(damaged)
        run = Run(tmp_path / f"out{seed}", path, *arguments)
        if name == "v.mp4" and len(run.masks) < COUNT:  # its index says how many there were
            assert run.code == 3 or run.warnings


def with_zeroed_packets(path: Path, first: int, count: int) -> Path:
    content = path.read_bytes()
    for _, packet in sorted(packets_of(path, "video"))[first : first + count]:
        content = content.replace(packet, bytes(len(packet)))
    path.write_bytes(content)
    return path


def test_corrupt_packets_are_skipped_counted_and_leave_the_rest_in_time(
    arguments: Sequence[str | Path], tmp_path: Path
) -> None:
    video = with_zeroed_packets(write_video(tmp_path / "v.mov", noise(), **LOSSLESS), 5, 3)
    run = Run(tmp_path / "out", video, *arguments)
    assert run.code == 0
    assert run.warnings == ["3 corrupt packet(s) skipped, the first near frame 5"]
    assert list(run.masks) == [Fraction(i, 25) for i in range(COUNT) if i not in (5, 6, 7)]


def test_what_lies_before_too_many_corrupt_packets_is_kept(
    arguments: list[str | Path], tmp_path: Path
) -> None:
    video = with_zeroed_packets(write_video(tmp_path / "v.mov", noise(20), **LOSSLESS), 5, 9)
    arguments[arguments.index("1")] = "10"  # frames 1 to 4 would be in the middle of a clip
    arguments[-1] = "png,rle,overlay"
    out = tmp_path / "out"
    run = Run(out, video, *arguments)
    assert run.code == 3
    assert "more than 8 corrupt packets in a row after frame 5" in run.stderr
    assert f"the masks of the 5 frames before are in {out}" in " ".join(run.stderr.split())
    assert list(run.masks) == times_of(out / "overlay.mp4") == [Fraction(i, 25) for i in range(5)]
    assert run.warnings[-1] == document(out / "run.json")["stopped"]
    # There is nothing to resume: the run is as complete as its input, and says so again.
    again = pcvos("segment", video, *arguments, "-o", out, "--resume")
    assert (again.exit_code, again.stderr) == (3, run.stderr)

    strict = tmp_path / "strict"
    assert pcvos("segment", video, *arguments, "-o", strict, "--strict").exit_code == 3
    assert not (strict / "run.json").exists()


def test_an_image_that_cannot_be_read_ends_a_folder_there(
    arguments: Sequence[str | Path], tmp_path: Path
) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for index, rgb in enumerate(noise(4)):
        Image.fromarray(rgb).save(folder / f"{index:05}.jpg")
    cut = folder / "00003.jpg"
    cut.write_bytes(cut.read_bytes()[:-1500])
    run = Run(tmp_path / "out", folder, *arguments)
    assert run.code == 3
    assert "00003.jpg: not a readable image" in run.stderr
    assert len(run.masks) == 3


# ---- next to nothing


def test_a_range_that_begins_after_the_last_frame_leaves_nothing(
    arguments: Sequence[str | Path], tmp_path: Path
) -> None:
    video = write_video(tmp_path / "v.mkv", pictures(4))  # does not say how many frames it has
    run = Run(tmp_path / "out", video, *arguments, "--start", "7")
    assert run.code == 3
    assert "holds no frame from 7 on" in run.stderr
    assert not (tmp_path / "out").exists()


def test_a_container_without_a_frame(arguments: Sequence[str | Path], tmp_path: Path) -> None:
    whole = write_video(
        tmp_path / "w.mp4", noise(2), container_options={"movflags": "faststart"}
    ).read_bytes()
    path = tmp_path / "v.mp4"
    path.write_bytes(whole[: whole.index(b"mdat") + 4])
    assert "no frame could be decoded" in Run(tmp_path / "out", path, *arguments).stderr
    assert not (tmp_path / "out").exists()
