"""Schedules over the steps."""

import pytest

from model.training.config import LossConfig, OptimiserConfig, TrainConfig
from model.training.schedule import hard_share, rate_factor, trunk_is_frozen

LOSS = LossConfig(hard_share=0.15, hard_from=20_000, hard_to=70_000)


@pytest.mark.parametrize(
    ("step", "share"),
    [(0, 1.0), (19_999, 1.0), (20_000, 1.0), (45_000, 0.575), (70_000, 0.15), (10**6, 0.15)],
)
def test_hard_share_falls_from_all_pixels_to_the_hardest(step: int, share: float) -> None:
    assert hard_share(step, LOSS) == pytest.approx(share)


def test_hard_share_may_switch_at_once() -> None:
    sudden = LossConfig(hard_from=10, hard_to=10)
    assert (hard_share(9, sudden), hard_share(10, sudden)) == (1.0, 0.15)


def test_step_schedule_divides_at_the_milestones() -> None:
    config = OptimiserConfig(schedule="step", milestones=(3, 5), factor=0.1)
    factors = [rate_factor(step, 7, config) for step in range(7)]
    assert factors == pytest.approx([1, 1, 1, 0.1, 0.1, 0.01, 0.01])


def test_cosine_falls_from_one_to_the_final_share() -> None:
    config = OptimiserConfig(schedule="cosine", final=0.1)
    factors = [rate_factor(step, 100, config) for step in range(101)]
    assert factors[0] == 1
    assert factors[50] == pytest.approx(0.55)
    assert factors[100] == pytest.approx(0.1)
    assert factors == sorted(factors, reverse=True)


def test_warm_up_rises_linearly_to_the_full_rate() -> None:
    config = OptimiserConfig(schedule="cosine", warm_up=4)
    factors = [rate_factor(step, 100, config) for step in range(5)]
    assert factors == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])


@pytest.mark.parametrize(
    ("freeze", "rate", "step", "frozen"),
    [(0, 1.0, 0, False), (5, 1.0, 4, True), (5, 1.0, 5, False), (0, 0.0, 10**6, True)],
)
def test_trunk_is_frozen_for_its_steps_or_for_good(
    freeze: int, rate: float, step: int, frozen: bool
) -> None:
    config = TrainConfig(optimiser=OptimiserConfig(freeze_trunk=freeze, trunk_rate=rate))
    assert trunk_is_frozen(step, config) is frozen
