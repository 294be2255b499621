"""The report of a run (``run.json``)."""

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from pcvos_cli.files import write_whole
from pcvos_cli.masks.formats import FORMATS
from pcvos_cli.run.device import device_name
from pcvos_cli.run.identity import identity_digest, package_versions
from pcvos_cli.run.output_folder import PLACES
from pcvos_cli.run.plan import Job


@dataclass(frozen=True, slots=True)
class SegmentReport:
    """The results of a run; ``run.json`` holds the same.

    Attributes:
        input: The video or folder.
        output: The folder with the results.
        outputs: Path of each format written, by format.
        frames: Frames read, which is the number of masks.
        segmented_frames: Frames from the first reference mask on; with ``backward`` all.
        object_ids: The user's ids, ascending.
        source_size: ``(height, width)`` of masks and overlay.
        working_size: ``(height, width)`` at which the model worked.
        memory_frames: Frames in the memory at the end (of the way forward).
        resumed_at: Frame at which this run took over from an unfinished one, or ``None``.
            Frames before it count neither for ``fps_model`` nor for ``fps_end_to_end``.
        fps_model: Frames segmented by the seconds spent in the model alone.
        fps_end_to_end: Frames by the seconds from the first frame's decoding to the
            last file's closing; loading the weights is not in it.
        peak_memory_mb: Largest resident size of the process so far, in MB; 0 where the
            system does not tell.
        peak_device_memory_mb: Largest allocation on a CUDA device, in MB, or ``None``.
        seconds: By stage. Decoding and writing run beside the model, so the stages may add
            up to more than ``total``.
        settings: The settings of the run, with the weights' name and SHA-256.
        versions: Of Python and the packages that decide the result.
        device: The device of the model.
        engine: ``torch`` or ``onnxruntime``.
        threads: CPU threads of torch and the engine.
        identity: SHA-256 of all that decides the results; equal for a run and its resumption.
        notes: How the masks were understood, and remarks on the outputs.
        warnings: Damage in the input.
        stopped: Why the input could not be read to its end, or ``None``. The results hold the
            frames before that, and the exit code is 3.
    """

    input: str
    output: str
    outputs: dict[str, str]
    frames: int
    segmented_frames: int
    object_ids: tuple[int, ...]
    source_size: tuple[int, int]
    working_size: tuple[int, int]
    memory_frames: int
    resumed_at: int | None
    fps_model: float
    fps_end_to_end: float
    peak_memory_mb: float
    peak_device_memory_mb: float | None
    seconds: dict[str, float]
    settings: dict[str, Any]
    versions: dict[str, str]
    device: str
    engine: str
    threads: int
    identity: str
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    stopped: str | None = None

    @classmethod
    def read(cls, path: Path) -> "SegmentReport | None":
        """Read what ``write`` wrote; ``None`` if there is no such file."""
        try:
            values: dict[str, Any] = json.loads(path.read_bytes())
            for name, value in values.items():
                values[name] = tuple(value) if isinstance(value, list) else value
            return cls(**values)
        except (OSError, ValueError, TypeError, AttributeError):
            return None

    def missing(self, folder: Path) -> str | None:
        """Return which of the results in ``folder``, the run's, is gone; ``None`` if none is.

        A folder with a file a frame is gone where one of them is.
        """
        for name in self.outputs:
            form = FORMATS[name]
            for place in filter(None, (form.place, form.beside)):
                if not (folder / place).exists():
                    return place
            frames = self.segmented_frames if name == "scores" else self.frames
            if form.pattern is not None:
                if "/" in form.pattern:
                    frames *= len(self.object_ids)
                files = sum(1 for _ in (folder / form.place).glob(form.pattern))
                if files < frames:
                    return f"{form.place} ({files} of {frames} files)"
        return None

    def write(self, path: Path) -> None:
        """Write the report as JSON, under a temporary name first.

        Raises:
            OutputError: If it cannot be written.
        """
        write_whole(path, json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n")


@dataclass(slots=True)
class Done:
    """Counts and events of a run, for its report.

    Attributes:
        resumed_at: Frame at which it took over from an unfinished run, or ``None``.
        backward: It went back from the first reference mask.
        early: Frames before the first clip: with an empty mask, or one out of the journal.
        segmented: Frames of the clips.
        warnings: Damage in the input.
        stopped: Why the input could not be read to its end, or ``None``.
        cuts: By the first frame of each further shot, the objects that were not found there.
    """

    resumed_at: int | None
    backward: bool = False
    early: int = 0
    segmented: int = 0
    warnings: tuple[str, ...] = ()
    stopped: str | None = None
    cuts: dict[int, frozenset[int]] = field(default_factory=dict)

    @property
    def frames(self) -> int:
        """All frames that have masks."""
        return self.early + self.segmented


def make_report(
    job: Job, done: Done, seconds: dict[str, float], memory_frames: int, notes: Sequence[str]
) -> SegmentReport:
    """Make the report of a run.

    Args:
        job: The run.
        done: Its counts and events.
        seconds: By stage, with ``total``.
        memory_frames: Frames in the memory at the end.
        notes: Remarks on the outputs.
    """
    plan, cuda = job.plan, job.device.type == "cuda"
    resumed = done.resumed_at is not None
    through_model = done.segmented + (done.early if done.backward else 0)
    has_early_masks = plan.backward and (done.backward or resumed)
    empty = 0 if has_early_masks else plan.first_frame - plan.start
    return SegmentReport(
        input=plan.input,
        output=plan.output,
        outputs={name: str(Path(plan.output) / PLACES[name]) for name in job.settings.formats},
        frames=done.frames,
        segmented_frames=max(0, done.frames - empty),
        object_ids=plan.object_ids,
        source_size=plan.source_size,
        working_size=plan.working_size,
        memory_frames=memory_frames,
        resumed_at=done.resumed_at,
        fps_model=through_model / seconds["model"] if through_model else 0.0,
        fps_end_to_end=(done.segmented if resumed else done.frames) / seconds["total"],
        peak_memory_mb=peak_resident_mb(),
        peak_device_memory_mb=torch.cuda.max_memory_allocated() / 2**20 if cuda else None,
        seconds=dict(seconds),
        settings=job.record,
        versions=package_versions(),
        device=device_name(job.device),
        engine=plan.engine,
        threads=torch.get_num_threads(),
        identity=identity_digest(job.identity),
        notes=(*plan.notes, *notes, *_notes_of_cuts(done.cuts)),
        warnings=done.warnings,
        stopped=done.stopped,
    )


def _notes_of_cuts(cuts: dict[int, frozenset[int]]) -> list[str]:
    """Tell of cuts behind which objects are missing: those are what a person wants to look at."""
    return [
        f"frame {frame} begins another shot, in which object "
        f"{', '.join(map(str, sorted(absent)))} is not seen (--cuts ignore matches it there too)"
        for frame, absent in cuts.items()
        if absent
    ]


def peak_resident_mb() -> float:
    """Return the largest resident size of this process so far, in MB (0 if unknown)."""
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts in KiB, macOS in bytes.
    return peak / (2**20 if platform.system() == "Darwin" else 2**10)
