"""HDR and wide-gamut video to BT.709, as a screen that is not HDR would show it.

All of it is one function of a pixel's colour, so it is worked out once on a grid and looked
up for each frame.
"""

import tempfile
import threading
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.filter import Graph
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

PQ, HLG = 16, 18
"""Transfer functions of HDR (ITU-T H.273): SMPTE ST 2084 and ARIB STD-B67, both in BT.2100."""

BT2020, P3 = 9, 12
"""Primaries (H.273) wider than those of BT.709."""

WHITE = 203.0
"""Candelas a square metre of diffuse white in HDR (BT.2408), which becomes white of BT.709."""

PEAK = 1000.0
"""Brightest highlights that are told apart; phones and most films are made for it."""

KNEE = 0.7
"""Share of white up to which brightness is kept; what is above it is compressed."""

GRID = 33
"""Points along each axis of the grid. Beside the exact function, frames are off by 0.5 of 255
levels on average and by 7 at most (PQ and HLG of a DAVIS sequence)."""

_TO_709 = {
    BT2020: [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]],
    P3: [[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]],
}

_NAMES = {PQ: "HDR (PQ)", HLG: "HDR (HLG)"}


class ToneMap:
    """Frames of one video to BT.709. Threads may share it.

    Args:
        trc: Transfer function of the video, as in H.273.
        primaries: Its primaries.
    """

    FORMAT = "gbrp16le"
    """Pixel format of the frames that it takes: RGB in the video's own colours."""

    def __init__(self, trc: int, primaries: int) -> None:
        self._trc, self._primaries = trc, primaries
        self._lock = threading.Lock()
        self._graph: Graph | None = None
        self._to_rgb = VideoReformatter()
        self._pts = 0

    @property
    def note(self) -> str:
        """What is done, for the user."""
        kind = _NAMES.get(self._trc, "wide gamut")
        how = "tone-mapped" if self._trc in _NAMES else "converted"
        return f"the video is {kind}: {how} to BT.709 for the model and the overlay"

    def apply(self, picture: av.VideoFrame) -> av.VideoFrame:
        """Convert a frame of ``FORMAT`` to one of rgb24."""
        with self._lock:
            if self._graph is None:
                self._graph = self._open(picture)
            self._pts += 1
            picture.pts = self._pts
            self._graph.push(picture)
            converted: Any = self._graph.pull()
            return self._to_rgb.reformat(converted, format="rgb24", threads=1)

    def _open(self, picture: av.VideoFrame) -> Graph:
        graph = Graph()
        source = graph.add_buffer(
            width=picture.width,
            height=picture.height,
            format=picture.format,
            time_base=picture.time_base,
        )
        with tempfile.TemporaryDirectory(prefix="pcvos-") as folder:
            path = Path(folder) / "grid.cube"
            path.write_text(_cube(to_bt709(grid(), self._trc, self._primaries)), encoding="ascii")
            table = graph.add("lut3d", file=str(path), interp="tetrahedral")
        sink = graph.add("buffersink")
        graph.link_nodes(source, table, sink).configure()
        return graph


def grid() -> NDArray[np.float64]:
    """Return the colours of the grid, ``(GRID ** 3, 3)`` in 0..1, red running first."""
    steps = np.linspace(0.0, 1.0, GRID)
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
    return np.stack([red.ravel(), green.ravel(), blue.ravel()], axis=1)


def to_bt709(rgb: NDArray[np.float64], trc: int, primaries: int) -> NDArray[np.float64]:
    """Return ``(N, 3)`` coded colours in BT.709.

    Highlights are compressed by the brightest of the three channels, so that hues stay.

    Args:
        rgb: ``(N, 3)`` coded colours of the video, 0..1.
        trc: Its transfer function, as in H.273.
        primaries: Its primaries.
    """
    linear = _linear(rgb, trc)
    if trc in _NAMES:
        brightest = np.maximum(linear.max(axis=1, keepdims=True), 1e-9)
        above = np.clip(brightest - KNEE, 0.0, PEAK / WHITE - KNEE)
        bend = 1 / (1 - KNEE) - 1 / (PEAK / WHITE - KNEE)
        linear = linear * (np.minimum(brightest, KNEE) + above / (1 + bend * above)) / brightest
    matrix = _TO_709.get(primaries)
    if matrix is not None:
        linear = linear @ np.array(matrix).T
    return np.clip(linear, 0.0, 1.0) ** (1 / 2.4)


def _linear(rgb: NDArray[np.float64], trc: int) -> NDArray[np.float64]:
    """Return light on the screen; 1 is diffuse white."""
    if trc == PQ:
        root = rgb ** (1 / 78.84375)
        light = np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)
        return 10_000 / WHITE * light ** (1 / 0.1593017578125)
    if trc == HLG:
        low, high = rgb**2 / 3, (np.exp((rgb - 0.55991073) / 0.17883277) + 0.28466892) / 12
        scene = np.where(rgb <= 0.5, low, high)
        brightness = scene @ np.array([0.2627, 0.6780, 0.0593])
        return PEAK / WHITE * scene * brightness[:, None] ** 0.2
    return rgb**2.4


def _cube(colours: NDArray[np.float64]) -> str:
    """Return the text of a .cube file."""
    rows = "\n".join(f"{r:.6f} {g:.6f} {b:.6f}" for r, g, b in colours.tolist())
    return f"LUT_3D_SIZE {GRID}\n{rows}\n"
