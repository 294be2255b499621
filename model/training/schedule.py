"""Schedules as functions of the step alone, so that a resumed run agrees."""

import math

from model.training.config import LossConfig, OptimiserConfig, TrainConfig


def hard_share(step: int, loss: LossConfig) -> float:
    """Return the share of hardest pixels that counts: 1 until ``hard_from``, then falling.

    Linear down to ``loss.hard_share`` at ``hard_to`` (STCN, Cheng et al., 2021).
    """
    if step < loss.hard_from:
        return 1.0
    if step >= loss.hard_to:
        return loss.hard_share
    left = (loss.hard_to - step) / (loss.hard_to - loss.hard_from)
    return loss.hard_share + (1 - loss.hard_share) * left


def rate_factor(step: int, steps: int, optimiser: OptimiserConfig) -> float:
    """Return the learning rate at a step over the base rate.

    Args:
        step: 0-based.
        steps: Steps in the whole training.
        optimiser: Warm-up and schedule.
    """
    warm_up = min(1.0, (step + 1) / optimiser.warm_up) if optimiser.warm_up else 1.0
    if optimiser.schedule == "step":
        passed = sum(step >= milestone for milestone in optimiser.milestones)
        return warm_up * optimiser.factor**passed
    if optimiser.schedule == "cosine":
        # The warm-up is not part of the wave: the full rate is reached where it ends.
        share = max(0, step - optimiser.warm_up) / max(1, steps - optimiser.warm_up)
        wave = (1 + math.cos(math.pi * min(1.0, share))) / 2
        return warm_up * (optimiser.final + (1 - optimiser.final) * wave)
    return warm_up


def trunk_is_frozen(step: int, config: TrainConfig) -> bool:
    """Return whether the trunks stay as they are in a step."""
    return step < config.optimiser.freeze_trunk or config.optimiser.trunk_rate == 0
