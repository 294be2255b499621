"""Files that end before their headers say, and files that do not."""

from pathlib import Path

import pytest

from pcvos_cli.video.truncation import is_cut_off
from tests.support.videos import write_video

KINDS = {
    "mp4": "mov,mp4,m4a,3gp,3g2,mj2",
    "fragmented.mp4": "mov,mp4,m4a,3gp,3g2,mj2",
    "mkv": "matroska,webm",
    "ts": "mpegts",
}


@pytest.mark.parametrize("ending", KINDS)
def test_a_byte_less_is_seen_and_none_less_is_not(tmp_path: Path, ending: str) -> None:
    options = {"movflags": "frag_keyframe+empty_moov"} if "." in ending else {}
    path = write_video(tmp_path / f"v.{ending}", container_options=options)
    whole = path.read_bytes()
    assert not is_cut_off(path, KINDS[ending])
    for missing in (1, len(whole) // 3 + 1):
        path.write_bytes(whole[:-missing])
        assert is_cut_off(path, KINDS[ending])


def test_what_is_appended_is_no_cut(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4")
    path.write_bytes(path.read_bytes() + b"\xff" * 100)
    assert not is_cut_off(path, KINDS["mp4"])


def test_a_live_stream_has_no_length_to_fall_short_of(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mkv", container_options={"live": "1"})
    path.write_bytes(path.read_bytes()[:-20])
    assert not is_cut_off(path, KINDS["mkv"])


@pytest.mark.parametrize("kind", ["matroska,webm", "mov,mp4", "mpegts", "avi"])
@pytest.mark.parametrize("content", [b"", b"\x1a", b"\x1a\x45\xdf\xa3", b"\x1a\x45\xdf\xa3\x00"])
def test_stumps_and_other_kinds_are_no_cut(tmp_path: Path, kind: str, content: bytes) -> None:
    (tmp_path / "v").write_bytes(content)
    assert not is_cut_off(tmp_path / "v", kind)
    assert not is_cut_off(tmp_path / "gone", kind)


def test_large_boxes_and_boxes_up_to_the_end(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    large = b"\0\0\0\1mdat" + (40).to_bytes(8, "big") + bytes(24)
    path.write_bytes(large + b"\0\0\0\0mdat" + bytes(9))
    assert not is_cut_off(path, KINDS["mp4"])
    path.write_bytes(large[:-1])
    assert is_cut_off(path, KINDS["mp4"])
