"""Strays: parts of a predicted mask that lie far from their object's body.

Matching looks at appearance and place, not at whether a mask hangs together. So a spot of the
background that looks like the object is taken in while the object passes before it, stays
behind, comes back from the memory with every clip, and grows. An object, however, does not
shed parts: what lies far from its body is dropped, from the memory as from the output.

What lies near is doubtful. A double that the object touched, and now leaves behind, looks like
it; but the places of the reference mask that the double looks like are found again on the
body, while each part of the object, cut off by what it passes behind, has places of its own.

Not in the paper; ``PCVOSConfig.drop_strays`` says which weights are meant to run with it.
"""

from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from model.config import STRIDE as KEY_STRIDE
from model.inference.shots import SUPPORT

STRIDE = 4
"""Side of a cell, pixels: parts are told apart, and dropped, by cells."""

Recall = Callable[[int, NDArray[np.bool_], NDArray[np.bool_]], float]
"""From an object's id, the cells of a part and those of the whole mask to ``recalled``."""

STEP = 4
"""Cells over which a part of the body is found again on the next frame beyond its overlap."""

REACH = 0.1
"""A part nearer to the body than this belongs to it: in shorter sides of the frame, ..."""

REACH_OF_BODY = 0.1
"""... plus square roots of the body's area: the farther, the larger the object."""

DOUBTFUL = 0.25
"""From this share of the reach on, a part must be recalled."""

RECALLED = 0.1
"""A part is recalled if it has this share of the reference's places that its area lets expect.

The key's places, frames 55 to 70 of camel: the double 0 to 0.04. The pusher who lets go of
soapbox 0.95 to 1.98; large parts of bmx-trees between trees 0.17 to 2.4."""

FEW = 5
"""Where fewer places than these are to be expected, nothing is said of a part."""


class StrayFilter:
    """Follows the bodies of a video's objects, frame by frame.

    The parts of a reference mask are the body. On each later frame every part of the body
    is the connected part of the mask that overlaps it most; where none does, the object has
    jumped or come back, and all that is predicted is the body. A stray is smaller than the
    body, and farther from it than the reach, or than some of it and not recalled.
    """

    def __init__(self) -> None:
        self._bodies: dict[int, NDArray[np.int32]] = {}

    def bodies(self) -> dict[int, Tensor]:
        """Return all that ``drop`` depends on: ``(h, w)`` int32 cells by object id.

        0 is outside of the body, other numbers its parts.
        """
        return {object_id: torch.from_numpy(body) for object_id, body in self._bodies.items()}

    def restore(self, bodies: Mapping[int, Tensor]) -> None:
        """Go on from what ``bodies`` of another filter returned."""
        self._bodies = {i: body.numpy().astype(np.int32) for i, body in bodies.items()}

    def begin(self, object_id: int, mask: Tensor) -> None:
        """Take a reference mask ``(H, W)``, 0 to 1, sides multiples of ``STRIDE``."""
        cells = _cells(mask[None])[0]
        self._bodies[object_id] = _parts(cells)[1]

    def drop(
        self, probs: Tensor, object_ids: tuple[int, ...], recalls: Sequence[Recall] = ()
    ) -> None:
        """Give the strays of a clip to the background, in place.

        Args:
            probs: ``(K + 1, T, H, W)``, channel 0 is the background, the others the objects
                of ``object_ids``; H and W multiples of ``STRIDE``.
            object_ids: K ids; one without a body is left alone.
            recalls: For each of the T frames what knows the reference masks, or nothing:
                then all within reach stay.
        """
        for channel, object_id in enumerate(object_ids, start=1):
            if object_id not in self._bodies:
                continue
            for t, cells in enumerate(_cells(probs[channel])):
                strays = self._follow(object_id, cells, recalls[t] if recalls else None)
                if strays is None:
                    continue
                grid = torch.from_numpy(strays).to(probs.device)
                pixels = grid.repeat_interleave(STRIDE, 0).repeat_interleave(STRIDE, 1)
                given = probs[channel, t] * pixels
                probs[0, t] += given
                probs[channel, t] -= given

    def _follow(
        self, object_id: int, cells: NDArray[np.uint8], recall: Recall | None
    ) -> NDArray[np.bool_] | None:
        """Find the body in the next frame's cells, and return the strays if there are any."""
        count, parts = _parts(cells)
        if count == 0:  # Hidden: it will come back somewhere near, or anywhere.
            return None
        if count == 1:
            self._bodies[object_id] = parts
            return None
        body_parts = _found_again(self._bodies[object_id], parts, count)
        if not body_parts.any():
            self._bodies[object_id] = parts
            return None
        body = np.where(body_parts[parts], parts, 0).astype(np.int32)
        self._bodies[object_id] = body
        area = np.bincount(parts.ravel(), minlength=count + 1)
        body_area = int(area[body_parts].sum())
        reach = REACH * min(cells.shape) + REACH_OF_BODY * np.sqrt(body_area)
        away = cv2.distanceTransform((body == 0).astype(np.uint8), cv2.DIST_L2, 3)
        near = np.zeros(count + 1, bool)
        near[parts[away <= reach]] = True
        if recall is not None:
            beside = near.copy()
            beside[parts[away <= DOUBTFUL * reach]] = False
            beside[0] = False
            for part in np.flatnonzero(beside):
                near[part] = recall(object_id, parts == part, parts > 0) >= RECALLED
        stray_parts = ~near & (area < body_area)
        stray_parts[0] = False
        if not stray_parts.any():
            return None
        strays = stray_parts[parts]
        # With the faint rim around them, but without what belongs to the object.
        wide = cv2.dilate(strays.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        return np.asarray(wide & (strays | (parts == 0)))


def recall_on(key: Tensor, places: Callable[[int], Tensor]) -> Recall:
    """Return what knows the reference masks on a frame.

    Args:
        key: ``(C_k, h, w)`` of the frame.
        places: From an object's id to the keys of its cells on its reference frames, ``(C_k, n)``.
    """

    def recall(object_id: int, part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> float:
        cells = torch.from_numpy(np.stack([part, whole]).astype(np.float32)).to(key.device)
        shares = functional.avg_pool2d(cells, KEY_STRIDE // STRIDE)
        return recalled(places(object_id), key, shares[0], shares[1])

    return recall


def recalled(reference: Tensor, key: Tensor, part: Tensor, whole: Tensor) -> float:
    """Say whether a part of a mask is a part of the object, by the reference masks.

    Each place of the object on its reference frames is found again on the frame, where the
    key is most alike. A part of the object has its share of these.

    Args:
        reference: ``(C_k, n)`` keys of the object's cells on its reference frames.
        key: ``(C_k, h, w)`` of the frame.
        part: ``(h, w)``, the share of each cell that the part covers.
        whole: The same of all that is predicted for the object.

    Returns:
        The share of the n places that are found in the part, over its share of the area;
        infinity where ``FEW`` could be.
    """
    inside = whole.flatten() > SUPPORT
    cells = (2 * part > whole).flatten()[inside]
    expected = float(cells.float().mean()) if len(cells) else 0.0
    if expected * reference.shape[1] < FEW:
        return float("inf")
    seen = functional.normalize(key.flatten(1)[:, inside].float(), dim=0)
    places = functional.normalize(reference.float(), dim=0)
    found = (places.T @ seen).argmax(1)
    return float(cells[found].float().mean()) / expected


def _cells(masks: Tensor) -> NDArray[np.uint8]:
    """Return ``(T, h, w)`` of 0 and 1: cells with a pixel of ``(T, H, W)`` above one half."""
    # Bytes, and rows first: a fifth of the time of pooling the masks themselves.
    inside = (masks > 0.5).view(torch.uint8)
    rows = inside.unflatten(-2, (-1, STRIDE)).amax(-2)
    return np.asarray(rows.unflatten(-1, (-1, STRIDE)).amax(-1).cpu().numpy())


def _parts(cells: NDArray[np.uint8]) -> tuple[int, NDArray[np.int32]]:
    """Return the number of connected parts, and the map that numbers them from 1."""
    count, parts = cv2.connectedComponents(cells, connectivity=8)
    return count - 1, np.asarray(parts, np.int32)


def _found_again(
    body: NDArray[np.int32], parts: NDArray[np.int32], count: int
) -> NDArray[np.bool_]:
    """Return which of ``parts`` (0 is none of them) go on from a part of ``body``."""
    side = 2 * STEP + 1
    # OpenCV dilates floats, not integers of 32 bits; numbers of parts are exact in them.
    wide = cv2.dilate(body.astype(np.float32), np.ones((side, side), np.uint8)).astype(np.int64)
    overlap = np.bincount(
        (wide * (count + 1) + parts).ravel(), minlength=(int(wide.max()) + 1) * (count + 1)
    ).reshape(-1, count + 1)
    overlap = overlap[1:, 1:]
    found = np.zeros(count + 1, bool)
    if overlap.size:
        found[overlap.argmax(1)[overlap.max(1) > 0] + 1] = True
    return found
