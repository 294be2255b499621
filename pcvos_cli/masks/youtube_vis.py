"""All masks of a video in one JSON file, in the form of YouTube-VIS ("COCO for video")."""

import json
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, TextIO

from pycocotools import mask as coco_mask

from pcvos_cli.files import whole
from pcvos_cli.masks.journal import JournalEntry, LabelJournal

VIDEO_ID = 1
GENERAL = "object"
"""Class of objects that have no name."""


def category_table(
    object_ids: Iterable[int], categories: Mapping[int, str]
) -> tuple[list[dict[str, Any]], dict[int, int]]:
    """Return ``categories`` in the form of COCO, and the category's id of each object."""
    names = {object_id: categories.get(object_id, GENERAL) for object_id in object_ids}
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names.values()), 1)}
    numbers = numbers or {GENERAL: 1}
    table = [
        {"id": number, "name": name, "supercategory": GENERAL} for name, number in numbers.items()
    ]
    return table, {object_id: numbers[name] for object_id, name in names.items()}


def write_youtube_vis(
    path: Path,
    journal: LabelJournal,
    *,
    size: tuple[int, int],
    source: str,
    time_base: Fraction,
    settings: Mapping[str, Any],
    object_ids: Sequence[int] = (),
    categories: Mapping[int, str] | None = None,
) -> None:
    """Write the JSON file of a journal.

    ``annotations`` holds one entry an object, ``id`` being the user's object id, with one
    RLE (or null) a frame. Memory holds 40 bytes a frame, of one object at a time.

    Args:
        path: The JSON file, in a folder that is there.
        journal: The labels of all frames.
        size: ``(height, width)`` of a frame.
        source: Name of the video.
        time_base: Seconds a unit of the timestamps.
        settings: Stored as ``info.settings``.
        object_ids: Ids that are listed even if no frame has them.
        categories: Names of the objects' classes, by id; the others are "object".

    Raises:
        OutputError: It cannot be written; nothing is left behind.
    """
    listed = sorted({*object_ids, *journal.object_ids})
    table, classes = category_table(listed, categories or {})
    with (
        whole(path) as partial,
        partial.open("w", encoding="utf-8", errors="backslashreplace") as out,
    ):
        frames = _write_head(out, journal, size, source, time_base, settings, table)
        for number, object_id in enumerate(listed):
            out.write(",\n" if number else "\n")
            _write_annotation(out, journal, object_id, classes[object_id], size, frames)
        out.write("\n]}\n")


def read_entries(path: Path) -> Iterator[JournalEntry]:
    """Yield the frames of a file that ``write_youtube_vis`` wrote, counted from 0."""
    document = json.loads(path.read_bytes())
    tracks = {entry["id"]: entry["segmentations"] for entry in document["annotations"]}
    names, pts = document["videos"][0]["file_names"], document["info"]["pts"]
    for index, (name, time) in enumerate(zip(names, pts, strict=True)):
        codes = {i: track[index]["counts"] for i, track in tracks.items() if track[index]}
        yield JournalEntry(index, name, time, codes)


def _write_head(
    out: TextIO,
    journal: LabelJournal,
    size: tuple[int, int],
    source: str,
    time_base: Fraction,
    settings: Mapping[str, Any],
    categories: list[dict[str, Any]],
) -> int:
    """Write all before the annotations; return the number of frames."""
    pts, names = array("q"), []
    for entry in journal.entries():
        pts.append(entry.pts)
        names.append(entry.name)
    head = {
        "info": {
            "description": "Object masks by pcvos, in the form of YouTube-VIS",
            "source": source,
            "time_base": str(time_base),
            "pts": pts.tolist(),
            "settings": dict(settings),
        },
        "videos": [
            {
                "id": VIDEO_ID,
                "width": size[1],
                "height": size[0],
                "length": len(names),
                "file_names": names,
            }
        ],
        "categories": categories,
    }
    out.write(json.dumps(head, ensure_ascii=False)[:-1])
    out.write(', "annotations": [')
    return len(names)


def _write_annotation(
    out: TextIO,
    journal: LabelJournal,
    object_id: int,
    category_id: int,
    size: tuple[int, int],
    frames: int,
) -> None:
    head = {
        "id": object_id,
        "video_id": VIDEO_ID,
        "category_id": category_id,
        "iscrowd": 0,
        "width": size[1],
        "height": size[0],
        "length": frames,
    }
    out.write(json.dumps(head)[:-1])
    boxes, areas = array("q"), array("q")  # An area of 0: the object is not on the frame.

    def segmentations() -> Iterable[dict[str, Any] | None]:
        for entry in journal.entries():
            counts = entry.codes.get(object_id)
            rle = None if counts is None else {"size": list(size), "counts": counts}
            boxes.extend((0, 0, 0, 0) if rle is None else bbox_of(rle))
            areas.append(0 if rle is None else area_of(rle))
            yield rle

    _write_list(out, "segmentations", segmentations())
    _write_list(
        out,
        "bboxes",
        (boxes[4 * i : 4 * i + 4].tolist() if area else None for i, area in enumerate(areas)),
    )
    _write_list(out, "areas", (area or None for area in areas))
    out.write("}")


def _write_list(out: TextIO, key: str, values: Iterable[Any]) -> None:
    out.write(f', "{key}": [')
    for number, value in enumerate(values):
        out.write(", " if number else "")
        out.write(json.dumps(value))
    out.write("]")


def bbox_of(rle: dict[str, Any]) -> list[int]:
    """Return the ``[x, y, width, height]`` of a COCO RLE, in pixels."""
    return [int(value) for value in coco_mask.toBbox(rle)]


def area_of(rle: dict[str, Any]) -> int:
    """Return the number of pixels of a COCO RLE."""
    return int(coco_mask.area(rle))
