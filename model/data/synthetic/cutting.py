"""Things cut out of pictures, and what is made of them: turned bodies, pieces, holes, bars."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model.data.images import Pixels
from model.data.synthetic.textures import random_outline

MARGIN = 3
"""Transparent pixels around a cut-out."""


@dataclass(frozen=True, slots=True)
class Cutout:
    """A thing with an outline.

    Attributes:
        rgba: ``(h, w, 4)`` uint8, with a transparent margin.
        rolling: A texture larger than ``rgba`` of which it shows a part, or ``None``.
    """

    rgba: Pixels
    rolling: Pixels | None = None

    @property
    def area(self) -> float:
        """Opaque pixels."""
        return float((self.rgba[..., 3] > 127).sum())


def cut(
    image: Pixels, mask: NDArray[np.bool_], feather: float = 0.6
) -> tuple[Cutout, float, float]:
    """Cut ``mask`` out of ``image``.

    Args:
        image: ``(H, W, 3)`` uint8.
        mask: ``(H, W)``, not empty.
        feather: Softness of the edge, Gaussian sigma in pixels.

    Returns:
        The cut-out, and x and y of its centre in the image.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    rgb = cv2.copyMakeBorder(
        image[top:bottom, left:right], *(MARGIN,) * 4, borderType=cv2.BORDER_REPLICATE
    )
    alpha = np.pad(mask[top:bottom, left:right].astype(np.uint8) * 255, MARGIN)
    alpha = np.asarray(cv2.GaussianBlur(alpha, (0, 0), feather), np.uint8)
    return Cutout(np.dstack([rgb, alpha])), (left + right) / 2, (top + bottom) / 2


def fill_holes(image: Pixels, hole: NDArray[np.bool_], rng: np.random.Generator) -> Pixels:
    """Return ``image`` with ``hole`` covered by texture from beside it.

    Exactness does not matter: the thing mostly stands before its hole. It only must not
    leave a copy of the thing behind.
    """
    small_size = (max(image.shape[1] // 4, 1), max(image.shape[0] // 4, 1))
    # A margin, because outlines are never exact.
    wide = cv2.dilate(hole.astype(np.uint8), np.ones((9, 9), np.uint8))
    keep = cv2.resize(255 * (1 - wide), small_size, interpolation=cv2.INTER_AREA) == 255
    small = cv2.resize(image, small_size, interpolation=cv2.INTER_AREA).astype(np.float32)
    known = keep.astype(np.float32)
    filled = small * known[..., None]
    for side in (5, 13, 41, 121, 401):
        weight = cv2.blur(known, (side, side))
        spread = cv2.blur(filled, (side, side)) / np.maximum(weight, 1e-3)[..., None]
        missing = (known < 0.5) & (weight > 0.02)
        filled[missing] = spread[missing]
        known[missing] = 1
        if known.all():
            break
    smooth = np.clip(cv2.resize(filled, image.shape[1::-1]), 0, 255).astype(np.uint8)
    # Detail from beside the hole: what is there, minus its own smooth version.
    whole = np.where(wide[..., None] > 0, smooth, image)
    columns = np.flatnonzero(hole.any(0))
    shift = int(1.1 * (columns[-1] - columns[0] + 1)) if columns.size else 0
    source = np.abs(np.arange(image.shape[1]) + (shift if rng.random() < 0.5 else -shift))
    source = np.where(source >= image.shape[1], 2 * image.shape[1] - 2 - source, source)
    source = np.clip(source, 0, image.shape[1] - 1)
    detail = cv2.subtract(whole, cv2.blur(whole, (11, 11)), dtype=cv2.CV_16S)[:, source]
    textured = cv2.add(smooth, detail, dtype=cv2.CV_8U)
    blend = np.maximum(cv2.blur(255 * wide, (7, 7)), 255 * hole.astype(np.uint8))
    weight = blend.astype(np.float32) / 255
    return np.asarray(cv2.blendLinear(textured, image, weight, 1 - weight), np.uint8)


def unroll(rgba: Pixels, rng: np.random.Generator) -> Pixels:
    """Return a texture, larger than a cut-out, that begins with what the cut-out shows.

    What follows to the right and below is its mirror image, somewhat recoloured: a body's
    other side is mostly of the same stuff. Beyond the outline the nearest colours go on, so
    that no background comes into view.

    Args:
        rgba: ``(h, w, 4)`` uint8, not empty.
        rng: Randomness.

    Returns:
        ``(h', w', 3)`` uint8, ``h < h'``, ``w < w'``.
    """
    height, width = rgba.shape[:2]
    # Pixels at the edge are part background.
    inside = cv2.erode(rgba[..., 3], np.ones((5, 5), np.uint8)) > 200
    if not inside.any():
        inside = rgba[..., 3] == rgba[..., 3].max()
    _, nearest = cv2.distanceTransformWithLabels(
        (~inside).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    colours = np.zeros((int(nearest.max()) + 1, 3), np.uint8)
    colours[nearest[inside]] = rgba[inside][:, :3]
    # Without its streaks.
    filled = np.where(inside[..., None], rgba[..., :3], cv2.blur(colours[nearest], (9, 9)))
    gain = np.exp(rng.normal(0, rng.choice([0.05, 0.3]), 3))
    other = np.clip(filled[:, ::-1] * gain, 0, 255).astype(np.uint8)
    sideways = int(rng.uniform(0.15, 1.0) * width) + 1
    down = int(rng.uniform(0.0, 0.3) * height) + 1
    wide = np.concatenate([filled, other[:, :sideways]], axis=1)
    tall = np.concatenate([wide, wide[::-1][:down]], axis=0)
    # The body turns either way.
    return np.ascontiguousarray(tall[:, ::-1] if rng.random() < 0.5 else tall)


def piece(cutout: Cutout, rng: np.random.Generator) -> Cutout | None:
    """Return a shape of a cut-out's texture, or ``None`` where it is too small to have pieces."""
    height, width = cutout.rgba.shape[:2]
    side = int(rng.uniform(0.25, 0.6) * min(height, width))
    rows, columns = np.nonzero(cutout.rgba[..., 3] > 127)
    if side < 8 or rows.size == 0:
        return None
    chosen = int(rng.integers(rows.size))
    top = int(np.clip(rows[chosen] - side // 2, 0, height - side))
    left = int(np.clip(columns[chosen] - side // 2, 0, width - side))
    rgba = cutout.rgba[top : top + side, left : left + side].copy()
    outline = cv2.resize(random_outline(rng), (side, side), interpolation=cv2.INTER_AREA)
    rgba[..., 3] = np.minimum(rgba[..., 3], outline)
    return Cutout(np.pad(rgba, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0))))


def bar(picture: Pixels, rng: np.random.Generator) -> Cutout:
    """Return a trunk, pole or branch of 240 pixels' length with the texture of ``picture``."""
    length = 240
    position = np.linspace(0, 1, 25)
    half = rng.uniform(1, 8) * (1 + rng.normal(0, 0.4) * (position - 0.5))
    middle = rng.normal(0, 4) * np.sin(rng.uniform(1, 6) * position + rng.uniform(0, 6))
    edges = [
        middle + sign * np.maximum(half + rng.normal(0, 0.08, 25) * half, 1) for sign in (-1, 1)
    ]
    low = min(edge.min() for edge in edges) - MARGIN
    width = int(np.ceil(max(edge.max() for edge in edges) - low)) + MARGIN
    across = np.concatenate([edges[0] - low, (edges[1] - low)[::-1]])
    along = np.concatenate([position, position[::-1]]) * (length - 1)
    alpha = np.zeros((length, width), np.uint8)
    outline = np.round(np.stack([across, along], axis=1) * 16).astype(np.int32)
    cv2.fillPoly(alpha, [outline], 255, cv2.LINE_AA, shift=4)
    left = int(rng.integers(max(picture.shape[1] - width, 1)))
    texture = cv2.resize(picture[:, left : left + width], (width, length))
    dark = np.clip(texture * rng.uniform(0.4, 1.0), 0, 255).astype(np.uint8)
    return Cutout(np.dstack([dark, alpha]))
