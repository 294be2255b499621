"""Cuts: first frames of another shot, told from small pictures of the frames as they come."""

from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray

THUMBNAIL = (32, 18)
"""Width and height at which frames are compared."""

SAMPLED = 120
"""Rows or columns of a frame, whichever are fewer, that its small picture is made of."""

DIFFERENT = 12.0
"""Mean difference in CIELAB, in steps of 8 bits, that a cut has at least, ..."""

SUDDEN = 2.5
"""... and how many times the median of those before.

Of 1,500 joints between two of 44 sequences 99 % are found; in the sequences themselves, also with
every second or third frame alone, one of 5,125 pairs of frames is taken for a cut."""

RECENT = 5
"""Differences that are looked back on."""

HISTORY = RECENT + 1
"""Frames before one that decide whether it begins a shot."""

RESTLESS = 10.0
"""The difference that is taken for the usual one before there is any."""


class CutDetector:
    """Finds sharp cuts, one frame after the other. Fades and dissolves are none.

    A threshold that follows the movement, as in PySceneDetect's adaptive detector, but of the
    frames before alone, so that no frame waits for later ones.
    """

    def __init__(self) -> None:
        self._before: NDArray[np.float32] | None = None
        self._recent: deque[float] = deque([RESTLESS], maxlen=RECENT)

    def __call__(self, rgb: NDArray[np.uint8]) -> bool:
        """Take the next frame ``(H, W, 3)``; return whether a shot begins with it."""
        step = max(1, min(rgb.shape[:2]) // SAMPLED)  # A fifth of the time.
        sample = np.ascontiguousarray(rgb[::step, ::step])
        small = cv2.resize(sample, THUMBNAIL, interpolation=cv2.INTER_AREA)
        now = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.float32)
        before, self._before = self._before, now
        if before is None:
            return False
        difference = float(np.abs(now - before).mean())
        usual = float(np.median(self._recent))  # One cut among them does not move it.
        self._recent.append(difference)
        return difference > max(DIFFERENT, SUDDEN * usual)
