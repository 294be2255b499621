"""VideoSource: upright, unshifted, in time."""

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, features

from pcvos_cli.video.reader import VideoSource
from pcvos_cli.video.source import FrameSource, open_source
from tests.support.shared import shared
from tests.support.videos import pictures, times_of, write_video

NEAR_LOSSLESS = {"crf": "1"}


def grey_pictures(count: int, size: tuple[int, int]) -> list[NDArray[np.uint8]]:
    """Pictures without colour, which 4:2:0 subsampling does not change."""
    return [np.repeat(rgb[..., :1], 3, axis=2) for rgb in pictures(count, size)]


def difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> int:
    assert a.shape == b.shape
    return int(np.abs(a.astype(np.int16) - b.astype(np.int16)).max())


def test_frames_and_info(tmp_path: Path) -> None:
    expected = grey_pictures(5, (48, 64))
    path = write_video(tmp_path / "v.mp4", expected, options=NEAR_LOSSLESS, audio="aac")
    with VideoSource(path) as source:
        frames = list(source)
        info = source.info
    assert [f.index for f in frames] == [0, 1, 2, 3, 4]
    assert [f.name for f in frames] == ["00000", "00001", "00002", "00003", "00004"]
    assert max(difference(f.rgb, e) for f, e in zip(frames, expected, strict=True)) <= 4
    assert (info.height, info.width, info.coded_size, info.rotation) == (48, 64, (48, 64), 0)
    assert (info.fps, info.frame_count, info.has_audio, info.is_folder) == (25, 5, True, False)
    assert type(info.time_base) is Fraction
    assert [f.pts * info.time_base for f in frames] == [Fraction(i, 25) for i in range(5)]
    assert source.warnings == []


@pytest.mark.parametrize("hflip", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotation_is_applied(tmp_path: Path, rotation: int, hflip: bool) -> None:
    stored = grey_pictures(2, (32, 64))
    path = write_video(
        tmp_path / "v.mp4", stored, rotation=rotation, hflip=hflip, options=NEAR_LOSSLESS
    )
    source = VideoSource(path)
    shown = np.rot90(stored[0], rotation // 90)
    shown = shown[:, ::-1] if hflip else shown
    frame = next(iter(source))
    assert difference(frame.rgb, shown) <= 4
    assert frame.rgb.flags.c_contiguous
    assert (source.info.height, source.info.width) == shown.shape[:2]
    assert source.info.coded_size == (32, 64)
    if not hflip:
        assert source.info.rotation == rotation


@pytest.mark.parametrize("size", [(48, 64), (47, 63), (33, 18), (1, 1), (2, 3)])
@pytest.mark.parametrize(
    ("codec", "pix_fmt", "ending"),
    [
        ("ffv1", "yuv420p", "mkv"),
        ("ffv1", "yuv420p10le", "mkv"),
        ("ffv1", "yuv444p12le", "mkv"),
        ("ffv1", "yuva420p", "mkv"),
        ("ffv1", "gray", "mkv"),
        ("ffv1", "gray16le", "mkv"),
        ("ffv1", "bgr0", "mkv"),
        ("png", "rgba", "mov"),
    ],
)
def test_every_pixel_format_and_size_stays_in_place(
    tmp_path: Path, codec: str, pix_fmt: str, ending: str, size: tuple[int, int]
) -> None:
    expected = grey_pictures(1, size)
    path = write_video(tmp_path / f"v.{ending}", expected, codec=codec, pix_fmt=pix_fmt)
    scale = (0, 65535) if pix_fmt == "gray16le" else None  # else what the frame's values span
    frame = next(iter(VideoSource(path, value_range=scale)))
    assert difference(frame.rgb, expected[0]) <= 3


@pytest.mark.parametrize("color_range", [1, 2])
@pytest.mark.parametrize("colorspace", [1, 5, 9])
def test_colours_are_those_that_the_file_declares(
    tmp_path: Path, colorspace: int, color_range: int
) -> None:
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 50, 30), (128, 128, 128)]
    frames = [np.full((16, 16, 3), colour, np.uint8) for colour in colours]
    path = write_video(
        tmp_path / "v.mp4",
        frames,
        pix_fmt="yuv444p",
        colorspace=colorspace,
        color_range=color_range,
        options=NEAR_LOSSLESS,
    )
    for frame, expected in zip(VideoSource(path), frames, strict=True):
        assert difference(frame.rgb, expected) <= 5


def test_grey_of_video_range_is_stretched(tmp_path: Path) -> None:
    path = tmp_path / "v.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "gray"
        stream.codec_context.color_range = 1
        values = np.full((16, 16), 16, np.uint8)
        values[:, 8:] = 235
        container.mux(stream.encode(av.VideoFrame.from_ndarray(values, format="gray")))
        container.mux(stream.encode(None))
    rgb = next(iter(VideoSource(path))).rgb
    assert rgb[0, 0].tolist() == [0, 0, 0]
    assert rgb[0, 15].tolist() == [255, 255, 255]


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_variable_frame_rate_and_late_start(tmp_path: Path, ending: str) -> None:
    pts = [1005, 1009, 1010, 1040, 1041, 1090]
    path = write_video(tmp_path / f"v.{ending}", pts=pts, time_base=Fraction(1, 1000))
    source = VideoSource(path)
    assert [f.pts * source.info.time_base for f in source] == [Fraction(p, 1000) for p in pts]
    assert times_of(path) == [Fraction(p, 1000) for p in pts]


def test_missing_timestamps_are_made_and_counted(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.h264", options={"bf": "0"}, container_format="h264")
    source = VideoSource(path)
    pts = [f.pts for f in source]
    assert len(pts) == 6
    assert len({b - a for a, b in itertools.pairwise(pts)}) == 1
    assert pts[1] > pts[0]
    assert source.warnings == ["6 frame(s) without a timestamp: synthesised"]


def test_timestamps_always_advance_in_avi_with_b_frames(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 255, (32, 32, 3), dtype=np.uint8) for _ in range(20)]
    path = write_video(tmp_path / "v.avi", frames)
    pts = [f.pts for f in VideoSource(path)]
    assert len(pts) == 20
    assert all(b == a + 1 for a, b in itertools.pairwise(pts))


def test_a_change_of_size_is_scaled_to_the_first(tmp_path: Path) -> None:
    # Two streams of transport packets, one after the other, are one stream again.
    small, large = pictures(3, (32, 48)), pictures(3, (64, 96))
    a = write_video(tmp_path / "a.ts", small, options={"bf": "0"})
    b = write_video(tmp_path / "b.ts", large, options={"bf": "0"}, pts=[10, 11, 12])
    both = tmp_path / "both.ts"
    both.write_bytes(a.read_bytes() + b.read_bytes())
    source = VideoSource(both)
    frames = list(source)
    assert {f.rgb.shape for f in frames} == {(32, 48, 3)}
    assert len(frames) == 6
    assert "3 frame(s) of another size scaled to that of the first" in source.warnings


def test_frame_names_are_digits(tmp_path: Path) -> None:
    source = VideoSource(write_video(tmp_path / "v.mp4"))
    assert source.frame_index("7") == 7
    assert source.frame_index("00007") == 7
    assert source.frame_index("frame7") is None
    assert source.frame_index("") is None
    assert source.frame_index("-1") is None
    assert source.frame_index("٣") is None


def test_can_be_read_twice_and_closed_at_any_time(tmp_path: Path) -> None:
    source = VideoSource(write_video(tmp_path / "v.mp4"))
    first = [f.rgb for f in source]
    assert all(np.array_equal(a, f.rgb) for a, f in zip(first, source, strict=True))
    running = iter(source)
    next(running)
    source.close()
    source.close()
    assert list(running) == []
    with pytest.raises(ValueError, match="closed"):
        iter(source)


def test_strange_names(tmp_path: Path) -> None:
    plain = write_video(tmp_path / "v.mp4")
    for name in ("with space.mp4", "new\nline.mp4", "ünï=cødé %03d.mp4", "http:x.mp4"):
        path = plain.rename(tmp_path / name)
        assert len(list(VideoSource(path))) == 6
        plain = path


def test_cover_art_is_not_video(tmp_path: Path) -> None:
    path = tmp_path / "cover.mp4"
    with av.open(str(path), "w") as out:
        cover = out.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        video = out.add_stream("libx264", rate=25)
        video.width, video.height = 32, 32
        art = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        out.mux([*cover.encode(art), *cover.encode(None)])
        for rgb in pictures(4, (32, 32)):
            out.mux(video.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        out.mux(video.encode(None))
    with av.open(str(path)) as container:
        stills = [
            bool(s.disposition & av.stream.Disposition.attached_pic) for s in container.streams
        ]
    assert sorted(stills) == [False, True]
    with VideoSource(path) as found:
        assert found.info.coded_size == (32, 32)
        assert len(list(found)) == 4


def test_open_source_chooses_by_kind(tmp_path: Path) -> None:
    source: FrameSource = open_source(write_video(tmp_path / "v.mp4"))
    assert isinstance(source, VideoSource)


@pytest.mark.parametrize(("name", "count"), [("test-sample2.mp4", 149), ("people.mp4", 117)])
def test_real_videos(name: str, count: int) -> None:
    path = shared("data", "videos", name)
    source = VideoSource(path)
    pts = [f.pts * source.info.time_base for f in source]
    assert source.info.frame_count == len(pts) == count
    assert pts == times_of(path)
    assert source.warnings == []


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow writes no AVIF")
def test_an_animated_avif_is_its_track_and_not_its_still(tmp_path: Path) -> None:
    path = tmp_path / "a.avif"
    images = [Image.fromarray(rgb) for rgb in pictures(5)]
    images[0].save(path, save_all=True, append_images=images[1:], duration=100, quality=90)
    with VideoSource(path) as source:
        frames = list(source)
        assert len(frames) == source.info.frame_count == 5
        assert difference(frames[4].rgb, pictures(5)[4]) < 40
