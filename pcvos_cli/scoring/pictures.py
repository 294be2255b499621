"""Pictures small enough to stand in a page."""

import base64
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pcvos_cli.masks.label_files import LabelMap, label_values

LARGEST_WIDTH = 480
"""Pictures are made this wide at most, in pixels."""

BACKDROP = 70
"""Grey of a frame whose image is not there."""


def outline(picture: NDArray[np.uint8], truth: LabelMap) -> NDArray[np.uint8]:
    """Return the picture ``(H, W, 3)`` with the true objects outlined in white."""
    drawn = picture.copy()
    for k in label_values(truth):
        mask = (truth == k).astype(np.uint8)
        contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(drawn, contours, -1, (255, 255, 255), 1)
    return drawn


def read_backdrop(path: Path | None, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the frame that lies under the masks, ``(H, W, 3)`` RGB at ``size``.

    Grey where there is no image, or an unreadable one: scores do not need it.
    """
    if path is not None:
        try:
            with Image.open(path) as image:
                rgb = np.asarray(image.convert("RGB"))
            small = cv2.resize(rgb, (size[1], size[0]), interpolation=cv2.INTER_AREA)
            return small.astype(np.uint8, copy=False)
        except OSError:
            pass
    return np.full((*size, 3), BACKDROP, dtype=np.uint8)


def picture_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return the ``(height, width)`` at which a frame is shown."""
    scale = min(1.0, LARGEST_WIDTH / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def data_uri(picture: NDArray[np.uint8]) -> str:
    """Return a picture as a JPEG in a ``data:`` address."""
    _, stream = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])
    return "data:image/jpeg;base64," + base64.b64encode(stream.tobytes()).decode("ascii")
