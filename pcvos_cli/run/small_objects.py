"""Notes on objects that are too small for the size that the network works at."""

from collections.abc import Mapping, Sequence

import numpy as np

from model.config import STRIDE
from model.types import ReferenceMask

Size = tuple[int, int]

CROP = (
    "cut the video down to its surroundings and enlarge them, and the mask alike "
    "(ffmpeg -vf crop=W:H:X:Y,scale=4*iw:-2)"
)
"""What helps where ``--size`` cannot: of a disk of 80 pixels that moved through 20 frames of
320x240, J rose from 0.03 to 0.78 with a quarter of the picture, four times as large."""


MOST_NOTES = 5
"""More objects share one note."""


def notes_on_small(
    references: Mapping[int, ReferenceMask], working_size: Size, source_size: Size, largest: str
) -> list[str]:
    """Return a note for each object that has fewer pixels than a cell, and what would help.

    Args:
        references: At the working size, by frame index.
        working_size: ``(height, width)``.
        source_size: Of the video.
        largest: As ``larger_size`` returns it.
    """
    cell, short = STRIDE**2, min(working_size)
    small: dict[int, tuple[int, int]] = {}  # Pixels and frame, by object.
    for frame, reference in sorted(references.items()):
        areas = np.bincount(
            reference.labels.numpy().ravel(), minlength=max(reference.object_ids) + 1
        )
        for object_id in reference.object_ids:
            if areas[object_id] < cell:
                small.setdefault(object_id, (int(areas[object_id]), frame))
    if len(small) > MOST_NOTES:
        smallest = min(small, key=lambda object_id: small[object_id])
        others = f" ({len(small)} objects are so small, this one most)"
        small = {smallest: small[smallest]}
    else:
        others = ""
    notes = []
    for object_id, (area, frame) in small.items():
        wanted = -(-short * (cell / max(area, 1)) ** 0.5 // STRIDE) * STRIDE
        size = largest if wanted >= min(source_size) else f"{wanted:.0f}"
        notes.append(
            f"object {object_id} has {area} pixels on frame {frame} at {working_size[1]}x"
            f"{working_size[0]}, less than a cell of the network ({STRIDE}x{STRIDE}), and may "
            f"get lost{others}: try --size {size}"
        )
    return notes


def notes_on_lost(
    given: Mapping[int, Sequence[int]],
    frames_with: Mapping[int, int],
    largest: str | None,
) -> list[str]:
    """Return a note for each object that is on no frame but those of its masks.

    Args:
        given: Frames of the masks that list an object, by its id.
        frames_with: Number of frames that each object is on.
        largest: As ``larger_size`` returns it.
    """
    advice = {None: CROP, "auto": "try --size auto"}.get(largest, "try a larger --size")
    lost = {i: f for i, f in given.items() if frames_with.get(i, 0) <= len(f)}
    if len(lost) > MOST_NOTES:
        ids = ", ".join(map(str, lost))
        return [
            f"objects {ids} are on no frame besides their masks': if they are still there, they "
            f"are too small or too faint; {advice}"
        ]
    return [
        f"object {object_id} is on no frame besides its mask's ({', '.join(map(str, frames))}): if "
        f"it is still there, it is too small or too faint; {advice}"
        for object_id, frames in lost.items()
    ]
