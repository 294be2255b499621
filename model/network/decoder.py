"""Decoder: from a readout at stride 16 to one logit map per object (paper, section 3.4)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.network.blocks import ObjectBlock, ResBlock, SharedPart, UpsampleBlock, ZeroConv2d
from model.ops.masks import cells_to_masks

PROPAGATED_MARGIN = 0.02
"""A propagated mask is kept this far from 0 and 1 before its logit is taken."""


class DecoderImage(NamedTuple):
    """The decoder's features of a frame, shared by all objects.

    Attributes:
        shortcut: ``(B, C, h, w)``, the query value's part of the first block's shortcut.
        hidden: ``(B, C, h, w)``, its part of the first block's first convolution.
        skip8: ``(B, C, 2h, 2w)``.
        skip4: ``(B, C', 4h, 4w)``.
    """

    shortcut: Tensor
    hidden: Tensor
    skip8: Tensor
    skip4: Tensor


class Decoder(nn.Module):
    """Upsample the readout step by step, with skips from the trunk at strides 8 and 4.

    ``image_part`` runs once a frame, ``object_part`` for every object: of the paper's 99 G
    multiply-adds for one object at 480p, 38 G are the image's (lite: 1.3 G and 0.15 G).

    Args:
        in_width: Channels of readout and query value together.
        trunk_widths: Key trunk channels at strides 4, 8 and 16.
        widths: Channels at strides 16, 8 and 4.
        kernel: Side of skip and shortcut convolutions: 3 in the paper's network, 1 in lite.
        object_blocks: Blocks at stride 16 that look around and at the object as a whole, and a
            gate on the propagated mask's logit; 0: none. They need ``mask_block``.
        mask_block: The readout's last ``2 * mask_block ** 2`` channels are the propagated
            masks of the object and of the others. They join the finest stage, and the
            object's is the base to whose logits the network adds. 0: no such channels.
    """

    def __init__(
        self,
        in_width: int,
        trunk_widths: Sequence[int],
        widths: tuple[int, int, int],
        *,
        kernel: int = 3,
        mask_block: int = 0,
        object_blocks: int = 0,
    ) -> None:
        super().__init__()
        self.mask_block = mask_block
        self.blocks = nn.ModuleList(ObjectBlock(widths[0]) for _ in range(object_blocks))
        self.gate = ZeroConv2d(widths[2], 1, 3, padding=1) if object_blocks else None
        self.compress = ResBlock(in_width, widths[0], shortcut_kernel=kernel)
        self.up_16_8 = UpsampleBlock(trunk_widths[1], widths[0], widths[1], kernel=kernel)
        self.up_8_4 = UpsampleBlock(
            trunk_widths[0],
            widths[1],
            widths[2],
            kernel=kernel,
            extra_width=2 if mask_block else 0,
        )
        self.pred = nn.Conv2d(widths[2], 1, 3, padding=1)

    def image_part(self, query_value: Tensor, f8: Tensor, f4: Tensor) -> DecoderImage:
        """Do the work that all objects share.

        Args:
            query_value: ``(B, C, h, w)``.
            f8: ``(B, C_8, 2h, 2w)``.
            f4: ``(B, C_4, 4h, 4w)``.
        """
        first = self.compress.shared_part(query_value)
        return DecoderImage(
            first.shortcut,
            first.hidden,
            self.up_16_8.shared_part(f8),
            self.up_8_4.shared_part(f4),
        )

    def forward(
        self, readout: Tensor, refined: Tensor, query_value: Tensor, f8: Tensor, f4: Tensor
    ) -> Tensor:
        """Decode the objects of some frames.

        Args:
            readout: ``(B, K, C_v, h, w)`` as read from the memory.
            refined: The same after refinement (``readout`` itself without it).
            query_value: ``(B, C, h, w)``; it and the next two as for ``image_part``.
            f8: ``(B, C_8, 2h, 2w)``.
            f4: ``(B, C_4, 4h, 4w)``.

        Returns:
            Logits ``(B, K, 16h, 16w)``, upsampled four times (bilinear).
        """
        return self.object_part(readout, refined, self.image_part(query_value, f8, f4))

    def object_part(self, readout: Tensor, refined: Tensor, image: DecoderImage) -> Tensor:
        """Do the work of each object; arguments and result as ``forward``."""
        objects = refined.shape[1]
        first = SharedPart(image.shortcut, image.hidden)
        x = self.compress(refined.flatten(0, 1), first)
        if self.mask_block:
            masks = self._propagated(readout)
            own = functional.avg_pool2d(masks[:, :1], self.mask_block)
            for block in self.blocks:
                x = block(x, own)
            x = functional.relu(self.up_8_4(self.up_16_8(x, image.skip8), image.skip4, masks))
            base = torch.logit(masks[:, :1].clamp(PROPAGATED_MARGIN, 1 - PROPAGATED_MARGIN))
            kept = base if self.gate is None else (1 + self.gate(x)) * base
            logits = self.pred(x) + kept
        else:
            x = self.up_8_4(self.up_16_8(x, image.skip8), image.skip4)
            logits = self.pred(functional.relu(x))
        logits = functional.interpolate(
            logits, scale_factor=4.0, mode="bilinear", align_corners=False
        )
        return logits.view(-1, objects, *logits.shape[2:])

    def _propagated(self, readout: Tensor) -> Tensor:
        """Return the masks in a readout, ``(B * K, 2, 4h, 4w)``: the object's, the others'."""
        cells = readout[:, :, -2 * self.mask_block**2 :].flatten(0, 1)
        return cells_to_masks(cells, block=self.mask_block)
