"""Reference masks as users have them: palette, grey, colour, 1-bit, 16-bit, JPEG."""

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from model.errors import InputError, MaskError
from pcvos_cli.masks.label_files import VOID
from pcvos_cli.masks.palette import voc_palette

MAX_VALUES = 64
"""Distinct grey values or colours that can still be ids; more are a picture."""

_SPREAD = {"L;2": 85, "L;4": 17}
"""Factor by which Pillow spreads the values of grey images of 2 and 4 bits to 0..255."""

ColourMap = dict[tuple[int, int, int], int]
"""RGB colour to object id, shared by the colour masks of one run."""


@dataclass(frozen=True, slots=True)
class LoadedMask:
    """A reference mask in our terms.

    Attributes:
        path: The file.
        frame_index: 0-based index of the frame it belongs to.
        labels: ``(H, W)`` int32 object ids at the frame's size; 0 states nothing.
        object_ids: Ids that the file lists, ascending. One that vanishes when the mask is
            resized stays listed.
        notes: Decisions made on the way (void, colours), for the user.
        categories: Names of the objects' classes, by id, where the file has them.
    """

    path: Path
    frame_index: int
    labels: NDArray[np.int32]
    object_ids: tuple[int, ...]
    notes: list[str]
    categories: dict[int, str] = field(default_factory=dict)


def read_reference(
    path: Path,
    frame_index: int,
    size: tuple[int, int],
    *,
    resize: bool = False,
    coded_size: tuple[int, int] | None = None,
    colours: ColourMap | None = None,
) -> LoadedMask:
    """Read a reference mask.

    Args:
        path: An image file.
        frame_index: 0-based index of the frame it belongs to.
        size: ``(height, width)`` of the displayed frames.
        resize: Accept another size and resize by nearest neighbour.
        coded_size: ``(height, width)`` as stored, for a better hint on rotated video.
        colours: Ids of the colours seen in earlier masks; new ones are added. Give one
            dictionary to all masks of a run, so that a colour keeps its id.

    Returns:
        The mask at ``size``.

    Raises:
        InputError: The file is missing or no image.
        MaskError: No object, another size, or values that cannot be ids.
    """
    notes: list[str] = []
    labels = _labels(path, {} if colours is None else colours, notes)
    object_ids = tuple(int(i) for i in np.unique(labels) if i != 0)
    if not object_ids:
        raise MaskError(
            f"{path}: the mask of frame {frame_index} has no object (every pixel is 0 or void)",
            hint="paint each object with its own value from 1 on; an object that is gone is ended "
            f"with --end-object ID@{frame_index}",
        )
    if labels.shape != size:
        from pcvos_cli.masks.unusual import fitted

        labels = fitted(
            path, frame_index, labels, size, notes, resize=resize, coded_size=coded_size
        )
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    if border[0] and (border == border[0]).all() and (labels != border[0]).any():
        notes.append(
            f"object {border[0]} is all around the others: if it is the background, invert the mask"
        )
    return LoadedMask(path, frame_index, labels, object_ids, notes)


def resize_nearest(labels: NDArray[np.int32], size: tuple[int, int]) -> NDArray[np.int32]:
    """Resize ``(H, W)`` ids to ``size``; each pixel takes the one under its centre."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.intp)
        for new, old in zip(size, labels.shape, strict=True)
    )
    return np.ascontiguousarray(labels[rows[:, None], columns])


def _labels(path: Path, colours: ColourMap, notes: list[str]) -> NDArray[np.int32]:
    """Return the ids of a file, ``(H, W)`` int32, with void as 0."""
    try:
        with Image.open(path) as opened:
            lossy = opened.format in {"JPEG", "MPO"}
            stored = str(opened.tile[0][3]) if opened.tile else ""
            image = ImageOps.exif_transpose(opened)
            image.load()
    except FileNotFoundError:
        raise InputError(f"{path}: not found", hint="check the path") from None
    except UnidentifiedImageError as error:
        from pcvos_cli.masks.unusual import read_unidentified

        return read_unidentified(path, error, notes)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise no_image(path, error) from error
    mode = image.mode
    if mode == "P" and not lossy and _has_voc_palette(image):
        return apply_void(np.asarray(image).astype(np.int32), notes)
    if mode == "1":
        return np.asarray(image).astype(np.int32)
    if mode == "L" and not lossy:
        grey = np.asarray(image)
        if stored in _SPREAD and not set(np.unique(grey).tolist()) <= {0, VOID}:
            grey = grey // _SPREAD[stored]
        elif "'L;I'" in stored:
            grey = 255 - grey  # Stored values count, and Pillow turned them around.
            notes.append("a TIFF of MinIsWhite: its values count as they are stored")
        return from_grey(path, grey, notes)
    from pcvos_cli.masks.unusual import read_unusual

    return read_unusual(path, image, colours, notes, lossy=lossy)


def _has_voc_palette(image: Image.Image) -> bool:
    """Tell whether an image has the colours of DAVIS as far as it uses them, all opaque."""
    used = 3 * (int(np.asarray(image).max()) + 1)
    palette = bytes(image.getpalette() or b"")[:used]
    return "transparency" not in image.info and palette == voc_palette().tobytes()[:used]


def apply_void(values: NDArray[np.int32], notes: list[str]) -> NDArray[np.int32]:
    """Apply the rule for 255: alone it is the object, beside other ids it is void."""
    distinct = np.unique(values)
    if VOID not in distinct:
        return values
    if distinct.size <= 2 and set(distinct.tolist()) <= {0, VOID}:
        return (values == VOID).astype(np.int32)
    if distinct[-1] > VOID:
        notes.append("255 is an object id here, since the mask has larger ones")
        return values
    notes.append("255 is void: it states nothing")
    return np.where(values == VOID, 0, values).astype(np.int32)


def from_grey(path: Path, grey: NDArray[np.uint8], notes: list[str]) -> NDArray[np.int32]:
    """Read 8-bit grey: values are ids if they form regions."""
    count = np.unique(grey).size
    if count > MAX_VALUES + 1 or has_edge_values(grey[..., None]):
        raise anti_aliased(path, f"{count} values", count)
    return apply_void(grey.astype(np.int32), notes)


def no_image(path: Path, error: Exception) -> InputError:
    """Return the error for a mask that no reader knows."""
    return InputError(
        f"{path}: not a readable image ({error})",
        hint="an archive: unpack it, and give what is inside"
        if path.suffix.lower() == ".zip"
        else "a mask is an image: a PNG whose pixel values are object ids, or 0 and 255",
    )


def anti_aliased(path: Path, found: str, count: int = 0) -> MaskError:
    """Return the error for a mask with ``found``, values or colours, along its edges.

    Args:
        path: The file.
        found: What it has, in words.
        count: How many, where so many could also be ids.
    """
    more = f"; ids of more than {MAX_VALUES} objects need 16-bit grey, or the palette of DAVIS"
    return MaskError(
        f"{path}: {found}: looks anti-aliased",
        hint="save the mask without smoothing (hard brush, nearest-neighbour resize), one value "
        "an object; for a single object, threshold it to 0 and 255"
        + (more if count > MAX_VALUES + 1 else ""),
    )


def has_edge_values(image: NDArray[np.uint8] | NDArray[np.uint16]) -> bool:
    """Tell whether some values of an ``(H, W, C)`` image only occur between two others.

    A pixel of a smoothed edge lies between the values of the two regions it parts, and
    such values have next to no interior (a pixel whose 3 x 3 neighbours are like it).
    """
    kernel = np.ones((3, 3), np.uint8)
    height, width, channels = image.shape
    lowest = cv2.erode(image, kernel).reshape(height, width, channels)
    highest = cv2.dilate(image, kernel).reshape(height, width, channels)
    inside = (lowest == highest).all(axis=2)
    bounded = ((lowest <= image) & (image <= highest)).all(axis=2)
    strict = ((lowest < image) & (image < highest)).any(axis=2)
    between = bounded & strict

    wide = image.astype(np.int64)
    packed = wide[..., 0]
    for channel in range(1, channels):
        packed = packed << 16 | wide[..., channel]
    values, inverse = np.unique(packed, return_inverse=True)
    inverse = inverse.ravel()
    total = np.bincount(inverse, minlength=values.size)
    interior = np.bincount(inverse, weights=inside.ravel(), minlength=values.size)
    edges = np.bincount(inverse, weights=between.ravel(), minlength=values.size)
    suspects = (interior < 0.1 * total) & (edges >= 0.5 * total)
    # One tiny value may be a tiny object that happens to touch two others.
    return int(suspects.sum()) > 1 or bool((total[suspects] >= 16).any())
