"""``pcvos benchmark``: a clip in, frames a second and where the time goes out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from model.config import InferenceConfig
from model.errors import ConfigError, OutputError
from pcvos_cli import console, options
from pcvos_cli.benchmarking.report import VARIANTS, speed_table, stage_tables
from pcvos_cli.options import INFERENCE, SETTINGS
from pcvos_cli.settings import SegmentSettings

if TYPE_CHECKING:
    from pcvos_cli.benchmarking.report import Accuracy, BenchmarkReport, Measurement, Table

_OUTPUT = "Output"
_ACCURACY = "Accuracy"


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
        str,
        typer.Option(
            "--variants",
            metavar=",".join(VARIANTS),
            help="Parts of the method switched off at test time. Default: full.",
        ),
    ] = "full",
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
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="OUT.png",
            help="FPS by L; with --root, accuracy against FPS.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an old plot.", rich_help_panel=_OUTPUT)
    ] = False,
    root: Annotated[
        Path | None,
        typer.Option(
            "--root", "-r", help="Segment and score this data set too.", rich_help_panel=_ACCURACY
        ),
    ] = None,
    dataset: Annotated[
        Literal["davis2016", "davis2017"] | None,
        typer.Option("--dataset", "-d", help="Layout of ROOT.", rich_help_panel=_ACCURACY),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", help="List of sequences. Default: val.", rich_help_panel=_ACCURACY),
    ] = None,
    size: options.Size = str(SETTINGS.size),
    weights: options.Weights = SETTINGS.weights,
    model: options.Model = SETTINGS.model,
    device: options.Device = SETTINGS.device,
    amp: options.Amp = SETTINGS.amp,
    threads: options.Threads = SETTINGS.threads,
    top_k: options.TopK = str(INFERENCE.top_k),
    progressive_interval: options.ProgressiveInterval = INFERENCE.progressive_interval or 1,
    max_memory_frames: options.MaxMemoryFrames = str(INFERENCE.max_memory_frames),
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> None:
    """Measure FPS, memory and the seconds of each stage, and with a data set accuracy."""
    console.configure(quiet=quiet, verbose=verbose, debug=debug)
    from pcvos_cli.benchmarking.clip import BenchmarkSettings
    from pcvos_cli.benchmarking.measure import run_benchmark

    if (root is None) != (dataset is None) or (split is not None and root is None):
        raise ConfigError("--root and --dataset belong together, and --split to them")
    if plot is not None and plot.exists() and not overwrite:
        raise OutputError(f"{plot}: exists", hint="pass --overwrite or choose another name")
    settings = BenchmarkSettings(
        segment=SegmentSettings(
            inference=InferenceConfig(
                top_k=options.parse_top_k(top_k),
                progressive_interval=progressive_interval,
                max_memory_frames=options.parse_max_memory_frames(max_memory_frames),
            ),
            size=options.parse_size(size),
            weights=weights,
            model=model,
            device=device,
            amp=amp,
            threads=threads,
        ),
        intervals=parse_numbers(intervals, "--intervals"),
        objects=() if objects is None else parse_numbers(objects, "--objects"),
        variants=tuple(dict.fromkeys(name.strip() for name in variants.split(","))),
        frames=frames,
        repeats=repeats,
        video=video,
        mask=mask,
        scaling=scaling,
    )
    truth = None
    if root is not None and dataset is not None:
        from pcvos_cli.benchmarking.accuracy import add_accuracy, check_dataset
        from pcvos_cli.scoring.layouts import load_dataset

        truth = load_dataset(dataset, root, split=split)
        check_dataset(truth)
    report = run_benchmark(settings, on_measurement=_note_speed)
    if truth is not None:
        report = add_accuracy(report, truth, settings.segment, on_accuracy=_note_accuracy)
    if plot is not None:
        from pcvos_cli.benchmarking.plot import draw

        draw(report, plot)
    if json:
        console.result_json(report.to_document())
    else:
        _write_tables(report)
    if plot is not None:
        console.note(f"plot: {plot}")


def parse_numbers(text: str, option: str) -> tuple[int, ...]:
    """Read numbers above 0 with commas between; each is kept once, ascending.

    Raises:
        BadParameter: If one is not a number above 0.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts):
        raise typer.BadParameter(f"{text!r}: give numbers above 0, as in 5,10", param_hint=option)
    return tuple(sorted({int(part) for part in parts}))


def _note_speed(m: "Measurement") -> None:
    console.note(
        f"{m.variant}, L {m.interval}, {m.objects} object{'s' * (m.objects > 1)}: "
        f"{m.fps_model.median:.2f} FPS model alone, {m.fps_end_to_end.median:.2f} FPS end to end"
    )


def _note_accuracy(variant: str, interval: int, accuracy: "Accuracy") -> None:
    console.note(f"{variant}, L {interval}: J&F {100 * accuracy.JF_mean:.2f}")


def _write_tables(report: "BenchmarkReport") -> None:
    machine = report.machine
    for key, value in report.protocol.items():
        text = value
        if isinstance(value, dict):
            text = "; ".join(f"{name.replace('_', ' ')}: {words}" for name, words in value.items())
        console.result(f"{key.replace('_', ' ')}: {text}")
    console.result(
        f"device: {machine.device}, {machine.threads} CPU threads of {machine.cores} cores, "
        f"{machine.processor}, {machine.system}"
    )
    console.result(f"matrix products: {machine.matmul_gflops} GFLOP/s")
    console.result(
        "versions: " + ", ".join(f"{name} {text}" for name, text in machine.versions.items())
    )
    speeds = speed_table(report)
    _write_table(speeds)
    for mark in dict.fromkeys(m.mark for m in report.measurements if m.mark):
        console.result(f"* {mark}")
    if report.scaling is not None:
        console.result("")
        console.result("How cost grows (model alone)")
        for line in report.scaling.describe():
            console.result(f"  {line}")
    for table in stage_tables(report):
        _write_table(table)


def _write_table(table: "Table") -> None:
    # Rich would fold a title that is wider than its table.
    console.result(f"\n{table.title}")
    console.result_table(None, table.header, table.rows)
