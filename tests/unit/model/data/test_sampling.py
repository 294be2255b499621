"""Which frames make a sample, and how far apart they are."""

import numpy as np
import pytest

from model.data.sampling import INTRA_CLIP_GAP, GapSchedule, random_gaps, sample_frames
from model.errors import ConfigError


def test_only_inter_clip_gaps_exceed_the_intra_clip_limit() -> None:
    largest = np.zeros(6, np.int64)
    for seed in range(400):
        gaps = random_gaps(7, 3, np.random.default_rng(seed), max_gap=15)
        assert gaps.min() >= 1
        largest = np.maximum(largest, gaps)
    # Reference | clip of 3 | clip of 3: steps 0 and 3 lead from clip to clip.
    assert largest.tolist() == [15, 5, 5, 15, 5, 5]
    assert INTRA_CLIP_GAP == 5


def test_no_gap_exceeds_a_small_limit() -> None:
    gaps = [random_gaps(7, 2, np.random.default_rng(seed), max_gap=3) for seed in range(200)]
    assert np.max(gaps, axis=0).tolist() == [3] * 6


def test_frames_fit_into_a_short_video_and_time_runs_both_ways() -> None:
    directions = set()
    for seed in range(60):
        indices = sample_frames(9, 7, 3, np.random.default_rng(seed), max_gap=15)
        steps = np.diff(indices)
        assert abs(np.sign(steps).sum()) == 6
        assert indices.min() >= 0
        assert indices.max() <= 8
        directions.add(int(np.sign(steps[0])))
    assert directions == {-1, 1}


def test_running_backwards_keeps_the_order_of_the_gaps() -> None:
    for seed in range(200):
        steps = np.abs(np.diff(sample_frames(200, 7, 3, np.random.default_rng(seed), max_gap=15)))
        assert steps[[1, 2, 4, 5]].max() <= INTRA_CLIP_GAP


def test_a_video_of_exactly_the_sample_length_is_taken_whole() -> None:
    indices = sample_frames(7, 7, 3, np.random.default_rng(0), max_gap=15)
    assert sorted(indices.tolist()) == list(range(7))


def test_too_short_a_video_is_refused() -> None:
    with pytest.raises(ValueError, match="7 frames wanted of a video of 6"):
        sample_frames(6, 7, 3, np.random.default_rng(0))


def test_the_gap_rises_holds_and_is_annealed_back() -> None:
    schedule = GapSchedule(1000)
    gaps = [schedule(p) for p in range(0, 1001, 10)]
    assert gaps[0] == 5
    assert schedule(300) == schedule(800) == 15
    assert schedule(900) == schedule(1000) == schedule(5000) == 5
    rise, fall = gaps[: gaps.index(15) + 1], gaps[80:]
    assert rise == sorted(rise)
    assert fall == sorted(fall, reverse=True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"total": 10, "rise_end": 0.9}, "rise_end <= fall_start"),
        ({"total": 10, "base": 20}, "base <= peak"),
        ({"total": 0}, "total >= 1"),
    ],
)
def test_impossible_gap_schedules_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GapSchedule(**values)  # type: ignore[arg-type]
