"""Reference masks as users have them: palette, grey, colour, 1-bit, 16-bit, JPEG."""

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from model.errors import InputError, MaskError
from pcvos_cli.masks.palette import voc_palette

VOID = 255
"""Value of an 8-bit mask that states nothing (DAVIS, PASCAL VOC), unless only 0 goes with it."""

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
        labels = fitted(
            path, frame_index, labels, size, notes, resize=resize, coded_size=coded_size
        )
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    if border[0] and (border == border[0]).all() and (labels != border[0]).any():
        notes.append(
            f"object {border[0]} is all around the others: if it is the background, invert the mask"
        )
    return LoadedMask(path, frame_index, labels, object_ids, notes)


def fitted(
    path: Path,
    frame_index: int,
    labels: NDArray[np.int32],
    size: tuple[int, int],
    notes: list[str],
    *,
    resize: bool,
    coded_size: tuple[int, int] | None,
) -> NDArray[np.int32]:
    """Return a mask of another size at that of the frame; arguments as ``read_reference``.

    Raises:
        MaskError: It may not be resized, or is turned.
    """
    as_stored = coded_size not in (None, size) and _is_turned(labels.shape, size)
    if as_stored or not resize:
        raise _wrong_size(path, frame_index, labels.shape, size, coded_size)
    if not _same_shape(labels.shape, size):
        notes.append("the mask has another shape than the frame, and is stretched")
    notes.append(f"resized from {_words(labels.shape)} to {_words(size)}")
    return resize_nearest(labels, size)


def resize_nearest(labels: NDArray[np.int32], size: tuple[int, int]) -> NDArray[np.int32]:
    """Resize ``(H, W)`` ids to ``size``; each pixel takes the one under its centre."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.intp)
        for new, old in zip(size, labels.shape, strict=True)
    )
    return np.ascontiguousarray(labels[rows[:, None], columns])


def _wrong_size(
    path: Path,
    frame_index: int,
    found: tuple[int, ...],
    size: tuple[int, int],
    coded_size: tuple[int, int] | None,
) -> MaskError:
    hint = "--resize-mask accepts it, resized by nearest neighbour"
    if coded_size not in (None, size) and _is_turned(found, size):
        hint = (
            "the frames are stored rotated and shown upright: make the mask on the upright frame, "
            "as players and viewers show it, or rotate the mask"
        )
    elif _is_turned(found, size):
        hint = "the mask is turned by 90 degrees: rotate it"
    elif not _same_shape(found, size):
        hint = "--resize-mask accepts it, stretched to the shape of the frame"
    return MaskError(
        f"{path}: the mask of frame {frame_index} is {_words(found)}, "
        f"but the frame is {_words(size)}",
        hint=hint,
    )


def _is_turned(found: tuple[int, ...], size: tuple[int, int]) -> bool:
    """Tell whether a mask lies where the frame stands, or the other way around."""
    return not _same_shape(found, size) and _same_shape(found[::-1], size)


def _same_shape(found: tuple[int, ...], size: tuple[int, int]) -> bool:
    """Compare height over width, to one pixel and a hundredth."""
    wanted = found[0] * size[1] / size[0]
    return abs(wanted - found[1]) <= max(1.0, 0.01 * found[1])


def _words(size: tuple[int, ...]) -> str:
    return f"{size[1]}x{size[0]}"


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
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(
            f"{path}: not a readable image ({error})",
            hint="a mask is an image: a PNG whose pixel values are object ids, or 0 and 255",
        ) from error
    mode = image.mode
    if lossy:
        return _from_jpeg(path, image, notes)
    if mode in {"P", "PA"}:
        indices = np.asarray(image if mode == "P" else image.getchannel("P"))
        if not _has_voc_palette(image, int(indices.max())):
            from pcvos_cli.masks.unusual import read_indexed

            return read_indexed(path, image, indices, colours, notes)
        return apply_void(indices.astype(np.int32), notes)
    if mode == "1":
        return np.asarray(image).astype(np.int32)
    if mode == "L":
        grey = np.asarray(image)
        if stored in _SPREAD and not set(np.unique(grey).tolist()) <= {0, VOID}:
            grey = grey // _SPREAD[stored]
        return _from_grey(path, grey, notes)
    if mode.startswith("I") or mode == "F":
        return _from_deep_grey(path, np.asarray(image), notes)
    return from_colours(path, image, colours, notes)


def _has_voc_palette(image: Image.Image, largest: int) -> bool:
    """Tell whether an image has the colours of DAVIS up to an index, and no transparency."""
    palette = bytes(image.getpalette() or b"")[: 3 * (largest + 1)]
    plain = image.mode == "P" and "transparency" not in image.info
    return plain and palette == voc_palette().tobytes()[: 3 * (largest + 1)]


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


def _from_grey(path: Path, grey: NDArray[np.uint8], notes: list[str]) -> NDArray[np.int32]:
    """Read 8-bit grey: values are ids if they form regions."""
    count = np.unique(grey).size
    if count > MAX_VALUES + 1 or _has_edge_values(grey[..., None]):
        raise anti_aliased(path, f"{count} values")
    return apply_void(grey.astype(np.int32), notes)


def _from_deep_grey(path: Path, values: NDArray[np.generic], notes: list[str]) -> NDArray[np.int32]:
    """Read 16-bit grey (or 32-bit with such values): ids up to 65535."""
    if values.dtype.kind == "f" and not np.array_equal(values, np.rint(values.astype(float))):
        raise anti_aliased(path, "fractional values")
    lowest, highest = int(values.min()), int(values.max())
    if lowest < 0 or highest > 65535:
        raise MaskError(
            f"{path}: values from {lowest} to {highest}; object ids are 1 to 65535",
            hint="number the objects from 1",
        )
    labels = values.astype(np.int32)
    distinct = np.unique(labels)
    if set(distinct.tolist()) <= {0, 65535}:
        return (labels == 65535).astype(np.int32)
    # 16 bits of an anti-aliased edge span the range; ids of many objects stay small.
    if _has_edge_values(labels.astype(np.uint16)[..., None]):
        raise anti_aliased(path, f"{distinct.size} values")
    return apply_void(labels, notes)


def _from_jpeg(path: Path, image: Image.Image, notes: list[str]) -> NDArray[np.int32]:
    """Read a JPEG: black and white with noise becomes id 1, anything else is refused."""
    hint = "save masks as PNG: JPEG changes values and blurs edges"
    rgb = np.asarray(image.convert("RGB")).astype(np.int16)
    grey = np.asarray(image.convert("L"))
    if np.ptp(rgb, axis=2).max() > 32:
        raise MaskError(f"{path}: a colour JPEG cannot be a mask", hint=hint)
    between = ((grey >= 48) & (grey < 208)).astype(np.uint8)
    # Noise and blur make thin lines of medium grey; an area of it is another value.
    if cv2.erode(between, np.ones((5, 5), np.uint8), borderValue=0).any():
        count = np.unique(grey).size
        raise MaskError(f"{path}: a JPEG with {count} grey values, not two", hint=hint)
    notes.append("JPEG: values of 128 and above are object 1")
    return (grey >= 128).astype(np.int32)


def from_colours(
    path: Path, image: Image.Image, colours: ColourMap, notes: list[str]
) -> NDArray[np.int32]:
    """Read colours: grey ones as grey, those of the DAVIS palette as its ids, else numbered."""
    rgba = np.asarray(image.convert("RGBA"))
    if rgba[..., 3].min(initial=255) == 0:
        from pcvos_cli.masks.unusual import read_cutout

        cutout = read_cutout(path, rgba, notes)
        if cutout is not None:
            return cutout
    _refuse_soft_alpha(path, rgba[..., 3])
    rgb = np.where(rgba[..., 3:] > 0, rgba[..., :3], 0).astype(np.uint8)
    if (rgb == rgb[..., :1]).all():
        return _from_grey(path, rgb[..., 0], notes)
    wide = rgb.astype(np.int32)
    packed = (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]
    keys, first, inverse = np.unique(packed, return_index=True, return_inverse=True)
    if keys.size > MAX_VALUES + 1 or _has_edge_values(rgb):
        raise anti_aliased(path, f"{keys.size} colours")

    palette = {tuple(colour): index for index, colour in enumerate(voc_palette().tolist())}
    found = [(int(k) >> 16, int(k) >> 8 & 255, int(k) & 255) for k in keys]
    ids = np.zeros(keys.size, dtype=np.int32)
    is_palette = all(colours.get(c, palette.get(c)) == palette.get(c, -1) for c in found)
    for position in np.argsort(first):
        colour = found[position]
        if colour == (0, 0, 0):
            continue
        if colour not in colours:
            taken = max(colours.values(), default=0)
            colours[colour] = palette[colour] if is_palette else taken + 1
        ids[position] = colours[colour]
    if is_palette:
        notes.append("colours of the DAVIS palette read as its ids")
        return apply_void(ids[inverse].reshape(packed.shape), notes)
    listed = ", ".join(
        f"#{r:02x}{g:02x}{b:02x} = {colours[(r, g, b)]}"
        for r, g, b in sorted((c for c in found if c != (0, 0, 0)), key=lambda c: colours[c])
    )
    notes.append(f"colours numbered: {listed}")
    return ids[inverse].reshape(packed.shape)


def _refuse_soft_alpha(path: Path, alpha: NDArray[np.uint8]) -> None:
    count = np.unique(alpha).size
    if count > 2 and _has_edge_values(alpha[..., None]):
        raise anti_aliased(path, f"{count} alpha values")


def anti_aliased(path: Path, found: str) -> MaskError:
    """Return the error for a mask with ``found``, values or colours, along its edges."""
    return MaskError(
        f"{path}: {found}: looks anti-aliased",
        hint="save the mask without smoothing (hard brush, nearest-neighbour resize), one value "
        "an object; for a single object, threshold it to 0 and 255",
    )


def is_smooth(rgb: NDArray[np.uint8]) -> bool:
    """Tell whether an ``(H, W, 3)`` picture has more colours than labels, or smoothed edges."""
    packed = rgb @ np.array([1 << 16, 1 << 8, 1])
    return np.unique(packed).size > MAX_VALUES + 1 or _has_edge_values(rgb)


def _has_edge_values(image: NDArray[np.uint8] | NDArray[np.uint16]) -> bool:
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
