"""``pcvos convert``: what others read is what we wrote, and it comes back byte for byte."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from tests.support.cli import pcvos, read_labels, write_mask
from tests.support.masks import contents, moving, write_palette_folder
from tests.support.videos import pictures, times_of, write_video


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    return write_palette_folder(tmp_path / "masks in", moving())


def convert(source: Path, target: str, out: Path, *options: str) -> Any:
    result = pcvos("convert", source, "--to", target, "-o", out, "--json", *options)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_youtube_vis_is_what_pycocotools_decodes(masks: Path, tmp_path: Path) -> None:
    report = convert(masks, "youtube-vis", tmp_path / "new" / "v.json", "--fps", "12.5")
    assert (report["frames"], report["object_ids"], report["size"]) == (5, [1, 7], [48, 64])
    assert report["kind"] == "palette"
    document = json.loads((tmp_path / "new" / "v.json").read_text())
    assert document["videos"][0]["file_names"] == [f"{i:05}" for i in range(5)]
    assert document["info"]["time_base"] == "2/25"
    assert document["info"]["pts"] == [0, 1, 2, 3, 4]
    found = np.zeros((5, 48, 64), np.int32)
    for annotation in document["annotations"]:
        for index, rle in enumerate(annotation["segmentations"]):
            if rle is not None:
                found[index][coco_mask.decode(rle) > 0] = annotation["id"]
    np.testing.assert_array_equal(found, np.stack(moving()))


def test_coco_is_what_pycocotools_loads(
    masks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    convert(masks, "coco", tmp_path / "c.json", "--suffix", ".png")
    coco = COCO(str(tmp_path / "c.json"))
    capsys.readouterr()  # COCO prints
    images = coco.loadImgs(coco.getImgIds())
    assert [image["file_name"] for image in images] == [f"{i:05}.png" for i in range(5)]
    assert [image["frame_id"] for image in images] == list(range(5))
    for image, labels in zip(images, moving(), strict=True):
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
        assert [a["track_id"] for a in annotations] == [i for i in np.unique(labels) if i]
        for annotation in annotations:
            mask = labels == annotation["track_id"]
            np.testing.assert_array_equal(coco.annToMask(annotation), mask)
            assert annotation["area"] == mask.sum()
            rows, columns = np.nonzero(mask)
            assert annotation["bbox"] == [
                columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1,
            ]  # fmt: skip


def test_mots_is_class_and_instance_in_16_bits(masks: Path, tmp_path: Path) -> None:
    convert(masks, "mots", tmp_path / "mots", "--class-id", "2")
    for index, labels in enumerate(moving()):
        with Image.open(tmp_path / "mots" / f"{index:05}.png") as image:
            assert image.mode == "I;16"
            values = np.array(image).astype(np.int32)
        np.testing.assert_array_equal(values, np.where(labels > 0, 2000 + labels, 0))


def test_binary_has_a_folder_an_object_with_every_frame(masks: Path, tmp_path: Path) -> None:
    convert(masks, "binary", tmp_path / "b")
    assert sorted(contents(tmp_path / "b")) == sorted(
        f"{object_id}/{index:05}.png" for object_id in (1, 7) for index in range(5)
    )
    for object_id in (1, 7):
        for index, labels in enumerate(moving()):
            with Image.open(tmp_path / "b" / str(object_id) / f"{index:05}.png") as image:
                assert image.mode == "L"
                np.testing.assert_array_equal(np.array(image), 255 * (labels == object_id))


@pytest.mark.parametrize("through", ["youtube-vis", "mots", "binary", "davis"])
def test_there_and_back_gives_the_same_bytes(through: str, masks: Path, tmp_path: Path) -> None:
    there = tmp_path / ("there.json" if through == "youtube-vis" else "there")
    assert convert(masks, through, there)["notes"] == []
    report = convert(there, "davis", tmp_path / "back")
    assert report["kind"] == {"davis": "palette"}.get(through, through)
    assert report["notes"] == []
    assert contents(tmp_path / "back") == contents(masks)


def test_a_run_s_folder_keeps_its_times_and_names(lite_weights: Path, tmp_path: Path) -> None:
    video = write_video(
        tmp_path / "in.mp4", pictures(4), pts=[0, 3, 4, 9], time_base=Fraction(1, 100)
    )
    run = tmp_path / "run"
    mask = write_mask(tmp_path / "m.png")
    done = pcvos("segment", video, "--mask", mask, "--weights", lite_weights, "-o", run)
    assert done.exit_code == 0, done.stderr
    convert(run, "youtube-vis", tmp_path / "v.json")
    again, before = (
        json.loads(path.read_text()) for path in (tmp_path / "v.json", run / "masks.json")
    )
    assert again["annotations"] == before["annotations"]
    base = Fraction(again["info"]["time_base"])
    assert [pts * base for pts in again["info"]["pts"]] == times_of(video)
    # A result may lie inside the run's folder, and without PNGs the JSON serves.
    convert(run, "binary", run / "binary")
    kept = contents(run / "masks")
    for path in (run / "masks").iterdir():
        path.unlink()
    assert convert(run, "davis", tmp_path / "d")["kind"] == "youtube-vis"
    assert contents(tmp_path / "d") == kept


def test_names_of_images_are_kept(tmp_path: Path) -> None:
    names = ["shot.1", "shot.2", "shot.10"]
    masks = write_palette_folder(tmp_path / "m", moving(3), names)
    convert(masks, "youtube-vis", tmp_path / "v.json")
    assert json.loads((tmp_path / "v.json").read_text())["videos"][0]["file_names"] == names
    convert(tmp_path / "v.json", "binary", tmp_path / "b")
    convert(tmp_path / "b", "davis", tmp_path / "d")
    assert contents(tmp_path / "d") == contents(masks)


def test_youtube_vis_of_others_with_polygons_lists_and_overlap(tmp_path: Path) -> None:
    size = [4, 6]
    document = {
        "videos": [{"id": 9, "width": 6, "height": 4, "length": 2,
                    "file_names": ["clip/a.jpg", "clip/b.jpg"]}],
        "annotations": [
            {"id": 5, "video_id": 9, "segmentations": [{"size": size, "counts": [0, 8, 16]}, None]},
            {"id": 3, "video_id": 9, "segmentations": [
                {"size": size, "counts": [4, 8, 12]}, [[1, 1, 5, 1, 5, 3, 1, 3]]]},
            {"id": 8, "video_id": 1, "segmentations": []},
        ],
    }  # fmt: skip
    (tmp_path / "v.json").write_text(json.dumps(document))
    report = convert(tmp_path / "v.json", "davis", tmp_path / "d")
    assert report["object_ids"] == [3, 5]
    assert report["notes"] == ["objects overlap on 1 frames: the one listed last is in front"]
    first = read_labels(tmp_path / "d" / "a.png")
    np.testing.assert_array_equal(first, np.repeat([[5, 3, 3, 0, 0, 0]], 4, axis=0))
    second = read_labels(tmp_path / "d" / "b.png")
    assert set(np.unique(second)) == {0, 3}
    assert second[1:3, 1:5].all()


def test_mots_of_others_keeps_instances_or_says_the_new_numbers(tmp_path: Path) -> None:
    def write(folder: Path, values: list[int]) -> Path:
        folder.mkdir()
        Image.fromarray(np.array([values], np.uint16)).save(folder / "000000.png")
        return folder

    unlike = convert(write(tmp_path / "a", [0, 1004, 2007, 10000]), "davis", tmp_path / "a2")
    assert unlike["object_ids"] == [4, 7]
    assert "ignored region" in unlike["notes"][0]
    assert read_labels(tmp_path / "a2" / "000000.png").tolist() == [[0, 4, 7, 0]]
    clash = convert(write(tmp_path / "b", [0, 1000, 2000, 2005]), "davis", tmp_path / "b2")
    assert clash["notes"] == ["MOTS: objects numbered anew: 1000 = 1, 2000 = 2, 2005 = 3"]
    assert read_labels(tmp_path / "b2" / "000000.png").tolist() == [[0, 1, 2, 3]]
    ids = convert(write(tmp_path / "c", [0, 300, 2000, 1]), "youtube-vis", tmp_path / "c.json")
    assert (ids["kind"], ids["object_ids"]) == ("palette", [1, 300, 2000])


def test_void_is_decided_for_the_folder_as_a_whole(tmp_path: Path) -> None:
    void, plain = (np.array([values], np.int32) for values in ([0, 255, 2], [0, 255, 0]))
    both = convert(write_palette_folder(tmp_path / "a", [plain, void]), "davis", tmp_path / "a2")
    assert both["object_ids"] == [2]
    assert both["notes"] == ["255 is void, written as background"]
    assert not read_labels(tmp_path / "a2" / "00000.png").any()
    only = convert(write_palette_folder(tmp_path / "b", [plain, plain]), "davis", tmp_path / "b2")
    assert only["object_ids"] == [1]
    assert read_labels(tmp_path / "b2" / "00001.png").tolist() == [[0, 1, 0]]


def test_overwrite_replaces_all_of_an_older_result(masks: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    longer = write_palette_folder(tmp_path / "longer", moving(9))
    convert(longer, "binary", out)
    convert(masks, "davis", out, "--overwrite")
    assert contents(out) == contents(masks)
    assert {path.name for path in tmp_path.iterdir()} == {"masks in", "longer", "out"}


def test_masks_without_objects(tmp_path: Path) -> None:
    masks = write_palette_folder(tmp_path / "m", [np.zeros((4, 5), np.int32)] * 3)
    for target, out in (("youtube-vis", "v.json"), ("coco", "c.json"), ("mots", "mots")):
        assert convert(masks, target, tmp_path / out)["object_ids"] == []
    assert json.loads((tmp_path / "c.json").read_text())["annotations"] == []
    convert(tmp_path / "v.json", "davis", tmp_path / "d")
    assert contents(tmp_path / "d") == contents(masks)


def test_the_line_for_people(masks: Path, tmp_path: Path) -> None:
    out = tmp_path / "c.json"
    result = pcvos("convert", masks, "--to", "coco", "-o", out)
    assert result.stdout == f"{out}  coco: 5 frames, 64 x 48, objects 1,7\n"
    assert result.stderr == ""
