"""COCO RLE for video: the JSON form of YouTube-VIS, read by pycocotools."""

import contextlib
import json
import threading
import weakref
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from pcvos_cli.files import make_directory, output_errors, remove, temporary
from pcvos_cli.masks.label_map import LabelMap, as_bytes, box_of_all
from pcvos_cli.video.source import Frame, VideoInfo

VIDEO_ID = 1
CATEGORY_ID = 1


class RLEWriter:
    """All masks of a video in one JSON file.

    ``annotations`` holds one entry an object, ``id`` being the user's object id, with one
    RLE (or null) a frame. Until ``close`` the RLEs wait in a journal beside the output, and
    memory holds 8 bytes for each of them, however long the video.

    Args:
        path: The JSON file.
        info: The source.
        settings: Stored as ``info.settings``. Read at ``close``, so what is learned on the
            way (warnings, truncation) can still be added to the same mapping.
        object_ids: Ids that are listed even if they are never predicted.

    Raises:
        OutputError: The journal cannot be created.
    """

    wants_probs = False

    def __init__(
        self,
        path: Path,
        info: VideoInfo,
        *,
        settings: Mapping[str, Any],
        object_ids: Sequence[int] = (),
    ) -> None:
        self._path = path
        self._info = info
        self._settings = settings
        self._frames = 0
        self._pts = array("q")
        self._names: list[str] = []
        # Offset + 1 in the journal of each frame's RLE; 0 where the object is absent.
        self._offsets: dict[int, array[int]] = {i: array("Q") for i in object_ids}
        make_directory(path.parent)
        self._journal_path = path.with_name(f"{path.name}.journal.tmp")
        with output_errors(path):
            self._journal: BinaryIO = self._journal_path.open("w+b")

    def write(
        self,
        frame: Frame,
        labels: LabelMap,
        probs: NDArray[np.float32] | None,  # noqa: ARG002
    ) -> None:
        """Encode one frame.

        Raises:
            OutputError: The journal cannot be written.
        """
        with output_errors(self._path):
            for object_id, counts in encode_labels(labels).items():
                offsets = self._offsets.setdefault(object_id, array("Q"))
                offsets.extend([0] * (self._frames - len(offsets)))
                offsets.append(self._journal.tell() + 1)
                self._journal.write(counts.encode("ascii") + b"\n")
        self._pts.append(frame.pts)
        self._names.append(frame.name)
        self._frames += 1

    def close(self) -> None:
        """Write the JSON file from the journal and remove the journal.

        Raises:
            OutputError: It cannot be written; nothing is left behind.
        """
        partial = temporary(self._path)
        try:
            with output_errors(self._path):
                self._journal.flush()
                with partial.open("w", encoding="utf-8") as out:
                    self._write_json(out)
                partial.replace(self._path)
        except BaseException:
            self.abort()
            raise
        self._discard_journal()

    def abort(self) -> None:
        """Remove what is unfinished."""
        self._discard_journal()
        remove(temporary(self._path))

    def _discard_journal(self) -> None:
        with contextlib.suppress(OSError):
            self._journal.close()  # flushes, which fails again on a full disk
        remove(self._journal_path)

    def _write_json(self, out: TextIO) -> None:
        video = self._info
        head = {
            "info": {
                "description": "Object masks by pcvos, in the form of YouTube-VIS",
                "source": video.path.name,
                "time_base": str(video.time_base),
                "pts": self._pts.tolist(),
                "settings": dict(self._settings),
            },
            "videos": [
                {
                    "id": VIDEO_ID,
                    "width": video.width,
                    "height": video.height,
                    "length": self._frames,
                    "file_names": self._names,
                }
            ],
            "categories": [{"id": CATEGORY_ID, "name": "object", "supercategory": "object"}],
        }
        out.write(json.dumps(head, ensure_ascii=False)[:-1])
        out.write(', "annotations": [')
        for number, object_id in enumerate(sorted(self._offsets)):
            out.write(",\n" if number else "\n")
            self._write_annotation(out, object_id)
        out.write("\n]}\n")

    def _write_annotation(self, out: TextIO, object_id: int) -> None:
        video = self._info
        head = {
            "id": object_id,
            "video_id": VIDEO_ID,
            "category_id": CATEGORY_ID,
            "iscrowd": 0,
            "width": video.width,
            "height": video.height,
            "length": self._frames,
        }
        out.write(json.dumps(head)[:-1])
        # Three passes over the journal, so that no list is held.
        _write_list(out, "segmentations", self._rles(object_id))
        _write_list(out, "bboxes", (r and bbox_of(r) for r in self._rles(object_id)))
        _write_list(out, "areas", (r and int(coco_mask.area(r)) for r in self._rles(object_id)))
        out.write("}")

    def _rles(self, object_id: int) -> Iterator[dict[str, Any] | None]:
        size = [self._info.height, self._info.width]
        offsets = self._offsets[object_id]
        for offset in offsets:
            if offset == 0:
                yield None
            else:
                self._journal.seek(offset - 1)
                counts = self._journal.readline().rstrip(b"\n").decode("ascii")
                yield {"size": size, "counts": counts}
        for _ in range(self._frames - len(offsets)):
            yield None


class _LastCodes:
    """The RLEs of the map that was encoded last: several writers get the same one in turn."""

    def __init__(self) -> None:
        self._labels: Callable[[], object] = lambda: None
        self._codes: dict[int, str] = {}

    def of(self, labels: LabelMap) -> dict[int, str]:
        if labels.flags.writeable:  # It may have changed meanwhile.
            return _encode_labels(labels)
        if self._labels() is not labels:
            self._codes = _encode_labels(labels)
            self._labels = weakref.ref(labels)
        return dict(self._codes)


_last = threading.local()


def encode_labels(labels: LabelMap) -> dict[int, str]:
    """Return the ``counts`` of the COCO RLE of each id in an ``(H, W)`` map, ids ascending.

    The same array, passed again, is not encoded again if it is read-only.
    """
    if not hasattr(_last, "codes"):
        _last.codes = _LastCodes()
    codes: _LastCodes = _last.codes
    return codes.of(labels)


def _encode_labels(labels: LabelMap) -> dict[int, str]:
    height, width = labels.shape
    small = as_bytes(labels)
    ids_of = labels if small is None else small
    box = box_of_all(ids_of)
    if box is None:
        return {}
    columns = box[1]
    # RLE runs down the columns; those without objects would only be passed over.
    pixels = cv2.transpose(ids_of[:, columns]).ravel()
    # The runs of all objects at once: pycocotools would pass over the frame for each.
    starts = np.concatenate(([0], np.flatnonzero(pixels[1:] != pixels[:-1]) + 1))
    ends = np.append(starts[1:], pixels.size)
    ids = pixels[starts]
    starts += columns.start * height
    ends += columns.start * height
    codes = {}
    for object_id in np.unique(ids[ids > 0]):
        own = ids == object_id
        edges = np.stack((starts[own], ends[own]), axis=1).ravel()
        counts = np.diff(edges, prepend=0, append=height * width)
        runs = counts if counts[-1] else counts[:-1]
        rle = coco_mask.frPyObjects({"counts": runs, "size": [height, width]}, height, width)
        codes[int(object_id)] = rle["counts"].decode("ascii")
    return codes


def bbox_of(rle: dict[str, Any]) -> list[int]:
    """Return the ``[x, y, width, height]`` of a COCO RLE, in pixels."""
    return [int(value) for value in coco_mask.toBbox(rle)]


def _write_list(out: TextIO, key: str, values: Iterable[Any]) -> None:
    out.write(f', "{key}": [')
    for number, value in enumerate(values):
        out.write(", " if number else "")
        out.write(json.dumps(value))
    out.write("]")
