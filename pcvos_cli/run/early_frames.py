"""Frames that get their masks without the model: empty ones, and those of an earlier pass."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from pcvos_cli.run.decoding import Decoded
from pcvos_cli.run.report import RunPlan
from pcvos_cli.run.threads import BackgroundWriter

OnFrames = Callable[[int], None]
"""Called with the number of further frames that have their masks."""


def write_empty(
    decoded: Iterator[Decoded], plan: RunPlan, out: BackgroundWriter, on_frames: OnFrames | None
) -> int:
    """Give frames before the first reference mask an empty one; return how many there were."""
    labels = np.zeros(plan.source_size, np.int32)
    scores = np.zeros((1 + len(plan.object_ids), *plan.working_size), np.float32)
    scores[0] = 1
    count = 0
    for frame, _ in decoded:
        out.submit(frame, labels, scores if out.wants_probs else None)
        count += 1
        if on_frames is not None:
            on_frames(1)
    return count


def write_again(
    decoded: Iterator[Decoded],
    finished: Iterator[NDArray[np.int32]],
    out: BackgroundWriter,
    on_frames: OnFrames | None,
) -> int:
    """Give frames the masks that they were given before; return how many there were.

    Those of an unfinished run are written again, for the overlay and the JSON come into
    being only as a whole, and those of a backward pass for the first time. Scores are files
    already.
    """
    count = 0
    for (frame, _), labels in zip(decoded, finished, strict=True):
        out.submit(frame, labels, None)
        count += 1
        if on_frames is not None:
            on_frames(1)
    return count
