"""A folder of images as a video."""

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from model.errors import InputError
from pcvos_cli.video.source import Frame, VideoInfo

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
"""Files of a folder that are frames; upper case counts too, hidden files never."""


class FolderSource:
    """Images of a folder in natural order (2 before 10), at a constant frame rate.

    Args:
        path: The folder.
        fps: Frames a second; the timestamps are 0, 1, 2, ... in units of ``1 / fps``.

    Raises:
        InputError: Not a folder, no images, two images with one stem, an unreadable image,
            or images of different sizes.
    """

    def __init__(self, path: Path, fps: Fraction = Fraction(24)) -> None:
        self._closed = False
        self._files = _frame_files(path)
        self._indices = {file.stem: index for index, file in enumerate(self._files)}
        first, size = self._files[0], _upright_size(self._files[0])
        for file in self._files[1:]:
            other = _upright_size(file)
            if other != size:
                raise InputError(
                    f"{file}: is {other[1]}x{other[0]}, but {first.name} is {size[1]}x{size[0]}",
                    hint="all frames of a video have one size",
                )
        self._info = VideoInfo(
            path=path,
            height=size[0],
            width=size[1],
            coded_size=size,
            rotation=0,
            fps=fps,
            frame_count=len(self._files),
            time_base=1 / fps,
            has_audio=False,
            is_folder=True,
        )

    @property
    def info(self) -> VideoInfo:
        """The source's facts, known before decoding."""
        return self._info

    @property
    def warnings(self) -> list[str]:
        """Always empty: an image that cannot be read is an error."""
        return []

    def frame_index(self, name: str) -> int | None:
        """Return the index of the image with this stem, or ``None``."""
        return self._indices.get(name)

    def __iter__(self) -> Iterator[Frame]:
        """Read the images from the first on; errors as ``frames_from``."""
        return self.frames_from(0)

    def frames_from(self, first: int) -> Iterator[Frame]:
        """Read the images from index ``first`` on; those before are not opened.

        Raises:
            InputError: An image cannot be read.
            ValueError: The source was closed.
        """
        if self._closed:
            raise ValueError(f"{self._info.path}: the source is closed")
        return self._frames(first)

    def _frames(self, first: int) -> Iterator[Frame]:
        for index, file in enumerate(self._files[first:], first):
            if self._closed:
                return
            rgb = read_rgb(file)
            if rgb.shape[:2] != self._info.coded_size:  # EXIF behind a PNG's picture turns it
                raise InputError(
                    f"{file}: is {rgb.shape[1]}x{rgb.shape[0]} once it is turned upright, but "
                    f"the video is {self._info.width}x{self._info.height}",
                    hint="save it upright, without an EXIF orientation",
                )
            yield Frame(index=index, name=file.stem, pts=index, rgb=rgb)

    def close(self) -> None:
        """End every iteration. Safe to call twice."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def natural_key(path: Path) -> tuple[object, ...]:
    """Return a key that sorts ``frame2`` before ``frame10``; ties by the plain name."""
    parts = re.split(r"([0-9]+)", path.stem)
    numbered = [(part.casefold(), 0) for part in parts]
    numbered[1::2] = [("", int(part)) for part in parts[1::2]]
    return (*numbered, (path.name, 0))


def image_files(directory: Path) -> list[Path]:
    """Return the visible images of a folder in natural order.

    Raises:
        InputError: It is not found, not a folder, or may not be listed.
    """
    try:
        files = [
            file
            for file in directory.iterdir()
            if file.suffix.lower() in IMAGE_SUFFIXES
            and not file.name.startswith(".")
            and file.is_file()
        ]
    except OSError as error:
        raise InputError(f"{directory}: cannot be listed ({error.strerror})") from error
    return sorted(files, key=natural_key)


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Read an image as ``(H, W, 3)`` RGB uint8, upright.

    Sixteen-bit values keep their upper eight bits, alpha is dropped, grey is repeated.

    Raises:
        InputError: It cannot be read.
    """
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I;16"):
                grey = (np.asarray(upright).astype(np.uint16) >> 8).astype(np.uint8)
                return np.repeat(grey[..., None], 3, axis=2)
            if upright.mode in {"I", "F"}:
                return _deep_grey(path, np.asarray(upright))
            return np.array(upright.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(
            f"{path}: not a readable image ({error})", hint="replace or remove this file"
        ) from error


def _deep_grey(path: Path, values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Convert 32-bit grey: integers of 16 or 8 bits, or floats from 0 to 1."""
    pixels = values.astype(np.float64)
    if values.dtype.kind == "f" and pixels.max() <= 1.0:
        pixels *= 255
    elif pixels.max() > 255:
        pixels = pixels // 256
    if not (np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() < 256):
        raise ValueError(f"{path.name}: values beyond 16 bits")
    return np.repeat(pixels.astype(np.uint8)[..., None], 3, axis=2)


def _frame_files(path: Path) -> list[Path]:
    """Return the frames of a folder; every stem once."""
    files = image_files(path)
    if not files:
        raise InputError(
            f"{path}: the folder holds no images",
            hint=f"images end in {', '.join(sorted(IMAGE_SUFFIXES))}",
        )
    stems: dict[str, Path] = {}
    for file in files:
        if file.stem in stems:
            raise InputError(
                f"{file}: has the same name as {stems[file.stem].name}",
                hint="outputs are named by the stem, so each may occur once; remove one of them",
            )
        stems[file.stem] = file
    return files


def _upright_size(path: Path) -> tuple[int, int]:
    """Return ``(height, width)`` from the header, with the EXIF orientation applied."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            # The base class's: that of PNG decodes the picture, to look for EXIF behind it.
            turned = Image.Image.getexif(image).get(0x0112, 1) in {5, 6, 7, 8}
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(
            f"{path}: not a readable image ({error})", hint="replace or remove this file"
        ) from error
    return (width, height) if turned else (height, width)
