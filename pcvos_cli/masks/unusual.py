"""Reference masks that say in an unusual way where the objects are: other palettes, cut-outs."""

from pathlib import Path

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


def read_indexed(
    path: Path,
    image: Image.Image,
    indices: NDArray[np.uint8],
    colours: reference.ColourMap,
    notes: list[str],
) -> NDArray[np.int32]:
    """Read an indexed image that has not the palette of DAVIS.

    An index is an id where index 0 can be the background. Tools that choose the palette
    themselves (quantising, shrinking) put colours in any order; then the colours count, as
    in an RGB image of the same picture.

    Args:
        path: The file.
        image: Of mode ``P`` or ``PA``.
        indices: ``(H, W)``, its indices.
        colours: As for ``read_reference``.
        notes: Decisions are added here.

    Returns:
        ``(H, W)`` int32 ids, with void as 0.

    Raises:
        MaskError: It is smoothed, or index 0 cannot be the background.
    """
    used, first = np.unique(indices, return_index=True)
    rgba = np.asarray(image.convert("RGBA"))
    found = rgba.reshape(-1, 4)[first]
    by_index = dict(zip(used.tolist(), map(tuple, found[:, :3].tolist()), strict=True))
    clear = [i for i, alpha in zip(used.tolist(), found[:, 3].tolist(), strict=True) if alpha == 0]
    flat = np.ascontiguousarray(np.where(rgba[..., 3:] > 0, rgba[..., :3], 0))
    if clear and (clear != [0] or reference.is_smooth(flat)):  # The second is a cut-out.
        if clear != [0]:
            notes.append(f"index {clear[0]} of the palette is transparent: read by its colours")
        return reference.from_colours(path, image, colours, notes)
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
        return reference.from_colours(path, image, colours, notes)  # In another order, as in GIF.
    zero = _entry(image, 0)
    if not clear and zero != (0, 0, 0):
        black = [i for i, colour in by_index.items() if colour == (0, 0, 0)]
        if black:
            notes.append(
                f"index 0 of the palette is {_hex(zero)}, and black is index {black[0]}: read by "
                "its colours, with black as the background"
            )
            return reference.from_colours(path, image, colours, notes)
        edge = np.concatenate([indices[0], indices[-1], indices[:, 0], indices[:, -1]])
        if not (edge == 0).any():
            raise MaskError(
                f"{path}: index 0 of the palette is {_hex(zero)} and nowhere at the border, so it "
                "cannot be the background",
                hint=_REORDER,
            )
        notes.append(f"index 0 of the palette, {_hex(zero)}, is the background")
    if reference.is_smooth(flat):
        raise reference.anti_aliased(path, f"{used.size} colours")
    return reference.apply_void(indices.astype(np.int32), notes)


def read_cutout(path: Path, rgba: NDArray[np.uint8], notes: list[str]) -> NDArray[np.int32] | None:
    """Read the picture of an object that is transparent elsewhere: its alpha is the mask.

    Args:
        path: The file.
        rgba: ``(H, W, 4)``, transparent somewhere.
        notes: Decisions are added here.

    Returns:
        ``(H, W)`` int32, 1 where it is opaque; ``None`` where its colours are labels.

    Raises:
        MaskError: It is transparent everywhere, or a cut-out with soft edges.
    """
    alpha, rgb = rgba[..., 3], rgba[..., :3]
    seen = rgb[alpha > 0]
    if not seen.size:
        raise MaskError(
            f"{path}: is transparent everywhere", hint="the object has to be opaque in a cut-out"
        )
    is_black = not seen.any()
    on_black = np.ascontiguousarray(np.where(alpha[..., None] > 0, rgb, 0))
    if not is_black and not reference.is_smooth(on_black):
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
