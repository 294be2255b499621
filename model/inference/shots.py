"""Finding objects again behind a cut, where they may be anywhere or not at all.

Two rules make that of the same network. Place does not count: keys lose their rows and columns
for one read. And an object must look like itself: what the network takes for it is kept only where
its cells look as much like the object's cells in the memory as those of one object in other
frames do. Not in the paper, whose videos have no cuts.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from model.config import STRIDE, PCVOSConfig
from model.memory.bank import Memory
from model.ops.masks import own_cover
from model.types import KeyFeatures

LIKENESS = 0.75
"""An object is found again if its cells' best cosines with the memory's are this on average.

One frame in memory, the shipped weights of 30 November, 16 sequences of DAVIS: what was found of
the same object 5 to 80 frames later had 0.80 in the median and 0.74 in the lowest twentieth; what
was taken for it in another sequence 0.67, and 0.74 in the highest hundredth."""

SUPPORT = 0.3
"""A cell counts with the share of it that a mask covers, from this on."""


def without_place(key: Tensor, config: PCVOSConfig) -> Tensor:
    """Return keys ``(B, C_k, ...)`` that say nothing of a cell's row and column."""
    if not config.position_keys:
        return key
    blank = key.clone()
    blank[:, -2:] = 0
    return blank


def placeless(
    features: KeyFeatures, memories: Sequence[Memory], config: PCVOSConfig
) -> tuple[KeyFeatures, list[Memory]]:
    """Return a frame and the memory for a read in which place does not count."""
    return (
        replace(features, key=without_place(features.key, config)),
        [replace(memory, key=without_place(memory.key, config)) for memory in memories],
    )


def likeness(
    features: KeyFeatures,
    memories: Sequence[Memory],
    probs: Tensor,
    mask_block: int,
) -> list[float]:
    """Return how much what was found of each object looks like it.

    Args:
        features: Of one frame, as ``placeless`` gives them.
        memories: Likewise; their values carry masks.
        probs: ``(K, H, W)`` what was found, in the order of the memories' objects.
        mask_block: Parts of a mask along a cell's side.

    Returns:
        For each object the mean of its cells' best cosines with the object's cells in the
        memory; 0 where nothing was found.
    """
    cells = functional.avg_pool2d(probs[None], STRIDE)[0].flatten(1)  # (K, h * w)
    cells = torch.where(cells > SUPPORT, cells, 0)
    query = functional.normalize(features.key[0].flatten(1).float(), dim=0)
    found: list[float] = []
    for memory in memories:
        kept = functional.normalize(memory.key[0].float(), dim=0)
        for shares in own_cover(memory.value[0], mask_block):
            weight = cells[len(found)]
            own = shares >= min(0.5, float(shares.max()))
            best = (query[:, weight > 0].T @ kept[:, own]).amax(1)
            found.append(float((best * weight[weight > 0]).sum() / weight.sum().clamp(min=1e-6)))
    return found
