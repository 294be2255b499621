"""``pcvos evaluate``: predictions and true masks in, the tables of the paper out."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from model.errors import ConfigError
from pcvos_cli import console, options
from pcvos_cli.options import INFERENCE, SETTINGS

_output = partial(typer.Option, rich_help_panel="Output")
_SEGMENT = "Segmenting first, without PREDICTIONS"


def evaluate(
    dataset: Annotated[
        Literal["davis2017", "davis2016", "youtubevos", "folder"],
        typer.Option("--dataset", "-d", help="Layout of ROOT; folder: any folders of masks."),
    ],
    root: Annotated[
        Path,
        typer.Option(
            "--root", "-r", help="Folder of the data set; for folder, that of the true masks."
        ),
    ],
    predictions: Annotated[
        Path | None,
        typer.Argument(
            metavar="PREDICTIONS",
            help="Masks to score: <sequence>/<frame>.png. Left out: segment ROOT first.",
        ),
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(
            "--compare", metavar="PREDICTIONS", help="Also score these masks, side by side."
        ),
    ] = None,
    prompts: Annotated[
        Literal["network", "grabcut"] | None,
        typer.Option(
            "--prompts",
            help="Score first masks instead: IoU from boxes on frames 0, 20 and 40 of each "
            "sequence, and the clicks that they take.",
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", help="List of sequences. Default: val (YouTube-VOS: valid)."),
    ] = None,
    frames: Annotated[
        Literal["inner", "all"] | None,
        typer.Option(
            "--frames",
            help="inner leaves out the first and the last frame (default for DAVIS), "
            "all keeps them (default for folder).",
        ),
    ] = None,
    seen: Annotated[
        Path | None,
        typer.Option(
            "--seen",
            metavar="FILE",
            help="YouTube-VOS: seen categories, a meta.json or one a line. Default: those of "
            "ROOT/train/meta.json, else a built-in list.",
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Processes. Default: all cores.")
    ] = None,
    csv: Annotated[Path | None, _output("--csv", metavar="FILE", help="All scores.")] = None,
    html: Annotated[
        Path | None,
        _output(
            "--html", metavar="FILE", help="One page: scores, J over time, best and worst frames."
        ),
    ] = None,
    submission: Annotated[
        Path | None,
        _output(
            "--zip",
            metavar="FILE",
            help="YouTube-VOS: the submission. Default, where no score can be given: "
            "PREDICTIONS.zip.",
        ),
    ] = None,
    overwrite: Annotated[bool, _output("--overwrite", help="Replace old results.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="Folder of the masks. Finished ones are kept. Default: DATASET_SPLIT_predictions.",
            rich_help_panel=_SEGMENT,
        ),
    ] = None,
    size: options.Size = str(SETTINGS.size),
    weights: options.Weights = SETTINGS.weights,
    model: options.Model = SETTINGS.model,
    device: options.Device = SETTINGS.device,
    engine: options.Engine = SETTINGS.engine,
    threads: options.Threads = SETTINGS.threads,
    interval: options.Interval = INFERENCE.interval,
    top_k: options.TopK = str(INFERENCE.top_k),
    progressive_interval: options.ProgressiveInterval = INFERENCE.progressive_interval,
    no_progressive: options.NoProgressive = False,
    no_refinement: options.NoRefinement = False,
    max_memory_frames: options.MaxMemoryFrames = str(INFERENCE.max_memory_frames),
    drop_strays: options.DropStrays = INFERENCE.drop_strays,
    decode_provisional: options.DecodeProvisional = INFERENCE.decode_provisional,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> None:
    """Score masks with J and F, as the DAVIS and YouTube-VOS scorers do."""
    console.configure(quiet=quiet, verbose=verbose, debug=debug)
    # Not at the top: `pcvos --help` comes by here.
    from pcvos_cli.scoring.evaluation import Outputs, report_prompts, report_scores, segment_first
    from pcvos_cli.scoring.layouts import load_dataset

    outputs = Outputs(json, csv, html, submission, overwrite)
    outputs.refuse_existing()
    truth = load_dataset(dataset, root, split=split, frames=frames, seen=seen)
    if prompts is not None:
        if predictions is not None or compare is not None:
            raise ConfigError("--prompts makes masks of its own; leave PREDICTIONS out")
        report_prompts(truth, prompts, json=json)
        return
    if submission is not None and dataset != "youtubevos":
        raise ConfigError("--zip writes a YouTube-VOS submission; no other data set has one")
    if predictions is not None and output is not None:
        raise ConfigError("--output is for segmenting first, but PREDICTIONS are given")
    settings = options.settings_of(locals())
    made_by: dict[str, Any] = {}
    if predictions is None:
        predictions = output or Path(
            "_".join([*filter(None, (dataset, truth.split)), "predictions"])
        )
        made_by = segment_first(truth, predictions, settings, overwrite=overwrite, workers=jobs)
    report_scores(truth, predictions, compare, outputs, jobs, made_by)
