"""Damaged masks in the memory."""

import pytest
import torch

from model.training.damage import damage_masks
from model.training.step import ClipTrainer
from tests.unit.model.training.test_step import random_batch, tiny_model


def _discs(batch: int, objects: int) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(96), torch.arange(128), indexing="ij")
    discs = [(((x - 30 - 50 * k) ** 2 + (y - 48) ** 2) < 20**2).float() for k in range(objects)]
    return torch.stack(discs).expand(batch, -1, -1, -1).clone()


def test_no_chance_changes_nothing() -> None:
    probs = _discs(1, 1)
    assert damage_masks(probs, 0.0) is probs


def test_damage_tears_holes_and_takes_background_in_and_stays_a_share() -> None:
    torch.manual_seed(0)
    probs = _discs(8, 2)
    damaged = damage_masks(probs, 1.0)
    assert damaged.min() >= 0
    assert damaged.sum(1).max() <= 1 + 1e-6
    lost = (probs - damaged).clamp(min=0).sum((2, 3)) / probs.sum((2, 3))
    taken = (damaged - probs).clamp(min=0).sum((2, 3)) / probs.sum((2, 3))
    assert (lost > 0.02).any()
    assert (taken > 0.02).any()
    assert lost.mean() < 0.5


@pytest.mark.parametrize("chance", [0.25, 0.75])
def test_chance_is_that_of_a_mask(chance: float) -> None:
    torch.manual_seed(1)
    probs = _discs(200, 1)
    changed = (damage_masks(probs, chance) != probs).flatten(1).any(1).float().mean()
    # Of the masks that are hit, 91 % lose or take something, and a share may be next to none.
    assert 0.75 * chance < changed < chance


def test_same_seed_same_damage() -> None:
    probs = _discs(2, 2)
    torch.manual_seed(2)
    first = damage_masks(probs, 0.5)
    torch.manual_seed(2)
    assert torch.equal(first, damage_masks(probs, 0.5))


def test_damage_reaches_later_clips_only_and_gradients_pass_it() -> None:
    torch.manual_seed(3)
    batch, model = random_batch((1,)), tiny_model().train()

    def predicted(damage: float) -> torch.Tensor:
        trainer = ClipTrainer(model, clip_length=2, clip_supervision=True, damage=damage)
        losses = trainer(batch.frames, batch.labels, batch.object_count, 1.0, keep_labels=True)
        assert losses.labels is not None
        losses.total.backward()
        return losses.labels

    whole, damaged = predicted(0.0), predicted(1.0)
    assert torch.equal(whole[:, :2], damaged[:, :2])
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
