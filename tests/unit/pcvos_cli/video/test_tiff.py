"""TIFF stacks as videos: ImageJ, OME, plain pages; 8 and 16 bits; channels."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from model.errors import ConfigError, InputError, MaskError
from pcvos_cli.masks.reference import read_reference
from pcvos_cli.video.source import open_source
from tests.support.cli import pcvos, square, write_mask

SIZE = (48, 64)


def stack(frames: int = 6, kind: Any = np.uint8, channels: int = 0) -> NDArray[Any]:
    """A square that moves right; each channel has its own brightness."""
    shape = (frames, *([channels] if channels else []), *SIZE)
    values = np.full(shape, 20, kind)
    for index in range(frames):
        for channel in range(channels or 1):
            part = values[index, channel] if channels else values[index]
            part[10:30, 5 + 3 * index : 25 + 3 * index] = 100 + 40 * channel
    return values


def frames_of(path: Path, **options: Any) -> list[NDArray[np.uint8]]:
    with open_source(path, **options) as source:
        frames = list(source)
        assert source.info.frame_count == len(frames)
        assert [f.pts for f in frames] == list(range(len(frames)))
        return [f.rgb for f in frames]


def test_an_imagej_stack_and_plain_pages(tmp_path: Path) -> None:
    values = stack()
    tifffile.imwrite(tmp_path / "ij.tif", values, imagej=True, metadata={"axes": "TYX"})
    tifffile.imwrite(tmp_path / "z.tif", values, imagej=True, metadata={"axes": "ZYX"})
    images = [Image.fromarray(v) for v in values]
    for compression in ("raw", "tiff_lzw"):
        images[0].save(
            tmp_path / f"{compression}.tif", save_all=True, append_images=images[1:],
            compression=compression,
        )  # fmt: skip
    for name in ("ij", "z", "raw", "tiff_lzw"):
        found = frames_of(tmp_path / f"{name}.tif")
        assert np.array_equal([rgb[..., 0] for rgb in found], values), name
        assert all(rgb.shape == (*SIZE, 3) for rgb in found)
    with open_source(tmp_path / "z.tif") as source:
        assert source.notes == ["the 6 planes of axis Z are the frames"]


def test_16_bits_get_one_scale(tmp_path: Path) -> None:
    values = stack(kind=np.uint16) * 10
    tifffile.imwrite(tmp_path / "s.tif", values, photometric="minisblack")
    with open_source(tmp_path / "s.tif") as source:
        assert source.info.value_range == (200, 1000)
        rgb = next(iter(source)).rgb
    assert (rgb[20, 10, 0], rgb[0, 0, 0]) == (255, 0)
    assert frames_of(tmp_path / "s.tif", value_range=(0, 2000))[0][20, 10, 0] == 128
    with open_source(tmp_path / "s.tif") as source:
        (third,) = source.frames_from(5)
        assert third.name == "00005"


@pytest.mark.parametrize("ome", [True, False])
def test_a_channel_is_chosen(tmp_path: Path, ome: bool) -> None:
    path = tmp_path / ("s.ome.tif" if ome else "s.tif")
    how = {"ome": True} if ome else {"imagej": True}
    tifffile.imwrite(path, stack(channels=2), metadata={"axes": "TCYX"}, **how)
    assert frames_of(path, channel=0)[2][20, 15, 0] == 100
    assert frames_of(path, channel=1)[2][20, 15, 0] == 140
    with pytest.raises(ConfigError, match="has 2 channels") as told:
        open_source(path)
    assert "--channel 0 to 1" in (told.value.hint or "")
    with pytest.raises(ConfigError, match="--channel 2"):
        open_source(path, channel=2)


def test_colours_depth_and_damage(tmp_path: Path) -> None:
    rgb = np.repeat(stack()[..., None], 3, axis=3)
    rgb[..., 2] = 7
    tifffile.imwrite(tmp_path / "rgb.tif", rgb, photometric="rgb")
    assert np.array_equal(frames_of(tmp_path / "rgb.tif"), rgb)
    deep = np.zeros((3, 2, *SIZE), np.uint8)
    tifffile.imwrite(tmp_path / "tz.tif", deep, imagej=True, metadata={"axes": "TZYX"})
    with pytest.raises(InputError, match=r"several axes \(time 3, depth 2\)"):
        open_source(tmp_path / "tz.tif")
    content = (tmp_path / "rgb.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"cut\.tif"):
        frames_of(tmp_path / "cut.tif")
    (tmp_path / "v.mp4").write_bytes(b"x")
    with pytest.raises(ConfigError, match="--channel is for TIFF stacks"):
        open_source(tmp_path / "v.mp4", fps=Fraction(24), channel=0)


def test_a_stack_is_segmented_and_measured(lite_weights: Path, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "s.tif", stack(kind=np.uint16) * 10, imagej=True)
    mask = write_mask(tmp_path / "m.png", square())
    result = pcvos(
        "segment", tmp_path / "s.tif", "-m", mask, "--weights", lite_weights, "--threads", "1",
        "-o", tmp_path / "out", "--format", "png,overlay,csv", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["frames"] == 6
    assert report["settings"]["range"] == [200, 1000]
    assert len((tmp_path / "out" / "objects.csv").read_text().splitlines()) == 7
    assert "<polyline" in (tmp_path / "out" / "report.html").read_text()
    assert (tmp_path / "out" / "overlay.mp4").stat().st_size > 0


@pytest.mark.parametrize("kind", ["u2", "u4", "f2", "f4", "f8", "u8"])
def test_numbers_of_every_kind_give_the_same_frames(kind: str, tmp_path: Path) -> None:
    """In a stack, in a folder of pages, and as a single page, which FFmpeg would show black."""
    values = stack().astype(kind)
    tifffile.imwrite(tmp_path / "s.tif", values, photometric="minisblack")
    expected = frames_of(tmp_path / "s.tif", value_range=(0, 200))
    assert expected[0][15, 10].tolist() == [128, 128, 128]
    (tmp_path / "f").mkdir()
    for index, page in enumerate(values):
        tifffile.imwrite(tmp_path / "f" / f"{index}.tif", page)
    assert np.array_equal(frames_of(tmp_path / "f", value_range=(0, 200)), expected)
    (one,) = frames_of(tmp_path / "f" / "0.tif", value_range=(0, 200))
    assert np.array_equal(one, expected[0])


def test_large_values_of_32_bits_and_colours_of_floats(tmp_path: Path) -> None:
    for name in ("large", "colours"):
        (tmp_path / name).mkdir()
        for index, page in enumerate(stack()):
            values = page.astype(np.uint32) * 40_000_000
            if name == "colours":
                values = np.repeat(page[..., None] / np.float32(100), 3, axis=2)
            tifffile.imwrite(
                tmp_path / name / f"{index}.tif",
                values,
                photometric="rgb" if name == "colours" else "minisblack",
            )
        frames = frames_of(tmp_path / name)
        assert frames[0][15, 10, 0] > frames[0][0, 0, 0], name


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("planes", [3, 4])
def test_planes_of_colours_are_one_picture(kind: Any, planes: int, tmp_path: Path) -> None:
    """As tifffile writes ``(3, H, W)`` and ``(T, 3, H, W)`` by default, for each tiny width."""
    for width in (3, 4, 50):
        values = np.random.default_rng(0).integers(0, 60, (5, planes, 40, width)).astype(kind)
        for name, written in (("one", values[0]), ("stack", values)):
            tifffile.imwrite(
                tmp_path / f"{name}.tif", written, photometric="rgb", planarconfig="separate"
            )
        wanted = np.moveaxis(values[:, :3], 1, 3)
        options = {} if kind == np.uint8 else {"value_range": (0, 255)}
        assert np.array_equal(frames_of(tmp_path / "stack.tif", **options), wanted)
        with open_source(tmp_path / "one.tif", **options) as source:
            (frame,) = source
            assert np.array_equal(frame.rgb, wanted[0])


@pytest.mark.parametrize("kind", [np.bool_, np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_low_values_are_white_where_the_file_says_so(
    kind: Any, compression: str | None, tmp_path: Path
) -> None:
    """A stack, a page of it, and a folder of pages; values keep their units."""
    values = (stack() > 20) if kind is np.bool_ else stack().astype(kind)
    options: dict[str, Any] = {"photometric": "miniswhite", "compression": compression}
    tifffile.imwrite(tmp_path / "s.tif", values, **options)
    (tmp_path / "f").mkdir()
    for index, page in enumerate(values):
        tifffile.imwrite(tmp_path / "f" / f"{index}.tif", page, **options)
    object_, ground = (155, 235) if kind is np.uint8 else (0, 255)
    for path in (tmp_path / "s.tif", tmp_path / "f"):
        frames = frames_of(path)
        assert [f[15, 12, 0] for f in (frames[0], frames[1])] == [object_, object_], path
        assert [f[0, 0, 1] for f in (frames[0], frames[1])] == [ground, ground], path
    with open_source(tmp_path / "f" / "0.tif") as source:
        (frame,) = source
        assert (frame.rgb[15, 12, 0], frame.rgb[0, 0, 0]) == (object_, ground)
    if kind in (np.uint16, np.float32):
        with open_source(tmp_path / "s.tif") as source:
            assert source.info.value_range == (100, 20)
            assert "the file says that its low values are white (MinIsWhite)" in source.notes
        (given, *_) = frames_of(tmp_path / "f", value_range=(20, 220))
        assert (given[15, 12, 0], given[0, 0, 0]) == (153, 255)


def test_palettes_inks_and_greys_of_few_bits_in_a_stack(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 65535, (3, 256)).astype(np.uint16)
    indices = rng.integers(0, 255, (4, *SIZE)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "p.tif", indices, photometric="palette", colormap=colours)
    wanted = (colours[:, indices] >> 8).transpose(1, 2, 3, 0)
    assert np.array_equal(frames_of(tmp_path / "p.tif"), wanted)
    inks = rng.integers(0, 255, (4, *SIZE, 4)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "c.tif", inks, photometric="separated")
    shown = np.array(Image.fromarray(inks[1], "CMYK").convert("RGB"))
    assert np.abs(frames_of(tmp_path / "c.tif")[1].astype(int) - shown).max() <= 1
    pages = [Image.fromarray((index > 99).astype(np.uint8) * 255).convert("1") for index in indices]
    pages[0].save(tmp_path / "b.tif", save_all=True, append_images=pages[1:], compression="group4")
    assert np.array_equal(frames_of(tmp_path / "b.tif")[2][..., 0], (indices[2] > 99) * 255)


def test_complex_numbers_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "c.tif", stack().astype(np.complex64), photometric="minisblack")
    with pytest.raises(InputError, match=r"frame 0: holds complex numbers"):
        open_source(tmp_path / "c.tif")


def test_colours_that_are_no_rgb_are_refused(tmp_path: Path) -> None:
    images = [Image.new("LAB", (8, 6), (120, 20, 30))] * 2
    images[0].save(tmp_path / "lab.tif", save_all=True, append_images=images[1:])
    with pytest.raises(InputError, match=r"lab\.tif: holds colours of CIE L\*a\*b\*"):
        open_source(tmp_path / "lab.tif")


def test_a_mask_of_imagej_keeps_its_values(tmp_path: Path) -> None:
    """Its binary masks are 255 in a file that says that 255 is black."""
    values = square(SIZE).astype(np.uint8) * 255
    tifffile.imwrite(tmp_path / "m.tif", values, photometric="miniswhite")
    mask = read_reference(tmp_path / "m.tif", 0, SIZE)
    assert np.array_equal(mask.labels, square(SIZE))
    assert mask.notes == ["a TIFF of MinIsWhite: its values count as they are stored"]


def test_pages_that_are_left_out_and_damage_are_told(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "sizes.tif") as file:
        for rows in (48, 48, 40):
            file.write(stack()[0][:rows], contiguous=False)
    with open_source(tmp_path / "sizes.tif") as source:
        assert any("are left out" in note for note in source.notes)
    values = np.random.default_rng(0).integers(0, 999, (6, *SIZE), np.uint16)
    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, values, photometric="minisblack", compression="zlib")
    path.write_bytes(path.read_bytes()[:20000])
    with open_source(path) as source:
        assert any("damaged" in warning for warning in source.warnings)


@pytest.mark.parametrize("kind", ["i8", "f8", "u8"])
def test_masks_of_64_bits(kind: str, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "m.tif", square(SIZE).astype(kind) * 7)
    mask = read_reference(tmp_path / "m.tif", 0, SIZE)
    assert mask.object_ids == (7,)
    if kind == "f8":
        tifffile.imwrite(tmp_path / "m.tif", np.full(SIZE, np.nan))
        with pytest.raises(MaskError, match="no numbers"):
            read_reference(tmp_path / "m.tif", 0, SIZE)
