"""Side data that PyAV has no name for: motion JPEG whose frames carry EXIF, as cameras make it."""

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageOps

from pcvos_cli.video.source import open_source
from tests.support.videos import pictures

MAKE, ORIENTATION = 0x010F, 0x0112


def _jpeg(rgb: np.ndarray, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[MAKE], exif[ORIENTATION] = "camera", orientation
    content = io.BytesIO()
    Image.fromarray(rgb).save(content, "JPEG", quality=95, exif=exif)
    return content.getvalue()


def _motion_jpeg(path: Path, jpegs: list[bytes]) -> Path:
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("mjpeg", rate=24)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuvj420p"
        for index, content in enumerate(jpegs):
            packet = av.Packet(content)
            packet.stream, packet.time_base = stream, Fraction(1, 24)
            packet.pts = packet.dts = index
            packet.is_keyframe = True
            out.mux(packet)
    return path


@pytest.mark.parametrize("ending", ["avi", "mov", "mkv"])
def test_frames_with_exif_are_frames(ending: str, tmp_path: Path) -> None:
    expected = pictures(3)
    path = _motion_jpeg(tmp_path / f"in.{ending}", [_jpeg(rgb, 1) for rgb in expected])
    with open_source(path) as source:
        frames = list(source)
    assert [frame.index for frame in frames] == [0, 1, 2]
    for frame, rgb in zip(frames, expected, strict=True):
        assert np.abs(frame.rgb.astype(int) - rgb).mean() < 6


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_display_matrix_counts_among_side_data_without_a_name(
    orientation: int, tmp_path: Path
) -> None:
    content = _jpeg(pictures(1)[0], orientation)
    path = _motion_jpeg(tmp_path / "in.mov", [content])
    with open_source(path) as source:
        (frame,) = source
        shown = np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))
        stored = np.array(Image.open(io.BytesIO(content)))
    # Up to version 7, FFmpeg does not turn frames by their own EXIF.
    picture = shown if av.library_versions["libavcodec"] >= (62,) else stored
    assert frame.rgb.shape == picture.shape
    assert np.abs(frame.rgb.astype(int) - picture).mean() < 6
