"""Procedural textures and outlines, so that synthetic video needs no data at all."""

import cv2
import numpy as np
from numpy.typing import NDArray

from model.data.images import Pixels

_CANVAS = 192


def random_colour(rng: np.random.Generator) -> NDArray[np.float32]:
    """Return ``(3,)`` float32 RGB in 0..255, saturated as often as dull."""
    grey = rng.uniform(20, 235)
    return np.clip(grey + rng.normal(0, rng.choice([12.0, 60.0]), 3), 0, 255).astype(np.float32)


def fractal_noise(
    size: tuple[int, int], rng: np.random.Generator, *, coarsest: int = 3, octaves: int = 5
) -> NDArray[np.float32]:
    """Return ``(height, width)`` float32 noise in 0..1 whose octaves halve in strength."""
    height, width = size
    total: NDArray[np.float32] = np.zeros((1, 1), np.float32)
    for octave in range(octaves):
        cells = min(coarsest << octave, max(size))
        # Growing the sum, not each octave, costs a third more than the last octave alone.
        grown = cv2.resize(total, (cells, cells), interpolation=cv2.INTER_CUBIC)
        total = grown + rng.random((cells, cells), dtype=np.float32) * np.float32(0.6**octave)
    total = np.asarray(cv2.resize(total, (width, height)), np.float32)
    low, high = float(total.min()), float(total.max())
    return (total - low) / max(high - low, 1e-6)


def procedural_texture(size: tuple[int, int], rng: np.random.Generator) -> Pixels:
    """Return a ``(height, width, 3)`` uint8 picture: noise, a gradient, stripes, checks or dots.

    Colours run along a random path, and fine noise lies over all, so that no two places of
    a texture look quite the same.
    """
    height, width = size
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32) / max(size)
    noise = fractal_noise(size, rng, coarsest=int(rng.integers(2, 6)))
    angle = np.float32(rng.uniform(0, np.pi))
    along = np.cos(angle) * columns + np.sin(angle) * rows + np.float32(rng.uniform(0, 0.3)) * noise
    across = (
        np.cos(angle) * rows - np.sin(angle) * columns + np.float32(rng.uniform(0, 0.3)) * noise
    )
    frequency = np.float32(rng.uniform(3, 20))
    kind = rng.choice(["noise", "gradient", "stripes", "checks", "dots"])
    field: NDArray[np.float32]
    if kind == "noise":
        field = noise
    elif kind == "gradient":
        field = (along - along.min()) / np.float32(max(float(np.ptp(along)), 1e-6))
    elif kind == "stripes":
        field = np.sin(np.float32(2 * np.pi) * frequency * along) / 2 + np.float32(0.5)
    elif kind == "checks":
        field = ((np.floor(frequency * along) + np.floor(frequency * across)) % 2).astype(
            np.float32
        )
    else:
        square = (frequency * along % 1 - 0.5) ** 2 + (frequency * across % 1 - 0.5) ** 2
        field = (square < 0.09).astype(np.float32)
    colours = np.stack([random_colour(rng) for _ in range(3)])
    levels = np.linspace(0, 2, 256)
    table = np.stack([np.interp(levels, [0, 1, 2], colours[:, c]) for c in range(3)], axis=-1)
    index = (np.clip(field, 0, 1) * 255).astype(np.uint8)
    texture = cv2.LUT(cv2.cvtColor(index, cv2.COLOR_GRAY2RGB), table[None].astype(np.uint8))
    grain = rng.uniform(0, 60) * (fractal_noise(size, rng, octaves=7) - 0.5)
    light = cv2.cvtColor(grain.astype(np.float32), cv2.COLOR_GRAY2RGB)
    return np.asarray(cv2.add(texture, light, dtype=cv2.CV_8U), np.uint8)


def procedural_scene(size: tuple[int, int], rng: np.random.Generator) -> Pixels:
    """Return a cluttered ``(height, width, 3)`` uint8 background: textured patches on a texture."""
    scene = procedural_texture(size, rng)
    for _ in range(int(rng.integers(0, 9))):
        extent = int(rng.uniform(0.1, 0.6) * min(size))
        patch = procedural_texture((extent, extent), rng)
        mask = cv2.resize(random_outline(rng), (extent, extent)) > 127
        top, left = (int(rng.integers(0, side - extent + 1)) for side in size)
        scene[top : top + extent, left : left + extent][mask] = patch[mask]
    return scene


def random_outline(rng: np.random.Generator) -> Pixels:
    """Return a ``(192, 192)`` uint8 alpha map of a shape that spans most of it.

    Smooth blobs, polygons, rings and spoked wheels, stick figures, and lattices: what real
    outlines have in common is covered by cut-outs, so these add thin parts and holes.
    """
    kind = rng.choice(
        ["blob", "polygon", "wheel", "figure", "lattice"], p=[0.35, 0.2, 0.15, 0.2, 0.1]
    )
    canvas = np.zeros((_CANVAS, _CANVAS), np.uint8)
    {
        "blob": _draw_blob,
        "polygon": _draw_polygon,
        "wheel": _draw_wheel,
        "figure": _draw_figure,
        "lattice": _draw_lattice,
    }[str(kind)](canvas, rng)
    return canvas


def _fill(canvas: Pixels, points: NDArray[np.float64]) -> None:
    centred = points - (points.max(0) + points.min(0)) / 2
    scale = 0.47 * _CANVAS / max(float(np.abs(centred).max()), 1e-6)
    # Four fractional bits keep curves smooth.
    fixed = np.round((centred * scale + _CANVAS / 2) * 16).astype(np.int32)
    cv2.fillPoly(canvas, [fixed], 255, cv2.LINE_AA, shift=4)


def _draw_blob(canvas: Pixels, rng: np.random.Generator) -> None:
    angle = np.linspace(0, 2 * np.pi, 160, endpoint=False)
    radius = np.ones_like(angle)
    for order in range(2, 8):
        radius += rng.normal(0, 0.4) / order * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    radius = np.maximum(radius, 0.15)
    stretch = rng.uniform(0.35, 1)
    _fill(canvas, np.stack([radius * np.cos(angle), stretch * radius * np.sin(angle)], axis=1))


def _draw_polygon(canvas: Pixels, rng: np.random.Generator) -> None:
    corners = int(rng.integers(3, 10))
    angle = np.sort(rng.uniform(0, 2 * np.pi, corners))
    radius = rng.uniform(0.35, 1, corners)
    stretch = rng.uniform(0.4, 1)
    _fill(canvas, np.stack([radius * np.cos(angle), stretch * radius * np.sin(angle)], axis=1))


def _draw_wheel(canvas: Pixels, rng: np.random.Generator) -> None:
    centre, radius = (_CANVAS // 2, _CANVAS // 2), int(0.42 * _CANVAS)
    cv2.circle(canvas, centre, radius, 255, int(rng.integers(6, 30)), cv2.LINE_AA)
    for angle in np.linspace(0, np.pi, int(rng.integers(0, 5)), endpoint=False):
        step = radius * np.array([np.cos(angle), np.sin(angle)])
        ends = [tuple(int(v) for v in np.array(centre) + side * step) for side in (-1, 1)]
        cv2.line(canvas, ends[0], ends[1], 255, int(rng.integers(3, 9)), cv2.LINE_AA)


def _draw_figure(canvas: Pixels, rng: np.random.Generator) -> None:
    """Draw a trunk, limbs of two segments, and a head."""
    neck = np.array([0.5 + rng.normal(0, 0.05), 0.25])
    hip = np.array([0.5 + rng.normal(0, 0.08), 0.55])
    width = rng.uniform(0.03, 0.09)

    def bone(start: NDArray[np.float64], end: NDArray[np.float64], thick: float) -> None:
        ends = [tuple(int(v) for v in np.clip(p, 0.03, 0.97) * _CANVAS) for p in (start, end)]
        cv2.line(canvas, ends[0], ends[1], 255, max(2, int(thick * _CANVAS)), cv2.LINE_AA)

    bone(neck, hip, width * rng.uniform(1.5, 3))
    for root, reach in ((neck, 0.18), (neck, 0.18), (hip, 0.22), (hip, 0.22)):
        first = rng.uniform(0.1, 0.9) * np.pi if root is hip else rng.uniform(-0.3, 1.3) * np.pi
        second = first + rng.normal(0, 0.7)
        joint = root + reach * np.array([np.cos(first), np.sin(first)])
        bone(root, joint, width)
        bone(joint, joint + reach * np.array([np.cos(second), np.sin(second)]), width * 0.8)
    head = tuple(int(v) for v in (neck - [0, 0.11]) * _CANVAS)
    cv2.circle(canvas, head, int(rng.uniform(0.06, 0.11) * _CANVAS), 255, -1, cv2.LINE_AA)


def _draw_lattice(canvas: Pixels, rng: np.random.Generator) -> None:
    """Draw bars between random joints: frames of bicycles, chairs, branches."""
    joints = rng.uniform(0.08, 0.92, (int(rng.integers(4, 8)), 2)) * _CANVAS
    for index in range(1, len(joints)):
        for _ in range(2):
            other = int(rng.integers(index))
            ends = [tuple(int(v) for v in joints[i]) for i in (index, other)]
            cv2.line(canvas, ends[0], ends[1], 255, int(rng.integers(4, 14)), cv2.LINE_AA)
