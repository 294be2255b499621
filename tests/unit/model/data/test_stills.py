"""Still images with masks: layouts, bad items, frames made of one image."""

from pathlib import Path

import numpy as np
import pytest

from model.data.opening import detect_kind, open_training_source
from model.data.sample import UnusableItemError
from model.data.static_images import StaticImages
from model.data.stills import StillFolder, detect_still_layout
from model.errors import InputError
from tests.support.shared import shared
from tests.support.training_data import disk, make_pairs, make_photos, photo, save


def masks(*disks: np.ndarray) -> np.ndarray:
    labels = np.zeros((96, 128), np.uint8)
    for number, mask in enumerate(disks, start=1):
        labels[mask] = number
    return labels


def test_every_layout_is_recognised_and_read(tmp_path: Path) -> None:
    binary = disk((48, 60), 25).astype(np.uint8) * 255
    make_pairs(tmp_path / "pairs")
    save(tmp_path / "duts" / "DUTS-TR-Image" / "x.jpg", photo(0))
    save(tmp_path / "duts" / "DUTS-TR-Mask" / "x.png", binary)
    save(tmp_path / "flat" / "x.jpg", photo(0))
    save(tmp_path / "flat" / "x.png", binary)
    save(tmp_path / "big" / "y_im.jpg", photo(0))
    save(tmp_path / "big" / "y_gt.png", binary)
    for kind in ("ant", "bee"):
        save(tmp_path / "fss" / kind / "1.jpg", photo(0))
        save(tmp_path / "fss" / kind / "1.png", binary)
    save(tmp_path / "regions" / "images" / "x.jpg", photo(0))
    save(tmp_path / "regions" / "segments" / "x_0.png", masks(disk((48, 60), 25)) + 1)
    save(tmp_path / "regions" / "segments" / "x_1.png", masks(disk((48, 60), 20)) + 1)
    save(tmp_path / "inst" / "images" / "x.jpg", photo(0))
    save(tmp_path / "inst" / "instances" / "x.png", masks(disk((48, 40), 20), disk((48, 95), 20)))
    expected = {
        "pairs": ("pairs", 4),
        "duts": ("pairs", 1),
        "flat": ("beside", 1),
        "big": ("beside", 1),
        "fss": ("beside", 2),
        "regions": ("regions", 1),
        "inst": ("instances", 1),
    }
    for name, (layout, count) in expected.items():
        assert detect_still_layout(tmp_path / name) == layout, name
        folder = StillFolder(tmp_path / name)
        assert len(folder) == count, name
        image, labels = folder.load(0, np.random.default_rng(0), 2)
        assert image.shape == (96, 128, 3)
        assert labels[48, 40 if name == "inst" else 60] > 0, name
    assert len(StillFolder(tmp_path / "regions").items[0].masks) == 2


def test_instances_give_several_objects_and_regions_leave_out_the_backdrop(tmp_path: Path) -> None:
    two = masks(disk((48, 30), 20), disk((48, 95), 20))
    save(tmp_path / "images" / "x.jpg", photo(0))
    save(tmp_path / "segments" / "x_0.png", two + 1)
    folder = StillFolder(tmp_path)
    counts = set()
    for seed in range(20):
        _, labels = folder.load(0, np.random.default_rng(seed), 2)
        counts.add(int(labels.max()))
        # Region 1 is the backdrop: it fills the border.
        assert not labels[two == 0].any()
    assert counts == {1, 2}


@pytest.mark.parametrize("objects", [1, 2])
def test_255_beside_object_ids_is_void_and_no_object(tmp_path: Path, objects: int) -> None:
    stored = masks(*[disk((48, 30), 20), disk((48, 95), 20)][:objects])
    stored[:10] = 255
    save(tmp_path / "images" / "x.jpg", photo(0))
    save(tmp_path / "masks" / "x.png", stored)
    folder = StillFolder(tmp_path)
    for seed in range(5):
        _, labels = folder.load(0, np.random.default_rng(seed), 2)
        assert labels.any()
        assert not labels[(stored == 0) | (stored == 255)].any()


def test_antialiased_and_binary_masks_are_cut_at_half(tmp_path: Path) -> None:
    soft = np.zeros((96, 128), np.uint8)
    soft[20:70, 20:100] = 255
    soft[20:70, 100:104] = [[200, 140, 100, 30]]
    save(tmp_path / "images" / "x.jpg", photo(0))
    save(tmp_path / "masks" / "x.png", soft)
    _, labels = StillFolder(tmp_path).load(0, np.random.default_rng(0), 1)
    assert labels[40, 98:106].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]


def test_bad_items_are_named_and_counted(tmp_path: Path) -> None:
    make_pairs(tmp_path, 2)
    save(tmp_path / "images" / "nomask.jpg", photo(1))
    save(tmp_path / "images" / "small.jpg", photo(1))
    save(tmp_path / "masks" / "small.png", np.zeros((10, 20), np.uint8))
    (tmp_path / "images" / "text.jpg").write_text("<html>")
    save(tmp_path / "masks" / "text.png", np.zeros((96, 128), np.uint8))
    folder = StillFolder(tmp_path)
    assert len(folder) == 2
    reasons = {Path(p.path).name: p.reason for p in folder.problems}
    assert reasons["nomask.jpg"] == "no mask"
    assert "mask is 10 x 20, its image 96 x 128" in reasons["small.png"]
    assert "not a readable image" in reasons["text.jpg"]
    assert len(reasons) == 3


def test_truncated_and_empty_masks_are_skipped_while_sampling(tmp_path: Path) -> None:
    make_pairs(tmp_path, 3)
    save(tmp_path / "masks" / "a0.png", np.zeros((96, 128), np.uint8))
    whole = (tmp_path / "images" / "a1.jpg").read_bytes()
    (tmp_path / "images" / "a1.jpg").write_bytes(whole[: len(whole) // 2])
    source = StaticImages(tmp_path, (64, 64))
    with pytest.raises(UnusableItemError, match="covers 0"):
        source.folder.load(0, np.random.default_rng(0), 1)
    seen: dict[str, str] = {}
    for index in range(6):
        sample = source.sample(index, np.random.default_rng(index))
        assert sample.source.endswith("a2.jpg")
        seen |= {Path(p.path).name: p.reason for p in sample.problems}
    assert set(seen) == {"a0.png", "a1.jpg"}
    assert "not a readable image" in seen["a1.jpg"]


def test_nothing_usable_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        StillFolder(tmp_path / "missing")
    with pytest.raises(InputError, match="no images with masks"):
        StillFolder(tmp_path)
    save(tmp_path / "images" / "x.jpg", photo(0))
    (tmp_path / "masks").mkdir()
    with pytest.raises(InputError, match=r"none of 1 images can be used; first: .*no mask"):
        StillFolder(tmp_path)
    save(tmp_path / "masks" / "x.png", np.zeros((96, 128), np.uint8))
    with pytest.raises(InputError, match="images in a row cannot be used"):
        StaticImages(tmp_path, (64, 64)).sample(0, np.random.default_rng(0))


def test_photos_alone_are_no_training_source(tmp_path: Path) -> None:
    make_photos(tmp_path)
    assert detect_kind(tmp_path) == "photos"
    with pytest.raises(InputError, match="images without masks"):
        open_training_source(tmp_path, size=(64, 64), frame_count=3, clip_length=1, max_objects=1)


def test_frames_of_a_still_differ_and_their_masks_follow_the_pixels(tmp_path: Path) -> None:
    image = np.full((120, 160, 3), 40, np.uint8)
    mask = disk((60, 80), 35, (120, 160))
    image[mask] = (250, 240, 230)
    save(tmp_path / "images" / "x.png", image)
    save(tmp_path / "masks" / "x.png", mask.astype(np.uint8) * 255)
    source = StaticImages(tmp_path, (96, 96), frame_count=3)
    for seed in range(5):
        sample = source.sample(0, np.random.default_rng(seed))
        bright = sample.frames.float().mean(1) > 140
        overlap = (bright & (sample.labels == 1)).sum() / (bright | (sample.labels == 1)).sum()
        assert overlap > 0.97
        assert (sample.labels[0] != sample.labels[1]).any()
        assert (sample.labels[1] != sample.labels[2]).any()


def test_shared_stills_open(tmp_path: Path) -> None:
    for name, layout in (("horses", "pairs"), ("regions", "regions"), ("coco128", "instances")):
        source = StaticImages(shared("data", name), (64, 64))
        assert source.folder.layout == layout
        assert not source.problems
        assert source.sample(5, np.random.default_rng(5)).object_count >= 1
