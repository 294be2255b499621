"""Options that commands share, and how their text is read. Free of torch.

Defaults come from :mod:`model.config` and :mod:`pcvos_cli.run.settings`, so that the command
line and a Python call cannot drift apart.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import typer

from model.config import PCVOS_LITE, PCVOS_R50, PRESETS, InferenceConfig
from pcvos_cli.run.settings import FORMATS, DeviceName, EngineName, SegmentSettings

T = TypeVar("T")

INFERENCE = InferenceConfig()
SETTINGS = SegmentSettings()
ALL = "all"
NATIVE = "native"

_model = partial(typer.Option, rich_help_panel="Model")
_method = partial(typer.Option, rich_help_panel="Method")
_terminal = partial(typer.Option, rich_help_panel="Terminal")

Weights = Annotated[Path | None, _model("--weights", help="Weights file (.safetensors).")]
Model = Annotated[
    str | None, _model("--model", help=f"Preset: {', '.join(PRESETS)}.", metavar="NAME")
]
Device = Annotated[DeviceName, _model("--device", help="auto: CUDA, then MPS, then CPU.")]
Engine = Annotated[
    EngineName,
    _model(
        "--engine", help="Library that runs the network. auto: ONNX Runtime on a CPU, else torch."
    ),
]
Amp = Annotated[bool, _model("--amp", help="Half precision, on CUDA and MPS.")]
Threads = Annotated[int | None, _model("--threads", min=1, help="CPU threads.")]
Size = Annotated[
    str,
    _model(
        "--size",
        metavar=f"PIXELS|{NATIVE}|auto",
        help="Short edge of the frames that the model sees, never above the source's. auto: the "
        "one that the weights know best (lite 544); smaller frames are enlarged to it.",
    ),
]
Interval = Annotated[
    int,
    _method("--interval", min=1, help="Frames in a clip (L): the memory is updated once a clip."),
]
TopK = Annotated[
    str,
    _method(
        "--top-k",
        metavar=f"K|{ALL}",
        help="Best matches in the memory that are kept for each location.",
    ),
]
ProgressiveInterval = Annotated[
    int | None,
    _method(
        "--progressive-interval",
        min=1,
        help="Frames from one provisional memory to the next, within a clip (F). Default: the "
        f"weights' own ({PCVOS_LITE.progressive_interval} with pcvos-lite, "
        f"{PCVOS_R50.progressive_interval} with pcvos-r50).",
    ),
]
NoProgressive = Annotated[
    bool, _method("--no-progressive", help="Match the whole clip in parallel.")
]
NoRefinement = Annotated[bool, _method("--no-refinement", help="Skip intra-clip refinement.")]
MaxMemoryFrames = Annotated[
    str,
    _method(
        "--max-memory-frames",
        metavar=f"N|{ALL}",
        help="Most frames in the memory. The one used least goes first; references stay.",
    ),
]
DecodeProvisional = Annotated[
    bool | None,
    _method(
        "--decode-provisional/--read-provisional",
        help="Provisional memory holds decoded masks, or the readout, as in the paper. "
        "Default: the weights' own.",
        show_default=False,
    ),
]
DropStrays = Annotated[
    bool | None,
    _method(
        "--drop-strays/--keep-strays",
        help="Drop parts of a mask that are far from the object. Default: the weights' own.",
        show_default=False,
    ),
]
Cuts = Annotated[
    Literal["ignore", "rematch", "stop"],
    _method(
        "--cuts",
        help="Behind a cut to another shot: match as ever, find objects again by their looks, or "
        "leave all of them out until the next mask.",
    ),
]
Category = Annotated[
    list[str] | None,
    typer.Option(
        "--category",
        metavar="ID=NAME",
        help="Name of the class of object ID in JSON and other exports (repeatable).",
    ),
]
Json = Annotated[bool, _terminal("--json", help="One JSON document on stdout.")]
Quiet = Annotated[bool, _terminal("--quiet", "-q", help="No progress bar, no remarks.")]
Verbose = Annotated[
    bool, _terminal("--verbose", "-v", help="More remarks, and the seconds of each stage.")
]
Debug = Annotated[bool, _terminal("--debug", help="Show a traceback on an error.")]


def parse_number(text: str, option: str, no_limit: str = ALL, also: str = "") -> int | None:
    """Read a number above 0, or the word for ``None``; ``also`` names what else could be given.

    Raises:
        BadParameter: If it is neither.
    """
    if text == no_limit:
        return None
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise typer.BadParameter(
            f"{text!r}: give a number above 0{also} or {no_limit!r}", param_hint=option
        )
    return int(text)


def settings_of(values: Mapping[str, Any]) -> SegmentSettings:
    """Return the settings that a command's options mean; without an option, the default.

    Args:
        values: By the names of the command's parameters; others are not looked at.

    Raises:
        BadParameter: The text of an option cannot be read.
        ConfigError: A value means nothing.
    """
    size = values["size"]
    edge = size if size == "auto" else parse_number(size, "--size", NATIVE, also=", 'auto'")
    read = {**values, "size": edge}
    if "top_k" in values:  # Not in `benchmark`, which has its own intervals.
        read["top_k"] = parse_number(values["top_k"], "--top-k")
        read["max_memory_frames"] = parse_number(values["max_memory_frames"], "--max-memory-frames")
        read["progressive"] = not values["no_progressive"]
        read["refinement"] = not values["no_refinement"]
    if "formats" in values:  # In `segment` and `batch`.
        composite = ["composite"] if values["background"] else []
        read["formats"] = parse_formats([*(values["formats"] or SETTINGS.formats), *composite])
        read["categories"] = parse_categories(values["category"] or [])
        read["end_objects"] = parse_end_objects(values["end_object"] or [], values["until"] or [])
        read["absent"] = parse_absent(values["absent"] or [])
        read["fps"] = parse_fps(values["fps"])
        read["value_range"] = parse_range(values["value_range"])
    read["inference"] = _made_of(InferenceConfig, read)
    return _made_of(SegmentSettings, read)


def _made_of(kind: type[T], values: Mapping[str, Any]) -> T:
    """Make settings of the values that are named as their fields."""
    return kind(**{f.name: values[f.name] for f in fields(kind) if f.name in values})  # type: ignore[arg-type]


def parse_fps(text: str) -> Fraction:
    """Read a frame rate: ``24``, ``23.976`` or ``24000/1001``.

    Raises:
        BadParameter: If it is not a number above 0.
    """
    try:
        fps = Fraction(text)
    except (ValueError, ZeroDivisionError):
        fps = Fraction(0)
    if fps <= 0:
        raise typer.BadParameter(f"{text!r} is not a frame rate", param_hint="--fps")
    return fps


def parse_range(text: str | None) -> tuple[float, float] | None:
    """Read ``--range``: the values that are black and white.

    Raises:
        BadParameter: If it is not two numbers, the lower one first.
    """
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low = high = 0.0
    if not -math.inf < low < high < math.inf:
        raise typer.BadParameter(f"{text!r}: give LOW,HIGH, as 0,4095", param_hint="--range")
    return low, high


def parse_formats(texts: Sequence[str]) -> tuple[str, ...]:
    """Read ``--format``: comma-separated, repeatable; each format once, in a fixed order.

    Raises:
        BadParameter: If one is unknown or none is left.
    """
    chosen = {name.strip() for text in texts for name in text.split(",")}
    unknown = sorted(chosen.difference(FORMATS))
    if unknown:
        raise typer.BadParameter(
            f"{', '.join(map(repr, unknown))}: choose from {', '.join(FORMATS)}",
            param_hint="--format",
        )
    return tuple(name for name in FORMATS if name in chosen)


def parse_end_objects(
    texts: Sequence[str], until: Sequence[str] = ()
) -> tuple[tuple[int, str], ...]:
    """Read ``--end-object``: an object's id, and the first frame without it.

    Args:
        texts: ``ID@FRAME``.
        until: ``ID=FRAME`` of the older ``--until``, whose frame, an index, still shows it.

    Raises:
        BadParameter: If one is no such pair.
    """
    pairs = list(parse_absent(texts, "--end-object"))
    for text in until:
        object_id, _, frame = text.partition("=")
        if not all(part.isascii() and part.isdigit() for part in (object_id, frame)):
            raise typer.BadParameter(f"{text!r}: give ID=FRAME, as 2=120", param_hint="--until")
        pairs.append((int(object_id), str(int(frame) + 1)))
    return tuple(dict.fromkeys(pairs))


def parse_absent(texts: Sequence[str], option: str = "--absent") -> tuple[tuple[int, str], ...]:
    """Read values ``ID@FRAME`` of an option.

    Raises:
        BadParameter: If one is no such pair.
    """
    pairs = []
    for text in texts:
        object_id, _, frame = text.partition("@")
        if not (object_id.isascii() and object_id.isdigit() and frame):
            raise typer.BadParameter(f"{text!r}: give ID@FRAME, as 2@120", param_hint=option)
        pairs.append((int(object_id), frame))
    return tuple(dict.fromkeys(pairs))


def parse_categories(texts: Sequence[str]) -> tuple[tuple[int, str], ...]:
    """Read ``--category``: an object's id and the name of its class.

    Raises:
        BadParameter: If one is no such pair.
    """
    found: dict[int, str] = {}
    for text in texts:
        object_id, _, name = text.partition("=")
        if not (object_id.isascii() and object_id.isdigit() and int(object_id) and name.strip()):
            raise typer.BadParameter(f"{text!r}: give ID=NAME, as 1=dog", param_hint="--category")
        found[int(object_id)] = name.strip()
    return tuple(sorted(found.items()))
