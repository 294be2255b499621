"""Augmentation: one view and one colour for all frames of a sample, and a little of each a frame.

Frames and labels are warped by the same map, so they cannot drift apart. Beyond a frame's
edges both are mirrored: a flat colour there would teach something that no video has.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model.data.deformation import Deformation, Floats, inverse_map
from model.data.images import Pixels
from model.data.sample import MIN_REFERENCE_SHARE
from model.errors import ConfigError

_PREVIEW = 4
_VIEW_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class AugmentConfig:
    """How much is varied.

    Attributes:
        crop_area: Smallest and largest crop, share of the largest one of its shape.
        rotation: Of the sample, degrees to either side.
        shear: Of the sample, tangent to either side.
        flip: Probability of mirroring left and right.
        frame_rotation: Of each frame on its own, degrees.
        frame_shift: Of each frame on its own, share of the output's shorter side.
        frame_scale: Of each frame on its own, share.
        zoom: Growth or shrinking from the first frame of a sample to its last, share.
        brightness: Of the sample: gain to either side.
        contrast: Gain about mid-grey to either side.
        saturation: Gain about grey to either side.
        hue: Rotation of colours, degrees.
        grey: Probability of a sample without colour.
        frame_colour: Gain of each frame on its own.
    """

    crop_area: tuple[float, float] = (0.36, 1.0)
    rotation: float = 15.0
    shear: float = 0.1
    flip: float = 0.5
    frame_rotation: float = 1.0
    frame_shift: float = 0.01
    frame_scale: float = 0.01
    zoom: float = 0.0
    brightness: float = 0.12
    contrast: float = 0.12
    saturation: float = 0.2
    hue: float = 8.0
    grey: float = 0.05
    frame_colour: float = 0.03

    def __post_init__(self) -> None:
        """Refuse what means nothing.

        Raises:
            ConfigError: If the crop is not a share of the frame.
        """
        if not 0 < self.crop_area[0] <= self.crop_area[1] <= 1:
            raise ConfigError(f"crop_area must lie in (0, 1], got {self.crop_area}")


def affine(
    *,
    scale: float = 1.0,
    angle: float = 0.0,
    shear: float = 0.0,
    flip: bool = False,
    shift: tuple[float, float] = (0.0, 0.0),
) -> Floats:
    """Return ``(3, 3)``: mirror, shear, rotate (radians), scale, then shift (x, y)."""
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    mirror = -1.0 if flip else 1.0
    return np.array(
        [
            [cosine * mirror, cosine * shear - sine, shift[0]],
            [sine * mirror, sine * shear + cosine, shift[1]],
            [0.0, 0.0, 1.0],
        ]
    )


def random_view(
    frame_size: tuple[int, int],
    size: tuple[int, int],
    rng: np.random.Generator,
    config: AugmentConfig,
    focus: tuple[float, float] | None = None,
) -> Floats:
    """Return ``(3, 3)``, frame pixels to output pixels: a crop, mirrored, turned and sheared.

    Args:
        frame_size: ``(height, width)`` of the frames.
        size: ``(height, width)`` of the output.
        rng: Randomness.
        config: How much is varied.
        focus: (x, y) in frame pixels that the crop is centred on; anywhere where ``None``.
    """
    fit = min(frame_size[0] / size[0], frame_size[1] / size[1])
    extent = fit * math.sqrt(rng.uniform(*config.crop_area))
    slack_y = max(frame_size[0] - extent * size[0], 0) / 2
    slack_x = max(frame_size[1] - extent * size[1], 0) / 2
    x = frame_size[1] / 2 + rng.uniform(-1, 1) * slack_x
    y = frame_size[0] / 2 + rng.uniform(-1, 1) * slack_y
    if focus is not None:
        # As near as the crop can come without leaving the frame.
        x = frame_size[1] / 2 + float(np.clip(focus[0] - frame_size[1] / 2, -slack_x, slack_x))
        y = frame_size[0] / 2 + float(np.clip(focus[1] - frame_size[0] / 2, -slack_y, slack_y))
    turned = affine(
        scale=1 / extent,
        angle=math.radians(rng.uniform(-1, 1) * config.rotation),
        shear=rng.uniform(-1, 1) * config.shear,
        flip=bool(rng.random() < config.flip),
    )
    centred = affine(shift=(size[1] / 2 - 0.5, size[0] / 2 - 0.5))
    return centred @ turned @ affine(shift=(0.5 - x, 0.5 - y))


def warp(
    frame: Pixels,
    labels: NDArray[np.uint8],
    matrix: Floats,
    size: tuple[int, int],
    deformation: Deformation | None = None,
) -> tuple[Pixels, NDArray[np.uint8]]:
    """Warp a frame and its labels by one map.

    Args:
        frame: ``(h, w, 3)`` uint8.
        labels: ``(h, w)`` uint8, few objects.
        matrix: ``(3, 3)``: frame pixels to output pixels.
        size: ``(height, width)`` of the output.
        deformation: Smooth elastic motion on top, or ``None``.

    Returns:
        ``(height, width, 3)`` and ``(height, width)``, both uint8. Outlines stay smooth:
        a pixel belongs to an object whose coverage exceeds one half.
    """
    step = math.sqrt(abs(np.linalg.det(matrix[:2, :2])))
    if step < 0.6:
        # Reduce by area first: bilinear sampling alone would skip pixels.
        small = tuple(max(round(side * step * 1.1), 1) for side in frame.shape[1::-1])
        back = np.diag([frame.shape[1] / small[0], frame.shape[0] / small[1], 1.0])
        back[:2, 2] = (back.diagonal()[:2] - 1) / 2
        coverage = _coverage(labels)
        resized = [cv2.resize(a, small, interpolation=cv2.INTER_AREA) for a in (frame, *coverage)]
        frame, matrix = np.asarray(resized[0], np.uint8), matrix @ back
        coverage = [np.asarray(a, np.uint8) for a in resized[1:]]
    else:
        coverage = _coverage(labels)
    numbers = np.flatnonzero(np.bincount(labels.ravel()))
    numbers = numbers[numbers > 0]
    centre = np.array([frame.shape[1] / 2, frame.shape[0] / 2])
    half = max(frame.shape[:2]) / 2
    inverse = np.linalg.inv(matrix)
    maps = inverse_map(inverse, (0, 0, size[1], size[0]), centre, half, deformation, time=0.0)
    warped = cv2.remap(frame, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    result = np.zeros(size, np.uint8)
    for number, cover in zip(numbers, coverage, strict=True):
        seen = cv2.remap(cover, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        result[seen > 127] = number
    return np.asarray(warped, np.uint8), result


def _coverage(labels: NDArray[np.uint8]) -> list[Pixels]:
    numbers = np.flatnonzero(np.bincount(labels.ravel()))
    return [(labels == number).astype(np.uint8) * 255 for number in numbers[numbers > 0]]


def random_colour_matrix(rng: np.random.Generator, config: AugmentConfig) -> Floats:
    """Return ``(3, 4)``: RGB in 0..255 and 1, to RGB."""
    weights = np.array([0.299, 0.587, 0.114])
    saturation = 0.0 if rng.random() < config.grey else 1 + config.saturation * rng.uniform(-1, 1)
    grey = np.outer(np.ones(3), weights)
    colour = grey + saturation * (np.eye(3) - grey)
    # Rotation about the grey axis (Rodrigues).
    angle = math.radians(config.hue * rng.uniform(-1, 1))
    axis = np.full(3, 1 / math.sqrt(3))
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    rotation = np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross
    contrast = 1 + config.contrast * rng.uniform(-1, 1)
    gain = 1 + config.brightness * rng.uniform(-1, 1)
    return np.column_stack(
        [gain * contrast * rotation @ colour, np.full(3, gain * 127.5 * (1 - contrast))]
    )


def recolour(frame: Pixels, matrix: Floats, gain: float = 1.0) -> Pixels:
    """Return the frame ``(H, W, 3)`` with its colours transformed."""
    return np.asarray(cv2.transform(frame, gain * matrix), np.uint8)


def fitting_view(
    labels: Sequence[NDArray[np.uint8]],
    size: tuple[int, int],
    rng: np.random.Generator,
    config: AugmentConfig,
) -> Floats:
    """Return a random view that keeps sight of the objects.

    Half of what the reference frame shows of an object must be seen, or a tenth of the view
    be filled by it; over all frames, a third of the objects' area.

    Args:
        labels: T times ``(h, w)`` uint8; the first, the reference, is not all zero.
        size: ``(height, width)`` of the output.
        rng: Randomness.
        config: How much is varied.
    """
    frame_size = (labels[0].shape[0], labels[0].shape[1])
    preview = (max(size[1] // _PREVIEW, 1), max(size[0] // _PREVIEW, 1))
    shrunk = np.diag([1 / _PREVIEW, 1 / _PREVIEW, 1.0])
    reference = np.bincount(labels[0].ravel(), minlength=2)[1:]
    total = sum(int(np.count_nonzero(label)) for label in labels)
    for _ in range(_VIEW_ATTEMPTS):
        view = random_view(frame_size, size, rng, config)
        small = (shrunk @ view)[:2]
        pixel = 1 / abs(np.linalg.det(small[:, :2]))
        seen = [
            np.asarray(cv2.warpAffine(label, small, preview, flags=cv2.INTER_NEAREST))
            for label in labels
        ]
        kept = np.bincount(seen[0].ravel(), minlength=len(reference) + 1)[1:]
        share = kept / seen[0].size
        good = (kept * pixel >= 0.5 * reference) | (share >= 0.1)
        followed = sum(int(np.count_nonzero(label)) for label in seen) * pixel >= total / 3
        if followed and bool((good & (share >= 2 * MIN_REFERENCE_SHARE)).any()):
            return view
    rows, columns = np.nonzero(labels[0] == int(reference.argmax()) + 1)
    return random_view(frame_size, size, rng, config, (float(columns.mean()), float(rows.mean())))


def augment_video(
    frames: Sequence[Pixels],
    labels: Sequence[NDArray[np.uint8]],
    size: tuple[int, int],
    rng: np.random.Generator,
    config: AugmentConfig,
) -> tuple[Pixels, NDArray[np.uint8]]:
    """Give all frames of a sample one view and one colour, and each a little of its own.

    Args:
        frames: T times ``(h, w, 3)`` uint8, of one size.
        labels: T times ``(h, w)`` uint8; the first shows an object.
        size: ``(height, width)`` of the output.
        rng: Randomness.
        config: How much is varied.

    Returns:
        ``(T, height, width, 3)`` and ``(T, height, width)``, both uint8.
    """
    view = fitting_view(labels, size, rng, config)
    colour = random_colour_matrix(rng, config)
    middle = (size[1] / 2 - 0.5, size[0] / 2 - 0.5)
    shift = config.frame_shift * min(size)
    growth = math.log1p(config.zoom) * rng.uniform(-1, 1) if config.zoom else 0.0
    times = np.linspace(0, 1, len(frames))
    seen = []
    for frame, label, time in zip(frames, labels, times, strict=True):
        around = affine(
            scale=(1 + config.frame_scale * rng.uniform(-1, 1)) * math.exp(growth * time),
            angle=math.radians(config.frame_rotation * rng.uniform(-1, 1)),
            shift=(middle[0] + shift * rng.uniform(-1, 1), middle[1] + shift * rng.uniform(-1, 1)),
        )
        matrix = around @ affine(shift=(-middle[0], -middle[1])) @ view
        pixels, warped = warp(frame, label, matrix, size)
        seen.append(
            (recolour(pixels, colour, 1 + config.frame_colour * rng.uniform(-1, 1)), warped)
        )
    return np.stack([pixels for pixels, _ in seen]), np.stack([label for _, label in seen])
