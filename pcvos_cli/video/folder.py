"""A folder of images as a video."""

import re
from collections import Counter
from collections.abc import Collection, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from model.errors import InputError
from pcvos_cli.video.source import Frame, FrameSource, VideoInfo

if TYPE_CHECKING:
    from pcvos_cli.video.intensity import Intensity

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}
    | {".jp2", ".j2k", ".tga", ".ppm", ".pgm"}
)
"""Files of a folder that are frames; upper case counts too, hidden files never."""


class FolderSource(FrameSource):
    """Images of a folder in natural order (2 before 10), at a constant frame rate.

    Args:
        path: The folder.
        fps: Frames a second; the timestamps are 0, 1, 2, ... in units of ``1 / fps``.
        exclude: Images in it that are no frames: masks of the same run.
        value_range: Values that are shown as black and as white; ``None`` for what images of
            more than 8 bits span.

    Raises:
        InputError: Not a folder, no images, two images with one stem, an unreadable image,
            or images of different sizes.
    """

    def __init__(
        self,
        path: Path,
        fps: Fraction = Fraction(24),
        *,
        exclude: Collection[Path] = (),
        value_range: tuple[float, float] | None = None,
    ) -> None:
        self._files = _frame_files(path, exclude)
        self._indices = {file.stem: index for index, file in enumerate(self._files)}
        first, header = self._files[0], _header(self._files[0])
        size = header.upright
        deep = [first] if header.deep else []
        stacks = [first] if header.pages else []
        for file in self._files[1:]:
            other = _header(file)
            if other.upright != size:
                height, width = other.upright
                raise InputError(
                    f"{file}: is {width}x{height}, but {first.name} is {size[1]}x{size[0]}",
                    hint="all frames of a video have one size",
                )
            if other.deep:
                deep.append(file)
            if other.pages:
                stacks.append(file)
        self._notes = _odd_ones(self._files, stacks)
        if header.hidden_turn:
            self._notes.append(
                "the images are stored turned and EXIF shows them upright: masks are of the "
                "upright images"
            )
        self._scaled = frozenset(deep if value_range is None else self._files)
        self._given = value_range is not None
        self._intensity = scale = _scale(deep, value_range) if self._scaled else None
        self._info = VideoInfo(
            path=path,
            height=size[0],
            width=size[1],
            coded_size=header.stored,
            fps=fps,
            frame_count=len(self._files),
            time_base=1 / fps,
            is_folder=True,
            value_range=None if scale is None else (scale.low, scale.high),
        )

    @property
    def notes(self) -> list[str]:
        """Images that look out of place, and which values are black and white."""
        scale = self._intensity
        return self._notes + ([] if scale is None else scale.notes(given=self._given))

    def frame_index(self, name: str) -> int | None:
        """Return the index of the image with this stem, or ``None``."""
        return self._indices.get(name)

    def frame_numbered(self, number: str) -> str | None:
        """Return the stem of the only image whose last number this is, or ``None``."""
        if not (number.isascii() and number.isdigit()):
            return None
        found = [
            s for s in self._indices if int((re.findall(r"[0-9]+", s) or [-1])[-1]) == int(number)
        ]
        return found[0] if len(found) == 1 else None

    def _frames(self, first: int) -> Iterator[Frame]:
        for index, file in enumerate(self._files[first:], first):
            if self._closed:
                return
            rgb = self._rgb(index, file)
            if rgb.shape[:2] != (
                self._info.height,
                self._info.width,
            ):  # EXIF behind a PNG's picture turns it
                raise InputError(
                    f"{file}: is {rgb.shape[1]}x{rgb.shape[0]} once it is turned upright, but "
                    f"the video is {self._info.width}x{self._info.height}",
                    hint="save it upright, without an EXIF orientation",
                )
            yield Frame(index=index, name=file.stem, pts=index, rgb=rgb)

    def _rgb(self, index: int, file: Path) -> NDArray[np.uint8]:
        if self._intensity is None or file not in self._scaled:
            return read_rgb(file)
        from pcvos_cli.video.intensity import read_values

        return self._intensity.rgb(read_values(file), index)


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

    Alpha is dropped, grey is repeated. Values of more than 8 bits are scaled to what the
    image spans.

    Raises:
        InputError: It cannot be read.
    """
    try:
        with Image.open(path) as image:
            if image.mode[0] not in "IF":
                return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except UnidentifiedImageError:
        pass  # A TIFF, perhaps, of numbers that Pillow does not know.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _unreadable(path, error) from error
    from pcvos_cli.video.intensity import Intensity, read_values

    values = read_values(path)
    return Intensity.of([values]).rgb(values, 0)


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"{path}: not a readable image ({error})", hint="replace or remove this file")


def _frame_files(path: Path, exclude: Collection[Path]) -> list[Path]:
    """Return the frames of a folder; every stem once."""
    files = image_files(path)
    if exclude:
        masks = {file.resolve() for file in exclude}
        files = [file for file in files if file.resolve() not in masks]
    if not files:
        from pcvos_cli.video.refusals import no_images

        raise no_images(path)
    stems: dict[str, Path] = {}
    for file in files:
        if file.stem in stems:
            raise InputError(
                f"{file}: has the same name as {stems[file.stem].name}",
                hint="outputs are named by the stem, so each may occur once; remove one of them",
            )
        stems[file.stem] = file
    return files


def _odd_ones(files: list[Path], stacks: list[Path]) -> list[str]:
    """Return notes on images that may not be meant as a frame, or as one."""
    notes = []
    if stacks:
        notes.append(f"{stacks[0].name} has several pages: only the first is taken as a frame")
    kinds: dict[str, list[Path]] = {}
    for file in files:
        kinds.setdefault(file.suffix.lower().replace("jpeg", "jpg"), []).append(file)
    rarest = min(kinds.values(), key=len)
    if len(kinds) > 1 and len(rarest) == 1 and len(files) > 2:
        notes.append(f"{rarest[0].name} is taken as a frame, though the other images end otherwise")
    numbers = [re.findall(r"[0-9]+", file.stem)[-1:] for file in files]
    if len(files) > 2 and all(numbers):
        steps = [int(b[0]) - int(a[0]) for a, b in pairwise(numbers)]
        usual = Counter(steps).most_common(1)[0][0]
        jumps = [place for place, step in enumerate(steps) if step > usual > 0]
        if jumps and min(steps) > 0 and 2 * steps.count(usual) > len(steps):
            notes.append(
                f"the numbers of the images jump {len(jumps)} time(s), first after "
                f"{files[jumps[0]].name}: if images are missing, the overlay runs on without them"
            )
    return notes


def _scale(deep: list[Path], value_range: tuple[float, float] | None) -> "Intensity":
    """Return the given scale, or that of images of more than 8 bits."""
    from pcvos_cli.video.intensity import Intensity, is_min_is_white, read_values, spread

    if value_range is not None:
        scale = Intensity(*value_range)
    else:
        scale = Intensity.of(read_values(file) for file in spread(deep))
    return scale.inverted() if deep and is_min_is_white(deep[0]) else scale


class _Header(NamedTuple):
    """What an image's header says.

    Attributes:
        upright: ``(height, width)`` as shown.
        stored: The same before EXIF turns it.
        deep: Values have more than 8 bits.
        pages: There are more pictures after the first. (Photos of cameras, MPO, do not count.)
        hidden_turn: EXIF turns or mirrors it, and its size does not tell.
    """

    upright: tuple[int, int]
    stored: tuple[int, int]
    deep: bool
    pages: bool
    hidden_turn: bool


def _header(path: Path) -> _Header:
    """Read an image's header, with the EXIF orientation."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            # The base class's: that of PNG decodes the picture, to look for EXIF behind it.
            orientation = Image.Image.getexif(image).get(0x0112, 1)
            turned = orientation in {5, 6, 7, 8}
            tile = str(image.tile[0][3]) if image.tile else ""
            deep = image.mode[0] in "IF" or ";16" in tile
            pages = image.format != "MPO" and bool(getattr(image, "is_animated", False))
    except UnidentifiedImageError as error:
        size = _unusual_size(path)
        if size is None:
            raise _unreadable(path, error) from error
        return _Header(size, size, deep=True, pages=False, hidden_turn=False)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _unreadable(path, error) from error
    stored = (height, width)
    upright = (width, height) if turned else stored
    hidden_turn = orientation in range(2, 9) and upright == stored
    return _Header(upright, stored, deep, pages, hidden_turn)


def _unusual_size(path: Path) -> tuple[int, int] | None:
    """Return the size of a TIFF whose kind of numbers Pillow does not know."""
    from pcvos_cli.video.source import is_tiff

    if not is_tiff(path):
        return None
    from pcvos_cli.video.tiff import page_size

    return page_size(path)
