"""Mattes and cut-outs: edges follow the picture, and the alpha comes back out of every file."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from model.errors import ConfigError
from pcvos_cli.masks.writers import FrameMasks
from pcvos_cli.matting.alpha import object_colours, refine_alpha
from pcvos_cli.matting.background import open_background
from pcvos_cli.matting.writers import open_writers
from pcvos_cli.run.settings import SegmentSettings
from tests.support.videos import packets_of, pictures, times_of, write_video

SIZE = (96, 128)
PTS = [1001, 1009, 1010, 1040, 1041, 1090]
FRONT, BACK = np.array([220.0, 60, 40]), np.array([30.0, 90, 200])


def true_alpha(shift: float = 0.0, size: tuple[int, int] = SIZE) -> NDArray[np.float32]:
    """An ellipse whose edge is soft over some four pixels, as of hair or a moving thing."""
    y, x = np.mgrid[: size[0], : size[1]]
    distance = np.hypot((x - 60 - shift) / 30, (y - 48) / 22) - 1
    return np.clip(0.5 - 6 * distance, 0, 1).astype(np.float32)


def scene(index: int = 0, pts: int | None = None, size: tuple[int, int] = SIZE) -> FrameMasks:
    """A red ellipse on blue, with the wide doubt of a network about its outline."""
    alpha = true_alpha(2.0 * index, size)
    rgb = np.rint(BACK + alpha[..., None] * (FRONT - BACK)).astype(np.uint8)
    soft = cv2.GaussianBlur((alpha > 0.5).astype(np.float32), (0, 0), 3)
    return FrameMasks(
        index,
        f"{index:05}",
        index if pts is None else pts,
        rgb,
        (alpha > 0.5).astype(np.int32) * 3,
        soft=np.rint(255 * soft).astype(np.uint8)[::2, ::2].copy(),
    )


def test_the_alpha_follows_the_picture_and_not_the_doubt() -> None:
    frame, true = scene(), 255 * true_alpha()
    assert frame.soft is not None
    alpha = refine_alpha(frame, frame.soft).astype(float)
    error = np.abs(alpha - true).mean()
    hard = np.abs(255.0 * (frame.labels > 0) - true).mean()
    doubt = np.abs(cv2.resize(frame.soft, SIZE[::-1]).astype(float) - true).mean()
    assert error < 0.7 * min(hard, doubt)
    assert alpha[48, 60] == 255
    assert (alpha[:10] == 0).all()
    nothing = FrameMasks(0, "0", 0, frame.rgb, np.zeros(SIZE, np.int32), soft=frame.soft)
    assert not refine_alpha(nothing, frame.soft).any()


def test_an_object_that_the_frame_cuts_off_is_opaque_to_the_border() -> None:
    labels = np.zeros(SIZE, np.int32)
    labels[:, 70:] = 1
    rgb = np.where(labels[..., None] > 0, FRONT, BACK).astype(np.uint8)
    frame = FrameMasks(0, "0", 0, rgb, labels, soft=(labels * 255).astype(np.uint8))
    assert frame.soft is not None
    for choke, feather in ((0, 0.0), (2, 4.0)):
        alpha = refine_alpha(frame, frame.soft, choke=choke, feather=feather)
        assert (alpha[:, 84:] == 255).all()
        assert (alpha[:, :56] == 0).all()


def test_choke_and_feather_are_pixels() -> None:
    frame = scene()
    assert frame.soft is not None
    plain, tight, wide = (refine_alpha(frame, frame.soft, choke=c) for c in (0, 3, -3))
    widths = [int((alpha[48] > 127).sum()) for alpha in (plain, tight, wide)]
    assert widths[0] - widths[1] == pytest.approx(6, abs=1)
    assert widths[2] - widths[0] == pytest.approx(6, abs=1)
    soft = refine_alpha(frame, frame.soft, feather=8)
    edge = (soft > 12) & (soft < 243)
    assert edge[48].sum() > ((plain > 12) & (plain < 243))[48].sum() + 8


def test_soft_edges_carry_no_rim_of_the_old_background() -> None:
    frame, alpha = scene(), np.rint(255 * true_alpha()).astype(np.uint8)
    colours = object_colours(frame.rgb, alpha)
    edge = (alpha > 30) & (alpha < 220)
    assert np.abs(frame.rgb[edge] - FRONT).mean() > 50
    assert np.abs(colours[edge] - FRONT).mean() < 15
    assert np.array_equal(colours[alpha == 255], frame.rgb[alpha == 255])
    assert not colours[0, 0].any()


def written(
    folder: Path, formats: list[str], frames: list[FrameMasks], **options: Any
) -> list[str]:
    """Write the formats; return the writers' notes."""
    video = {"fps": Fraction(25), "time_base": Fraction(1, 25), **options.pop("video", {})}
    writers = open_writers(formats, folder, frames[0].labels.shape, video, **options)
    for frame in frames:
        for writer in writers.values():
            writer.write(frame)
    for writer in writers.values():
        writer.close()
    return [note for writer in writers.values() for note in getattr(writer, "notes", [])]


def alphas_of(path: Path, decoder: str) -> list[NDArray[np.uint8]]:
    """Decode the alpha of a video's frames, 8 bits."""
    found = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = av.CodecContext.create(decoder, "r")
        if stream.codec_context.extradata:
            context.extradata = stream.codec_context.extradata
        for packet in container.demux(stream):
            for picture in context.decode(packet) if packet.size else context.decode(None):
                plane = picture.planes[3]
                kind = np.uint8 if picture.format.components[3].bits == 8 else np.uint16
                rows = np.frombuffer(bytes(plane), kind).reshape(picture.height, -1)
                values = rows[:, : picture.width].astype(float)
                bits = picture.format.components[3].bits
                found.append(np.rint(values * 255 / (2**bits - 1)).astype(np.uint8))
    return found


@pytest.mark.parametrize("size", [SIZE, (95, 127)])
def test_the_alpha_comes_back_within_2_levels(tmp_path: Path, size: tuple[int, int]) -> None:
    frames = [scene(index, size=size) for index in range(4)]
    formats = ["cutout", "cutout-mov", "cutout-webm", "matte"]
    written(tmp_path, formats, frames)
    true = []
    for frame in frames:
        with Image.open(tmp_path / "cutout" / f"{frame.name}.png") as image:
            assert image.mode == "RGBA"
            true.append(np.asarray(image)[..., 3].astype(int))
        with Image.open(tmp_path / "matte" / f"{frame.name}.png") as image:
            assert image.mode == "L"
            assert np.array_equal(np.asarray(image), true[-1])
    for name, decoder in (("cutout.mov", "prores"), ("cutout.webm", "libvpx-vp9")):
        found = alphas_of(tmp_path / name, decoder)
        assert [alpha.shape for alpha in found] == [size] * 4
        assert max(np.abs(a - t).max() for a, t in zip(found, true, strict=True)) <= 2
    with av.open(str(tmp_path / "matte.mp4")) as container:
        for picture, alpha in zip(container.decode(video=0), true, strict=True):
            grey = picture.to_ndarray(format="gray")[: size[0], : size[1]]
            assert np.abs(grey - alpha).max() <= 2


def test_times_and_sound_are_the_sources(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "v.mkv", pictures(6, SIZE), pts=PTS, time_base=Fraction(1, 1000), audio="flac"
    )
    formats = ["cutout-mov", "cutout-webm", "matte", "composite"]
    video = {"time_base": Fraction(1, 1000), "source": path}
    frames = [scene(index, pts) for index, pts in enumerate(PTS)]
    notes = written(tmp_path, formats, frames, video=video, background="#00ff00")
    for name in ("cutout.mov", "cutout.webm", "matte.mp4", "composite.mp4"):
        assert times_of(tmp_path / name) == [Fraction(pts, 1000) for pts in PTS], name
        assert packets_of(tmp_path / name, "audio"), name
    assert any("Opus: WebM cannot hold it" in note for note in notes)


def test_webm_is_the_same_bytes_twice(tmp_path: Path) -> None:
    for name in ("a", "b"):
        written(tmp_path / name, ["cutout-webm"], [scene(index) for index in range(3)])
    first, second = ((tmp_path / n / "cutout.webm").read_bytes() for n in ("a", "b"))
    assert first == second


def test_compositions(tmp_path: Path) -> None:
    frames = [scene(index) for index in range(3)]
    written(tmp_path, ["composite"], frames, background="#102030")
    with av.open(str(tmp_path / "composite.mp4")) as container:
        rgb = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    assert np.abs(rgb[48, 60] - FRONT).max() <= 8
    assert np.abs(rgb[4, 4] - (0x10, 0x20, 0x30)).max() <= 8

    alpha = np.rint(255 * true_alpha()).astype(np.uint8)
    blur = open_background("blur", SIZE, time_base=Fraction(1, 25), fps=Fraction(25))
    behind = blur(frames[0], alpha)[alpha < 200]
    assert np.abs(behind - BACK).max() <= 25  # nothing of the red glows in it


def test_a_video_behind_runs_by_time_and_begins_again(tmp_path: Path) -> None:
    greys = [np.full((40, 40, 3), 60 * value, np.uint8) for value in (1, 2, 3)]
    path = write_video(tmp_path / "b.mp4", greys, fps=10)
    behind = open_background(str(path), SIZE, time_base=Fraction(1, 1000), fps=Fraction(24))
    shown = []
    for milliseconds in (500, 590, 600, 710, 790, 800, 1000, 1450):
        picture = behind(scene(0, milliseconds), np.zeros(SIZE, np.uint8))
        assert picture.shape == (*SIZE, 3)
        shown.append(round(float(picture.mean()) / 60))
    assert shown == [1, 1, 2, 3, 3, 1, 3, 1]


def test_a_picture_behind_covers_the_frame(tmp_path: Path) -> None:
    picture = np.zeros((30, 90, 3), np.uint8)
    picture[:, 30:60] = 200
    Image.fromarray(picture).save(tmp_path / "b.png")
    behind = open_background(
        str(tmp_path / "b.png"), (60, 60), time_base=Fraction(1), fps=Fraction(24)
    )
    found = behind(scene(), np.zeros((60, 60), np.uint8))
    assert found.shape == (60, 60, 3)
    assert (found[:, 8:-8] == 200).all()


def test_the_mattes_of_single_objects_add_up_to_that_of_all(tmp_path: Path) -> None:
    """Two that touch, one that is alone, one that has not entered; and no object at all."""
    frame = scene()
    labels = frame.labels.copy()
    labels[:, 60:][labels[:, 60:] > 0] = 7
    labels[80:90, 110:120] = 300
    soft = cv2.GaussianBlur((labels > 0).astype(np.float32), (0, 0), 3)
    frame = replace(frame, labels=labels, soft=np.rint(255 * soft).astype(np.uint8))
    empty = replace(frame, index=1, name="00001", labels=np.zeros_like(labels))
    written(tmp_path, ["matte", "mattes"], [frame, empty], object_ids=(3, 7, 9, 300), feather=2)
    names = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("mattes/*/*"))
    ids = (3, 7, 9, 300)
    assert names == sorted(f"mattes/{i}/0000{n}.png" for i in ids for n in (0, 1))
    for name in ("00000", "00001"):
        parts = [np.array(Image.open(tmp_path / f"mattes/{i}/{name}.png")) for i in ids]
        whole = np.array(Image.open(tmp_path / f"matte/{name}.png"))
        np.testing.assert_array_equal(np.sum(parts, axis=0), whole)
        assert not parts[2].any()
        if name == "00000":
            for i, part in zip(ids, parts, strict=True):
                assert i == 9 or (part[labels == i] > 0).mean() > 0.9
            assert parts[0][:, 61:].max() == parts[1][:, :60].max() == parts[3][:, :100].max() == 0
            assert np.count_nonzero((parts[0] > 0) & (labels == 0)) > 0


def test_words_for_what_does_not_go_together() -> None:
    with pytest.raises(ConfigError, match="neither a file nor a colour"):
        open_background("nowhere.mp4", SIZE, time_base=Fraction(1), fps=Fraction(1))
    with pytest.raises(ConfigError, match="--feather: nothing to apply it to"):
        SegmentSettings(feather=2)
    with pytest.raises(ConfigError, match="go together"):
        SegmentSettings(formats=("composite",))
    assert SegmentSettings(formats=("composite",), background="blur", choke=-2).makes_soft_masks
