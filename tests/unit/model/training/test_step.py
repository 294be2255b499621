"""The step against a slow loop written from section 3.6: one sample, one clip at a time."""

from functools import partial
from typing import Literal

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from model.build import build_pcvos
from model.config import PCVOS_R50, InferenceConfig
from model.data.sample import TrainingBatch
from model.memory.bank import Memory
from model.ops.masks import soft_aggregate
from model.pcvos import PCVOS
from model.training.config import OptimiserConfig
from model.training.losses import bootstrapped_cross_entropy, dice_loss
from model.training.optimisation import build_optimiser, freeze_trunk
from model.training.step import ClipTrainer, clip_spans, train_step
from tests.support.training import random_batch, tiny_model


def _slow_total(
    model: PCVOS,
    batch: TrainingBatch,
    clip_length: int,
    share: float,
    supervision: bool,
    free_frames: int = 0,
) -> Tensor:
    totals = []
    for b in range(len(batch)):
        frames, labels = batch.frames[b], batch.labels[b].long()
        objects = int(batch.object_count[b])
        features = [model.encode_key(frame[None]) for frame in frames]
        probs = torch.stack([(labels[0] == k + 1).float() for k in range(objects)])[None]
        keys = [features[0].key.flatten(2)]
        values = [model.encode_value(frames[:1], features[0], probs).flatten(3)]
        losses = []
        for start in range(1, len(frames), clip_length):
            end = start + clip_length
            free = end <= 1 + free_frames
            settings = InferenceConfig(top_k=20 if free else None, progressive=False)
            ages = [0, *range(len(keys) - 2, -1, -1)]  # The reference does not age.
            age_penalty = model.config.memory_decay * torch.tensor(ages).float()
            memory = Memory(
                torch.cat(keys, 2),
                torch.cat(values, 3),
                age_penalty.repeat_interleave(keys[0].shape[-1]),
            )
            clip = type(features[0]).join(features[start:end])
            logits = model.segment_clip(clip, [memory], frames=clip_length, settings=settings)
            aggregated = soft_aggregate(logits.sigmoid(), dim=1)
            loss = bootstrapped_cross_entropy(
                aggregated.log(), labels[None, start:end], share=share
            )
            truth = torch.stack([(labels[start:end] == k + 1).float() for k in range(objects)])
            if supervision:
                loss = loss + dice_loss(aggregated[:, 1:], truth[None])
            probs = aggregated[:, 1:, -1]
            key = features[end - 1].key.flatten(2)
            value = model.encode_value(frames[end - 1 : end], features[end - 1], probs).flatten(3)
            if free:
                key, value = key.detach(), value.detach()
            else:
                losses.append(loss)
            keys.append(key)
            values.append(value)
        totals.append(torch.stack(losses).mean())
    return torch.stack(totals).mean()


@pytest.mark.parametrize(
    ("clip_length", "supervision", "share"),
    [(2, True, 1.0), (2, False, 0.15), (1, True, 0.5), (4, True, 1.0)],
)
def test_loss_and_gradients_are_those_of_the_slow_loop(
    clip_length: int, supervision: bool, share: float
) -> None:
    # One sample has fewer objects: what is absent must not matter.
    batch = random_batch((2, 1, 2))
    model = tiny_model().train()
    # Calm logits: where they are large, soft_aggregate clips what the logs keep.
    with torch.no_grad():
        model.decoder.pred.weight.mul_(0.05)
    weights = [p for p in model.parameters() if p.requires_grad]
    expected = _slow_total(model, batch, clip_length, share, supervision)
    expected_gradients = torch.autograd.grad(expected, weights, allow_unused=True)
    trainer = ClipTrainer(model, clip_length=clip_length, clip_supervision=supervision)
    losses = trainer(batch.frames, batch.labels, batch.object_count, share)
    gradients = torch.autograd.grad(losses.total, weights, allow_unused=True)
    assert losses.total.item() == pytest.approx(expected.item(), rel=1e-4)
    for gradient, reference in zip(gradients, expected_gradients, strict=True):
        assert (gradient is None) == (reference is None)
        if gradient is not None and reference is not None:
            close = functional.cosine_similarity(gradient.flatten(), reference.flatten(), dim=0)
            assert close > 0.999 or reference.norm() < 1e-6


@pytest.mark.parametrize(("clip_length", "free_clips"), [(1, 3), (2, 1)])
def test_free_clips_feed_the_memory_and_nothing_else(clip_length: int, free_clips: int) -> None:
    batch = random_batch((2, 1, 2))
    model = tiny_model().train()
    with torch.no_grad():
        model.decoder.pred.weight.mul_(0.05)
    weights = [p for p in model.parameters() if p.requires_grad]
    expected = _slow_total(model, batch, clip_length, 0.5, True, free_clips * clip_length)
    expected_gradients = torch.autograd.grad(expected, weights, allow_unused=True)
    trainer = ClipTrainer(
        model, clip_length=clip_length, clip_supervision=True, free_clips=free_clips
    )
    losses = trainer(batch.frames, batch.labels, batch.object_count, 0.5, keep_labels=True)
    gradients = torch.autograd.grad(losses.total, weights, allow_unused=True)
    assert losses.total.item() == pytest.approx(expected.item(), rel=1e-4)
    assert losses.labels is not None
    assert losses.labels.shape[1] == batch.frames.shape[1] - 1
    for gradient, reference in zip(gradients, expected_gradients, strict=True):
        assert (gradient is None) == (reference is None)
        if gradient is not None and reference is not None:
            close = functional.cosine_similarity(gradient.flatten(), reference.flatten(), dim=0)
            assert close > 0.999 or reference.norm() < 1e-6


def test_figures_come_in_the_order_of_the_samples() -> None:
    model = tiny_model()
    batch = random_batch((2, 1, 2, 1))
    trainer = ClipTrainer(model, clip_length=2, clip_supervision=True)
    with torch.no_grad():
        together = trainer(batch.frames, batch.labels, batch.object_count, 1.0, keep_labels=True)
        for b in range(4):
            s = slice(b, b + 1)
            alone = trainer(batch.frames[s], batch.labels[s], batch.object_count[s], 1.0, True)
            torch.testing.assert_close(together.dice[s], alone.dice, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(
                together.cross_entropy[s], alone.cross_entropy, rtol=1e-3, atol=1e-4
            )
            assert (together.labels[b] != alone.labels[0]).float().mean() < 0.01
    assert together.labels.shape == (4, 4, 64, 64)


def test_clip_supervision_off_leaves_dice_out_of_the_total_but_measures_it() -> None:
    batch = random_batch()
    model = tiny_model()
    with_dice = ClipTrainer(model, clip_length=2, clip_supervision=True)
    without = ClipTrainer(model, clip_length=2, clip_supervision=False)
    args = (batch.frames, batch.labels, batch.object_count, 1.0)
    a, b = with_dice(*args), without(*args)
    torch.testing.assert_close(a.dice, b.dice)
    assert b.total.item() == pytest.approx(b.cross_entropy.mean().item())
    assert a.total.item() == pytest.approx((a.cross_entropy + a.dice).mean().item())


@pytest.mark.parametrize(
    ("frames", "clip_length", "spans"),
    [(7, 3, [(0, 1), (1, 4), (4, 7)]), (3, 1, [(0, 1), (1, 2), (2, 3)]), (2, 1, [(0, 1), (1, 2)])],
)
def test_clip_spans(frames: int, clip_length: int, spans: list[tuple[int, int]]) -> None:
    assert clip_spans(frames, clip_length) == spans


def test_clip_spans_refuses_a_broken_clip() -> None:
    with pytest.raises(ValueError, match="6 frames are not one reference and clips of 2"):
        clip_spans(6, 2)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_a_few_steps_on_one_batch_lower_the_loss(name: Literal["adam", "adamw"]) -> None:
    torch.manual_seed(0)
    batch = random_batch()
    model = tiny_model().train()
    optimiser = build_optimiser(model, OptimiserConfig(name=name, rate=3e-3))
    trainer = ClipTrainer(model, clip_length=2, clip_supervision=True)
    losses = [
        train_step(trainer, batch, optimiser, hard_share=1.0, clip_norm=1.0).loss for _ in range(12)
    ]
    assert losses[-1] < 0.8 * losses[0]


def test_a_frozen_trunk_stays_and_batch_norm_never_moves() -> None:
    batch = random_batch()
    model = tiny_model().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimiser = build_optimiser(model, OptimiserConfig(rate=1e-2))
    trainer = ClipTrainer(model, clip_length=2, clip_supervision=True)
    freeze_trunk(model, True)
    train_step(trainer, batch, optimiser, hard_share=1.0)
    moved = {n for n, t in model.state_dict().items() if not torch.equal(t, before[n])}
    assert moved
    assert not any(".trunk." in name for name in moved)
    freeze_trunk(model, False)
    train_step(trainer, batch, optimiser, hard_share=1.0)
    moved = {n for n, t in model.state_dict().items() if not torch.equal(t, before[n])}
    assert any(".trunk." in name for name in moved)
    assert not any("running" in name for name in moved)


@pytest.mark.parametrize("stride", [1, 2, 4, 8])
def test_early_layers_of_the_trunk_can_stay_for_good(stride: int) -> None:
    model = tiny_model()
    freeze_trunk(model, False, stride=stride)
    frozen = {n for n, p in model.named_parameters() if not p.requires_grad}
    features = model.encode_key(random_batch((1,), frames=2).frames[0])
    # What ends at a stride up to the frozen one has no gradient, what ends later has one.
    assert features.f4.requires_grad is (stride < 4)
    assert features.f8.requires_grad is (stride < 8)
    assert features.f16.requires_grad
    assert bool(frozen) is (stride > 1)
    assert all(name.startswith("key_encoder.trunk.") for name in frozen)


def test_strides_of_the_papers_trunk_are_known_too() -> None:
    with torch.device("meta"):
        model = build_pcvos(PCVOS_R50)
    freeze_trunk(model, False, stride=4)
    trained = {n.split(".")[2] for n, p in model.named_parameters()
               if n.startswith("key_encoder.trunk.") and p.requires_grad}  # fmt: skip
    assert trained == {"res3", "res4"}
    assert all(p.requires_grad for n, p in model.named_parameters() if "value_encoder" in n)


def test_a_step_that_is_not_finite_changes_nothing() -> None:
    batch = random_batch()
    batch.frames[0, 0, 0, 0, 0] = float("nan")
    model = tiny_model().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimiser = build_optimiser(model, OptimiserConfig(rate=1e-2))
    trainer = ClipTrainer(model, clip_length=2, clip_supervision=True)
    train_step(trainer, batch, optimiser, hard_share=1.0, clip_norm=1.0)
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())


def test_mixed_precision_trains_and_stays_near_full_precision() -> None:
    # The CPU's bfloat16 goes through the same autocast as CUDA's.
    batch = random_batch()
    results = []
    for autocast in (None, torch.bfloat16):
        model = tiny_model().train()
        with torch.no_grad():
            model.decoder.pred.weight.mul_(0.05)
        optimiser = build_optimiser(model, OptimiserConfig(rate=1e-3))
        trainer = ClipTrainer(model, clip_length=2, clip_supervision=True)
        step = partial(train_step, trainer, batch, optimiser, hard_share=1.0, autocast=autocast)
        results.append([step() for _ in range(2)])
        assert all(p.dtype == torch.float32 for p in model.parameters())
    for full, mixed in zip(*results, strict=True):
        assert mixed.loss == pytest.approx(full.loss, rel=0.05)
        assert mixed.loss != full.loss


def test_gradient_clipping_bounds_the_step_but_reports_the_norm() -> None:
    batch = random_batch()
    model = tiny_model().train()
    optimiser = torch.optim.SGD(model.parameters(), lr=1.0)
    before = [p.detach().clone() for p in model.parameters()]
    trainer = ClipTrainer(model, clip_length=2, clip_supervision=True)
    result = train_step(trainer, batch, optimiser, hard_share=1.0, clip_norm=1e-3)
    moved = torch.cat([(p - q).flatten() for p, q in zip(model.parameters(), before, strict=True)])
    assert result.gradient_norm > 1e-2
    assert moved.norm().item() == pytest.approx(1e-3, rel=1e-2)
