"""Hidden files beside masks and frames, result folders as predictions, lists from Windows."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from model.data.davis import read_split
from model.errors import InputError
from pcvos_cli.labels.youtube_vis import read_youtube_vis
from pcvos_cli.scoring.layouts import load_dataset, prediction_folder
from pcvos_cli.scoring.score import score_dataset
from tests.support.datasets import moving, write_davis2016, write_davis2017, write_masks

NOISE = np.random.default_rng(0).bytes(4096)


def _litter(root: Path) -> None:
    """Leave what macOS and Windows leave on a disk that others read."""
    for path in [path for path in root.rglob("*") if path.is_file()]:
        path.with_name(f"._{path.name}").write_bytes(NOISE)
    for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
        for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
            (folder / name).write_bytes(NOISE)
        (folder / ".ipynb_checkpoints").mkdir()
        (folder / ".ipynb_checkpoints" / "00000.png").write_bytes(NOISE)


@pytest.mark.parametrize("write", [write_davis2016, write_davis2017])
@pytest.mark.parametrize("where", ["truth", "predictions", "both"])
def test_stray_files_are_no_masks_and_no_frames(
    write: Callable[..., Path], where: str, tmp_path: Path
) -> None:
    root = write(tmp_path / "DAVIS", {"a": moving(4, (1,))})
    write_masks(tmp_path / "p" / "a", moving(4, (1,), shift=1))
    name = "davis2016" if write is write_davis2016 else "davis2017"
    clean = score_dataset(load_dataset(name, root), tmp_path / "p", jobs=1)
    for folder, kind in ((root, "truth"), (tmp_path / "p", "predictions")):
        if where in (kind, "both"):
            _litter(folder)
    assert score_dataset(load_dataset(name, root), tmp_path / "p", jobs=1)[0].objects == (
        clean[0].objects
    )


@pytest.mark.parametrize("root", ["gt", "gt/a"])
def test_stray_files_in_plain_folders(root: str, tmp_path: Path) -> None:
    write_masks(tmp_path / "gt" / "a", moving(4))
    write_masks(tmp_path / "p" / "a", moving(4))
    _litter(tmp_path)
    truth = load_dataset("folder", tmp_path / root)
    assert [sequence.name for sequence in truth.sequences] == ["a"]
    assert truth.sequences[0].frames == ("00000", "00001", "00002", "00003")
    score_dataset(truth, tmp_path / ("p" if root == "gt" else "p/a"), jobs=1)


def test_a_hidden_list_is_no_split(tmp_path: Path) -> None:
    root = write_davis2017(tmp_path, {"a": moving(3)})
    (root / "ImageSets" / "2017" / "._val.txt").write_bytes(NOISE)
    with pytest.raises(InputError) as told:
        load_dataset("davis2017", root, split="test")
    assert told.value.hint == "--split can be val"


def test_result_folders_are_predictions(tmp_path: Path) -> None:
    root = write_davis2017(tmp_path / "DAVIS", {"a": moving(3)})
    write_masks(tmp_path / "p" / "a" / "masks", moving(3))
    truth = load_dataset("davis2017", root)
    folder = prediction_folder(truth, truth.sequences[0], tmp_path / "p")
    assert folder == tmp_path / "p" / "a" / "masks"
    (series,) = score_dataset(truth, tmp_path / "p", jobs=1)
    assert series.objects[1].J == (1.0,)


@pytest.mark.parametrize("truth", ["masks", "result", "results"])
def test_result_folders_are_plain_folders_too(truth: str, tmp_path: Path) -> None:
    place = {"masks": "gt", "result": "gt/masks", "results": "gt/a/masks"}[truth]
    write_masks(tmp_path / place, moving(3))
    write_masks(tmp_path / "p" / ("a/masks" if truth == "results" else "masks"), moving(3))
    dataset = load_dataset("folder", tmp_path / "gt")
    (series,) = score_dataset(dataset, tmp_path / "p", jobs=1)
    assert series.objects[1].J == (1.0, 1.0, 1.0)


def test_a_result_folder_without_pngs_says_what_to_do(tmp_path: Path) -> None:
    root = write_davis2017(tmp_path / "DAVIS", {"a": moving(3)})
    (tmp_path / "p" / "a").mkdir(parents=True)
    (tmp_path / "p" / "a" / "masks.json").write_text("{}")
    with pytest.raises(InputError, match="3 of 3 masks are missing") as told:
        score_dataset(load_dataset("davis2017", root), tmp_path / "p", jobs=1)
    assert f"--to davis -o {tmp_path / 'p' / 'a' / 'masks'}" in (told.value.hint or "")


@pytest.mark.parametrize("write", [write_davis2016, write_davis2017])
def test_lists_as_windows_writes_them(write: Callable[..., Path], tmp_path: Path) -> None:
    root = write(tmp_path, {"a": moving(3, (1,)), "b": moving(3, (1,))})
    (path,) = (root / "ImageSets").rglob("val.txt")
    text = path.read_text().replace("/", "\\").replace("\n", "\r\n")
    path.write_bytes(text.encode("utf-8-sig"))
    name = "davis2016" if write is write_davis2016 else "davis2017"
    assert [sequence.name for sequence in load_dataset(name, root).sequences] == ["a", "b"]
    assert set(read_split(root, "val")) == {"a", "b"}


@pytest.mark.parametrize("folder", ["dog\\", "C:\\data\\dog\\", "..\\..\\x\\", "dog/sub\\"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_names_with_backslashes_are_names(folder: str, encoding: str, tmp_path: Path) -> None:
    names = [f"{folder}{index:05}.jpg" for index in range(2)]
    video = {"id": 1, "width": 4, "height": 4, "length": 2, "file_names": names}
    text = json.dumps({"videos": [video], "annotations": []})
    (tmp_path / "v.json").write_bytes(text.encode(encoding))
    read = read_youtube_vis(tmp_path / "v.json")
    assert read.names == ("00000", "00001")
    assert not any(os.sep in name for name in read.names)
