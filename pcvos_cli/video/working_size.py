"""The size at which the model works, and frames of that size.

Masks come to it by nearest neighbour (``masks.reference.resize_nearest``).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional


def working_size(size: tuple[int, int], short_edge: int | None) -> tuple[int, int]:
    """Return the ``(height, width)`` to work at.

    Args:
        size: ``(height, width)`` of the source.
        short_edge: Wanted length of the shorter side; ``None`` keeps ``size``. Never enlarges.
    """
    shorter = min(size)
    if short_edge is None or shorter <= short_edge:
        return size
    height, width = (max(1, round(side * short_edge / shorter)) for side in size)
    return height, width


def resize_frame(rgb: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize ``(H, W, 3)`` uint8 bicubically, with an antialiasing filter.

    These are the pixels of torchvision's resize, without its import (165 MB): Pillow's
    within 1, at four times its speed. Without the filter, thin structures of a 1080p frame
    flicker at 480p and so do their features.
    """
    if rgb.shape[:2] == size:
        return rgb
    # (1, 3, H, W) in channels_last, which torch resizes without reordering.
    planes = torch.from_numpy(np.ascontiguousarray(rgb))[None].permute(0, 3, 1, 2)
    resized = functional.interpolate(
        planes, size, mode="bicubic", align_corners=False, antialias=True
    )
    return resized[0].permute(1, 2, 0).numpy()
