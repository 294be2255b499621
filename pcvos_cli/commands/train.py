"""``pcvos train``: a recipe and data in, weights out."""

import signal
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from model.config import LITE_PROMPT
from model.errors import ConfigError
from pcvos_cli import console, options
from pcvos_cli.run.settings import DeviceName
from pcvos_cli.signals import Terminated
from pcvos_cli.training.recipes import recipe_names, resolve_recipe
from pcvos_cli.training.run_folder import run_folder, stop_on_signals

if TYPE_CHECKING:
    from model.training.config import TrainConfig
    from model.training.pretrained import Init
    from model.training.reporting import FitReport

_DATA = "Data"
_METHOD = "Method"
_OPTIMISER = "Optimiser"
_RUN = "Run"


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
            help=f"{', '.join(recipe_names())}, or a file. Default: by stage and model.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any setting of a recipe, such as loss.hard_to=9000.",
        ),
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            metavar="FOLDER",
            help="DAVIS or YouTube-VOS layout, or stills with masks. Repeatable. "
            "None at all: synthetic video, drawn.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    photos: Annotated[
        list[str] | None,
        typer.Option(
            "--photos",
            metavar="FOLDER",
            help="Photographs for synthetic video. Repeatable.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    objects: Annotated[
        list[str] | None,
        typer.Option(
            "--objects",
            metavar="FOLDER",
            help="Stills with masks, or pictures with transparency, whose objects act in "
            "synthetic video. Repeatable.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    validation: Annotated[
        str | None,
        typer.Option(
            "--val",
            metavar="FOLDER",
            help="DAVIS layout; scored now and then.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    crop: Annotated[
        int | None, typer.Option("--crop", help="Side of a sample, pixels.", rich_help_panel=_DATA)
    ] = None,
    max_objects: Annotated[
        int | None,
        typer.Option("--max-objects", help="Most objects in a sample.", rich_help_panel=_DATA),
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
    scheme: Annotated[
        Literal["clip", "frame"] | None,
        typer.Option("--scheme", help="Clip by clip, or frame by frame.", rich_help_panel=_METHOD),
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option("--frames", help="Frames in a sample.", rich_help_panel=_METHOD),
    ] = None,
    clips: Annotated[
        int | None,
        typer.Option("--clips", help="Clips after the first frame.", rich_help_panel=_METHOD),
    ] = None,
    clip_supervision: Annotated[
        bool | None,
        typer.Option(
            "--clip-supervision/--no-clip-supervision",
            help="The dice loss over clips (eq. 5).",
            rich_help_panel=_METHOD,
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", help="Optimiser steps.", rich_help_panel=_OPTIMISER)
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            "--batch", help="Samples a step, all processes together.", rich_help_panel=_OPTIMISER
        ),
    ] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", help="Learning rate.", rich_help_panel=_OPTIMISER)
    ] = None,
    trunk_rate: Annotated[
        float | None,
        typer.Option(
            "--trunk-rate",
            help="The trunk's rate over --rate; 0 freezes it.",
            rich_help_panel=_OPTIMISER,
        ),
    ] = None,
    freeze_trunk: Annotated[
        int | None,
        typer.Option(
            "--freeze-trunk", help="Steps for which the trunk stays.", rich_help_panel=_OPTIMISER
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Of everything random.", rich_help_panel=_RUN)
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", help="Processes that make samples.", rich_help_panel=_RUN),
    ] = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where --out stopped.", rich_help_panel=_RUN)
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what is in --out.", rich_help_panel=_RUN)
    ] = False,
    pause_after: Annotated[
        float | None,
        typer.Option(
            "--pause-after",
            metavar="MINUTES",
            min=0,
            help="Save and end then; --resume goes on.",
            rich_help_panel=_RUN,
        ),
    ] = None,
    tensorboard: Annotated[
        bool,
        typer.Option("--tensorboard", help="Also write for TensorBoard.", rich_help_panel=_RUN),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print the resolved recipe and end.", rich_help_panel=_RUN),
    ] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> None:
    """Train a network, or go on with one: --resume continues a run, --init starts from weights."""
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
    from model.training.recipe import config_to_dict, parse_settings

    # A flag of its own wins over --set.
    given = parse_settings(settings or []) | {k: v for k, v in chosen.items() if v is not None}
    out = out or Path("runs") / (stage or "video")
    config, notes = _resolve(out, recipe, given, resume=resume)
    if dry_run:
        console.result_json(config_to_dict(config))
        return
    _train(
        config, out, notes, init=init, resume=resume, overwrite=overwrite, device=device,
        threads=threads, pause_after=pause_after, tensorboard=tensorboard, json=json,
    )  # fmt: skip


def _resolve(
    out: Path, recipe: str | None, given: dict[str, Any], *, resume: bool
) -> "tuple[TrainConfig, list[str]]":
    """Return the recipe of the run, and remarks on what differs from the run resumed."""
    if not resume:
        return resolve_recipe(recipe, given), []
    from model.training.recipe import config_from_dict, config_to_dict, differences, override
    from model.training.state import STATE, load_state

    stored = load_state(out / STATE).config
    if recipe is not None:
        config = resolve_recipe(recipe, given)
    else:
        config = config_from_dict(override(config_to_dict(stored), given))
    changed = differences(stored, config)
    fixed = [name for name in changed if name in ("model", "optimiser.name")]
    if fixed:
        raise ConfigError(
            f"--resume cannot change {', '.join(fixed)}", hint="start a new run with --init"
        )
    telling = [name for name in changed if not name.startswith(("run.", "validation."))]
    if telling:
        return config, [
            f"resuming with another {', '.join(telling)}: the result is no longer that of one "
            "uninterrupted run"
        ]
    return config, []


def _train(
    config: "TrainConfig",
    out: Path,
    notes: list[str],
    *,
    init: str | None,
    resume: bool,
    overwrite: bool,
    device: DeviceName,
    threads: int | None,
    pause_after: float | None,
    tensorboard: bool,
    json: bool,
) -> None:
    import torch

    from model.training.allocation import keep_freed_memory
    from model.training.distributed import joined, processes_of_environment
    from model.training.loop import fit
    from pcvos_cli.run.plan import choose_device
    from pcvos_cli.training.report import TensorBoard, TerminalReporter, draw_curves

    if threads is not None:
        torch.set_num_threads(threads)
    processes = processes_of_environment()
    chosen = choose_device(device)
    if chosen.type == "cpu":
        keep_freed_memory()
    if chosen.type == "cuda" and processes.count > 1:
        chosen = torch.device("cuda", processes.local_rank)
    if not processes.leads:
        console.configure(quiet=True)
    start, remark = _starting_weights(init, config.model)
    with ExitStack() as stack:
        if processes.leads:
            stack.enter_context(run_folder(out, resume=resume, overwrite=overwrite))
            _introduce(config, notes, chosen)
            if not resume:
                console.note(remark)
        stack.enter_context(joined(processes, chosen))
        stop = stack.enter_context(stop_on_signals(pause_after))
        board = TensorBoard(out / "tensorboard") if tensorboard and processes.leads else None
        if board:
            stack.callback(board.close)
        bar = stack.enter_context(console.training_progress())
        report = fit(
            config,
            out,
            init=start,
            resume=resume,
            device=chosen,
            processes=processes,
            reporter=TerminalReporter(bar, out, config.batch * config.samples.frames, board),
            should_stop=stop.wanted,
        )
        curves = draw_curves(out) if processes.leads else None
    if processes.leads:
        _conclude(report, config, out, curves, json=json)
    if stop.signal is not None and not report.finished:
        raise Terminated if stop.signal == signal.SIGTERM else KeyboardInterrupt


def _starting_weights(init: str | None, model: str) -> "tuple[Init, str]":
    """Return what ``--init`` means, and a remark on it."""
    from pcvos_cli.weights_store import prompt_weights, read_manifest, resolve_weights

    if init == "random":
        return "random", "starting from random weights"
    if init == "imagenet":
        return "imagenet", "starting from ImageNet trunks"
    if init is not None:
        return Path(init), f"starting from {init}"
    if model not in {entry.preset for entry in read_manifest()}:
        return "random", (
            f"starting from random weights: none are shipped for {model}; --init imagenet "
            "starts from pretrained trunks, as the paper does"
        )
    if model == LITE_PROMPT.name:
        path = prompt_weights()
        return path, f"starting from the shipped weights {path.name}"
    path, name = resolve_weights(None, model)
    return path, f"starting from the shipped weights {name}"


def _introduce(config: "TrainConfig", notes: list[str], device: object) -> None:
    for note in notes:
        console.warning(note)
    if config.data.is_procedural:
        console.note(
            "no data given: training on synthetic video with drawn textures and shapes; "
            "--photos, --objects and --data give it more to learn from"
        )
    samples = config.samples
    console.note(
        f"{config.model}, stage {config.stage}: {config.steps} steps of {config.batch} samples, "
        f"{samples.frames} frames of {samples.crop} x {samples.crop}, {samples.scheme} by "
        f"{samples.scheme}, on {device}"
    )


def _conclude(
    report: "FitReport", config: "TrainConfig", out: Path, curves: Path | None, *, json: bool
) -> None:
    for stage, seconds in sorted(report.stage_seconds.items(), key=lambda item: -item[1]):
        if report.steps_here:
            each = seconds / report.steps_here
            console.detail(f"{stage:>16}  {seconds:9.2f} s  {each:8.4f} s/step")
    if report.skipped:
        console.warning(f"{report.skipped} items of the data could not be used")
    if json:
        from model.training.recipe import config_to_dict

        console.result_json(
            {
                "step": report.step,
                "finished": report.finished,
                "hours": report.seconds / 3600,
                "best_score": report.best_score,
                "skipped": report.skipped,
                "stage_seconds": report.stage_seconds,
                "folder": str(out),
                "recipe": config_to_dict(config),
            }
        )
        return
    best = "" if report.best_score is None else f", best validation J {report.best_score:.4f}"
    state = "finished" if report.finished else f"stopped after step {report.step}; saved"
    console.result(f"{state}: {report.seconds / 3600:.2f} h of training{best}")
    console.result(f"weights  {out / 'last.safetensors'}")
    if curves:
        console.result(f" curves  {curves}")
