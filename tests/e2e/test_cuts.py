"""A video of several shots: ``--cuts``."""

from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from model.config import InferenceConfig
from model.inference.segmenter import ClipSegmenter
from model.types import Clip, ClipPrediction
from pcvos_cli.run.output_folder import STATE
from pcvos_cli.video.cuts import HISTORY, CutDetector
from tests.support.cli import pcvos, read_labels, write_mask

pytestmark = pytest.mark.timeout(240)

EXAMPLES = Path(__file__).parents[2] / "examples"
SIZE = (320, 180)
BEFORE, OTHER, AFTER = 6, 5, 4
FOREIGN = range(BEFORE, BEFORE + OTHER)
FRAMES = BEFORE + OTHER + AFTER


def other_scene(index: int) -> NDArray[np.uint8]:
    """A red disk that moves over stripes."""
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]]
    picture = np.full((*rows.shape, 3), (40, 60, 120), np.uint8)
    picture[(rows + columns) // 12 % 2 == 0] = (70, 90, 160)
    cv2.circle(picture, (90 + 4 * index, 100), 40, (200, 30, 40), -1)
    return picture


@pytest.fixture(scope="module")
def bunny() -> list[NDArray[np.uint8]]:
    with av.open(str(EXAMPLES / "bigbuckbunny.mp4")) as video:
        frames = islice(video.decode(video=0), BEFORE + AFTER)
        return [cv2.resize(f.to_ndarray(format="rgb24"), SIZE) for f in frames]


@pytest.fixture(scope="module")
def edited(bunny: list[NDArray[np.uint8]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bunny, another scene, the bunny again."""
    folder = tmp_path_factory.mktemp("edited")
    shots = [*bunny[:BEFORE], *map(other_scene, range(OTHER)), *bunny[BEFORE:]]
    for index, picture in enumerate(shots):
        Image.fromarray(picture).save(folder / f"{index:02}.png")
    return folder


@pytest.fixture(scope="module")
def mask(tmp_path_factory: pytest.TempPathFactory) -> Path:
    labels = cv2.resize(
        read_labels(EXAMPLES / "bigbuckbunny_first.png"), SIZE, interpolation=cv2.INTER_NEAREST
    )
    return write_mask(tmp_path_factory.mktemp("mask") / "first.png", labels.astype(np.int32))


def segment(folder: Path, masks: list[str], out: Path, *options: str) -> str:
    given = [word for m in masks for word in ("--mask", m)]
    result = pcvos("segment", folder, *given, "-o", out, "--format", "png", *options)
    assert result.exit_code == 0, result.stderr
    return result.stderr


def masks_of(out: Path) -> list[NDArray[np.bool_]]:
    return [read_labels(path) > 0 for path in sorted((out / "masks").iterdir())]


def overlap(one: NDArray[np.bool_], two: NDArray[np.bool_]) -> float:
    return float((one & two).sum() / (one | two).sum())


def test_an_object_is_found_again_and_not_where_it_is_not(
    bunny: list[NDArray[np.uint8]], edited: Path, mask: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    for index, picture in enumerate(bunny):
        Image.fromarray(picture).save(alone / f"{index:02}.png")
    segment(alone, [str(mask)], tmp_path / "uncut")
    told = segment(edited, [str(mask)], tmp_path / "cut")
    assert f"frame {BEFORE} begins another shot, in which object 1 is not seen" in told
    found, uncut = masks_of(tmp_path / "cut"), masks_of(tmp_path / "uncut")
    assert not any(found[i].any() for i in FOREIGN)
    for index, expected in enumerate(uncut):
        after = index + OTHER if index >= BEFORE else index
        assert overlap(found[after], expected) > 0.9, after


def test_cuts_can_be_ignored(edited: Path, mask: Path, tmp_path: Path) -> None:
    told = segment(edited, [str(mask)], tmp_path / "out", "--cuts", "ignore")
    assert "another shot" not in told
    assert any(masks_of(tmp_path / "out")[i].any() for i in FOREIGN)


def test_objects_end_with_their_shot_until_the_next_mask(
    edited: Path, mask: Path, tmp_path: Path
) -> None:
    again = FRAMES - 2
    segment(edited, [str(mask), f"{again}={mask}"], tmp_path / "out", "--cuts", "stop")
    present = [bool(labels.any()) for labels in masks_of(tmp_path / "out")]
    assert present == [i < BEFORE or i >= again for i in range(FRAMES)]


def test_backward_finds_them_too(edited: Path, mask: Path, tmp_path: Path) -> None:
    segment(edited, [f"{FRAMES - 1}={mask}"], tmp_path / "out", "--backward")
    present = [bool(labels.any()) for labels in masks_of(tmp_path / "out")]
    assert present == [i not in FOREIGN for i in range(FRAMES)]


@pytest.mark.parametrize(("clips", "start"), [(2, 4), (3, BEFORE), (4, BEFORE + 1)])
def test_a_resumed_run_knows_the_shot_it_is_in(
    clips: int,
    start: int,
    edited: Path,
    mask: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    segment(edited, [str(mask)], tmp_path / "whole", "--interval", "3")
    done = 0

    def broken(self: ClipSegmenter, clip: Clip) -> "list[ClipPrediction]":
        nonlocal done
        if done == clips:
            raise KeyboardInterrupt
        done += 1
        return list(whole(self, clip))

    whole = ClipSegmenter.segment_frames
    with monkeypatch.context() as patch:
        patch.setattr(ClipSegmenter, "segment_frames", broken)
        words = ("segment", edited, "--mask", mask, "-o", tmp_path / "out", "--interval", "3")
        assert pcvos(*words, "--format", "png").exit_code == 130
    assert (tmp_path / "out" / STATE).is_dir()
    compared = 0

    def counted(self: CutDetector, rgb: NDArray[np.uint8]) -> bool:
        nonlocal compared
        compared += 1
        return compare(self, rgb)

    compare = CutDetector.__call__
    monkeypatch.setattr(CutDetector, "__call__", counted)
    segment(edited, [str(mask)], tmp_path / "out", "--interval", "3", "--resume")
    assert compared == FRAMES - max(0, start - HISTORY)  # Not the frames that it has already.
    for one, two in zip(masks_of(tmp_path / "out"), masks_of(tmp_path / "whole"), strict=True):
        assert np.array_equal(one, two)


def test_finding_objects_again_is_the_default() -> None:
    assert InferenceConfig().cuts == "rematch"
