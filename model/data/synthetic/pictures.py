"""Pictures for backgrounds and textures: photographs, or procedural ones."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from model.data.images import ImageCache, Pixels, list_images, read_image, shrink
from model.data.sample import MAX_ATTEMPTS, Problem, UnusableItemError
from model.data.synthetic.textures import procedural_scene, procedural_texture
from model.errors import InputError


class Pictures(Protocol):
    """Where backgrounds and textures come from."""

    name: str

    def __len__(self) -> int:
        """Return the number of different pictures, or 0 where there is no end to them."""

    def picture(self, rng: np.random.Generator) -> tuple[Pixels, tuple[Problem, ...]]:
        """Return ``(h, w, 3)`` uint8, not to be written into, and what was skipped."""


class ProceduralPictures:
    """Pictures made of noise, gradients, stripes and dots."""

    name = "procedural"

    def __len__(self) -> int:
        """Return 0: there is no end to them."""
        return 0

    def picture(self, rng: np.random.Generator) -> tuple[Pixels, tuple[Problem, ...]]:
        """Return ``(256, 256, 3)`` uint8."""
        make = procedural_scene if rng.random() < 0.6 else procedural_texture
        return make((256, 256), rng), ()


class PhotoFolder:
    """All images in some folders.

    Args:
        roots: Folders; images directly inside count.
        cache: Holds decoded pixels.
        max_side: Larger photos are reduced to this longer side, pixels.

    Raises:
        InputError: If a folder is missing or has no image.
    """

    def __init__(self, roots: Sequence[Path], cache: ImageCache, *, max_side: int = 640) -> None:
        self.name = "+".join(root.name for root in roots)
        self.paths: list[Path] = []
        self._cache = cache
        self._max_side = max_side
        for root in roots:
            found = list_images(root)
            if not found:
                raise InputError(f"{root}: no images", hint="give a folder of photographs")
            self.paths += found

    def __len__(self) -> int:
        """Return the number of photos."""
        return len(self.paths)

    def picture(self, rng: np.random.Generator) -> tuple[Pixels, tuple[Problem, ...]]:
        """Return a random photo, ``(h, w, 3)`` uint8, and what was skipped.

        Raises:
            InputError: If ``MAX_ATTEMPTS`` photos in a row are unreadable.
        """
        problems: list[Problem] = []
        for _ in range(MAX_ATTEMPTS):
            path = self.paths[int(rng.integers(len(self.paths)))]
            try:
                photo = self._cache.get(path, read_image)
            except UnusableItemError as error:
                problems.append(error.problem)
                continue
            return shrink(photo, self._max_side), tuple(problems)
        raise InputError(
            f"{self.name}: {MAX_ATTEMPTS} photos in a row cannot be read; last: {problems[-1]}",
            hint="check that the photographs in the folder are whole",
        )
