"""The size at which the model works, and frames of that size.

Masks come to it by nearest neighbour (``masks.reference.resize_nearest``).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as transforms


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

    torchvision's bicubic gives Pillow's pixels (within 1) at four times its speed. Without
    the filter, thin structures of a 1080p frame flicker at 480p and so do their features.
    """
    if rgb.shape[:2] == size:
        return rgb
    planes = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)
    resized = transforms.resize(
        planes, list(size), interpolation=InterpolationMode.BICUBIC, antialias=True
    )
    return resized.permute(1, 2, 0).numpy()
