"""Soft aggregation: one distribution over background and objects for every pixel."""

import torch
from torch import Tensor
from torch.nn import functional

PROBABILITY_MARGIN = 1e-7
"""Probabilities are kept this far from 0 and 1 before their odds are taken."""

_LEAST_LOG = -1e-12
"""Closest to 0 that the background's log probability comes before its odds are taken."""


def soft_aggregate(object_probs: Tensor, *, dim: int = 0) -> Tensor:
    """Merge independent object masks into one distribution per pixel.

    The background is the product of ``1 - p``; every channel's odds are then normalised to
    sum to 1 (soft aggregation of RGMP and STM, section 3.4 of the paper).

    Args:
        object_probs: ``(..., K, ...)`` probabilities in [0, 1], objects along ``dim``.
        dim: The axis of the objects.

    Returns:
        ``(..., K + 1, ...)``, sums to 1 along ``dim``, channel 0 is the background.
    """
    background = (1 - object_probs).prod(dim=dim, keepdim=True)
    probs = torch.cat((background, object_probs), dim=dim)
    probs = probs.clamp_(PROBABILITY_MARGIN, 1 - PROBABILITY_MARGIN)
    odds = probs.div_(1 - probs)  # At most 1e7, so sums neither overflow nor need logarithms.
    return odds.div_(odds.sum(dim, keepdim=True))


def aggregated_log_probs(logits: Tensor, *, dim: int) -> Tensor:
    """Aggregate as ``soft_aggregate``, from logits to log probabilities, for training.

    Here a pixel that is confidently wrong keeps its gradient, which the margins of
    ``soft_aggregate`` would take away. The odds of an object are its logit's; normalising
    odds to sum to 1 is a softmax of logits.

    Args:
        logits: ``(..., K, ...)`` float32, objects along ``dim``.
        dim: The axis of the objects.

    Returns:
        ``(..., K + 1, ...)`` log probabilities, channel 0 is the background.
    """
    if logits.shape[dim] == 1:
        background = -logits  # log(1 - p) - log(p)
    else:
        log_background = functional.logsigmoid(-logits).sum(dim, keepdim=True)
        log_background = log_background.clamp(max=_LEAST_LOG)
        background = log_background - torch.log(-torch.expm1(log_background))
    return torch.log_softmax(torch.cat((background, logits), dim), dim)
