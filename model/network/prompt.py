"""A first mask: from a box, clicks and the last mask to the mask of one object on one crop.

The prompts join late, so that a further click costs the decoder alone: the trunk up to stride
16 sees the picture only and its features are kept. What follows it, two ImageNet stages at
stride 32 and a small decoder, sees both. Prompts as maps beside the picture: RITM (Sofiiuk et
al., ICIP 2022), whose last mask as an input makes clicks refine instead of starting again.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.config import PromptConfig
from model.network.blocks import UpsampleBlock
from model.network.efficientnet import STAGES, EfficientNetLite0Trunk, stages

STRIDE = 4
"""Of prompt maps and logits."""

CLICK_SIGMA = 6.0
"""A click is drawn as a Gaussian of this width, in pixels of the crop."""

DEEP_STAGES = STAGES[5:]
"""The last two stages of EfficientNet-Lite0, behind what the trunk has."""


class ImageFeatures(NamedTuple):
    """Features of a crop, shared by all prompts.

    Attributes:
        f4: ``(B, C_4, H/4, W/4)``.
        f8: ``(B, C_8, H/8, W/8)``.
        f16: ``(B, C_16, H/16, W/16)``.
    """

    f4: Tensor
    f8: Tensor
    f16: Tensor


class PromptSegmenter(nn.Module):
    """Prompts and the features of a crop to the logits of one object.

    Args:
        config: Its widths.
    """

    def __init__(self, config: PromptConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = EfficientNetLite0Trunk()
        self.trunk.requires_grad_(False)
        c4, c8, c16 = self.trunk.widths
        self.deep = nn.Sequential(*stages(c16, DEEP_STAGES))
        p4, p8 = config.prompt_widths
        self.prompt4 = nn.Conv2d(4, p4, 3, padding=1)
        self.prompt8 = nn.Conv2d(p4, p8, 3, stride=2, padding=1)
        self.prompt16 = nn.Conv2d(p8, c16, 3, stride=2, padding=1)
        d32, d16, d8, d4 = config.decoder_widths
        self.compress = nn.Conv2d(DEEP_STAGES[-1][-1], d32, 1)
        self.up_32_16 = UpsampleBlock(c16, d32, d16, kernel=1)
        self.up_16_8 = UpsampleBlock(c8, d16, d8, kernel=1, extra_width=p8)
        self.up_8_4 = UpsampleBlock(c4, d8, d4, kernel=1, extra_width=p4)
        self.pred = nn.Conv2d(d4, 1, 3, padding=1)

    def train(self, mode: bool = True) -> "PromptSegmenter":
        """Set the mode; the ImageNet stages keep the statistics of their norms."""
        super().train(mode)
        self.trunk.eval()
        self.deep.eval()
        return self

    @torch.no_grad()
    def encode_image(self, crops: Tensor) -> ImageFeatures:
        """Encode ``(B, 3, H, W)`` normalised crops, H and W multiples of 32."""
        return ImageFeatures(*self.trunk(crops))

    def forward(self, image: ImageFeatures, prompts: Tensor) -> Tensor:
        """Segment one object on each crop.

        Args:
            image: As from ``encode_image``.
            prompts: ``(B, 4, H/4, W/4)`` as from ``draw_prompts``.

        Returns:
            Logits ``(B, 1, H/4, W/4)``.
        """
        p4 = functional.relu(self.prompt4(prompts))
        p8 = functional.relu(self.prompt8(p4))
        f16 = image.f16 + self.prompt16(p8)
        x = self.up_32_16(self.compress(self.deep(f16)), self.up_32_16.shared_part(f16))
        x = self.up_16_8(x, self.up_16_8.shared_part(image.f8), p8)
        x = self.up_8_4(x, self.up_8_4.shared_part(image.f4), p4)
        logits: Tensor = self.pred(functional.relu(x))
        return logits


def draw_prompts(boxes: Tensor, clicks: Tensor, previous: Tensor) -> Tensor:
    """Draw prompts as maps at stride 4.

    Args:
        boxes: ``(B, 4)`` left, top, right, bottom in pixels of the crop, edges of pixels; all
            0 where there is no box.
        clicks: ``(B, N, 3)`` column, row (middles of pixels are at one half) and side: 1 on
            the object, -1 off it, 0 for no click.
        previous: ``(B, 1, H/4, W/4)`` probabilities of the last mask; all 0 where there is
            none.

    Returns:
        ``(B, 4, H/4, W/4)``: box (how much of a cell it covers), clicks on the object, clicks
        off it, last mask.
    """
    height, width = previous.shape[-2:]
    columns, rows = (
        torch.arange(n, dtype=previous.dtype, device=previous.device) * STRIDE
        for n in (width, height)
    )

    def covered(start: Tensor, end: Tensor, cells: Tensor) -> Tensor:
        low, high = (
            torch.maximum(start[:, None], cells),
            torch.minimum(end[:, None], cells + STRIDE),
        )
        return (high - low).clamp(min=0) / STRIDE

    across = covered(boxes[:, 0], boxes[:, 2], columns)  # (B, W/4)
    down = covered(boxes[:, 1], boxes[:, 3], rows)
    box = down[:, :, None] * across[:, None, :]
    half = STRIDE / 2
    x = torch.exp(-((columns + half - clicks[..., 0:1]) ** 2) / (2 * CLICK_SIGMA**2))
    y = torch.exp(-((rows + half - clicks[..., 1:2]) ** 2) / (2 * CLICK_SIGMA**2))
    spots = y[..., :, None] * x[..., None, :]  # (B, N, H/4, W/4)
    nothing = torch.zeros_like(box)[:, None]
    sides = [
        torch.cat((nothing, spots * (clicks[..., 2] == side)[..., None, None]), 1).amax(1)
        for side in (1, -1)
    ]
    return torch.cat((torch.stack((box, *sides), 1), previous), 1)
