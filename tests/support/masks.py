"""Folders of palette PNGs as ``segment`` leaves them, and RLE as pycocotools makes it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from pcvos_cli.masks.writers import FrameMasks, PaletteWriter
from tests.support.cli import square

LabelMaps = Sequence[NDArray[np.int32]]


def moving(count: int = 5) -> list[NDArray[np.int32]]:
    """Return two objects, 1 and 7, that move; 7 comes late and leaves, 1 is cut by the edge."""
    frames = []
    for index in range(count):
        labels = square(box=(6, 50 + 2 * index, 12, 12))
        if 0 < index < count - 1:
            labels[30:40, 4 * index : 4 * index + 9] = 7
        frames.append(labels)
    return frames


def write_palette_folder(folder: Path, maps: LabelMaps, names: Sequence[str] | None = None) -> Path:
    """Write ``00000.png``, ... or the names given, and return the folder."""
    writer = PaletteWriter(folder)
    for index, labels in enumerate(maps):
        name = f"{index:05}" if names is None else names[index]
        rgb = np.zeros((*labels.shape, 3), np.uint8)
        writer.write(FrameMasks(index, name, index, rgb, labels))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all files below a folder by their relative names."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def encode_mask(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Return the COCO RLE of an ``(H, W)`` mask as pycocotools makes it, ``counts`` as ``str``."""
    rle: dict[str, Any] = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(n) for n in rle["size"]], "counts": rle["counts"].decode("ascii")}
