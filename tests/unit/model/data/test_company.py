"""Objects pasted into training samples."""

import numpy as np
import pytest
import torch

from model.data.company import add_companion
from model.data.mixing import Ingredient, MixedDataset
from model.data.sample import TrainingSample
from model.data.transforms import AugmentConfig, augment_video

SIDE, FRAMES = 96, 5


def block(colour: int, left: int = 36) -> TrainingSample:
    """A square of one colour that moves right over grey, two pixels a frame."""
    frames = torch.full((FRAMES, 3, SIDE, SIDE), 120, dtype=torch.uint8)
    labels = torch.zeros((FRAMES, SIDE, SIDE), dtype=torch.uint8)
    for time in range(FRAMES):
        at = slice(left + 2 * time, left + 2 * time + 24)
        frames[time, :, 36:60, at], labels[time, 36:60, at] = colour, 1
    return TrainingSample(frames, labels, 1, f"block {colour}")


def changed(seed: int, *, max_objects: int = 2) -> tuple[TrainingSample, TrainingSample]:
    own = block(20)
    return own, add_companion(own, block(250), np.random.default_rng(seed), max_objects=max_objects)


def test_the_companion_is_seen_and_is_labelled_only_as_an_object() -> None:
    counted = set()
    for seed in range(30):
        own, made = changed(seed)
        if made is own:
            continue
        assert made.frames.shape == own.frames.shape
        bright = made.frames.float().mean(1) > 200
        assert bright.any()
        assert int(made.labels.max()) == made.object_count
        number = 2 if made.object_count == 2 else 0
        # Away from soft edges, its pixels have its label and no other.
        share = (made.labels[bright] == number).float().mean()
        assert share > 0.95, seed
        counted.add(made.object_count)
    assert counted == {1, 2}


def test_a_companion_in_front_hides_and_one_behind_is_hidden() -> None:
    lost = []
    for seed in range(30):
        own, made = changed(seed, max_objects=1)
        lost.append(int((own.labels > 0).sum() - (made.labels > 0).sum()))
    assert min(lost) == 0
    assert max(lost) > 0


def test_the_reference_keeps_sight_of_every_object() -> None:
    for seed in range(60):
        own, made = changed(seed)
        assert (made.labels[0] == 1).sum() >= 0.4 * (own.labels[0] == 1).sum()


def test_a_double_has_the_looks_of_the_object_and_another_way() -> None:
    own = block(20)
    doubles = [
        made
        for seed in range(30)
        if (made := add_companion(own, own, np.random.default_rng(seed), max_objects=1)) is not own
    ]
    dark = [int((made.frames.float().mean(1) < 70).sum()) for made in doubles]
    alone = int((own.frames.float().mean(1) < 70).sum())
    assert max(dark) > 1.3 * alone
    assert all(made.object_count == 1 for made in doubles)


class Blocks:
    """A source of dark blocks."""

    name, problems = "blocks", ()

    def __len__(self) -> int:
        return 3

    def sample(self, index: int, rng: np.random.Generator, *, max_gap: int = 5) -> TrainingSample:
        del rng, max_gap
        return block(20, 20 + 10 * index)


@pytest.mark.parametrize("company", [0.0, 0.5])
def test_company_comes_to_its_share_of_samples_and_the_seed_decides_it(company: float) -> None:
    mixed = MixedDataset([Ingredient(Blocks())], seed=3, company=company)
    samples = [mixed[position] for position in range(60)]
    share = np.mean([" with " in sample.source for sample in samples])
    assert company - 0.25 <= share <= company + 0.1
    torch.testing.assert_close(mixed[7].frames, samples[7].frames, rtol=0, atol=0)


@pytest.mark.parametrize(("zoom", "low", "high"), [(0.0, -0.1, 0.1), (0.5, -0.9, 0.9)])
def test_zoom_grows_or_shrinks_from_the_first_frame_to_the_last(
    zoom: float, low: float, high: float
) -> None:
    sample = block(20)
    frames = list(sample.frames.numpy().transpose(0, 2, 3, 1))
    labels = [sample.labels.numpy()[0]] * FRAMES
    config = AugmentConfig(crop_area=(1, 1), frame_scale=0.0, zoom=zoom)
    growth = []
    for seed in range(12):
        _, warped = augment_video(frames, labels, (SIDE, SIDE), np.random.default_rng(seed), config)
        growth.append(float(np.log((warped[-1] > 0).sum() / (warped[0] > 0).sum())))
    assert low < min(growth) <= max(growth) < high
    assert (min(growth) < -0.3 and max(growth) > 0.3) == (zoom > 0)
