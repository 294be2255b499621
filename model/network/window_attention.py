"""Attention inside 3-D shifted windows (Video Swin, Liu et al., 2021).

Axes are always (frames, rows, columns), in cells of stride 16.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

Size3d = tuple[int, int, int]

OTHER_REGION = -100.0
"""Added to the similarity of cells that the cyclic shift brought together (Swin's value)."""


@dataclass(frozen=True, slots=True)
class WindowLayout:
    """How a clip of a given size is cut into windows.

    Attributes:
        size: The clip, ``(T, h, w)``.
        window: The window, shrunk where the clip is smaller.
        shift: Cyclic shift of each axis; 0 where one window covers the axis.
    """

    size: Size3d
    window: Size3d
    shift: Size3d

    @classmethod
    def fit(cls, size: Size3d, window: Size3d, *, shifted: bool) -> "WindowLayout":
        """Fit a window to a clip; ``shifted`` moves it by half of itself."""
        fitted = [min(s, w) for s, w in zip(size, window, strict=True)]
        shift = [w // 2 if shifted and s > w else 0 for s, w in zip(size, window, strict=True)]
        return cls(size, (fitted[0], fitted[1], fitted[2]), (shift[0], shift[1], shift[2]))

    @property
    def padded(self) -> Size3d:
        """The clip's size once each axis is a whole number of windows."""
        t, h, w = (-(-s // n) * n for s, n in zip(self.size, self.window, strict=True))
        return t, h, w

    @property
    def tokens(self) -> int:
        """Cells in a window."""
        return self.window[0] * self.window[1] * self.window[2]


def to_windows(x: Tensor, layout: WindowLayout) -> Tensor:
    """Cut ``(B, T, h, w, C)`` into ``(B, windows, tokens, C)``, padded with zeros at the ends."""
    (t, h, w), (wt, wh, ww) = layout.padded, layout.window
    ends = [p - s for p, s in zip(layout.padded, layout.size, strict=True)]
    if any(ends):
        x = functional.pad(x, (0, 0, 0, ends[2], 0, ends[1], 0, ends[0]))
    if any(layout.shift):
        x = x.roll([-s for s in layout.shift], dims=(1, 2, 3))
    x = x.reshape(x.shape[0], t // wt, wt, h // wh, wh, w // ww, ww, x.shape[-1])
    return x.permute(0, 1, 3, 5, 2, 4, 6, 7).flatten(4, 6).flatten(1, 3)


def from_windows(windows: Tensor, layout: WindowLayout) -> Tensor:
    """Undo ``to_windows``: ``(B, windows, tokens, C)`` to ``(B, T, h, w, C)``."""
    (t, h, w), (wt, wh, ww) = layout.padded, layout.window
    x = windows.reshape(windows.shape[0], t // wt, h // wh, w // ww, wt, wh, ww, -1)
    x = x.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(windows.shape[0], t, h, w, -1)
    if any(layout.shift):
        x = x.roll(list(layout.shift), dims=(1, 2, 3))
    return x[:, : layout.size[0], : layout.size[1], : layout.size[2]]


@lru_cache(maxsize=64)
def shift_mask(layout: WindowLayout) -> Tensor | None:
    """Return ``(windows, tokens, tokens)``: 0 inside a region, ``OTHER_REGION`` across two.

    A cyclic shift puts cells from opposite ends into one window; they must not meet.
    ``None`` where nothing is shifted.
    """
    if not any(layout.shift):
        return None
    region = torch.zeros(layout.padded)
    number = 0
    parts = [
        (slice(0, -w), slice(-w, -s), slice(-s, None)) if s else (slice(None),)
        for w, s in zip(layout.window, layout.shift, strict=True)
    ]
    for frames in parts[0]:
        for rows in parts[1]:
            for columns in parts[2]:
                region[frames, rows, columns] = number
                number += 1
    unshifted = WindowLayout(layout.padded, layout.window, (0, 0, 0))
    windows = to_windows(region[None, ..., None], unshifted)[0, ..., 0]
    return (windows[:, :, None] != windows[:, None, :]) * OTHER_REGION


def relative_position_index(window: Size3d) -> Tensor:
    """Return ``(tokens, tokens)`` int64: the row of the bias table for each pair of cells."""
    axes = torch.meshgrid(*(torch.arange(n) for n in window), indexing="ij")
    cells = torch.stack(axes).flatten(1)
    offset = cells[:, :, None] - cells[:, None, :]
    offset = offset + torch.tensor(window)[:, None, None] - 1
    rows, columns = 2 * window[1] - 1, 2 * window[2] - 1
    return (offset[0] * rows + offset[1]) * columns + offset[2]


class WindowAttention3d(nn.Module):
    """One-head attention among the local keys of a window, applied to values.

    Query and key share one projection (``phi`` of eq. 3), so affinity says which cells of
    the clip show the same thing. It depends on the image alone and is computed once for
    all objects.

    Args:
        key_width: C_k' of the local keys.
        value_width: C_v.
        window: Full window size.
    """

    index: Tensor

    def __init__(self, key_width: int, value_width: int, window: Size3d) -> None:
        super().__init__()
        self.scale = key_width**-0.5
        self.key = nn.Linear(key_width, key_width)
        self.value = nn.Linear(value_width, value_width)
        self.out = nn.Linear(value_width, value_width)
        table = (2 * window[0] - 1) * (2 * window[1] - 1) * (2 * window[2] - 1)
        self.position_bias = nn.Parameter(torch.zeros(table))
        self.register_buffer("index", relative_position_index(window), persistent=False)

    def affinity(self, local_key: Tensor, layout: WindowLayout) -> Tensor:
        """Compare the cells of each window.

        Args:
            local_key: ``(B, T, h, w, C_k')``, normalised.
            layout: How the clip is cut.

        Returns:
            ``(B, windows, tokens, tokens)``, rows sum to 1.
        """
        key = self.key(to_windows(local_key, layout))
        similarity = (key * self.scale) @ key.transpose(-1, -2)
        # A shrunken window takes the first rows and columns of the full window's index.
        index = self.index[: layout.tokens, : layout.tokens]
        similarity = similarity + self.position_bias[index]
        mask = shift_mask(layout)
        if mask is not None:
            similarity = similarity + mask.to(similarity)
        return similarity.softmax(-1)

    def forward(self, affinity: Tensor, value: Tensor, layout: WindowLayout) -> Tensor:
        """Propagate values inside windows.

        Args:
            affinity: ``(B, windows, tokens, tokens)``.
            value: ``(B * K, T, h, w, C_v)``, normalised; the K objects of a sample adjoin.
            layout: How the clip is cut.

        Returns:
            ``(B * K, T, h, w, C_v)``.
        """
        windows = self.value(to_windows(value, layout)).unflatten(0, (affinity.shape[0], -1))
        return from_windows(self.out((affinity[:, None] @ windows).flatten(0, 1)), layout)
