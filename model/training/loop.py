"""``fit``: step after step, with checkpoints, validation and a report to whoever listens."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from model.build import build_pcvos, build_prompt_segmenter
from model.config import PCVOSConfig, PromptConfig
from model.data.sample import Problem, TrainingBatch
from model.errors import ConfigError, WeightsError
from model.network.prompt import PromptSegmenter
from model.ops.timing import StageClock
from model.pcvos import PCVOS
from model.training.config import TrainConfig
from model.training.distributed import Processes
from model.training.feed import Positions, open_feed
from model.training.frozen import frozen_layers, frozen_trunk
from model.training.optimisation import build_average, build_optimiser, freeze_trunk, set_rates
from model.training.pictures import draw_batch
from model.training.pretrained import Init, initial_model
from model.training.prompting import PromptTrainer
from model.training.record import RunRecord
from model.training.reporting import FitReport, TrainReporter
from model.training.schedule import hard_share, trunk_is_frozen
from model.training.sources import open_data
from model.training.state import (
    BEST,
    STATE,
    TrainState,
    load_state,
    random_states,
    restore_random,
)
from model.training.step import ClipTrainer, train_step
from model.training.validation import find_sequences, validate, validate_prompts


def fit(
    config: TrainConfig,
    folder: Path,
    *,
    init: Init = "random",
    resume: bool = False,
    device: torch.device | str = "cpu",
    processes: Processes | None = None,
    reporter: TrainReporter | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> FitReport:
    """Train a network.

    Args:
        config: The resolved recipe. With ``resume``, the one that the run goes on with; its
            network comes from the state.
        folder: Receives ``state.pt``, ``last.safetensors``, ``best.safetensors`` and
            ``metrics.jsonl``.
        init: A weights file to start from, ``imagenet`` trunks, or ``random`` values.
        resume: Go on from ``folder``'s state.
        device: Where the work is done.
        processes: Those that train together, already connected.
        reporter: Is told what happens.
        should_stop: Asked after every step; the run is then saved and ends.

    Returns:
        How it ended.

    Raises:
        PCVOSError: If data, weights or the folder are unusable.
    """
    return _Run(
        config, folder, init, resume, torch.device(device), processes or Processes(),
        reporter or TrainReporter(), should_stop,
    ).go()  # fmt: skip


class _Run:
    """The state of one call of ``fit``."""

    def __init__(
        self,
        config: TrainConfig,
        folder: Path,
        init: Init,
        resume: bool,
        device: torch.device,
        processes: Processes,
        reporter: TrainReporter,
        should_stop: Callable[[], bool],
    ) -> None:
        if config.batch % processes.count:
            raise ConfigError(
                f"a batch of {config.batch} cannot be shared by {processes.count} processes",
                hint="batch counts the samples of all processes together",
            )
        self.config, self.folder, self.device = config, folder, device
        self.processes, self.reporter, self.should_stop = processes, reporter, should_stop
        self.record = RunRecord(folder, writes=processes.leads)
        state = load_state(folder / STATE) if resume else None
        torch.manual_seed(config.seed)
        self.data = open_data(config)
        if config.validation.folder:
            find_sequences(Path(config.validation.folder), config.validation.frames)
        model = _build(state.model_config) if state else initial_model(config, init)
        layout = torch.channels_last if config.run.channels_last else torch.contiguous_format
        self.model: PCVOS | PromptSegmenter = model.to(device).to(memory_format=layout)
        self.optimiser = build_optimiser(self.model, config.optimiser)
        half = _half_precision(device) if config.run.amp else None
        self.autocast = half
        self.scaler = torch.amp.GradScaler(device.type, enabled=half == torch.float16)
        self.step, self.seconds = 0, 0.0
        self.best: float | None = None
        if state:
            self._restore(state)
        # After the weights, so that an average that the state lacks starts at them.
        ema = config.optimiser.ema
        self.average = build_average(self.model, ema) if ema else None
        if state and self.average is not None and state.average is not None:
            self.average.load_state_dict(state.average)
        self.clock = StageClock(synchronise=device.type == "cuda")
        self.trainer = _trainer(self.model, config, self.device, self.clock)
        self.first = self.step
        self.told: set[str] = set()
        self.window: list[torch.Tensor] = []
        self.window_started = time.perf_counter()

    def go(self) -> FitReport:
        """Train until done or stopped."""
        config = self.config
        self.record.rewind(self.step)
        self._tell(tuple(self.data.problems))
        if self.processes.leads:
            self.reporter.started(self.step, config.steps)
        positions = Positions(
            self.step, config.steps, config.batch,
            rank=self.processes.rank, processes=self.processes.count,
        )  # fmt: skip
        feed = open_feed(
            self.data, positions, workers=config.run.workers, pin_memory=self.device.type == "cuda"
        )
        self.model.train()
        frozen: bool | None = None
        wrapped: nn.Module = self.trainer
        stopped = self.processes.any(self.should_stop(), self.device)
        while self.step < config.steps and not stopped:
            started = time.perf_counter()
            if (now := trunk_is_frozen(self.step, config)) != frozen:
                frozen = now
                freeze_trunk(self.model, frozen, stride=config.optimiser.freeze_stride)
                wrapped = self._wrap()
            with self.clock("data"):
                batch = self._to_device(next(feed))
            self._one_step(wrapped, batch)
            self.seconds += time.perf_counter() - started
            self._after_step()
            stopped = self.processes.any(self.should_stop(), self.device)
        if self.step > self.first and not self._saved_now():
            self._save()
        self.processes.wait()
        return FitReport(
            self.step, self.step >= config.steps, self.seconds, self.best,
            dict(self.clock.seconds), self.step - self.first, len(self.told),
        )  # fmt: skip

    def _wrap(self) -> nn.Module:
        """Return what is called for the losses; made anew where other weights get gradients."""
        if self.processes.count == 1:
            return self.trainer
        ids = [self.processes.local_rank] if self.device.type == "cuda" else None
        return DistributedDataParallel(self.trainer, device_ids=ids)

    def _one_step(self, wrapped: nn.Module, batch: TrainingBatch) -> None:
        config = self.config
        self._tell(batch.problems)
        self.rate = set_rates(self.optimiser, self.step, config)
        every = config.run.picture_every
        draws = bool(every) and self.processes.leads and (self.step + 1) % every == 0
        result = train_step(
            wrapped,
            batch,
            self.optimiser,
            hard_share=hard_share(self.step, config.loss),
            clip_norm=config.optimiser.clip_norm,
            scaler=self.scaler,
            autocast=self.autocast,
            clock=self.clock,
            keep_labels=draws,
        )
        if self.average is not None:
            with self.clock("average"):
                self.average.update_parameters(self.model)
        self.step += 1
        self.window.append(
            torch.tensor(
                (result.loss, result.cross_entropy, result.dice, result.iou, result.gradient_norm)
            )
        )
        if self.processes.leads:
            self.reporter.stepped(self.step, result)
            if draws and result.labels is not None:
                self.reporter.pictured(self.step, draw_batch(batch, result.labels))

    def _after_step(self) -> None:
        config = self.config
        if self.step % config.run.log_every == 0 or self.step == config.steps:
            self._log_window()
        validation = config.validation
        if validation.folder and (self.step % validation.every == 0 or self.step == config.steps):
            self._validate()
        if self._saved_now():
            self._save()

    def _saved_now(self) -> bool:
        return self.step > self.first and (
            self.step % self.config.run.save_every == 0 or self.step == self.config.steps
        )

    def _log_window(self) -> None:
        """Average the steps since the last line over the processes and write a line."""
        means = self.processes.mean(torch.stack(self.window).mean(0).to(self.device)).tolist()
        now = time.perf_counter()
        samples = len(self.window) * self.config.batch
        names = ("loss", "cross_entropy", "dice", "iou", "gradient_norm")
        self._line(
            {
                "step": self.step,
                **dict(zip(names, means, strict=True)),
                "rate": self.rate,
                "hard_share": hard_share(self.step - 1, self.config.loss),
                "samples_per_second": samples / (now - self.window_started),
                "skipped": len(self.told),
            }
        )
        self.window.clear()
        self.window_started = now

    def _validate(self) -> None:
        """Score the averaged network on the leading process; keep the weights if they are best."""
        if self.processes.leads:
            started = time.perf_counter()
            model, settings = self._exported(), self.config.validation
            score = (
                validate_prompts(model, settings)
                if isinstance(model, PromptSegmenter)
                else validate(model, settings, device=self.device)
            )
            self.model.train()
            best = self.best is None or score.mean > self.best
            if best:
                self.best = score.mean
                self.record.weights(BEST, self._exported(), self.config, self.step, self.best)
            self._line(
                {
                    "step": self.step,
                    "validation": score.mean,
                    "by_sequence": score.by_sequence,
                    "seconds": time.perf_counter() - started,
                }
            )
            self.reporter.validated(self.step, score, best)
        self.processes.wait()
        self.window_started = time.perf_counter()

    def _exported(self) -> PCVOS | PromptSegmenter:
        """Return the network that is validated and exported."""
        if self.average is None:
            return self.model
        averaged = self.average.module
        assert isinstance(averaged, PCVOS | PromptSegmenter)
        return averaged

    def _save(self) -> None:
        state = TrainState(
            config=self.config,
            model_config=self.model.config,
            step=self.step,
            seconds=self.seconds,
            best_score=self.best,
            model=self.model.state_dict(),
            average=self.average.state_dict() if self.average else None,
            optimiser=self.optimiser.state_dict(),
            scaler=self.scaler.state_dict(),
            random=random_states(),
        )
        self.record.state(state, self._exported())

    def _restore(self, state: TrainState) -> None:
        try:
            self.model.load_state_dict(state.model)
            self.optimiser.load_state_dict(state.optimiser)
        except (RuntimeError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise WeightsError(
                f"{self.folder / STATE} does not fit its own recipe: {reason}",
                hint="start anew with --init and last.safetensors",
            ) from error
        self.scaler.load_state_dict(state.scaler)
        restore_random(state.random)
        self.step, self.seconds, self.best = state.step, state.seconds, state.best_score

    def _line(self, figures: dict[str, Any]) -> None:
        self.record.line(figures)
        if self.processes.leads:
            self.reporter.logged(figures)

    def _tell(self, problems: tuple[Problem, ...]) -> None:
        for problem in problems:
            if problem.path not in self.told:
                self.told.add(problem.path)
                if self.processes.leads:
                    self.reporter.skipped(problem)

    def _to_device(self, batch: TrainingBatch) -> TrainingBatch:
        if self.device.type == "cpu":
            return batch
        return TrainingBatch(
            batch.frames.to(self.device, non_blocking=True),
            batch.labels.to(self.device, non_blocking=True),
            batch.object_count,
            batch.sources,
            batch.problems,
        )


def _build(config: PCVOSConfig | PromptConfig) -> PCVOS | PromptSegmenter:
    if isinstance(config, PromptConfig):
        return build_prompt_segmenter(config)
    return build_pcvos(config)


def _trainer(
    model: PCVOS | PromptSegmenter, config: TrainConfig, device: torch.device, clock: StageClock
) -> ClipTrainer | PromptTrainer:
    """Return what turns a batch into losses."""
    if isinstance(model, PromptSegmenter):
        return PromptTrainer(model, trunk=frozen_trunk(model, config, device), clock=clock)
    return ClipTrainer(
        model,
        clip_length=config.samples.clip_length,
        clip_supervision=config.loss.clip_supervision,
        damage=config.samples.damage,
        free_clips=config.samples.free_clips,
        known=frozen_layers(model, config, device),
        clock=clock,
    )


def _half_precision(device: torch.device) -> torch.dtype | None:
    """Return the half precision of a device; ``None`` where float32 is used."""
    if device.type != "cuda":
        return None
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
