"""Reference masks in every form that users have."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from model.errors import InputError, MaskError
from pcvos_cli.masks.palette import voc_palette
from pcvos_cli.masks.reference import ColourMap, LoadedMask, read_reference, resize_nearest
from tests.support.shared import shared

SIZE = (40, 60)


def blobs(*values: int, size: tuple[int, int] = SIZE) -> NDArray[np.int32]:
    """A map with one 8 x 8 square for each value."""
    labels = np.zeros(size, np.int32)
    for number, value in enumerate(values):
        row, column = 4 + 12 * (number // 5), 2 + 11 * (number % 5)
        labels[row : row + 8, column : column + 8] = value
    return labels


def read(path: Path, size: tuple[int, int] = SIZE) -> LoadedMask:
    return read_reference(path, 3, size)


def save(path: Path, array: NDArray[np.generic], **options: object) -> Path:
    Image.fromarray(array).save(path, **options)
    return path


def as_rgb(labels: NDArray[np.int32], table: dict[int, tuple[int, ...]]) -> NDArray[np.uint8]:
    out = np.zeros((*labels.shape, len(next(iter(table.values())))), np.uint8)
    for value, colour in table.items():
        out[labels == value] = colour
    return out


def test_palette_png_keeps_ids(tmp_path: Path) -> None:
    labels = blobs(1, 5, 254)
    image = Image.fromarray(labels.astype(np.uint8))
    image.putpalette(voc_palette().tobytes())
    image.save(tmp_path / "m.png")
    mask = read(tmp_path / "m.png")
    assert np.array_equal(mask.labels, labels)
    assert mask.labels.dtype == np.int32
    assert mask.object_ids == (1, 5, 254)
    assert mask.frame_index == 3
    assert mask.notes == []


def test_palette_with_thin_ids_is_not_taken_for_smoothing(tmp_path: Path) -> None:
    labels = blobs(3)
    labels[4:12, 1] = 2
    labels[4:12, 0] = 1
    image = Image.fromarray(labels.astype(np.uint8))
    image.putpalette(voc_palette().tobytes())
    image.save(tmp_path / "m.png")
    assert np.array_equal(read(tmp_path / "m.png").labels, labels)


@pytest.mark.parametrize("full", [False, True])
def test_zero_and_255_is_object_1(tmp_path: Path, full: bool) -> None:
    grey = np.full(SIZE, 255, np.uint8) if full else blobs(255).astype(np.uint8)
    mask = read(save(tmp_path / "m.png", grey))
    assert mask.object_ids == (1,)
    assert np.array_equal(mask.labels, (grey == 255).astype(np.int32))


def test_255_beside_ids_is_void_and_said(tmp_path: Path) -> None:
    mask = read(save(tmp_path / "m.png", blobs(1, 2, 255).astype(np.uint8)))
    assert np.array_equal(mask.labels, blobs(1, 2, 0))
    assert mask.object_ids == (1, 2)
    assert mask.notes == ["255 is void: it states nothing"]


def test_grey_regions_are_ids(tmp_path: Path) -> None:
    labels = blobs(*range(10, 250, 17))
    mask = read(save(tmp_path / "m.png", labels.astype(np.uint8)))
    assert np.array_equal(mask.labels, labels)


def test_touching_grey_regions_are_ids(tmp_path: Path) -> None:
    labels = np.repeat(np.arange(6, dtype=np.int32), 10)[None].repeat(40, 0)
    mask = read(save(tmp_path / "m.png", labels.astype(np.uint8)))
    assert mask.object_ids == (1, 2, 3, 4, 5)


def smooth_disc(step: int = 1) -> NDArray[np.uint8]:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    soft = np.clip(12.5 - np.hypot(y - 20, x - 30), 0, 1) * 255
    return (np.rint(soft / step) * step).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("step", [1, 15, 51, 127])
def test_anti_aliased_grey_is_refused_with_the_count(tmp_path: Path, step: int) -> None:
    grey = smooth_disc(step)
    count = np.unique(grey).size
    assert count > 2
    with pytest.raises(MaskError, match=f"m.png: {count} values: looks anti-aliased") as caught:
        read(save(tmp_path / "m.png", grey))
    assert caught.value.exit_code == 4
    assert "smoothing" in (caught.value.hint or "")


def test_bilinearly_resized_mask_is_refused(tmp_path: Path) -> None:
    grey = cv2.resize(blobs(255, 255).astype(np.uint8), (90, 61), interpolation=cv2.INTER_LINEAR)
    with pytest.raises(MaskError, match="anti-aliased"):
        read(save(tmp_path / "m.png", grey), (61, 90))


def test_photograph_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, SIZE, dtype=np.uint8)
    with pytest.raises(MaskError, match="values: looks anti-aliased"):
        read(save(tmp_path / "m.png", noise))


def test_16_bit_keeps_large_ids(tmp_path: Path) -> None:
    labels = blobs(1, 255, 300, 65535)
    mask = read(save(tmp_path / "m.png", labels.astype(np.uint16)))
    assert np.array_equal(mask.labels, labels)
    assert mask.object_ids == (1, 255, 300, 65535)
    assert mask.notes == ["255 is an object id here, since the mask has larger ones"]


@pytest.mark.parametrize("white", [255, 65535])
def test_16_bit_black_and_white_is_object_1(tmp_path: Path, white: int) -> None:
    mask = read(save(tmp_path / "m.png", blobs(white).astype(np.uint16)))
    assert np.array_equal(mask.labels, blobs(1))


def test_16_bit_anti_aliased_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MaskError, match="values: looks anti-aliased"):
        read(save(tmp_path / "m.png", smooth_disc().astype(np.uint16) * 257))


@pytest.mark.parametrize("palette", [False, True])
def test_more_than_64_ids_in_8_bits_are_told_where_they_fit(palette: bool, tmp_path: Path) -> None:
    blocks = np.repeat(np.repeat(np.arange(1, 101).reshape(10, 10), 5, 0), 5, 1)
    image = Image.fromarray(blocks.astype(np.uint8))
    if palette:
        image.putpalette([0, 0, 0, *np.random.default_rng(0).integers(0, 256, 765).tolist()])
    image.save(tmp_path / "m.png")
    with pytest.raises(MaskError) as caught:
        read_reference(tmp_path / "m.png", 0, (50, 50))
    assert "more than 64 objects need 16-bit grey" in (caught.value.hint or "")
    Image.fromarray(blocks.astype(np.uint16)).save(tmp_path / "m.png")
    assert len(read_reference(tmp_path / "m.png", 0, (50, 50)).object_ids) == 100


def test_more_than_64_ids_in_16_bit(tmp_path: Path) -> None:
    labels = (np.arange(100).reshape(10, 10) * 5).repeat(6, 0).repeat(6, 1).astype(np.int32)
    mask = read(save(tmp_path / "m.png", labels.astype(np.uint16)), (60, 60))
    assert len(mask.object_ids) == 99


def test_1_bit(tmp_path: Path) -> None:
    mask = read(save(tmp_path / "m.png", blobs(1).astype(bool)))
    assert np.array_equal(mask.labels, blobs(1))


def test_rgb_of_the_davis_palette(tmp_path: Path) -> None:
    labels = blobs(7, 2, 40)
    path = save(tmp_path / "m.png", voc_palette()[labels])
    mask = read(path)
    assert np.array_equal(mask.labels, labels)
    assert mask.notes == ["colours of the DAVIS palette read as its ids"]


def test_rgb_of_other_colours_is_numbered_in_reading_order(tmp_path: Path) -> None:
    table = {1: (0, 0, 255), 2: (250, 10, 10), 3: (255, 255, 255)}
    mask = read(save(tmp_path / "m.png", as_rgb(blobs(2, 1, 3), table)))
    assert np.array_equal(mask.labels, blobs(1, 2, 3))
    assert mask.notes == ["colours numbered: #fa0a0a = 1, #0000ff = 2, #ffffff = 3"]


def test_a_colour_keeps_its_id_in_later_masks(tmp_path: Path) -> None:
    table = {1: (255, 0, 0), 2: (0, 255, 0), 3: (0, 0, 255)}
    colours: ColourMap = {}
    first = save(tmp_path / "a.png", as_rgb(blobs(1, 2), table))
    later = save(tmp_path / "b.png", as_rgb(blobs(3, 2), table))
    read_reference(first, 0, SIZE, colours=colours)
    mask = read_reference(later, 9, SIZE, colours=colours)
    assert np.array_equal(mask.labels, blobs(3, 2))
    assert colours == {(255, 0, 0): 1, (0, 255, 0): 2, (0, 0, 255): 3}


def test_rgba_that_is_transparent_is_background(tmp_path: Path) -> None:
    table = {0: (90, 90, 90, 0), 1: (255, 0, 0, 255), 2: (0, 99, 0, 255)}
    mask = read(save(tmp_path / "m.png", as_rgb(blobs(1, 2), table)))
    assert np.array_equal(mask.labels, blobs(1, 2))


def test_soft_alpha_is_refused(tmp_path: Path) -> None:
    rgba = np.full((*SIZE, 4), 255, np.uint8)
    rgba[..., 3] = smooth_disc()
    with pytest.raises(MaskError, match="alpha values: looks anti-aliased"):
        read(save(tmp_path / "m.png", rgba))


def test_grey_alpha(tmp_path: Path) -> None:
    grey = np.stack([blobs(255, 255), np.full(SIZE, 255)], axis=-1).astype(np.uint8)
    grey[:, :12, 1] = 0
    mask = read(save(tmp_path / "m.png", grey))
    assert np.array_equal(mask.labels, blobs(0, 1))


def test_black_and_white_rgb_is_object_1(tmp_path: Path) -> None:
    rgb = np.repeat(blobs(255).astype(np.uint8)[..., None], 3, axis=2)
    assert np.array_equal(read(save(tmp_path / "m.png", rgb)).labels, blobs(1))


def test_anti_aliased_colour_is_refused(tmp_path: Path) -> None:
    soft = smooth_disc()
    rgb = np.stack([soft, soft // 3, np.zeros_like(soft)], axis=-1)
    with pytest.raises(MaskError, match="colours: looks anti-aliased"):
        read(save(tmp_path / "m.png", rgb))


LOSSY = [("jpg", "JPEG"), ("webp", "WebP")]


@pytest.mark.parametrize("quality", [50, 75, 95])
@pytest.mark.parametrize(("suffix", "kind"), LOSSY)
def test_black_and_white_of_a_lossy_format_is_thresholded(
    tmp_path: Path, quality: int, suffix: str, kind: str
) -> None:
    labels = blobs(1, 1, 0, 1)
    path = save(tmp_path / f"m.{suffix}", (labels * 255).astype(np.uint8), quality=quality)
    assert len(np.unique(np.asarray(Image.open(path)))) > 2
    mask = read(path)
    assert np.array_equal(mask.labels, labels)
    assert mask.notes == [f"{kind}: values of 128 and above are object 1"]


def test_lossy_webp_with_metadata_or_alpha(tmp_path: Path) -> None:
    """Both move the picture behind other chunks; a lossless one keeps its ids."""
    labels = blobs(1, 1, 0, 1)
    grey = (labels * 255).astype(np.uint8)
    exif = Image.Exif()
    exif[0x010E] = "a mask"
    assert np.array_equal(read(save(tmp_path / "e.webp", grey, exif=exif)).labels, labels)
    picture = np.random.default_rng(0).integers(0, 256, SIZE, np.uint8)
    cutout = np.dstack([picture, picture // 2, picture // 3, grey])
    mask = read(save(tmp_path / "c.webp", cutout))
    assert np.array_equal(mask.labels, labels)
    assert mask.notes == ["a cut-out: what is not transparent is object 1"]
    ids = blobs(1, 2, 0, 7)
    assert np.array_equal(
        read(save(tmp_path / "l.webp", ids.astype(np.uint8), lossless=True)).labels, ids
    )


@pytest.mark.parametrize(("suffix", "kind"), LOSSY)
def test_many_values_of_a_lossy_format_are_refused(tmp_path: Path, suffix: str, kind: str) -> None:
    path = save(tmp_path / f"m.{suffix}", blobs(80, 160, 240).astype(np.uint8))
    with pytest.raises(MaskError, match=rf"{kind} with \d+ grey values, not two") as caught:
        read(path)
    assert "PNG" in (caught.value.hint or "")


def test_colour_jpeg_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "m.jpg", voc_palette()[blobs(1, 2, 3)])
    with pytest.raises(MaskError, match="colour JPEG"):
        read(path)


def test_no_object_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MaskError, match="frame 3 has no object"):
        read(save(tmp_path / "m.png", np.zeros(SIZE, np.uint8)))


def test_palette_png_of_0_and_255_is_object_1(tmp_path: Path) -> None:
    image = Image.fromarray(blobs(255).astype(np.uint8))
    image.putpalette(voc_palette().tobytes())
    image.save(tmp_path / "m.png")
    assert read(tmp_path / "m.png").object_ids == (1,)


def test_another_size_is_refused_with_both(tmp_path: Path) -> None:
    path = save(tmp_path / "m.png", blobs(1).astype(np.uint8))
    with pytest.raises(MaskError, match="is 60x40, but the frame is 62x42") as caught:
        read_reference(path, 0, (42, 62))
    assert "--resize-mask" in (caught.value.hint or "")


def test_the_stored_size_of_rotated_video_is_refused_with_a_hint(tmp_path: Path) -> None:
    path = save(tmp_path / "m.png", blobs(1).astype(np.uint8))
    with pytest.raises(MaskError, match="60x40") as caught:
        read_reference(path, 0, (60, 40), coded_size=SIZE)
    assert "upright" in (caught.value.hint or "")


def test_resize_keeps_ids_even_of_what_vanishes(tmp_path: Path) -> None:
    labels = blobs(1, 2)
    labels[30, 30] = 9
    path = save(tmp_path / "m.png", labels.astype(np.uint8))
    mask = read_reference(path, 0, (10, 15), resize=True)
    assert mask.labels.shape == (10, 15)
    assert mask.object_ids == (1, 2, 9)
    assert set(np.unique(mask.labels).tolist()) <= {0, 1, 2, 9}
    assert mask.notes == ["resized from 60x40 to 15x10"]


def test_resize_nearest_is_centred() -> None:
    labels = np.arange(12, dtype=np.int32).reshape(3, 4)
    assert np.array_equal(resize_nearest(labels, (6, 8)), labels.repeat(2, 0).repeat(2, 1))
    assert resize_nearest(labels, (1, 1)).item() == labels[1, 2]
    assert np.array_equal(resize_nearest(labels, (3, 4)), labels)


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not found"):
        read(tmp_path / "m.png")
    (tmp_path / "t.png").write_text("no image")
    with pytest.raises(InputError, match=r"t\.png: not a readable image"):
        read(tmp_path / "t.png")


@pytest.mark.parametrize(
    ("folder", "name", "ids"),
    [
        ("judo", "00000.png", (1,)),
        ("tennis", "00000.png", (1,)),
        ("gold-fish", "00000.png", (1, 2, 3, 4, 5)),
        ("1001_3iEIq5HBY1s", "00002058.png", tuple(range(1, 45))),
    ],
)
def test_real_masks(folder: str, name: str, ids: tuple[int, ...]) -> None:
    path = shared("data", "videos", folder, "masks", name)
    with Image.open(path) as image:
        size = (image.height, image.width)
    assert read(path, size).object_ids == ids


def test_every_real_black_and_white_mask_is_object_1() -> None:
    paths = sorted(shared("data", "horses", "masks").glob("*.png"))[:40]
    assert paths
    for path in paths:
        with Image.open(path) as image:
            size = (image.height, image.width)
        assert read(path, size).object_ids == (1,)
