"""Writers of whole videos: YouTube-VIS and per-frame COCO, MOTS PNGs, a binary PNG an object."""

import base64
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.errors import OutputError
from pcvos_cli.files import make_directory, output_errors, remove, temporary, write_whole
from pcvos_cli.masks.journal import LabelJournal
from pcvos_cli.masks.label_files import MOTS_BASE, label_values
from pcvos_cli.masks.rle import area_of, bbox_of, decode_labels, encode_labels
from pcvos_cli.masks.writers import FrameMasks
from pcvos_cli.masks.youtube_vis import GENERAL, category_table, write_youtube_vis


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


class CocoWriter:
    """One COCO JSON in which every frame is an image.

    An object on a frame is an annotation with RLE; ``track_id`` is its object id, and
    ``frame_id`` of an image its place in the video. Images come first, so names and size
    are needed beforehand and nothing is held in memory.

    Args:
        path: The JSON file.
        names: Output name of each frame.
        size: ``(height, width)``.
        suffix: Ending of the frames' files, for ``file_name``.
        object_ids: All objects.
        categories: Names of their classes, by id; the others are "object".

    Raises:
        OutputError: It cannot be created.
    """

    def __init__(
        self,
        path: Path,
        names: Sequence[str],
        size: tuple[int, int],
        *,
        suffix: str,
        object_ids: Sequence[int],
        categories: Mapping[int, str],
    ) -> None:
        self._path = path
        self._table, self._classes = category_table(object_ids, categories)
        self._annotations = 0
        make_directory(path.parent)
        with output_errors(path):
            self._out = temporary(path).open("w", encoding="utf-8")
            try:
                self._write_head(names, size, suffix)
            except BaseException:
                self.abort()
                raise

    def _write_head(self, names: Sequence[str], size: tuple[int, int], suffix: str) -> None:
        self._out.write(
            '{"info": {"description": "Object masks by pcvos"}, "categories": '
            f'{json.dumps(self._table, ensure_ascii=False)},\n"images": ['
        )
        for index, name in enumerate(names):
            image = {
                "id": index + 1,
                "file_name": name + suffix,
                "height": size[0],
                "width": size[1],
                "frame_id": index,
            }
            self._out.write((",\n" if index else "\n") + json.dumps(image, ensure_ascii=False))
        self._out.write('\n],\n"annotations": [')

    def write(self, frame: FrameMasks) -> None:
        """Write the objects of one frame.

        Raises:
            OutputError: It cannot be written.
        """
        for object_id, counts in encode_labels(frame.labels).items():
            rle = {"size": list(frame.labels.shape), "counts": counts}
            self._annotations += 1
            annotation = {
                "id": self._annotations,
                "image_id": frame.index + 1,
                "category_id": self._classes[object_id],
                "track_id": object_id,
                "iscrowd": 0,
                "area": area_of(rle),
                "bbox": bbox_of(rle),
                "segmentation": rle,
            }
            with output_errors(self._path):
                separator = ",\n" if self._annotations > 1 else "\n"
                self._out.write(separator + json.dumps(annotation))

    def close(self) -> None:
        """Finish the file and give it its name.

        Raises:
            OutputError: It cannot be written; nothing is left behind.
        """
        try:
            with output_errors(self._path):
                self._out.write("\n]}\n")
                self._out.close()
                temporary(self._path).replace(self._path)
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Remove what is unfinished."""
        try:
            self._out.close()
        except OSError:  # A full disk fails again on closing.
            pass
        finally:
            remove(temporary(self._path))


class LabelmeWriter:
    """A labelme JSON a frame: each object is a shape of type ``mask``, its id the group.

    Args:
        directory: Where they go; created if missing.
        suffix: Ending of the frames' files, for ``imagePath``.
        categories: Labels of the objects, by id; the others are "object".

    Raises:
        OutputError: The folder cannot be created.
    """

    def __init__(self, directory: Path, *, suffix: str, categories: Mapping[int, str]) -> None:
        self._directory, self._suffix, self._categories = directory, suffix, categories
        make_directory(directory)

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
        write_whole(self._directory / f"{frame.name}.json", text.encode())

    def close(self) -> None:
        """Every file is whole already."""

    def abort(self) -> None:
        """Every file is whole already, and is kept."""


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

    def _write_file(self) -> None:
        partial = temporary(self._path)
        try:
            with output_errors(self._path), partial.open("w", encoding="utf-8") as out:
                for line in self._lines():
                    out.write(line + "\n")
            with output_errors(self._path):
                partial.replace(self._path)
        finally:
            remove(partial)

    def _lines(self) -> Iterator[str]:
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


class MotsWriter:
    """One 16-bit PNG a frame: ``class * 1000 + object_id``, as in MOTS and KITTI MOTS.

    Args:
        directory: Where they go; created if missing.
        class_id: The class of all objects; in MOTS, 1 is car and 2 pedestrian.

    Raises:
        OutputError: The folder cannot be created.
    """

    def __init__(self, directory: Path, *, class_id: int) -> None:
        self._directory = directory
        self._base = class_id * MOTS_BASE
        make_directory(directory)

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

    def close(self) -> None:
        """Every file is whole already."""

    def abort(self) -> None:
        """Every file is whole already, and is kept."""


class BinaryWriter:
    """A folder an object, ``<id>/<name>.png``: 255 where the object is, else 0.

    Every object has a file for every frame, so that a folder is a video of its own.

    Args:
        directory: Where the folders go; created if missing.
        object_ids: The objects.

    Raises:
        OutputError: A folder cannot be created.
    """

    def __init__(self, directory: Path, object_ids: Sequence[int]) -> None:
        self._folders = {object_id: directory / str(object_id) for object_id in object_ids}
        make_directory(directory)
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

    def close(self) -> None:
        """Every file is whole already."""

    def abort(self) -> None:
        """Every file is whole already, and is kept."""


def _png(values: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    content = io.BytesIO()
    Image.fromarray(values).save(content, format="PNG")
    return content.getvalue()
