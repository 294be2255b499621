"""Frames in any order are those that decoding in order gives."""

from pathlib import Path

import numpy as np
import pytest

from pcvos_cli.video.seeking import FrameFinder
from pcvos_cli.video.source import open_source
from tests.support.videos import pictures, write_video

ORDER = [29, 0, 17, 16, 15, 18, 5, 28, 29, 1]


def check(path: Path) -> FrameFinder:
    with open_source(path) as source:
        wanted = [frame.rgb for frame in source]
        finder = FrameFinder(source)
        assert finder.count == len(wanted)
        for index in (i for i in ORDER if i < len(wanted)):
            assert np.array_equal(finder.rgb(index), wanted[index]), index
        for beyond in (-1, len(wanted)):
            with pytest.raises(IndexError, match="no frame"):
                finder.rgb(beyond)
        finder.close()
    return finder


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gop.mp4", {"g": "10", "bf": "2"}),
        ("open.mp4", {"g": "8", "bf": "3", "x264-params": "open-gop=1:scenecut=0"}),
        ("one.mkv", {"g": "250", "bf": "0"}),
    ],
)
def test_frames_are_found_by_seeking(name: str, options: dict[str, str], tmp_path: Path) -> None:
    finder = check(write_video(tmp_path / name, pictures(30), options=options))
    assert finder.counted == 0


def test_uneven_times(tmp_path: Path) -> None:
    times = [i * i + 40 for i in range(30)]
    check(write_video(tmp_path / "uneven.mp4", pictures(30), pts=times, options={"g": "7"}))


def test_a_container_without_timestamps_of_presentation(tmp_path: Path) -> None:
    check(write_video(tmp_path / "old.avi", pictures(30), codec="mpeg4", options={"g": "7"}))


def test_a_rotated_video_is_upright(tmp_path: Path) -> None:
    check(write_video(tmp_path / "turned.mp4", pictures(30), rotation=90))


def test_a_damaged_video_is_counted_as_it_decodes(tmp_path: Path) -> None:
    path = write_video(tmp_path / "damaged.mp4", pictures(30), options={"g": "5", "bf": "0"})
    content = bytearray(path.read_bytes())
    at = content.index(b"mdat") + 4
    for place in range(at + 800, at + 900):
        content[place] ^= 0x5A
    path.write_bytes(content)
    with open_source(path) as source:
        wanted = [frame.rgb for frame in source]
        finder = FrameFinder(source)
        for frame in source:
            finder.agree(frame.index, frame.pts)
        assert finder.count == len(wanted)
        for index in (0, len(wanted) - 1, len(wanted) // 2):
            assert np.array_equal(finder.rgb(index), wanted[index])


def test_a_folder_of_images(tmp_path: Path) -> None:
    from PIL import Image

    for index, picture in enumerate(pictures(12)):
        Image.fromarray(picture).save(tmp_path / f"shot{index}.png")
    finder = check(tmp_path)
    assert [finder.name(i) for i in (2, 10)] == ["shot2", "shot10"]
