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

    def affinity(self, local_key: Tensor) -> Tensor:
        """Compare normalised local keys ``(B, T, h, w, C_k')`` inside windows."""
        return self.attention.affinity(self.key_norm(local_key), self._layout(local_key))

    def forward(self, affinity: Tensor, value: Tensor) -> Tensor:
        """Refine the values of one object, ``(B, T, h, w, C_v)``, by ``affinity``."""
        value = value + self.attention(affinity, self.value_norm(value), self._layout(value))
        # The hidden layer is four times as wide: a few frames at a time, not the whole clip.
        maps = value.flatten(0, 1)
        parts = [part + self.mlp(self.mlp_norm(part)) for part in maps.split(FRAMES_AT_ONCE)]
        return torch.cat(parts).view_as(value)

    def _layout(self, x: Tensor) -> WindowLayout:
        frames, rows, columns = x.shape[1:4]
        return WindowLayout.fit((frames, rows, columns), self.window, shifted=self.shifted)


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
        self.window = window
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
        # One object at a time: what it takes stays in the cache, and is allocated once.
        values = readout.permute(0, 1, 3, 4, 5, 2).unbind(1)
        for layer in self.layers:
            affinity = layer.affinity(key)  # type: ignore[operator] # A method of the layer.
            values = tuple(layer(affinity, value) for value in values)
        refined = torch.stack([self.norm(value) for value in values], dim=1)
        return refined.permute(0, 1, 5, 2, 3, 4)
