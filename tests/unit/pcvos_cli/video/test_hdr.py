"""HDR and wide-gamut video: the same scene as in BT.709 gives the same frames."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.reformatter import Colorspace
from numpy.typing import NDArray

from pcvos_cli.video.hdr import BT2020, HLG, P3, PQ, WHITE, to_bt709
from pcvos_cli.video.reader import VideoSource
from tests.support.videos import pictures, write_video

RGB = NDArray[np.float64]
SDR_TRC = 1
TO_XYZ = {
    # IEC 61966-2-1, BT.2020 and SMPTE EG 432-1.
    1: [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041]],
    BT2020: [[0.6369580, 0.1446169, 0.1688810], [0.2627002, 0.6779981, 0.0593017],
             [0.0, 0.0280727, 1.0609851]],
    P3: [[0.4865709, 0.2656677, 0.1982173], [0.2289746, 0.6917385, 0.0792869],
         [0.0, 0.0451134, 1.0439444]],
}  # fmt: skip


def _coded(rgb: RGB, trc: int, primaries: int) -> RGB:
    """Return BT.709 pictures, 0..255, as an HDR camera codes the same light."""
    light = (rgb / 255) ** 2.4 @ (np.linalg.inv(TO_XYZ[primaries]) @ np.array(TO_XYZ[1])).T
    light = np.clip(light, 0, None)
    if trc == PQ:
        power = (light * WHITE / 10_000) ** 0.1593017578125
        return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    if trc == HLG:
        light = light * WHITE / 1000
        shown = np.maximum(light @ np.array(TO_XYZ[BT2020][1]), 1e-12)[..., None]
        scene = light * shown ** (1 / 1.2 - 1)
        curve = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-12)) + 0.55991073
        return np.where(scene <= 1 / 12, np.sqrt(3 * scene), curve)
    return light ** (1 / 2.4)


def _write(path: Path, frames: list[RGB], trc: int, primaries: int) -> Path:
    """Write coded RGB, 0..1, as 10-bit video with its colours declared."""
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("ffv1", rate=24)
        context = stream.codec_context
        context.height, context.width = frames[0].shape[:2]
        context.pix_fmt = "yuv444p10le"
        context.color_trc, context.color_primaries = trc, primaries
        context.colorspace, context.color_range = 9, 1
        for index, rgb in enumerate(frames):
            deep = np.rint(np.clip(rgb, 0, 1) * 65535).astype(np.uint16)
            picture = av.VideoFrame.from_ndarray(deep, format="rgb48le")
            picture = picture.reformat(
                format="yuv444p10le", dst_colorspace=9, dst_color_range=1, threads=1
            )
            picture.pts, picture.time_base = index, Fraction(1, 24)
            picture.color_trc, picture.color_primaries = trc, primaries
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("trc", "primaries", "words"),
    [
        (PQ, BT2020, "HDR (PQ): tone-mapped"),
        (HLG, BT2020, "HDR (HLG): tone-mapped"),
        (PQ, P3, "HDR (PQ): tone-mapped"),
        (SDR_TRC, BT2020, "wide gamut: converted"),
        (SDR_TRC, P3, "wide gamut: converted"),
    ],
)
def test_the_same_scene_gives_the_same_frames(
    trc: int, primaries: int, words: str, tmp_path: Path
) -> None:
    scene = [rgb * 0.8 for rgb in pictures(2)]  # Up to 192: below the knee.
    path = _write(
        tmp_path / "in.mkv", [_coded(rgb, trc, primaries) for rgb in scene], trc, primaries
    )
    with VideoSource(path) as source:
        frames = [frame.rgb for frame in source]
        assert source.notes == [f"the video is {words} to BT.709 for the model and the overlay"]
        assert source.warnings == []
    for rgb, expected in zip(frames, scene, strict=True):
        difference = np.abs(rgb - expected)
        assert difference.mean() < 2
        assert np.percentile(difference, 99) < 8


@pytest.mark.parametrize("trc", [PQ, HLG])
def test_highlights_are_compressed_and_keep_their_order(trc: int) -> None:
    light = np.linspace(0, 1000 / WHITE, 200)[:, None].repeat(3, axis=1)
    coded = _coded(255 * light ** (1 / 2.4), trc, BT2020)
    shown = to_bt709(coded, trc, BT2020)[:, 0]
    assert (np.diff(shown[shown < 0.9999]) > 0).all()
    assert shown[-1] == pytest.approx(1, abs=0.002)
    assert shown[np.searchsorted(light[:, 0], 1.0)] == pytest.approx(0.94, abs=0.02)


def test_colours_beyond_the_gamut_stay_in_range() -> None:
    corners = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1], [0, 0, 0]], float)
    for trc in (PQ, HLG, SDR_TRC):
        shown = to_bt709(corners, trc, BT2020)
        assert np.isfinite(shown).all()
        assert ((shown >= 0) & (shown <= 1)).all()
        np.testing.assert_allclose(shown[3:], [[1] * 3, [0] * 3], atol=1e-3)


def test_plain_video_is_left_alone(tmp_path: Path) -> None:
    path = write_video(tmp_path / "in.mp4", colorspace=int(Colorspace.ITU709))
    with VideoSource(path) as source:
        list(source)
        assert source.notes == []
