"""Images of 12 and 16 bits, integers and floats: one scale for a whole folder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from model.errors import ConfigError, InputError
from pcvos_cli.video.folder import FolderSource
from pcvos_cli.video.source import open_source
from tests.support.cli import pcvos, write_mask
from tests.support.videos import pictures, write_video

GREYS = [rgb[..., 1] for rgb in pictures(4)]


def _folder(
    path: Path, of_grey: Callable[[NDArray[np.float64]], Any], ending: str = "tif"
) -> list[NDArray[np.uint8]]:
    """Write ``GREYS`` as other values, and return the frames that are read."""
    path.mkdir(exist_ok=True)
    for index, grey in enumerate(GREYS):
        Image.fromarray(of_grey(grey / 255.0)).save(path / f"{index}.{ending}")
    return [frame.rgb for frame in FolderSource(path)]


KINDS: dict[str, Callable[[NDArray[np.float64]], Any]] = {
    "full": lambda g: (g * 65535).round().astype(np.uint16),
    "12 bits": lambda g: (g * 4095).round().astype(np.uint16),
    "dim": lambda g: (300 + g * 1000).round().astype(np.uint16),
    "int32": lambda g: (g * 4095 - 1024).round().astype(np.int32),
    "unit floats": lambda g: g.astype(np.float32),
    "16-bit floats": lambda g: (g * 65535).astype(np.float32),
    "small floats": lambda g: (g * 1e-4 - 1e-5).astype(np.float32),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_values_gives_the_same_frames(kind: str, tmp_path: Path) -> None:
    frames = _folder(tmp_path, KINDS[kind])
    low, high = (f(np.stack(GREYS).astype(float)) for f in (np.min, np.max))
    for rgb, grey in zip(frames, GREYS, strict=True):
        expected = (grey - low) / (high - low) * 255
        assert np.abs(rgb - expected[..., None]).max() <= 2


def test_16_bit_png_is_read_as_tiff_is(tmp_path: Path) -> None:
    tiff = _folder(tmp_path / "a", KINDS["dim"])
    png = _folder(tmp_path / "b", KINDS["dim"], "png")
    np.testing.assert_array_equal(tiff, png)


def test_the_scale_is_one_for_all_frames_and_said(tmp_path: Path) -> None:
    for index, value in enumerate((1000, 2000, 3000)):
        Image.fromarray(np.full((8, 8), value, np.uint16)).save(tmp_path / f"{index}.png")
    with FolderSource(tmp_path) as source:
        assert [frame.rgb[0, 0, 0] for frame in source] == [0, 128, 255]
        assert source.info.value_range == (1000, 3000)
        assert source.notes == [
            "values from 1000 to 3000 are shown as black to white on all frames; "
            "--range LOW,HIGH sets others"
        ]


def test_a_hot_pixel_is_not_the_scale(tmp_path: Path) -> None:
    grey = np.tile(np.linspace(300, 1300, 200).astype(np.uint16), (200, 1))
    grey[3, 3], grey[5, 5] = 65535, 0
    Image.fromarray(grey).save(tmp_path / "0.png")
    low, high = FolderSource(tmp_path).info.value_range or (0, 0)
    assert (low, high) == (pytest.approx(300, abs=5), pytest.approx(1300, abs=5))


def test_frames_beyond_the_scale_are_told(tmp_path: Path) -> None:
    for index in range(40):
        value = 9000 if index == 1 else 1000 + index  # Not among the samples.
        Image.fromarray(np.full((8, 8), value, np.uint16)).save(tmp_path / f"{index}.png")
    with FolderSource(tmp_path) as source:
        list(source)
        assert source.notes[1:] == [
            "1 frame(s) have values beyond 1000 to 1039, the first is frame 1"
        ]


@pytest.mark.parametrize(
    ("scale", "expected"), [(255, (40, 80, 160)), (0.2, (64, 128, 255))], ids=["full", "part"]
)
def test_colours_of_16_bits(scale: float, expected: tuple[int, int, int], tmp_path: Path) -> None:
    """Colours that use the range are taken as they are; dim ones are scaled, black stays black."""
    rgb = np.full((16, 16, 3), 0, np.uint16)
    rgb[:, 8:] = np.array((40, 80, 160)) * scale
    cv2.imwrite(str(tmp_path / "0.png"), rgb[..., ::-1])
    (frame,) = FolderSource(tmp_path)
    assert frame.rgb[0, 0].tolist() == [0, 0, 0]
    assert frame.rgb[0, 8] == pytest.approx(expected, abs=1)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([np.nan, np.nan], "2 NaN of 64 values"),
        ([np.inf], "1 infinite of 64 values"),
        ([-np.inf, np.nan], "1 NaN and 1 infinite of 64 values"),
    ],
)
def test_what_is_no_number_is_named(values: list[float], words: str, tmp_path: Path) -> None:
    grey = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    grey[0, : len(values)] = values
    Image.fromarray(grey).save(tmp_path / "0.tif")
    with pytest.raises(InputError, match=rf"0\.tif: {words}"):
        FolderSource(tmp_path)


def test_a_range_that_is_given_holds_for_8_bits_too(tmp_path: Path) -> None:
    Image.fromarray(np.array([[10, 20, 30]], np.uint8)).save(tmp_path / "0.png")
    with open_source(tmp_path, value_range=(10, 30)) as source:
        (frame,) = source
        assert frame.rgb[0, :, 0].tolist() == [0, 128, 255]
        assert source.notes == []


def test_a_range_is_for_images(tmp_path: Path) -> None:
    path = write_video(tmp_path / "in.mp4")
    with pytest.raises(ConfigError, match="--range is for folders of images"):
        open_source(path, value_range=(0, 1))


@pytest.mark.parametrize("text", ["", "1", "2,1", "1,1", "a,b", "1,2,3", "nan,1", "0,inf"])
def test_what_is_no_range_is_refused(text: str, tmp_path: Path) -> None:
    result = pcvos("segment", tmp_path, "-m", "m.png", "--range", text)
    assert result.exit_code == 2
    assert "LOW,HIGH" in result.stderr


def test_the_scale_stands_in_the_report(lite_weights: Path, tmp_path: Path) -> None:
    _folder(tmp_path / "in", KINDS["dim"])
    mask = write_mask(tmp_path / "m.png")
    out = tmp_path / "out"
    result = pcvos(
        "segment", tmp_path / "in", "-m", mask, "--weights", lite_weights, "-o", out,
        "--range", "300,1300", "--format", "png",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert json.loads((out / "run.json").read_text())["settings"]["range"] == [300, 1300]
