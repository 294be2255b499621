"""From a soft mask to an alpha that follows hair and blur, and to the colours of the object."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pcvos_cli.masks.writers import FrameMasks

Image = NDArray[Any]
"""A picture in float32, from 0 to 1."""

_BAND = 100
"""The edge may be soft within the short side over this, to both sides of the mask's outline."""

_WINDOW = 96
"""Radius of the guided filter: the short side over this."""

_EPSILON = 1e-4
"""Variance of colour, in [0, 1] squared, below which the filter smooths instead of following."""

_LOW = 0.25
"""Filtered values are stretched so that this becomes 0 and 1 - this becomes 1: a network's doubt
is wider than an edge."""


def refine_alpha(
    frame: FrameMasks, soft: NDArray[np.uint8], *, choke: int = 0, feather: float = 0.0
) -> NDArray[np.uint8]:
    """Return the alpha of all objects of a frame, at the size of the source.

    Within a band along the outline of the masks, the soft mask is filtered with the frame as
    its guide (He, Sun and Tang, "Guided Image Filtering", ECCV 2010; colour guide); beyond the
    band the masks stand.

    Args:
        frame: The frame and its masks.
        soft: ``(h, w)``, 255 times the probability of any object, at any size.
        choke: Pixels by which the outline moves inwards; outwards if negative.
        feather: Width in pixels of an additional soft edge.

    Returns:
        ``(H, W)`` uint8.
    """
    height, width = frame.labels.shape
    alpha = np.zeros((height, width), np.uint8)
    mask = (frame.labels > 0).view(np.uint8)
    if not mask.any():
        return alpha
    side = min(height, width)
    band, radius = max(2, round(side / _BAND)), max(2, round(side / _WINDOW))
    margin = band + 3 * radius + abs(choke) + round(2 * feather)
    part = _around(mask, margin)
    mask = np.ascontiguousarray(mask[part])
    grown = cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)
    outer = cv2.dilate(mask, _disk(band))
    # Beyond the frame's border an object goes on: OpenCV takes no pixels from there.
    inner = cv2.erode(mask, _disk(band))
    probability = np.where(outer == inner, mask.astype(np.float32), _unit(grown[part]))
    filtered = _guided(_unit(frame.rgb[part]), probability, radius)
    filtered = np.clip((filtered - _LOW) / (1 - 2 * _LOW), 0, 1)
    filtered = np.where(outer == inner, mask, filtered)
    values: Image = np.rint(255 * filtered).astype(np.uint8)
    if choke:
        values = (cv2.erode if choke > 0 else cv2.dilate)(values, _disk(abs(choke)))
    if feather:
        values = cv2.GaussianBlur(values, (0, 0), feather / 2, borderType=cv2.BORDER_REPLICATE)
    alpha[part] = values
    return alpha


def object_colours(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the colours of the objects alone, without what shows through their soft edges.

    Two passes of the estimate by Forte, "Approximate Fast Foreground Colour Estimation"
    (ICIP 2021). Opaque pixels keep their colour; near the objects the colour goes on outwards,
    so that a soft edge has no rim; farther off it is black.

    Args:
        rgb: ``(H, W, 3)``.
        alpha: ``(H, W)`` uint8.

    Returns:
        ``(H, W, 3)`` uint8.
    """
    colours = np.zeros_like(rgb)
    if not alpha.any():
        return colours
    side = min(alpha.shape)
    small = max(2, round(side / (2 * _BAND)))
    large = 8 * small
    part = _around(alpha, large)
    image, share = _unit(rgb[part]), _unit(alpha[part])[..., None]
    front = back = image
    for radius in (large, small):
        covered = _mean(share[..., 0], radius)[..., None]
        front_mean = _mean(front * share, radius) / (covered + 1e-5)
        back = _mean(back * (1 - share), radius) / (1 - covered + 1e-5)
        rest = image - share * front_mean - (1 - share) * back
        front = np.clip(front_mean + share * rest, 0, 1)
    found = np.rint(255 * front).astype(np.uint8)
    colours[part] = np.where(share == 1, rgb[part], found)
    return colours


def _guided(guide: Image, values: Image, radius: int) -> Image:
    """Filter ``(H, W)`` values so that their edges are those of the ``(H, W, 3)`` guide."""
    mean, mean_values = _mean(guide, radius), _mean(values, radius)
    covariance = _mean(guide * values[..., None], radius) - mean * mean_values[..., None]
    # The variance of the three colours, a symmetric 3 x 3 matrix a pixel, and its cofactors.
    rr, rg, rb, gg, gb, bb = (
        _mean(guide[..., i] * guide[..., j], radius)
        - mean[..., i] * mean[..., j]
        + (_EPSILON if i == j else 0)
        for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    )
    c_rr, c_rg, c_rb = gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb
    c_gg, c_gb, c_bb = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    determinant = rr * c_rr + rg * c_rg + rb * c_rb
    r, g, b = (covariance[..., i] for i in range(3))
    slope = (
        np.stack(
            (
                c_rr * r + c_rg * g + c_rb * b,
                c_rg * r + c_gg * g + c_gb * b,
                c_rb * r + c_gb * g + c_bb * b,
            ),
            axis=-1,
        )
        / determinant[..., None]
    )
    offset = mean_values - (slope * mean).sum(axis=-1)
    return (_mean(slope, radius) * guide).sum(axis=-1) + _mean(offset, radius)


def _mean(image: Image, radius: int) -> Image:
    side = 2 * radius + 1
    return cv2.blur(image, (side, side), borderType=cv2.BORDER_REFLECT)


def _unit(values: NDArray[Any]) -> Image:
    return values.astype(np.float32) / np.float32(255)


def _disk(radius: int) -> NDArray[np.uint8]:
    side = 2 * radius + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)).astype(np.uint8)


def _around(mask: NDArray[np.uint8], margin: int) -> tuple[slice, slice]:
    """Return the part of a picture that holds a mask's pixels and a margin."""
    x, y, width, height = cv2.boundingRect(mask)
    return (
        slice(max(0, y - margin), y + height + margin),
        slice(max(0, x - margin), x + width + margin),
    )
