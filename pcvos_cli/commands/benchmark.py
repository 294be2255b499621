"""``pcvos benchmark``: a clip in, frames a second and where the time goes out."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from model.config import InferenceConfig
from model.errors import ConfigError
from pcvos_cli import console, options
from pcvos_cli.benchmarking.report import VARIANTS
from pcvos_cli.options import INFERENCE, SETTINGS
from pcvos_cli.run.settings import SegmentSettings

_OUTPUT = "Output"
_ACCURACY = "Accuracy, on a data set"
_ABLATION = "Ablation"
_SCORES = {"jf": "J&F", "j": "J", "f": "F", "g": "G"}


def benchmark(
    intervals: Annotated[
        str,
        typer.Option("--intervals", "-L", metavar="L,L,...", help="Clip lengths to measure."),
    ] = "5,10,15,25",
    objects: Annotated[
        str | None,
        typer.Option(
            "--objects",
            metavar="N,N,...",
            help="Numbers of objects. Default: all of --mask, or 1 in a made clip.",
        ),
    ] = None,
    variants: Annotated[
        str | None,
        typer.Option(
            "--variants",
            metavar=",".join(VARIANTS),
            help="Parts of the method switched off at test time. Default: full.",
        ),
    ] = None,
    video: Annotated[
        Path | None,
        typer.Option("--video", help="Video or folder of images. Default: a made clip."),
    ] = None,
    mask: Annotated[
        Path | None, typer.Option("--mask", "-m", help="Mask of the video's first frame.")
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option(
            "--frames",
            min=2,
            help="Frames to use. Default: the first and two clips of the largest L.",
        ),
    ] = None,
    repeats: Annotated[
        int, typer.Option("--repeats", min=1, help="Measured runs, after a warm-up.")
    ] = 3,
    scaling: Annotated[
        bool,
        typer.Option(
            "--scaling",
            help="Fit how cost grows with the memory, at the smallest L, and with --objects.",
        ),
    ] = False,
    scaling_frames: Annotated[
        str | None,
        typer.Option(
            "--scaling-frames",
            metavar="N,N,...",
            help="Frames in the memory at which --scaling measures. Default: 2,10,25,50,100.",
        ),
    ] = None,
    long: Annotated[
        int | None,
        typer.Option(
            "--long",
            min=2,
            metavar="FRAMES",
            help="Segment the clip forwards and backwards until there are so many frames, and "
            "watch seconds a frame and memory. With one of --intervals; nothing else is measured.",
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="OUT.png",
            help="FPS by L; with --root, accuracy against FPS.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="All figures.", rich_help_panel=_OUTPUT),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace old files.", rich_help_panel=_OUTPUT)
    ] = False,
    root: Annotated[
        Path | None,
        typer.Option(
            "--root", "-r", help="Segment and score this data set too.", rich_help_panel=_ACCURACY
        ),
    ] = None,
    dataset: Annotated[
        Literal["davis2016", "davis2017", "youtubevos"] | None,
        typer.Option("--dataset", "-d", help="Layout of ROOT.", rich_help_panel=_ACCURACY),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", help="List of sequences. Default: val.", rich_help_panel=_ACCURACY),
    ] = None,
    scored_frames: Annotated[
        Literal["inner", "all"] | None,
        typer.Option(
            "--scored-frames",
            help="As --frames of pcvos evaluate. Default: inner.",
            rich_help_panel=_ACCURACY,
        ),
    ] = None,
    score: Annotated[
        Literal["jf", "j", "f", "g"] | None,
        typer.Option(
            "--score",
            help="What stands for accuracy in plots and in the paper's tables. Default: jf; "
            "g for youtubevos.",
            rich_help_panel=_ACCURACY,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="Keep the data set's masks; what is finished there is not made again, masks of "
            "pcvos evaluate included. Default: keep none.",
            rich_help_panel=_ACCURACY,
        ),
    ] = None,
    ablation: Annotated[
        bool,
        typer.Option(
            "--ablation",
            help="The paper's tables 1 and 2: what each part of the method is worth at each L.",
            rich_help_panel=_ABLATION,
        ),
    ] = False,
    row: Annotated[
        list[str] | None,
        typer.Option(
            "--row",
            metavar="NAME=WEIGHTS",
            help="A row with weights of its own. NAME is stcn, pmm, pmm+pct, pmm+pct+icr, ... to "
            "say which parts are on, or any other name for all. Repeatable. Default: parts of "
            "--weights switched off at test time.",
            rich_help_panel=_ABLATION,
        ),
    ] = None,
    paper: Annotated[
        bool,
        typer.Option(
            "--paper", help="Print the paper's own tables beneath.", rich_help_panel=_ABLATION
        ),
    ] = False,
    size: options.Size = str(SETTINGS.size),
    weights: options.Weights = SETTINGS.weights,
    model: options.Model = SETTINGS.model,
    untrained: Annotated[
        bool,
        typer.Option(
            "--untrained",
            help="Random weights: the speed of a --model whose weights are not at hand.",
            rich_help_panel="Model",
        ),
    ] = False,
    device: options.Device = SETTINGS.device,
    engine: options.Engine = SETTINGS.engine,
    amp: options.Amp = SETTINGS.amp,
    threads: options.Threads = SETTINGS.threads,
    top_k: options.TopK = str(INFERENCE.top_k),
    progressive_interval: options.ProgressiveInterval = INFERENCE.progressive_interval,
    max_memory_frames: options.MaxMemoryFrames = str(INFERENCE.max_memory_frames),
    decode_provisional: options.DecodeProvisional = INFERENCE.decode_provisional,
    drop_strays: options.DropStrays = INFERENCE.drop_strays,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> None:
    """Measure FPS, memory and the seconds of each stage, and with a data set accuracy."""
    console.configure(quiet=quiet, verbose=verbose, debug=debug)
    # Not at the top: `pcvos --help` comes by here.
    from pcvos_cli.benchmarking.clip import SCALING_FRAMES, BenchmarkSettings
    from pcvos_cli.benchmarking.run import (
        AccuracyRequest,
        Outputs,
        report_ablation,
        report_long,
        report_speed,
    )

    outputs = Outputs(json=json, csv=csv, plot=plot, paper=paper, overwrite=overwrite)
    outputs.refuse_existing()
    accuracy = None
    if root is not None and dataset is not None:
        name = score or ("g" if dataset == "youtubevos" else "jf")
        accuracy = AccuracyRequest(dataset, root, split, scored_frames, _SCORES[name], output)
    elif any(x is not None for x in (root, dataset, split, scored_frames, score, output)):
        raise ConfigError(
            "--root and --dataset belong together; --split, --scored-frames, --score and "
            "--output go with them"
        )
    if untrained and (weights is not None or accuracy is not None):
        raise ConfigError(
            "--untrained measures the speed of random weights: it goes neither with --weights "
            "nor with --root"
        )
    settings = BenchmarkSettings(
        segment=SegmentSettings(
            inference=InferenceConfig(
                top_k=options.parse_top_k(top_k),
                progressive_interval=progressive_interval,
                max_memory_frames=options.parse_max_memory_frames(max_memory_frames),
                decode_provisional=decode_provisional,
                drop_strays=drop_strays,
            ),
            size=options.parse_size(size),
            weights=weights,
            model=model,
            device=device,
            engine=engine,
            amp=amp,
            threads=threads,
        ),
        intervals=parse_numbers(intervals, "--intervals"),
        objects=() if objects is None else parse_numbers(objects, "--objects"),
        variants=tuple(dict.fromkeys(name.strip() for name in (variants or "full").split(","))),
        frames=frames,
        repeats=repeats,
        video=video,
        mask=mask,
        scaling=scaling,
        scaling_frames=SCALING_FRAMES
        if scaling_frames is None
        else parse_numbers(scaling_frames, "--scaling-frames"),
    )
    if scaling_frames is not None and not scaling:
        raise ConfigError("--scaling-frames goes with --scaling")
    if long is not None:
        if ablation or scaling or accuracy is not None:
            raise ConfigError("--long goes with neither --ablation nor --scaling nor --root")
        report_long(settings, long, outputs, untrained=untrained)
        return
    if not ablation:
        if row or paper:
            raise ConfigError("--row and --paper go with --ablation")
        report_speed(settings, accuracy, outputs, untrained=untrained)
        return
    if accuracy is None:
        raise ConfigError(
            "--ablation needs a data set", hint="add --dataset davis2016 --root FOLDER, say"
        )
    if variants is not None or scaling or len(settings.objects) > 1:
        raise ConfigError(
            "--ablation has rows instead of --variants, no --scaling and one number of --objects"
        )
    report_ablation(settings, row or (), accuracy, outputs)


def parse_numbers(text: str, option: str) -> tuple[int, ...]:
    """Read numbers above 0 with commas between; each is kept once, ascending.

    Raises:
        BadParameter: If one is not a number above 0.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts):
        raise typer.BadParameter(f"{text!r}: give numbers above 0, as in 5,10", param_hint=option)
    return tuple(sorted({int(part) for part in parts}))
