"""Whatever the seed: samples are well formed, and the same seed gives the same sample."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.data.deformation import random_deformation
from model.data.sample import MIN_REFERENCE_SHARE
from model.data.sampling import random_gaps, sample_frames
from model.data.synthetic.video import SyntheticVideo
from model.data.transforms import AugmentConfig, augment_video, random_view
from tests.support.training_data import disk, photo

SEEDS = st.integers(0, 2**32 - 1)
SOURCE = SyntheticVideo((40, 56), frame_count=3, clip_length=1, max_objects=3)


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, max_gap=st.integers(1, 20))
def test_a_synthetic_sample_is_well_formed_and_repeatable(seed: int, max_gap: int) -> None:
    first, again = (
        SOURCE.sample(0, np.random.default_rng(seed), max_gap=max_gap) for _ in range(2)
    )
    assert torch.equal(first.frames, again.frames)
    assert torch.equal(first.labels, again.labels)
    assert 1 <= first.object_count <= 3
    assert int(first.labels.max()) <= first.object_count
    for number in range(1, first.object_count + 1):
        assert (first.labels[0] == number).float().mean() >= MIN_REFERENCE_SHARE


@given(
    seed=SEEDS,
    clip_length=st.integers(1, 5),
    clips=st.integers(1, 3),
    spare=st.integers(0, 60),
    max_gap=st.integers(1, 20),
)
def test_sampled_frames_are_distinct_ordered_and_inside(
    seed: int, clip_length: int, clips: int, spare: int, max_gap: int
) -> None:
    count = clips * clip_length + 1
    rng = np.random.default_rng(seed)
    indices = sample_frames(count + spare, count, clip_length, rng, max_gap=max_gap)
    steps = np.abs(np.diff(indices))
    assert len(indices) == count
    assert len(set(np.sign(np.diff(indices)).tolist())) == 1
    assert 0 <= indices.min() <= indices.max() < count + spare
    assert (steps[np.arange(count - 1) % clip_length != 0] <= 5).all()
    assert (steps <= max(max_gap, 5)).all()
    assert random_gaps(count, clip_length, rng, max_gap=max_gap).min() >= 1


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_augmentation_shows_an_object_and_makes_no_new_one(seed: int) -> None:
    labels = np.zeros((96, 128), np.uint8)
    labels[disk((30, 40), 15)], labels[disk((70, 90), 18)] = 1, 2
    rng = np.random.default_rng(seed)
    frames, warped = augment_video([photo(0)] * 2, [labels] * 2, (48, 64), rng, AugmentConfig())
    assert frames.shape == (2, 48, 64, 3)
    assert set(np.unique(warped)) <= {0, 1, 2}
    assert warped[0].any()


@given(seed=SEEDS, height=st.integers(20, 300), width=st.integers(20, 300))
def test_a_view_without_turn_stays_inside_the_frame(seed: int, height: int, width: int) -> None:
    upright = AugmentConfig(rotation=0, shear=0)
    view = random_view((height, width), (64, 64), np.random.default_rng(seed), upright)
    corners = np.linalg.inv(view) @ np.array([[-0.5, 63.5], [-0.5, 63.5], [1, 1]])
    assert corners[:2].min() >= -0.5 - 1e-6
    assert corners[0].max() <= width - 0.5 + 1e-6
    assert corners[1].max() <= height - 0.5 + 1e-6


@given(seed=SEEDS, strength=st.floats(0, 0.1), time=st.floats(0, 100))
def test_deformation_is_bounded_and_folds_nothing_over(
    seed: int, strength: float, time: float
) -> None:
    deformation = random_deformation(np.random.default_rng(seed), strength=strength, joints=0)
    line = np.linspace(-1, 1, 41)
    u, v = np.meshgrid(line, line)
    across, down = deformation.displacement(u, v, time)
    assert np.abs(across).max() <= 4 * strength
    step = line[1] - line[0]
    dux, duy = np.gradient(u + across, step)[::-1]
    dvx, dvy = np.gradient(v + down, step)[::-1]
    assert (dux * dvy - duy * dvx).min() > 0
