"""``--absent``: frames on which an object is not, stated as a reference mask states what is."""

from collections.abc import Iterable, Mapping

import torch

from model.errors import ConfigError
from model.types import ReferenceMask
from pcvos_cli.video.source import FrameRange


def state_absent(
    absent: Iterable[tuple[int, int]], references: Mapping[int, ReferenceMask], frames: FrameRange
) -> dict[int, ReferenceMask]:
    """Return the reference masks, with objects that they list and do not show.

    Such a frame enters the memory as any reference does, so that what is there is not taken for
    the object later on.

    Args:
        absent: Pairs of an object's id and the index of a frame.
        references: By frame index; each has entered before.
        frames: Of the run.

    Raises:
        ConfigError: A mask of that frame shows the object, or the run has no such frame.
    """
    stated = dict(references)
    blank = torch.zeros_like(next(iter(references.values())).labels)
    for object_id, index in absent:
        mask = stated.get(index, ReferenceMask(index, blank, ()))
        if index not in frames or object_id in references.get(index, mask).object_ids:
            why = (
                "a mask of that frame shows it" if index in frames else "the run has no such frame"
            )
            raise ConfigError(f"--absent {object_id}@{index}: {why}", hint="leave one of them out")
        ids = tuple(sorted({*mask.object_ids, object_id}))
        stated[index] = ReferenceMask(index, mask.labels, ids)
    return dict(sorted(stated.items()))
