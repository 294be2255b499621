"""Wrong arguments of ``pcvos convert``; a failed run leaves nothing."""

import json
import os
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pcvos_cli.masks.label_files import LabelMap, read_labels
from tests.support import cli
from tests.support.cli import MODULE, pcvos
from tests.support.masks import contents, moving, write_palette_folder

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    return write_palette_folder(tmp_path / "masks", moving())


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


fails = partial(cli.fails, "convert")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--to", "gif"], "--to"),
        ([], "--to"),
        (["--to", "davis", "--fps", "9"], "--fps"),
        (["--to", "davis", "--class-id", "1"], "--class-id"),
        (["--to", "davis", "--suffix", ".png"], "--suffix"),
        (["--to", "mots", "--class-id", "65"], "--class-id"),
        (["--to", "youtube-vis", "--fps", "0"], "--fps"),
    ],
    ids=" ".join,
)
def test_usage(options: list[str], word: str, masks: Path, out: Path) -> None:
    fails(2, masks, *options, "-o", out, saying=word)
    assert not out.exists()


def test_input(out: Path, tmp_path: Path) -> None:
    fails(3, tmp_path / "no", "--to", "davis", "-o", out, saying="not found")
    bare = tmp_path / "bare"
    bare.mkdir()
    fails(3, bare, "--to", "davis", "-o", out, saying="holds no masks")
    video = tmp_path / "v.mp4"
    video.write_bytes(b"x")
    fails(3, video, "--to", "davis", "-o", out, saying="is a file of no known kind")
    cut = write_palette_folder(tmp_path / "cut", moving(2)) / "00001.png"
    cut.write_bytes(cut.read_bytes()[:60])
    fails(3, cut.parent, "--to", "davis", "-o", out, saying="00001.png")
    assert not out.exists()


def _document(**changes: Any) -> dict[str, Any]:
    rle = {"size": [2, 3], "counts": [1, 2, 3]}
    return {
        "videos": [{"id": 1, "width": 3, "height": 2, "length": 1, "file_names": ["a"]}],
        "annotations": [{"id": 1, "video_id": 1, "segmentations": [rle], **changes}],
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not a readable JSON"),
        ("[" * 100_000, "not a readable JSON"),
        ("[]", "form of YouTube-VIS"),
        ('{"videos": [3], "annotations": []}', "form of YouTube-VIS"),
        ('{"videos": 3, "annotations": []}', "form of YouTube-VIS"),
        ('{"videos": [], "annotations": []}', "0 videos"),
        ('{"videos": [{"width": 1, "height": 1, "length": 0}], "annotations": []}', "no frame"),
        (json.dumps({**_document(), "annotations": 7}), "form of YouTube-VIS"),
    ],
)
def test_json_of_another_form(text: str, words: str, out: Path, tmp_path: Path) -> None:
    path = tmp_path / "v.json"
    path.write_text(text)
    fails(3, path, "--to", "davis", "-o", out, saying=words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"id": 0}, "annotation id 0"),
        ({"id": "one"}, "annotation id 'one'"),
        ({"id": 70_000}, "annotation id 70000"),
        ({"segmentations": []}, "0 segmentations"),
        ({"segmentations": [{"size": [3, 2], "counts": [1, 2, 3]}]}, "its size is [3, 2]"),
        ({"segmentations": [{"size": [2, 3], "counts": [1, 2]}]}, "do not add up to 6"),
        ({"segmentations": [{"size": [2, 3], "counts": [9, -5, 2]}]}, "do not add up"),
        ({"segmentations": [{"size": [2, 3], "counts": ""}]}, "do not add up"),
        ({"segmentations": [{"size": [2, 3], "counts": "PPPPPPPPPPPPPP"}]}, "no RLE"),
        ({"segmentations": [{"size": [2, 3], "counts": "1P"}]}, "cut off"),
        ({"segmentations": [{"size": [2, 3], "counts": "é"}]}, "no RLE"),
        ({"segmentations": [[[1, 1, 2]]]}, "neither RLE nor polygons"),
        ({"segmentations": [[[1e300, 1, 2, 1, 2, 2]]]}, "neither RLE nor polygons"),
        ({"segmentations": ["x"]}, "neither RLE nor polygons"),
    ],
)
def test_json_with_damage(changes: dict[str, Any], words: str, out: Path, tmp_path: Path) -> None:
    path = tmp_path / "v.json"
    path.write_text(json.dumps(_document(**changes)))
    fails(4, path, "--to", "davis", "-o", out, saying=words)
    assert [file.name for file in tmp_path.iterdir()] == ["v.json"]


def test_masks_that_disagree(masks: Path, out: Path, tmp_path: Path) -> None:
    write_palette_folder(masks, [np.ones((8, 9), np.int32)], ["00009"])
    fails(4, masks, "--to", "davis", "-o", out, saying="is 9x8, but 00000.png is 64x48")
    grey = tmp_path / "b" / "1"
    grey.mkdir(parents=True)
    Image.fromarray(np.arange(20, dtype=np.uint8).reshape(4, 5)).save(grey / "0.png")
    fails(4, grey.parent, "--to", "davis", "-o", out, saying="19 values besides 0")
    assert not out.exists()
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize(("target", "limit"), [("davis", 254), ("mots", 999)])
def test_ids_that_do_not_fit(target: str, limit: int, out: Path, tmp_path: Path) -> None:
    folder = tmp_path / "deep"
    folder.mkdir()
    Image.fromarray(np.array([[0, 1, limit + 1]], np.uint16)).save(folder / "0.png")
    if limit == 254:  # else 255 alone beside ids would be void
        Image.fromarray(np.array([[0, 1, 300]], np.uint16)).save(folder / "1.png")
    fails(4, folder, "--to", target, "-o", out, saying=f"1 to {limit}")
    assert not out.exists()


def test_nothing_is_overwritten_unasked(masks: Path, out: Path, tmp_path: Path) -> None:
    out.mkdir()
    write_palette_folder(out, moving(1), ["mine"])
    fails(6, masks, "--to", "davis", "-o", out, saying="--overwrite")
    (tmp_path / "v.json").write_text("mine")
    fails(6, masks, "--to", "coco", "-o", tmp_path / "v.json", saying="--overwrite")
    assert (tmp_path / "v.json").read_text() == "mine"
    assert list(contents(out)) == ["mine.png"]


def test_folders_with_other_files_are_never_replaced(masks: Path, out: Path) -> None:
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    fails(6, masks, "--to", "davis", "-o", out, "--overwrite", saying="thesis.txt")
    assert contents(out) == {"thesis.txt": b"mine"}


def test_files_and_folders_are_not_mixed_up(masks: Path, out: Path) -> None:
    out.mkdir()
    fails(6, masks, "--to", "coco", "-o", out, "--overwrite", saying="is a folder")
    out.rmdir()
    out.write_text("mine")
    fails(6, masks, "--to", "davis", "-o", out, "--overwrite", saying="is a file")
    fails(6, masks, "--to", "davis", "-o", out / "below", saying="cannot be written")
    assert out.read_text() == "mine"


def test_the_input_is_never_replaced(masks: Path, tmp_path: Path) -> None:
    before = contents(masks)
    fails(6, masks, "--to", "davis", "-o", masks, "--overwrite", saying="is read by this run")
    outer = tmp_path / "outer"
    outer.mkdir()
    masks.rename(outer / "5")
    fails(6, outer / "5", "--to", "davis", "-o", outer, "--overwrite", saying="is read by")
    assert contents(outer / "5") == before


def test_a_run_that_fails_midway_leaves_the_older_result(
    masks: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for target, path in (("davis", out), ("youtube-vis", tmp_path / "v.json")):
        assert pcvos("convert", masks, "--to", target, "-o", path).exit_code == 0
    coco = tmp_path / "c.json"
    assert pcvos("convert", masks, "--to", "coco", "-o", coco).exit_code == 0
    before = contents(tmp_path)
    calls = 0

    def broken(path: Path) -> LabelMap:
        nonlocal calls
        calls += 1
        if calls > 8:  # the survey reads five
            raise OSError(28, "No space left on device", "00003.png")
        return read_labels(path)

    monkeypatch.setattr("pcvos_cli.labels.sources.read_labels", broken)
    for target, path in (("davis", out), ("youtube-vis", tmp_path / "v.json"), ("coco", coco)):
        calls = 0
        fails(6, masks, "--to", target, "-o", path, "--overwrite", saying="00003.png")
        assert contents(tmp_path) == before


@pytest.mark.skipif(os.name == "nt", reason="POSIX limits")
@pytest.mark.parametrize("target", ["youtube-vis", "coco", "mots", "binary", "davis"])
def test_a_limit_on_the_size_of_files_leaves_nothing(
    target: str, masks: Path, out: Path, tmp_path: Path
) -> None:
    import resource

    # Many names fill the buffer of a JSON, so that its head meets the limit, too.
    for index in range(5, 2000 if target == "coco" else 5):
        (masks / f"{index:05}.png").hardlink_to(masks / "00000.png")
    done = subprocess.run(
        [*MODULE, "convert", masks, "--to", target, "-o", out],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60, 60)),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 6, done.stderr
    assert "cannot be written (File too large)" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["masks"]


def test_leftovers_of_a_killed_run_do_not_matter(masks: Path, out: Path, tmp_path: Path) -> None:
    write_palette_folder(tmp_path / "out.tmp", moving(9))
    assert pcvos("convert", masks, "--to", "davis", "-o", out).exit_code == 0
    assert contents(out) == contents(masks)
    assert not (tmp_path / "out.tmp").exists()
