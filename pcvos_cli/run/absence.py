"""``--absent``: frames on which an object is not, stated as a reference mask states what is."""

from collections.abc import Iterable, Mapping, Sequence

import torch

from model.errors import ConfigError
from model.types import ReferenceMask
from pcvos_cli.video.source import FrameRange


def state_absent(
    absent: Iterable[tuple[int, int]],
    references: Mapping[int, ReferenceMask],
    frames: FrameRange,
    ends: Sequence[tuple[int, int]],
) -> dict[int, ReferenceMask]:
    """Return the reference masks, with objects that they list and do not show.

    Such a frame enters the memory as any reference does, so that what is there is not taken for
    the object later on.

    Args:
        absent: Pairs of an object's id and the index of a frame.
        references: By frame index; each has entered before.
        frames: Of the run.
        ends: Pairs of an object's id and the first frame from which it is ended. Where it is, its
            absence needs no statement, and one would bring it back as a mask does.

    Raises:
        ConfigError: A mask of that frame shows the object, or the run has no such frame.
    """
    stated = dict(references)
    blank = torch.zeros_like(next(iter(references.values())).labels)
    for object_id, index in absent:
        option = f"--absent {object_id}@{index}"
        if index not in frames:
            raise ConfigError(
                f"{option}: the run has no such frame",
                hint="change --start or --end, or leave it out",
            )
        shown = [f for f, mask in references.items() if object_id in mask.object_ids and f <= index]
        if index in shown:
            raise ConfigError(
                f"{option}: a mask of that frame shows it", hint="leave one of them out"
            )
        if any(object_id == ended and max(shown) < end <= index for ended, end in ends):
            continue
        mask = stated.get(index, ReferenceMask(index, blank, ()))
        ids = tuple(sorted({*mask.object_ids, object_id}))
        stated[index] = ReferenceMask(index, mask.labels, ids)
    return dict(sorted(stated.items()))
