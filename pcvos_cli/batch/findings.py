"""What is odd about the masks of a finished job, and its picture for the contact sheet.

Nobody knows the true masks; what goes wrong most often shows in the masks themselves: an
object's area jumps, an object is lost, a part of it lies far from the rest or at another object.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import hypot, log2
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pcvos_cli.files import make_directory, write_whole
from pcvos_cli.masks.journal import decode_labels
from pcvos_cli.masks.label_files import read_labels, shrink_labels
from pcvos_cli.masks.palette import draw_masks
from pcvos_cli.masks.youtube_vis import read_entries
from pcvos_cli.run.pipeline import open_input
from pcvos_cli.run.report import SegmentReport
from pcvos_cli.run.settings import SegmentSettings
from pcvos_cli.video.folder import image_files
from pcvos_cli.video.source import open_source

LOOKED_AT = 240
"""Short edge, in pixels, at which masks are looked at."""

PICTURE_WIDTH = 240
"""Of each of the three frames in a picture."""

GAP = 4
"""Columns between them."""

JUMP = 2.0
"""An area that becomes this many times larger or smaller within a frame has jumped."""

SMALLEST = 0.0005
"""Share of the frame below which areas jump for want of pixels."""

STRAY = 0.03
"""Share of an object that a part must have to count."""


@dataclass(frozen=True, slots=True)
class Findings:
    """Why a person should look at a job's masks.

    Attributes:
        signs: In words, the worst first.
        suspicion: Their sum: the larger, the sooner to be looked at; 0 for nothing odd.
    """

    signs: tuple[str, ...]
    suspicion: float


@dataclass(slots=True)
class _Object:
    """What was seen of an object, in the order of the frames.

    Attributes:
        areas: Shares of the frame.
        apart: Names of frames on which a part lies far from the rest.
        touching: Names of frames on which a part lies at another object.
    """

    areas: list[float] = field(default_factory=list)
    apart: list[str] = field(default_factory=list)
    touching: list[str] = field(default_factory=list)


def examine(
    report: SegmentReport, settings: SegmentSettings, picture: Path, masks: Sequence[str]
) -> Findings:
    """Look at a finished run's masks.

    Args:
        report: The run's. Masks are taken from its PNGs, or else its RLE; without either, only
            the input's damage is a sign.
        settings: As the run was asked for.
        picture: Where a JPEG of its first, middle and last frame goes.
        masks: The run's reference masks, which are no frames of the input.

    Raises:
        PCVOSError: Input or results cannot be read again, or the picture cannot be written.
    """
    positions = (0, report.frames // 2, report.frames - 1)
    shown: dict[int, NDArray[np.int32]] = {}
    names: list[str] = []
    objects = {object_id: _Object() for object_id in report.object_ids}
    scale = min(1.0, LOOKED_AT / min(report.source_size))
    size = tuple(max(1, round(side * scale)) for side in report.source_size)
    for position, (name, labels) in enumerate(_masks(report)):
        names.append(name)
        small = shrink_labels(labels, (size[0], size[1]))
        for object_id, seen in objects.items():
            _look(seen, small, object_id, name)
        if position in positions:
            shown[position] = labels
    make_directory(picture.parent)
    write_whole(picture, _picture(report, settings, masks, positions, shown))
    weighed = [(1.0, warning) for warning in report.warnings]
    ends = dict(settings.end_objects)
    for object_id, seen in objects.items():
        weighed += _signs(seen, object_id, names, is_ended=object_id in ends)
    weighed.sort(key=lambda pair: -pair[0])
    return Findings(tuple(text for _, text in weighed), round(sum(w for w, _ in weighed), 2))


def _masks(report: SegmentReport) -> Iterator[tuple[str, NDArray[np.int32]]]:
    """Yield name and labels ``(H, W)`` of all frames, in order."""
    if "png" in report.outputs:
        for file in image_files(Path(report.outputs["png"])):
            yield file.stem, read_labels(file).astype(np.int32)
    elif "rle" in report.outputs:
        for entry in read_entries(Path(report.outputs["rle"])):
            yield entry.name, decode_labels(entry.codes, report.source_size)


def _look(seen: _Object, labels: NDArray[np.int32], object_id: int, name: str) -> None:
    mask = (labels == object_id).astype(np.uint8)
    area = int(mask.sum())
    seen.areas.append(area / mask.size)
    count, parts, stats, centres = cv2.connectedComponentsWithStats(mask)
    if count <= 2:  # The background is one of them.
        return
    main = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    reach = hypot(stats[main, cv2.CC_STAT_WIDTH], stats[main, cv2.CC_STAT_HEIGHT])
    for part in range(1, count):
        if part == main or stats[part, cv2.CC_STAT_AREA] < STRAY * area:
            continue
        around = cv2.dilate((parts == part).astype(np.uint8), np.ones((3, 3), np.uint8))
        beside = labels[around > 0]
        if ((beside > 0) & (beside != object_id)).any():
            seen.touching.append(name)
            return
        if hypot(*(centres[part] - centres[main])) > reach:
            seen.apart.append(name)
            return


def _signs(
    seen: _Object, object_id: int, names: list[str], *, is_ended: bool
) -> Iterator[tuple[float, str]]:
    """Yield what is odd about an object, with its weight."""
    areas = np.array(seen.areas)
    there = np.flatnonzero(areas)
    if not there.size:
        if names:
            yield 5.0, f"object {object_id} is on no frame"
        return
    gone = len(areas) - 1 - int(there[-1])
    if gone and not is_ended:
        yield 3 + 3 * gone / len(areas), f"object {object_id} is lost after {names[there[-1]]}"
    between = int(there[-1] - there[0] + 1 - there.size)
    if between:
        first = int(there[0]) + int(np.argmin(areas[there[0] :] > 0))
        yield 1.0, f"object {object_id} is missing on {_frames(between)}, first on {names[first]}"
    before, after = areas[:-1], areas[1:]
    both = (np.minimum(before, after) > 0) & (np.maximum(before, after) > SMALLEST)
    if both.any():
        ratios = np.where(both, np.maximum(before, after), 1) / np.where(
            both, np.minimum(before, after), 1
        )
        worst = int(np.argmax(ratios))
        if ratios[worst] >= JUMP:
            change = "grows" if after[worst] > before[worst] else "shrinks"
            text = f"object {object_id} {change} {ratios[worst]:.1f} times at {names[worst + 1]}"
            yield 1 + log2(ratios[worst]), text
    for frames, weight, what in (
        (seen.touching, 4, "a part at another object"),
        (seen.apart, 2, "a part far from the rest"),
    ):
        if frames:
            on = _frames(len(frames))
            text = f"object {object_id} has {what} on {on}, first on {frames[0]}"
            yield weight * (0.25 + len(frames) / len(names)), text


def _frames(count: int) -> str:
    return "1 frame" if count == 1 else f"{count} frames"


def _picture(
    report: SegmentReport,
    settings: SegmentSettings,
    masks: Sequence[str],
    positions: tuple[int, ...],
    shown: dict[int, NDArray[np.int32]],
) -> bytes:
    """Return a JPEG of frames side by side, with their masks; or of the overlay's."""
    start = report.settings["start"] if shown else 0
    if not shown and "overlay" in report.outputs:
        opened = open_source(Path(report.outputs["overlay"]))
    else:
        opened = open_input(report.input, masks, settings)
    height, width = report.source_size
    size = max(1, round(height * PICTURE_WIDTH / width)), PICTURE_WIDTH
    tiles = []
    with opened as source:
        for position in positions:
            frame = next(source.frames_from(start + position), None)
            tile = np.full((*size, 3), 70, np.uint8)
            if frame is not None:
                cv2.resize(frame.rgb, size[::-1], dst=tile, interpolation=cv2.INTER_AREA)
            if position in shown:
                tile = draw_masks(tile, shrink_labels(shown[position], size))
            tiles += [tile, np.full((size[0], GAP, 3), 255, np.uint8)]
    strip = np.concatenate(tiles[:-1], axis=1)
    _, stream = cv2.imencode(".jpg", strip[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
    return stream.tobytes()
