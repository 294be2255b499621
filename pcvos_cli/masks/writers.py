"""Masks, frame by frame, to files: the writers' protocol, palette PNGs and scores."""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.errors import OutputError
from pcvos_cli.files import make_directory, write_whole
from pcvos_cli.masks.palette import MAX_PALETTE_ID, voc_palette

_ZLIB_RLE = 3
"""zlib's strategy Z_RLE."""


@dataclass(frozen=True, slots=True)
class FrameMasks:
    """A frame and its masks.

    Attributes:
        index: 0-based position in the source.
        name: Stem of its files.
        pts: Presentation time in units of the source's time base.
        rgb: ``(H, W, 3)`` uint8, upright.
        labels: ``(H, W)`` int32 object ids at the source's size, 0 = background.
        probs: ``(1 + K, h, w)`` at the working size, all of the run's ids in ascending order;
            an object that has not entered yet is zero. ``None`` where nobody asked for scores,
            or they are files already.
        soft: ``(h, w)`` uint8 at the working size, 255 times the probability of any object;
            ``None`` where nobody asked for mattes.
    """

    index: int
    name: str
    pts: int
    rgb: NDArray[np.uint8]
    labels: NDArray[np.int32]
    probs: NDArray[np.float32] | None = None
    soft: NDArray[np.uint8] | None = None


class MaskWriter(Protocol):
    """One output format. ``write`` is called once a frame, in order."""

    def write(self, frame: FrameMasks) -> None:
        """Write one frame.

        Raises:
            OutputError: If it cannot be written.
        """
        ...

    def close(self) -> None:
        """Finish: what was written gets its final name."""
        ...

    def abort(self) -> None:
        """Give up: remove unfinished files, keep whole ones."""
        ...


class FolderWriter:
    """A ``MaskWriter`` of files of a frame each, which are whole as soon as they are written.

    Args:
        directory: Where they go; created if missing.

    Raises:
        OutputError: The folder cannot be created.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        make_directory(directory)

    def close(self) -> None:
        """Every file is whole already."""

    def abort(self) -> None:
        """Every file is whole already, and is kept."""


class PaletteWriter(FolderWriter):
    """One palette PNG a frame, ``<name>.png``: pixel values are the object ids.

    The colours are those of PASCAL VOC and DAVIS, so the files are DAVIS results.
    """

    def write(self, frame: FrameMasks) -> None:
        """Write one PNG.

        Raises:
            OutputError: It cannot be written, or an id is above 255.
        """
        path = self._directory / f"{frame.name}.png"
        largest = frame.labels.max(initial=0)
        if largest > MAX_PALETTE_ID:
            raise OutputError(
                f"{path}: object id {largest} does not fit a palette PNG (0 to {MAX_PALETTE_ID})",
                hint="write RLE instead (--format rle), or number the objects from 1",
            )
        write_whole(path, encode_palette_png(frame.labels))


def encode_palette_png(labels: NDArray[np.integer]) -> bytes:
    """Return the bytes of a palette PNG of ``(H, W)`` ids from 0 to 255."""
    image = Image.fromarray(labels.astype(np.uint8))
    image.putpalette(voc_palette().tobytes())
    content = io.BytesIO()
    # Runs are all there is to compress: half the time of zlib's default, and smaller files.
    image.save(content, format="PNG", compress_level=1, compress_type=_ZLIB_RLE)
    return content.getvalue()


class ScoresWriter(FolderWriter):
    """Soft masks, one ``<name>.npz`` a frame with the key ``prob``.

    ``prob`` is float32 ``(1 + K, h, w)`` at the size the model worked at, channel 0 the
    background. The files are zip archives with fixed dates, so equal scores are equal bytes.
    Frames may come in any order.
    """

    def write(self, frame: FrameMasks) -> None:
        """Write one archive, unless the frame has no ``probs``: its archive is there already.

        Raises:
            OutputError: It cannot be written.
        """
        if frame.probs is None:
            return
        array = io.BytesIO()
        np.save(array, np.ascontiguousarray(frame.probs, dtype=np.float32), allow_pickle=False)
        content = io.BytesIO()
        # np.savez_compressed has no level; 1 is several times faster than its 6.
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr(zipfile.ZipInfo("prob.npy"), array.getvalue(), zipfile.ZIP_DEFLATED, 1)
        write_whole(self._directory / f"{frame.name}.npz", content.getvalue())
