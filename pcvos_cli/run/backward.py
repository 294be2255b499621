"""From the first reference mask back to the start of a run, in bounded memory.

The frames before it are decoded once, forwards, and kept on disk at the working size; then
they are segmented from the last to the first, as a video that begins with the reference
frame. Their labels wait in the journal, for the writers take frames in order.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np

from model.inference.clips import iter_clips
from model.ops.timing import StageClock
from model.types import ReferenceMask
from pcvos_cli.files import make_directory, write_whole
from pcvos_cli.masks.journal import LabelJournal
from pcvos_cli.masks.writers import MaskWriter, ScoresWriter
from pcvos_cli.run.frames import Decoded, decode, new_segmenter, segmented
from pcvos_cli.run.output_folder import SCORES
from pcvos_cli.run.plan import Job
from pcvos_cli.run.threads import READ_AHEAD, prefetch
from pcvos_cli.video.source import Frame, FrameSource


def segment_backward(
    source: FrameSource,
    job: Job,
    journal: LabelJournal,
    scratch: Path,
    clock: StageClock,
    on_frames: Callable[[int], None],
    soft: MaskWriter | None = None,
) -> bool:
    """Segment the frames before the first reference mask, and put their labels into the journal.

    Scores and soft masks are written on the way.

    Args:
        source: The video.
        job: The run.
        journal: Of the run.
        scratch: A folder for the frames, emptied first. Its owner deletes it.
        clock: Charged with all stages.
        on_frames: Called with the number of further frames that have their masks.
        soft: Keeps the soft masks, if the run needs them.

    Returns:
        Whether there is a reference frame: a container may promise too many.

    Raises:
        InputError: As ``decode``.
        OutputError: Frames, labels or scores cannot be written.
    """
    first = job.plan.first_frame
    kept = _KeptFrames(scratch)
    with prefetch(decode(source, job, clock), READ_AHEAD) as decoded:
        if not any(kept.add(item).index == first for item in decoded):
            return False
    writers: list[MaskWriter] = [journal]
    if "scores" in job.settings.formats:
        writers.append(ScoresWriter(Path(job.plan.output) / SCORES))
    if soft is not None:
        writers.append(soft)
    reference = job.references[first]
    segmenter = new_segmenter(job, clock)
    clips = iter_clips(
        kept.backwards(),
        {0: ReferenceMask(0, reference.labels, reference.object_ids)},
        interval=job.settings.inference.interval,
        pixels=lambda item: item.pixels,
        begins_shot=lambda item: item.begins_shot,
    )
    for clip in clips:
        for frame in segmented(clip, segmenter, job, clock):
            if frame.index == first:
                continue  # It belongs to the way forward.
            for writer in writers:
                writer.write(frame)
            on_frames(1)
        del clip  # Not while the next one is made.
    return True


class _KeptFrames:
    """Frames at the working size on disk, without loss."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: list[tuple[str, int]] = []  # Output name and pts.
        self._begins: list[bool] = []  # Whether a shot begins with a frame.
        self._first = 0
        with suppress(OSError):
            shutil.rmtree(folder)
        make_directory(folder)

    def add(self, item: Decoded) -> Frame:
        """Keep the next frame, and return it."""
        frame = item.frame
        if not self._names:
            self._first = frame.index
        _, png = cv2.imencode(".png", item.pixels[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
        write_whole(self._path(frame.index), png.tobytes())
        self._names.append((frame.name, frame.pts))
        self._begins.append(item.begins_shot)
        return frame

    def backwards(self) -> Iterator[Decoded]:
        """Yield the frames, last one first, and delete them; their RGB is of the working size."""
        for position in reversed(range(len(self._names))):
            index = self._first + position
            path = self._path(index)
            picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
            assert picture is not None, f"{path}: written by this run and gone"
            path.unlink()
            pixels = np.ascontiguousarray(picture[..., ::-1]).astype(np.uint8, copy=False)
            name, pts = self._names[position]
            # Seen backwards, a shot begins with its last frame.
            begins_shot = any(self._begins[position + 1 : position + 2])
            yield Decoded(Frame(index, name, pts, pixels), pixels, begins_shot)

    def _path(self, index: int) -> Path:
        return self._folder / f"{index:05}.png"
