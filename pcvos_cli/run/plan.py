"""Everything a run needs before its first frame: checked here, so that it fails early."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from model.build import MASK_BLOCK, fold_batch_norms
from model.checkpoint import model_from
from model.config import STRIDE, PCVOSConfig
from model.errors import ConfigError, MaskError, OutputError
from model.ops.frames import larger_size, working_size
from model.pcvos import PCVOS
from model.types import ReferenceMask
from pcvos_cli.masks.palette import MAX_PALETTE_ID
from pcvos_cli.masks.reference import LoadedMask, resize_nearest
from pcvos_cli.run.device import choose_device, device_name, start_engine
from pcvos_cli.run.identity import run_identity
from pcvos_cli.run.references import load_references
from pcvos_cli.run.settings import SegmentSettings
from pcvos_cli.video.source import FrameRange, FrameSource, find_range, frame_index
from pcvos_cli.weights_store import read_weights


@dataclass(frozen=True, slots=True)
class RunPlan:
    """A run as far as it is known before a frame is segmented.

    Attributes:
        input: The video or folder.
        output: The folder for the results.
        source_size: ``(height, width)`` of a displayed frame, and of masks and overlay.
        working_size: ``(height, width)`` at which the model works.
        start: Index of the run's first frame.
        resume_at: First frame that an unfinished run left to do, or ``None`` if this one
            begins at its start.
        frames: Frames of the run that the container promises, or ``None``.
        first_frame: Index of the first reference mask.
        backward: Frames before it are segmented too; else they get empty masks.
        object_ids: All ids of the run, ascending.
        references: Object ids stated on each reference frame, by frame index.
        clips: Clips to segment, or ``None`` where ``frames`` is.
        expected_memory_frames: Frames in the memory at the end, or ``None`` likewise.
        expected_memory_mb: Size of that memory with these weights' widths, in MB, or ``None``.
        weights: Name of the weights.
        device: Where the model runs.
        engine: ``torch`` or ``onnxruntime``.
        notes: How input and masks were understood (a range of values, void, colours), and why the
            engine is not the fastest for this device.
    """

    input: str
    output: str
    source_size: tuple[int, int]
    working_size: tuple[int, int]
    start: int
    frames: int | None
    first_frame: int
    backward: bool
    object_ids: tuple[int, ...]
    references: dict[int, tuple[int, ...]]
    clips: int | None
    expected_memory_frames: int | None
    expected_memory_mb: float | None
    weights: str
    device: str
    engine: str
    notes: tuple[str, ...]
    resume_at: int | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A run that has been checked.

    Attributes:
        plan: The run in words and numbers.
        frames: Which part of the source is segmented.
        references: Reference masks at the working size, by frame index.
        model: The network, on ``device``, as the engine runs it.
        device: Where it runs.
        settings: The user's choices; those left open are filled in.
        inputs: Files and folders that the run reads.
        record: The settings as JSON-able values, with the weights' name and SHA-256.
        identity: All that decides the results, as ``run_identity`` returns it.
        ends: Pairs of an object's id and the index of the first frame without it.
    """

    plan: RunPlan
    frames: FrameRange
    references: dict[int, ReferenceMask]
    model: PCVOS
    device: torch.device
    settings: SegmentSettings
    inputs: tuple[Path, ...]
    record: dict[str, Any]
    identity: dict[str, Any]
    ends: tuple[tuple[int, int], ...]


def prepare(
    source: FrameSource, masks: Sequence[str | Path], output: Path, settings: SegmentSettings
) -> Job:
    """Read the masks, load the weights, choose the device, work out the clips.

    Raises:
        ConfigError: An unknown model, a device or an engine that is not there or cannot do
            what is asked, a range of frames that is not in the video.
        MaskError: A mask cannot be understood or does not fit the video.
        OutputError: An object id does not fit a format that is asked for.
        WeightsError: Weights are missing, corrupt or of another architecture.
    """
    info = source.info
    frames = find_range(settings.start, settings.end, source)
    given = load_references(
        [str(m) for m in masks], source, first=frames.first, resize=settings.resize_mask
    )
    for mask in given:
        _check_inside(mask, frames)
    device = choose_device(settings.device, amp=settings.amp)
    weights, checkpoint = read_weights(settings.weights, settings.model)
    config = checkpoint.config
    size = working_size((info.height, info.width), settings.size, config.short_edge)
    references = {
        mask.frame_index: ReferenceMask(
            mask.frame_index, torch.from_numpy(resize_nearest(mask.labels, size)), mask.object_ids
        )
        for mask in given
    }
    object_ids = tuple(sorted({i for mask in references.values() for i in mask.object_ids}))
    if "png" in settings.formats:
        _check_palette(given)
    ends = tuple(
        _find_end(object_id, frame, references, source) for object_id, frame in settings.end_objects
    )
    absent = tuple(
        _find_end(object_id, frame, references, source, option="--absent")
        for object_id, frame in settings.absent
    )
    shown = references
    if absent:
        from pcvos_cli.run.absence import state_absent

        references = state_absent(absent, references, frames, ends)
    end = frames.end(info.frame_count)
    clips, memory_frames = count_clips(
        min(references), end, references, settings.inference.interval
    )
    before = min(references) - frames.first if settings.backward else 0
    if before:
        more, most = count_clips(0, before + 1, {0}, settings.inference.interval)
        clips = None if clips is None or more is None else clips + more
        memory_frames = None if memory_frames is None else max(memory_frames, most or 0)
    memory_frames = bounded_memory(
        memory_frames, settings.inference.max_memory_frames, len(references)
    )
    model = model_from(checkpoint, name=str(weights.path))
    fold_batch_norms(model)
    engine = start_engine(
        settings.engine,
        model.to(device),
        device=device,
        threads=settings.threads,
        weights=checkpoint.sha256,
        objects=len(references[min(references)].object_ids),
        size=size,
    )
    plan = RunPlan(
        input=str(info.path),
        output=str(output),
        source_size=(info.height, info.width),
        working_size=size,
        start=frames.first,
        frames=None if end is None else end - frames.first,
        first_frame=min(references),
        backward=before > 0,
        object_ids=object_ids,
        references={frame: mask.object_ids for frame, mask in references.items()},
        clips=clips,
        expected_memory_frames=memory_frames,
        expected_memory_mb=memory_megabytes(config, memory_frames, size, len(object_ids)),
        weights=weights.name,
        device=str(device),
        engine=engine.name,
        notes=(
            *source.notes,
            *(f"{mask.path}: {note}" for mask in given for note in mask.notes),
            *_notes_on_small(shown, size, (info.height, info.width), config.short_edge),
            *_notes_on_ends(ends, frames),
            *engine.notes,
        ),
    )
    categories = {i: name for mask in given for i, name in mask.categories.items()}
    settings = replace(
        settings,
        categories=tuple(sorted((categories | dict(settings.categories)).items())),
        inference=settings.inference.for_model(config),
        model=config.name,
        engine=engine.name,
        start=frames.first,
        end=frames.last,
        end_objects=ends,
        absent=absent,
    )
    record = settings.record(weights=weights.name, sha256=checkpoint.sha256)
    if info.value_range is not None:
        record["range"] = list(info.value_range)
    behind = _background_file(settings)
    inputs = (info.path, *(mask.path for mask in given), *behind)
    identity = run_identity(
        info,
        references.values(),
        record,
        device=device_name(device),
        threads=settings.threads,
        behind=behind,
    )
    return Job(
        plan, frames, references, engine.model, device, settings, inputs, record, identity, ends
    )


def _find_end(
    object_id: int,
    frame: int | str,
    references: Mapping[int, ReferenceMask],
    source: FrameSource,
    option: str = "--end-object",
) -> tuple[int, int]:
    """Return the index of the frame on which an object ends, or is absent.

    Raises:
        ConfigError: There is no such object or frame, or the object has not entered before.
    """
    option = f"{option} {object_id}@{frame}"
    index = frame_index(option, frame, source)
    entered = [f for f, mask in references.items() if object_id in mask.object_ids]
    if not entered:
        known = sorted({i for mask in references.values() for i in mask.object_ids})
        raise ConfigError(
            f"{option}: no reference mask has object {object_id}",
            hint=f"the objects are {', '.join(map(str, known))}",
        )
    if min(entered) >= index:
        raise ConfigError(
            f"{option}: object {object_id} enters on frame {min(entered)}",
            hint="FRAME is a later frame, without the object",
        )
    return object_id, index


def _background_file(settings: SegmentSettings) -> tuple[Path, ...]:
    """Return the file or folder of the background, if it is one, once it can be opened.

    Raises:
        ConfigError: It is neither a file nor a colour nor blur.
        InputError: It cannot be read.
    """
    if settings.background is None:
        return ()
    from pcvos_cli.matting.background import check_background

    path = check_background(settings.background)
    return () if path is None else (path,)


def _notes_on_small(
    references: dict[int, ReferenceMask],
    size: tuple[int, int],
    source_size: tuple[int, int],
    meant: int,
) -> list[str]:
    largest = larger_size(source_size, size, meant)
    if largest is None:
        return []  # No --size would help.
    from pcvos_cli.run.small_objects import notes_on_small

    return notes_on_small(references, size, source_size, largest)


def _notes_on_ends(ends: Iterable[tuple[int, int]], frames: FrameRange) -> list[str]:
    return [end_beyond(*end, f"frame {frames.last}") for end in ends if end[1] not in frames]


def end_beyond(object_id: int, frame: int, last: str) -> str:
    """Return a note on an object that ends where the run has no frame."""
    return f"--end-object {object_id}@{frame} does nothing: the run ends with {last}"


def _check_palette(masks: Iterable[LoadedMask]) -> None:
    """Refuse ids that palette PNGs cannot hold now, and not on the frame where they enter."""
    for mask in masks:
        largest = mask.object_ids[-1]
        if largest > MAX_PALETTE_ID:
            raise OutputError(
                f"{mask.path}: object id {largest} does not fit a palette PNG "
                f"(0 to {MAX_PALETTE_ID})",
                hint="leave PNGs out (--format rle,overlay), or number the objects from 1",
            )


def _check_inside(mask: LoadedMask, frames: FrameRange) -> None:
    if mask.frame_index not in frames:
        last = "the end" if frames.last is None else f"frame {frames.last}"
        raise MaskError(
            f"{mask.path}: is for frame {mask.frame_index}, but the run goes from frame "
            f"{frames.first} to {last}",
            hint="change --start or --end, or leave this mask out",
        )


def count_clips(
    start: int, frames: int | None, references: Iterable[int], interval: int
) -> tuple[int | None, int | None]:
    """Return how many clips ``iter_clips`` makes and how many frames enter the memory.

    Args:
        start: The first reference frame.
        frames: Index after the last frame; ``None`` makes both results ``None``.
        references: All reference frames.
        interval: L.
    """
    if frames is None:
        return None, None
    last = frames - 1
    clips, memory, begin = 1, int(start != last), start + 1  # The first clip is one frame.
    for end in sorted({last, *references}):
        length = end - begin + 1
        if length < 1:
            continue
        clips += -(-length // interval)
        memory += length // interval
        if end == last:
            memory -= length % interval == 0  # Nothing follows that would read it.
        else:
            memory += 1  # A reference frame; if it is also due, it enters twice.
        begin = end + 1
    return clips, memory


def bounded_memory(frames: int | None, bound: int | None, references: int) -> int | None:
    """Return how many of the frames that enter the memory it holds at the end.

    References and the newest frame are kept also where they are more than the bound.
    """
    if frames is None or bound is None:
        return frames
    return min(frames, max(bound, references + 1))


def memory_megabytes(
    config: PCVOSConfig, frames: int | None, size: tuple[int, int], objects: int
) -> float | None:
    """Return the size of keys and values in float32, in MB; ``None`` for unknown ``frames``.

    The bank grows by doubling, so what it holds for a while may be twice as much.
    """
    if frames is None:
        return None
    rows, columns = (-(-side // STRIDE) for side in size)
    # Object's mask and others' mask, block x block values a cell each.
    propagated = 2 * MASK_BLOCK**2 if config.mask_readout else 0
    values = config.key_width + objects * (config.value_width + propagated)
    return frames * rows * columns * values * 4 / 2**20
