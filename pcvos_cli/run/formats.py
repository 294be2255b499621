"""From format names to writers, with the seconds they take."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.ops.timing import StageClock
from model.types import ClipPrediction
from pcvos_cli.masks.label_map import LabelMap
from pcvos_cli.masks.writers import (
    MaskWriter,
    OverlayWriter,
    PaletteWriter,
    RLEWriter,
    ScoresWriter,
)
from pcvos_cli.run.output_folder import MASKS, OVERLAY, RLE, SCORES
from pcvos_cli.video.source import Frame, VideoInfo

PLACES = {"png": MASKS, "rle": RLE, "overlay": OVERLAY, "scores": SCORES}
"""File or folder of each format inside the output folder."""


class TimedWriter:
    """A writer whose seconds are charged to a stage."""

    def __init__(self, writer: MaskWriter, clock: StageClock, stage: str) -> None:
        self.writer = writer
        self._clock = clock
        self._stage = stage

    @property
    def wants_probs(self) -> bool:
        """Whether ``write`` reads ``probs``."""
        return self.writer.wants_probs

    def write(self, frame: Frame, labels: LabelMap, probs: NDArray[np.float32] | None) -> None:
        """Write one frame; arguments and errors as ``MaskWriter.write``."""
        with self._clock(self._stage):
            self.writer.write(frame, labels, probs)

    def close(self) -> None:
        """Finish the output."""
        with self._clock(self._stage):
            self.writer.close()

    def abort(self) -> None:
        """Give the output up."""
        self.writer.abort()


def open_writers(
    folder: Path,
    formats: Sequence[str],
    source: VideoInfo,
    *,
    settings: Mapping[str, Any],
    object_ids: Sequence[int],
    clock: StageClock,
    whole: bool = True,
) -> list[TimedWriter]:
    """Open a writer for each format.

    Args:
        folder: The output folder.
        formats: Names out of ``PLACES``.
        source: What is being segmented.
        settings: Goes into the JSON; read when that is closed.
        object_ids: All of the run's ids.
        clock: Charged as ``write_png``, ``write_rle``, ...
        whole: All of the source's frames come; else the overlay's sound is cut to them.

    Raises:
        OutputError: If one cannot be opened; the others are aborted.
    """
    opened: list[TimedWriter] = []
    try:
        for name in formats:
            path = folder / PLACES[name]
            writer: MaskWriter
            match name:
                case "png":
                    writer = PaletteWriter(path)
                case "rle":
                    writer = RLEWriter(path, source, settings=settings, object_ids=object_ids)
                case "overlay":
                    writer = OverlayWriter(path, source, whole=whole)
                case "scores":
                    writer = ScoresWriter(path)
                case _:
                    raise ValueError(f"no format is called {name!r}")
            opened.append(TimedWriter(writer, clock, f"write_{name}"))
    except BaseException:
        for timed in opened:
            timed.abort()
        raise
    return opened


def writer_notes(writers: Sequence[TimedWriter]) -> list[str]:
    """Return what users should know of their files (an audio track left out, say)."""
    return [
        note
        for timed in writers
        if isinstance(timed.writer, OverlayWriter)
        for note in timed.writer.notes
    ]


def all_channels(
    prediction: ClipPrediction, t: int, object_ids: tuple[int, ...]
) -> NDArray[np.float32]:
    """Return frame ``t``'s ``(1 + K, h, w)`` for all of the run's ids; 0 before they enter."""
    scores = np.zeros((1 + len(object_ids), *prediction.probs.shape[-2:]), np.float32)
    channels = [0, *(1 + object_ids.index(i) for i in prediction.object_ids)]
    scores[channels] = prediction.probs[:, t].numpy()
    return scores
