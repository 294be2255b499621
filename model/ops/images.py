"""Pixels to network input: the one place where frames are normalised."""

import torch
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalise(rgb: Tensor) -> Tensor:
    """Scale to [0, 1] and normalise with the ImageNet mean and standard deviation.

    Args:
        rgb: ``(..., 3, H, W)`` uint8 in [0, 255], or floating point in [0, 1].

    Returns:
        float32, same shape.
    """
    x = rgb.float() / 255 if rgb.dtype == torch.uint8 else rgb.float()
    mean = torch.tensor(IMAGENET_MEAN, device=x.device).view(3, 1, 1)
    std = torch.tensor(IMAGENET_STD, device=x.device).view(3, 1, 1)
    return (x - mean) / std
