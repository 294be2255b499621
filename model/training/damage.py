"""Damaged masks in the memory: what a long video does to it, in a sample of a few frames.

At inference every memory frame but the references holds what was predicted, so a hole or a
piece of background that was taken in comes back in each later readout and grows. A training
sample ends before that happens. Here it is done on purpose, and the loss still asks for the
truth: the network learns to mend a readout from what the reference says and what the picture
shows.
"""

import torch
from torch import Tensor
from torch.nn import functional

_GRAINS = (8, 16, 32, 64)
"""Sizes of a damaged patch, pixels; a cell of the memory is 16."""

_MOST_LOST = 0.5
"""Largest share of an object that holes take, roughly."""

_MOST_TAKEN = 0.4
"""Largest share of the surroundings that is taken in, roughly."""


def damage_masks(probs: Tensor, chance: float) -> Tensor:
    """Tear holes into masks and let them take in what surrounds them.

    Random numbers come from the global generator of the CPU, so that a resumed training
    repeats them.

    Args:
        probs: ``(B, K, H, W)`` soft masks, 0 to 1, whose sum over K is at most 1.
        chance: Of each mask to be damaged; 0 returns ``probs`` itself.

    Returns:
        The same shape; still at most 1 over K. Differentiable.
    """
    if chance <= 0:
        return probs
    batch, objects, height, width = probs.shape
    each = (batch, objects, 1, 1)
    hit = torch.rand(each) < chance
    lost = torch.where(hit & (torch.rand(each) < 0.7), torch.rand(each) * _MOST_LOST, 0)
    taken = torch.where(hit & (torch.rand(each) < 0.7), torch.rand(each) * _MOST_TAKEN, 0)
    strength = 0.4 + 0.6 * torch.rand(2, *each).to(probs)

    holes = _patches(lost, height, width).to(probs)
    kept = probs * (1 - strength[0] * holes)
    anywhere = (torch.rand(each) < 0.2).to(probs)
    bleed = _patches(taken, height, width).to(probs) * torch.maximum(_near(probs), anywhere)
    grown = torch.maximum(kept, strength[1] * bleed)
    return grown / grown.sum(1, keepdim=True).clamp(min=1)


def _patches(share: Tensor, height: int, width: int) -> Tensor:
    """Return random patches, ``(B, K, H, W)`` of 0 and 1, that cover ``share`` of the frame."""
    grain = _GRAINS[int(torch.randint(len(_GRAINS), ()))]
    rows, columns = -(-height // grain), -(-width // grain)
    blocky = bool(torch.rand(()) < 0.4)
    noise = torch.randn(*share.shape[:2], rows, columns)
    noise = functional.interpolate(noise, (height, width), mode="nearest" if blocky else "bicubic")
    return (noise < torch.special.ndtri(share.double()).float()).float()


def _near(probs: Tensor) -> Tensor:
    """Return 1 within about 40 pixels of an object, 0 elsewhere."""
    cells = functional.max_pool2d(probs.detach(), 16, ceil_mode=True)
    around = functional.max_pool2d((cells > 0.5).to(probs), 5, stride=1, padding=2)
    return functional.interpolate(around, probs.shape[-2:], mode="nearest")
