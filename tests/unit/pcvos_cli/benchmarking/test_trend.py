"""Lines through seconds a frame."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from pcvos_cli.benchmarking.trend import Scaling, Trend


def test_a_line_is_found():
    trend = Trend.fit([1, 2, 5], [0.5, 0.7, 1.3])
    assert trend.fixed == pytest.approx(0.3)
    assert trend.each == pytest.approx(0.2)
    assert trend.r_squared == pytest.approx(1)
    words = (
        "300.00 ms a frame + 200.000 ms for each object (R² 1.000, 1 to 5;"
        " 5 take 2.60 times the seconds of 1)"
    )
    assert trend.describe("object") == words
    assert trend.growth == pytest.approx(2.6)


def test_noise_is_fitted_as_numpy_does():
    random = np.random.default_rng(0)
    counts = list(range(1, 20))
    seconds = [float(0.4 + 0.01 * c + random.normal(0, 0.05)) for c in counts]
    trend = Trend.fit(counts, seconds)
    slope, intercept = np.polyfit(counts, seconds, 1)
    assert (trend.each, trend.fixed) == pytest.approx((slope, intercept))
    assert trend.r_squared == pytest.approx(np.corrcoef(counts, seconds)[0, 1] ** 2)


def test_a_falling_line_is_told_with_a_minus():
    assert "500.00 ms a frame - 100.000 ms for each object" in Trend.fit(
        [1, 2], [0.4, 0.3]
    ).describe("object")


def test_equal_seconds_are_a_level_line():
    trend = Trend.fit([1, 2, 3], [0.25, 0.25, 0.25])
    assert (trend.fixed, trend.each, trend.r_squared) == (0.25, 0, 1)


@pytest.mark.parametrize("both", [False, True])
def test_json_comes_back_as_it_was(both: bool):
    trend = Trend.fit([1, 2, 5], [0.5, 0.75, 1.25])
    scaling = Scaling("full", 5, 1, trend, trend if both else None)
    assert Scaling.from_values(json.loads(json.dumps(asdict(scaling)))) == scaling
    assert len(scaling.describe()) == 1 + both
