"""Still images with masks, in the layouts that people have them in.

==========  ==========================================================================
layout      what lies in the folder
==========  ==========================================================================
pairs       an image folder and a mask folder, same stems (``horses``; DUTS as published)
beside      ``x.jpg`` beside ``x.png``, or ``x_im.jpg`` beside ``x_gt.png`` (DUTS and ECSSD
            as STCN ships them, HRSOD, BIG), also one level down (FSS-1000)
regions     ``images`` and ``segments``: a partition of the image, ``<stem>_<annotator>.png``
instances   ``images`` and ``instances``: one integer an object, 0 is background
==========  ==========================================================================
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from model.data.images import ImageCache, Pixels, list_images, read_image, read_label_map, read_size
from model.data.sample import MAX_ATTEMPTS, Problem, UnusableItemError
from model.errors import InputError

StillLayout = Literal["pairs", "beside", "regions", "instances"]

IMAGE_FOLDERS = ("images", "image", "imgs", "img", "JPEGImages")
MASK_FOLDERS = ("masks", "mask", "gt", "annotations", "Annotations", "GT", "ground_truth_mask")

VOID = 255
MAX_PALETTE_ID = 64
"""A mask whose values, 255 aside, go up to this holds object ids; with larger ones, grey levels."""

MIN_OBJECT_SHARE = 0.004
MAX_OBJECT_SHARE = 0.6
_MAX_BORDER_SHARE = 0.18
_MIN_SOLIDITY = 0.45
_RGB_SUFFIXES = frozenset({".jpg", ".jpeg"})
_MASK_SUFFIXES = frozenset({".png", ".bmp", ".jpg", ".jpeg"})


@dataclass(frozen=True, slots=True)
class StillItem:
    """An image and the masks that annotators drew of it, at least one."""

    image: Path
    masks: tuple[Path, ...]


def find_folder_pair(root: Path) -> tuple[Path, Path] | None:
    """Return the image folder and the mask folder of ``root``, also ``*-Image``/``*-Mask``."""
    images = [root / name for name in IMAGE_FOLDERS]
    masks = [root / name for name in MASK_FOLDERS]
    if root.is_dir():
        folders = sorted(path for path in root.iterdir() if path.is_dir())
        images += [path for path in folders if path.name.lower().endswith("image")]
        masks += [path for path in folders if path.name.lower().endswith("mask")]
    image = next((path for path in images if path.is_dir()), None)
    mask = next((path for path in masks if path.is_dir()), None)
    return (image, mask) if image and mask else None


def detect_still_layout(root: Path) -> StillLayout | None:
    """Return the layout of ``root``, or ``None`` where it has no images with masks."""
    if (root / "images").is_dir() and (root / "segments").is_dir():
        return "regions"
    if (root / "images").is_dir() and (root / "instances").is_dir():
        return "instances"
    if find_folder_pair(root):
        return "pairs"
    return "beside" if next(iter(_images_beside(root)), None) else None


def _images_beside(root: Path) -> Iterable[Path]:
    folders = [root, *sorted(path for path in root.iterdir() if path.is_dir())]
    for folder in folders if root.is_dir() else ():
        for image in list_images(folder, _RGB_SUFFIXES):
            if _mask_beside(image).is_file():
                yield image


def _mask_beside(image: Path) -> Path:
    if image.stem.endswith("_im"):
        return image.with_name(image.stem.removesuffix("_im") + "_gt.png")
    return image.with_suffix(".png")


def _index(root: Path, layout: StillLayout) -> tuple[list[StillItem], list[Problem]]:
    """Pair images with masks; sizes are compared by their headers alone."""
    if layout == "beside":
        candidates = [StillItem(image, (_mask_beside(image),)) for image in _images_beside(root)]
    else:
        pair = find_folder_pair(root) if layout == "pairs" else None
        image_folder = pair[0] if pair else root / "images"
        mask_folder = pair[1] if pair else root / {"regions": "segments"}.get(layout, layout)
        masks: dict[str, list[Path]] = {}
        for path in list_images(mask_folder, _MASK_SUFFIXES):
            stem = path.stem.rpartition("_")[0] if layout == "regions" else path.stem
            masks.setdefault(stem, []).append(path)
        candidates = [
            StillItem(image, tuple(masks.get(image.stem, ())))
            for image in list_images(image_folder)
        ]
    items, problems = [], []
    for item in candidates:
        kept = []
        try:
            size = read_size(item.image)
            if not item.masks:
                raise UnusableItemError(item.image, "no mask")
        except UnusableItemError as error:
            problems.append(error.problem)
            continue
        for mask in item.masks:
            try:
                mask_size = read_size(mask)
                if mask_size != size:
                    raise UnusableItemError(
                        mask,
                        f"mask is {mask_size[0]} x {mask_size[1]}, "
                        f"its image {size[0]} x {size[1]} (height x width)",
                    )
                kept.append(mask)
            except UnusableItemError as error:
                problems.append(error.problem)
        if kept:
            items.append(StillItem(item.image, tuple(kept)))
    return items, problems


class StillFolder:
    """A folder of still images with masks.

    Args:
        root: The folder.
        cache: Holds decoded pixels; ``None`` makes one of its own.

    Attributes:
        items: Images that have a mask of their size.
        problems: Images and masks that were skipped, with the reason.

    Raises:
        InputError: If the folder is missing, has no known layout, or nothing in it is usable.
    """

    def __init__(self, root: Path, *, cache: ImageCache | None = None) -> None:
        self.root = root
        self.name = root.name
        if not root.is_dir():
            raise InputError(f"{root}: no such folder", hint="give a folder of images with masks")
        found = detect_still_layout(root)
        if found is None:
            raise InputError(
                f"{root}: no images with masks found",
                hint="expected images/ and masks/ (or segments/, instances/), or x.jpg beside "
                "x.png, also in one folder a class",
            )
        self.layout: StillLayout = found
        self.items, self.problems = _index(root, found)
        if not self.items:
            first = f"; first: {self.problems[0]}" if self.problems else ""
            raise InputError(
                f"{root}: none of {len(self.problems)} images can be used{first}",
                hint="each image needs a mask of its own size",
            )
        self._cache = cache or ImageCache()

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.items)

    def load(
        self, index: int, rng: np.random.Generator, max_objects: int
    ) -> tuple[Pixels, NDArray[np.uint8]]:
        """Read an image and choose some of its objects.

        Args:
            index: Item, modulo the number of items.
            rng: Chooses the annotator and the objects.
            max_objects: Choose between one and this many.

        Returns:
            The image ``(H, W, 3)`` uint8, which must not be written into, and labels
            ``(H, W)`` uint8 with the chosen objects as 1..K, K >= 1.

        Raises:
            UnusableItemError: If a file is unreadable, or no region makes a plausible object.
        """
        item = self.items[index % len(self.items)]
        image = self._cache.get(item.image, read_image)
        mask_path = item.masks[int(rng.integers(len(item.masks)))]
        stored = self._cache.get(mask_path, read_label_map)
        if stored.shape != image.shape[:2]:
            raise UnusableItemError(mask_path, f"mask is {stored.shape}, image {image.shape[:2]}")
        if self.layout in ("regions", "instances"):
            return image, _choose_objects(stored, mask_path, rng, max_objects, self.layout)
        ids = np.flatnonzero(np.bincount(stored.ravel()))
        ids = ids[(ids > 0) & (ids != VOID)]
        if ids.size and ids[-1] <= MAX_PALETTE_ID:
            # Object ids, as a palette mask has them: 255 beside them is void.
            stored = np.where(stored == VOID, 0, stored).astype(np.uint8)
            if ids[-1] >= 2:
                return image, _choose_objects(stored, mask_path, rng, max_objects, "instances")
        # Anti-aliased and JPEG masks are cut at half of their largest value.
        labels = (stored > int(stored.max(initial=0)) / 2).astype(np.uint8)
        share = float(labels.mean())
        if not 0.001 < share < 0.95:
            raise UnusableItemError(mask_path, f"the object covers {share:.1%} of the image")
        return image, labels

    def load_any(
        self, index: int, rng: np.random.Generator, max_objects: int
    ) -> tuple[Pixels, NDArray[np.uint8], Path, tuple[Problem, ...]]:
        """Read item ``index``, or random other ones where it is unusable.

        Returns:
            Image and labels as from ``load``, the image's path, and what was skipped.

        Raises:
            InputError: If ``MAX_ATTEMPTS`` items in a row are unusable.
        """
        problems: list[Problem] = []
        for _ in range(MAX_ATTEMPTS):
            try:
                image, labels = self.load(index, rng, max_objects)
                return image, labels, self.items[index % len(self.items)].image, tuple(problems)
            except UnusableItemError as error:
                problems.append(error.problem)
                index = int(rng.integers(len(self.items)))
        raise InputError(
            f"{self.root}: {MAX_ATTEMPTS} images in a row cannot be used; last: {problems[-1]}"
        )


def _choose_objects(
    stored: NDArray[np.uint8 | np.uint16],
    path: Path,
    rng: np.random.Generator,
    max_objects: int,
    layout: StillLayout,
) -> NDArray[np.uint8]:
    """Pick regions that look like things rather than stuff, and number them 1..K."""
    height, width = stored.shape
    areas = np.bincount(stored.ravel()).astype(np.float64)
    border = np.concatenate([stored[0], stored[-1], stored[:, 0], stored[:, -1]])
    contact = np.bincount(border, minlength=len(areas)) / (2 * (height + width))
    share = areas / stored.size
    plausible = (share >= MIN_OBJECT_SHARE) & (share <= MAX_OBJECT_SHARE)
    if layout == "instances":
        plausible[0] = False
    else:
        plausible &= contact <= _MAX_BORDER_SHARE
    ids = rng.permutation(np.flatnonzero(plausible))
    wanted = int(rng.integers(1, max_objects + 1))
    labels = np.zeros(stored.shape, np.uint8)
    count = 0
    for region in ids:
        mask = (stored == region).astype(np.uint8)
        if layout == "instances":
            if rng.random() < 0.25:
                mask = _join_neighbour(mask, stored, plausible, rng)
        else:
            mask = _grow_region(mask, stored, plausible, rng)
            if mask.mean() > MAX_OBJECT_SHARE or _solidity(mask) < _MIN_SOLIDITY:
                continue
        mask &= labels == 0
        if mask.mean() < MIN_OBJECT_SHARE:
            continue
        count += 1
        labels[mask > 0] = count
        if count == wanted:
            break
    if not count:
        raise UnusableItemError(path, "no region makes a plausible object")
    return labels


def _join_neighbour(
    mask: NDArray[np.uint8],
    stored: NDArray[np.uint8 | np.uint16],
    plausible: NDArray[np.bool_],
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Join what touches, where it does on a good part of the outline: a rider and a horse."""
    ring = (cv2.dilate(mask, np.ones((5, 5), np.uint8)) > 0) & (mask == 0)
    touching = np.bincount(stored[ring], minlength=len(plausible))[: len(plausible)]
    touching = np.where(plausible, touching, 0)
    if touching.sum() <= 0.15 * ring.sum():
        return mask
    neighbour = rng.choice(len(touching), p=touching / touching.sum())
    return mask | (stored == neighbour)


def _grow_region(
    mask: NDArray[np.uint8],
    stored: NDArray[np.uint8 | np.uint16],
    plausible: NDArray[np.bool_],
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Join parts: annotators draw an animal's head, or a car's windows, as regions of their own."""
    if rng.random() < 0.4:
        mask = _join_neighbour(mask, stored, plausible, rng)
    if rng.random() < 0.7:
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        mask = cv2.drawContours(mask.copy(), contours, -1, 1, cv2.FILLED).astype(np.uint8)
    return mask


def _solidity(mask: NDArray[np.uint8]) -> float:
    """Share of its convex hull that the mask fills: low for skies seen between branches."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return 0.0
    hull = cv2.contourArea(cv2.convexHull(np.concatenate(contours)))
    return float(mask.sum() / max(hull, 1.0))
