"""The laboratory's long video: watching its run."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from docs.lab.long_video import Watched, score, stretches, to_and_fro, watch, write_long_video
from pcvos_cli.video.source import open_source
from tests.support.cli import square, write_mask
from tests.support.videos import pictures

WRITES_MASKS = """
import pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
folder.mkdir()
for index in range(3):
    (folder / f"{index:05d}.png").touch()
    time.sleep(0.3)
block = bytearray(150 << 20)
time.sleep(0.5)
(folder / "report").touch()
time.sleep(0.3)
block += bytes(50 << 20)
"""


def test_frames_go_to_and_fro():
    assert to_and_fro(4, 9) == [0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert to_and_fro(2, 5) == [0, 1, 0, 1, 0]


def test_a_process_is_watched_until_its_report_is_there(tmp_path: Path):
    masks = tmp_path / "masks"
    command = [sys.executable, "-c", WRITES_MASKS, str(masks)]
    seen = watch(command, masks, masks / "report", 3)
    assert len(seen.done) == 3
    assert 0.2 < seen.done[1] - seen.done[0] < 5
    sizes = [mb for _, mb in seen.resident]
    assert sizes[0] < 60  # Its own, not this process's.
    assert sizes[0] + 140 < max(sizes) < sizes[0] + 190
    assert seen.peak_mb == pytest.approx(max(sizes), abs=10)


def test_a_failure_is_told(tmp_path: Path):
    with pytest.raises(subprocess.CalledProcessError) as caught:
        watch([sys.executable, "-c", "raise SystemExit(4)"], tmp_path, tmp_path / "report", 3)
    assert caught.value.returncode == 4


def test_stretches_are_divided_where_frames_are():
    done = [10.0 + 0.1 * index for index in range(100)] + [
        20.0 + 0.2 * index for index in range(50)
    ]
    resident = [(0, 999.0), (1, 500.0), (100, 510.0), (101, 620.0), (150, 600.0)]
    first, second = stretches(Watched(done, resident, 999.0), [0.5] * 100 + [1.0] * 50)
    assert (first.first, first.last, second.first, second.last) == (0, 99, 100, 149)
    # The time before the first mask, such as loading the weights, is not in it.
    assert first.seconds == pytest.approx(0.1)
    assert (first.resident_mb, first.j) == (510, 0.5)
    # From the last frame before it, so that no time is lost between stretches.
    assert second.seconds == pytest.approx((29.8 - 19.9) / 50)
    assert (second.resident_mb, second.j) == (620, 1.0)
    assert list(stretches(Watched())) == []


def test_the_long_video_is_the_clip_with_even_sides_and_is_scored_against_its_masks(
    tmp_path: Path,
):
    clip = tmp_path / "clip"
    truth = tmp_path / "truth"
    masks = tmp_path / "masks"
    for folder in (clip, truth, masks):
        folder.mkdir()
    labels = square((47, 65))
    for index, rgb in enumerate(pictures(3, (47, 65))):
        Image.fromarray(rgb).save(clip / f"{index}.png")
        write_mask(truth / f"{index}.png", labels)
    video, count = write_long_video(clip, truth / "0.png", tmp_path, 7)
    assert count == 3
    with open_source(video) as source:
        assert [frame.rgb.shape for frame in source] == [(46, 64, 3)] * 7
    for index in range(7):
        predicted = labels[:46, :64] if index else np.zeros((46, 64), np.int32)
        write_mask(masks / f"{index:05d}.png", predicted)
    assert score(masks, truth, count, 7) == [0.0] + [1.0] * 6
