"""Tiny training data on disk, in the layouts that the readers know."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def photo(seed: int, size: tuple[int, int] = (96, 128)) -> NDArray[np.uint8]:
    """A smooth colourful picture, ``(height, width, 3)``."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
    return np.asarray(small.resize(size[::-1], Image.Resampling.BICUBIC))


def disk(
    centre: tuple[int, int], radius: int, size: tuple[int, int] = (96, 128)
) -> NDArray[np.bool_]:
    """A round mask, centre as (row, column)."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2


def save(path: Path, pixels: NDArray[np.generic], palette: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if palette:
        image.putpalette([value for n in range(256) for value in (n, 255 - n, n // 2)])
    image.save(path)
    return path


def make_pairs(root: Path, count: int = 4) -> Path:
    for n in range(count):
        save(root / "images" / f"a{n}.jpg", photo(n))
        save(root / "masks" / f"a{n}.png", disk((48, 50 + 4 * n), 24).astype(np.uint8) * 255)
    return root


def make_photos(root: Path, count: int = 3) -> Path:
    for n in range(count):
        save(root / f"p{n}.jpg", photo(100 + n))
    return root


def make_davis(root: Path, names: tuple[str, ...] = ("bear", "dog"), length: int = 12) -> Path:
    """Two disks with ids 1 and 2 that move to the right, 2 pixels a frame."""
    for name in names:
        for t in range(length):
            labels = np.zeros((96, 128), np.uint8)
            labels[disk((40, 30 + 2 * t), 18)] = 1
            labels[disk((75, 90 - 2 * t), 12)] = 2
            frame = photo(7)
            frame = np.where(labels[..., None] == 1, photo(8)[::-1], frame)
            save(root / "JPEGImages" / "480p" / name / f"{t:05d}.jpg", frame)
            save(root / "Annotations" / "480p" / name / f"{t:05d}.png", labels, palette=True)
    lists = root / "ImageSets" / "2017"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("\n".join(names) + "\n")
    (lists / "val.txt").write_text(f"{names[0]}\n")
    return root
