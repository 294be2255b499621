"""Wrong arguments of ``pcvos mask``: exit codes, words, nothing written."""

from functools import partial
from pathlib import Path

import pytest

from tests.support import cli
from tests.support.cli import pcvos
from tests.support.videos import pictures, write_video

pytestmark = pytest.mark.timeout(60)

BOX = ("--box", "0,2,16,20")
GRABCUT = ("--method", "grabcut")  # Within the time limit without torch, whatever else runs.


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "in.mp4", pictures(4))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "m.png"


fails = partial(cli.fails, "mask")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ([], "--box"),
        (["--box", "1,2,3"], "1,2,3: not a box"),
        (["--box", "1,2,3,4:255"], "1 to 254"),
        ([*BOX, "--fg", "1"], "--fg 1: not a point"),
        ([*BOX, "--bg", "1,2,3"], "--bg 1,2,3: not a point"),
        ([*BOX, "--bg", "1,2:5"], "no box has object 5"),
        (["--fg", "5,5", *GRABCUT], "no box given"),
        (["--box", "0,0,9,9", "--box", "20,20,9,9", "--fg", "60,40"], "may mean any object"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_usage(options: list[str], word: str, video: Path, out: Path) -> None:
    fails(2, video, *options, "-o", out, saying=word)
    assert not out.exists()


def test_names_of_the_outputs(video: Path, out: Path) -> None:
    fails(2, video, *BOX, saying="--out")
    fails(2, video, *BOX, "-o", out.with_suffix(".jpg"), saying=".png")
    fails(2, video, *BOX, "-o", out, "--preview", out.with_suffix(".jpg"), saying=".png")
    fails(2, video, *BOX, "-o", out, "--preview", out, saying="--preview")


def test_input(out: Path, tmp_path: Path) -> None:
    fails(3, tmp_path / "no.mp4", *BOX, "-o", out, saying="not found")
    text = tmp_path / "text.mp4"
    text.write_text("not a video")
    fails(3, text, *BOX, "-o", out, saying=str(text))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--box", "64,0,5,5"], "outside the frame, which is 64x48"),
        (["--box", "0,0,64,48", *GRABCUT], "no background"),
        ([*BOX, "--fg", "60,40", *GRABCUT], "outside every box"),
        ([*BOX, "--fg", "64,0"], "64x48"),
        (["--box", "0,2,4,4", "--bg", "2,4", *GRABCUT], "nothing in its box"),
        ([*BOX, "--frame", "4"], "frame 4 lies beyond the end: it has 4 frames"),
        ([*BOX, "--frame", "-1"], "no frame '-1'"),
        ([*BOX, "--frame", "x"], "no frame 'x'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_boxes_and_video_disagree(options: list[str], word: str, video: Path, out: Path) -> None:
    fails(4, video, *options, "-o", out, saying=word)
    assert not out.exists()


def test_a_frame_beyond_the_end_that_only_decoding_shows(out: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / "in.mkv", pictures(4))  # stores no frame count
    fails(4, video, *BOX, "--frame", "9", "-o", out, saying="it has 4 frames (0 to 3)")


def test_nothing_is_overwritten_unasked(video: Path, out: Path, tmp_path: Path) -> None:
    out.write_bytes(b"mine")
    fails(6, video, *BOX, "-o", out, saying="--overwrite")
    assert out.read_bytes() == b"mine"
    other = tmp_path / "other.png"
    fails(6, video, *BOX, "-o", other, "--preview", out, saying="--overwrite")
    assert not other.exists()
    assert pcvos("mask", video, *BOX, "-o", out, "--overwrite", *GRABCUT).exit_code == 0
    assert out.read_bytes() != b"mine"


def test_the_input_is_never_overwritten(out: Path, tmp_path: Path) -> None:
    from PIL import Image

    picture = tmp_path / "picture.png"
    Image.fromarray(pictures(1)[0]).save(picture)
    before = picture.read_bytes()
    fails(6, picture, *BOX, "-o", picture, "--overwrite", saying="is the input")
    assert picture.read_bytes() == before


def test_where_nothing_can_be_written(video: Path, out: Path, tmp_path: Path) -> None:
    out.mkdir()
    fails(6, video, *BOX, *GRABCUT, "-o", out, "--overwrite", saying="is a folder")
    (tmp_path / "file").write_text("mine")
    fails(6, video, *BOX, *GRABCUT, "-o", tmp_path / "file" / "m.png", saying="cannot be written")
