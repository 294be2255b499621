"""Boxes and clicks to masks, one picture and one object at a time: the front door.

predictor = open_predictor()
predictor.set_image(rgb)                                   # (H, W, 3) uint8
mask = predictor.predict(box=(left, top, width, height))   # (H, W) bool
mask = predictor.predict(box=..., clicks=[(x, y, False)], previous=mask)
"""

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from model.errors import MaskError
from model.ops.zoom import zoom_window
from pcvos_cli.first_mask.boxes import Box, Point
from pcvos_cli.first_mask.grabcut import grabcut_mask
from pcvos_cli.weights_store import prompt_weights

Method = Literal["network", "grabcut"]


class Predictor(Protocol):
    """Cuts objects out of a picture; the same calls give the same masks."""

    def set_image(self, rgb: NDArray[np.uint8]) -> None:
        """Take a picture, ``(H, W, 3)`` uint8, for the calls of ``predict`` that follow."""

    def predict(
        self,
        box: tuple[float, float, float, float] | None = None,
        clicks: Sequence[tuple[float, float, bool]] = (),
        previous: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.bool_]:
        """Return the mask of one object, ``(H, W)`` bool; possibly empty.

        Args:
            box: Left, top, width, height in pixels of the picture, about the object.
            clicks: Column, row, and whether the object is there. All so far, in order.
            previous: The mask that the clicks are to correct, ``(H, W)``.

        Raises:
            ValueError: There is no picture, or nothing that says where the object is.
        """


def open_predictor(method: Method = "network") -> Predictor:
    """Return what makes masks of boxes and clicks, by the shipped network or by GrabCut.

    Raises:
        WeightsError: The shipped network is missing or corrupt.
    """
    if method == "grabcut":
        return GrabCutPredictor()
    from model.checkpoint import load_prompt_segmenter  # torch: not for GrabCut.
    from model.inference.prompt import PromptPredictor

    return PromptPredictor(load_prompt_segmenter(prompt_weights()))


class GrabCutPredictor:
    """GrabCut behind the calls of a ``Predictor``; see ``grabcut_mask``.

    It needs a box. Without one it takes the last mask's, or else the whole picture.
    """

    def __init__(self) -> None:
        self._rgb: NDArray[np.uint8] | None = None

    def set_image(self, rgb: NDArray[np.uint8]) -> None:
        """Take a picture, ``(H, W, 3)`` uint8."""
        self._rgb = rgb

    def predict(
        self,
        box: tuple[float, float, float, float] | None = None,
        clicks: Sequence[tuple[float, float, bool]] = (),
        previous: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.bool_]:
        """Return the mask of one object; see ``Predictor``."""
        if self._rgb is None:
            raise ValueError("no picture: call set_image first")
        height, width = self._rgb.shape[:2]
        foreground = [Point(int(x), int(y)) for x, y, positive in clicks if positive]
        if box is None and not foreground and (previous is None or not previous.any()):
            raise ValueError("nothing says where the object is: give a box or a click on it")
        around = (0, 0, width, height) if box is None else tuple(map(round, box))
        if box is None and previous is not None and previous.any():
            rows, columns = np.nonzero(previous)
            edges = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            window = zoom_window(edges, (height, width), margin=1.2)
            around = (window.left, window.top, *window.size[::-1])
        # Background to compare with must remain.
        inner = Box(1, 1, width - 2, height - 2)
        given = Box(*around)
        if given.within((height, width)) == Box(0, 0, width, height):
            given = inner
        foreground = [point for point in foreground if given.holds(point)]
        background = [Point(int(x), int(y)) for x, y, positive in clicks if not positive]
        try:
            return grabcut_mask(self._rgb, [given], foreground, background) > 0
        except MaskError:  # It finds nothing but background.
            return np.zeros((height, width), np.bool_)
