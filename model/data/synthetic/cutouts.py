"""Where the things in synthetic scenes come from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from model.data.images import ImageCache, Pixels, read_sprite, shrink
from model.data.sample import MAX_ATTEMPTS, Problem, UnusableItemError
from model.data.stills import StillFolder, detect_still_layout
from model.data.synthetic.cutting import MARGIN, Cutout, cut, fill_holes
from model.data.synthetic.pictures import PhotoFolder, Pictures, ProceduralPictures
from model.data.synthetic.textures import random_outline
from model.errors import InputError

_SPRITE_SUFFIXES = frozenset({".png", ".webp"})


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
            path
            for path in root.rglob("*")
            if path.suffix.lower() in _SPRITE_SUFFIXES and not path.name.startswith(".")
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
            padded = np.pad(tight, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)))
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
