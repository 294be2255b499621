"""``--end-object``: an object is absent from a frame on; ``--absent``: on a frame."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.config import InferenceConfig
from pcvos_cli.run.pipeline import segment_video
from pcvos_cli.run.settings import SegmentSettings
from tests.support.cli import pcvos, read_labels, square, write_mask
from tests.support.videos import fed, pictures, write_video

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


def test_an_absent_object_is_null_on_that_frame_and_found_after_it(tmp_path: Path) -> None:
    """Alone, and beside a mask of that frame; on the command line, and from Python."""
    frames, labels = [], np.zeros((120, 160), np.uint8)
    rows, columns = np.mgrid[:120, :160]
    ground = 90 + 30 * np.sin(rows / 7) + 30 * np.cos(columns / 9)
    labels[20:60, 20:60], labels[70:110, 90:140] = 1, 2
    for index in range(FRAMES):
        frame = np.repeat(ground[..., None], 3, axis=2)
        for object_id, colour in ((1, (230, 40, 40)), (2, (40, 70, 230))):
            if object_id == 1 or index not in (5, 7):
                frame[np.roll(labels == object_id, index, axis=1)] = colour
        frames.append(frame.astype(np.uint8))
    video = write_video(tmp_path / "v.mp4", frames)
    first = write_mask(tmp_path / "a.png", labels)
    one = write_mask(tmp_path / "b.png", np.roll(labels * (labels == 1), 7, axis=1))
    base = (video, "--mask", first, "--mask", f"7={one}", "--format", "png,rle,matte")
    plain = run(tmp_path / "plain", *base)
    stated = run(tmp_path / "stated", *base, "--absent", "2@5", "--absent", "2@00007")
    assert [index for index, rle in enumerate(stated[2]) if rle is None] == [5, 7]
    assert [s[:5] for s in stated.values()] == [s[:5] for s in plain.values()]
    for index in range(FRAMES):
        found = read_labels(tmp_path / "stated" / "masks" / f"{index:05}.png") == 2
        true = np.roll(labels == 2, index, axis=1)
        if index in (5, 7):
            assert not found.any()
        else:
            assert (found & true).sum() > 0.8 * (found | true).sum(), index
    settings = SegmentSettings(
        threads=1,
        formats=("rle",),
        absent=((2, 5), (2, "00007")),
        inference=InferenceConfig(interval=3),
    )
    segment_video(video, [first, f"7={one}"], tmp_path / "api", settings)
    document = json.loads((tmp_path / "api" / "masks.json").read_text())
    assert {a["id"]: a["segmentations"] for a in document["annotations"]} == stated


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--absent", "2@5"), "no reference mask has object 2"),
        (("--absent", "1@99"), "has 12 frames"),
        (("--absent", "1@0"), "enters on frame 0"),
        (("--absent", "1@5"), "a mask of that frame shows it"),
        (("--absent", "1@9", "--end", "7"), "the run has no such frame"),
    ],
)
def test_absence_that_contradicts_is_refused(
    options: tuple[str, ...], words: str, lite_weights: Path, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "v.mp4", pictures(FRAMES))
    mask = write_mask(tmp_path / "a.png")
    result = pcvos(
        "segment", video, "-m", mask, "-m", f"5={mask}", "--weights", lite_weights, *options,
        "-o", tmp_path / "out", "--dry-run",
    )  # fmt: skip
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("3@5", "no reference mask has object 3"),
        ("1@99", "has 12 frames"),
        ("1@x", "no such frame"),
        ("1@2", "enters on frame 2"),
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


def test_an_absence_of_an_ended_object_does_not_bring_it_back(
    lite_weights: Path, tmp_path: Path
) -> None:
    """And a frame without it, however often it is stated, is no frame on which it is tiny."""
    video = write_video(tmp_path / "v.mp4", pictures(FRAMES))
    both = square(value=1)
    both[4:14, 40:56] = 2
    base = (video, "--mask", write_mask(tmp_path / "a.png", both), "--weights", lite_weights)
    rle = ("--format", "rle", "--end-object", "2@4")
    ended = run(tmp_path / "ended", *base, *rle)
    assert run(tmp_path / "both", *base, *rle, "--absent", "2@4", "--absent", "2@6") == ended
    twice = ("--absent", "1@5", "--absent", "1@00005", "--size", "48", "--dry-run")
    result = pcvos("segment", *base, *twice, "-o", tmp_path / "twice")
    assert result.exit_code == 0, result.stderr
    assert "has 0 pixels" not in result.stderr


def test_what_size_takes_is_named(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mp4", pictures(2))
    mask = write_mask(tmp_path / "a.png", square(value=1))
    result = pcvos("segment", video, "--mask", mask, "--size", "foo", "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "'auto' or 'native'" in result.stderr


def test_an_end_behind_the_last_frame_is_told(lite_weights: Path, tmp_path: Path) -> None:
    """Whether the run ends early, or only decoding shows where the video does."""
    video = write_video(tmp_path / "v.mkv", pictures(FRAMES))
    mask = write_mask(tmp_path / "a.png")
    options = ("-m", mask, "--weights", lite_weights, "--format", "rle", "--end-object", "1@9")
    for name, more in (("dry", ("--dry-run",)), ("run", ("--json",))):
        out = tmp_path / name
        result = pcvos("segment", video, *options, "--end", "4", "-o", out, *more)
        assert result.exit_code == 0, result.stderr
        said = " ".join(result.stderr.split())
        assert said.count("--end-object 1@9 does nothing: the run ends with frame 4") == 1
    notes = json.loads((tmp_path / "run" / "run.json").read_text())["notes"]
    assert len([note for note in notes if "does nothing" in note]) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.timeout(60)
def test_an_end_behind_the_last_frame_of_a_pipe_is_told(lite_weights: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mkv", pictures(4))
    result = pcvos(
        "segment", fed(tmp_path / "fifo", video.read_bytes()), "-m", write_mask(tmp_path / "a.png"),
        "--weights", lite_weights, "--format", "rle", "--end-object", "1@9", "-o", tmp_path / "out",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    said = " ".join(result.stderr.split())
    assert "--end-object 1@9 does nothing: the run ends with frame 3" in said
