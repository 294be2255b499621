"""Masks from labelling tools, and back: what was drawn is what is read, with its name."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image
from pycocotools.coco import COCO

from model.errors import InputError, MaskError
from pcvos_cli.convert.conversion import ConversionSettings, convert_masks
from pcvos_cli.labels.sources import open_labels
from pcvos_cli.labels.youtube_vis import frame_stem
from pcvos_cli.masks.writers import encode_palette_png
from pcvos_cli.run.references import load_references
from pcvos_cli.video.source import FrameSource, open_source
from tests.support.cli import pcvos, read_labels, square
from tests.support.videos import pictures, write_video

SIZE = (48, 64)
BOX = [10.0, 8.0, 30.0, 8.0, 30.0, 20.0, 10.0, 20.0]
"""A rectangle of columns 10 to 29 and rows 8 to 19."""


def box(value: int = 1) -> NDArray[np.int32]:
    labels = np.zeros(SIZE, np.int32)
    labels[8:20, 10:30] = value
    return labels


@pytest.fixture
def video(tmp_path: Path) -> FrameSource:
    return open_source(write_video(tmp_path / "v.mp4", pictures(6, SIZE)))


def dump(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def coco(*annotations: dict[str, Any], names: tuple[str, ...] = ("00000.jpg",)) -> dict[str, Any]:
    return {
        "images": [
            {"id": i, "file_name": name, "height": 48, "width": 64} for i, name in enumerate(names)
        ],
        "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "ball"}],
        "annotations": list(annotations),
    }


def part(image: int, category: int, left: float = 10, **more: Any) -> dict[str, Any]:
    polygon = [left, 8, left + 20, 8, left + 20, 20, left, 20]
    return {"image_id": image, "category_id": category, "segmentation": [polygon], **more}


def test_coco_of_one_image(tmp_path: Path, video: FrameSource) -> None:
    path = dump(tmp_path / "a.json", coco(part(0, 1), part(0, 2, 40)))
    (mask,) = load_references([str(path)], video)
    assert (mask.frame_index, mask.object_ids) == (0, (1, 2))
    assert np.array_equal(mask.labels == 1, box() > 0)
    assert mask.categories == {1: "dog", 2: "ball"}
    (mask,) = load_references([f"3={path}"], video)
    assert mask.frame_index == 3


def test_coco_of_many_images_by_track_or_category(tmp_path: Path, video: FrameSource) -> None:
    names = ("frame_000002.jpg", "frame_000005.jpg")
    tracked = coco(part(0, 1, track_id=7), part(1, 1, 30, attributes={"track_id": 7}), names=names)
    first, later = load_references([str(dump(tmp_path / "a.json", tracked))], video)
    assert [(m.frame_index, m.object_ids) for m in (first, later)] == [(2, (7,)), (5, (7,))]
    plain = coco(part(0, 1), part(1, 2, 30), part(1, 1), names=names)
    first, later = load_references([str(dump(tmp_path / "b.json", plain))], video)
    assert (first.object_ids, later.object_ids) == ((1,), (1, 2))
    unsure = coco(part(0, 1), part(0, 1, 30), part(1, 1), names=names)
    with pytest.raises(MaskError, match="nothing says which annotations are one object"):
        open_labels(dump(tmp_path / "c.json", unsure))


def test_a_coco_file_for_each_image(tmp_path: Path, video: FrameSource) -> None:
    for index in (1, 4):
        one = coco(part(0, 1, 10 + index, track_id=3), names=(f"{index:05}.png",))
        dump(tmp_path / "each" / f"{index:05}.json", one)
    masks = load_references([str(tmp_path / "each")], video)
    assert [(m.frame_index, m.object_ids) for m in masks] == [(1, (3,)), (4, (3,))]


def shape(label: str, kind: str, points: list[list[float]], **more: Any) -> dict[str, Any]:
    return {"label": label, "shape_type": kind, "points": points, "group_id": None, **more}


def labelme(*shapes: dict[str, Any]) -> dict[str, Any]:
    return {"imageHeight": 48, "imageWidth": 64, "imagePath": "x.jpg", "shapes": list(shapes)}


def test_labelme_shapes(tmp_path: Path, video: FrameSource) -> None:
    content = io.BytesIO()
    Image.fromarray(np.full((12, 20), 255, np.uint8)).save(content, format="PNG")
    png = base64.b64encode(content.getvalue()).decode()
    polygon = [[BOX[i], BOX[i + 1]] for i in range(0, 8, 2)]
    for name, drawn in (
        ("polygon", shape("dog", "polygon", polygon)),
        ("rectangle", shape("dog", "rectangle", [[10, 8], [30, 20]])),
        ("corners", shape("dog", "rectangle", polygon)),
        ("turned", shape("dog", "rotation", polygon)),
        ("mask", shape("dog", "mask", [[10, 8], [29, 19]], mask=png)),
    ):
        dump(tmp_path / name / "frame_000003.json", labelme(drawn, shape("p", "point", [[1, 1]])))
        (mask,) = load_references([str(tmp_path / name)], video)
        assert mask.frame_index == 3, name
        assert np.array_equal(mask.labels, box()), name
        assert mask.categories == {1: "dog"}
        assert any("have no area" in note for note in mask.notes)


@pytest.mark.parametrize("label", [None, ""])
def test_an_empty_label_is_that_of_any_object(
    label: str | None, tmp_path: Path, video: FrameSource
) -> None:
    drawn = shape("", "rectangle", [[10, 8], [30, 20]]) | {"label": label}
    (mask,) = load_references([str(dump(tmp_path / "l" / "00000.json", labelme(drawn)))], video)
    assert (mask.object_ids, mask.categories) == ((1,), {})
    assert not any("None" in note for note in mask.notes)


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int64"])
def test_a_tiff_stack_of_ids_is_the_masks_of_all_frames(
    kind: str, tmp_path: Path, video: FrameSource
) -> None:
    stack = np.zeros((6, 1, *SIZE), kind)
    stack[2, 0], stack[5, 0] = box(3), box(7)
    path = tmp_path / "labels.tif"
    tifffile.imwrite(path, stack, metadata={"axes": "TCYX"})
    first, later = load_references([str(path)], video)
    assert [(m.frame_index, m.object_ids) for m in (first, later)] == [(2, (3,)), (5, (7,))]
    assert np.array_equal(first.labels, box(3))
    result = pcvos("convert", path, "--to", "davis", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    assert np.array_equal(read_labels(tmp_path / "out" / "00005.png"), box(7))


def test_a_tiff_stack_of_smoothed_masks_is_refused(tmp_path: Path, video: FrameSource) -> None:
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    soft = np.clip(255 * (12 - np.hypot(rows - 24, columns - 32)) / 4, 0, 255).astype(np.uint8)
    tifffile.imwrite(tmp_path / "soft.tif", np.stack([soft, soft]), metadata={"axes": "TYX"})
    with pytest.raises(MaskError, match="looks anti-aliased"):
        load_references([str(tmp_path / "soft.tif")], video)


def test_a_pickle_and_an_archive_are_told_what_to_do(tmp_path: Path, video: FrameSource) -> None:
    np.save(tmp_path / "a_seg.npy", {"masks": box()}, allow_pickle=True)  # type: ignore[arg-type]
    with pytest.raises(InputError) as told:
        load_references([str(tmp_path / "a_seg.npy")], video)
    assert "save the map of ids alone" in (told.value.hint or "")
    (tmp_path / "labels.zip").write_bytes(b"PK\3\4")
    with pytest.raises(InputError) as told:
        load_references([str(tmp_path / "labels.zip")], video)
    assert "unpack it" in (told.value.hint or "")


def test_labelme_groups_are_objects_over_frames(tmp_path: Path, video: FrameSource) -> None:
    a, b = ([[x, 8], [x + 10, 20]] for x in (5, 40))
    dump(tmp_path / "l" / "00000.json", labelme(shape("cat", "rectangle", a)))
    two = labelme(shape("dog", "rectangle", a), shape("cat", "rectangle", b))
    dump(tmp_path / "l" / "00004.json", two)
    first, later = load_references([str(tmp_path / "l")], video)
    assert (first.object_ids, later.object_ids) == ((1,), (1, 2))
    assert later.labels[10, 45] == 1


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><task><size>6</size>
<original_size><width>64</width><height>48</height></original_size></task></meta>
<track id="0" label="dog"><polygon frame="1" keyframe="1" outside="0" occluded="0"
 points="10.00,8.00;30.00,8.00;30.00,20.00;10.00,20.00"/>
 <polygon frame="2" keyframe="1" outside="1" occluded="0" points="10,8;30,8;30,20"/></track>
<track id="4" label="ball"><mask frame="1" keyframe="1" outside="0" occluded="0"
 rle="1, 2, 1, 2" left="40" top="30" width="3" height="2" z_order="0"/></track>
</annotations>"""


def test_cvat_for_video(tmp_path: Path, video: FrameSource) -> None:
    (tmp_path / "a.xml").write_text(CVAT)
    (mask,) = load_references([str(tmp_path / "a.xml")], video)
    assert (mask.frame_index, mask.object_ids) == (1, (1, 5))
    assert np.array_equal(mask.labels == 1, box() > 0)
    assert mask.labels[30:32, 40:43].tolist() == [[0, 5, 5], [0, 5, 5]]
    assert mask.categories == {1: "dog", 5: "ball"}
    (tmp_path / "b.xml").write_text(CVAT.replace("1, 2, 1, 2", "1, 2, 1"))
    with pytest.raises(MaskError, match="do not add up"):
        load_references([str(tmp_path / "b.xml")], video)
    (tmp_path / "c.xml").write_text('<!DOCTYPE a [<!ENTITY b "c">]>' + CVAT)
    with pytest.raises(InputError, match="document type"):
        open_labels(tmp_path / "c.xml")


@pytest.mark.parametrize(
    "name",
    [
        "00004.jpg",
        "C:\\frames\\00004.JPG",
        "https://x.org/a/00004.jpg?size=2",
        "/data/?d=f/00004.png",
    ],
)
def test_names_of_frames_as_tools_write_them(name: str, tmp_path: Path, video: FrameSource) -> None:
    path = dump(tmp_path / "a.json", coco(part(0, 1), names=(name,)))
    (mask,) = load_references([str(path)], video)
    assert mask.frame_index == 4
    assert frame_stem("what?.jpg") == "what?"


def test_what_has_no_masks_says_what_to_give(tmp_path: Path, video: FrameSource) -> None:
    boxes = {"image_id": 0, "category_id": 1, "bbox": [1, 2, 9, 9]}
    path = dump(tmp_path / "a.json", coco(boxes))
    with pytest.raises(MaskError, match="no object on any frame") as no_object:
        load_references([str(path)], video)
    assert "--box" in (no_object.value.hint or "")
    (tmp_path / "a.xml").write_text(
        "<annotations><meta><task><original_size><width>64</width><height>48</height>"
        "</original_size></task></meta><image id='0' name='0.jpg' width='64' height='48'>"
        "<polygon label='dog' points='1,1;9,1;9,9'/></image></annotations>"
    )
    with pytest.raises(InputError, match="is CVAT for images") as told:
        load_references([str(tmp_path / "a.xml")], video)
    assert "CVAT for video" in (told.value.hint or "")


def test_cvat_boxes_and_ellipses_may_be_turned(tmp_path: Path, video: FrameSource) -> None:
    head, _, tail = CVAT.partition("<track")
    shapes = (
        '<box frame="0" outside="0" xtl="20" ytl="10" xbr="40" ybr="20" rotation="90"/>',
        '<ellipse frame="1" outside="0" cx="30" cy="20" rx="12" ry="4"/>',
        '<ellipse frame="2" outside="0" cx="30" cy="20" rx="12" ry="4" rotation="30"/>',
        '<points frame="3" outside="0" points="1,1"/>',
    )
    text = f'{head}<track id="0" label="dog">{"".join(shapes)}</track></annotations>'
    assert tail
    (tmp_path / "a.xml").write_text(text)
    boxed, flat, turned = load_references([str(tmp_path / "a.xml")], video)
    assert np.array_equal(boxed.labels, square(SIZE, (5, 25, 20, 10)))
    assert "shapes of type points have no area and are left out" in boxed.notes
    y, x = np.mgrid[:48, :64] + 0.5 - np.array([20, 30])[:, None, None]
    for mask, degrees in ((flat, 0), (turned, 30)):
        # Clockwise on the screen, where rows go down.
        cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        along, across = x * cosine + y * sine, y * cosine - x * sine
        expected = (along / 12) ** 2 + (across / 4) ** 2 <= 1
        assert (expected != mask.labels).sum() <= 0.1 * expected.sum(), degrees


def test_json_in_16_bits_as_windows_shells_write_it(tmp_path: Path, video: FrameSource) -> None:
    drawn = shape("dog", "rectangle", [[10, 8], [30, 20]])
    (tmp_path / "00002.json").write_text(json.dumps(labelme(drawn)), encoding="utf-16")
    (mask,) = load_references([str(tmp_path / "00002.json")], video)
    assert np.array_equal(mask.labels, box())


def test_arrays_of_ids(tmp_path: Path, video: FrameSource) -> None:
    np.save(tmp_path / "one.npy", box(3))
    (mask,) = load_references([f"2={tmp_path / 'one.npy'}"], video)
    assert (mask.frame_index, mask.object_ids) == (2, (3,))
    np.save(tmp_path / "bool.npy", box() > 0)
    (mask,) = load_references([str(tmp_path / "bool.npy")], video)
    assert (mask.frame_index, mask.object_ids) == (0, (1,))
    stack = np.stack([box(0), box(2), box(0), box(4), box(0), box(0)])
    np.savez_compressed(tmp_path / "all.npz", masks=stack)
    masks = load_references([str(tmp_path / "all.npz")], video)
    assert [(m.frame_index, m.object_ids) for m in masks] == [(1, (2,)), (3, (4,))]
    np.save(tmp_path / "soft.npy", np.full(SIZE, 0.5, np.float32))
    with pytest.raises(MaskError, match="no object ids"):
        open_labels(tmp_path / "soft.npy")


def binary(path: Path, labels: NDArray[np.int32]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.where(labels > 0, 255, 0).astype(np.uint8)).save(path)
    return path


def test_a_binary_mask_for_each_object(tmp_path: Path, video: FrameSource) -> None:
    other = np.roll(box(), 30, axis=1)
    files = [binary(tmp_path / f"sav/{i:03}/00000.png", m) for i, m in enumerate((box(), other))]
    (given,) = load_references([f"0={file}" for file in files], video)
    (folder,) = load_references([str(tmp_path / "sav")], video)
    for mask in (given, folder):
        assert (mask.frame_index, mask.object_ids) == (0, (1, 2))
        assert np.array_equal(mask.labels == 2, other > 0)
    assert any("count from 0" in note for note in folder.notes)
    two = tmp_path / "two.png"
    two.write_bytes(encode_palette_png(box() + 2 * other))
    with pytest.raises(MaskError, match="has several masks, and this one has object 1, 2"):
        load_references([str(files[0]), f"0={two}"], video)


def test_mots_in_a_folder(tmp_path: Path, video: FrameSource) -> None:
    (tmp_path / "mots").mkdir()
    values = np.where(box() > 0, 2007, 0).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "mots" / "000003.png")
    (mask,) = load_references([str(tmp_path / "mots")], video)
    assert (mask.frame_index, mask.object_ids) == (3, (7,))


def test_numbers_match_only_where_they_are_sure(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, rgb in zip((3, 5, 9), pictures(3, SIZE), strict=True):
        Image.fromarray(rgb).save(folder / f"img{number:03}.jpg")
    source = open_source(folder)
    binary(tmp_path / "m" / "frame_000009.png", box())
    (mask,) = load_references([str(tmp_path / "m")], source)
    assert mask.frame_index == 2
    binary(tmp_path / "n" / "frame_000004.png", box())
    with pytest.raises(MaskError, match="no frame named 'frame_000004'"):
        load_references([str(tmp_path / "n")], source)


def test_there_and_back(tmp_path: Path) -> None:
    source = tmp_path / "masks"
    source.mkdir()
    maps = [box(2) + np.roll(box(5), 25, axis=1), box(5), box(0), np.roll(box(2), 3, axis=0)]
    for index, labels in enumerate(maps):
        (source / f"{index:05}.png").write_bytes(encode_palette_png(labels))
    named = {2: "dog", 5: 'a "b" <c> & é'}
    for target, name in (("coco", "c.json"), ("labelme", "l"), ("cvat", "v.xml"),
                         ("youtube-vis", "y.json")):  # fmt: skip
        out = tmp_path / name
        settings = ConversionSettings(target, categories=tuple(named.items()))  # type: ignore[arg-type]
        convert_masks(source, out, settings)
        back = open_labels(out)
        assert back.categories == named, target
        assert back.object_ids == (2, 5), target
        assert len(back.names) == 4
        for found, true in zip(back.read(), maps, strict=True):
            assert np.array_equal(found, true), target
        again = ConversionSettings(target, overwrite=True)  # type: ignore[arg-type]
        convert_masks(source, out, again)
    loaded = COCO(str(tmp_path / "c.json"))
    assert len(loaded.getAnnIds()) == 4
    assert loaded.annToMask(loaded.loadAnns(1)[0]).sum() == 240
    (tmp_path / "l" / "00000.json").write_text('{"mine": 1}')
    assert (
        pcvos("convert", source, "--to", "labelme", "-o", tmp_path / "l", "--overwrite").exit_code
        == 6
    )


def test_labelme_files_have_what_labelme_asks_for(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "00000.png").write_bytes(encode_palette_png(box(4)))
    result = pcvos(
        "convert", tmp_path / "m", "--to", "labelme", "-o", tmp_path / "l", "--category", "4=dog",
        "--suffix", ".png",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    document = json.loads((tmp_path / "l" / "00000.json").read_text())
    # The keys that labelme.LabelFile.load reads, and those of a shape.
    assert {
        "version",
        "imageData",
        "imagePath",
        "shapes",
        "flags",
        "imageHeight",
        "imageWidth",
    } <= (set(document))
    assert document["imagePath"] == "00000.png"
    (drawn,) = document["shapes"]
    assert set(drawn) == {
        "label", "points", "group_id", "description", "shape_type", "flags", "mask",
    }  # fmt: skip
    assert (drawn["label"], drawn["group_id"], drawn["shape_type"]) == ("dog", 4, "mask")
    assert drawn["points"] == [[10, 8], [29, 19]]


def test_names_reach_masks_json(lite_weights: Path, tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", pictures(4, SIZE))
    given = dump(tmp_path / "a.json", coco(part(0, 1), part(0, 2, 40)))
    result = pcvos(
        "segment", path, "-m", given, "--category", "2=football", "--weights", lite_weights,
        "--format", "rle", "--threads", "1", "-o", tmp_path / "out",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    document = json.loads((tmp_path / "out" / "masks.json").read_text())
    names = {c["id"]: c["name"] for c in document["categories"]}
    assert {a["id"]: names[a["category_id"]] for a in document["annotations"]} == {
        1: "dog", 2: "football",
    }  # fmt: skip
    assert pcvos("segment", path, "-m", given, "--category", "x=y").exit_code == 2
