"""What is no video file: pipes, addresses, patterns, stacks; animated WebP is one."""

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from model.errors import InputError
from pcvos_cli.video.seeking import FrameFinder
from pcvos_cli.video.source import open_source
from tests.support.cli import pcvos, square, write_mask
from tests.support.videos import pictures, write_video


@pytest.mark.parametrize(
    ("source", "message", "hint"),
    [
        ("https://example.com/v.mp4", "https://example.com/v.mp4: is no file", "download it first"),
        ("HTTP://example.com/a/v.mp4?x=1", "HTTP://example.com/a/v.mp4?x=1: is", "download it"),
        ("rtsp://camera/1", "rtsp://camera/1: is no file", "record it to a file"),
        ("frames/%05d.jpg", "frames/%05d.jpg: is a pattern", "give the folder"),
        ("frames/*.jpg", "frames/*.jpg: is a pattern", "natural order: frames/"),
        ("frames/img_????.png", "is a pattern", "natural order: frames/"),
        ("c:/none.mp4", "c:/none.mp4: not found", "check the path"),
        ("none [1].mp4", "none [1].mp4: not found", "check the path"),
    ],
)
def test_what_is_no_file_is_refused_in_words_that_fit(
    source: str, message: str, hint: str, tmp_path: Path
) -> None:
    result = pcvos("segment", source, "-m", write_mask(tmp_path / "m.png"), "-o", tmp_path / "out")
    assert result.exit_code == 3
    words = " ".join(result.stderr.split())
    assert message in words
    assert hint in words


@pytest.mark.parametrize("name", ["stack.tif", "stack.mp4"])
def test_a_stack_of_pages_is_a_video_whatever_its_name(name: str, tmp_path: Path) -> None:
    first, *rest = [Image.fromarray(rgb) for rgb in pictures(3)]
    first.save(tmp_path / name, "TIFF", save_all=True, append_images=rest)
    with open_source(tmp_path / name) as source:
        assert len(list(source)) == 3


def _webp(path: Path, durations: list[int]) -> Path:
    first, *rest = [Image.fromarray(rgb) for rgb in pictures(len(durations))]
    first.save(path, save_all=True, append_images=rest, duration=durations, lossless=True)
    return path


def test_animated_webp_is_a_video_in_its_own_timing(lite_weights: Path, tmp_path: Path) -> None:
    path = _webp(tmp_path / "a.webp", [40, 80, 120])
    with open_source(path) as source:
        frames = list(source)
        assert [frame.pts for frame in frames] == [0, 40, 120]
        for frame, expected in zip(frames, pictures(3), strict=True):
            np.testing.assert_array_equal(frame.rgb, expected)
        assert [frame.name for frame in source.frames_from(2)] == ["00002"]
        finder = FrameFinder(source)
        assert finder.count == 3
        np.testing.assert_array_equal(finder.rgb(1), pictures(3)[1])
    out = tmp_path / "out"
    mask = write_mask(tmp_path / "m.png")
    result = pcvos("segment", path, "-m", mask, "-o", out, "--weights", lite_weights)
    assert result.exit_code == 0, result.stderr
    assert len(list((out / "masks").iterdir())) == 3
    with open_source(out / "overlay.mp4") as overlay:
        assert [float(f.pts * overlay.info.time_base) for f in overlay] == [0, 0.04, 0.12]


def test_a_still_webp_is_one_frame(tmp_path: Path) -> None:
    Image.fromarray(pictures(1)[0]).save(tmp_path / "a.webp", lossless=True)
    with open_source(tmp_path / "a.webp") as source:
        assert len(list(source)) == 1


def test_damaged_webp_is_told(tmp_path: Path) -> None:
    path = _webp(tmp_path / "a.webp", [40, 80, 120])
    content = bytearray(path.read_bytes())
    start = content.rindex(b"ANMF") + 32
    content[start : start + 200] = bytes(200)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.webp"):
        list(open_source(path))


def test_names_have_the_digits_of_the_last_frame(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "in.mkv", pictures(1, size=(16, 16)) * 3, pts=[0, 1, 4_000_000], fps=25
    )
    with open_source(path) as source:  # Matroska counts no frames; its length says so much.
        assert source.info.name_digits == 7
        assert [frame.name for frame in source] == ["0000000", "0000001", "0000002"]
        assert source.frame_index("00002") == 2
    with open_source(write_video(tmp_path / "in.mp4", pictures(2))) as source:
        assert [frame.name for frame in source] == ["00000", "00001"]


LONG = 300 * "x"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (f"segment {LONG}.mp4 -m m.png", 3),
        (f"segment v.mp4 -m {LONG}.png", 3),
        (f"segment v.mp4 -m m.png -o {LONG}", 6),
        (f"mask v.mp4 --box 4,4,20,20 -o {LONG}.png", 6),
        (f"convert {LONG} --to coco -o a.json", 3),
        (f"convert m.npy --to coco -o {LONG}.json", 6),
        (f"batch {LONG} -o out", 3),
        (f"batch jobs.csv -o {LONG}", 6),
        (f"train --dry-run --data {LONG}", 3),
        (f"weights verify {LONG}", 3),
    ],
)
def test_names_that_no_file_system_holds(
    words: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "v.mp4", pictures(3))
    write_mask(tmp_path / "m.png")
    np.save(tmp_path / "m.npy", square())
    (tmp_path / "jobs.csv").write_text("video,mask\nv.mp4,m.png\n")
    result = pcvos(*words.split())
    assert result.exit_code == code, result.stderr
    assert "unexpected" not in result.stderr
    assert "File name too long" in result.stderr


def test_a_folder_that_may_not_be_entered_is_no_fault_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``Path.exists`` raises there; root may enter everywhere."""
    secret = tmp_path / "secret" / "v.mp4"
    plain = Path.stat

    def stat(path: Path, **options: Any) -> os.stat_result:
        if "secret" in path.parts:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return plain(path, **options)

    monkeypatch.setattr(Path, "stat", stat)
    result = pcvos("segment", secret, "-m", write_mask(tmp_path / "m.png"))
    assert result.exit_code == 3
    assert "Permission denied" in result.stderr
    video = write_video(tmp_path / "v.mp4", pictures(3))
    result = pcvos("segment", video, "-m", tmp_path / "m.png", "-o", secret.parent / "out")
    assert result.exit_code == 6
