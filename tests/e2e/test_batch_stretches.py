"""``pcvos batch --split-at-references``: one video on several workers, then joined."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.batch import files, ledger, options_for
from tests.support.cli import pcvos, square, write_mask
from tests.support.videos import packets_of, pictures, times_of, write_video

pytestmark = pytest.mark.timeout(400)


def rles(out: Path) -> dict[int, list[Any]]:
    document = json.loads((out / "masks.json").read_text())
    return {entry["id"]: entry["segmentations"] for entry in document["annotations"]}


def test_stretches_are_joined_to_what_each_gives_alone(lite_weights: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", pictures(12), audio="aac")
    both = np.maximum(square(), square(box=(30, 40, 10, 10), value=2))
    masks = {0: both, 4: square(box=(28, 40, 10, 10), value=2), 8: both}
    paths = {frame: write_mask(tmp_path / f"m{frame}.png", m) for frame, m in masks.items()}
    cell = ";".join(f"{frame}={path.name}" for frame, path in paths.items())
    (tmp_path / "jobs.csv").write_text(f"video,mask\n{video.name},{cell}\nb.mp4,b.png\n")
    write_video(tmp_path / "b.mp4", pictures(3))
    write_mask(tmp_path / "b.png")
    options = options_for(lite_weights)
    out = tmp_path / "out"
    command = ["batch", tmp_path / "jobs.csv", "-o", out, "--split-at-references", "-w", "1"]
    done = pcvos(*command, *options)
    assert done.exit_code == 0, done.stderr
    assert {row["job"]: row["frames"] for row in ledger(out)} == {"a": 12, "b": 3}

    # Frame 4 lists one object of two, so the video is split at frame 8 alone.
    parts = {
        "first": ["-m", f"0={paths[0]}", "-m", f"4={paths[4]}", "--end", "7"],
        "second": ["-m", paths[8], "--start", "8"],
    }
    for name, own in parts.items():
        alone = pcvos("segment", video, *own, "-o", tmp_path / name, *options)
        assert alone.exit_code == 0, alone.stderr
    first, second = files(tmp_path / "first" / "masks"), files(tmp_path / "second" / "masks")
    assert len(first), len(second) == (8, 4)
    assert files(out / "a" / "masks") == {**first, **second}
    one, two = rles(tmp_path / "first"), rles(tmp_path / "second")
    assert rles(out / "a") == {object_id: one[object_id] + two[object_id] for object_id in (1, 2)}
    overlay = out / "a" / "overlay.mp4"
    assert times_of(overlay) == times_of(video)
    assert packets_of(overlay, "audio") == packets_of(video, "audio")
    report = json.loads((out / "a" / "run.json").read_text())
    assert report["settings"]["split_at"] == [8]
    assert report["frames"] == 12
    assert report["resumed_at"] is None
    assert sorted(p.name for p in out.iterdir() if p.is_dir()) == [".pictures", "a", "b"]

    again = pcvos(*command, *options, "--resume")
    assert "2 complete already" in again.stdout
    # Split or not is another way to make masks: one is not taken for the other.
    whole = pcvos(*command[:4], "-w", "1", *options, "--resume")
    assert whole.exit_code == 1
    assert {row["job"]: row["exit_code"] for row in ledger(out)} == {"a": 6, "b": 0}


def test_formats_that_need_more_than_labels_are_refused(tmp_path: Path) -> None:
    refused = pcvos(
        "batch", tmp_path, "-o", tmp_path / "out", "--split-at-references", "-f", "scores"
    )
    assert (refused.exit_code, "cannot join scores" in refused.stderr) == (2, True)
