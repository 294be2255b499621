"""Attention inside 3-D shifted windows (Video Swin, Liu et al., 2021).

Axes are always (frames, rows, columns), in cells of stride 16.
"""

import itertools
import math
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
    """The windows into which a clip of a given size is cut.

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


@lru_cache(maxsize=64)
def window_cells(layout: WindowLayout, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the clip's cell at each place of its windows, -1 for padding, and each cell's place.

    Both are int64: ``(windows * tokens,)`` and ``(T * h * w,)``.
    """
    (t, h, w), (wt, wh, ww) = layout.padded, layout.window
    ends = [p - s for p, s in zip(layout.padded, layout.size, strict=True)]
    with torch.inference_mode(False):  # Kept, and training saves it for its gradients.
        cells = torch.arange(math.prod(layout.size), device=device).view(layout.size)
        cells = functional.pad(cells, (0, ends[2], 0, ends[1], 0, ends[0]), value=-1)
        cells = cells.roll([-s for s in layout.shift], dims=(0, 1, 2))
        cells = cells.reshape(t // wt, wt, h // wh, wh, w // ww, ww)
        cells = cells.permute(0, 2, 4, 1, 3, 5).flatten()
        padding = len(cells) - math.prod(layout.size)
        return cells, cells.argsort()[padding:]


def to_windows(x: Tensor, layout: WindowLayout, padding: Tensor | None = None) -> Tensor:
    """Cut ``(B, T, h, w, C)`` into ``(B, windows, tokens, C)``.

    Windows that reach beyond the clip are filled with ``padding``, ``(C,)``, or zeros.
    """
    cells, _ = window_cells(layout, x.device)
    # One pass; to pad, to roll and to permute are three.
    windows = x.flatten(1, 3).index_select(1, cells.clamp(min=0))
    if layout.padded != layout.size:
        fill = x.new_zeros(x.shape[-1]) if padding is None else padding.to(x)
        windows[:, cells < 0] = fill
    return windows.unflatten(1, (-1, layout.tokens))


def from_windows(windows: Tensor, layout: WindowLayout) -> Tensor:
    """Undo ``to_windows``: ``(B, windows, tokens, C)`` to ``(B, T, h, w, C)``."""
    _, places = window_cells(layout, windows.device)
    return windows.flatten(1, 2).index_select(1, places).unflatten(1, layout.size)


@lru_cache(maxsize=64)
def shift_mask(layout: WindowLayout) -> Tensor | None:
    """Return ``(windows, tokens, tokens)``: 0 inside a region, ``OTHER_REGION`` across two.

    A cyclic shift puts cells from opposite ends into one window; they must not meet.
    ``None`` where nothing is shifted.
    """
    if not any(layout.shift):
        return None
    region = torch.zeros(layout.padded)
    parts = [
        (slice(0, -w), slice(-w, -s), slice(-s, None)) if s else (slice(None),)
        for w, s in zip(layout.window, layout.shift, strict=True)
    ]
    for number, cells in enumerate(itertools.product(*parts)):
        region[cells] = number
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
        key = to_windows(self.key(local_key), layout, self.key.bias)
        similarity = (key * self.scale) @ key.transpose(-1, -2)
        # A shrunken window takes the first rows and columns of the full window's index.
        index = self.index[: layout.tokens, : layout.tokens]
        similarity = similarity + self.position_bias[index]
        mask = shift_mask(layout)
        if mask is not None:
            similarity = similarity + mask.to(similarity)
        return similarity.softmax(-1)

    def forward(self, affinity: Tensor, value: Tensor, layout: WindowLayout) -> Tensor:
        """Propagate the values of one object inside windows.

        Args:
            affinity: ``(B, windows, tokens, tokens)``.
            value: ``(B, T, h, w, C_v)``, normalised.
            layout: How the clip is cut.

        Returns:
            ``(B, T, h, w, C_v)``.
        """
        # Projected before windows are cut and after they are joined: not what pads them.
        windows = to_windows(self.value(value), layout, self.value.bias)
        out: Tensor = self.out(from_windows(affinity @ windows, layout))
        return out
