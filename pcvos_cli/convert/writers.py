"""Writers of whole videos: YouTube-VIS and per-frame COCO, MOTS PNGs, a binary PNG an object."""

import base64
import io
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.errors import OutputError
from pcvos_cli.files import make_directory, remove, whole, write_whole
from pcvos_cli.masks.journal import LabelJournal, decode_labels
from pcvos_cli.masks.label_files import MOTS_BASE, label_values
from pcvos_cli.masks.writers import FolderWriter, FrameMasks
from pcvos_cli.masks.youtube_vis import GENERAL, area_of, bbox_of, category_table, write_youtube_vis


class _JournalledWriter:
    """One file that is made of a journal at the end; until ``close``, the journal lies beside it.

    Args:
        path: The file.
        size: ``(height, width)`` of a frame.

    Raises:
        OutputError: The journal cannot be created.
    """

    def __init__(self, path: Path, size: tuple[int, int]) -> None:
        self._path, self._size = path, size
        make_directory(path.parent)
        self._journal_path = path.with_name(f"{path.name}.journal.tmp")
        self._journal = LabelJournal(self._journal_path)

    def write(self, frame: FrameMasks) -> None:
        """Put one frame into the journal.

        Raises:
            OutputError: The journal cannot be written.
        """
        self._journal.write(frame)

    def close(self) -> None:
        """Write the file and remove the journal.

        Raises:
            OutputError: It cannot be written; nothing is left behind.
        """
        try:
            self._write_file()
        finally:
            self.abort()

    def abort(self) -> None:
        """Remove the journal."""
        self._journal.close()
        remove(self._journal_path)

    def _write_file(self) -> None:
        with (
            whole(self._path) as partial,
            partial.open("w", encoding="utf-8", errors="backslashreplace") as out,
        ):
            out.writelines(self._lines())

    def _lines(self) -> Iterator[str]:
        raise NotImplementedError


class YoutubeVisWriter(_JournalledWriter):
    """One JSON file in the form of YouTube-VIS.

    Args:
        path: The JSON file.
        size: ``(height, width)`` of a frame.
        options: As ``write_youtube_vis``.

    Raises:
        OutputError: The journal cannot be created.
    """

    def __init__(self, path: Path, size: tuple[int, int], **options: Any) -> None:
        super().__init__(path, size)
        self._options = options

    def _write_file(self) -> None:
        write_youtube_vis(self._path, self._journal, size=self._size, **self._options)


class CocoWriter(_JournalledWriter):
    """One COCO JSON in which every frame is an image.

    An object on a frame is an annotation with RLE; ``track_id`` is its object id, and
    ``frame_id`` of an image its place in the video.

    Args:
        path: The JSON file.
        size: ``(height, width)`` of a frame.
        suffix: Ending of the frames' files, for ``file_name``.
        object_ids: All objects.
        categories: Names of their classes, by id; the others are "object".

    Raises:
        OutputError: The journal cannot be created.
    """

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        *,
        suffix: str,
        object_ids: Sequence[int],
        categories: Mapping[int, str],
    ) -> None:
        super().__init__(path, size)
        self._suffix = suffix
        self._table, self._classes = category_table(object_ids, categories)

    def _lines(self) -> Iterator[str]:
        yield (
            '{"info": {"description": "Object masks by pcvos"}, "categories": '
            f'{json.dumps(self._table, ensure_ascii=False)},\n"images": ['
        )
        yield from _listed(self._images())
        yield '\n],\n"annotations": ['
        yield from _listed(self._annotations())
        yield "\n]}\n"

    def _images(self) -> Iterator[dict[str, Any]]:
        height, width = self._size
        for entry in self._journal.entries():
            yield {
                "id": entry.index + 1,
                "file_name": entry.name + self._suffix,
                "height": height,
                "width": width,
                "frame_id": entry.index,
            }

    def _annotations(self) -> Iterator[dict[str, Any]]:
        number = itertools.count(1)
        for entry in self._journal.entries():
            for object_id, counts in entry.codes.items():
                rle = {"size": list(self._size), "counts": counts}
                yield {
                    "id": next(number),
                    "image_id": entry.index + 1,
                    "category_id": self._classes[object_id],
                    "track_id": object_id,
                    "iscrowd": 0,
                    "area": area_of(rle),
                    "bbox": bbox_of(rle),
                    "segmentation": rle,
                }


def _listed(values: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield the members of a JSON list, a line each."""
    for number, value in enumerate(values):
        yield (",\n" if number else "\n") + json.dumps(value, ensure_ascii=False)


class LabelmeWriter(FolderWriter):
    """A labelme JSON a frame: each object is a shape of type ``mask``, its id the group.

    Args:
        directory: Where they go; created if missing.
        suffix: Ending of the frames' files, for ``imagePath``.
        categories: Labels of the objects, by id; the others are "object".

    Raises:
        OutputError: The folder cannot be created.
    """

    def __init__(self, directory: Path, *, suffix: str, categories: Mapping[int, str]) -> None:
        super().__init__(directory)
        self._suffix, self._categories = suffix, categories

    def write(self, frame: FrameMasks) -> None:
        """Write one JSON.

        Raises:
            OutputError: It cannot be written.
        """
        shapes = []
        for object_id in label_values(frame.labels):
            mask = (frame.labels == object_id).view(np.uint8)
            x, y, width, height = cv2.boundingRect(mask)
            part = mask[y : y + height, x : x + width] * np.uint8(255)
            shapes.append(
                {
                    "label": self._categories.get(object_id, GENERAL),
                    "points": [[x, y], [x + width - 1, y + height - 1]],
                    "group_id": object_id,
                    "description": "",
                    "shape_type": "mask",
                    "flags": {},
                    "mask": base64.b64encode(_png(part)).decode("ascii"),
                }
            )
        document = {
            "version": "5.5.0",
            "generator": "pcvos",
            "flags": {},
            "shapes": shapes,
            "imagePath": frame.name + self._suffix,
            "imageData": None,
            "imageHeight": frame.labels.shape[0],
            "imageWidth": frame.labels.shape[1],
        }
        text = json.dumps(document, ensure_ascii=False, indent=1)
        write_whole(self._directory / f"{frame.name}.json", text)


def is_from_pcvos(path: Path) -> bool:
    """Whether a JSON is one that ``LabelmeWriter`` wrote, perhaps edited since."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(document, dict) and document.get("generator") == "pcvos"


class CvatWriter(_JournalledWriter):
    """One XML of "CVAT for video 1.1": a track of masks for each object.

    Tracks count from 0: a track's number is the object's id less 1.

    Args:
        path: The XML file.
        size: ``(height, width)`` of a frame.
        categories: Labels of the objects, by id; the others are "object".

    Raises:
        OutputError: The journal cannot be created.
    """

    def __init__(self, path: Path, size: tuple[int, int], *, categories: Mapping[int, str]) -> None:
        super().__init__(path, size)
        self._categories = categories

    def _lines(self) -> Iterator[str]:
        return (line + "\n" for line in self._elements())

    def _elements(self) -> Iterator[str]:
        ids = sorted(self._journal.object_ids)
        labels = {object_id: self._categories.get(object_id, GENERAL) for object_id in ids}
        length = sum(1 for _ in self._journal.entries())
        yield '<?xml version="1.0" encoding="utf-8"?>'
        yield "<annotations><version>1.1</version><meta><task>"
        yield f"<size>{length}</size><mode>interpolation</mode><start_frame>0</start_frame>"
        yield f"<stop_frame>{max(0, length - 1)}</stop_frame><labels>"
        for label in dict.fromkeys(labels.values()):
            yield f"<label><name>{escape(label)}</name><attributes></attributes></label>"
        yield "</labels><original_size>"
        yield f"<width>{self._size[1]}</width><height>{self._size[0]}</height>"
        yield "</original_size></task></meta>"
        for object_id in ids:
            label = quoteattr(labels[object_id])
            yield f'<track id="{object_id - 1}" label={label} source="pcvos">'
            yield from self._track(object_id)
            yield "</track>"
        yield "</annotations>"

    def _track(self, object_id: int) -> Iterator[str]:
        shape = ""
        for place, entry in enumerate(self._journal.entries()):
            counts = entry.codes.get(object_id)
            if counts is None:
                if shape:  # A track goes on until it is said to be outside.
                    yield f'<mask frame="{place}" keyframe="1" outside="1" {shape}'
                shape = ""
                continue
            mask = decode_labels({1: counts}, self._size).astype(np.uint8)
            x, y, width, height = cv2.boundingRect(mask)
            part = mask[y : y + height, x : x + width].ravel()
            edges = np.flatnonzero(np.diff(part, prepend=0)).tolist()
            runs = np.diff([0, *edges, part.size]).tolist()
            shape = (
                f'occluded="0" rle="{", ".join(map(str, runs))}" left="{x}" top="{y}" '
                f'width="{width}" height="{height}" z_order="0"></mask>'
            )
            yield f'<mask frame="{place}" keyframe="1" outside="0" {shape}'


class MotsWriter(FolderWriter):
    """One 16-bit PNG a frame: ``class * 1000 + object_id``, as in MOTS and KITTI MOTS.

    Args:
        directory: Where they go; created if missing.
        class_id: The class of all objects; in MOTS, 1 is car and 2 pedestrian.

    Raises:
        OutputError: The folder cannot be created.
    """

    def __init__(self, directory: Path, *, class_id: int) -> None:
        super().__init__(directory)
        self._base = class_id * MOTS_BASE

    def write(self, frame: FrameMasks) -> None:
        """Write one PNG.

        Raises:
            OutputError: It cannot be written, or an id is above 999.
        """
        path = self._directory / f"{frame.name}.png"
        labels = frame.labels
        largest = int(labels.max(initial=0))
        if largest >= MOTS_BASE:
            raise OutputError(f"{path}: object id {largest} does not fit MOTS (1 to 999)")
        values = np.where(labels > 0, labels.astype(np.uint16) + self._base, 0).astype(np.uint16)
        write_whole(path, _png(values))


class BinaryWriter(FolderWriter):
    """A folder an object, ``<id>/<name>.png``: 255 where the object is, else 0.

    Every object has a file for every frame, so that a folder is a video of its own.

    Args:
        directory: Where the folders go; created if missing.
        object_ids: The objects.

    Raises:
        OutputError: A folder cannot be created.
    """

    def __init__(self, directory: Path, object_ids: Sequence[int]) -> None:
        super().__init__(directory)
        self._folders = {object_id: directory / str(object_id) for object_id in object_ids}
        for folder in self._folders.values():
            make_directory(folder)

    def write(self, frame: FrameMasks) -> None:
        """Write one PNG for each object.

        Raises:
            OutputError: One cannot be written.
        """
        for object_id, folder in self._folders.items():
            mask = np.where(frame.labels == object_id, 255, 0).astype(np.uint8)
            write_whole(folder / f"{frame.name}.png", _png(mask))


def _png(values: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    content = io.BytesIO()
    Image.fromarray(values).save(content, format="PNG")
    return content.getvalue()
