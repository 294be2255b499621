"""Masks with palettes of any kind, and cut-outs: the right objects, or a word."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from model.errors import MaskError
from pcvos_cli.masks.palette import voc_palette
from pcvos_cli.masks.reference import LoadedMask, read_reference
from tests.support.videos import pictures

SIZE = (48, 64)
BLACK, WHITE, RED, GREEN = (0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0)


def _picture(background: tuple[int, int, int] = BLACK) -> NDArray[np.uint8]:
    rgb = np.full((*SIZE, 3), background, np.uint8)
    rgb[4:20, 6:30] = GREEN
    rgb[24:40, 30:58] = RED
    return rgb


def _object(value: int = 1) -> NDArray[np.uint8]:
    labels = np.zeros(SIZE, np.uint8)
    labels[4:20, 6:30] = value
    return labels


def _indexed(indices: NDArray[np.uint8], *colours: tuple[int, int, int]) -> Image.Image:
    image = Image.fromarray(indices)
    image.putpalette([value for colour in colours for value in colour])
    return image


def _read(path: Path, image: Image.Image, **options: object) -> LoadedMask:
    image.save(path, **options)
    return read_reference(path, 0, SIZE)


@pytest.mark.parametrize("name", ["m.png", "m.bmp", "m.gif", "m.tif"])
def test_a_palette_with_the_background_elsewhere_is_read_by_its_colours(
    name: str, tmp_path: Path
) -> None:
    mask = _read(tmp_path / name, _indexed(1 - _object(), WHITE, BLACK))
    np.testing.assert_array_equal(mask.labels, _object())
    if name != "m.gif":  # Which are written with a palette of their own.
        assert "black is index 1" in " ".join(mask.notes) or Image.open(tmp_path / name).mode == "1"


@pytest.mark.parametrize("name", ["m.png", "m.gif"])
def test_a_quantised_picture_is_read_by_its_colours(name: str, tmp_path: Path) -> None:
    image = Image.fromarray(_picture()).quantize(8)
    mask = _read(tmp_path / name, image)
    assert mask.object_ids == (1, 2)
    for object_id, box in ((1, np.s_[4:20, 6:30]), (2, np.s_[24:40, 30:58])):
        assert (mask.labels[box] == object_id).all()
    assert np.count_nonzero(mask.labels) == 16 * 24 + 16 * 28


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_the_palettes_of_png_with_fewer_bits(bits: int, tmp_path: Path) -> None:
    mask = _read(tmp_path / "m.png", _indexed(_object(), BLACK, RED), bits=bits)
    np.testing.assert_array_equal(mask.labels, _object())
    assert mask.notes == []


@pytest.mark.parametrize("bits", [2, 4])
def test_grey_png_with_fewer_bits_holds_ids(bits: int, tmp_path: Path) -> None:
    """Pillow spreads such values to 0..255; written by hand, since it writes none."""
    labels = _object()
    labels[24:40, 30:58] = 2
    mask = _read_png(tmp_path / "m.png", labels, bits)
    np.testing.assert_array_equal(mask.labels, labels)


def _read_png(path: Path, values: NDArray[np.uint8], bits: int) -> LoadedMask:
    import struct
    import zlib

    height, width = values.shape
    planes = [(values >> shift) & 1 for shift in reversed(range(bits))]
    packed = np.packbits(np.stack(planes, -1).reshape(height, -1), axis=1)
    rows = np.hstack([np.zeros((height, 1), np.uint8), packed]).tobytes()
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ):
        content += struct.pack(">I", len(data)) + kind + data
        content += struct.pack(">I", zlib.crc32(kind + data))
    path.write_bytes(content)
    return read_reference(path, 0, SIZE)


def _smoothed(kind: str) -> Image.Image:
    soft = Image.fromarray(_object(255)).resize((32, 24)).resize((64, 48), Image.Resampling.BICUBIC)
    if kind == "grey palette":
        return _indexed(np.asarray(soft), *((i, i, i) for i in range(256)))
    colours = {"few colours": 4, "many colours": 16}[kind]
    return Image.merge("RGB", [soft, soft, soft]).quantize(colours)


@pytest.mark.parametrize("name", ["m.png", "m.gif"])
@pytest.mark.parametrize("kind", ["grey palette", "few colours", "many colours"])
def test_smoothed_palettes_are_refused(kind: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(MaskError, match="looks anti-aliased"):
        _read(tmp_path / name, _smoothed(kind))


def test_a_transparent_index_is_the_background(tmp_path: Path) -> None:
    image = _indexed(1 - _object(), RED, GREEN)
    mask = _read(tmp_path / "m.png", image, transparency=1)
    np.testing.assert_array_equal(mask.labels, _object())
    mask = _read(tmp_path / "n.png", _indexed(_object(), RED, GREEN), transparency=0)
    np.testing.assert_array_equal(mask.labels, _object())


def test_greys_that_a_shrinking_tool_put_in_another_order(tmp_path: Path) -> None:
    labels = _object()
    labels[24:40, 30:58] = 2
    order = np.array([1, 2, 0], np.uint8)  # Index of each id.
    mask = _read(tmp_path / "m.png", _indexed(order[labels], (2,) * 3, (0,) * 3, (1,) * 3))
    np.testing.assert_array_equal(mask.labels, labels)


@pytest.mark.parametrize("name", ["m.gif", "m.png"])
def test_colours_of_the_davis_palette_in_another_order_keep_their_ids(
    name: str, tmp_path: Path
) -> None:
    labels = _object(3)
    labels[24:40, 30:58] = 6
    voc = [tuple(colour) for colour in voc_palette().tolist()]
    if name == "m.gif":  # Which keeps no colours that are not used.
        image = _indexed(labels, *voc)
    else:
        order = np.array([0, 0, 0, 2, 0, 0, 1], np.uint8)
        image = _indexed(order[labels], voc[0], voc[6], voc[3])
    mask = _read(tmp_path / name, image)
    np.testing.assert_array_equal(mask.labels, labels)


def test_a_background_of_another_colour_is_noted_or_refused(tmp_path: Path) -> None:
    mask = _read(tmp_path / "m.png", _indexed(_object(), WHITE, RED))
    np.testing.assert_array_equal(mask.labels, _object())
    assert mask.notes == ["index 0 of the palette, #ffffff, is the background"]
    with pytest.raises(MaskError, match="index 0 of the palette is #ff0000 and nowhere at") as told:
        _read(tmp_path / "n.png", _indexed(1 - _object(), RED, WHITE))
    assert "must be index 0" in (told.value.hint or "")


def test_other_palettes_that_begin_with_black_keep_their_indices(tmp_path: Path) -> None:
    labels = _object(3)
    labels[24:40, 30:58] = 255
    mask = _read(tmp_path / "m.png", _indexed(labels, *[BLACK] * 3, *[RED] * 253))
    np.testing.assert_array_equal(mask.labels, _object(3))
    assert mask.notes == ["255 is void: it states nothing"]


def test_an_inverted_mask_is_told(tmp_path: Path) -> None:
    mask = _read(tmp_path / "m.png", Image.fromarray(255 - _object(255)))
    assert mask.notes == [
        "object 1 is all around the others: if it is the background, invert the mask"
    ]


CUTOUTS: dict[str, Callable[[], NDArray[np.uint8]]] = {
    "photo": lambda: pictures(1)[0],
    "noise": lambda: np.random.default_rng(0).integers(0, 256, (*SIZE, 3)).astype(np.uint8),
    "black": lambda: np.zeros((*SIZE, 3), np.uint8),
    "grey photo": lambda: np.repeat(pictures(1)[0][..., :1], 3, axis=2),
}


@pytest.mark.parametrize("name", ["m.png", "m.webp"])
@pytest.mark.parametrize("kind", CUTOUTS)
def test_the_alpha_of_a_cutout_is_the_mask(kind: str, name: str, tmp_path: Path) -> None:
    image = Image.fromarray(np.dstack([CUTOUTS[kind](), _object(255)]))
    image = image.convert("LA") if kind == "grey photo" and name == "m.png" else image
    mask = _read(tmp_path / name, image, **({"lossless": True} if name == "m.webp" else {}))
    np.testing.assert_array_equal(mask.labels, _object())
    assert mask.notes == ["a cut-out: what is not transparent is object 1"]


@pytest.mark.parametrize("name", ["m.png", "m.gif"])
@pytest.mark.parametrize("index", [0, 255])
def test_cutouts_with_a_palette(name: str, index: int, tmp_path: Path) -> None:
    image = Image.fromarray(CUTOUTS["noise"]()).quantize(255)
    indices, colours = np.asarray(image).copy(), (image.getpalette() or [])[: 3 * 255]
    if index == 0:
        indices, colours = indices + 1, [9, 9, 9, *colours]
    else:
        colours = [*colours, 9, 9, 9]
    image = Image.fromarray(np.where(_object() > 0, indices, index).astype(np.uint8))
    image.putpalette(colours)
    mask = _read(tmp_path / name, image, transparency=index)
    np.testing.assert_array_equal(mask.labels, _object())
    assert "a cut-out: what is not transparent is object 1" in mask.notes


def test_colours_on_a_transparent_ground_are_labels(tmp_path: Path) -> None:
    opaque = (_picture().any(axis=2) * 255).astype(np.uint8)
    mask = _read(tmp_path / "m.png", Image.fromarray(np.dstack([_picture(), opaque])))
    assert mask.object_ids == (1, 2)


@pytest.mark.parametrize("kind", ["photo", "black"])
def test_a_cutout_with_soft_edges_is_refused_in_words_that_fit(kind: str, tmp_path: Path) -> None:
    alpha = cv2.GaussianBlur(_object(255), (5, 5), 0)
    with pytest.raises(MaskError, match="a cut-out with soft edges") as told:
        _read(tmp_path / "m.png", Image.fromarray(np.dstack([CUTOUTS[kind](), alpha])))
    assert "alpha" in (told.value.hint or "")


def test_what_is_transparent_everywhere_is_told(tmp_path: Path) -> None:
    with pytest.raises(MaskError, match="transparent everywhere"):
        _read(tmp_path / "m.png", Image.new("RGBA", SIZE[::-1]))


@pytest.mark.parametrize("shape", [(64, 48), (32, 24)], ids=["as stored", "scaled"])
@pytest.mark.parametrize("resize", [False, True])
def test_a_lying_mask_is_never_stretched_over_a_standing_frame(
    shape: tuple[int, int], resize: bool, tmp_path: Path
) -> None:
    path = tmp_path / "m.png"
    Image.fromarray(
        np.pad(np.full((4, 4), 1, np.uint8), ((0, shape[0] - 4), (0, shape[1] - 4)))
    ).save(path)
    with pytest.raises(MaskError, match="but the frame is 64x48") as told:
        read_reference(path, 0, SIZE, resize=resize, coded_size=SIZE[::-1])
    assert "stored rotated" in (told.value.hint or "")
    with pytest.raises(MaskError) as told:
        read_reference(path, 0, SIZE, coded_size=SIZE)
    assert "rotate it" in (told.value.hint or "")
    assert "--resize-mask" not in (told.value.hint or "")
    mask = read_reference(path, 0, SIZE, coded_size=SIZE, resize=True)
    assert "stretched" in " ".join(mask.notes)
