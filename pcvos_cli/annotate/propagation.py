"""Masks of further frames, made as ``pcvos segment`` would make them, as far as is asked for.

Going forward is a part of the one run that ``pcvos segment --mask OUT/references`` does: the
clips are its clips, and the segmenter's memory at the end of each is kept. After a correction
the run goes on from the last clip before it. So what the page shows is what the command
writes; masks of frames before the one that a propagation starts from are left as they are.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from model.errors import MaskError
from model.inference.clips import iter_clips
from model.inference.segmenter import ClipSegmenter
from model.memory.bank import MemoryFrame
from model.ops.frames import resize_frame
from model.ops.timing import StageClock
from model.types import ReferenceMask
from pcvos_cli.annotate.project import REFERENCES, Project
from pcvos_cli.run.frames import decode, new_segmenter
from pcvos_cli.run.plan import Job, prepare
from pcvos_cli.run.threads import prefetch
from pcvos_cli.video.source import FrameRange, FrameSource

KEPT = 24
"""Memories that are kept at most, of some 20 MB each at 480p."""

OnMask = Callable[[int], bool]
"""Told of each frame that is finished; returns whether to go on."""


@dataclass(frozen=True, slots=True)
class _Memory:
    """All that the clips from ``frame`` on depend on."""

    frame: int
    made_from: str
    object_ids: tuple[int, ...]
    frames: tuple[MemoryFrame, ...]
    bodies: dict[int, torch.Tensor]


class Propagation:
    """Runs of one project.

    Args:
        source: The video; one run at a time iterates it.
        project: Where references are read and masks written.
    """

    def __init__(self, source: FrameSource, project: Project) -> None:
        self._source = source
        self._project = project
        self._memories: dict[int, _Memory] = {}

    def forward(self, start: int, last: int, on_mask: OnMask) -> None:
        """Segment frames ``start`` to ``last``, and those before that have no mask yet.

        Args:
            start: The first frame whose mask may change.
            last: Included.
            on_mask: Called for every frame, also those that are only passed through.

        Raises:
            MaskError: No reference is at or before ``start``.
            PCVOSError: As ``segment_video``.
        """
        job = self._prepare()
        first = min(job.references)
        if start < first:
            raise MaskError(
                f"frame {start} lies before the first reference, which is frame {first}",
                hint="go there, or propagate backward from it",
            )
        project = self._project
        fixed = set(project.references)
        segmenter = new_segmenter(job, StageClock())
        kept = self._newest(start, job)
        memory = kept or _Memory(first, "", (), (), {})
        segmenter.restore(memory.object_ids, memory.frames, memory.bodies)
        begin = memory.frame
        job = replace(job, frames=FrameRange(begin, None))
        with prefetch(self._decode(job), 4) as frames:
            clips = iter_clips(
                frames,
                job.references,
                interval=job.settings.inference.interval,
                start=begin,
                continued=kept is not None,
                ends=job.ends,
            )
            for clip in clips:
                for prediction in segmenter.segment_frames(clip):
                    labels = prediction.labels(job.plan.source_size)
                    for frame in range(prediction.start, prediction.start + len(prediction)):
                        mask = next(labels).numpy().astype(np.uint8)
                        wanted = frame >= start or frame not in project.masked
                        # A frame that was corrected meanwhile keeps what was drawn.
                        if wanted and (frame in fixed or frame not in project.references):
                            project.put_mask(frame, mask)
                        if not on_mask(frame) or frame >= last:
                            return
                if not clip.final:
                    memory = self._keep(clip.start + len(clip.frames), job, segmenter, memory)

    def backward(self, start: int, last: int, on_mask: OnMask) -> None:
        """Segment from the reference ``start`` down to ``last``, not over other references.

        Raises:
            MaskError: ``start`` is no reference.
            PCVOSError: As ``segment_video``.
        """
        job = self._prepare()
        if start not in job.references:
            raise MaskError(
                f"frame {start} is no reference to go back from",
                hint="draw on it first, or keep its mask as a reference (R)",
            )
        reference = job.references[start]
        mirrored = {0: ReferenceMask(0, reference.labels, reference.object_ids)}
        project = self._project
        frames = (
            resize_frame(project.frames.rgb(i), job.plan.working_size) for i in range(start, -1, -1)
        )
        segmenter = new_segmenter(job, StageClock())
        for clip in iter_clips(frames, mirrored, interval=job.settings.inference.interval):
            for prediction in segmenter.segment_frames(clip):
                labels = prediction.labels(job.plan.source_size)
                for t in range(len(prediction)):
                    frame = start - prediction.start - t
                    mask = next(labels).numpy().astype(np.uint8)
                    if frame == start:
                        continue
                    if frame in project.references:
                        return
                    project.put_mask(frame, mask)
                    if not on_mask(frame) or frame <= last:
                        return

    def _decode(self, job: Job) -> Iterator[NDArray[np.uint8]]:
        for frame, small, _ in decode(self._source, job, StageClock()):
            self._project.frames.agree(frame.index, frame.pts)
            yield small

    def _prepare(self) -> Job:
        project = self._project
        if not project.references:
            raise MaskError("there is no mask to propagate", hint="draw an object first")
        references = [project.folder / REFERENCES]
        return prepare(self._source, references, project.folder, project.settings)

    def _history(self, frame: int, job: Job) -> str:
        """Return a digest of all that the memory before a frame is made from."""
        settings = job.settings
        ends = [pair for pair in job.ends if pair[1] < frame]
        made_with = (settings.inference.interval, settings.size, settings.model, ends)
        digest = hashlib.sha256(repr(made_with).encode())
        for index, reference in sorted(job.references.items()):
            if index < frame:
                digest.update(f"{index} {reference.object_ids}".encode())
                digest.update(reference.labels.numpy().tobytes())
        return digest.hexdigest()

    def _keep(self, frame: int, job: Job, segmenter: ClipSegmenter, before: _Memory) -> _Memory:
        """Keep the segmenter's memory; what ``before`` holds of it is shared."""
        known = {kept.record.number: kept for kept in before.frames}
        frames = []
        for index, record in enumerate(segmenter.memory.records):
            old = known.get(record.number)
            frames.append(replace(old, record=record) if old else _copy(segmenter, index))
        memory = _Memory(
            frame,
            self._history(frame, job),
            segmenter.object_ids,
            tuple(frames),
            {i: body.clone() for i, body in segmenter.bodies.items()},
        )
        self._memories[frame] = memory
        if len(self._memories) > KEPT:
            for old_frame in sorted(self._memories)[:-1:2]:
                del self._memories[old_frame]
        return memory

    def _newest(self, start: int, job: Job) -> _Memory | None:
        """Return the last memory before a frame that is made from the references of now."""
        self._memories = {
            frame: memory
            for frame, memory in self._memories.items()
            if memory.made_from == self._history(frame, job)
        }
        return self._memories.get(max((f for f in self._memories if f <= start), default=-1))


def _copy(segmenter: ClipSegmenter, index: int) -> MemoryFrame:
    frame = segmenter.memory.frame(index)
    values = {i: value.clone() for i, value in frame.values.items()}
    return MemoryFrame(frame.key.clone(), values, frame.record)
