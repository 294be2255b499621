"""What is done with each frame's masks: palette PNGs, COCO RLE, an overlay, scores."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pcvos_cli.video.source import Frame


class MaskWriter(Protocol):
    """One output format. ``write`` is called once a frame, in order."""

    def write(
        self, frame: Frame, labels: NDArray[np.int32], probs: NDArray[np.float32] | None
    ) -> None:
        """Write one frame.

        Args:
            frame: The source's frame, at the source's size.
            labels: ``(H, W)`` object ids at the source's size, 0 = background.
            probs: ``(1 + K, h, w)`` at the working size, all of the run's ids in ascending
                order; an object that has not entered yet is zero. ``None`` unless
                ``wants_probs``.

        Raises:
            OutputError: If it cannot be written.
        """
        ...

    @property
    def wants_probs(self) -> bool:
        """Whether ``write`` reads ``probs``."""
        ...

    def close(self) -> None:
        """Finish: what was written gets its final name."""
        ...

    def abort(self) -> None:
        """Give up: remove unfinished files, keep whole ones."""
        ...
