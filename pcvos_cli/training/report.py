"""Progress and results of a training: bar, TensorBoard, pictures, curves."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from model.data.sample import Problem
from model.errors import MissingPackage
from model.training.reporting import TrainReporter
from model.training.state import METRICS
from model.training.step import StepResult
from model.training.validation import ValidationScore
from pcvos_cli import console

CURVES = "curves.png"
PICTURE = "samples.png"
_TOLD_PROBLEMS = 10
_SMOOTHING = 0.95
_LINE_SECONDS = 30.0


class TerminalReporter(TrainReporter):
    """Follows a training on stderr: a bar on a terminal, else a line now and then.

    Args:
        bar: From ``console.progress``.
        folder: Receives the newest picture of samples.
        images_per_step: Frames in a batch.
        tensorboard: Also write there.
    """

    def __init__(
        self,
        bar: console.Progress,
        folder: Path,
        images_per_step: int,
        tensorboard: "TensorBoard | None" = None,
    ) -> None:
        self._bar = bar
        self._folder = folder
        self._images = images_per_step
        self._board = tensorboard
        self._loss: float | None = None
        self._iou: float | None = None
        self._problems = 0
        self._first = self._steps = 0
        self._begin = self._told = time.perf_counter()

    def started(self, step: int, steps: int) -> None:
        """Begin the bar where the run goes on."""
        self._first, self._steps = step, steps
        self._begin = self._told = time.perf_counter()
        self._bar.expect(steps, done=step)
        if step:
            console.note(f"going on after step {step} of {steps}")

    def stepped(self, step: int, result: StepResult) -> None:
        """Move the bar; where there is none, say how it goes every half minute."""
        self._loss = _smooth(self._loss, result.loss)
        self._iou = _smooth(self._iou, result.iou)
        now = time.perf_counter()
        speed = (step - self._first) * self._images / max(now - self._begin, 1e-9)
        text = f"loss {self._loss:.3f}  IoU {self._iou:.3f}  {speed:.1f} images/s"
        self._bar.show(step, text)
        if not self._bar.drawn and now - self._told >= _LINE_SECONDS:
            self._told = now
            left = (self._steps - step) * (now - self._begin) / max(1, step - self._first)
            console.note(f"step {step}/{self._steps}  {text}  {console.duration(left)} left")

    def logged(self, line: Mapping[str, Any]) -> None:
        """Pass figures on to TensorBoard."""
        if self._board:
            self._board.scalars(line)

    def pictured(self, step: int, picture: NDArray[np.uint8]) -> None:
        """Keep the newest picture."""
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self._folder / ("." + PICTURE)
        cv2.imwrite(str(temporary), picture[..., ::-1])
        temporary.replace(self._folder / PICTURE)
        if self._board:
            self._board.picture(step, picture)

    def validated(self, step: int, score: ValidationScore, best: bool) -> None:
        """Say the score."""
        parts = "  ".join(f"{name} {value:.3f}" for name, value in score.by_sequence.items())
        mark = "  (best so far)" if best else ""
        console.note(f"step {step}: validation J {score.mean:.4f}{mark}  {parts}")

    def skipped(self, problem: Problem) -> None:
        """Warn of the first few items; the rest are counted."""
        self._problems += 1
        if self._problems <= _TOLD_PROBLEMS:
            console.warning(f"skipped {problem}")
        elif self._problems == _TOLD_PROBLEMS + 1:
            console.warning("more items are skipped; the end of the run says how many")


class TensorBoard:
    """Writes figures and pictures for TensorBoard.

    Raises:
        MissingPackage: If it is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingPackage("--tensorboard", "tensorboard", "tensorboard") from error
        self._writer = SummaryWriter(str(folder))

    def scalars(self, line: Mapping[str, Any]) -> None:
        """Write the numbers of a line of ``metrics.jsonl``."""
        for name, value in line.items():
            if name != "step" and isinstance(value, (int, float)):
                self._writer.add_scalar(name, value, line["step"])

    def picture(self, step: int, picture: NDArray[np.uint8]) -> None:
        """Write a picture ``(H, W, 3)``."""
        self._writer.add_image("samples", picture, step, dataformats="HWC")

    def close(self) -> None:
        """Write what is pending."""
        self._writer.close()


def draw_curves(folder: Path) -> Path | None:
    """Draw ``metrics.jsonl`` as ``curves.png``: losses, IoU and validation, and the rate.

    Returns:
        The picture, or ``None`` where there is nothing to draw or matplotlib is not installed.
    """
    path = folder / METRICS
    if not path.is_file():
        return None
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    steps = [line for line in lines if "loss" in line]
    scores = [line for line in lines if "validation" in line]
    if not steps:
        return None
    try:
        from matplotlib.figure import Figure
    except ImportError:
        console.warning("no curves.png: matplotlib is not installed (pip install 'pcvos[train]')")
        return None

    figure = Figure(figsize=(9, 9), layout="constrained")
    losses, overlaps, rates = figure.subplots(3, 1, sharex=True)
    x = [line["step"] for line in steps]
    for name in ("loss", "cross_entropy", "dice"):
        losses.plot(x, [line[name] for line in steps], label=name.replace("_", "-"), linewidth=1)
    losses.set_yscale("log")
    losses.legend()
    overlaps.plot(x, [line["iou"] for line in steps], label="IoU of samples", linewidth=1)
    if scores:
        overlaps.plot(
            [line["step"] for line in scores],
            [line["validation"] for line in scores],
            marker="o",
            label="validation J",
        )
    overlaps.set_ylim(0, 1)
    overlaps.legend()
    rates.plot(x, [line["rate"] for line in steps], label="learning rate", linewidth=1)
    rates.legend()
    rates.set_xlabel("step")
    for axes in (losses, overlaps, rates):
        axes.grid(alpha=0.3)
    temporary = folder / ("." + CURVES)
    figure.savefig(temporary, format="png", dpi=110)
    temporary.replace(folder / CURVES)
    return folder / CURVES


def _smooth(old: float | None, new: float) -> float:
    return new if old is None else _SMOOTHING * old + (1 - _SMOOTHING) * new
