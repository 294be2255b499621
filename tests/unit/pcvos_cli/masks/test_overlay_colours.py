"""An overlay has the colours of its source, whatever those are stored as."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pcvos_cli.masks.overlay import VideoWriter
from pcvos_cli.masks.palette import draw_masks
from pcvos_cli.masks.writers import FrameMasks
from pcvos_cli.video.reader import VideoSource
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


@pytest.mark.parametrize(
    "given",
    [
        {"colorspace": 1, "color_range": 1},
        {"colorspace": 5, "color_range": 1},
        {"colorspace": 9, "color_range": 1},
        {},
        {"colorspace": 5, "color_range": 2, "pix_fmt": "yuvj420p"},
        {"pix_fmt": "yuv444p"},
        {"pix_fmt": "yuv420p10le"},
        {"rotation": 90},
        {"hflip": True},
    ],
    ids=lambda value: str(value),
)
def test_an_overlay_is_the_source_with_its_masks(tmp_path: Path, given: dict[str, Any]) -> None:
    source = VideoSource(write_video(tmp_path / "v.mp4", scene(), options=NEAR_LOSSLESS, **given))
    size = (source.info.height, source.info.width)
    writer = VideoWriter(
        tmp_path / "o.mp4", size, fps=source.info.fps, time_base=source.info.time_base
    )
    labels = np.zeros(size, np.int32)
    labels[20:44, 30:60], labels[40:50, 50:70] = 1, 2
    for frame in source:
        writer.write(FrameMasks(frame.index, frame.name, frame.pts, frame.rgb, labels))
    writer.close()
    inside = np.zeros(size, bool)
    inside[26:34, 42:54] = True  # Of the first object, away from its outline.
    for shown, frame in zip(VideoSource(tmp_path / "o.mp4"), source, strict=True):
        difference = shown.rgb.astype(int) - draw_masks(frame.rgb, labels)
        assert np.abs(difference).mean() <= 3
        # Another matrix would shift the green of the background's right half by 10.
        assert np.abs(difference[60:, -40:].mean(axis=(0, 1))).max() <= 2
        assert np.abs(difference[inside].mean(axis=0)).max() <= 6
