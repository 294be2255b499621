"""Writers: what they write can be read back by the tools of the field."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from model.errors import OutputError
from pcvos_cli.convert.writers import YoutubeVisWriter
from pcvos_cli.masks.overlay import VideoWriter
from pcvos_cli.masks.palette import bright_colour_of, voc_palette
from pcvos_cli.masks.writers import FrameMasks, MaskWriter, PaletteWriter, ScoresWriter
from pcvos_cli.video.reader import VideoSource
from tests.support.videos import packets_of, pictures, times_of, write_video


def frame(index: int, labels: NDArray[np.int32], pts: int | None = None, **more: Any) -> FrameMasks:
    rgb = np.full((*labels.shape, 3), 90, np.uint8)
    return FrameMasks(index, f"{index:05d}", index if pts is None else pts, rgb, labels, **more)


def labels_of(*ids: int, size: tuple[int, int] = (48, 64), shift: int = 0) -> NDArray[np.int32]:
    labels = np.zeros(size, np.int32)
    for number, object_id in enumerate(ids):
        left = 2 + 12 * number + shift
        labels[10:30, left : left + 9] = object_id
    return labels


def test_palette_png(tmp_path: Path) -> None:
    writer: MaskWriter = PaletteWriter(tmp_path / "deep" / "masks")
    expected = labels_of(1, 3, 255)
    writer.write(frame(7, expected))
    writer.close()
    with Image.open(tmp_path / "deep" / "masks" / "00007.png") as image:
        assert image.mode == "P"
        assert np.array_equal(np.asarray(image), expected)
        assert image.getpalette() == voc_palette().ravel().tolist()
    assert [p.name for p in (tmp_path / "deep" / "masks").iterdir()] == ["00007.png"]


def test_palette_png_refuses_ids_above_255(tmp_path: Path) -> None:
    writer = PaletteWriter(tmp_path)
    with pytest.raises(OutputError, match=r"00000\.png: object id 256 does not fit") as caught:
        writer.write(frame(0, labels_of(256)))
    assert "rle" in (caught.value.hint or "")
    assert list(tmp_path.iterdir()) == []


def test_scores(tmp_path: Path) -> None:
    writer: MaskWriter = ScoresWriter(tmp_path / "scores")
    probs = np.random.default_rng(0).random((3, 5, 7), dtype=np.float32)
    writer.write(frame(2, labels_of(1, 2), probs=probs))
    first = (tmp_path / "scores" / "00002.npz").read_bytes()
    with np.load(tmp_path / "scores" / "00002.npz", allow_pickle=False) as archive:
        assert archive.files == ["prob"]
        assert archive["prob"].dtype == np.float32
        assert np.array_equal(archive["prob"], probs)
    writer.write(frame(2, labels_of(1, 2), probs=probs))
    assert (tmp_path / "scores" / "00002.npz").read_bytes() == first
    writer.write(frame(3, labels_of(1, 2)))
    writer.close()
    assert [p.name for p in (tmp_path / "scores").iterdir()] == ["00002.npz"]


def rle_writer(path: Path, size: tuple[int, int] = (48, 64), **options: Any) -> MaskWriter:
    options = {"settings": {}, **options}
    return YoutubeVisWriter(path, size, source="v.mp4", time_base=Fraction(1, 1000), **options)


def write_rle(path: Path, maps: list[NDArray[np.int32]], **options: Any) -> dict[str, Any]:
    writer = rle_writer(path, maps[0].shape, settings={"model": "m"}, **options)
    for index, labels in enumerate(maps):
        writer.write(frame(index, labels, pts=40 * index + 5))
    assert not path.exists()
    writer.close()
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def test_rle_has_the_form_of_youtube_vis_and_decodes(tmp_path: Path) -> None:
    maps = [labels_of(1), labels_of(0), labels_of(0, 300, shift=3), labels_of(1, 300, 65535)]
    document = write_rle(tmp_path / "masks.json", maps, object_ids=(1, 9))
    assert document["info"]["pts"] == [5, 45, 85, 125]
    assert document["info"]["time_base"] == "1/1000"
    assert document["info"]["settings"] == {"model": "m"}
    (video,) = document["videos"]
    assert video["length"] == 4
    assert (video["height"], video["width"]) == (48, 64)
    assert video["file_names"] == ["00000", "00001", "00002", "00003"]
    assert [a["id"] for a in document["annotations"]] == [1, 9, 300, 65535]
    categories = {c["id"] for c in document["categories"]}
    for annotation in document["annotations"]:
        assert annotation["video_id"] == video["id"]
        assert annotation["category_id"] in categories
        lists = (annotation["segmentations"], annotation["bboxes"], annotation["areas"])
        assert [len(values) for values in lists] == [4, 4, 4]
        for labels, rle, bbox, area in zip(maps, *lists, strict=True):
            expected = labels == annotation["id"]
            if rle is None:
                assert not expected.any()
                assert bbox is None
                assert area is None
                continue
            assert isinstance(rle["counts"], str)
            assert np.array_equal(coco_mask.decode(rle), expected)
            rows, columns = np.nonzero(expected)
            assert area == len(rows)
            x, y, w, h = bbox
            assert (x, y) == (columns.min(), rows.min())
            assert (x + w, y + h) == (columns.max() + 1, rows.max() + 1)
    assert document["info"]["source"] == "v.mp4"
    assert [p.name for p in tmp_path.iterdir()] == ["masks.json"]


def test_rle_is_loaded_by_pycocotools(tmp_path: Path) -> None:
    write_rle(tmp_path / "masks.json", [labels_of(1, 2)])
    coco = COCO()
    coco.dataset = json.loads((tmp_path / "masks.json").read_text())
    assert [c["name"] for c in coco.dataset["categories"]] == ["object"]


def test_rle_of_no_frames_and_no_objects(tmp_path: Path) -> None:
    writer = rle_writer(tmp_path / "a.json")
    writer.close()
    assert json.loads((tmp_path / "a.json").read_text())["annotations"] == []
    document = write_rle(tmp_path / "b.json", [labels_of(), labels_of()], object_ids=(4,))
    assert document["annotations"][0]["segmentations"] == [None, None]


def test_rle_is_deterministic_and_abort_leaves_nothing(tmp_path: Path) -> None:
    maps = [labels_of(2, 1, shift=i) for i in range(5)]
    write_rle(tmp_path / "a.json", maps)
    write_rle(tmp_path / "b.json", maps)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    writer = rle_writer(tmp_path / "c.json")
    writer.write(frame(0, maps[0]))
    writer.abort()
    writer.abort()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "b.json"]


def overlay_of(source: VideoSource, path: Path, *, whole: bool = True) -> VideoWriter:
    info = source.info
    return VideoWriter(
        path, (info.height, info.width), fps=info.fps, time_base=info.time_base,
        source=info.path, rotation=info.rotation, whole=whole,
    )  # fmt: skip


def plain_overlay(path: Path, size: tuple[int, int] = (48, 64)) -> VideoWriter:
    return VideoWriter(path, size, fps=Fraction(25), time_base=Fraction(1, 25))


def write_overlay(source: VideoSource, path: Path) -> VideoWriter:
    writer = overlay_of(source, path)
    for picture in source:
        labels = np.zeros(picture.rgb.shape[:2], np.int32)
        labels[4:12, 4:20] = 1
        writer.write(FrameMasks(picture.index, picture.name, picture.pts, picture.rgb, labels))
    assert not path.exists()
    writer.close()
    return writer


PTS = [1001, 1009, 1010, 1040, 1041, 1090]


@pytest.mark.parametrize(
    ("ending", "options"),
    [
        ("mp4", {}),
        ("mkv", {"pts": PTS, "time_base": Fraction(1, 1000)}),
        ("mp4", {"pts": PTS, "time_base": Fraction(1, 1000), "audio": "aac"}),
        (
            "mov",
            {
                "pts": [1000001 + 3003 * i for i in range(6)],
                "time_base": Fraction(1, 90000),
                "container_options": {"movie_timescale": "90000"},
            },
        ),
        ("ts", {"pts": [7201 + 3600 * i for i in range(6)], "time_base": Fraction(1, 90000)}),
        ("mp4", {"fps": Fraction(30000, 1001)}),
        ("avi", {"codec": "mpeg4"}),
        ("mkv", {"pts": [36000000 + 40 * i for i in range(6)], "time_base": Fraction(1, 1000)}),
    ],
    ids=["plain", "vfr-mkv", "vfr-mp4", "late", "ts", "ntsc", "avi", "ten-hours"],
)
def test_overlay_keeps_the_times_exactly(
    tmp_path: Path, ending: str, options: dict[str, Any]
) -> None:
    path = write_video(tmp_path / f"v.{ending}", **options)
    source = VideoSource(path)
    expected = [f.pts * source.info.time_base for f in source]
    write_overlay(source, tmp_path / "o.mp4")
    assert times_of(tmp_path / "o.mp4") == expected
    if "pts" in options:
        assert expected == [p * options["time_base"] for p in options["pts"]]


def test_overlay_of_a_video_that_starts_before_0_keeps_all_frames(tmp_path: Path) -> None:
    source = VideoSource(write_video(tmp_path / "v.mp4", audio="aac"))
    writer = overlay_of(source, tmp_path / "o.mp4")
    early = round(Fraction(1, 5) / source.info.time_base)
    for picture in source:
        labels = np.zeros((48, 64), np.int32)
        writer.write(
            FrameMasks(picture.index, picture.name, picture.pts - early, picture.rgb, labels)
        )
    writer.close()
    assert times_of(tmp_path / "o.mp4") == times_of(tmp_path / "v.mp4")
    before, after = packets_of(tmp_path / "v.mp4", "audio"), packets_of(tmp_path / "o.mp4", "audio")
    assert float(after[0][0] - before[0][0]) == pytest.approx(0.2, abs=0.002)
    assert writer.notes == ["overlay starts 0.2 s late: MP4 cannot start before 0"]


@pytest.mark.parametrize(("ending", "audio"), [("mp4", "aac"), ("mkv", "flac"), ("mkv", "libopus")])
def test_overlay_copies_the_audio(tmp_path: Path, ending: str, audio: str) -> None:
    path = write_video(tmp_path / f"v.{ending}", pictures(20), audio=audio, seconds_of_audio=1.0)
    writer = write_overlay(VideoSource(path), tmp_path / "o.mp4")
    before, after = packets_of(path, "audio"), packets_of(tmp_path / "o.mp4", "audio")
    assert [content for _, content in after] == [content for _, content in before]
    assert all(abs(a - b) < Fraction(1, 500) for (a, _), (b, _) in zip(after, before, strict=True))
    assert writer.notes == []


@pytest.mark.parametrize(("ending", "audio"), [("mkv", "pcm_u8"), ("avi", "adpcm_ms")])
def test_overlay_encodes_audio_that_mp4_cannot_hold(
    tmp_path: Path, ending: str, audio: str
) -> None:
    path = write_video(tmp_path / f"v.{ending}", audio=audio, seconds_of_audio=0.5)
    writer = write_overlay(VideoSource(path), tmp_path / "o.mp4")
    packets = packets_of(tmp_path / "o.mp4", "audio")
    assert float(packets[-1][0]) == pytest.approx(0.5, abs=0.05)
    assert writer.notes == [f"audio ({audio}) encoded to AAC: MP4 cannot hold it as it is"]


@pytest.mark.parametrize("size", [(47, 63), (48, 63), (47, 64), (1, 1), (2, 2)])
def test_overlay_pads_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "o.mp4"
    writer = plain_overlay(path, size)
    writer.write(frame(0, np.zeros(size, np.int32)))
    writer.close()
    even = (size[0] + size[0] % 2, size[1] + size[1] % 2)
    (found,) = VideoSource(path)
    assert found.rgb.shape == (*even, 3)
    assert np.abs(found.rgb.astype(int) - 90).max() <= 6  # no dark edge
    assert bool(writer.notes) == (even != size)


def test_overlay_colours_are_true_and_in_place(tmp_path: Path) -> None:
    labels = np.zeros((48, 64), np.int32)
    labels[4:40, 4:28], labels[8:36, 34:60] = 1, 2
    writer = plain_overlay(tmp_path / "o.mp4")
    writer.write(frame(0, labels))
    writer.close()
    (found,) = VideoSource(tmp_path / "o.mp4")
    for object_id, column in ((1, 16), (2, 47)):
        expected = 90 * 0.55 + np.array(bright_colour_of(object_id)) * 0.45
        assert np.abs(found.rgb[20, column] - expected).max() <= 5
    assert np.abs(found.rgb[44, 60].astype(int) - 90).max() <= 6


def test_overlay_is_deterministic(tmp_path: Path) -> None:
    source = VideoSource(write_video(tmp_path / "v.mp4", audio="aac"))
    write_overlay(source, tmp_path / "a.mp4")
    write_overlay(source, tmp_path / "b.mp4")
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_overlay_of_rotated_video_is_upright(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", pictures(3, (32, 64)), rotation=90)
    write_overlay(VideoSource(path), tmp_path / "o.mp4")
    shown = VideoSource(tmp_path / "o.mp4").info
    assert (shown.height, shown.width, shown.rotation) == (64, 32, 0)


def test_overlay_without_b_frames_plays_at_once(tmp_path: Path) -> None:
    write_overlay(VideoSource(write_video(tmp_path / "v.mp4", pictures(30))), tmp_path / "o.mp4")
    content = (tmp_path / "o.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    times = [time for time, _ in packets_of(tmp_path / "o.mp4", "video")]
    assert times == sorted(times)


def test_overlay_abort_leaves_nothing(tmp_path: Path) -> None:
    for frames in (0, 1, 60):
        writer = plain_overlay(tmp_path / "o.mp4")
        for index in range(frames):
            writer.write(frame(index, labels_of(1)))
        writer.abort()
        writer.abort()
        assert list(tmp_path.iterdir()) == []


def test_overlay_of_no_frames(tmp_path: Path) -> None:
    writer = plain_overlay(tmp_path / "o.mp4")
    writer.close()
    writer.close()
    assert [p.name for p in tmp_path.iterdir()] == ["o.mp4"]
