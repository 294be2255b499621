"""Intra-clip refinement: a transformer over the frames of a clip (paper, section 3.4)."""

import torch
from torch import Tensor, nn

from model.network.window_attention import Size3d, WindowAttention3d, WindowLayout

FRAMES_AT_ONCE = 4
"""Frames of an object that pass through a feed-forward network together."""


class RefinementLayer(nn.Module):
    """One layer of eq. 3: attention inside windows, then a feed-forward network.

    Args:
        key_width: C_k'.
        value_width: C_v.
        window: Full window size.
        mlp_ratio: Hidden width of the feed-forward network over ``value_width``.
        shifted: Move the windows by half of themselves.
    """

    def __init__(
        self, key_width: int, value_width: int, window: Size3d, mlp_ratio: int, *, shifted: bool
    ) -> None:
        super().__init__()
        self.window = window
        self.shifted = shifted
        self.key_norm = nn.LayerNorm(key_width)
        self.value_norm = nn.LayerNorm(value_width)
        self.attention = WindowAttention3d(key_width, value_width, window)
        self.mlp_norm = nn.LayerNorm(value_width)
        self.mlp = nn.Sequential(
            nn.Linear(value_width, mlp_ratio * value_width),
            nn.GELU(),
            nn.Linear(mlp_ratio * value_width, value_width),
        )

    def forward(self, local_key: Tensor, value: Tensor) -> Tensor:
        """Refine values ``(B * K, T, h, w, C_v)`` by local keys ``(B, T, h, w, C_k')``."""
        t, h, w = local_key.shape[1:4]
        layout = WindowLayout.fit((t, h, w), self.window, shifted=self.shifted)
        affinity = self.attention.affinity(self.key_norm(local_key), layout)
        value = value + self.attention(affinity, self.value_norm(value), layout)
        # The hidden layer is four times as wide: a few frames at a time, not the whole clip.
        maps = value.flatten(0, 1)
        parts = [part + self.mlp(self.mlp_norm(part)) for part in maps.split(FRAMES_AT_ONCE)]
        return torch.cat(parts).view_as(value)


class IntraClipRefinement(nn.Module):
    """Refine the readout by what the frames of the clip have in common.

    Every layer takes the same, unrefined local keys; only values pass through.

    Args:
        key_width: C_k'.
        value_width: C_v.
        layers: Number of layers; every second one is shifted.
        window: ``(frames, rows, columns)``.
        mlp_ratio: Hidden over outer width of the feed-forward networks.
    """

    def __init__(
        self, key_width: int, value_width: int, *, layers: int, window: Size3d, mlp_ratio: int
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            RefinementLayer(key_width, value_width, window, mlp_ratio, shifted=i % 2 == 1)
            for i in range(layers)
        )
        self.norm = nn.LayerNorm(value_width)

    def forward(self, local_key: Tensor, readout: Tensor) -> Tensor:
        """Refine a clip's readout.

        Args:
            local_key: ``(B, T, C_k', h, w)``.
            readout: ``(B, K, C_v, T, h, w)``.

        Returns:
            The refined readout, shape of ``readout``.
        """
        key = local_key.permute(0, 1, 3, 4, 2)
        value = readout.permute(0, 1, 3, 4, 5, 2).flatten(0, 1)
        for layer in self.layers:
            value = layer(key, value)
        value = self.norm(value).unflatten(0, readout.shape[:2])
        return value.permute(0, 1, 5, 2, 3, 4)
