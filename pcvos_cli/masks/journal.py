"""The journal of a run: the labels of finished frames as RLE, written once.

``masks.json`` is built from it, a resumed run takes the labels of finished frames from it,
and what was segmented backwards waits in it for its turn.
"""

import contextlib
import json
import threading
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from pcvos_cli.files import output_errors
from pcvos_cli.masks.writers import FrameMasks


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A frame in the journal.

    Attributes:
        index: 0-based position in the source.
        name: Stem of its files.
        pts: Presentation time in units of the source's time base.
        codes: ``counts`` of the COCO RLE of each object on it, by id, ascending.
    """

    index: int
    name: str
    pts: int
    codes: dict[int, str]


class LabelJournal:
    """A ``MaskWriter``: one line a frame, in any order; it is read in the order of the video.

    Unlike other outputs the file grows in place: how much of it counts, a saved state says.
    Memory holds 8 bytes a frame. One thread may write while another reads.

    Args:
        path: The file.
        keep: Bytes of an earlier run that stay; the rest of the file is cut off.

    Raises:
        OutputError: It cannot be opened.
        ValueError: What should stay is damaged.
    """

    def __init__(self, path: Path, *, keep: int = 0) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._places = array("Q")  # By index: place of the frame's line, + 1; 0 is absent.
        self.frames_with: Counter[int] = Counter()  # Number of frames by object id.
        with output_errors(path):
            self._file: BinaryIO = path.open("r+b" if keep else "w+b")
            self._file.truncate(keep)
            self._find_lines(keep)

    def _find_lines(self, length: int) -> None:
        place = 0
        try:
            while place < length:
                line = self._file.readline()
                entry = _parse(line)
                self._note(entry.index, place, entry.codes)
                place += len(line)
        except (ValueError, TypeError, AttributeError) as error:
            self.close()
            raise ValueError(f"{self._path.name}: not a journal from byte {place} on") from error

    def _note(self, index: int, place: int, codes: dict[int, str]) -> None:
        self._places.extend([0] * (index + 1 - len(self._places)))
        self._places[index] = place + 1
        self.frames_with.update(codes.keys())

    @property
    def object_ids(self) -> set[int]:
        """Ids that are on a frame."""
        return set(self.frames_with)

    def __contains__(self, index: int) -> bool:
        """Whether the frame of this index is in the journal."""
        return index < len(self._places) and self._places[index] > 0

    def write(self, frame: FrameMasks) -> None:
        """Append a frame, unless it is in the journal already.

        Raises:
            OutputError: It cannot be written.
        """
        if frame.index in self:
            return
        codes = encode_labels(frame.labels)
        line = json.dumps([frame.index, frame.name, frame.pts, codes]).encode("ascii") + b"\n"
        with self._lock, output_errors(self._path):
            place = self._file.seek(0, 2)
            self._file.write(line)
            self._note(frame.index, place, codes)

    def labels(self, index: int, size: tuple[int, int]) -> NDArray[np.int32]:
        """Return the ``(H, W)`` int32 labels of a frame that is in the journal.

        Raises:
            OSError: The file cannot be read.
            ValueError: It is damaged.
        """
        return decode_labels(self._entry(index).codes, size)

    def entries(self) -> Iterator[JournalEntry]:
        """Yield the frames in the order of the video; errors as ``labels``."""
        for index, place in enumerate(self._places):
            if place:
                yield self._entry(index)

    def _entry(self, index: int) -> JournalEntry:
        with self._lock:
            self._file.seek(self._places[index] - 1)
            return _parse(self._file.readline())

    def flush(self) -> int:
        """Hand what was written to the system; return the file's length in bytes.

        Raises:
            OutputError: It cannot be written.
        """
        with self._lock, output_errors(self._path):
            self._file.flush()
            return self._file.seek(0, 2)

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        with contextlib.suppress(OSError):  # what a state does not name, nobody reads
            self._file.close()

    def abort(self) -> None:
        """Close the file; a saved state may still name its beginning."""
        self.close()


def _parse(line: bytes) -> JournalEntry:
    """Read a line.

    Raises:
        ValueError: It is damaged.
    """
    index, name, pts, codes = json.loads(line)
    return JournalEntry(index, name, pts, {int(key): counts for key, counts in codes.items()})


def encode_labels(labels: NDArray[np.int32]) -> dict[int, str]:
    """Return the ``counts`` of the COCO RLE of each id in an ``(H, W)`` map, ids ascending."""
    height, width = labels.shape
    # RLE runs down the columns. The runs of all objects at once: pycocotools would pass over
    # the frame for each.
    pixels = cv2.transpose(labels).ravel()
    starts = np.concatenate(([0], np.flatnonzero(pixels[1:] != pixels[:-1]) + 1))
    ends = np.append(starts[1:], pixels.size)
    ids = pixels[starts]
    codes = {}
    for object_id in np.unique(ids[ids > 0]):
        own = ids == object_id
        edges = np.stack((starts[own], ends[own]), axis=1).ravel()
        counts = np.diff(edges, prepend=0, append=height * width)
        runs = counts if counts[-1] else counts[:-1]
        rle = coco_mask.frPyObjects({"counts": runs, "size": [height, width]}, height, width)
        codes[int(object_id)] = rle["counts"].decode("ascii")
    return codes


def decode_labels(codes: Mapping[int, str], size: tuple[int, int]) -> NDArray[np.int32]:
    """Return the ``(H, W)`` map of what ``encode_labels`` returned."""
    labels = np.zeros(size, np.int32)
    for object_id, counts in codes.items():
        rle = {"size": list(size), "counts": counts.encode("ascii")}
        labels[coco_mask.decode(rle) == 1] = object_id
    return labels
