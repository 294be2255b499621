"""Training on prompts: boxes drawn badly, and clicks where the mask is most wrong.

As RITM (Sofiiuk et al., ICIP 2022) trains: some clicks are simulated round by round without
gradient, each where the last mask errs most, and the last round is learned from.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from model.network.prompt import STRIDE, ImageFeatures, PromptSegmenter, draw_prompts
from model.ops.clicks import largest_error
from model.ops.timing import StageClock
from model.training.damage import damage_masks
from model.training.losses import (
    aggregated_log_probs,
    batch_iou,
    bootstrapped_cross_entropy,
    dice_loss,
)
from model.training.step import BatchLosses

BOX_CHANCE = 0.65
"""Samples that begin with a box."""

MASK_CHANCE = 0.15
"""Samples that begin with a damaged mask and a click; the others begin with a click alone."""

EXACT_CHANCE = 0.3
"""Boxes that are exact; each side of the others is off by up to ``JITTER`` of the box's."""

JITTER = 0.15

ROUNDS = (0, 0, 1, 1, 2, 3, 5, 8)
"""Rounds of simulated clicks before the round that is learned from; one is drawn a batch."""


class PromptTrainer(nn.Module):
    """Crops with a mask to losses; is called as ``ClipTrainer``.

    Args:
        model: The network.
        trunk: Runs the network's trunk, which never changes, in its stead.
        clock: Is charged with the stages.
    """

    def __init__(
        self,
        model: PromptSegmenter,
        *,
        trunk: Callable[[Tensor], tuple[Tensor, ...]] | None = None,
        clock: StageClock | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.trunk = trunk
        self.clock = clock or StageClock()

    def forward(
        self,
        frames: Tensor,
        labels: Tensor,
        object_count: Tensor,
        hard_share: float,
        keep_labels: bool = False,
    ) -> BatchLosses:
        """Segment each crop's object from simulated prompts and compare with the truth.

        Args:
            frames: ``(B, 1, 3, H, W)`` normalised.
            labels: ``(B, 1, H, W)`` uint8 of 0 and 1.
            object_count: Not looked at: a crop has one object.
            hard_share: Of the bootstrapped cross-entropy.
            keep_labels: Return predictions.
        """
        del object_count
        truth = labels[:, 0] > 0
        with self.clock("trunk"):
            crops = frames[:, 0].contiguous(memory_format=torch.channels_last)
            image = (
                ImageFeatures(*self.trunk(crops)) if self.trunk else self.model.encode_image(crops)
            )
        with self.clock("clicks"):
            boxes, clicks, previous = self._simulate(image, truth)
        with self.clock("decoder"):
            logits = self._upsampled(image, boxes, clicks, previous)
        with self.clock("loss"):
            log_probs = aggregated_log_probs(logits.float()[:, :, None])
            now = labels.long()
            entropy = bootstrapped_cross_entropy(log_probs, now, share=hard_share)
            dice = dice_loss(log_probs[:, 1:].exp(), now[:, None].float())
        return BatchLosses(
            (entropy + dice).mean(),
            entropy.detach(),
            dice.detach(),
            batch_iou(log_probs.detach(), now),
            (logits.detach() > 0).to(torch.uint8) if keep_labels else None,
        )

    def _upsampled(
        self, image: ImageFeatures, boxes: Tensor, clicks: Tensor, previous: Tensor
    ) -> Tensor:
        logits = self.model(image, draw_prompts(boxes, clicks, previous))
        return functional.interpolate(
            logits, scale_factor=float(STRIDE), mode="bilinear", align_corners=False
        )

    @torch.no_grad()
    def _simulate(self, image: ImageFeatures, truth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return boxes, clicks and previous masks, as ``draw_prompts`` takes them."""
        count = len(truth)
        boxes = jittered_boxes(truth)
        start = torch.rand(count, 1)
        boxes *= (start < BOX_CHANCE).to(boxes)
        damaged = damage_masks(truth[:, None].float(), 1.0)
        given = (start >= 1 - MASK_CHANCE).to(boxes)[..., None, None]
        masks = damaged * given
        clicks = random_clicks(masks[:, 0] > 0.5, truth)[:, None]
        clicks[:, 0, 2] *= (start[:, 0] >= BOX_CHANCE).to(clicks)
        for _ in range(ROUNDS[int(torch.randint(len(ROUNDS), ()))]):
            previous = functional.avg_pool2d(masks, STRIDE)
            masks = self._upsampled(image, boxes, clicks, previous).sigmoid()
            clicks = torch.cat((clicks, random_clicks(masks[:, 0] > 0.5, truth)[:, None]), 1)
        # A user's last mask has two values, a mask of our own has all between them.
        cut = (torch.rand(count, 1, 1, 1) < 0.5).to(masks.device)
        masks = torch.where(cut, (masks > 0.5).float(), masks)
        return boxes, clicks, functional.avg_pool2d(masks, STRIDE)


def jittered_boxes(truth: Tensor) -> Tensor:
    """Return boxes of masks as a user would draw them.

    Args:
        truth: ``(B, H, W)`` bool, none of them empty.

    Returns:
        ``(B, 4)`` float32: left, top, right, bottom. The random numbers are torch's.
    """
    boxes = torch.stack([mask_box(mask) for mask in truth]).float()
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    off = (2 * torch.rand(boxes.shape) - 1) * JITTER
    off *= (torch.rand(len(boxes), 1) >= EXACT_CHANCE).float()
    moved = boxes + off.to(boxes) * sides
    height, width = truth.shape[-2:]
    limit = torch.tensor([width, height] * 2, dtype=boxes.dtype, device=boxes.device)
    return torch.minimum(moved.clamp(min=0), limit)


def mask_box(mask: Tensor) -> Tensor:
    """Return ``(4,)`` left, top, right, bottom of ``(H, W)`` bool, which is not empty."""
    rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
    return torch.stack((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))


def random_clicks(predicted: Tensor, truth: Tensor) -> Tensor:
    """Return a click for each mask, ``(B, 3)`` as ``draw_prompts`` takes them.

    It lies in the largest region that is wrong, at random in its inner half. Where nothing
    is wrong the click's side is 0.

    Args:
        predicted: ``(B, H, W)`` bool.
        truth: ``(B, H, W)`` bool.
    """
    clicks = torch.zeros(len(truth), 3)
    pairs = zip(predicted.cpu().numpy(), truth.cpu().numpy(), strict=True)
    chances = torch.rand(len(truth)).tolist()
    for index, ((guess, mask), chance) in enumerate(zip(pairs, chances, strict=True)):
        found = largest_error(guess, mask)
        if found is None:
            continue
        depth, side = found
        rows, columns = np.nonzero(depth > depth.max() / 2)
        place = min(int(chance * len(rows)), len(rows) - 1)
        clicks[index] = torch.tensor((columns[place] + 0.5, rows[place] + 0.5, side))
    return clicks.to(truth.device)
