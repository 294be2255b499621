"""``pcvos benchmark``: a clip in, frames a second and where the time goes out."""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from model.errors import ConfigError
from pcvos_cli import console, options
from pcvos_cli.options import SETTINGS

_output = partial(typer.Option, rich_help_panel="Output")
_accuracy = partial(typer.Option, rich_help_panel="Accuracy, on a data set")
_ablation = partial(typer.Option, rich_help_panel="Ablation")


def benchmark(
    intervals: Annotated[
        str, typer.Option("--intervals", "-L", metavar="L,L,...", help="Clip lengths to measure.")
    ] = "5,10,15,25",
    objects: Annotated[
        str | None,
        typer.Option(
            "--objects",
            metavar="N,N,...",
            help="Numbers of objects. Default: all of --mask, or 1 in a made clip.",
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
        int, typer.Option("--repeats", min=1, help="Number of measured runs, after a warm-up.")
    ] = 3,
    plot: Annotated[
        Path | None,
        _output(
            "--plot", metavar="OUT.png", help="FPS by L; with --dataset, accuracy against FPS."
        ),
    ] = None,
    overwrite: Annotated[bool, _output("--overwrite", help="Replace old files.")] = False,
    root: Annotated[
        Path | None, _accuracy("--root", "-r", help="Segment and score this data set too.")
    ] = None,
    dataset: Annotated[
        Literal["davis2016", "davis2017", "youtubevos"] | None,
        _accuracy("--dataset", "-d", help="Layout of ROOT."),
    ] = None,
    split: Annotated[
        str | None, _accuracy("--split", help="List of sequences. Default: val.")
    ] = None,
    output: Annotated[
        Path | None,
        _accuracy(
            "--output",
            "-o",
            metavar="FOLDER",
            help="Folder that keeps the data set's masks. Finished ones are used again, those of "
            "pcvos evaluate too. Default: keep none.",
        ),
    ] = None,
    ablation: Annotated[
        bool,
        _ablation(
            "--ablation", help="The paper's tables 1 and 2, with a --row for each set of weights."
        ),
    ] = False,
    row: Annotated[
        list[str] | None,
        _ablation(
            "--row",
            metavar="NAME=WEIGHTS",
            help="A row of the tables: weights trained for it. NAME is stcn, pmm, pmm+pct or "
            "pmm+pct+icr for its parts, or any other name. Repeatable.",
        ),
    ] = None,
    size: options.Size = str(SETTINGS.size),
    weights: options.Weights = SETTINGS.weights,
    model: options.Model = SETTINGS.model,
    untrained: Annotated[
        bool,
        typer.Option(
            "--untrained",
            help="Measure with random weights, for a --model without shipped ones.",
            rich_help_panel="Model",
        ),
    ] = False,
    device: options.Device = SETTINGS.device,
    engine: options.Engine = SETTINGS.engine,
    amp: options.Amp = SETTINGS.amp,
    threads: options.Threads = SETTINGS.threads,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> None:
    """Measure FPS, memory and the seconds of each stage, and with a data set accuracy."""
    console.configure(quiet=quiet, verbose=verbose, debug=debug)
    # Not at the top: `pcvos --help` comes by here.
    from pcvos_cli.benchmarking.clip import BenchmarkSettings
    from pcvos_cli.benchmarking.run import AccuracyRequest, Outputs, report_ablation, report_speed

    outputs = Outputs(json=json, plot=plot, overwrite=overwrite)
    outputs.check()
    accuracy = None
    if root is not None and dataset is not None:
        accuracy = AccuracyRequest(dataset, root, split, output)
    elif any(x is not None for x in (root, dataset, split, output)):
        raise ConfigError("--root and --dataset belong together; --split and --output go with them")
    if untrained and (weights is not None or accuracy is not None):
        raise ConfigError(
            "--untrained measures the speed of random weights: it goes neither with --weights "
            "nor with --root"
        )
    settings = BenchmarkSettings(
        segment=options.settings_of(locals()),
        intervals=parse_numbers(intervals, "--intervals"),
        objects=() if objects is None else parse_numbers(objects, "--objects"),
        frames=frames,
        repeats=repeats,
        video=video,
        mask=mask,
    )
    if ablation != bool(row):
        raise ConfigError(
            "--ablation and --row belong together",
            hint="such as --ablation --row pmm+pct=a.safetensors --row pmm+pct+icr=b.safetensors",
        )
    if not row:
        report_speed(settings, accuracy, outputs, untrained=untrained)
        return
    if accuracy is None:
        raise ConfigError(
            "--ablation needs a data set", hint="add --dataset davis2016 --root FOLDER, say"
        )
    if len(settings.objects) > 1:
        raise ConfigError("--ablation takes one number of --objects")
    report_ablation(settings, row, accuracy, outputs)


def parse_numbers(text: str, option: str) -> tuple[int, ...]:
    """Read numbers above 0 with commas between; each is kept once, ascending.

    Raises:
        BadParameter: If one is not a number above 0.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts):
        raise typer.BadParameter(f"{text!r}: give numbers above 0, as in 5,10", param_hint=option)
    return tuple(sorted({int(part) for part in parts}))
