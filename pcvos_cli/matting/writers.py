"""Writers of mattes, cut-outs and compositions, and the store of soft masks that they need."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pcvos_cli.files import make_directory, write_whole
from pcvos_cli.masks.formats import FORMATS
from pcvos_cli.masks.overlay import ENCODERS, VideoForm, VideoWriter
from pcvos_cli.masks.writers import FolderWriter, FrameMasks, MaskWriter
from pcvos_cli.matting.alpha import object_colours, refine_alpha
from pcvos_cli.matting.background import Background, open_background

Picture = NDArray[np.uint8]

PRORES = VideoForm(
    kind="cut-out",
    container="mov",
    encoders={"prores_ks": {"profile": "4444", "alpha_bits": "16", "vendor": "apl0"}},
    pix_fmt="yuva444p10le",
    copied=frozenset({"aac", "alac", "ac3", "eac3", "mp3", "mp3float"})
    | {f"pcm_s{bits}{order}" for bits in (16, 24, 32) for order in ("le", "be")},
    even=False,
)
VP9 = VideoForm(
    kind="cut-out",
    container="webm",
    # Alpha is a second VP9 stream with the settings of the first, and lossy ones shift its
    # edges by up to 13 levels; lossless takes 20% more bytes. No invisible frames: libvpx
    # makes none with alpha.
    encoders={
        "libvpx-vp9": {
            "lossless": "1",
            "deadline": "good",
            "cpu-used": "4",
            "auto-alt-ref": "0",
            "lag-in-frames": "0",
        }
    },
    pix_fmt="yuva420p",
    audio="libopus",
    copied=frozenset({"opus", "libopus", "vorbis", "libvorbis"}),
    even=False,
    options={"fflags": "+bitexact"},  # No random numbers in the file.
)
MATTE = VideoForm(
    kind="matte",
    # Decoded, a value is off by 2 levels at most. (Lossless H.264 is a profile that few play.)
    encoders={**ENCODERS, "libx264": {"qp": "1", "preset": "medium", "bf": "0"}},
)
COMPOSITE = VideoForm(kind="composite")


class Matting:
    """Alpha and colours of the objects, worked out once a frame for all writers.

    Args:
        choke: As ``refine_alpha``.
        feather: As ``refine_alpha``.
    """

    def __init__(self, *, choke: int, feather: float) -> None:
        self._choke, self._feather = choke, feather
        self._of: FrameMasks | None = None
        self._alpha: Picture | None = None
        self._rgba: Picture | None = None

    def alpha(self, frame: FrameMasks) -> Picture:
        """Return ``(H, W)`` uint8."""
        if self._of is not frame or self._alpha is None:
            assert frame.soft is not None, "a format that needs soft masks is written"
            self._of, self._rgba = frame, None
            self._alpha = refine_alpha(frame, frame.soft, choke=self._choke, feather=self._feather)
        return self._alpha

    def rgba(self, frame: FrameMasks) -> Picture:
        """Return ``(H, W, 4)`` uint8, straight alpha."""
        alpha = self.alpha(frame)
        if self._rgba is None:
            self._rgba = np.dstack((object_colours(frame.rgb, alpha), alpha))
        return self._rgba

    def grey(self, frame: FrameMasks) -> Picture:
        """Return alpha as a ``(H, W, 3)`` grey picture."""
        return np.repeat(self.alpha(frame)[..., None], 3, axis=2)


class PngWriter(FolderWriter):
    """One PNG a frame of what a function makes of it.

    Args:
        directory: Where they go; created if missing.
        picture: Returns ``(H, W)`` grey or ``(H, W, 4)`` RGBA.

    Raises:
        OutputError: The folder cannot be created.
    """

    def __init__(self, directory: Path, picture: Callable[[FrameMasks], Picture]) -> None:
        super().__init__(directory)
        self._picture = picture

    def write(self, frame: FrameMasks) -> None:
        """Write one PNG.

        Raises:
            OutputError: It cannot be written.
        """
        write_whole(self._directory / f"{frame.name}.png", _png(self._picture(frame)))


class ObjectMattes(FolderWriter):
    """A matte for each object, ``<id>/<frame>.png``; on every frame, their sum is the matte of all.

    Args:
        directory: Where they go; created if missing.
        alpha: Returns the ``(H, W)`` alpha of all objects.
        object_ids: Of the run.

    Raises:
        OutputError: A folder cannot be created.
    """

    def __init__(
        self, directory: Path, alpha: Callable[[FrameMasks], Picture], object_ids: Iterable[int]
    ) -> None:
        super().__init__(directory)
        self._alpha = alpha
        self._folders = {object_id: directory / str(object_id) for object_id in object_ids}
        for folder in self._folders.values():
            make_directory(folder)

    def write(self, frame: FrameMasks) -> None:
        """Write a PNG for each object; soft pixels belong to the one whose mask is nearest.

        Raises:
            OutputError: It cannot be written.
        """
        alpha = self._alpha(frame)
        _, places = cv2.distanceTransformWithLabels(
            (frame.labels == 0).view(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        inside = frame.labels > 0
        owners = np.zeros(int(places.max()) + 1, np.int32)
        owners[places[inside]] = frame.labels[inside]
        nearest = owners[places]
        for object_id, folder in self._folders.items():
            own = np.where(nearest == object_id, alpha, 0).astype(np.uint8)
            write_whole(folder / f"{frame.name}.png", _png(own))


class SoftMasks(FolderWriter):
    """The soft masks of finished frames, ``<index>.png``: a resumed run goes on from them."""

    def write(self, frame: FrameMasks) -> None:
        """Keep the soft mask of a frame.

        Raises:
            OutputError: It cannot be written.
        """
        if frame.soft is not None:
            write_whole(self._path(frame.index), _png(frame.soft))

    def read(self, index: int) -> Picture:
        """Return the soft mask of a frame.

        Raises:
            OSError: It is not there, or damaged.
        """
        found = cv2.imread(str(self._path(index)), cv2.IMREAD_GRAYSCALE)
        if found is None:
            raise OSError(f"{self._path(index)}: cannot be read")
        return found.astype(np.uint8, copy=False)

    def _path(self, index: int) -> Path:
        return self._directory / f"{index:05}.png"


def open_writers(
    formats: Iterable[str],
    folder: Path,
    size: tuple[int, int],
    video: dict[str, Any],
    *,
    object_ids: Iterable[int] = (),
    choke: int = 0,
    feather: float = 0.0,
    background: str | None = None,
) -> dict[str, MaskWriter]:
    """Open the writers of all formats that are made of soft masks.

    Args:
        formats: Their names; others are passed over.
        folder: The output folder.
        size: ``(height, width)`` of the frames.
        video: Options of ``VideoWriter``.
        object_ids: Of the run, for ``mattes``.
        choke: As ``refine_alpha``.
        feather: As ``refine_alpha``.
        background: As ``open_background``, for ``composite``.

    Raises:
        OutputError: One cannot be opened; the others are aborted.
    """
    matting = Matting(choke=choke, feather=feather)

    def video_of(
        name: str, picture: Callable[[FrameMasks], Picture], form: VideoForm
    ) -> VideoWriter:
        return VideoWriter(folder / name, size, **video, picture=picture, form=form)

    opened: dict[str, MaskWriter] = {}
    try:
        for name in formats:
            place = FORMATS[name].place
            match name:
                case "cutout":
                    opened[name] = PngWriter(folder / place, matting.rgba)
                case "cutout-mov":
                    opened[name] = video_of(place, matting.rgba, PRORES)
                case "cutout-webm":
                    opened[name] = video_of(place, matting.rgba, VP9)
                case "matte":
                    opened["matte-png"] = PngWriter(folder / place, matting.alpha)
                    opened[name] = video_of(FORMATS[name].beside or "", matting.grey, MATTE)
                case "mattes":
                    opened[name] = ObjectMattes(folder / place, matting.alpha, object_ids)
                case "composite":
                    assert background is not None, "the settings ask for one"
                    behind = open_background(
                        background, size, time_base=video["time_base"], fps=video["fps"]
                    )
                    picture = partial(_composed, matting, behind)
                    opened[name] = video_of(place, picture, COMPOSITE)
    except BaseException:
        for writer in opened.values():
            writer.abort()
        raise
    return opened


def _composed(matting: Matting, behind: Background, frame: FrameMasks) -> Picture:
    """Put the objects of a frame before the background."""
    rgba = matting.rgba(frame)
    back = behind(frame, rgba[..., 3]).astype(np.float32)
    share = rgba[..., 3:].astype(np.float32) / 255
    return np.rint(back + share * (rgba[..., :3] - back)).astype(np.uint8)


def _png(picture: Picture) -> bytes:
    stored = cv2.cvtColor(picture, cv2.COLOR_RGBA2BGRA) if picture.ndim == 3 else picture
    _, png = cv2.imencode(".png", stored, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return png.tobytes()
