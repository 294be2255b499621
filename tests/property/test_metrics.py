"""Laws of J and F that hold for any two masks."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from model.metrics.contour import contour_accuracy
from model.metrics.region import region_similarity
from model.metrics.summary import summarise_frames

SIDES = st.integers(1, 24)


@st.composite
def mask_pairs(draw: st.DrawFn) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    masks = arrays.arrays(np.bool_, st.just((draw(SIDES), draw(SIDES))))
    return draw(masks), draw(masks)


@settings(deadline=None)
@given(mask_pairs())
def test_both_are_shares_and_symmetric(
    pair: tuple[NDArray[np.bool_], NDArray[np.bool_]],
) -> None:
    a, b = pair
    for measure in (region_similarity, contour_accuracy):
        value = measure(a, b)
        assert 0 <= value <= 1
        assert value == measure(b, a)
        assert measure(a, a) == 1


@settings(deadline=None)
@given(mask_pairs())
def test_j_is_one_for_equal_masks_only_and_ignores_orientation(
    pair: tuple[NDArray[np.bool_], NDArray[np.bool_]],
) -> None:
    a, b = pair
    assert (region_similarity(a, b) == 1) == bool((a == b).all())
    assert region_similarity(a[::-1, ::-1], b[::-1, ::-1]) == region_similarity(a, b)


@settings(deadline=None)
@given(mask_pairs(), st.integers(0, 30), st.integers(0, 30))
def test_empty_surroundings_change_nothing(
    pair: tuple[NDArray[np.bool_], NDArray[np.bool_]], rows: int, columns: int
) -> None:
    a, b = (np.pad(mask, 1) for mask in pair)
    around = ((rows, 5), (columns, 7))
    wide = [np.pad(mask, around) for mask in (a, b)]

    assert region_similarity(*wide) == region_similarity(a, b)
    assert contour_accuracy(*wide, frame_size=a.shape) == contour_accuracy(a, b)


@settings(deadline=None)
@given(mask_pairs(), st.floats(0.001, 0.3), st.floats(0.001, 0.3))
def test_more_tolerance_never_lowers_f(
    pair: tuple[NDArray[np.bool_], NDArray[np.bool_]], one: float, other: float
) -> None:
    strict, lax = sorted((one, other))
    assert contour_accuracy(*pair, tolerance=strict) <= contour_accuracy(*pair, tolerance=lax)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=700))
def test_summaries_stay_in_range_and_time_reversal_flips_decay(values: list[float]) -> None:
    summary = summarise_frames(values)
    assert 0 <= summary.mean <= 1
    assert 0 <= summary.recall <= 1
    assert -1 <= summary.decay <= 1
    constant = summarise_frames([0.25] * len(values))
    assert (constant.mean, constant.recall, constant.decay) == (0.25, 0, 0)
