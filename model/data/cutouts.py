"""What synthetic scenes are made of: things cut out of pictures, and where they come from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from model.data.images import ImageCache, Pixels, read_sprite, shrink
from model.data.pictures import PhotoFolder, Pictures, ProceduralPictures
from model.data.sample import MAX_ATTEMPTS, Problem, UnusableItemError
from model.data.stills import StillFolder, detect_still_layout
from model.data.textures import random_outline
from model.errors import InputError

_MARGIN = 3
_SPRITE_SUFFIXES = frozenset({".png", ".webp"})


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


@dataclass(frozen=True, slots=True)
class OwnScene:
    """Things cut out of a photo, and the photo without them.

    Attributes:
        cutouts: At least one.
        centres: ``(K, 2)``: (x, y) of each cut-out's centre in the photo, pixels.
        background: ``(h, w, 3)`` uint8, the holes filled.
    """

    cutouts: tuple[Cutout, ...]
    centres: NDArray[np.float64]
    background: Pixels


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
        image[top:bottom, left:right], *(_MARGIN,) * 4, borderType=cv2.BORDER_REPLICATE
    )
    alpha = np.pad(mask[top:bottom, left:right].astype(np.uint8) * 255, _MARGIN)
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


class CutoutSource(Protocol):
    """Where things come from."""

    name: str

    def __len__(self) -> int:
        """Return the number of items, or 0 where there is no end to them."""

    def cutout(self, rng: np.random.Generator) -> tuple[Cutout, tuple[Problem, ...]]:
        """Return a thing, and what was skipped on the way."""


class StillCutouts:
    """Things cut out of annotated photos; they keep their own texture."""

    def __init__(self, folder: StillFolder) -> None:
        self.folder = folder
        self.name = folder.name

    def __len__(self) -> int:
        """Return the number of photos."""
        return len(self.folder)

    def cutout(self, rng: np.random.Generator) -> tuple[Cutout, tuple[Problem, ...]]:
        """Return one object of a random photo."""
        image, labels, _, problems = self.folder.load_any(
            int(rng.integers(len(self.folder))), rng, 1
        )
        return cut(image, labels > 0)[0], problems

    def own_scene(
        self, rng: np.random.Generator, max_objects: int
    ) -> tuple[OwnScene, tuple[Problem, ...]]:
        """Return up to ``max_objects`` objects of a random photo, and the photo without them."""
        image, labels, _, problems = self.folder.load_any(
            int(rng.integers(len(self.folder))), rng, max_objects
        )
        cutouts, centres = [], []
        for number in range(1, int(labels.max()) + 1):
            thing, x, y = cut(image, labels == number)
            cutouts.append(thing)
            centres.append((x, y))
        background = fill_holes(image, labels > 0, rng)
        return OwnScene(tuple(cutouts), np.array(centres, np.float64), background), problems


class SpriteCutouts:
    """Images with transparency, anywhere below a folder.

    Raises:
        InputError: If there is none.
    """

    def __init__(self, root: Path, cache: ImageCache) -> None:
        self.name = root.name
        self.root = root
        self._cache = cache
        self.paths = sorted(
            path for path in root.rglob("*") if path.suffix.lower() in _SPRITE_SUFFIXES
        )
        if not self.paths:
            raise InputError(f"{root}: no PNG or WebP images", hint="sprites need an alpha channel")

    def __len__(self) -> int:
        """Return the number of sprites."""
        return len(self.paths)

    def cutout(self, rng: np.random.Generator) -> tuple[Cutout, tuple[Problem, ...]]:
        """Return a random sprite.

        Raises:
            InputError: If ``MAX_ATTEMPTS`` in a row have no outline.
        """
        problems: list[Problem] = []
        for _ in range(MAX_ATTEMPTS):
            path = self.paths[int(rng.integers(len(self.paths)))]
            try:
                sprite = shrink(self._cache.get(path, read_sprite), 320)
            except UnusableItemError as error:
                problems.append(error.problem)
                continue
            opaque = sprite[..., 3] > 127
            rows, columns = np.flatnonzero(opaque.any(1)), np.flatnonzero(opaque.any(0))
            tight = sprite[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            padded = np.pad(tight, ((_MARGIN, _MARGIN), (_MARGIN, _MARGIN), (0, 0)))
            return Cutout(padded), tuple(problems)
        raise InputError(
            f"{self.root}: {MAX_ATTEMPTS} sprites in a row have no outline; last: {problems[-1]}"
        )


class ShapeCutouts:
    """Drawn outlines, textured with pictures that may roll as if the body turned."""

    name = "shapes"

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures

    def __len__(self) -> int:
        """Return 0: there is no end to them."""
        return 0

    def cutout(self, rng: np.random.Generator) -> tuple[Cutout, tuple[Problem, ...]]:
        """Return a random shape."""
        alpha = random_outline(rng)
        height, width = alpha.shape
        picture, problems = self._pictures.picture(rng)
        scale = max(height / picture.shape[0], width / picture.shape[1]) * rng.uniform(1.2, 2.0)
        large = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        picture = np.asarray(large, np.uint8)
        rolling = picture if rng.random() < 0.5 else None
        return Cutout(np.dstack([picture[:height, :width], alpha]), rolling), problems


class Props:
    """All that scenes are made of.

    Args:
        photos: Folders of photos; without any, pictures are procedural.
        objects: Folders of annotated stills or of sprites; without any, things are drawn.
        cache: Holds decoded pixels.

    Attributes:
        pictures: Backgrounds and textures.
        problems: What was skipped while folders were indexed.

    Raises:
        InputError: If a folder is missing or nothing in it is usable.
    """

    def __init__(self, photos: Sequence[Path], objects: Sequence[Path], cache: ImageCache) -> None:
        self.pictures: Pictures = PhotoFolder(photos, cache) if photos else ProceduralPictures()
        self.problems: list[Problem] = []
        self._shapes = ShapeCutouts(self.pictures)
        self._sources: list[CutoutSource] = []
        for root in objects:
            if root.is_dir() and detect_still_layout(root) is None:
                self._sources.append(SpriteCutouts(root, cache))
            else:
                folder = StillFolder(root, cache=cache)
                self.problems += folder.problems
                self._sources.append(StillCutouts(folder))
        # By the square root of its size: a small set is varied, a large one does not drown it.
        self._weights = np.sqrt([len(source) for source in self._sources])

    def __len__(self) -> int:
        """Return the number of photos and items, or 0 where all is procedural."""
        return len(self.pictures) + sum(len(source) for source in self._sources)

    def thing(self, rng: np.random.Generator, shapes: float) -> tuple[Cutout, tuple[Problem, ...]]:
        """Return a random cut-out, or with probability ``shapes`` a drawn shape."""
        if not self._sources or rng.random() < shapes:
            return self._shapes.cutout(rng)
        chances = self._weights / self._weights.sum()
        return self._sources[int(rng.choice(len(chances), p=chances))].cutout(rng)

    def own_scene(
        self, rng: np.random.Generator, max_objects: int
    ) -> tuple[OwnScene, tuple[Problem, ...]] | None:
        """Return objects in their own photo, or ``None`` where no folder has any."""
        stills = [
            (source, weight)
            for source, weight in zip(self._sources, self._weights, strict=True)
            if isinstance(source, StillCutouts)
        ]
        if not stills:
            return None
        weights = np.array([weight for _, weight in stills])
        chosen = int(rng.choice(len(stills), p=weights / weights.sum()))
        return stills[chosen][0].own_scene(rng, max_objects)
