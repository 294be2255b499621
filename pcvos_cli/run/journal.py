"""The labels of finished frames, from which a resumed run writes its other files again."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from pcvos_cli.files import output_errors
from pcvos_cli.masks.coco import encode_labels
from pcvos_cli.masks.label_map import LabelMap
from pcvos_cli.video.source import Frame


class LabelJournal:
    """A ``MaskWriter``: one line a frame, ids with their RLE, appended as frames come.

    Unlike the other outputs it grows in place: how much of it counts, a saved state says.

    Args:
        path: The file.
        keep: Bytes of an earlier run that stay; the rest of the file is cut off.
        first: Frames with a lower index are in those bytes, and are passed over.

    Raises:
        OutputError: It cannot be opened.
    """

    wants_probs = False

    def __init__(self, path: Path, *, keep: int = 0, first: int = 0) -> None:
        self._path = path
        self._first = first
        with output_errors(path):
            self._file: BinaryIO = path.open("r+b" if keep else "wb")
            self._file.truncate(keep)
            self._file.seek(keep)

    def write(
        self,
        frame: Frame,
        labels: LabelMap,
        probs: NDArray[np.float32] | None,  # noqa: ARG002
    ) -> None:
        """Append one frame.

        Raises:
            OutputError: It cannot be written.
        """
        if frame.index < self._first:
            return
        line = pack_labels(labels)
        with output_errors(self._path):
            self._file.write(line)

    def flush(self) -> int:
        """Hand what was written to the system; return the file's length in bytes.

        Raises:
            OutputError: It cannot be written.
        """
        with output_errors(self._path):
            self._file.flush()
            return self._file.tell()

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        with contextlib.suppress(OSError):  # what a state does not name, nobody reads
            self._file.close()

    def abort(self) -> None:
        """Close the file; a saved state may still name its beginning."""
        self.close()


def read_journal(path: Path, length: int, size: tuple[int, int]) -> Iterator[NDArray[np.int32]]:
    """Yield the labels of each frame in the first ``length`` bytes, ``(H, W)`` int32.

    Args:
        path: What a ``LabelJournal`` wrote; it may grow meanwhile.
        length: As ``LabelJournal.flush`` returned it.
        size: ``(height, width)`` of the labels.

    Raises:
        OSError: It cannot be read.
        ValueError: It is damaged.
    """
    with path.open("rb") as file:
        while file.tell() < length:
            yield unpack_labels(file.readline(), size)


def pack_labels(labels: LabelMap) -> bytes:
    """Return an ``(H, W)`` id map as one line: ids with their RLE."""
    return json.dumps(encode_labels(labels)).encode("ascii") + b"\n"


def unpack_labels(line: bytes, size: tuple[int, int]) -> NDArray[np.int32]:
    """Return the ``(H, W)`` int32 id map of a line of ``pack_labels``.

    Raises:
        ValueError: It is damaged.
    """
    labels = np.zeros(size, np.int32)
    for object_id, counts in json.loads(line).items():
        rle = {"size": list(size), "counts": counts.encode("ascii")}
        labels[coco_mask.decode(rle) == 1] = int(object_id)
    return labels
