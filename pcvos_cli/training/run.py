"""One training from the command line: its recipe resolved, its folder locked, its report told."""

import ctypes
import signal
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model.config import LITE_PROMPT
from model.data.sequences import VideoSource
from model.errors import ConfigError, InputError
from model.training.config import TrainConfig
from model.training.distributed import joined, processes_of_environment
from model.training.loop import fit
from model.training.pretrained import Init
from model.training.recipe import config_from_dict, config_to_dict, differences, override
from model.training.reporting import FitReport
from model.training.sources import open_data
from model.training.state import STATE, load_state
from model.training.validation import find_sequences
from pcvos_cli import console
from pcvos_cli.run.device import choose_device
from pcvos_cli.run.settings import DeviceName
from pcvos_cli.signals import Terminated
from pcvos_cli.training.recipes import resolve_recipe
from pcvos_cli.training.report import TensorBoard, TerminalReporter, draw_curves
from pcvos_cli.training.run_folder import run_folder, stop_on_signals
from pcvos_cli.weights_store import prompt_weights, read_manifest, resolve_weights


def resolve(
    out: Path, recipe: str | None, given: dict[str, Any], *, resume: bool
) -> tuple[TrainConfig, list[str]]:
    """Return the recipe of the run, and remarks on its differences from the run resumed.

    Args:
        out: The run's folder.
        recipe: Name or file; ``None`` for that of the run resumed, or else the built-in one.
        given: Settings of the command line, by dotted name.
        resume: Go on with the run in ``out``.

    Raises:
        ConfigError: On an unknown recipe or setting, or a change that a resumed run cannot take.
        WeightsError: If there is nothing to resume.
    """
    if not resume:
        return resolve_recipe(recipe, given), []
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


def check_data(config: TrainConfig) -> None:
    """Open the data as a training does, draw a sample of each set, and note what is there.

    Raises:
        InputError: A folder is missing, or has nothing usable.
    """
    if not config.data.is_procedural or config.stage == "prompt":
        named = [f"--data {folder}" for folder, _ in config.data.weighted_sets]
        ingredients = open_data(config).ingredients
        if len(ingredients) > len(named):  # Synthetic video comes first.
            named.insert(0, "")
        for part, name in zip(ingredients, named, strict=True):
            try:
                sample = part.source.sample(0, np.random.default_rng(config.seed))
            except InputError as error:
                raise InputError(str(error), hint="replace the files, or leave them out") from error
            kind = "videos" if isinstance(part.source, VideoSource) else "pictures with masks"
            console.note(
                f"{name}: {len(part.source)} {kind}"
                if name
                else f"--photos and --objects: {len(part.source)} pictures"
            )
            skipped = [*part.source.problems, *sample.problems]
            if skipped:
                console.warning(f"{len(skipped)} items cannot be used; the first: {skipped[0]}")
    if config.validation.folder:
        found = find_sequences(Path(config.validation.folder), config.validation.frames)
        console.note(f"--val {config.validation.folder}: {len(found)} sequences")


@dataclass(frozen=True, slots=True)
class TrainRun:
    """A run as the command line asks for it; the options of ``pcvos train`` explain the rest.

    Attributes:
        config: The whole recipe.
        out: The run's folder.
    """

    config: TrainConfig
    out: Path
    init: str | None
    resume: bool
    overwrite: bool
    device: DeviceName
    threads: int | None
    pause_after: float | None
    tensorboard: bool

    def train(self, remarks: list[str], *, json: bool) -> None:
        """Train; write weights, state and curves, and the result to stdout.

        Args:
            remarks: Warnings to begin with.
            json: Write one document in place of words.

        Raises:
            PCVOSError: As ``run_folder`` and ``fit``.
            Terminated: On SIGTERM, once the run is saved.
            KeyboardInterrupt: Likewise on Ctrl-C.
        """
        config, out = self.config, self.out
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        processes = processes_of_environment()
        device = choose_device(self.device)
        if device.type == "cpu":
            keep_freed_memory()
        if device.type == "cuda" and processes.count > 1:
            device = torch.device("cuda", processes.local_rank)
        if not processes.leads:
            console.configure(quiet=True)
        # A run that is resumed has its weights in its state.
        start, origin = (
            ("random", "") if self.resume else _starting_weights(self.init, config.model)
        )
        with ExitStack() as stack:
            if processes.leads:
                stack.enter_context(run_folder(out, resume=self.resume, overwrite=self.overwrite))
                _introduce(config, remarks, device)
                if not self.resume:
                    console.note(origin)
            stack.enter_context(joined(processes, device))
            stop = stack.enter_context(stop_on_signals(self.pause_after))
            board = None
            if self.tensorboard and processes.leads:
                board = TensorBoard(out / "tensorboard")
                stack.callback(board.close)
            bar = stack.enter_context(console.progress("training", frames=False))
            report = fit(
                config,
                out,
                init=start,
                resume=self.resume,
                device=device,
                processes=processes,
                reporter=TerminalReporter(bar, out, config.batch * config.samples.frames, board),
                should_stop=stop.wanted,
            )
            curves = draw_curves(out) if processes.leads else None
        if processes.leads:
            _conclude(report, config, out, curves, json=json)
        if stop.signal is not None and not report.finished:
            raise Terminated if stop.signal == signal.SIGTERM else KeyboardInterrupt


def _starting_weights(init: str | None, model: str) -> tuple[Init, str]:
    """Return the weights that ``--init`` names, and words for them."""
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


def _introduce(config: TrainConfig, remarks: list[str], device: torch.device) -> None:
    for remark in remarks:
        console.warning(remark)
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
    report: FitReport, config: TrainConfig, out: Path, curves: Path | None, *, json: bool
) -> None:
    for stage, seconds in sorted(report.stage_seconds.items(), key=lambda item: -item[1]):
        if report.steps_here:
            each = seconds / report.steps_here
            console.detail(f"{stage:>16}  {seconds:9.2f} s  {each:8.4f} s/step")
    if report.skipped:
        console.warning(f"{report.skipped} items of the data could not be used")
    if json:
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


def keep_freed_memory() -> bool:
    """Tell glibc to reuse freed memory, which on a CPU nearly halves the time of a step.

    A step allocates and frees gigabytes in blocks of megabytes. By default each of these is
    mapped anew and the kernel clears it page by page: 3.6 s a step of pcvos-lite (batch 4,
    5 frames of 256 x 256, one core), 2.0 s with the pages kept. The process stays at its
    peak size, so this is for processes that train.

    Returns:
        Whether it took effect; not on macOS, Windows and musl.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    mmap_max, top_pad, trim_threshold = -4, -2, -1
    settings = ((mmap_max, 0), (trim_threshold, 2**31 - 1), (top_pad, 256 << 20))
    return all(mallopt(option, value) == 1 for option, value in settings)
