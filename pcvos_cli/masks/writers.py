"""What is done with each frame's masks: palette PNGs, COCO RLE, an overlay, scores."""

import io
import zipfile
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.errors import OutputError
from pcvos_cli.files import make_directory, write_whole
from pcvos_cli.masks.coco import RLEWriter
from pcvos_cli.masks.label_map import LabelMap, as_bytes
from pcvos_cli.masks.overlay import OverlayWriter
from pcvos_cli.masks.palette import MAX_PALETTE_ID, voc_palette
from pcvos_cli.video.source import Frame

__all__ = ["MaskWriter", "OverlayWriter", "PaletteWriter", "RLEWriter", "ScoresWriter"]


_ZLIB_RLE = 3
"""zlib's strategy Z_RLE."""


class MaskWriter(Protocol):
    """One output format. ``write`` is called once a frame, in order."""

    def write(self, frame: Frame, labels: LabelMap, probs: NDArray[np.float32] | None) -> None:
        """Write one frame.

        Args:
            frame: The source's frame, at the source's size.
            labels: ``(H, W)`` object ids at the source's size, 0 = background.
            probs: ``(1 + K, h, w)`` at the working size, all of the run's ids in ascending
                order; an object that has not entered yet is zero. ``None`` unless
                ``wants_probs``.

        Raises:
            OutputError: If it cannot be written.
        """
        ...

    @property
    def wants_probs(self) -> bool:
        """Whether ``write`` reads ``probs``."""
        ...

    def close(self) -> None:
        """Finish: what was written gets its final name."""
        ...

    def abort(self) -> None:
        """Give up: remove unfinished files, keep whole ones."""
        ...


class PaletteWriter:
    """One palette PNG a frame, ``<name>.png``: pixel values are the object ids.

    The colours are those of PASCAL VOC and DAVIS, so the files are DAVIS results.

    Args:
        directory: Where they go; created if missing.

    Raises:
        OutputError: The folder cannot be created.
    """

    wants_probs = False

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._palette = voc_palette().tobytes()
        make_directory(directory)

    def write(
        self,
        frame: Frame,
        labels: LabelMap,
        probs: NDArray[np.float32] | None,  # noqa: ARG002
    ) -> None:
        """Write one PNG.

        Raises:
            OutputError: It cannot be written, or an id is above 255.
        """
        path = self._directory / f"{frame.name}.png"
        small = as_bytes(labels)
        if small is None:
            raise OutputError(
                f"{path}: object id {labels.max()} does not fit a palette PNG "
                f"(0 to {MAX_PALETTE_ID})",
                hint="write RLE instead (--format rle), or number the objects from 1",
            )
        write_whole(path, encode_palette_png(small, self._palette))

    def close(self) -> None:
        """Every file is whole already."""

    def abort(self) -> None:
        """Every file is whole already, and is kept."""


def encode_palette_png(labels: LabelMap, palette: bytes | None = None) -> bytes:
    """Return the bytes of a palette PNG of ``(H, W)`` ids from 0 to 255."""
    image = Image.fromarray(labels.astype(np.uint8, copy=False))
    image.putpalette(voc_palette().tobytes() if palette is None else palette)
    content = io.BytesIO()
    # Runs are all there is to compress: half the time of zlib's default, and smaller files.
    image.save(content, format="PNG", compress_level=1, compress_type=_ZLIB_RLE)
    return content.getvalue()


class ScoresWriter:
    """Soft masks, one ``<name>.npz`` a frame with the key ``prob``.

    ``prob`` is float32 ``(1 + K, h, w)`` at the size the model worked at, channel 0 the
    background. The files are zip archives with fixed dates, so equal scores are equal bytes.

    Args:
        directory: Where they go; created if missing.

    Raises:
        OutputError: The folder cannot be created.
    """

    wants_probs = True

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        make_directory(directory)

    def write(
        self,
        frame: Frame,
        labels: LabelMap,  # noqa: ARG002
        probs: NDArray[np.float32] | None,
    ) -> None:
        """Write one archive.

        Raises:
            OutputError: It cannot be written.
            ValueError: ``probs`` is ``None``.
        """
        if probs is None:
            raise ValueError("ScoresWriter needs probs")
        self.write_named(frame.name, probs)

    def write_named(self, name: str, probs: NDArray[np.float32]) -> None:
        """Write the archive of the frame of this name; frames may come in any order.

        Raises:
            OutputError: It cannot be written.
        """
        array = io.BytesIO()
        np.save(array, np.ascontiguousarray(probs, dtype=np.float32), allow_pickle=False)
        content = io.BytesIO()
        # np.savez_compressed has no level; 1 is several times faster than its 6.
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr(zipfile.ZipInfo("prob.npy"), array.getvalue(), zipfile.ZIP_DEFLATED, 1)
        write_whole(self._directory / f"{name}.npz", content.getvalue())

    def close(self) -> None:
        """Every file is whole already."""

    def abort(self) -> None:
        """Every file is whole already, and is kept."""
