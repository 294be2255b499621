"""``--end-object``: an object is absent from a frame on, until a later mask shows it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.cli import pcvos, read_labels, square, write_mask
from tests.support.videos import pictures, write_video

FRAMES = 12


def run(out: Path, *arguments: str | Path) -> dict[int, list[Any]]:
    """Return the segmentations of each object."""
    result = pcvos("segment", *arguments, "--threads", "1", "--interval", "3", "-o", out)
    assert result.exit_code == 0, result.stderr
    document = json.loads((out / "masks.json").read_text())
    return {a["id"]: a["segmentations"] for a in document["annotations"]}


def test_an_ended_object_is_null_from_there_and_may_come_again(
    lite_weights: Path, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "v.mp4", pictures(FRAMES))
    both = square(value=1)
    both[4:14, 40:56] = 2
    first = write_mask(tmp_path / "a.png", both)
    one = write_mask(tmp_path / "b.png", square(box=(10, 10, 12, 12), value=1))
    again = write_mask(tmp_path / "c.png", square(box=(30, 40, 10, 10), value=2))
    masks = ("--mask", first, "--mask", f"6={one}", "--mask", f"9={again}")
    base = (video, *masks, "--weights", lite_weights, "--format", "png,rle,cutout")
    plain = run(tmp_path / "plain", *base)
    ended = run(tmp_path / "ended", *base, "--end-object", "2@6")
    assert ended[2][6:9] == [None] * 3
    assert ended[2][9] is not None
    assert ended[2][:6] == plain[2][:6]
    assert ended[1][:6] == plain[1][:6]
    for index in range(6, 9):
        assert not (read_labels(tmp_path / "ended" / "masks" / f"{index:05}.png") == 2).any()
    older = run(tmp_path / "older", *base, "--until", "2=5")
    assert older == ended


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("3@5", "no reference mask has object 3"),
        ("1@99", "has 12 frames"),
        ("1@x", "no such frame"),
        ("1@2", "enters on frame 2 and cannot end before"),
        ("1", "give ID@FRAME"),
    ],
)
def test_ends_that_mean_nothing(end: str, words: str, lite_weights: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mp4", pictures(FRAMES))
    mask = write_mask(tmp_path / "a.png")
    result = pcvos(
        "segment", video, "--mask", f"2={mask}", "--weights", lite_weights,
        "--end-object", end, "-o", tmp_path / "out", "--dry-run",
    )  # fmt: skip
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
    assert not np.any([p.name == "out" for p in tmp_path.iterdir()])
