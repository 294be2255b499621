"""The shell: files, PyAV, Typer, progress. May import ``model``; nothing imports it.

The tree in the order in which the data flows::

    commands/        one file a command: parse, build, call, report
    video/           a file or folder -> frames
    masks/           reference masks in; palette PNGs, RLE, overlay, scores out
    run/             segment_video: the whole flow, and the folder it writes to
    first_mask/      boxes and points -> a first mask
    convert/         masks from one format to another
    batch/           many videos, on worker processes
    scoring/         J and F of masks against true ones
    benchmarking/    speed, memory, accuracy by setting
    doctor/          what is installed here
    files.py         files written whole, and errors in words
    weights_store.py the shipped weights and their manifest

From Python, without the command line: files with ``segment_video`` and
``segment_many``, frames of your own with
``ClipSegmenter``; docs/how-to/python.md shows both::

    from pcvos_cli import ClipSegmenter, load_model, segment_video
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from model.config import InferenceConfig
    from model.inference.clips import iter_clips
    from model.inference.segmenter import ClipSegmenter
    from model.types import ReferenceMask
    from pcvos_cli.batch.jobs import Job
    from pcvos_cli.batch.run import segment_many
    from pcvos_cli.run.pipeline import segment_video
    from pcvos_cli.run.settings import SegmentSettings
    from pcvos_cli.weights_store import load_model

__all__ = [
    "ClipSegmenter",
    "InferenceConfig",
    "Job",
    "ReferenceMask",
    "SegmentSettings",
    "iter_clips",
    "load_model",
    "segment_many",
    "segment_video",
]

_HOMES = {
    "ClipSegmenter": "model.inference.segmenter",
    "InferenceConfig": "model.config",
    "Job": "pcvos_cli.batch.jobs",
    "ReferenceMask": "model.types",
    "SegmentSettings": "pcvos_cli.run.settings",
    "iter_clips": "model.inference.clips",
    "load_model": "pcvos_cli.weights_store",
    "segment_many": "pcvos_cli.batch.run",
    "segment_video": "pcvos_cli.run.pipeline",
}


def __getattr__(name: str) -> Any:
    """Import a public name, and with it torch, only when it is asked for."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
