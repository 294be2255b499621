"""AVI frames of zero length, as capture software writes them in place of those that it drops."""

import struct
from collections.abc import Collection
from pathlib import Path

import pytest

from pcvos_cli.video.source import open_source
from tests.support.cli import pcvos, write_mask
from tests.support.videos import pictures, write_video


def _avi(path: Path, empty: Collection[int], *, count: int = 12, keep: int = 12) -> Path:
    """Write an AVI; empty some of its frames, and cut it off after ``keep`` of them."""
    write_video(path, pictures(count), codec="mjpeg", pix_fmt="yuvj420p", fps=24)
    content = path.read_bytes()
    start = content.find(b"movi")
    position, end = start + 4, start + struct.unpack("<I", content[start - 4 : start])[0]
    frames = []
    while position < end - 4:
        (length,) = struct.unpack("<I", content[position + 4 : position + 8])
        if content[position : position + 4] == b"00dc":
            frames.append(content[position + 8 : position + 8 + length])
        position += 8 + length + (length & 1)
    movi, index = b"movi", b""
    for number, frame in enumerate(frames[:keep]):
        data = b"" if number in empty else frame
        index += b"00dc" + struct.pack("<III", 16, len(movi), len(data))
        movi += b"00dc" + struct.pack("<I", len(data)) + data + b"\0" * (len(data) & 1)
    body = content[12 : start - 8] + b"LIST" + struct.pack("<I", len(movi)) + movi
    body += b"idx1" + struct.pack("<I", len(index)) + index
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body) + 4) + b"AVI " + body)
    return path


@pytest.mark.parametrize("empty", [(3, 7), (0, 1), (11,), range(1, 11)], ids=str)
def test_frames_without_a_picture_are_no_damage(empty: Collection[int], tmp_path: Path) -> None:
    path = _avi(tmp_path / "in.avi", empty)
    with open_source(path) as source:
        frames = list(source)
        assert [frame.pts for frame in frames] == [i for i in range(12) if i not in empty]
        assert source.warnings == []
        assert source.notes == [
            f"{len(empty)} frame(s) are repeats, without a picture of their own: they get no mask"
        ]


def test_a_file_that_is_cut_off_is_still_damaged(tmp_path: Path) -> None:
    with open_source(_avi(tmp_path / "in.avi", (3,), keep=8)) as source:
        assert len(list(source)) == 7
        assert source.warnings == ["the file is truncated: it ends after 7 of 12 frames"]


def test_strict_passes_and_the_report_tells(lite_weights: Path, tmp_path: Path) -> None:
    result = pcvos(
        "segment", _avi(tmp_path / "in.avi", (2, 3), count=6), "-m", write_mask(tmp_path / "m.png"),
        "-o", tmp_path / "out", "--weights", lite_weights, "--strict", "--format", "png",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert "2 frame(s) are repeats" in result.stderr
    assert len(list((tmp_path / "out" / "masks").iterdir())) == 4
