"""Key and value encoders (paper, section 3.2)."""

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.network.blocks import (
    CONTEXT_KERNEL,
    ResBlock,
    ZeroConv2d,
    add_shared,
    channels,
    convolve_part,
)
from model.ops.masks import masks_to_cells, others
from model.types import KeyFeatures

COSINE_TEMPERATURE = 0.05
"""Initial softmax temperature of cosine similarities between unit keys."""

POSITION_SIGMA = 4.0
"""Initial reach, in cells of stride 16, over which a match loses ``exp(-1/2)`` of its weight."""


class Trunk(Protocol):
    """A backbone that returns features at strides 4, 8 and 16, and may go on to 32.

    Attributes:
        widths: Channels of these features.
    """

    widths: tuple[int, ...]

    def __call__(self, frames: Tensor, known: Sequence[Tensor] = ()) -> tuple[Tensor, ...]:
        """Map ``(B, 3, H, W)`` to its features, finest first.

        ``known`` are the finest of them, where somebody has them already.
        """
        ...


class KeyEncoder(nn.Module):
    """Encoder of a frame's features, which all objects share.

    Args:
        trunk: Backbone with features at strides 4, 8 and 16, and 32 for a context.
        key_width: C_k.
        local_key_width: C_k', or ``None`` without refinement.
        query_value_width: Channels of the feature that joins the readout in the decoder.
        unit_keys: Scale keys to one length. Squared distance then is a cosine.
        position_keys: Two of the key's channels are the cell's row and column, so that
            similarity falls with the distance in the picture. How fast is learned.
        kernel: Side of the key projection's kernel.
        context_width: Channels of an ``ImageContext`` on the trunk's stride-32 feature, which
            adds to local key and query value; 0: the network has none.
    """

    def __init__(
        self,
        trunk: Trunk,
        *,
        key_width: int,
        local_key_width: int | None,
        query_value_width: int,
        unit_keys: bool,
        position_keys: bool = False,
        kernel: int = 3,
        context_width: int = 0,
    ) -> None:
        super().__init__()
        self.trunk = trunk
        trunk_width = trunk.widths[2]
        seen_width = key_width - 2 if position_keys else key_width
        self.key = nn.Conv2d(trunk_width, seen_width, kernel, padding=kernel // 2)
        self.local_key = (
            nn.Conv2d(trunk_width, local_key_width, 3, padding=1) if local_key_width else None
        )
        self.query_value = nn.Conv2d(trunk_width, query_value_width, 3, padding=1)
        self.context = (
            ImageContext(trunk.widths[2:], context_width, (local_key_width or 0, query_value_width))
            if context_width
            else None
        )
        # With keys of length s, similarity is 2 s^2 cos / sqrt(C_k) plus a constant.
        length = math.sqrt(math.sqrt(key_width) / (2 * COSINE_TEMPERATURE))
        self.key_length = nn.Parameter(torch.tensor(length)) if unit_keys else None
        scale = math.sqrt(math.sqrt(key_width) / 2) / POSITION_SIGMA
        self.position_scale = nn.Parameter(torch.tensor(scale)) if position_keys else None

    def forward(self, frames: Tensor, known: Sequence[Tensor] = ()) -> KeyFeatures:
        """Encode ``(B, 3, H, W)`` normalised frames, H and W multiples of 16.

        ``known`` are the finest of the trunk's features, where somebody has them already.
        """
        f4, f8, f16, *deep = self.trunk(frames, known)
        key = self.key(f16)
        if self.key_length is not None:
            key = functional.normalize(key, dim=1) * self.key_length
        if self.position_scale is not None:
            key = torch.cat((key, _positions(key) * self.position_scale), dim=1)
        local_key = None if self.local_key is None else self.local_key(f16)
        query_value = self.query_value(f16)
        if self.context is not None:
            for_local_key, for_query_value = self.context(f16, deep[0])
            local_key = None if local_key is None else local_key + for_local_key
            query_value = query_value + for_query_value
        return KeyFeatures(key, local_key, query_value, f16, f8, f4)


class ImageContext(nn.Module):
    """Context from the trunk's last stage: wider than a key sees.

    Not in the paper. The paper's trunk is cut at stride 16; the stages behind it were trained to
    say what a picture shows, and cost little at stride 32. Their feature joins the stride-16 one
    as in a feature pyramid (Lin et al., CVPR 2017) and is looked at in a wide neighbourhood.
    Its output starts at zero, so a network that gets a context gives what it gave before.

    Args:
        trunk_widths: Channels of the trunk at strides 16 and 32.
        width: Channels inside.
        out_widths: Channels of its two outputs.
    """

    def __init__(
        self, trunk_widths: Sequence[int], width: int, out_widths: tuple[int, int]
    ) -> None:
        super().__init__()
        self.out_widths = out_widths
        self.lateral = nn.Conv2d(trunk_widths[0], width, 1)
        self.deep = nn.Conv2d(trunk_widths[1], width, 1)
        self.around = nn.Conv2d(width, width, CONTEXT_KERNEL, padding="same", groups=width)
        self.mix = nn.Conv2d(width, width, 1)
        self.out = ZeroConv2d(width, sum(out_widths), 1)

    def forward(self, f16: Tensor, f32: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``(B, C_16, h, w)`` and ``(B, C_32, h / 2, w / 2)`` to the two outputs at h, w."""
        deep = functional.interpolate(
            self.deep(f32), size=f16.shape[-2:], mode="bilinear", align_corners=False
        )
        x = functional.relu(self.lateral(f16) + deep)
        x = x + functional.relu(self.mix(self.around(x)))
        first, second = self.out(x).split(self.out_widths, dim=1)
        return first, second


def _positions(x: Tensor) -> Tensor:
    """Return the row and column of each cell of ``(B, C, h, w)``, as ``(B, 2, h, w)``."""
    rows, columns = (torch.arange(n, dtype=x.dtype, device=x.device) for n in x.shape[-2:])
    grid = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))
    return grid.expand(x.shape[0], -1, -1, -1)


class ValueEncoder(Protocol):
    """Encoder of a memory frame's values, one for each object."""

    width: int
    looks_at_frames: bool

    def __call__(self, frames: Tensor | None, features: KeyFeatures, probs: Tensor) -> Tensor:
        """Encode masks.

        Args:
            frames: ``(B, 3, H, W)`` normalised; ``None`` unless ``looks_at_frames``.
            features: Key features of these frames.
            probs: ``(B, K, H, W)`` soft masks of the K objects.

        Returns:
            ``(B, K, C_v, h, w)``.
        """
        ...


class SharedValueEncoder(nn.Module):
    """Lite: a small head on the key encoder's features and the masks, no second trunk.

    The last channels of a value are the masks themselves: the object's and the others',
    each as 4 x 4 sub-blocks of a cell, so that reading the memory also propagates masks.

    Args:
        trunk_widths: Key trunk channels at strides 4, 8 and 16.
        learned_width: Channels of the learned part.
        block: Sub-blocks along a cell's side.
    """

    looks_at_frames = False

    def __init__(self, trunk_widths: Sequence[int], learned_width: int, *, block: int) -> None:
        super().__init__()
        self.block = block
        self.width = learned_width + 2 * block * block
        masks = 2 * block * block
        middle = learned_width // 2
        self.fine = nn.Conv2d(trunk_widths[1] + masks, middle, 3, stride=2, padding=1)
        self.coarse = nn.Conv2d(trunk_widths[2] + masks + middle, learned_width, 1)
        self.block1 = ResBlock(learned_width, learned_width)

    def forward(self, frames: Tensor | None, features: KeyFeatures, probs: Tensor) -> Tensor:
        """Encode masks; see ``ValueEncoder``. What frames show is in the features."""
        del frames
        return self.from_features(features.f16, features.f8, probs)

    def from_features(self, f16: Tensor, f8: Tensor, probs: Tensor) -> Tensor:
        """Encode masks by the key features at strides 16 and 8, all that is looked at."""
        batch, objects = probs.shape[:2]
        # To a sub-block of stride 8 first: whole masks are four times as many pixels to pass over.
        small = functional.avg_pool2d(probs, 8 // self.block)
        pair = torch.stack((small, others(small).clamp(max=1)), dim=2).flatten(0, 1)

        masks = masks_to_cells(pair, stride=2 * self.block, block=self.block)
        fine_masks = masks_to_cells(pair, stride=self.block, block=self.block)
        # What frames show is convolved once for all objects.
        fine = add_shared(
            convolve_part(self.fine, fine_masks, channels(f8), bias=False),
            convolve_part(self.fine, f8, 0, bias=True),
        ).relu()
        x = add_shared(
            convolve_part(self.coarse, torch.cat((masks, fine), dim=1), channels(f16), bias=False),
            convolve_part(self.coarse, f16, 0, bias=True),
        )
        value = torch.cat((self.block1(x), masks), dim=1)
        return value.unflatten(0, (batch, objects))
