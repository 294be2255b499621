"""Seconds at one rate, and against the floor."""

import json
from dataclasses import asdict

import pytest

from pcvos_cli.benchmarking.rates import Floor, at_reference, floor_seconds


def test_a_machine_twice_as_fast_as_the_reference_counts_double():
    assert at_reference(0.5, 134) == pytest.approx(1.0)
    assert at_reference(0.5, 67) == 0.5


def test_two_operations_make_a_multiply_add():
    assert floor_seconds(1e9, 100) == pytest.approx(0.02)


def test_the_floor_is_compared_stage_by_stage_and_in_total():
    floor = Floor.of(
        {"decoder": 3e9, "value_encoder": 1e9, "memory_read": 0.0},
        gflops=100,
        stages={"decoder": 0.12, "aggregation": 0.5, "memory_read": 0.1},
        total=0.8,
    )
    assert floor.multiply_adds["total"] == 4e9
    assert floor.seconds["decoder"] == pytest.approx(0.06)
    # A stage that did not run, or that multiplies nothing, has no ratio.
    assert floor.times == {"decoder": pytest.approx(2), "total": pytest.approx(10)}
    assert floor.at_reference == pytest.approx(8 / 67)
    assert Floor.from_values(json.loads(json.dumps(asdict(floor)))) == floor
