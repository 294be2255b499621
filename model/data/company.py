"""Company: an object of another sample, or the object's own double, pasted into a sample.

Real video with masks is scarce, and what looks alike beside the object is where a network that
saw one object a video fails: it takes the second camel in. A companion that moves on its own
trains that, and makes a sample of several real objects out of two samples of one.
"""

import dataclasses
import math

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from model.data.deformation import Floats
from model.data.images import Pixels
from model.data.sample import MIN_REFERENCE_SHARE, TrainingSample
from model.data.transforms import AugmentConfig, affine, random_colour_matrix, recolour

IN_FRONT = 0.4
"""Chance that the companion hides what it passes; otherwise the objects hide it."""

COUNTS = 0.4
"""Chance that it is an object of the sample, where there is room for one; else background."""

MIRRORED = 0.5
_TURN = 10.0
_SCALE = (0.5, 1.3)
_NEAREST, _FARTHEST = 0.35, 1.1
_MIN_LEFT = 0.4
_EDGE = 0.7


def add_companion(
    sample: TrainingSample, donor: TrainingSample, rng: np.random.Generator, *, max_objects: int
) -> TrainingSample:
    """Paste one object of ``donor`` into ``sample``, beside an object and moving on its own.

    Args:
        sample: T frames.
        donor: As many, of the same shape; the sample itself gives an object its double.
        rng: Randomness.
        max_objects: The companion counts as an object only where fewer than these are there.

    Returns:
        A new sample; or the same one where the companion would hide more than the greater
        part of an object on frame 0.
    """
    frames = sample.frames.numpy().transpose(0, 2, 3, 1)
    labels = sample.labels.numpy()
    cast, outline = _cut(donor, rng)
    in_front = bool(rng.random() < IN_FRONT)
    views = _views(labels, outline, rng, hidden=not in_front)
    number = sample.object_count + 1
    counts = sample.object_count < max_objects and rng.random() < COUNTS
    pixels, marked = [], []
    for frame, label, other, shape, view in zip(frames, labels, cast, outline, views, strict=True):
        size = (label.shape[1], label.shape[0])
        moved = np.asarray(cv2.warpAffine(other, view, size, borderMode=cv2.BORDER_REFLECT_101))
        cover = np.asarray(cv2.warpAffine(shape, view, size), np.uint8)
        if not in_front:
            cover = np.where(label > 0, 0, cover).astype(np.uint8)
        soft = cv2.GaussianBlur(cover, (0, 0), _EDGE).astype(np.float32)[..., None] / 255
        pixels.append((frame + soft * (moved.astype(np.float32) - frame)).astype(np.uint8))
        marked.append(np.where(cover > 127, number if counts else 0, label).astype(np.uint8))
    before = np.bincount(labels[0].ravel(), minlength=number + 1)[1:number]
    after = np.bincount(marked[0].ravel(), minlength=number + 1)[1:]
    least = MIN_REFERENCE_SHARE * labels[0].size
    kept = (after[: number - 1] >= np.maximum(_MIN_LEFT * before, least)).all()
    if not kept or (counts and after[number - 1] < least):
        return sample
    return dataclasses.replace(
        sample,
        frames=torch.from_numpy(np.stack(pixels).transpose(0, 3, 1, 2).copy()),
        labels=torch.from_numpy(np.stack(marked)),
        object_count=number if counts else sample.object_count,
        source=f"{sample.source} with {donor.source}",
        problems=(*sample.problems, *(donor.problems if donor is not sample else ())),
    )


def _cut(
    donor: TrainingSample, rng: np.random.Generator
) -> tuple[list[Pixels], list[NDArray[np.uint8]]]:
    """Return the frames of the donor, recoloured, and the outline (0, 255) of one object.

    Half of the time it runs backwards, so that a double does not move as its original does.
    """
    order = slice(None, None, -1 if rng.random() < 0.5 else 1)
    number = 1 + int(rng.integers(donor.object_count))
    colour = random_colour_matrix(rng, AugmentConfig(grey=0.0))
    frames = [recolour(f, colour) for f in donor.frames.numpy().transpose(0, 2, 3, 1)[order]]
    outline = (donor.labels.numpy()[order] == number).astype(np.uint8) * 255
    return frames, list(outline)


def _views(
    labels: NDArray[np.uint8],
    outline: list[NDArray[np.uint8]],
    rng: np.random.Generator,
    *,
    hidden: bool,
) -> list[Floats]:
    """Return T times ``(2, 3)``: from the donor's pixels to the sample's.

    The companion starts beside an object, a share of the two sizes away, and drifts to a
    place beside where the object ends. One that may be ``hidden`` may start behind the object
    and come out: what looks like the object and was never seen is where it is taken for a part.
    """
    shown = [frame for frame in outline if frame.any()]
    home = _centre(shown[0]) if shown else (0.0, 0.0)
    reach = _extent(labels[0] > 0) + (_extent(shown[0] > 0) if shown else 0.0)
    places = []
    nearest = 0.0 if hidden else _NEAREST
    for label in (labels[0], labels[-1] if labels[-1].any() else labels[0]):
        x, y = _centre(label)
        angle = rng.uniform(0, 2 * math.pi)
        # Wider than high: things stand beside one another more than on top.
        away = reach * rng.uniform(nearest, _FARTHEST)
        nearest = _NEAREST
        places.append((x + away * math.cos(angle), y + 0.6 * away * math.sin(angle)))
    turned = affine(
        scale=float(rng.uniform(*_SCALE)),
        angle=math.radians(rng.uniform(-1, 1) * _TURN),
        flip=bool(rng.random() < MIRRORED),
    )
    views = []
    for time in np.linspace(0, 1, len(outline)):
        x, y = ((1 - time) * a + time * b for a, b in zip(*places, strict=True))
        views.append((affine(shift=(x, y)) @ turned @ affine(shift=(-home[0], -home[1])))[:2])
    return views


def _centre(mask: NDArray[np.uint8]) -> tuple[float, float]:
    rows, columns = np.nonzero(mask)
    return float(columns.mean()), float(rows.mean())


def _extent(mask: NDArray[np.generic]) -> float:
    """Return half the size of what is set, pixels: of its longer side."""
    rows, columns = np.nonzero(mask)
    return float(max(np.ptp(rows), np.ptp(columns)) + 1) / 2
