"""A TIFF of several pages as a video: stacks of ImageJ, OME-TIFF, plain pages; by tifffile."""

import contextlib
import logging
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from model.errors import ConfigError, InputError
from pcvos_cli.video.intensity import SAMPLES, Intensity, check_numbers
from pcvos_cli.video.source import Frame, FrameSource, VideoInfo

MINISWHITE = tifffile.PHOTOMETRIC.MINISWHITE

_LAB = (
    tifffile.PHOTOMETRIC.CIELAB,
    tifffile.PHOTOMETRIC.ICCLAB,
    tifffile.PHOTOMETRIC.ITULAB,
)

_WORDS = {"T": "time", "Z": "depth", "C": "channel"}


class TiffSource(FrameSource):
    """Pages of a TIFF in the order of their time axis, at a constant frame rate.

    Time is the axis ``T``, or the only axis besides rows, columns and channels, whatever its
    name. Values of more than 8 bits get one scale for all frames, as images of a folder do.

    Args:
        path: The file.
        fps: Frames a second; the timestamps are 0, 1, 2, ... in units of ``1 / fps``.
        channel: Which channel is shown, from 0 on; ``None`` for the only one.
        value_range: Values that are shown as black and as white.

    Raises:
        ConfigError: There is no such channel, or several and none is chosen.
        InputError: It cannot be read, or has depth beside time.
    """

    def __init__(
        self,
        path: Path,
        fps: Fraction = Fraction(24),
        *,
        channel: int | None = None,
        value_range: tuple[float, float] | None = None,
    ) -> None:
        self._path, self._given = path, value_range is not None
        self._remarks: list[str] = []
        try:
            with _heard(self._remarks):
                self._file = tifffile.TiffFile(path)
                series = self._file.series[0]
                self._other_pages = len(self._file.series) - 1
            self._pages = [axis for axis in series.axes if axis not in "YXS"]
            self._shape = [n for n, axis in zip(series.shape, series.axes, strict=True)
                           if axis not in "YXS"]  # fmt: skip
        except (OSError, ValueError, IndexError, KeyError, tifffile.TiffFileError) as error:
            raise InputError(
                f"{path}: not a readable TIFF ({error})", hint="the file is damaged; write it again"
            ) from error
        self._series = series
        try:
            self._describe(channel, fps, value_range)
        except BaseException:
            self._file.close()
            raise

    def _describe(
        self, channel: int | None, fps: Fraction, value_range: tuple[float, float] | None
    ) -> None:
        self._time, self._place = self._find_axes(channel)
        first = self._values(0)
        height, width = first.shape[:2]
        count = self._shape[self._time] if self._time is not None else 1
        self._intensity = self._scale(count, first, value_range)
        scale = self._intensity
        self._info = VideoInfo(
            path=self._path,
            height=height,
            width=width,
            coded_size=(height, width),
            fps=fps,
            frame_count=count,
            time_base=1 / fps,
            value_range=None if scale is None else (scale.low, scale.high),
        )

    def _find_axes(self, channel: int | None) -> tuple[int | None, dict[int, int]]:
        """Return the axis of time, and the place that is shown on the others."""
        long = {i: axis for i, axis in enumerate(self._pages) if self._shape[i] > 1}
        channels = [i for i, axis in long.items() if axis == "C"]
        count = self._shape[channels[0]] if channels else 1
        others = [i for i in long if i not in channels]
        if channel is None and channels and not others:
            return channels[0], {}  # Programs that know no time write it as channels.
        if channel is None and count > 1:
            raise ConfigError(
                f"{self._path}: has {count} channels",
                hint=f"choose one: --channel 0 to {count - 1}",
            )
        if channel is not None and not 0 <= channel < count:
            raise ConfigError(f"--channel {channel}: {self._path} has {count}, from 0 on")
        time = [i for i in others if self._pages[i] == "T"] or others
        if len(others) > 1:
            listed = ", ".join(
                f"{_WORDS.get(self._pages[i], self._pages[i])} {self._shape[i]}" for i in others
            )
            raise InputError(
                f"{self._path}: its pages go along several axes ({listed})",
                hint="write one plane or a projection for each time into a file, and give that",
            )
        return (time[0] if time else None), dict.fromkeys(channels, channel or 0)

    def _scale(
        self, count: int, first: NDArray[Any], value_range: tuple[float, float] | None
    ) -> Intensity | None:
        if value_range is not None:
            scale = Intensity(*value_range)
        elif first.dtype == np.uint8:
            return None
        else:
            step = max(1.0, (count - 1) / (SAMPLES - 1))
            chosen = [math.floor(i * step + 0.5) for i in range(min(count, SAMPLES))]
            scale = Intensity.of(self._values(index) for index in chosen)
        dark = self._series.keyframe.photometric == MINISWHITE and first.dtype != np.uint8
        return scale.inverted() if dark else scale

    @property
    def notes(self) -> list[str]:
        """Which axis is time, where it is not called so; which values are black and white."""
        said = []
        if self._other_pages:
            said.append(
                f"{self._other_pages} more pictures or stacks in it are of another size or kind, "
                "and are left out"
            )
        if self._time is not None and self._pages[self._time] != "T":
            axis = self._pages[self._time]
            if axis in _WORDS:
                said.append(f"the {self._shape[self._time]} planes of axis {axis} are the frames")
        if self._intensity is not None:
            said += self._intensity.notes(given=self._given)
        return said

    @property
    def warnings(self) -> list[str]:
        """Damage that was seen on opening."""
        return self._remarks

    def _values(self, index: int) -> NDArray[Any]:
        """Return a frame's ``(H, W)`` or ``(H, W, 3)`` values.

        Raises:
            InputError: The page cannot be read, or has values that are no numbers.
        """
        place = tuple(
            index if axis == self._time else self._place.get(axis, 0)
            for axis in range(len(self._pages))
        )
        page = int(np.ravel_multi_index(place, self._shape)) if place else 0
        try:
            values = self._read(page)
        except (OSError, ValueError, IndexError, RuntimeError, EOFError, SyntaxError) as error:
            raise InputError(
                f"{self._path}: frame {index} cannot be read ({error})",
                hint="write the stack again, without compression",
            ) from error
        values = _grey_or_rgb(values, self._series.axes[len(self._pages) :], self._series.keyframe)
        check_numbers(values, f"{self._path}, frame {index}")
        return values

    def _read(self, page: int) -> NDArray[Any]:
        series = self._series
        if series.dataoffset is not None:  # One block: pages need no headers of their own.
            kind = np.dtype(series.dtype).newbyteorder(self._file.byteorder)
            size = series.shape[len(self._pages) :]
            block = np.memmap(
                self._path, kind, "r", offset=series.dataoffset + page * _bytes(kind, size),
                shape=tuple(size),
            )  # fmt: skip
            return np.array(block, dtype=series.dtype)
        found = series.pages[page]
        if found is None:
            raise ValueError("the page is missing")
        try:
            return np.asarray(found.asarray())
        except (ValueError, ImportError):  # A compression that tifffile needs imagecodecs for.
            with Image.open(self._path) as image:
                image.seek(page)
                values = np.asarray(image)
                # Pillow turns MinIsWhite of 1 and 8 bits around, where tifffile does not.
                turned = image.mode in "1L" and series.keyframe.photometric == MINISWHITE
                return ~values if turned else values

    def _frames(self, first: int) -> Iterator[Frame]:
        for index in range(first, self._info.frame_count or 0):
            if self._closed:
                return
            yield Frame(index, self._info.frame_name(index), index, self._rgb(index))

    def _rgb(self, index: int) -> NDArray[np.uint8]:
        values = self._values(index)
        if self._intensity is not None:
            return self._intensity.rgb(values, index)
        return values if values.ndim == 3 else np.repeat(values[..., None], 3, axis=2)

    def close(self) -> None:
        """End every iteration and release the file. Safe to call twice."""
        super().close()
        self._file.close()


def _bytes(kind: np.dtype[Any], shape: tuple[int, ...]) -> int:
    return kind.itemsize * math.prod(shape)


def _grey_or_rgb(values: NDArray[Any], axes: str, page: Any) -> NDArray[Any]:
    """Return ``(H, W)`` or ``(H, W, 3)`` of a page; greys of up to 8 bits in full, white bright.

    Args:
        values: As stored.
        axes: Their order: ``Y``, ``X``, and ``S`` for samples.
        page: What says how they are meant.

    Raises:
        InputError: As colours of CIE L*a*b*, which are not read.
    """
    if page.photometric in _LAB:
        raise InputError(
            f"{page.parent.filename}: holds colours of CIE L*a*b*", hint="save it as RGB"
        )
    if "S" in axes:
        values = np.moveaxis(values, axes.index("S"), -1)
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None:
        return (page.colormap[:, values] >> 8).transpose(1, 2, 0).astype(np.uint8)
    if page.photometric == tifffile.PHOTOMETRIC.SEPARATED and values.shape[-1] == 4:
        full = np.iinfo(values.dtype).max
        left = full - values.astype(np.uint32)
        return (left[..., :3] * left[..., 3:] // full).astype(values.dtype)
    if values.ndim == 3:
        return values[..., :3] if values.shape[2] >= 3 else values[..., 0]
    if values.dtype == np.bool_ or (values.dtype == np.uint8 and page.bitspersample < 8):
        white = 2**page.bitspersample - 1
        values = (values.astype(np.uint16) * 255 // white).astype(np.uint8)
    if values.dtype == np.uint8 and page.photometric == MINISWHITE:
        return 255 - values
    return values


class _Listener(logging.Handler):
    def __init__(self, remarks: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._remarks = remarks

    def emit(self, record: logging.LogRecord) -> None:
        text = f"the TIFF is damaged: {record.getMessage()}"
        if text not in self._remarks:
            self._remarks.append(text)


@contextlib.contextmanager
def _heard(remarks: list[str]) -> Iterator[None]:
    """Take down what tifffile says of damage, which it logs and passes over."""
    logger, listener = logging.getLogger("tifffile"), _Listener(remarks)
    spreads, logger.propagate = logger.propagate, False
    logger.addHandler(listener)
    try:
        yield
    finally:
        logger.removeHandler(listener)
        logger.propagate = spreads


def page_size(path: Path) -> tuple[int, int] | None:
    """Return ``(height, width)`` of the first page of a TIFF; ``None`` if it has none."""
    try:
        with _heard([]), tifffile.TiffFile(path) as file:
            page = file.pages.first
            return page.imagelength, page.imagewidth
    except (OSError, ValueError, IndexError, KeyError, tifffile.TiffFileError):
        return None


def read_page(path: Path) -> NDArray[Any]:
    """Return the first page of a TIFF, ``(H, W)`` or ``(H, W, 3)``.

    Raises:
        InputError: It cannot be read.
    """
    try:
        with _heard([]), tifffile.TiffFile(path) as file:
            page = file.pages.first
            return _grey_or_rgb(np.asarray(page.asarray()), page.axes, page)
    except (OSError, ValueError, IndexError, KeyError, RuntimeError, tifffile.TiffFileError) as e:
        raise InputError(
            f"{path}: not a readable TIFF ({e})", hint="write it again, without compression"
        ) from e


def is_stack(path: Path) -> bool:
    """Whether a TIFF has several pictures, or one of more than 8 bits."""
    try:
        with _heard([]), tifffile.TiffFile(path) as file:
            if len(file.pages) > 1 or file.series[0].dtype not in (np.uint8, np.bool_):
                return True
            axes, shape = file.series[0].axes, file.series[0].shape
            return any(n > 1 for n, axis in zip(shape, axes, strict=True) if axis not in "YXSC")
    except (OSError, ValueError, IndexError, KeyError, tifffile.TiffFileError):
        return False  # The reader says what is wrong.


def has_grey_pages(path: Path) -> bool:
    """Whether a TIFF has several pictures without colours."""
    try:
        with _heard([]), tifffile.TiffFile(path) as file:
            series = file.series[0]
            return "S" not in series.axes and sum(n > 1 for n in series.shape) > 2
    except (OSError, ValueError, IndexError, KeyError, tifffile.TiffFileError):
        return False  # The reader says what is wrong.
