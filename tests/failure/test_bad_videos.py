"""Each video that cannot be read, or only in part: told plainly, never a hang."""

import os
import random
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from model.errors import InputError
from pcvos_cli.video.reader import MAX_CORRUPT_RUN, VideoSource
from pcvos_cli.video.source import open_source
from tests.support.videos import packets_of, write_audio, write_video

pytestmark = pytest.mark.timeout(20)

FIRST = {"movflags": "+faststart"}


def noise(count: int = 40, size: tuple[int, int] = (48, 64)) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (*size, 3), dtype=np.uint8) for _ in range(count)]


def refused(path: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        list(open_source(path))
    assert str(path) in caught.value.message
    assert caught.value.hint
    assert caught.value.exit_code == 3
    return caught.value


def test_not_found(tmp_path: Path) -> None:
    assert "not found" in refused(tmp_path / "none.mp4").message


def test_zero_bytes(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").touch()
    assert "0 bytes" in refused(tmp_path / "v.mp4").message


@pytest.mark.parametrize(
    "text",
    ["just some text\n" * 100, "<!DOCTYPE html><html>404</html>", "#!/bin/sh\nexit 1\n", "x"],
)
@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.txt", "v"])
def test_text(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    refused(tmp_path / name)


def test_play_list_never_reaches_the_network(tmp_path: Path) -> None:
    lines = ("#EXTM3U", "#EXT-X-TARGETDURATION:9", "#EXTINF:9,", "http://127.0.0.1:9/x.ts")
    (tmp_path / "v.m3u8").write_text("\n".join((*lines, "#EXT-X-ENDLIST\n")))
    refused(tmp_path / "v.m3u8")


def test_audio_only(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "v.mp4")
    assert "no video stream (audio only)" in refused(path).message


def test_truncated_before_the_index(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "w.mp4").read_bytes()
    path = tmp_path / "v.mp4"
    path.write_bytes(whole[: len(whole) // 2])
    assert "moov" in (refused(path).hint or "")


def test_random_bytes(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    path.write_bytes(random.Random(0).randbytes(50_000))
    refused(path)


def test_no_permission(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("runs as root, who may read everything")
    refused(path)


def test_index_without_frames(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", container_options=FIRST)
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"mdat") + 4])
    refused(path)


@pytest.mark.parametrize("share", [0.4, 0.7, 0.95])
@pytest.mark.parametrize("ending", ["mp4", "mkv", "avi"])
def test_cut_in_the_middle_keeps_what_decodes(tmp_path: Path, ending: str, share: float) -> None:
    options = FIRST if ending == "mp4" else {}
    whole = write_video(tmp_path / f"w.{ending}", noise(100), container_options=options)
    content = whole.read_bytes()
    path = tmp_path / f"v.{ending}"
    path.write_bytes(content[: int(len(content) * share)])
    source = VideoSource(path)
    frames = list(source)
    assert 100 * share - 15 < len(frames) < 100 * share + 8
    assert [f.index for f in frames] == list(range(len(frames)))
    if ending == "mkv" and share == 0.95:
        return  # 0.2 s are missing: too little to tell from an inexact duration
    told = f"the file is truncated: it ends after {len(frames)}"
    assert any(w.startswith(told) for w in source.warnings), source.warnings


def with_zeroed_packets(path: Path, first: int, count: int) -> Path:
    """Overwrite packets with zeros, which no decoder takes for a picture."""
    content = path.read_bytes()
    packets = sorted(packets_of(path, "video"))
    for _, packet in packets[first : first + count]:
        assert content.count(packet) == 1
        content = content.replace(packet, bytes(len(packet)))
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("count", [1, 3, MAX_CORRUPT_RUN])
def test_corrupt_packets_are_skipped_and_counted(tmp_path: Path, count: int) -> None:
    path = write_video(tmp_path / "v.mov", noise(20), codec="png", pix_fmt="rgb24")
    source = VideoSource(with_zeroed_packets(path, 5, count))
    frames = list(source)
    assert len(frames) == 20 - count
    assert source.warnings == [
        f"{count} corrupt packet(s) skipped, the first near frame 5",
    ]


def test_too_many_corrupt_packets_in_a_row(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mov", noise(20), codec="png", pix_fmt="rgb24")
    error = refused(with_zeroed_packets(path, 5, MAX_CORRUPT_RUN + 1))
    assert "more than 8 corrupt packets in a row after frame 5" in error.message


def test_corrupt_packets_apart_are_fine(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mov", noise(30), codec="png", pix_fmt="rgb24")
    with_zeroed_packets(path, 1, 8)
    with_zeroed_packets(path, 12, 8)
    source = VideoSource(path)
    assert len(list(source)) == 14
    assert source.warnings == ["16 corrupt packet(s) skipped, the first near frame 1"]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ending", ["mp4", "mkv", "avi", "ts"])
def test_flipped_bytes_never_hang_and_are_the_same_twice(
    tmp_path: Path, ending: str, seed: int
) -> None:
    options = FIRST if ending == "mp4" else {}
    path = write_video(tmp_path / f"v.{ending}", noise(30), container_options=options)
    content = bytearray(path.read_bytes())
    rng = random.Random(seed)
    for _ in range(12):
        start = rng.randrange(len(content) // 10, len(content) - 50)
        content[start : start + 30] = rng.randbytes(30)
    path.write_bytes(content)

    def read() -> tuple[list[bytes], list[str]] | str:
        try:
            source = VideoSource(path)
            return [f.rgb.tobytes() for f in source], source.warnings
        except InputError as error:
            return error.message

    assert read() == read()


def test_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    assert "no images" in refused(tmp_path).message


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_unreadable_image_in_a_folder(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "0.png").write_bytes(content)
    with pytest.raises(InputError, match=r"0\.png: not a readable image"):
        open_source(tmp_path)


def test_image_cut_in_the_middle(tmp_path: Path) -> None:
    from PIL import Image

    for index, rgb in enumerate(noise(2)):
        Image.fromarray(rgb).save(tmp_path / f"{index}.jpg")
    cut = tmp_path / "1.jpg"
    cut.write_bytes(cut.read_bytes()[:-1500])
    frames = iter(open_source(tmp_path))
    next(frames)
    with pytest.raises(InputError, match=r"1\.jpg: not a readable image"):
        next(frames)
