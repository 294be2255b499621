"""Pictures of 12 and 16 bits, integers and floats: one scale for a whole folder or video."""

import json
import os
import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from model.errors import ConfigError, InputError
from pcvos_cli.video.folder import FolderSource
from pcvos_cli.video.seeking import FrameFinder
from pcvos_cli.video.source import open_source
from tests.support.cli import pcvos, write_mask
from tests.support.videos import fed, pictures, write_video

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


def write_deep(path: Path, pixels: str, frames: list[NDArray[np.uint16]]) -> Path:
    """Write values as they are, in FFV1: ``(H, W)``, or ``(H, W, 3)`` for colours."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("ffv1", rate=10)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixels
        for index, values in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(values, format=pixels)
            picture.pts, picture.time_base = index, Fraction(1, 10)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def _dim(bits: int, at: int, count: int = 4) -> list[NDArray[np.uint16]]:
    """Frames of the lower hundredths of the range, with one brighter frame."""
    low, high = 2**bits // 64, 2**bits // 32
    frames = [np.tile(np.linspace(low, high, 64), (48, 1)).astype(np.uint16) for _ in range(count)]
    frames[at] *= 2
    return frames


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_a_video_of_deep_greys_is_shown_as_a_folder_of_them(bits: int, tmp_path: Path) -> None:
    """In a file, and each frame of it as a PNG of its own: what was dark can be seen."""
    values = _dim(bits, at=3)
    path = write_deep(tmp_path / "v.mkv", f"gray{bits}le", values)
    (tmp_path / "folder").mkdir()
    for index, frame in enumerate(values):
        Image.fromarray(frame).save(tmp_path / "folder" / f"{index}.png")
    with open_source(path) as video, open_source(tmp_path / "folder") as folder:
        frames = [frame.rgb for frame in video]
        np.testing.assert_array_equal(frames, [frame.rgb for frame in folder])
        assert video.info.value_range == folder.info.value_range
        assert video.notes == folder.notes
        assert frames[3].max() == 255
        finder = FrameFinder(video)
        np.testing.assert_array_equal(finder.rgb(2), frames[2])
        finder.close()
    with open_source(tmp_path / "folder" / "3.png") as alone:
        (frame,) = alone
        assert (frame.rgb.min(), frame.rgb.max()) == (0, 255)
        assert "are shown as black to white on all frames" in alone.notes[0]
    with open_source(path, value_range=(0, 2**bits - 1)) as video:
        assert max(frame.rgb.max() for frame in video) in (15, 16)
        assert video.notes == []


def test_colours_and_alpha_of_16_bits_in_one_file(tmp_path: Path) -> None:
    """As in a folder: colours that use the range are taken as they are, dim ones are scaled."""
    rgb = np.zeros((16, 16, 3), np.uint16)
    rgb[:, 8:] = np.array((40, 80, 160)) * 0.2
    for name, pixels in (("v", "rgb48le"), ("g", "gbrp16le")):
        path = write_deep(tmp_path / f"{name}.mkv", pixels, [rgb])
        (frame,) = open_source(path)
        assert frame.rgb[0, 0].tolist() == [0, 0, 0]
        assert frame.rgb[0, 8] == pytest.approx((64, 128, 255), abs=1), name
    alpha = np.dstack([rgb[..., 2::-1], np.full((16, 16), 65535, np.uint16)])
    cv2.imwrite(str(tmp_path / "a.png"), alpha)
    (frame,) = open_source(tmp_path / "a.png")
    assert frame.rgb[0, 8] == pytest.approx((64, 128, 255), abs=1)
    grey = np.linspace(800, 1200, 256).astype(np.uint16).reshape(16, 16)
    ya = np.dstack([grey, np.full_like(grey, 65535)]).astype(">u2").tobytes()
    write_png(tmp_path / "ya.png", ya, size=(16, 16), depth=16, kind=4)
    (frame,) = open_source(tmp_path / "ya.png")
    assert np.abs(frame.rgb[..., 0].ravel() - np.arange(256.0)).max() <= 2


def write_png(path: Path, samples: bytes, *, size: tuple[int, int], depth: int, kind: int) -> None:
    """Write a PNG of a kind that neither Pillow nor OpenCV writes."""
    height, width = size
    row = len(samples) // height
    rows = b"".join(b"\0" + samples[i * row : (i + 1) * row] for i in range(height))
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_stream_takes_the_scale_of_its_first_frame_and_says_so(tmp_path: Path) -> None:
    values = _dim(12, at=2)
    content = write_deep(tmp_path / "v.mkv", "gray12le", values).read_bytes()
    with open_source(fed(tmp_path / "pipe", content)) as source:
        frames = [frame.rgb for frame in source]
        assert (frames[0].min(), frames[0].max(), frames[2].min()) == (0, 255, 255)
        first, beyond = source.notes
        assert first == (
            "values from 64 to 128, the span of the first frame, are shown as black to white on "
            "all frames; --range LOW,HIGH sets others"
        )
        assert beyond.endswith("the first is frame 2")
    with open_source(fed(tmp_path / "again", content), value_range=(64, 256)) as source:
        assert [frame.rgb.max() for frame in source] == [85, 85, 255, 85]
        assert source.notes == []


def test_a_range_is_for_values_of_more_than_8_bits(tmp_path: Path) -> None:
    path = write_video(tmp_path / "in.mp4")
    with pytest.raises(ConfigError, match="--range is for images, and for video in grey"):
        open_source(path, value_range=(0, 1))


@pytest.mark.parametrize("text", ["1", "2,1", "1,1", "a,b", "1,2,3", "nan,1", "0,inf"])
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
