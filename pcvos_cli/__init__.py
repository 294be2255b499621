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

From Python, without the command line::

    from pcvos_cli import segment_video
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pcvos_cli.pipeline import segment_video

__all__ = ["segment_video"]


def __getattr__(name: str) -> Any:
    """Import ``segment_video``, and with it torch, only when it is asked for."""
    if name == "segment_video":
        from pcvos_cli.pipeline import segment_video

        return segment_video
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
