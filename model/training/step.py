"""One training step: a sample's clips in order, their losses, one change of the weights.

The network's part is ``PCVOS.segment_clip`` as in inference, with top-k and progressive
matching off (paper, section 4.1). The memory is the reference frame with its true masks,
and the last frame of each finished clip with the soft masks that were predicted for it,
through which gradients flow. Clips that run free keep top-k and have no gradient.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.config import InferenceConfig
from model.data.sample import TrainingBatch
from model.memory.bank import Memory, age_penalties
from model.ops.timing import StageClock
from model.pcvos import PCVOS
from model.training.damage import damage_masks
from model.training.losses import (
    aggregated_log_probs,
    batch_iou,
    bootstrapped_cross_entropy,
    dice_loss,
)
from model.types import KeyFeatures

TRAINING_SETTINGS = InferenceConfig(top_k=None, progressive=False)
FREE_SETTINGS = replace(TRAINING_SETTINGS, top_k=InferenceConfig().top_k)


@dataclass(frozen=True, slots=True)
class BatchLosses:
    """Losses of a batch.

    Attributes:
        total: Scalar with a gradient: cross-entropy, and dice where it is on.
        cross_entropy: ``(B,)`` detached, mean over clips.
        dice: ``(B,)`` detached, mean over clips; measured also where it is not trained on.
        iou: ``(B,)``, mean over clips and objects.
        labels: ``(B, T - 1, H, W)`` uint8 predictions, for pictures; ``None`` unless asked for.
    """

    total: Tensor
    cross_entropy: Tensor
    dice: Tensor
    iou: Tensor
    labels: Tensor | None = None


@dataclass(frozen=True, slots=True)
class StepResult:
    """Result of a step, as plain numbers.

    Attributes:
        loss: Total.
        cross_entropy: Mean over the batch.
        dice: Mean over the batch.
        iou: Mean over the batch.
        gradient_norm: Before clipping.
        labels: As in ``BatchLosses``.
    """

    loss: float
    cross_entropy: float
    dice: float
    iou: float
    gradient_norm: float
    labels: Tensor | None = None


class ClipTrainer(nn.Module):
    """Samples to losses. A module, so that ``DistributedDataParallel`` can wrap it.

    Args:
        model: The network.
        clip_length: N: the frames after the reference are processed N at a time.
        clip_supervision: Train on the dice loss too.
        damage: Chance that a predicted mask is damaged before it is remembered.
        free_clips: The first so many clips run free; see ``SampleConfig``.
        known: Returns the finest features of the key trunk, whose layers never change.
        clock: Is charged with the stages.
    """

    def __init__(
        self,
        model: PCVOS,
        *,
        clip_length: int,
        clip_supervision: bool,
        damage: float = 0.0,
        free_clips: int = 0,
        known: Callable[[Tensor], tuple[Tensor, ...]] | None = None,
        clock: StageClock | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.clip_length = clip_length
        self.clip_supervision = clip_supervision
        self.damage = damage
        self.free_clips = free_clips
        self.known = known
        self.clock = clock or StageClock()

    def forward(
        self,
        frames: Tensor,
        labels: Tensor,
        object_count: Tensor,
        hard_share: float,
        keep_labels: bool = False,
    ) -> BatchLosses:
        """Segment every sample clip by clip and compare with the truth.

        Samples with equally many objects go together, so no work is spent on objects that
        are not there, and a sample's loss does not depend on the others.

        Args:
            frames: ``(B, T, 3, H, W)`` normalised; T - 1 is a multiple of N.
            labels: ``(B, T, H, W)`` uint8, 0..K.
            object_count: ``(B,)``, K of each sample, at least 1.
            hard_share: Of the bootstrapped cross-entropy.
            keep_labels: Return predictions.
        """
        counts: list[int] = object_count.tolist()
        groups = [[i for i, c in enumerate(counts) if c == k] for k in sorted(set(counts))]
        spans = clip_spans(frames.shape[1], self.clip_length)
        free = range(1, 1 + self.free_clips)  # Of ``spans``, of which the first is the reference.
        followed = [i for i in range(len(spans)) if i not in free]
        features: dict[tuple[int, int], KeyFeatures] = {}  # By group and span.
        with self.clock("key_encoder"):
            for which, grad in ((followed, torch.is_grad_enabled()), (free, False)):
                # In the order in which they are used, so that each use is a slice and no copy.
                pieces = {
                    (g, i): frames[rows, slice(*spans[i])].flatten(0, 1)
                    for g, rows in enumerate(groups)
                    for i in which
                }
                with torch.set_grad_enabled(grad):
                    encoded = self._encode_key(list(pieces.values())) if pieces else []
                features |= dict(zip(pieces, encoded, strict=True))
        losses = [
            self._group(
                [features[g, i] for i in range(len(spans))],
                frames[rows],
                labels[rows].long(),
                counts[rows[0]],
                hard_share,
                keep_labels,
            )
            for g, rows in enumerate(groups)
        ]
        return _merge(losses, groups)

    def _encode_key(self, parts: Sequence[Tensor]) -> list[KeyFeatures]:
        """Encode ``(b, 3, H, W)`` pieces of a batch together."""
        frames = torch.cat(list(parts))
        if frames.device.type == "cpu" or frames.is_cuda:
            frames = frames.contiguous(memory_format=torch.channels_last)
        known = self.known(frames) if self.known is not None else ()
        known = tuple(x.contiguous(memory_format=torch.channels_last) for x in known)
        return _split(self.model.encode_key(frames, known), [len(part) for part in parts])

    def _group(
        self,
        features: Sequence[KeyFeatures],
        frames: Tensor,
        labels: Tensor,
        objects: int,
        hard_share: float,
        keep_labels: bool,
    ) -> BatchLosses:
        """Segment ``b`` samples of equally many objects; ``features`` has one item a span."""
        truth = functional.one_hot(labels, objects + 1).movedim(-1, 1)[:, 1:].float()
        memory = self._one_frame(frames[:, 0], features[0], truth[:, :, 0])
        spans = clip_spans(frames.shape[1], self.clip_length)[1:]
        sums: list[Tensor] = []
        predicted: list[Tensor] = []
        for index, (clip, (start, end)) in enumerate(zip(features[1:], spans, strict=True)):
            free = index < self.free_clips
            with torch.set_grad_enabled(torch.is_grad_enabled() and not free):
                logits = self.model.segment_clip(
                    clip,
                    [self._aged(memory, predicted_frames=index)],
                    frames=end - start,
                    settings=FREE_SETTINGS if free else TRAINING_SETTINGS,
                    clock=self.clock,
                )
                with self.clock("loss"):
                    log_probs = aggregated_log_probs(logits.float())
                    object_probs = log_probs[:, 1:].exp()
                    if keep_labels:
                        predicted.append(log_probs.detach().argmax(1).to(torch.uint8))
                    if not free:
                        now = labels[:, start:end]
                        with nullcontext() if self.clip_supervision else torch.no_grad():
                            dice = dice_loss(object_probs, truth[:, :, start:end])
                        entropy = bootstrapped_cross_entropy(log_probs, now, share=hard_share)
                        sums.append(torch.stack((entropy, dice, batch_iou(log_probs, now))))
                if end < frames.shape[1]:
                    last = clip.frames_of_clips(len(frames), slice(-1, None))
                    remembered = damage_masks(object_probs[:, :, -1], self.damage)
                    newest = self._one_frame(frames[:, end - 1], last, remembered)
            if end < frames.shape[1]:
                memory = _joined(memory, newest)
        entropy, dice, iou = torch.stack(sums).mean(0)
        total = entropy + dice if self.clip_supervision else entropy
        return BatchLosses(
            total,
            entropy.detach(),
            dice.detach(),
            iou,
            torch.cat(predicted, 1) if keep_labels else None,
        )

    def _one_frame(self, frames: Tensor, features: KeyFeatures, probs: Tensor) -> Memory:
        """Return a memory of one frame: masks ``(b, K, H, W)``."""
        with self.clock("value_encoder"):
            value = self.model.encode_value(frames, features, probs)
            return Memory(features.key.flatten(2), value.flatten(3))

    def _aged(self, memory: Memory, *, predicted_frames: int) -> Memory:
        """Return a memory whose frames after the reference lose by their age, as in inference."""
        decay = self.model.config.memory_decay
        if not decay:
            return memory
        ages = (0, *reversed(range(predicted_frames)))
        cells = memory.key.shape[-1] // len(ages)
        age_penalty = age_penalties(ages, decay, cells, device=memory.key.device)
        return replace(memory, age_penalty=age_penalty)


def _joined(memory: Memory, newest: Memory) -> Memory:
    """Return a memory with the frames of both."""
    # Joined along rows: the read is fastest on a view of (B, N, K, C_v).
    rows = torch.cat([part.value.permute(0, 3, 1, 2) for part in (memory, newest)], 1)
    return Memory(torch.cat((memory.key, newest.key), 2), rows.permute(0, 2, 3, 1))


def clip_spans(frames: int, clip_length: int) -> list[tuple[int, int]]:
    """Return first and end frame of the reference, ``(0, 1)``, and of each clip.

    Raises:
        ValueError: If the frames after the reference are not whole clips.
    """
    if frames < 2 or (frames - 1) % clip_length:
        raise ValueError(f"{frames} frames are not one reference and clips of {clip_length}")
    return [(0, 1), *((i, i + clip_length) for i in range(1, frames, clip_length))]


def train_step(
    trainer: Callable[..., BatchLosses],
    batch: TrainingBatch,
    optimiser: torch.optim.Optimizer,
    *,
    hard_share: float,
    clip_norm: float = 0.0,
    scaler: torch.amp.GradScaler | None = None,
    autocast: torch.dtype | None = None,
    clock: StageClock | None = None,
    keep_labels: bool = False,
) -> StepResult:
    """Change the weights once.

    Args:
        trainer: A ``ClipTrainer``, or one in ``DistributedDataParallel``.
        batch: On the device of the weights.
        optimiser: Holds the weights, with the step's rates set.
        hard_share: Of the bootstrapped cross-entropy.
        clip_norm: Largest norm of the gradient; 0 does not clip. Where the norm is not
            finite the step is left out.
        scaler: Of the loss, for float16.
        autocast: Half precision to compute in; ``None`` is float32.
        clock: Is charged with backward pass and optimiser.
        keep_labels: Return predictions.
    """
    clock = clock or StageClock()
    scaler = scaler or torch.amp.GradScaler(enabled=False)
    device = batch.frames.device.type
    with torch.autocast(device, dtype=autocast, enabled=autocast is not None):
        losses = trainer(
            batch.frames, batch.labels, batch.object_count, hard_share, keep_labels=keep_labels
        )
    with clock("backward"):
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(scaler.scale(losses.total))
    with clock("optimiser"):
        scaler.unscale_(optimiser)
        weights = [p for group in optimiser.param_groups for p in group["params"]]
        norm = nn.utils.clip_grad_norm_(weights, clip_norm or float("inf"))
        if bool(torch.isfinite(norm)) or scaler.is_enabled():
            scaler.step(optimiser)  # Leaves out steps that are not finite by itself.
        scaler.update()
    total, entropy, dice, iou, gradient_norm = torch.stack(
        (
            losses.total.detach(),
            losses.cross_entropy.mean(),
            losses.dice.mean(),
            losses.iou.mean(),
            norm,
        )
    ).tolist()
    return StepResult(total, entropy, dice, iou, gradient_norm, losses.labels)


def _split(features: KeyFeatures, sizes: list[int]) -> list[KeyFeatures]:
    """Cut features along the frames. One ``split`` a tensor keeps the backward pass cheap."""
    pieces: dict[str, Any] = {
        field.name: (None,) * len(sizes) if value is None else value.split(sizes)
        for field in fields(features)
        for value in [getattr(features, field.name)]
    }
    return [
        KeyFeatures(**{name: parts[i] for name, parts in pieces.items()}) for i in range(len(sizes))
    ]


def _merge(losses: Sequence[BatchLosses], groups: Sequence[Sequence[int]]) -> BatchLosses:
    """Put groups together again, samples in their first order."""
    order = torch.tensor([i for rows in groups for i in rows])
    back = torch.argsort(order).to(losses[0].total.device)

    def joined(tensors: list[Tensor]) -> Tensor:
        return torch.cat(tensors)[back]

    kept = [part.labels for part in losses if part.labels is not None]
    return BatchLosses(
        torch.cat([part.total for part in losses]).mean(),
        joined([part.cross_entropy for part in losses]),
        joined([part.dice for part in losses]),
        joined([part.iou for part in losses]),
        joined(kept) if kept else None,
    )
