"""Image-level and clip-level supervision (paper, section 3.6).

Everything starts from log probabilities, so that a pixel that is confidently wrong keeps
its gradient, however confident.
"""

import torch
from torch import Tensor
from torch.nn import functional

DICE_SMOOTHING = 1.0
"""Pixels added to both sides of the fraction: an absent object that is not predicted scores 1."""

LEAST_LOG = -1e-12
"""Closest to 0 that the background's log probability comes before its odds are taken."""


def aggregated_log_probs(logits: Tensor) -> Tensor:
    """Aggregate as ``soft_aggregate``, from logits to log probabilities, for training.

    Here a pixel that is confidently wrong keeps its gradient, which the margins of
    ``soft_aggregate`` would take away. The odds of an object are its logit's; normalising
    odds to sum to 1 is a softmax of logits.

    Args:
        logits: ``(B, K, ...)`` float32.

    Returns:
        ``(B, K + 1, ...)`` log probabilities, channel 0 is the background.
    """
    if logits.shape[1] == 1:
        background = -logits  # log(1 - p) - log(p)
    else:
        log_background = functional.logsigmoid(-logits).sum(1, keepdim=True)
        log_background = log_background.clamp(max=LEAST_LOG)
        background = log_background - torch.log(-torch.expm1(log_background))
    return torch.log_softmax(torch.cat((background, logits), 1), 1)


def bootstrapped_cross_entropy(log_probs: Tensor, labels: Tensor, *, share: float) -> Tensor:
    """Return the cross-entropy of each frame's hardest pixels.

    Args:
        log_probs: ``(B, K + 1, T, H, W)``.
        labels: ``(B, T, H, W)`` int64, 0..K.
        share: Of a frame's pixels; 1 is the plain cross-entropy.

    Returns:
        ``(B,)``, the mean over a sample's frames. STCN sums over them; the mean keeps the
        scale the same for any number of frames.
    """
    loss = -log_probs.gather(1, labels[:, None]).squeeze(1).flatten(2)  # (B, T, H * W)
    kept = max(1, round(share * loss.shape[-1]))
    if kept < loss.shape[-1]:
        loss = loss.topk(kept, dim=-1, sorted=False).values
    return loss.mean((1, 2))


def dice_loss(probs: Tensor, truth: Tensor) -> Tensor:
    """Return one minus the Dice coefficient, its sums running over the clip (eq. 5).

    Dice as in V-Net (Milletari et al., 3DV 2016): squares in the denominator.

    Args:
        probs: ``(B, K, T, H, W)`` of the objects.
        truth: ``(B, K, T, H, W)`` of 0 and 1.

    Returns:
        ``(B,)``, the mean over objects. Eq. 5 sums over them; the mean keeps a sample of
        many objects from outweighing the cross-entropy and the other samples.
    """
    probs, truth = probs.flatten(2), truth.flatten(2)
    shared = (probs * truth).sum(-1)
    total = (probs * probs).sum(-1) + truth.sum(-1)
    dice = (2 * shared + DICE_SMOOTHING) / (total + DICE_SMOOTHING)
    return (1 - dice).mean(1)


@torch.no_grad()
def batch_iou(log_probs: Tensor, labels: Tensor) -> Tensor:
    """Return the intersection over union on every fourth pixel, a figure to watch.

    Args:
        log_probs: ``(B, K + 1, T, H, W)``.
        labels: ``(B, T, H, W)``.

    Returns:
        ``(B,)``, the mean over objects and frames; absent and not predicted counts 1.
    """
    predicted = log_probs[..., ::4, ::4].argmax(1)
    truth = labels[..., ::4, ::4]
    ids = torch.arange(1, log_probs.shape[1], device=labels.device).view(-1, 1, 1, 1, 1)
    a, b = predicted[None] == ids, truth[None] == ids  # (K, B, T, h, w)
    shared = (a & b).sum((-2, -1)).float()
    union = (a | b).sum((-2, -1)).float()
    return torch.where(union > 0, shared / union.clamp(min=1), 1.0).mean((0, 2))
