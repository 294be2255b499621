"""Videos with masks: layouts, bad items, augmentation."""

import json
from pathlib import Path

import numpy as np
import pytest

from model.data.davis import davis_videos, read_split
from model.data.opening import detect_kind, open_training_source
from model.data.sample import SampleSource, UnusableItemError
from model.data.sequences import VideoSource, read_object_ids
from model.data.transforms import AugmentConfig, augment_video
from model.data.youtube_vos import youtube_vos_videos
from model.errors import ConfigError, InputError
from tests.support.training_data import disk, make_davis, photo, save

STILL = AugmentConfig(
    crop_area=(1.0, 1.0),
    rotation=0,
    shear=0,
    flip=0,
    frame_rotation=0,
    frame_shift=0,
    frame_scale=0,
    brightness=0,
    contrast=0,
    saturation=0,
    hue=0,
    grey=0,
    frame_colour=0,
)


def open_source(root: Path, **options: object) -> SampleSource:
    settings = {"size": (64, 64), "frame_count": 7, "clip_length": 3, "max_objects": 2} | options
    return open_training_source(root, **settings)  # type: ignore[arg-type]


def test_davis_gives_samples_with_several_objects(tmp_path: Path) -> None:
    source = open_source(make_davis(tmp_path))
    assert detect_kind(tmp_path) == "davis"
    assert len(source) == 2
    counts = set()
    for seed in range(8):
        sample = source.sample(seed, np.random.default_rng(seed), max_gap=5)
        assert sample.frames.shape == (7, 3, 64, 64)
        assert set(np.unique(sample.labels[0])) == set(range(sample.object_count + 1))
        counts.add(sample.object_count)
    assert 2 in counts


def test_splits_of_2016_and_2017_are_read(tmp_path: Path) -> None:
    make_davis(tmp_path)
    assert read_split(tmp_path, "val") == ["bear"]
    listed = tmp_path / "ImageSets" / "480p"
    listed.mkdir()
    (listed / "trainval.txt").write_text(
        "/JPEGImages/480p/dog/00000.jpg /Annotations/480p/dog/00000.png 1\n"
    )
    assert read_split(tmp_path, "trainval") == ["dog"]
    assert [video.name for video in davis_videos(tmp_path, split="val")[0]] == ["bear"]
    with pytest.raises(InputError, match="no list named test") as caught:
        davis_videos(tmp_path, split="test")
    assert caught.value.hint == "available: train, trainval, val"


def test_only_frames_with_masks_are_listed_and_short_videos_are_named(tmp_path: Path) -> None:
    make_davis(tmp_path)
    for name in ("00003.png", "00007.png"):
        (tmp_path / "Annotations" / "480p" / "bear" / name).unlink()
    for t in range(8):
        (tmp_path / "Annotations" / "480p" / "dog" / f"{t:05d}.png").unlink()
    videos, problems = davis_videos(tmp_path, minimum=7)
    assert [len(video.frames) for video in videos] == [10]
    assert all(f.stem == m.stem for f, m in zip(videos[0].frames, videos[0].masks, strict=True))
    assert [str(p).endswith("7 are needed") for p in problems] == [True]
    assert "4 of 12 frames have a mask" in problems[0].reason
    with pytest.raises(InputError, match="no usable video") as caught:
        open_source(tmp_path, frame_count=11, clip_length=5)
    assert "at least 11 frames" in str(caught.value.hint)


def test_a_folder_without_resolution_and_a_single_video_are_davis_too(tmp_path: Path) -> None:
    make_davis(tmp_path / "a", ("cow",))
    for kind in ("JPEGImages", "Annotations"):
        (tmp_path / "a" / kind / "480p" / "cow").rename(tmp_path / "a" / kind / "cow")
        (tmp_path / "a" / kind / "480p").rmdir()
    assert [video.name for video in davis_videos(tmp_path / "a")[0]] == ["cow"]
    (tmp_path / "one").mkdir()
    (tmp_path / "a" / "JPEGImages" / "cow").rename(tmp_path / "one" / "frames")
    (tmp_path / "a" / "Annotations" / "cow").rename(tmp_path / "one" / "masks")
    assert len(open_source(tmp_path / "one")) == 1


def test_a_mask_of_another_size_is_skipped_and_named(tmp_path: Path) -> None:
    make_davis(tmp_path)
    for t in range(12):
        save(
            tmp_path / "Annotations" / "480p" / "dog" / f"{t:05d}.png",
            disk((20, 20), 9, (48, 64)).astype(np.uint8),
        )
    source = open_source(tmp_path)
    sample = source.sample(1, np.random.default_rng(0))
    assert sample.source.endswith("bear")
    assert "mask is 48 x 64, its frame 96 x 128" in sample.problems[0].reason


def test_videos_without_any_object_are_refused(tmp_path: Path) -> None:
    make_davis(tmp_path, ("empty",))
    for t in range(12):
        save(tmp_path / "Annotations/480p/empty" / f"{t:05d}.png", np.zeros((96, 128), np.uint8))
    with pytest.raises(InputError, match="no object on the reference frame"):
        open_source(tmp_path).sample(0, np.random.default_rng(0))


def test_object_ids_of_masks(tmp_path: Path) -> None:
    binary = save(tmp_path / "b.png", np.array([[0, 255]], np.uint8))
    void = save(tmp_path / "v.png", np.array([[0, 255, 3, 7]], np.uint8), palette=True)
    wide = save(tmp_path / "w.png", np.array([[0, 300]], np.uint16))
    colour = save(tmp_path / "c.png", np.array([[[1, 2, 3], [0, 0, 0]]], np.uint8))
    assert read_object_ids(binary).tolist() == [[0, 1]]
    assert read_object_ids(void).tolist() == [[0, 0, 3, 7]]
    with pytest.raises(UnusableItemError, match="300"):
        read_object_ids(wide)
    with pytest.raises(UnusableItemError, match="colour mask"):
        read_object_ids(colour)


def test_youtube_vos_takes_the_videos_of_meta_json(tmp_path: Path) -> None:
    davis = make_davis(tmp_path / "d", ("aa", "bb"))
    train = tmp_path / "yt" / "train"
    train.mkdir(parents=True)
    (davis / "JPEGImages" / "480p").rename(train / "JPEGImages")
    (davis / "Annotations" / "480p").rename(train / "Annotations")
    (train / "meta.json").write_text(json.dumps({"videos": {"aa": {}, "missing": {}}}))
    assert detect_kind(tmp_path / "yt") == "youtube-vos"
    videos, problems = youtube_vos_videos(tmp_path / "yt")
    assert [video.name for video in videos] == ["aa"]
    assert "missing" in problems[0].path
    assert open_source(tmp_path / "yt").sample(0, np.random.default_rng(0)).object_count >= 1
    (train / "meta.json").write_text("[]")
    with pytest.raises(InputError, match=r"not the meta\.json"):
        youtube_vos_videos(tmp_path / "yt")


def test_an_object_that_appears_later_is_background(tmp_path: Path) -> None:
    frames = tuple(save(tmp_path / "f" / f"{t}.jpg", photo(t)) for t in range(7))
    first, both = np.zeros((96, 128), np.uint8), np.zeros((96, 128), np.uint8)
    first[disk((48, 40), 20)] = 4
    both[disk((48, 40), 20)], both[disk((48, 95), 20)] = 4, 9
    stored = (first, both, both, both, both, both, first)
    masks = tuple(save(tmp_path / "m" / f"{t}.png", m) for t, m in enumerate(stored))
    from model.data.sequences import MaskedVideo

    source = VideoSource("x", tmp_path, [MaskedVideo("x", frames, masks)], [], size=(96, 128))
    source.augment = STILL
    sample = source.sample(0, np.random.default_rng(0))
    assert sample.object_count == 1
    assert sample.labels.max() == 1
    assert (sample.labels.numpy() == (np.stack(stored) == 4)).mean() > 0.995


def test_no_augmentation_is_the_identity() -> None:
    frames = [photo(1), photo(2)]
    labels = [disk((40, 50), 20).astype(np.uint8), disk((40, 60), 20).astype(np.uint8)]
    pixels, warped = augment_video(frames, labels, (96, 128), np.random.default_rng(0), STILL)
    np.testing.assert_array_equal(warped, np.stack(labels))
    assert np.abs(pixels.astype(int) - np.stack(frames)).max() <= 1


def test_reducing_keeps_outlines_where_they_were() -> None:
    labels = disk((96, 128), 60, (192, 256)).astype(np.uint8)
    _, warped = augment_video(
        [photo(0, (192, 256))], [labels], (48, 64), np.random.default_rng(0), STILL
    )
    expected = labels.reshape(48, 4, 64, 4).mean((1, 3)) > 0.5
    assert ((warped[0] > 0) ^ expected).sum() <= 0.02 * expected.sum()


def test_views_keep_sight_of_a_small_object() -> None:
    labels = disk((10, 10), 7).astype(np.uint8)
    for seed in range(20):
        _, warped = augment_video(
            [photo(0)], [labels], (64, 64), np.random.default_rng(seed), AugmentConfig()
        )
        assert (warped[0] > 0).mean() >= 0.005


def test_a_crop_must_be_a_share_of_the_frame() -> None:
    with pytest.raises(ConfigError, match="crop_area"):
        AugmentConfig(crop_area=(0.5, 1.5))
