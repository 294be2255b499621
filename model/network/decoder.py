"""Decoder: from a readout at stride 16 to one logit map per object (paper, section 3.4)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.network.blocks import ObjectBlock, ResBlock, UpsampleBlock, ZeroConv2d
from model.ops.masks import cells_to_masks

PROPAGATED_MARGIN = 0.02
"""A propagated mask is kept this far from 0 and 1 before its logit is taken."""


class Decoder(nn.Module):
    """Upsample the readout step by step, with skips from the trunk at strides 8 and 4.

    What objects share is computed once a frame: of the paper's 99 G multiply-adds for one object
    at 480p, 38 G are the image's (lite: 1.6 G and 0.15 G).

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

    def forward(
        self, readout: Tensor, refined: Tensor, query_value: Tensor, f8: Tensor, f4: Tensor
    ) -> Tensor:
        """Decode the objects of some frames.

        Args:
            readout: ``(B, K, C_v, h, w)`` as read from the memory.
            refined: The same after refinement (``readout`` itself without it).
            query_value: ``(B, C, h, w)``.
            f8: ``(B, C_8, 2h, 2w)``.
            f4: ``(B, C_4, 4h, 4w)``.

        Returns:
            Logits ``(B, K, 16h, 16w)``, upsampled four times (bilinear).
        """
        objects = refined.shape[1]
        shared = self.compress.shared_part(query_value)
        skip8, skip4 = self.up_16_8.shared_part(f8), self.up_8_4.shared_part(f4)
        x = self.compress(refined.flatten(0, 1), shared)
        if self.mask_block:
            masks = self._propagated(readout)
            own = functional.avg_pool2d(masks[:, :1], self.mask_block)
            for block in self.blocks:
                x = block(x, own)
            x = functional.relu(self.up_8_4(self.up_16_8(x, skip8), skip4, masks))
            base = torch.logit(masks[:, :1].clamp(PROPAGATED_MARGIN, 1 - PROPAGATED_MARGIN))
            kept = base if self.gate is None else (1 + self.gate(x)) * base
            logits = self.pred(x) + kept
        else:
            x = self.up_8_4(self.up_16_8(x, skip8), skip4)
            logits = self.pred(functional.relu(x))
        logits = functional.interpolate(
            logits, scale_factor=4.0, mode="bilinear", align_corners=False
        )
        return logits.view(-1, objects, *logits.shape[2:])

    def _propagated(self, readout: Tensor) -> Tensor:
        """Return the masks in a readout, ``(B * K, 2, 4h, 4w)``: the object's, the others'."""
        cells = readout[:, :, -2 * self.mask_block**2 :].flatten(0, 1)
        return cells_to_masks(cells, block=self.mask_block)
