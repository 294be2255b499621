"""The shell: files, PyAV, Typer, progress. May import ``model``; nothing imports it.

The tree in the order in which the data flows::

    commands/segment.py   arguments -> segment_video -> summary
    pipeline.py           segment_video: the whole flow on one page
    decoding.py           frames, and what the model sees of them
    backward.py           from the first reference mask back to the start
    early_frames.py       frames that get their masks without the model
    video/                a file or folder -> frames
    masks/                reference masks in; palette PNGs, RLE, overlay, scores out
    output_folder.py      the folder they go to: refused, locked, cleared
    saved_run.py          what an unfinished run leaves, and how it is taken up again
    weights_store.py      the shipped weights and their manifest
    run_report.py         run.json

From Python, without the command line: files with ``segment_video``, frames of your own with
``ClipSegmenter``; README.md shows both::

    from pcvos_cli import ClipSegmenter, load_model, segment_video
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from model.config import InferenceConfig
    from model.inference.clips import iter_clips
    from model.inference.segmenter import ClipSegmenter
    from model.types import ReferenceMask
    from pcvos_cli.pipeline import segment_video
    from pcvos_cli.settings import SegmentSettings
    from pcvos_cli.weights_store import load_model

__all__ = [
    "ClipSegmenter",
    "InferenceConfig",
    "ReferenceMask",
    "SegmentSettings",
    "iter_clips",
    "load_model",
    "segment_video",
]

_HOMES = {
    "ClipSegmenter": "model.inference.segmenter",
    "InferenceConfig": "model.config",
    "ReferenceMask": "model.types",
    "SegmentSettings": "pcvos_cli.settings",
    "iter_clips": "model.inference.clips",
    "load_model": "pcvos_cli.weights_store",
    "segment_video": "pcvos_cli.pipeline",
}


def __getattr__(name: str) -> Any:
    """Import a public name, and with it torch, only when it is asked for."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
