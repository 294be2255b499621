"""``pcvos train``: a recipe and data in, weights out."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from pcvos_cli import console, options

RECIPES = ("lite-image", "lite-prompt", "lite-synthetic", "paper-image", "paper-video")
"""The built-in recipes; a test compares them with the folder, which nobody reads for ``--help``."""

_data = partial(typer.Option, rich_help_panel="Data", metavar="FOLDER")
_sample = partial(typer.Option, rich_help_panel="Samples")
_optimiser = partial(typer.Option, rich_help_panel="Optimiser")
_run = partial(typer.Option, rich_help_panel="Run")


def train(
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FOLDER",
            help="State, weights, figures go here. Default: runs/STAGE.",
        ),
    ] = None,
    stage: Annotated[
        Literal["image", "video", "prompt"] | None,
        typer.Option(
            "--stage",
            help="image: stills, deformed. video: clip by clip. prompt: first masks from boxes "
            "and clicks. Default: video.",
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            metavar="NAME|FILE.toml",
            help=f"{', '.join(RECIPES)}, or a file. Default: by stage and model.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any setting of a recipe, such as loss.hard_to=9000. --dry-run prints them all.",
        ),
    ] = None,
    model: options.Model = None,
    init: Annotated[
        str | None,
        typer.Option(
            "--init",
            metavar="WEIGHTS|imagenet|random",
            help="Start from a weights file, from ImageNet trunks (downloaded), or from nothing. "
            "Default: the shipped weights, where the model has some.",
        ),
    ] = None,
    sets: Annotated[
        list[str] | None,
        _data(
            "--data",
            metavar="FOLDER[=WEIGHT]",
            help="DAVIS or YouTube-VOS layout, or stills with masks; WEIGHT (1) is how much each "
            "item counts. Repeatable. None at all: synthetic video, drawn.",
        ),
    ] = None,
    photos: Annotated[
        list[str] | None, _data("--photos", help="Photographs for synthetic video. Repeatable.")
    ] = None,
    objects: Annotated[
        list[str] | None,
        _data(
            "--objects",
            help="Stills with masks, or pictures with transparency, whose objects act in "
            "synthetic video. Repeatable.",
        ),
    ] = None,
    validation: Annotated[
        str | None, _data("--val", help="DAVIS layout; scored now and then.")
    ] = None,
    crop: Annotated[int | None, _sample("--crop", help="Side, pixels.")] = None,
    max_objects: Annotated[
        int | None, _sample("--max-objects", help="Most objects in a sample.")
    ] = None,
    scheme: Annotated[
        Literal["clip", "frame"] | None,
        _sample("--scheme", help="Clip by clip, or frame by frame."),
    ] = None,
    frames: Annotated[int | None, _sample("--frames", help="Frames in a sample.")] = None,
    clips: Annotated[int | None, _sample("--clips", help="Clips after the first frame.")] = None,
    clip_supervision: Annotated[
        bool | None,
        _sample(
            "--clip-supervision/--no-clip-supervision", help="The dice loss over clips (eq. 5)."
        ),
    ] = None,
    steps: Annotated[int | None, _optimiser("--steps", help="Optimiser steps.")] = None,
    batch: Annotated[
        int | None, _optimiser("--batch", help="Samples a step, all processes together.")
    ] = None,
    rate: Annotated[float | None, _optimiser("--rate", help="Learning rate.")] = None,
    trunk_rate: Annotated[
        float | None, _optimiser("--trunk-rate", help="The trunk's rate over --rate; 0 freezes it.")
    ] = None,
    freeze_trunk: Annotated[
        int | None, _optimiser("--freeze-trunk", help="Steps for which the trunk stays.")
    ] = None,
    seed: Annotated[int | None, _run("--seed", help="Of everything random.")] = None,
    workers: Annotated[int | None, _run("--workers", help="Processes that make samples.")] = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    resume: Annotated[bool, _run("--resume", help="Go on where --out stopped.")] = False,
    overwrite: Annotated[bool, _run("--overwrite", help="Replace the run in --out.")] = False,
    pause_after: Annotated[
        float | None,
        _run("--pause-after", metavar="MINUTES", min=0, help="Save and end; --resume goes on."),
    ] = None,
    tensorboard: Annotated[bool, _run("--tensorboard", help="Also write for TensorBoard.")] = False,
    dry_run: Annotated[bool, _run("--dry-run", help="Check the data, print the recipe.")] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> None:
    """Train a network. --resume continues a run, --init starts from weights."""
    console.configure(quiet=quiet, verbose=verbose, debug=debug)
    chosen: dict[str, Any] = {
        "stage": stage,
        "model": model,
        "steps": steps,
        "batch": batch,
        "seed": seed,
        "samples.crop": crop,
        "samples.max_objects": max_objects,
        "samples.scheme": scheme,
        "samples.frames": frames,
        "samples.clips": clips,
        "data.sets": sets,
        "data.photos": photos,
        "data.objects": objects,
        "loss.clip_supervision": clip_supervision,
        "optimiser.rate": rate,
        "optimiser.trunk_rate": trunk_rate,
        "optimiser.freeze_trunk": freeze_trunk,
        "validation.folder": validation,
        "run.workers": workers,
    }
    # Not at the top: `pcvos --help` comes by here.
    from model.training.recipe import config_to_dict, parse_settings
    from pcvos_cli.training.run import TrainRun, check_data, resolve

    # A flag of its own wins over --set.
    given = parse_settings(settings or []) | {k: v for k, v in chosen.items() if v is not None}
    out = out or Path("runs") / (stage or "video")
    config, remarks = resolve(out, recipe, given, resume=resume)
    if dry_run:
        check_data(config)
        console.result_json(config_to_dict(config))
        return
    run = TrainRun(
        config=config,
        out=out,
        init=init,
        resume=resume,
        overwrite=overwrite,
        device=device,
        threads=threads,
        pause_after=pause_after,
        tensorboard=tensorboard,
    )
    run.train(remarks, json=json)
