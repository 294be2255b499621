"""An overlay keeps the source's pictures as they are, but for objects and a little around them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from pcvos_cli.masks.drawing import draw_masks
from pcvos_cli.masks.overlay import OverlayWriter, _planes, _Side
from pcvos_cli.video.reader import VideoSource
from pcvos_cli.video.source import Frame
from tests.support.videos import write_video

SIZE = (96, 160)
NEAR_LOSSLESS = {"crf": "4"}


def scene(count: int = 3) -> list[NDArray[np.uint8]]:
    """Smooth colours, so that chroma at a quarter of the pixels loses little of them."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return [
        np.stack((40 + x + 5 * t, 220 - y, 60 + (x + y) // 2), axis=-1).astype(np.uint8)
        for t in range(count)
    ]


def labels(t: int = 0) -> NDArray[np.uint8]:
    ids = np.zeros(SIZE, np.uint8)
    ids[20:44, 30 + 3 * t : 60 + 3 * t] = 1
    ids[40:50, 50:70] = 2
    return ids


def drawn(source: VideoSource, path: Path) -> Iterator[tuple[Frame, av.VideoFrame]]:
    writer = OverlayWriter(path, source.info)
    for frame in source:
        yield frame, writer._draw(frame, labels(frame.index))
    writer.abort()


@pytest.mark.parametrize("colorspace", [None, 1, 5, 9])
def test_pictures_are_kept_around_objects(tmp_path: Path, colorspace: int | None) -> None:
    path = write_video(
        tmp_path / "v.mp4", scene(), colorspace=colorspace, color_range=1, options=NEAR_LOSSLESS
    )
    source = VideoSource(path)
    assert source.info.colours is not None
    for frame, picture in drawn(source, tmp_path / "o.mp4"):
        assert frame.picture is not None
        kept = [np.ones(plane.shape, bool) for plane in _planes(picture)]
        for plane, step in zip(kept, (1, 2, 2), strict=True):
            plane[: 84 // step, : 120 // step] = False
        for of, now, same in zip(_planes(frame.picture), _planes(picture), kept, strict=True):
            assert np.array_equal(of[same], now[same])
            assert not np.array_equal(of, now)
        shown = picture.reformat(
            format="rgb24", src_colorspace=colorspace or 5, src_color_range=1, threads=1
        ).to_ndarray()
        expected = draw_masks(frame.rgb, labels(frame.index)).astype(int)
        inside = np.zeros(SIZE, bool)
        inside[26:34, 42:54] = True  # Of the first object, away from its outline.
        assert np.abs(shown - expected)[inside].max() <= 8
        assert np.abs(shown - expected).mean() <= 3


def test_the_decoders_own_pictures_are_not_written_to(tmp_path: Path) -> None:
    # Later frames are predicted from them.
    path = write_video(tmp_path / "v.mp4", scene(12), options={"bf": "0", "g": "100"})
    alone = [frame.rgb for frame in VideoSource(path)]
    beside = [frame.rgb for frame, _ in drawn(VideoSource(path), tmp_path / "o.mp4")]
    for a, b in zip(alone, beside, strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize(
    ("given", "colours"),
    [
        ({"colorspace": 1, "color_range": 1}, (1, 1)),
        ({"colorspace": 5, "color_range": 1}, (5, 1)),
        ({}, (2, 0)),
        ({"colorspace": 5, "color_range": 2, "pix_fmt": "yuvj420p"}, None),
        ({"pix_fmt": "yuv444p"}, None),
        ({"pix_fmt": "yuv420p10le"}, None),
        ({"rotation": 90}, None),
        ({"hflip": True}, None),
    ],
    ids=lambda value: str(value),
)
def test_colours_are_the_sources_or_those_of_high_definition(
    tmp_path: Path, given: dict[str, Any], colours: tuple[int, int] | None
) -> None:
    source = VideoSource(write_video(tmp_path / "v.mp4", scene(), options=NEAR_LOSSLESS, **given))
    writer = OverlayWriter(tmp_path / "o.mp4", source.info)
    for frame in source:
        assert (frame.picture is None) is (colours is None)
        writer.write(frame, np.zeros(frame.rgb.shape[:2], np.uint8), None)
    writer.close()
    overlay = VideoSource(tmp_path / "o.mp4")
    assert overlay.info.colours is not None
    assert overlay.info.colours[:2] == (colours or (1, 1))
    for frame, expected in zip(overlay, source, strict=True):
        assert np.abs(frame.rgb.astype(int) - expected.rgb).mean() <= 3


def test_a_side_moves_and_does_not_shrink() -> None:
    side = _Side(200)
    before = 0
    for start, stop in ((90, 99), (10, 60), (195, 200), (0, 3), (3, 199), (50, 51)):
        held = side.around(slice(start, stop), 5)
        assert 0 <= held.start <= max(0, start - 5)
        assert min(200, stop + 5) <= held.stop <= 200
        assert held.start % 2 == held.stop % 2 == 0
        assert held.stop - held.start >= before
        before = held.stop - held.start
    assert _Side(6).around(slice(2, 3), 5) == slice(0, 6)
