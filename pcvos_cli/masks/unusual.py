"""Reference masks that are neither plain nor of the frame's size.

Other palettes, colours, cut-outs, deep grey, lossy formats; and masks that have to be resized.
"""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.errors import MaskError
from pcvos_cli.masks import reference
from pcvos_cli.masks.palette import voc_palette

Colour = tuple[int, int, int]

_REORDER = (
    "the background must be index 0 of the palette, or black: save the mask as RGB, or reorder"
)


def read_unusual(
    path: Path,
    image: Image.Image,
    colours: reference.ColourMap,
    notes: list[str],
    *,
    lossy: bool,
) -> NDArray[np.int32]:
    """Read the ids of an image; those of a plain one are read by ``read_reference``.

    Args:
        path: The file.
        image: Upright.
        colours: As for ``read_reference``.
        notes: Decisions are added here.
        lossy: It is a JPEG.

    Returns:
        ``(H, W)`` int32 ids, with void as 0.

    Raises:
        MaskError: Its values cannot be ids.
    """
    if lossy:
        return _from_lossy(path, image, notes, "JPEG")
    if _is_lossy_webp(path) and image.getextrema()[3:] in ((), ((255, 255),)):  # Else a cut-out.
        return _from_lossy(path, image, notes, "WebP")
    if image.mode in {"P", "PA"}:
        return _from_indices(path, image, colours, notes)
    if image.mode.startswith("I") or image.mode == "F":
        return _from_deep_grey(path, np.asarray(image), notes)
    return _from_colours(path, image, colours, notes)


def read_unidentified(path: Path, error: Exception, notes: list[str]) -> NDArray[np.int32]:
    """Read the ids of a TIFF whose numbers Pillow does not know, such as whole ones of 64 bits.

    Raises:
        InputError: It is no TIFF.
        MaskError: Its values cannot be ids.
    """
    import tifffile

    try:
        values = np.asarray(tifffile.imread(path, key=0))
    except (OSError, ValueError, IndexError, KeyError, RuntimeError, tifffile.TiffFileError):
        raise reference.no_image(path, error) from error
    if values.ndim != 2:
        raise MaskError(f"{path}: colours of floats cannot be a mask", hint="save ids, or RGB")
    return _from_deep_grey(path, values, notes)


def _from_indices(
    path: Path, image: Image.Image, colours: reference.ColourMap, notes: list[str]
) -> NDArray[np.int32]:
    """Read an indexed image that has not the palette of DAVIS.

    An index is an id where index 0 can be the background. Tools that choose the palette
    themselves (quantising, shrinking) put colours in any order; then the colours count, as
    in an RGB image of the same picture.
    """
    indices = np.asarray(image if image.mode == "P" else image.getchannel("P"))
    used, first = np.unique(indices, return_index=True)
    rgba = np.asarray(image.convert("RGBA"))
    found = rgba.reshape(-1, 4)[first]
    by_index = dict(zip(used.tolist(), map(tuple, found[:, :3].tolist()), strict=True))
    clear = [i for i, alpha in zip(used.tolist(), found[:, 3].tolist(), strict=True) if alpha == 0]
    flat = np.ascontiguousarray(np.where(rgba[..., 3:] > 0, rgba[..., :3], 0))
    if clear and (clear != [0] or is_smooth(flat)):  # The second is a cut-out.
        if clear != [0]:
            notes.append(f"index {clear[0]} of the palette is transparent: read by its colours")
        return _from_colours(path, image, colours, notes)
    greys = {i: colour[0] for i, colour in by_index.items() if len(set(colour)) == 1}
    dark = max(greys.values(), default=0) < reference.MAX_VALUES
    if len(greys) == used.size > 1 and dark and len(set(greys.values())) == used.size:
        if any(i != grey for i, grey in greys.items()):
            notes.append("the palette's greys are small numbers: read as the object ids")
        table = np.zeros(256, np.int32)
        table[list(greys)] = list(greys.values())
        return table[indices]
    voc = {tuple(colour): i for i, colour in enumerate(voc_palette().tolist())}
    known = set(by_index.values()) <= set(voc)
    if known and len(greys) < used.size and any(voc[c] != i for i, c in by_index.items()):
        return _from_colours(path, image, colours, notes)  # In another order, as in GIF.
    zero = _entry(image, 0)
    if not clear and zero != (0, 0, 0):
        black = [i for i, colour in by_index.items() if colour == (0, 0, 0)]
        if black:
            notes.append(
                f"index 0 of the palette is {_hex(zero)}, and black is index {black[0]}: read by "
                "its colours, with black as the background"
            )
            return _from_colours(path, image, colours, notes)
        edge = np.concatenate([indices[0], indices[-1], indices[:, 0], indices[:, -1]])
        if not (edge == 0).any():
            raise MaskError(
                f"{path}: index 0 of the palette is {_hex(zero)} and nowhere at the border, so it "
                "cannot be the background",
                hint=_REORDER,
            )
        notes.append(f"index 0 of the palette, {_hex(zero)}, is the background")
    if is_smooth(flat):
        raise reference.anti_aliased(path, f"{used.size} colours", used.size)
    return reference.apply_void(indices.astype(np.int32), notes)


def _from_cutout(path: Path, rgba: NDArray[np.uint8], notes: list[str]) -> NDArray[np.int32] | None:
    """Read the picture of an object that is transparent elsewhere: its alpha is the mask.

    ``None`` where its colours are labels.
    """
    alpha, rgb = rgba[..., 3], rgba[..., :3]
    seen = rgb[alpha > 0]
    if not seen.size:
        raise MaskError(
            f"{path}: is transparent everywhere", hint="the object has to be opaque in a cut-out"
        )
    is_black = not seen.any()
    on_black = np.ascontiguousarray(np.where(alpha[..., None] > 0, rgb, 0))
    if not is_black and not is_smooth(on_black):
        return None
    values = np.unique(alpha)
    if values.size > 2:
        raise MaskError(
            f"{path}: a cut-out with soft edges ({values.size} values of alpha)",
            hint="threshold its alpha, or save the alpha alone as a mask of 0 and 255",
        )
    notes.append("a cut-out: what is not transparent is object 1")
    return (alpha > 0).astype(np.int32)


def _entry(image: Image.Image, index: int) -> Colour:
    """Return the RGB of an index."""
    red, green, blue = (image.getpalette() or [0, 0, 0])[3 * index : 3 * index + 3]
    return red, green, blue


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _from_deep_grey(path: Path, values: NDArray[np.generic], notes: list[str]) -> NDArray[np.int32]:
    """Read 16-bit grey (or 32-bit with such values): ids up to 65535."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise MaskError(f"{path}: has values that are no numbers", hint="put 0 in their place")
    if values.dtype.kind == "f" and not np.array_equal(values, np.rint(values.astype(float))):
        raise reference.anti_aliased(path, "fractional values")
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
    if reference.has_edge_values(labels.astype(np.uint16)[..., None]):
        raise reference.anti_aliased(path, f"{distinct.size} values")
    return reference.apply_void(labels, notes)


def _is_lossy_webp(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(12)
        while head[:4] == b"RIFF" and head[8:] == b"WEBP" and len(chunk := file.read(8)) == 8:
            if chunk[:4] == b"VP8 ":  # Of a lossless one, VP8L.
                return True
            length = int.from_bytes(chunk[4:], "little")
            file.seek(length + length % 2, 1)
    return False


def _from_lossy(path: Path, image: Image.Image, notes: list[str], kind: str) -> NDArray[np.int32]:
    """Read a JPEG or the like: black and white with noise becomes id 1, others are refused."""
    hint = f"save masks as PNG: {kind} changes values and blurs edges"
    rgb = np.asarray(image.convert("RGB")).astype(np.int16)
    grey = np.asarray(image.convert("L"))
    if np.ptp(rgb, axis=2).max() > 32:
        raise MaskError(f"{path}: a colour {kind} cannot be a mask", hint=hint)
    between = ((grey >= 48) & (grey < 208)).astype(np.uint8)
    # Noise and blur make thin lines of medium grey; an area of it is another value.
    if cv2.erode(between, np.ones((5, 5), np.uint8), borderValue=0).any():
        count = np.unique(grey).size
        raise MaskError(f"{path}: a {kind} with {count} grey values, not two", hint=hint)
    notes.append(f"{kind}: values of 128 and above are object 1")
    return (grey >= 128).astype(np.int32)


def _from_colours(
    path: Path, image: Image.Image, colours: reference.ColourMap, notes: list[str]
) -> NDArray[np.int32]:
    """Read colours: grey ones as grey, those of the DAVIS palette as its ids, else numbered."""
    rgba = np.asarray(image.convert("RGBA"))
    if rgba[..., 3].min(initial=255) == 0:
        cutout = _from_cutout(path, rgba, notes)
        if cutout is not None:
            return cutout
    _refuse_soft_alpha(path, rgba[..., 3])
    rgb = np.where(rgba[..., 3:] > 0, rgba[..., :3], 0).astype(np.uint8)
    if (rgb == rgb[..., :1]).all():
        return reference.from_grey(path, rgb[..., 0], notes)
    wide = rgb.astype(np.int32)
    packed = (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]
    keys, first, inverse = np.unique(packed, return_index=True, return_inverse=True)
    if keys.size > reference.MAX_VALUES + 1 or reference.has_edge_values(rgb):
        raise reference.anti_aliased(path, f"{keys.size} colours")

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
        return reference.apply_void(ids[inverse].reshape(packed.shape), notes)
    listed = ", ".join(
        f"#{r:02x}{g:02x}{b:02x} = {colours[(r, g, b)]}"
        for r, g, b in sorted((c for c in found if c != (0, 0, 0)), key=lambda c: colours[c])
    )
    notes.append(f"colours numbered: {listed}")
    return ids[inverse].reshape(packed.shape)


def _refuse_soft_alpha(path: Path, alpha: NDArray[np.uint8]) -> None:
    count = np.unique(alpha).size
    if count > 2 and reference.has_edge_values(alpha[..., None]):
        raise reference.anti_aliased(path, f"{count} alpha values")


def is_smooth(rgb: NDArray[np.uint8]) -> bool:
    """Tell whether an ``(H, W, 3)`` picture has more colours than labels, or smoothed edges."""
    packed = rgb @ np.array([1 << 16, 1 << 8, 1])
    return np.unique(packed).size > reference.MAX_VALUES + 1 or reference.has_edge_values(rgb)


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
    return reference.resize_nearest(labels, size)


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
