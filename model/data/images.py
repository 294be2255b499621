"""Reading images and label maps from disk, with a bounded cache of decoded pixels."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.data.sample import UnusableItemError

Pixels = NDArray[np.uint8]

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})

# What Pillow raises on files that are missing, cut short, or something else altogether.
_UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


def list_images(folder: Path, suffixes: frozenset[str] = IMAGE_SUFFIXES) -> list[Path]:
    """Return the images directly in ``folder``, sorted by name; none where it is missing."""
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in suffixes and not path.name.startswith(".")
    )


def read_size(path: Path) -> tuple[int, int]:
    """Return ``(height, width)`` from the header, without decoding.

    Raises:
        UnusableItemError: If the file is not an image.
    """
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except _UNREADABLE as error:
        raise UnusableItemError(path, f"not a readable image ({type(error).__name__})") from error


def read_image(path: Path) -> Pixels:
    """Read an image as stored (no EXIF rotation, so that it stays aligned with its mask).

    Returns:
        ``(H, W, 3)`` uint8, RGB.

    Raises:
        UnusableItemError: If the file is missing, truncated or not an image.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except _UNREADABLE as error:
        raise UnusableItemError(path, f"not a readable image ({type(error).__name__})") from error


def read_sprite(path: Path) -> Pixels:
    """Read an image with transparency.

    Returns:
        ``(H, W, 4)`` uint8, RGBA.

    Raises:
        UnusableItemError: If it is unreadable, has no alpha channel, or is all transparent
            or all opaque.
    """
    try:
        with Image.open(path) as image:
            has_alpha = "A" in image.getbands() or "transparency" in image.info
            sprite = np.asarray(image.convert("RGBA"))
    except _UNREADABLE as error:
        raise UnusableItemError(path, f"not a readable image ({type(error).__name__})") from error
    opaque = sprite[..., 3] > 127
    if not has_alpha or opaque.all() or not opaque.any():
        raise UnusableItemError(path, "no outline: the alpha channel is missing or uniform")
    return sprite


def read_label_map(path: Path) -> NDArray[np.uint8 | np.uint16]:
    """Read a mask as stored: palette indices, grey values, or equal RGB channels.

    Returns:
        ``(H, W)`` uint8 or uint16.

    Raises:
        UnusableItemError: If it is unreadable, or coloured without a palette.
    """
    try:
        with Image.open(path) as image:
            labels = np.asarray(image.convert("L") if image.mode in ("1", "LA") else image)
    except _UNREADABLE as error:
        raise UnusableItemError(path, f"not a readable mask ({type(error).__name__})") from error
    if labels.ndim == 3:
        if not (labels[..., :1] == labels[..., 1:3]).all():
            raise UnusableItemError(
                path, f"a {labels.shape[-1]}-channel colour mask; save it with a palette or grey"
            )
        labels = labels[..., 0]
    if labels.dtype == np.uint8:
        return labels
    if labels.min(initial=0) < 0 or labels.max(initial=0) > 65535:
        raise UnusableItemError(path, "label values outside 0..65535")
    return labels.astype(np.uint16)


def shrink(image: Pixels, max_side: int) -> Pixels:
    """Return ``image`` with its longer side at most ``max_side``."""
    factor = max_side / max(image.shape[:2])
    if factor >= 1:
        return image
    reduced = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return np.asarray(reduced, np.uint8)


class ImageCache:
    """Decoded arrays by path, the least recently used dropped beyond ``max_bytes``.

    Each data worker has its own. What is returned is shared: never write into it.

    Args:
        max_bytes: Bound on the bytes held. 0 keeps nothing.
    """

    def __init__(self, max_bytes: int = 256 << 20) -> None:
        self.max_bytes = max_bytes
        self.held_bytes = 0
        self._arrays: OrderedDict[Any, NDArray[Any]] = OrderedDict()

    def get(self, path: Path, read: Callable[[Path], NDArray[Any]]) -> NDArray[Any]:
        """Return ``read(path)``, from the cache where it is held.

        Raises:
            UnusableItemError: From ``read``.
        """
        key = (str(path), read.__name__)
        if key in self._arrays:
            self._arrays.move_to_end(key)
            return self._arrays[key]
        array = read(path)
        array.flags.writeable = False
        self._arrays[key] = array
        self.held_bytes += array.nbytes
        while self.held_bytes > self.max_bytes:
            _, dropped = self._arrays.popitem(last=False)
            self.held_bytes -= dropped.nbytes
        return array

    def __getstate__(self) -> dict[str, Any]:
        # A worker started by spawn gets an empty cache instead of hundreds of megabytes.
        return {"max_bytes": self.max_bytes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["max_bytes"])  # type: ignore[misc]
