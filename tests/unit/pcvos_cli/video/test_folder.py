"""FolderSource: natural order, upright, one size."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.errors import ConfigError, InputError, MaskError
from pcvos_cli.run.references import load_references
from pcvos_cli.video.folder import FolderSource
from pcvos_cli.video.source import find_range, open_source


def save(path: Path, value: int = 0, size: tuple[int, int] = (6, 8)) -> None:
    Image.fromarray(np.full((*size, 3), value, np.uint8)).save(path)


def test_natural_order_names_and_times(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        save(tmp_path / f"f{number}.png", number)
    save(tmp_path / "f3.BMP", 3)
    save(tmp_path / "._f4.png", 4)
    (tmp_path / "notes.txt").write_text("not a frame")
    with open_source(tmp_path, fps=Fraction(30000, 1001)) as source:
        frames = list(source)
        assert isinstance(source, FolderSource)
    assert [f.name for f in frames] == ["f1", "f2", "f3", "f10"]
    assert [int(f.rgb[0, 0, 0]) for f in frames] == [1, 2, 3, 10]
    assert [f.pts for f in frames] == [f.index for f in frames] == [0, 1, 2, 3]
    info = source.info
    assert (info.height, info.width, info.frame_count) == (6, 8, 4)
    assert info.time_base == Fraction(1001, 30000)
    assert info.is_folder
    assert not info.has_audio
    assert source.frame_index("f10") == 3
    assert source.frame_index("3") is None
    assert source.warnings == []


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    stored = np.zeros((4, 10, 3), np.uint8)
    stored[:2, :5] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned 90 degrees clockwise
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    source = FolderSource(tmp_path)
    assert (source.info.height, source.info.width) == (10, 4)
    assert np.array_equal(next(iter(source)).rgb, np.rot90(stored, -1))


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.fromarray(np.full((4, 4), 200, np.uint8)), (200, 200, 200)),
        (Image.fromarray(np.full((4, 4), 200 * 257, np.uint16)), (200, 200, 200)),
        (Image.fromarray(np.full((4, 4, 4), (9, 8, 7, 100), np.uint8)), (9, 8, 7)),
        (Image.fromarray(np.full((4, 4), True)), (255, 255, 255)),
        (Image.new("P", (4, 4), 1), None),
        (Image.new("LA", (4, 4), (50, 10)), (50, 50, 50)),
    ],
    ids=["grey", "grey16", "alpha", "1-bit", "palette", "grey-alpha"],
)
def test_modes(tmp_path: Path, image: Image.Image, expected: tuple[int, int, int] | None) -> None:
    if image.mode == "P":
        image.putpalette([0, 0, 0, 11, 22, 33])
        expected = (11, 22, 33)
    image.save(tmp_path / "a.png")
    rgb = next(iter(FolderSource(tmp_path))).rgb
    assert rgb.shape == (4, 4, 3)
    assert rgb.dtype == np.uint8
    assert tuple(rgb[0, 0].tolist()) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(np.float32(0.5), 128), (np.int32(77), 77), (np.int32(77 * 257), 77)]
)
def test_one_deep_value_is_of_the_whole_range(
    value: np.generic, expected: int, tmp_path: Path
) -> None:
    Image.fromarray(np.full((4, 4), value)).save(tmp_path / "a.tif")
    (frame,) = FolderSource(tmp_path)
    assert frame.rgb[0, 0].tolist() == [expected] * 3


def test_sizes_must_agree(tmp_path: Path) -> None:
    save(tmp_path / "0.png")
    save(tmp_path / "1.png", size=(6, 9))
    with pytest.raises(InputError, match=r"1\.png: is 9x6, but 0\.png is 8x6"):
        FolderSource(tmp_path)


def test_stems_must_differ(tmp_path: Path) -> None:
    save(tmp_path / "0.png")
    save(tmp_path / "0.jpg")
    with pytest.raises(InputError, match=r"0\.png: has the same name as 0\.jpg"):
        FolderSource(tmp_path)


def test_closed_source_ends(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / f"{number}.png")
    source = FolderSource(tmp_path)
    running = iter(source)
    next(running)
    source.close()
    assert list(running) == []
    with pytest.raises(ValueError, match="closed"):
        iter(source)


def test_opening_decodes_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index, suffix in enumerate(("png", "jpg", "bmp", "webp")):
        Image.new("RGB", (6, 4)).save(tmp_path / f"{index}.{suffix}")
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda _: pytest.fail("decoded"))
    assert FolderSource(tmp_path).info.frame_count == 4


def test_an_orientation_behind_the_picture_is_told(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "0.png"
    Image.new("RGB", (6, 4)).save(path, exif=exif)
    content = path.read_bytes()
    start = content.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(content[start : start + 4], "big")
    chunk, rest = content[start:end], content[:start] + content[end:]
    tail = rest.index(b"IEND") - 4
    assert [f.rgb.shape for f in FolderSource(tmp_path)] == [(6, 4, 3)]
    path.write_bytes(rest[:tail] + chunk + rest[tail:])
    with pytest.raises(InputError, match=r"0\.png: is 4x6 once it is turned upright"):
        list(FolderSource(tmp_path))


def test_a_mask_of_the_run_is_no_frame(tmp_path: Path) -> None:
    for name in ("0.jpg", "1.jpg", "mask.png", "1.png"):
        save(tmp_path / name)
    masks = [tmp_path / "mask.png", tmp_path / "." / "1.png"]
    with FolderSource(tmp_path, exclude=masks) as source:
        assert [frame.name for frame in source] == ["0", "1"]


@pytest.mark.parametrize(
    ("orientation", "size", "told"),
    [(1, (8, 6), False), (3, (8, 6), True), (6, (8, 6), False), (6, (8, 8), True)],
)
def test_a_turn_that_the_size_does_not_show_is_told(
    orientation: int, size: tuple[int, int], told: bool, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", size).save(tmp_path / "0.jpg", exif=exif)
    notes = FolderSource(tmp_path).notes
    assert ["EXIF shows them upright" in note for note in notes] == [True] * told


def test_images_that_look_out_of_place_are_told(tmp_path: Path) -> None:
    pages = [Image.new("L", (8, 6), grey) for grey in (10, 20)]
    for name in ("0.tif", "1.tif"):
        pages[0].save(tmp_path / name)
    assert FolderSource(tmp_path).notes == []
    pages[0].save(tmp_path / "2.tif", save_all=True, append_images=pages[1:])
    save(tmp_path / "mask.png")
    assert FolderSource(tmp_path).notes == [
        "2.tif has several pages: only the first is taken as a frame",
        "mask.png is taken as a frame, though the other images end otherwise",
    ]


@pytest.mark.parametrize(
    ("numbers", "after"),
    [
        ((1, 2, 3, 7, 8, 9, 12), "3"),
        ((0, 5, 10, 15, 25, 30), "15"),
        ((0, 5, 10, 15), None),  # Every fifth, as of YouTube-VOS.
        ((1, 2, 4, 8, 16), None),  # No step is usual.
        ((4, 5), None),
    ],
)
def test_jumps_in_the_numbers_are_told(
    numbers: tuple[int, ...], after: str | None, tmp_path: Path
) -> None:
    for number in numbers:
        Image.new("RGB", (8, 6)).save(tmp_path / f"shot2_{number:04}.png")
    with FolderSource(tmp_path) as source:
        assert len(list(source)) == len(numbers)
        told = [note for note in source.notes if "jump" in note]
    assert bool(told) == (after is not None)
    assert after is None or f"first after shot2_{int(after):04}.png" in told[0]


@pytest.mark.parametrize("suffix", ["tga", "jp2", "j2k", "ppm", "TIF"])
def test_images_of_film_and_science(suffix: str, tmp_path: Path) -> None:
    options = {"irreversible": False} if suffix.startswith("j") else {}
    picture = np.random.default_rng(1).integers(0, 256, (6, 8, 3), np.uint8)
    for number in (1, 2):
        Image.fromarray(picture + np.uint8(number)).save(
            tmp_path / f"s.{number}.{suffix}", **options
        )
    with open_source(tmp_path) as source:
        frames = list(source)
    assert [f.name for f in frames] == ["s.1", "s.2"]
    assert np.array_equal(frames[1].rgb, picture + np.uint8(2))


@pytest.mark.parametrize("suffix", ["jp2", "pgm"])
def test_grey_of_16_bits_gets_one_scale(suffix: str, tmp_path: Path) -> None:
    values = np.repeat(np.linspace(0, 4000, 8).astype(np.uint16)[None], 6, axis=0)
    for number in (1, 2):
        Image.fromarray(values // number).save(tmp_path / f"{number}.{suffix}")
    with open_source(tmp_path) as source:
        assert source.info.value_range == (0, 4000)
        first, second = source
    assert first.rgb[0, -1, 0] == 255
    assert abs(int(second.rgb[0, -1, 0]) - 128) <= 1


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (
            ["my shot.1002.exr", "my shot.1001.exr"],
            "ffmpeg -apply_trc iec61966_2_1 -start_number 1001 -i '{}/my shot.%04d.exr' "
            "-start_number 1001 'frames/my shot.%04d.png'",
        ),
        (["v2_007.DPX", "._v2.dpx"], "ffmpeg -start_number 7 -i {}/v2_%03d.DPX -start_number 7 fr"),
        (["90%.dpx"], "-i {}/%02d%%.dpx"),
        (["still.exr"], "ffmpeg -apply_trc iec61966_2_1 -i {}/still.exr frames/still.png"),
    ],
)
def test_images_that_ffmpeg_must_convert_are_given_the_command(
    names: list[str], words: str, tmp_path: Path
) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError, match="images, which pcvos does not read") as told:
        open_source(tmp_path)
    assert told.value.hint is not None
    assert words.format(tmp_path) in told.value.hint


def test_a_number_that_is_no_index_is_told_its_image(tmp_path: Path) -> None:
    frames, mask = tmp_path / "plates", tmp_path / "shot_v02.1003.png"
    frames.mkdir()
    for number in range(1001, 1006):
        save(frames / f"shot_v02.{number}.png", number % 255)
    Image.fromarray(np.tile(np.uint8([0, 1]), (6, 4))).save(mask)
    with open_source(frames) as source:
        with pytest.raises(ConfigError) as start:
            find_range("1003", None, source)
        with pytest.raises(MaskError) as wrong:
            load_references([f"1003={mask}"], source)
        for told in (start, wrong):
            assert (told.value.hint or "").endswith("shot_v02.1003")
        (first,) = load_references([str(mask)], source)
        assert first.frame_index == 0
        assert any("it has the name of frame shot_v02.1003" in note for note in first.notes)
        (named,) = load_references([f"shot_v02.1003={mask}"], source)
        (same,) = load_references([str(mask)], source, first=2)
        assert (named.frame_index, same.frame_index) == (2, 2)
        assert named.notes == same.notes == []


@pytest.mark.parametrize(("name", "words"), [("a.czi", "OME-TIFF"), ("A.BRAW", "camera raw")])
def test_files_of_other_programs_are_told_what_to_do(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match="not a readable video") as told:
        open_source(tmp_path / name)
    assert words in (told.value.hint or "")
