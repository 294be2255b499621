"""From the first reference mask back to the start of a run, in bounded memory.

The frames before it are decoded once, forwards, and kept on disk at the working size; then
they are segmented from the last to the first, as a video that begins with the reference
frame. Their labels wait on disk too, for the writers take frames in order.
"""

import shutil
from array import array
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from model.inference.clips import iter_clips
from model.inference.segmenter import ClipSegmenter
from model.ops.timing import StageClock
from model.types import ClipPrediction, ReferenceMask
from pcvos_cli.files import make_directory, output_errors, write_whole
from pcvos_cli.masks.writers import ScoresWriter
from pcvos_cli.run.decoding import Decoded, decode
from pcvos_cli.run.early_frames import OnFrames
from pcvos_cli.run.formats import PLACES, all_channels
from pcvos_cli.run.journal import pack_labels, unpack_labels
from pcvos_cli.run.plan import Job
from pcvos_cli.run.settings import SegmentSettings
from pcvos_cli.run.threads import READ_AHEAD, prefetch
from pcvos_cli.video.source import FrameSource


class BackwardPass:
    """What lies before the first reference mask of a run.

    Args:
        room: A folder for frames and labels, emptied first. Its owner deletes it.
        job: The run.
        interval: L.

    Raises:
        OutputError: The folder cannot be made.
    """

    def __init__(self, room: Path, job: Job, interval: int) -> None:
        self._room = room
        self._job = job
        self._interval = interval
        self._names: list[str] = []
        self._offsets = array("Q", [0])
        with suppress(OSError):
            shutil.rmtree(room)
        make_directory(room)

    def keep(self, decoded: Iterator[Decoded]) -> bool:
        """Put the frames up to the reference frame on disk, without loss.

        Args:
            decoded: Frames from the run's first on, with their pixels at the working size.

        Returns:
            Whether there is a reference frame: a container may promise too many.

        Raises:
            OutputError: They cannot be written.
        """
        last = self._job.plan.first_frame
        for frame, small in decoded:
            _, png = cv2.imencode(".png", small[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
            write_whole(self._path(frame.index), png.tobytes())
            self._names.append(frame.name)
            if frame.index == last:
                return True
        return False

    def segment(
        self,
        segmenter: ClipSegmenter,
        clock: StageClock,
        on_masks: Callable[[tuple[str, ...], ClipPrediction], None],
    ) -> int:
        """Segment the kept frames, from the last to the first.

        Args:
            segmenter: A new one.
            clock: Charged with the stages ``model`` and ``labels``.
            on_masks: Called with the names of further frames, last one first, and their soft
                masks.

        Returns:
            The number of frames before the reference frame.

        Raises:
            OutputError: The labels cannot be written.
        """
        plan = self._job.plan
        reference = self._job.references[plan.first_frame]
        # Seen backwards the reference frame is frame 0.
        references = {0: ReferenceMask(0, reference.labels, reference.object_ids)}
        path = self._room / "labels.jsonl"
        with output_errors(path), path.open("wb") as file:
            for clip in iter_clips(self._backwards(), references, interval=self._interval):
                for prediction in clock.each("model", segmenter.segment_frames(clip)):
                    if clip.start == 0:
                        continue  # The reference frame belongs to the way forward.
                    first = plan.first_frame - plan.start - prediction.start
                    with clock("labels"):
                        for labels in prediction.labels(plan.source_size):
                            file.write(pack_labels(labels.numpy()))
                            self._offsets.append(file.tell())
                    names = self._names[first - len(prediction) + 1 : first + 1]
                    on_masks(tuple(reversed(names)), prediction)
        return len(self._offsets) - 1

    def labels(self) -> Iterator[NDArray[np.int32]]:
        """Yield the labels in the order of the video, ``(H, W)`` int32 at the source's size."""
        with (self._room / "labels.jsonl").open("rb") as file:
            for end, begin in pairwise(reversed(self._offsets)):
                file.seek(begin)
                yield unpack_labels(file.read(end - begin), self._job.plan.source_size)

    def _backwards(self) -> Iterator[NDArray[np.uint8]]:
        plan = self._job.plan
        for index in range(plan.first_frame, plan.start - 1, -1):
            path = self._path(index)
            picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
            assert picture is not None, f"{path}: written by this run and gone"
            path.unlink()
            yield np.ascontiguousarray(picture[..., ::-1])

    def _path(self, index: int) -> Path:
        return self._room / f"{index:05}.png"


def new_segmenter(
    job: Job, settings: SegmentSettings, *, synchronise: bool = False
) -> ClipSegmenter:
    """Return a segmenter without a memory, as the settings want it.

    Args:
        job: The run.
        settings: Of the method.
        synchronise: As for ``ClipSegmenter``.
    """
    return ClipSegmenter(
        job.model,
        settings.inference,
        device=job.device,
        autocast=torch.float16 if settings.amp else None,
        synchronise=synchronise,
    )


def segment_backward(
    source: FrameSource,
    job: Job,
    folder: Path,
    room: Path,
    settings: SegmentSettings,
    clock: StageClock,
    on_frames: OnFrames | None,
) -> BackwardPass | None:
    """Segment what lies before the first reference mask; scores are written on the way.

    Returns:
        Where the labels are, or ``None`` if the reference frame cannot be decoded.
    """
    backward = BackwardPass(room, job, settings.inference.interval)
    with prefetch(decode(source, job, clock, settings), READ_AHEAD) as decoded:
        if not backward.keep(decoded):
            return None
    scores = ScoresWriter(folder / PLACES["scores"]) if "scores" in settings.formats else None

    def finish(names: tuple[str, ...], prediction: ClipPrediction) -> None:
        if scores is not None:
            for t, name in enumerate(names):
                scores.write_named(name, all_channels(prediction, t, job.plan.object_ids))
        if on_frames is not None:
            on_frames(len(names))

    segmenter = new_segmenter(job, settings)
    backward.segment(segmenter, clock, finish)
    clock.add(segmenter.stage_seconds)
    return backward
