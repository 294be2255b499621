"""Synthetic video: well-formed, moving, and honest about what is a target."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.data.sample import MIN_REFERENCE_SHARE, TrainingSample
from model.data.synthetic.config import SyntheticConfig
from model.data.synthetic.cutting import Cutout, bar, piece, unroll
from model.data.synthetic.motion import Camera, Curve, Trajectory
from model.data.synthetic.rendering import Layer, draw_layer, premultiply
from model.data.synthetic.video import SyntheticVideo
from model.errors import ConfigError, InputError
from tests.support.training_data import disk, make_pairs, make_photos, photo, save


def draw(source: SyntheticVideo, seed: int, **options: int) -> TrainingSample:
    return source.sample(seed, np.random.default_rng(seed), **options)


def assert_valid(sample: TrainingSample, shape: tuple[int, int, int], max_objects: int) -> None:
    count, height, width = shape
    assert sample.frames.shape == (count, 3, height, width)
    assert sample.frames.dtype == torch.uint8
    assert sample.labels.shape == shape
    assert sample.labels.dtype == torch.uint8
    assert 1 <= sample.object_count <= max_objects
    assert sample.labels.max() <= sample.object_count
    for number in range(1, sample.object_count + 1):
        assert (sample.labels[0] == number).float().mean() >= MIN_REFERENCE_SHARE


def test_without_any_folder_it_makes_procedural_video() -> None:
    source = SyntheticVideo((64, 96), frame_count=4, clip_length=2, max_objects=3)
    counts = set()
    for seed in range(12):
        sample = draw(source, seed)
        assert_valid(sample, (4, 64, 96), 3)
        counts.add(sample.object_count)
    assert len(counts) > 1
    assert len(source) > 0
    assert "procedural" in source.name


def test_frames_move_and_labels_move_with_them() -> None:
    source = SyntheticVideo((64, 64), frame_count=5, clip_length=2)
    moved = 0
    for seed in range(8):
        sample = draw(source, seed)
        assert (sample.frames[0].float() - sample.frames[-1].float()).abs().mean() > 1
        moved += int((sample.labels[0] != sample.labels[-1]).any())
    assert moved >= 7


def test_real_outlines_photos_and_sprites_are_used(tmp_path: Path) -> None:
    objects = make_pairs(tmp_path / "pairs")
    photos = make_photos(tmp_path / "photos")
    sprite = np.dstack([photo(3), disk((40, 60), 30).astype(np.uint8) * 255])
    save(tmp_path / "sprites" / "deep" / "ball.png", sprite)
    source = SyntheticVideo(
        (64, 64),
        frame_count=3,
        clip_length=1,
        photos=[photos],
        objects=[objects, tmp_path / "sprites"],
    )
    assert len(source) == 3 + 4 + 1
    for seed in range(6):
        assert_valid(draw(source, seed), (3, 64, 64), 2)


def test_a_larger_gap_means_larger_motion() -> None:
    quiet = SyntheticConfig(occluder=0, bystander=0, look_alike=0, excursion=0, follow=0)
    source = SyntheticVideo((64, 64), frame_count=2, clip_length=1, max_objects=1, config=quiet)

    def change(gap: int) -> float:
        pairs = [draw(source, seed, max_gap=gap).labels > 0 for seed in range(25)]
        return float(np.mean([(a ^ b).sum() / (a | b).sum() for a, b in pairs]))

    assert change(15) > 1.3 * change(1)


def test_a_look_alike_is_not_labelled(tmp_path: Path) -> None:
    source = SyntheticVideo(
        (96, 96), frame_count=2, clip_length=1, max_objects=1, photos=[make_photos(tmp_path)]
    )
    calm = SyntheticConfig(
        look_alike=1, occluder=0, bystander=0, compound=0, own_scene=0, motion_blur=0, rigid=1
    )
    source.config = calm
    doubled = [draw(source, seed).labels[0].bool().float().mean() for seed in range(10)]
    source.config = replace(calm, look_alike=0)
    single = [draw(source, seed).labels[0].bool().float().mean() for seed in range(10)]
    # A double may hide the target but never adds to it.
    assert np.mean(doubled) < 1.2 * np.mean(single)


def test_an_unrolled_texture_begins_with_the_thing_and_shows_no_background() -> None:
    rng = np.random.default_rng(0)
    rgba = np.full((40, 60, 4), (0, 0, 255, 0), np.uint8)  # Background: blue.
    rgba[5:35, 5:55] = (200, 100, 0, 255)
    rgba[15:25, 20:40, 1] = 180
    for _ in range(10):
        rolling = unroll(rgba, rng)
        assert rolling.shape[0] > 40
        assert rolling.shape[1] > 60
        shown = [rolling[:40, :60], rolling[:40, -60:]]
        inner = rgba[7:33, 7:53, :3]
        assert any(np.array_equal(part[7:33, 7:53], inner) for part in shown)
        assert rolling[..., 2].max() < 40
    faint = rgba.copy()
    faint[..., 3] //= 3
    assert unroll(faint, rng)[..., 2].max() < 40


def test_a_piece_shows_the_things_own_texture_inside_its_outline() -> None:
    rng = np.random.default_rng(1)
    rgba = np.zeros((80, 90, 4), np.uint8)
    rgba[20:60, 20:70] = (200, 100, 0, 255)
    for _ in range(10):
        found = piece(Cutout(rgba), rng)
        assert found is not None
        assert 0 < found.area < 40 * 50
        shown = found.rgba[found.rgba[..., 3] > 127]
        assert (shown[:, :3] == (200, 100, 0)).all()
    assert piece(Cutout(rgba[:10, :10]), rng) is None


def test_a_bar_is_long_narrow_and_opaque() -> None:
    rng = np.random.default_rng(2)
    for _ in range(10):
        rgba = bar(photo(1), rng).rgba
        opaque = rgba[..., 3] > 127
        assert opaque.any(1).all()
        assert 1 <= opaque.sum(1).mean() < 0.2 * len(opaque)
        assert rgba[opaque][:, :3].max() > 0


def test_screens_hide_and_fragments_do_not_add_to_a_target(tmp_path: Path) -> None:
    source = SyntheticVideo(
        (96, 96), frame_count=2, clip_length=1, max_objects=1, photos=[make_photos(tmp_path)]
    )

    calm = SyntheticConfig(
        look_alike=0, occluder=0, bystander=0, compound=0, own_scene=0, motion_blur=0, reveal=0
    )

    def shares(*, screen: float, fragments: float) -> list[float]:
        source.config = replace(calm, screen=screen, fragments=fragments)
        return [float(draw(source, seed).labels[0].bool().float().mean()) for seed in range(12)]

    plain = shares(screen=0, fragments=0)
    assert np.mean(shares(screen=1, fragments=0)) < 0.97 * np.mean(plain)
    # Behind the target, so the same seed gives the same mask; only later draws differ.
    assert np.mean(shares(screen=0, fragments=1)) < 1.2 * np.mean(plain)


def test_a_target_shows_what_was_not_seen_at_first_only_where_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = np.array([250, 0, 250], np.uint8)

    def mark(rgba: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        rolling = np.zeros((rgba.shape[0] + 8, 2 * rgba.shape[1], 3), np.uint8)
        rolling[:] = marker
        return rolling

    monkeypatch.setattr("model.data.synthetic.casting.unroll", mark)
    calm = SyntheticConfig(shapes=0, compound=0, look_alike=0, bystander=0, occluder=0, screen=0)
    source = SyntheticVideo(
        (96, 96), frame_count=2, clip_length=1, objects=[make_pairs(tmp_path / "pairs")]
    )

    def marked(reveal: float) -> int:
        source.config = replace(calm, reveal=reveal, fragments=0)
        count = 0
        for seed in range(6):
            sample = draw(source, seed)
            inside = sample.frames[0][:, sample.labels[0] > 0].float().mean(1)
            count += int(inside[0] > 1.5 * inside[1] and inside[2] > 1.5 * inside[1])
        return count

    assert marked(1.0) >= 5
    assert marked(0.0) <= 1


def test_the_label_is_where_a_layer_is_more_than_half_opaque_and_in_front() -> None:
    opaque = np.zeros((9, 9, 4), np.uint8)
    opaque[2:7, 2:7] = (200, 100, 50, 255)
    faint = np.full((9, 9, 4), (10, 20, 30, 100), np.uint8)

    def layer(rgba: np.ndarray, label: int, x: float) -> Layer:
        matrix = np.array([[[1, 0, x], [0, 1, 10], [0, 0, 1]]], np.float64)
        return Layer(premultiply(rgba), matrix, np.zeros((1, 2)), None, label)

    frame, labels = np.zeros((20, 30, 3), np.uint8), np.zeros((20, 30), np.uint8)
    draw_layer(frame, labels, layer(opaque, 1, 10), 0, 0.0)
    draw_layer(frame, labels, layer(opaque, 2, 13), 0, 0.0)
    draw_layer(frame, labels, layer(faint, 3, 10), 0, 0.0)
    draw_layer(frame, labels, layer(opaque, 0, 16), 0, 0.0)
    row = labels[10].tolist()
    assert row[8:19] == [1, 1, 1, 2, 2, 2, 0, 0, 0, 0, 0]
    assert (labels == 3).sum() == 0
    assert frame[10, 17].tolist() == [200, 100, 50]


def test_a_following_camera_keeps_its_target_in_place() -> None:
    still, constant = Curve(0.0), Curve(3.0)
    moving = Curve(5.0, travel=40.0, duration=10.0)
    path = Trajectory(moving, constant, still, still, still, still)
    camera = Camera((64, 64), still, still, still, still, (still, still), path, 1.0)
    times = np.array([0.0, 4.0, 10.0])
    middle = np.array([0.0, 0.0, 1.0])
    seen = (camera.matrices(times) @ path.matrices(times)) @ middle
    np.testing.assert_allclose(seen[:, :2], np.tile([36.5, 34.5], (3, 1)))


def test_bad_folders_and_sizes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no images"):
        SyntheticVideo(photos=[tmp_path])
    with pytest.raises(InputError, match="no such folder"):
        SyntheticVideo(objects=[tmp_path / "missing"])
    with pytest.raises(InputError, match="no PNG"):
        SyntheticVideo(objects=[tmp_path])
    with pytest.raises(ConfigError, match="8 x 64"):
        SyntheticVideo((8, 64))


def test_an_unreadable_photo_is_named_and_skipped(tmp_path: Path) -> None:
    photos = make_photos(tmp_path, 1)
    (photos / "broken.jpg").write_bytes(b"not a picture")
    source = SyntheticVideo((64, 64), frame_count=2, clip_length=1, photos=[photos])
    problems = {str(p) for seed in range(8) for p in draw(source, seed).problems}
    assert len(problems) == 1
    assert "broken.jpg: not a readable image" in problems.pop()
    (photos / "p0.jpg").write_bytes(b"")
    source = SyntheticVideo((64, 64), frame_count=2, clip_length=1, photos=[photos])
    with pytest.raises(InputError, match="photos in a row cannot be read"):
        draw(source, 99)


@pytest.mark.slow
def test_speed_of_a_five_frame_sample(tmp_path: Path) -> None:
    import time

    from tests.support.shared import shared

    source = SyntheticVideo(
        (256, 256),
        frame_count=5,
        clip_length=2,
        photos=[shared("data", "photos")],
        objects=[shared("data", "regions"), shared("data", "horses"), shared("data", "coco128")],
    )
    draw(source, 1000)
    begin = time.process_time()
    for seed in range(40):
        draw(source, seed)
    # The promise is 0.09 s; twice that leaves room for a machine that does other work.
    assert (time.process_time() - begin) / 40 < 0.18
