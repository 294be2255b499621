"""Frames of a run as they come: the source's pixels, and those that the model sees."""

from collections import deque
from collections.abc import Iterator
from typing import Self

import numpy as np
from numpy.typing import NDArray

from model.errors import InputError
from model.ops.timing import StageClock
from pcvos_cli.run.plan import Job
from pcvos_cli.run.settings import SegmentSettings
from pcvos_cli.video.source import Frame, FrameSource
from pcvos_cli.video.working_size import resize_frame

Decoded = tuple[Frame, NDArray[np.uint8]]
"""A frame of the source, and its pixels at the working size."""


def decode(
    source: FrameSource, job: Job, clock: StageClock, settings: SegmentSettings
) -> Iterator[Decoded]:
    """Yield a run's frames and what the model sees of them.

    Raises:
        InputError: The input cannot be read on; with ``strict``, it is damaged.
    """
    frames = source.frames_from(job.frames.first)
    while True:
        with clock("decode"):
            frame = next(frames, None)
        if settings.strict and source.warnings:
            raise InputError(
                f"{source.info.path}: {source.warnings[0]}",
                hint="leave --strict out to keep what decodes",
            )
        if frame is None or frame.index not in job.frames:
            return
        with clock("resize"):
            small = resize_frame(frame.rgb, job.plan.working_size)
        yield frame, small


class UntilUnreadable:
    """Frames up to the one at which the input cannot be read on.

    What was decoded by then is worth its masks, so the error waits until they are written.

    Args:
        decoded: The frames of a run.
        strict: Do not keep them: let the error through.

    Attributes:
        error: Why the frames ended before the input did, or ``None``.
    """

    def __init__(self, decoded: Iterator[Decoded], *, strict: bool = False) -> None:
        self._decoded = decoded
        self._strict = strict
        self.error: InputError | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Decoded:
        """Return the next frame.

        Raises:
            InputError: The input cannot be read on, and ``strict`` is set.
        """
        try:
            return next(self._decoded)
        except InputError as error:
            if self._strict:
                raise
            self.error = error
            raise StopIteration from None


def keep_frames(decoded: Iterator[Decoded], waiting: deque[Frame]) -> Iterator[NDArray[np.uint8]]:
    """Yield pixels at the working size; the frames they belong to wait for their masks."""
    for frame, small in decoded:
        waiting.append(frame)
        yield small
