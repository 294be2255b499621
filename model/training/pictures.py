"""A picture of samples and predictions: what the network sees and what it makes of it."""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.data.sample import TrainingBatch
from model.ops.frames import IMAGENET_MEAN, IMAGENET_STD

COLOURS = np.array(
    [(0, 0, 0), (230, 25, 75), (60, 180, 75), (0, 130, 200), (245, 130, 48), (145, 30, 180)],
    dtype=np.uint8,
)


def draw_batch(batch: TrainingBatch, predicted: Tensor) -> NDArray[np.uint8]:
    """Draw up to four samples one below the other: a row of truths, a row of predictions.

    Args:
        batch: Frames and truth.
        predicted: ``(B, T', H, W)`` of the last frames; the masks of those before are given.

    Returns:
        ``(2 * B * H, T * W, 3)`` uint8 RGB.
    """
    mean = torch.tensor(IMAGENET_MEAN).view(3, 1, 1)
    std = torch.tensor(IMAGENET_STD).view(3, 1, 1)
    rows = []
    for b in range(min(4, len(batch))):
        rgb = batch.frames[b].cpu() * std + mean
        pixels = (rgb.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        truth = batch.labels[b].cpu().numpy()
        given = truth[: len(truth) - predicted.shape[1]]
        guess = np.concatenate([given, predicted[b].cpu().numpy()])
        for labels in (truth, guess):
            rows.append(
                np.concatenate([_tint(f, m) for f, m in zip(pixels, labels, strict=True)], axis=1)
            )
    return np.concatenate(rows, axis=0)


def _tint(pixels: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay colours over objects and draw their outlines."""
    shown = np.where(labels > 0, (labels - 1) % (len(COLOURS) - 1) + 1, 0)
    mixed = (pixels // 2 + COLOURS[shown] // 2).astype(np.uint8)
    tinted = np.where(labels[..., None] > 0, mixed, pixels)
    edge = cv2.morphologyEx(labels, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    tinted[edge] = COLOURS[np.maximum(shown, 1)][edge]
    return tinted
