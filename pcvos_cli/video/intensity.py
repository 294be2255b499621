"""Pictures of more than 8 bits, or of floats: one scale from values to grey for a sequence.

Cameras and microscopes fill a part of the range that their files can hold, and only the
sequence says which. With one scale for all frames, an object keeps its brightness.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from model.errors import InputError

Values = NDArray[np.generic]
"""``(H, W)`` or ``(H, W, 3)`` integers or floats as a file holds them."""

SAMPLES = 16
"""Images, evenly spread, whose values tell the span; up to so many, all of them."""

_LOW, _HIGH = 0.1, 99.99
"""Percentiles of an image that count as its span: dead and hot pixels do not."""

_FULL = 65535
_PART = 4
"""Colours of 16 bits are taken as they are, unless they use less than this part of the range."""

_BEYOND = 0.01
"""Share of a frame's values beyond the span that is worth a word."""


def read_values(path: Path) -> Values:
    """Read an image's values, upright.

    Raises:
        InputError: It cannot be read, or has values that are no numbers.
    """
    try:
        with Image.open(path) as image:
            if image.mode[0] not in "IF" and image.tile and ";16" in str(image.tile[0][3]):
                values = _colours(path, image)
            elif image.mode[0] in "IF" or image.mode == "L":
                values = np.asarray(ImageOps.exif_transpose(image))
                if image.mode == "I" and _is_unsigned(image):
                    values = values.view(np.uint32)
            else:
                values = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except UnidentifiedImageError as error:
        values = _unusual(path, error)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, cv2.error) as error:
        raise InputError(
            f"{path}: not a readable image ({error})", hint="replace or remove this file"
        ) from error
    check_numbers(values, str(path))
    return values


def is_min_is_white(path: Path) -> bool:
    """Whether a TIFF says that its lowest value is white; the others never do."""
    try:
        with Image.open(path) as image:
            tags = getattr(image, "tag_v2", {})
            return image.format == "TIFF" and tags.get(_PHOTOMETRIC) == 0
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False  # The reader says what is wrong.


def _is_unsigned(image: Image.Image) -> bool:
    """Whether a TIFF of 32 bits holds no negative values, whatever Pillow makes of them."""
    tags = getattr(image, "tag_v2", None)
    return tags is not None and tags.get(_SAMPLE_FORMAT, (1,))[0] == 1


_SAMPLE_FORMAT = 339
"""Tag of a TIFF: 1 is unsigned, 2 is signed."""

_PHOTOMETRIC = 262
"""Tag of a TIFF: of greys, 0 is MinIsWhite and 1 MinIsBlack."""


def _unusual(path: Path, error: Exception) -> Values:
    """Read a TIFF of numbers that Pillow does not know: 64 bits, half floats, colours of floats.

    Raises:
        InputError: It is no TIFF, or is damaged.
    """
    from pcvos_cli.video.source import is_tiff

    if is_tiff(path):
        from pcvos_cli.video.tiff import read_page

        return read_page(path)
    raise InputError(
        f"{path}: not a readable image ({error})", hint="replace or remove this file"
    ) from error


def check_numbers(values: Values, name: str) -> None:
    """Refuse NaN, infinite and complex values.

    Raises:
        InputError: There is one; it counts them.
    """
    if values.dtype.kind == "c":
        raise InputError(
            f"{name}: holds complex numbers", hint="write their magnitude, and give that"
        )
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return
    nan, infinite = int(np.isnan(values).sum()), int(np.isinf(values).sum())
    found = [f"{count} {word}" for count, word in ((nan, "NaN"), (infinite, "infinite")) if count]
    raise InputError(
        f"{name}: {' and '.join(found)} of {values.size} values",
        hint="put numbers in their place, for example the lowest value of the image",
    )


@dataclass(slots=True)
class Intensity:
    """The scale of a sequence.

    Attributes:
        low: Value that becomes black; the larger of the two where a file says that its lowest
            is white.
        high: Value that becomes white.
        of_first: It is what the first frame spans, for no other could be looked at.
        frames_beyond: Frames of which more than a hundredth lies beyond the two.
    """

    low: float
    high: float
    of_first: bool = False
    frames_beyond: set[int] = field(default_factory=set)

    def inverted(self) -> "Intensity":
        """Return the scale with black and white exchanged, as a TIFF of MinIsWhite is shown."""
        return Intensity(self.high, self.low)

    @classmethod
    def of(cls, samples: Iterable[Values]) -> "Intensity":
        """Measure the span of a sequence's values from some of its frames."""
        lows, highs, colour = [], [], False
        for values in samples:
            colour = values.ndim == 3
            low, high = np.percentile(values.astype(np.float64), (_LOW, _HIGH))
            lows.append(float(low))
            highs.append(float(high))
        low, high = min(lows), max(highs)
        if colour:  # Of colours, black is black.
            low, high = 0.0, high if 0 < high * _PART < _FULL else float(_FULL)
        if low == high:  # One value says nothing about the range that it is of.
            low, high = 0.0, 1.0 if high <= 1 else 255.0 if high <= 255 else float(_FULL)
        return cls(low, high)

    def rgb(self, values: Values, index: int) -> NDArray[np.uint8]:
        """Return a frame's ``(H, W, 3)`` RGB."""
        span = self.high - self.low
        grey = (values.astype(np.float32) - self.low) * (255 / span if span else 0.0)
        beyond = np.count_nonzero(grey < -0.5) + np.count_nonzero(grey > 255.5)
        if beyond > _BEYOND * grey.size:
            self.frames_beyond.add(index)
        rounded = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
        if rounded.ndim == 3:
            return rounded
        return np.repeat(rounded[..., None], 3, axis=2)

    def notes(self, *, given: bool) -> list[str]:
        """Return what the user should know; more once frames have been read.

        Args:
            given: The user chose the scale.
        """
        said = []
        if not given:
            said.append(
                f"values from {self.low:g} to {self.high:g}"
                f"{', the span of the first frame,' if self.of_first else ''} are shown as black "
                "to white on all frames; --range LOW,HIGH sets others"
            )
        if self.low > self.high:
            said.append("the file says that its low values are white (MinIsWhite)")
        if self.frames_beyond:
            said.append(
                f"{len(self.frames_beyond)} frame(s) have values beyond "
                f"{min(self.low, self.high):g} to {max(self.low, self.high):g}, the first is frame "
                f"{min(self.frames_beyond)}"
            )
        return said


def spread(files: Sequence[Path]) -> list[Path]:
    """Return up to ``SAMPLES`` files, first and last among them."""
    step = max(1.0, (len(files) - 1) / (SAMPLES - 1))
    return [files[math.floor(i * step + 0.5)] for i in range(min(len(files), SAMPLES))]


def _colours(path: Path, image: Image.Image) -> Values:
    """Read colours of 16 bits, of which Pillow keeps the upper eight."""
    picture = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if picture is None or picture.shape[:2] != image.size[::-1]:
        raise ValueError("OpenCV cannot read it")
    if picture.ndim == 3:
        picture = picture[..., 2::-1] if picture.shape[2] >= 3 else picture[..., 0]
    turn = Image.Image.getexif(image).get(0x0112, 1)
    return np.ascontiguousarray(_TURNS.get(turn, lambda values: values)(picture))


_TURNS = {
    2: np.fliplr,
    3: lambda values: values[::-1, ::-1],
    4: np.flipud,
    5: lambda values: values.swapaxes(0, 1),
    6: lambda values: np.rot90(values, -1),
    7: lambda values: values[::-1, ::-1].swapaxes(0, 1),
    8: lambda values: np.rot90(values, 1),
}
"""How EXIF says that a stored image is turned upright, by the value of its tag."""
