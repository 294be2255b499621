"""J, F and their summaries against slow literal loops."""

import json
from collections.abc import Callable
from math import ceil, sqrt

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from model.metrics.contour import contour_accuracy, mask_outline, window_of
from model.metrics.region import region_similarity
from model.metrics.summary import (
    GroupScore,
    MeasureSummary,
    ObjectScore,
    summarise_frames,
    summarise_object,
    summarise_objects,
)
from tests.support.shared import shared

Mask = NDArray[np.bool_]


def outline_points(mask: Mask) -> set[tuple[int, int]]:
    """Walk over all pixels; beyond the frame a neighbour equals the pixel itself."""
    height, width = mask.shape
    points = set()
    for y in range(height):
        for x in range(width):
            if y == height - 1 and x == width - 1:
                continue
            if y == height - 1:
                neighbours = [(y, x + 1)]
            elif x == width - 1:
                neighbours = [(y + 1, x)]
            else:
                neighbours = [(y, x + 1), (y + 1, x), (y + 1, x + 1)]
            if any(mask[p] != mask[y, x] for p in neighbours):
                points.add((y, x))
    return points


def slow_contour_accuracy(prediction: Mask, truth: Mask) -> float:
    """Compare every outline point with every other one."""
    radius = ceil(0.008 * sqrt(truth.shape[0] ** 2 + truth.shape[1] ** 2))
    a, b = outline_points(prediction), outline_points(truth)
    if not a and not b:
        return 1.0
    if not a or not b:
        return 0.0

    def share_near(points: set[tuple[int, int]], others: set[tuple[int, int]]) -> float:
        near = [any((y - v) ** 2 + (x - u) ** 2 <= radius**2 for v, u in others) for y, x in points]
        return sum(near) / len(near)

    precision, recall = share_near(a, b), share_near(b, a)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def slow_region_similarity(prediction: Mask, truth: Mask) -> float:
    both = either = 0
    for a, b in zip(prediction.ravel(), truth.ravel(), strict=True):
        both += bool(a and b)
        either += bool(a or b)
    return both / either if either else 1.0


def box(size: tuple[int, int], top: int, left: int, bottom: int, right: int) -> Mask:
    mask = np.zeros(size, dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


def noise(rng: np.random.Generator, size: tuple[int, int]) -> Mask:
    """Blobs of random extent, anywhere, often touching the border."""
    mask = np.zeros(size, dtype=bool)
    for _ in range(rng.integers(0, 4)):
        top, left = rng.integers(0, size[0]), rng.integers(0, size[1])
        mask[top : top + rng.integers(1, 9), left : left + rng.integers(1, 9)] ^= True
    return mask


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (13, 17), (24, 40), (40, 150)])
@pytest.mark.parametrize("seed", range(8))
def test_both_measures_equal_slow_loops(size: tuple[int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = noise(rng, size), noise(rng, size)

    assert region_similarity(a, b) == pytest.approx(slow_region_similarity(a, b), abs=1e-12)
    assert contour_accuracy(a, b) == pytest.approx(slow_contour_accuracy(a, b), abs=1e-12)
    outline = {(int(y), int(x)) for y, x in np.argwhere(mask_outline(a))}
    assert outline == outline_points(a)


@pytest.mark.parametrize(
    ("top", "left", "bottom", "right"),
    [(0, 0, 8, 8), (22, 32, 30, 40), (0, 10, 30, 12), (29, 0, 30, 40), (0, 39, 30, 40)],
)
def test_an_object_at_the_border_equals_slow_loops(
    top: int, left: int, bottom: int, right: int
) -> None:
    size = (30, 40)
    truth = box(size, top, left, bottom, right)
    for dy, dx in [(0, 0), (1, 0), (0, -1), (-1, 1), (3, 3)]:
        prediction = np.roll(truth, (dy, dx), (0, 1))
        assert contour_accuracy(prediction, truth) == pytest.approx(
            slow_contour_accuracy(prediction, truth), abs=1e-12
        )


@pytest.mark.parametrize("seed", range(20))
def test_a_window_that_holds_both_masks_gives_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = (90, 160)
    a, b = noise(rng, size), noise(rng, size)
    window = window_of((a | b).view(np.uint8))

    assert contour_accuracy(a[window], b[window], frame_size=size) == contour_accuracy(a, b)


@pytest.mark.parametrize("measure", [region_similarity, contour_accuracy])
def test_empty_masks(measure: Callable[[Mask, Mask], float]) -> None:
    empty, some = np.zeros((20, 30), dtype=bool), box((20, 30), 5, 5, 12, 15)

    assert measure(empty, empty) == 1
    assert measure(empty, some) == 0
    assert measure(some, empty) == 0
    assert measure(some, some) == 1


def test_a_mask_that_fills_the_frame_has_no_outline() -> None:
    full, empty = np.ones((20, 30), dtype=bool), np.zeros((20, 30), dtype=bool)

    assert contour_accuracy(full, full) == 1
    assert contour_accuracy(full, empty) == 1  # J is 0 here; F alone cannot see it
    assert contour_accuracy(full, box((20, 30), 5, 5, 12, 15)) == 0


def test_the_tolerance_is_a_share_of_the_diagonal() -> None:
    size = (480, 854)  # the diagonal is 979.6 pixels, so the radius is 8
    truth = box(size, 100, 100, 300, 400)

    assert contour_accuracy(np.roll(truth, 8, 1), truth) == 1
    assert contour_accuracy(np.roll(truth, 9, 1), truth) < 1


def test_any_non_zero_value_is_the_object() -> None:
    truth = box((20, 30), 5, 5, 12, 15)

    assert region_similarity(truth.astype(np.uint8) * 255, truth) == 1
    assert contour_accuracy(truth.astype(np.uint8) * 7, truth) == 1


@pytest.mark.parametrize("measure", [region_similarity, contour_accuracy])
def test_masks_of_other_shapes_are_refused(measure: Callable[[Mask, Mask], float]) -> None:
    with pytest.raises(ValueError, match=r"\(4, 5\) and \(5, 4\)"):
        measure(np.zeros((4, 5), dtype=bool), np.zeros((5, 4), dtype=bool))
    with pytest.raises(ValueError, match=r"\(1, 4, 5\)"):
        measure(np.zeros((1, 4, 5), dtype=bool), np.zeros((1, 4, 5), dtype=bool))


def slow_decay(values: list[float]) -> float:
    """The quarters share their edge frames; halves are rounded to even."""
    n = len(values)
    edges = [round(1 + (n - 1) * i / 4 + 1e-10) - 1 for i in range(5)]
    first = values[edges[0] : edges[1] + 1]
    last = values[edges[3] : edges[4] + 1]
    return sum(first) / len(first) - sum(last) / len(last)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 22, 78, 255, 256, 257, 258, 600, 1030])
def test_summary_of_frames_equals_slow_loops(n: int) -> None:
    values = np.random.default_rng(n).random(n).tolist()
    values[0] = 0.5  # not above the threshold

    summary = summarise_frames(values)

    assert summary.mean == pytest.approx(sum(values) / n)
    assert summary.recall == pytest.approx(sum(v > 0.5 for v in values) / n)
    assert summary.decay == pytest.approx(slow_decay(values))


def test_decay_is_right_beyond_256_frames() -> None:
    values = np.linspace(1, 0, 1001)  # 8-bit edges would wrap here

    assert summarise_frames(values).decay == pytest.approx(0.75)


@pytest.mark.parametrize("values", [[], [[0.5]], [0.5, float("nan")]])
def test_scores_that_are_none_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="one finite score a frame"):
        summarise_frames(values)


def test_objects_weigh_the_same_however_long_their_video() -> None:
    long = summarise_object("a", 1, [1.0] * 90, [0.5] * 90)
    short = summarise_object("b", 3, [0.0] * 10, [0.0] * 10)

    group = summarise_objects([long, short])

    assert (long.name, short.name) == ("a_1", "b_3")
    assert group == GroupScore(MeasureSummary(0.5, 0.5, 0), MeasureSummary(0.25, 0, 0), 2)
    assert group.JF_mean == 0.375
    with pytest.raises(ValueError, match="no objects"):
        summarise_objects([])


def test_the_public_davis_2017_scorer_agrees() -> None:
    folder = shared("scoring", "davis2017")
    expected = json.loads((folder / "expected.json").read_text())
    scores: list[ObjectScore] = []
    for sequence in sorted((folder / "DAVIS" / "Annotations" / "480p").iterdir()):
        names = sorted(path.name for path in sequence.iterdir())
        truth = [np.asarray(Image.open(sequence / name)) for name in names]
        predicted = [
            np.asarray(Image.open(folder / "predictions" / sequence.name / name)) for name in names
        ]
        pairs = list(zip(predicted, truth, strict=True))[1:-1]
        for k in range(1, int(truth[0].max()) + 1):
            region = [region_similarity(p == k, t == k) for p, t in pairs]
            contour = [contour_accuracy(p == k, t == k) for p, t in pairs]
            scores.append(summarise_object(sequence.name, k, region, contour))

    def flat(J: MeasureSummary, F: MeasureSummary) -> dict[str, float]:  # noqa: N803
        return {
            f"{letter}_{field}": getattr(summary, field)
            for letter, summary in (("J", J), ("F", F))
            for field in ("mean", "recall", "decay")
        }

    overall = summarise_objects(scores)
    assert flat(overall.J, overall.F) | {"JF_mean": overall.JF_mean} == pytest.approx(
        expected["overall"], abs=1e-9
    )
    assert {score.name for score in scores} == set(expected["per_object"])
    for score in scores:
        assert flat(score.J, score.F) == pytest.approx(expected["per_object"][score.name], abs=1e-9)
