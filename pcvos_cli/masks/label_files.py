"""Reading label maps: one integer a pixel, exactly as stored."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from model.errors import InputError, MaskError
from pcvos_cli.masks.palette import voc_palette

LabelMap = NDArray[np.uint8] | NDArray[np.int32]
"""``(H, W)`` integers as a file holds them."""

VOID = 255
"""Pixels of an 8-bit map that the annotators left open."""

MOTS_BASE = 1000
"""A pixel of MOTS is ``class * 1000 + instance``."""

FEW = 16
"""Up to so many values are looked for one by one, which is ten times faster than sorting."""


def read_labels(path: Path) -> LabelMap:
    """Read a label map without interpreting its values.

    Palette and grey images give their indices, 1-bit images 0 and 1, RGB images the index
    of their colour in the DAVIS palette.

    Returns:
        ``(H, W)``: uint8, or int32 for images of 16 bits and more.

    Raises:
        InputError: If the file is missing or no PNG.
        MaskError: If its colours are not those of the palette, or their order is another.
    """
    try:
        with Image.open(path, formats=("PNG",)) as image:
            image.load()
            if image.mode in ("P", "L", "1"):
                labels = np.array(image, dtype=np.uint8)
                if image.mode == "P" and any((image.getpalette() or [0])[:3]):
                    _refuse_other_order(path, image.getpalette() or [], labels)
                return labels
            if image.mode.startswith("I"):
                return np.array(image, dtype=np.int32)
            if image.mode in ("RGB", "RGBA"):
                return _labels_of_colours(np.array(image.convert("RGB")), path)
            raise MaskError(
                f"{path}: images of mode {image.mode} hold no labels",
                hint="store masks as PNG with a palette or one grey value an object",
            )
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{path}: not a readable PNG ({error})") from error


def _refuse_other_order(path: Path, palette: list[int], labels: NDArray[np.uint8]) -> None:
    """Refuse a palette that begins with a colour and has black, the background, later on."""
    for index in range(1, len(palette) // 3):
        if not any(palette[3 * index : 3 * index + 3]) and (labels == index).any():
            raise MaskError(
                f"{path}: index 0 of the palette is #{bytes(palette[:3]).hex()}, and black is "
                f"index {index}: indices are no object ids there",
                hint="save the mask as RGB, or with the background as index 0",
            )


def _labels_of_colours(rgb: NDArray[np.uint8], path: Path) -> NDArray[np.uint8]:
    """Return each pixel's index in the DAVIS palette, ``(H, W)`` uint8."""
    weights = np.array([1 << 16, 1 << 8, 1])
    colours, inverse = np.unique(rgb @ weights, return_inverse=True)
    known = {int(code): index for index, code in enumerate(voc_palette() @ weights)}
    unknown = [int(code) for code in colours if int(code) not in known]
    if unknown:
        raise MaskError(
            f"{path}: {len(unknown)} colours are not in the DAVIS palette,"
            f" the first is #{unknown[0]:06x}",
            hint="store masks as PNG with a palette or one grey value an object",
        )
    labels = np.array([known[int(code)] for code in colours], dtype=np.uint8)
    return labels[inverse].reshape(rgb.shape[:2])


def shrink_labels(labels: LabelMap, size: tuple[int, int]) -> NDArray[np.int32]:
    """Return labels ``(H, W)`` at ``(height, width)``, by nearest neighbour, to be looked at."""
    wide = labels.astype(np.int32, copy=False)
    small = cv2.resize(wide, (size[1], size[0]), interpolation=cv2.INTER_NEAREST)
    return small.astype(np.int32, copy=False)


def label_values(labels: LabelMap) -> tuple[int, ...]:
    """Return the values that occur, ascending, 0 left out."""
    values: list[int] = []
    rest = labels
    while value := int(rest.max(initial=0)):
        if len(values) == FEW:
            values += [int(other) for other in np.unique(rest) if other != 0]
            break
        values.append(value)
        rest = rest * (rest != value)
    return tuple(sorted(values))
