"""A first mask without another program: one frame of a video, cut out inside boxes."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from model.errors import InputError, MaskError
from pcvos_cli.files import write_whole
from pcvos_cli.first_mask.boxes import Box, Point, parse_boxes, parse_points
from pcvos_cli.first_mask.grabcut import grabcut_mask
from pcvos_cli.first_mask.objects import ObjectPrompts, label_objects, sort_prompts
from pcvos_cli.first_mask.prompts import Method, Predictor, open_predictor
from pcvos_cli.masks.writers import encode_palette_png
from pcvos_cli.video.source import Frame, FrameSource, open_source


@dataclass(frozen=True, slots=True)
class FirstMask:
    """A frame and the objects found on it.

    Attributes:
        frame: The frame, upright.
        labels: ``(H, W)`` int32 object ids at the frame's size, 0 = background.
        notes: Decisions made on the way.
        source_notes: How the video is understood.
    """

    frame: Frame
    labels: NDArray[np.int32]
    notes: tuple[str, ...]
    source_notes: tuple[str, ...] = ()


def make_first_mask(
    source: Path,
    boxes: Sequence[Box],
    foreground: Sequence[Point] = (),
    background: Sequence[Point] = (),
    *,
    frame: str | None = None,
    method: Method = "network",
    exclude: Collection[Path] = (),
) -> FirstMask:
    """Cut objects out of one frame of a video, or of a picture.

    Args:
        source: A video, a folder of images in natural order, or an image.
        boxes: As ``sort_prompts``.
        foreground: As ``sort_prompts``. GrabCut looks for an object inside its boxes alone,
            the network needs no box.
        background: As ``sort_prompts``.
        frame: The frame's output name (the index from 0 on for a video, the stem for a
            folder of images), or the index of an image. ``None`` for the first.
        method: The shipped network, or GrabCut.
        exclude: Images in a folder that are no frames: masks that are written there.

    Raises:
        ConfigError: As ``sort_prompts``.
        InputError: The source is missing, unreadable or holds no frame.
        MaskError: There is no such frame, or an object is empty; or as ``sort_prompts``.
        WeightsError: The shipped network is missing or corrupt.
    """
    with open_source(source, fps=Fraction(24), exclude=exclude) as frames:
        found = _frame(frames, frame)
        source_notes = tuple(frames.notes)
    size = (found.rgb.shape[0], found.rgb.shape[1])
    notes = tuple(
        f"--box {box}: cut at the edge of the frame, to {part}"
        for box in boxes
        if (part := box.within(size)) not in (None, box)
    )
    if method == "grabcut":
        labels = grabcut_mask(found.rgb, boxes, foreground, background)
    else:
        objects = sort_prompts(size, boxes, foreground, background, within_boxes=False)
        predictor = open_predictor()
        predictor.set_image(found.rgb)
        labels = label_objects(size, objects, lambda prompts: _cut(predictor, prompts))
    return FirstMask(found, labels, notes, source_notes)


@contextmanager
def prompted_mask(
    source: Path,
    boxes: Sequence[str],
    clicks: Sequence[str],
    frame: str | None,
    *,
    on_note: Callable[[str], None],
) -> Iterator[list[str]]:
    """Make a mask of boxes and clicks as they are typed, and keep its file for the block.

    Args:
        source: As ``make_first_mask``.
        boxes: ``x,y,w,h`` or ``x,y,w,h:id``.
        clicks: ``x,y`` or ``x,y:id``.
        frame: As ``make_first_mask``.
        on_note: Called with each remark.

    Yields:
        The mask, as ``segment_video`` takes masks.

    Raises:
        PCVOSError: As ``parse_boxes``, ``parse_points`` and ``make_first_mask``.
    """
    made = make_first_mask(source, parse_boxes(boxes), parse_points(clicks, "--click"), frame=frame)
    for text in made.notes:
        on_note(text)
    pixels = int((made.labels > 0).sum())
    given = " ".join([*(f"--box {b}" for b in boxes), *(f"--click {c}" for c in clicks)])
    on_note(f"{given}: {pixels} pixels of frame {made.frame.name} (see pcvos mask)")
    with TemporaryDirectory(prefix="pcvos-") as folder:
        path = Path(folder) / "box.png"
        write_whole(path, encode_palette_png(made.labels))
        yield [str(path)]


def _cut(predictor: Predictor, prompts: ObjectPrompts) -> NDArray[np.bool_]:
    """Return one object's ``(H, W)`` mask, of several boxes that of each."""
    clicks = [
        (point.x, point.y, positive)
        for points, positive in ((prompts.inside, True), (prompts.outside, False))
        for point in points
    ]
    if prompts.boxes:
        boxes = [(box.left, box.top, box.width, box.height) for box in prompts.boxes]
        mask = np.logical_or.reduce([predictor.predict(box, clicks) for box in boxes])
    else:
        mask = predictor.predict(clicks=clicks)
    if not mask.any():
        raise MaskError(
            f"object {prompts.object_id}: nothing but background is found there",
            hint="mark the object with --fg x,y, or draw the box closer around it",
        )
    return mask


def _frame(source: FrameSource, name: str | None) -> Frame:
    info = source.info
    wanted = 0 if name is None else source.frame_index(name)
    if wanted is None and name is not None and name.isascii() and name.isdigit():
        wanted = int(name)  # The index of an image whose name is another.
    if wanted is None:
        raise MaskError(
            f"{info.path}: has no frame {name!r}",
            hint="give an index (the first frame is 0) or an image's name without its ending",
        )
    if info.frame_count is not None and wanted >= info.frame_count:
        raise _beyond(info.path, wanted, info.frame_count, source.frame_numbered(str(wanted)))
    found = next(source.frames_from(wanted), None)
    if found is not None:
        return found
    count = sum(1 for _ in source)  # The container does not say, or lies.
    if count == 0:
        raise InputError(f"{info.path}: holds no frame")
    raise _beyond(info.path, wanted, count)


def _beyond(path: Path, wanted: int, count: int, named: str | None = None) -> MaskError:
    return MaskError(
        f"{path}: frame {wanted} lies beyond the end: it has {count} frames (0 to {count - 1})",
        hint="frames count from 0; check the number"
        if named is None
        else f"the image of that number is called {named}",
    )
