"""A video through a pipe: the masks of the file, in one pass; what needs two says so."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from model.errors import InputError
from pcvos_cli.video.source import open_source
from tests.support.cli import MODULE, pcvos, square, write_mask
from tests.support.videos import fed, pictures, times_of, write_video

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here"),
    pytest.mark.timeout(240),
]


def test_a_pipe_without_a_byte_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ended without a byte"):
        open_source(fed(tmp_path / "pipe", b""))
    with pytest.raises(InputError, match="no video that can be read as it comes"):
        open_source(fed(tmp_path / "text", b"hello\n"))


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "v.mkv", pictures(9), audio="flac")


def test_masks_and_times_are_those_of_the_file(
    video: Path, lite_weights: Path, tmp_path: Path
) -> None:
    mask = write_mask(tmp_path / "a.png")
    later = write_mask(tmp_path / "b.png", square(box=(30, 40, 10, 10), value=2))
    options = (
        "-m", mask, "-m", f"4={later}", "--weights", lite_weights, "--threads", "1",
        "--format", "png,rle,overlay,cutout",
    )  # fmt: skip
    assert pcvos("segment", video, *options, "-o", tmp_path / "file").exit_code == 0
    fifo = fed(tmp_path / "fifo", video.read_bytes())
    result = pcvos("segment", fifo, *options, "-o", tmp_path / "fifo_out", "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["frames"] == 9
    assert report["warnings"] == []
    assert "the sound of a pipe is not carried over" in report["notes"]
    stdin = subprocess.run(
        [*MODULE, "segment", "-", *map(str, options), "-o", str(tmp_path / "stdin")],
        input=video.read_bytes(), capture_output=True, check=False, timeout=200,
    )  # fmt: skip
    assert stdin.returncode == 0, stdin.stderr
    for out in ("fifo_out", "stdin"):
        for folder in ("masks", "cutout"):
            names = sorted(p.name for p in (tmp_path / "file" / folder).iterdir())
            assert sorted(p.name for p in (tmp_path / out / folder).iterdir()) == names
            for name in names:
                true = (tmp_path / "file" / folder / name).read_bytes()
                assert (tmp_path / out / folder / name).read_bytes() == true
        assert times_of(tmp_path / out / "overlay.mp4") == times_of(video)


def test_a_pipe_is_read_once(video: Path, tmp_path: Path) -> None:
    with open_source(fed(tmp_path / "p", video.read_bytes())) as source:
        frames = [frame.rgb for frame in source]
        with pytest.raises(InputError, match="can be read once only"):
            list(source)
    with open_source(video) as whole:
        for found, frame in zip(frames, whole, strict=True):
            assert np.array_equal(found, frame.rgb)
    with open_source(fed(tmp_path / "q", video.read_bytes())) as source:
        assert source.info.width == 64  # Closed without being read.


def test_what_cannot_be_read_as_it_comes(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (12, 256, 256, 3), np.uint8)
    late = write_video(tmp_path / "v.mp4", list(noise), options={"crf": "4"}).read_bytes()
    assert len(late) > 500_000  # More than FFmpeg holds to go back to.
    assert late.index(b"mdat") < late.index(b"moov")
    with pytest.raises(InputError, match=r"read as it comes|decoded") as told:
        open_source(fed(tmp_path / "p", late))
    assert "index first" in (told.value.hint or "")
    with pytest.raises(InputError):
        open_source(fed(tmp_path / "q", b""))


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (["-m", "m.png", "--backward"], 3, "--backward reads a video again"),
        (["-m", "m.png", "--resume"], 3, "--resume reads a video again"),
        (["--box", "1,1,9,9"], 2, "a pipe can be read once only"),
    ],
)
def test_what_needs_two_passes_says_so(
    more: list[str], code: int, words: str, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "p")  # Nobody writes: it must not be waited for.
    for source in (tmp_path / "p", "-"):
        result = pcvos("segment", source, *more, "-o", tmp_path / "out")
        assert result.exit_code == code
        assert words in " ".join(result.stderr.replace("│", " ").split())
