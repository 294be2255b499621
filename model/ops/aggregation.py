"""Soft aggregation: one distribution over background and objects for every pixel."""

import torch
from torch import Tensor

PROBABILITY_MARGIN = 1e-7
"""Probabilities are kept this far from 0 and 1 before their odds are taken."""


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
