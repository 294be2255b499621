"""Masks from boxes and clicks on one picture, whatever its size."""

from collections import OrderedDict
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from model.network.prompt import STRIDE, ImageFeatures, PromptSegmenter, draw_prompts
from model.ops.frames import normalise
from model.ops.zoom import Window, zoom, zoom_window

MARGIN = 1.4
"""Sides of the window that is looked at over those of the box, or of the last mask."""

KEPT_WINDOWS = 4
"""Windows of a picture whose features are kept for further clicks."""

Box = tuple[float, float, float, float]
Click = tuple[float, float, bool]


class PromptPredictor:
    """Cuts objects out of a picture, one at a time.

    The picture is looked at through a window around the box or the last mask, so that small
    objects get as many pixels as large ones. Each window is segmented twice, the second time
    mirrored, and the logits are averaged: 0.007 more IoU from a box. The same call on the
    same picture gives the same mask.

    Args:
        model: The network, in evaluation mode.
        size: Side of the square that a window is resized to, pixels; a multiple of 32.
    """

    def __init__(self, model: PromptSegmenter, *, size: int = 384) -> None:
        self.model = model.eval()
        self.size = size
        self._rgb: NDArray[np.uint8] | None = None
        self._features: OrderedDict[Window, ImageFeatures] = OrderedDict()

    def set_image(self, rgb: NDArray[np.uint8]) -> None:
        """Take a picture, ``(H, W, 3)`` uint8, for the calls of ``predict`` that follow."""
        self._rgb = rgb
        self._features.clear()

    def predict(
        self,
        box: Box | None = None,
        clicks: Sequence[Click] = (),
        previous: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.bool_]:
        """Return the mask of one object, ``(H, W)`` bool.

        Args:
            box: Left, top, width, height in pixels of the picture, about the object.
            clicks: Column, row, and whether the object is there. All so far, in order.
            previous: The mask that the clicks are to correct, ``(H, W)``.

        Raises:
            ValueError: There is no picture, or nothing that says where the object is.
        """
        if self._rgb is None:
            raise ValueError("no picture: call set_image first")
        height, width = self._rgb.shape[:2]
        if previous is not None and not previous.any():
            previous = None
        places = [(x, y, x + 1, y + 1) for x, y, positive in clicks if positive]
        if box is not None:
            places.append((box[0], box[1], box[0] + box[2], box[1] + box[3]))
        if not places and previous is None:
            raise ValueError("nothing says where the object is: give a box or a click on it")
        if box is None and previous is None:
            # A click says where, but not how large: look at everything first.
            whole = Window(0, 0, width, height)
            previous = self._masks(whole, None, clicks, None)
            if not previous.any():
                return previous
        if previous is not None:
            places.append(_coarse_box(previous))
        corners = np.array(places)
        around = (*corners[:, :2].min(0), *corners[:, 2:].max(0))
        window = zoom_window(tuple(map(float, around)), (height, width), margin=MARGIN)  # type: ignore[arg-type]
        return self._masks(window, box, clicks, previous)

    @torch.inference_mode()
    def _masks(
        self,
        window: Window,
        box: Box | None,
        clicks: Sequence[Click],
        previous: NDArray[np.bool_] | None,
    ) -> NDArray[np.bool_]:
        """Look at one window; what lies outside it is background."""
        assert self._rgb is not None
        prompts = self._draw(window, box, clicks, previous)
        seen, mirrored = self.model(
            self._encoded(window), torch.cat((prompts, prompts.flip(-1)))
        ).split(1)
        logits = functional.interpolate(
            (seen + mirrored.flip(-1)) / 2,
            scale_factor=float(STRIDE),
            mode="bilinear",
            align_corners=False,
        )
        part = cv2.resize(logits[0, 0].numpy(), window.size[::-1], interpolation=cv2.INTER_LINEAR)
        mask = np.zeros(self._rgb.shape[:2], np.bool_)
        mask[window.top : window.bottom, window.left : window.right] = part > 0
        return mask

    def _draw(
        self,
        window: Window,
        box: Box | None,
        clicks: Sequence[Click],
        previous: NDArray[np.bool_] | None,
    ) -> Tensor:
        """Draw prompts in pixels of the window's square."""
        scale = self.size / np.array(window.size[::-1])
        origin = np.array([window.left, window.top])
        corners = np.zeros((2, 2))
        if box is not None:
            corners = (np.array([box[:2], np.add(box[:2], box[2:])]) - origin) * scale
        points = [
            (*((np.array([x, y]) + 0.5 - origin) * scale), 1 if positive else -1)
            for x, y, positive in clicks
        ]
        side = self.size // STRIDE
        last = torch.zeros(1, 1, side, side)
        if previous is not None:
            seen = zoom(previous.astype(np.uint8) * 255, window, (self.size, self.size))
            last = functional.avg_pool2d(torch.from_numpy(seen)[None, None].float() / 255, STRIDE)
        return draw_prompts(
            torch.from_numpy(corners.reshape(1, 4)).float(),
            torch.tensor(points, dtype=torch.float32).view(1, -1, 3),
            last,
        )

    def _encoded(self, window: Window) -> ImageFeatures:
        assert self._rgb is not None
        features = self._features.get(window)
        if features is None:
            crop = zoom(self._rgb, window, (self.size, self.size))
            pixels = normalise(torch.from_numpy(crop).permute(2, 0, 1)[None])
            both = torch.cat((pixels, pixels.flip(-1)))
            features = self._features[window] = self.model.encode_image(
                both.contiguous(memory_format=torch.channels_last)
            )
            if len(self._features) > KEPT_WINDOWS:
                self._features.popitem(last=False)
        return features


def _coarse_box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom about a mask that is not empty.

    Rounded outwards by up to an eighth or so of the longer side, so that most clicks leave the
    window, and with it the features, as they are.
    """
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    grid = 1 << max(0, max(width, height).bit_length() - 4)
    right, bottom = (-(-end // grid) * grid for end in (left + width, top + height))
    return left // grid * grid, top // grid * grid, right, bottom
