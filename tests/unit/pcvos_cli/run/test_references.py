"""--mask: files to frames."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.errors import InputError, MaskError
from pcvos_cli.run.references import load_references, parse_mask_options
from pcvos_cli.video.folder import FolderSource
from pcvos_cli.video.reader import VideoSource
from tests.support.videos import write_video


@pytest.fixture
def video(tmp_path: Path) -> VideoSource:
    return VideoSource(write_video(tmp_path / "v.mp4"))


@pytest.fixture
def folder(tmp_path: Path) -> FolderSource:
    (tmp_path / "frames").mkdir()
    for stem in ("a1", "a2", "a10", "x=y"):
        Image.new("RGB", (8, 6)).save(tmp_path / "frames" / f"{stem}.png")
    return FolderSource(tmp_path / "frames")


def mask(path: Path, value: int = 1) -> Path:
    labels = np.zeros((48, 64), np.uint8)
    labels[10:30, 10:30] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(labels).save(path)
    return path


def test_a_file_is_for_the_first_frame(tmp_path: Path, video: VideoSource) -> None:
    path = mask(tmp_path / "m.png")
    assert parse_mask_options([str(path)], video) == {0: [path]}


def test_frame_equals_file(tmp_path: Path, video: VideoSource) -> None:
    a, b = mask(tmp_path / "a.png"), mask(tmp_path / "b.png")
    assert parse_mask_options([f"00004={a}", f"2={b}"], video) == {2: [b], 4: [a]}


def test_equals_signs_in_paths(tmp_path: Path, video: VideoSource, folder: FolderSource) -> None:
    a = mask(tmp_path / "k=v.png")
    assert parse_mask_options([str(a)], video) == {0: [a]}
    assert parse_mask_options([f"3={a}"], video) == {3: [a]}
    assert parse_mask_options([f"x=y={a}"], folder) == {3: [a]}


def test_stems_name_the_frames_of_a_folder(tmp_path: Path, folder: FolderSource) -> None:
    path = mask(tmp_path / "m.png")
    assert parse_mask_options([f"a10={path}"], folder) == {2: [path]}
    with pytest.raises(MaskError, match="no frame named '2'"):
        parse_mask_options([f"2={path}"], folder)


def test_a_folder_of_masks(tmp_path: Path, video: VideoSource) -> None:
    files = {i: mask(tmp_path / "masks" / f"{i:05d}.png") for i in (4, 0)}
    found = parse_mask_options([str(tmp_path / "masks")], video)
    assert found == {index: [file] for index, file in files.items()}
    assert list(found) == [0, 4]


def test_a_mask_of_no_frame_is_refused(tmp_path: Path, video: VideoSource) -> None:
    mask(tmp_path / "masks" / "first.png")
    with pytest.raises(MaskError, match=r"first\.png: .*v\.mp4 has no frame named 'first'"):
        parse_mask_options([str(tmp_path / "masks")], video)


@pytest.mark.parametrize("given", ["6={}", "masks"])
def test_a_frame_beyond_the_end_is_refused(tmp_path: Path, video: VideoSource, given: str) -> None:
    path = mask(tmp_path / "masks" / "00006.png")
    value = str(tmp_path / "masks") if given == "masks" else given.format(path)
    with pytest.raises(MaskError, match=r"frame 6, but .* has 6 frames \(0 to 5\)") as caught:
        parse_mask_options([value], video)
    assert caught.value.exit_code == 4


def test_two_masks_for_one_frame_are_refused(tmp_path: Path, video: VideoSource) -> None:
    path = mask(tmp_path / "m.png")
    with pytest.raises(MaskError, match="frame 0 has a mask already"):
        parse_mask_options([str(path), f"00000={path}"], video)


@pytest.mark.parametrize("value", ["none.png", "3=none.png"])
def test_a_missing_file_is_an_input_error(video: VideoSource, value: str) -> None:
    with pytest.raises(InputError, match=r"^none\.png: mask not found"):
        parse_mask_options([value], video)


@pytest.mark.parametrize("kind", ["pipe", "-", "https://x.org/m.png", "3=https://x.org/m.png"])
def test_what_is_no_file_is_told_to_become_one(
    kind: str, tmp_path: Path, video: VideoSource
) -> None:
    value = kind
    if kind == "pipe":
        if not hasattr(os, "mkfifo"):
            pytest.skip("no named pipes here")
        value = str(tmp_path / "pipe")
        os.mkfifo(value)
    with pytest.raises(InputError) as told:
        load_references([value], video)
    assert "a mask is a file" in (told.value.hint or "")


def test_an_empty_folder_is_an_input_error(tmp_path: Path, video: VideoSource) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no masks"):
        parse_mask_options([str(tmp_path / "empty")], video)


@pytest.mark.parametrize("files", [(), ("run.json", "masks.json")])
def test_a_result_folder_stands_for_its_masks(
    tmp_path: Path, video: VideoSource, files: tuple[str, ...]
) -> None:
    """As it does for `convert` and `evaluate`, also where only its masks are left."""
    path = mask(tmp_path / "r" / "masks" / "00002.png").parents[1]
    mask(path / "masks" / "00004.png", 3)
    for name in files:
        (path / name).write_text("{}")
    found = load_references([str(path)], video)
    assert [(m.frame_index, m.object_ids) for m in found] == [(2, (1,)), (4, (3,))]
    for value in (f"2={path}", f"2={path / 'masks'}"):
        with pytest.raises(MaskError) as told:
            load_references([value], video)
        assert told.value.hint == "give it without FRAME="
    if files:
        with pytest.raises(MaskError, match="no frame named 'x'"):
            load_references([f"x={path}"], video)
        with pytest.raises(InputError) as no_input:
            FolderSource(path)
        assert "give the video" in (no_input.value.hint or "")


def test_a_folder_of_folders_names_one_with_images(tmp_path: Path, folder: FolderSource) -> None:
    with pytest.raises(InputError) as told:
        FolderSource(tmp_path)
    assert str(folder.info.path) in (told.value.hint or "")


def test_load_references_reads_all_with_one_colour_map(tmp_path: Path, video: VideoSource) -> None:
    paths = []
    for name, colours in (("a", [(255, 0, 0), (0, 255, 0)]), ("b", [(0, 255, 0), (9, 9, 200)])):
        rgb = np.zeros((48, 64, 3), np.uint8)
        for i, colour in enumerate(colours):
            rgb[5:20, 5 + 20 * i : 20 + 20 * i] = colour
        Image.fromarray(rgb).save(tmp_path / f"{name}.png")
        paths.append(tmp_path / f"{name}.png")
    first, later = load_references([f"4={paths[1]}", str(paths[0])], video)
    assert (first.frame_index, first.object_ids) == (0, (1, 2))
    assert (later.frame_index, later.object_ids) == (4, (2, 3))
    assert later.labels[10, 10] == 2


def test_load_references_checks_the_size(tmp_path: Path, folder: FolderSource) -> None:
    path = mask(tmp_path / "m.png")
    with pytest.raises(MaskError, match="is 64x48, but the frame is 8x6"):
        load_references([str(path)], folder)
    (loaded,) = load_references([str(path)], folder, resize=True)
    assert loaded.labels.shape == (6, 8)
