"""Settings of a training run: frozen, validated, torch-free, and stored in every checkpoint.

``TrainConfig`` is a tree of sections; a recipe (TOML) has one table a section, and
``model.training.recipe`` reads the one into the other. Every section refuses values that mean
nothing with a ``ConfigError`` that names the setting and the value.
"""

import contextlib
import math
from dataclasses import dataclass, field
from typing import Literal

from model.config import LITE_PROMPT, PRESETS, STRIDE
from model.data.synthetic.config import SyntheticConfig
from model.errors import ConfigError


def _require(condition: bool, message: str, hint: str | None = None) -> None:
    if not condition:
        raise ConfigError(message, hint=hint)


def _at_least(table: str, settings: object, **bounds: int) -> None:
    """Refuse settings of a recipe's table that lie below their bounds."""
    for name, bound in bounds.items():
        value = getattr(settings, name)
        _require(value >= bound, f"{table}{name} must be at least {bound}, got {value}")


@dataclass(frozen=True, slots=True)
class SampleConfig:
    """Shape of a sample, and how the network goes through it (paper, section 3.6, table 2).

    Attributes:
        frames: Frames in a sample, the reference included (``NF`` in table 2).
        scheme: ``clip``: the frames after the reference are processed as ``clips`` clips;
            ``frame``: one by one, as STM and STCN train.
        clips: Clips after the reference. With 2, ``frames`` is the paper's 2N + 1.
        crop: Height and width of a sample in pixels, a multiple of 16.
        max_objects: Most objects in a sample.
        damage: Chance that the predicted mask of an object is damaged before it joins the
            memory: holes, and background taken in. What a long video does to its memory, in
            a short sample.
        free_clips: The first so many clips run free: they are segmented as in inference (top-k,
            no gradient) and not supervised. What the clips after them read is what the
            network itself makes of a longer video, for a third of the price of training on it.
        zoom: Growth or shrinking of a video from the first frame of a sample to its last, share.
        crop_area: Smallest and largest crop of a video, share of the largest square in its
            frames. It is enlarged or shrunk to ``crop``, so that smaller shares train for larger
            working sizes.
        gap_base: Largest step between two clips, in frames, at the start and at the end. Steps
            within a clip are at most 5, and at most this gap.
        gap_peak: The same in the middle of the training.
        gap_rise_end: Share of the training after which the peak is reached.
        gap_fall_start: Share after which the gap falls again.
        gap_fall_end: Share after which it is back at ``gap_base``.
    """

    frames: int = 7
    scheme: Literal["clip", "frame"] = "clip"
    clips: int = 2
    crop: int = 384
    max_objects: int = 2
    damage: float = 0.0
    free_clips: int = 0
    zoom: float = 0.0
    crop_area: tuple[float, float] = (0.36, 1.0)
    gap_base: int = 5
    gap_peak: int = 15
    gap_rise_end: float = 0.3
    gap_fall_start: float = 0.8
    gap_fall_end: float = 0.9

    def __post_init__(self) -> None:
        """Refuse samples that cannot be cut into clips."""
        _at_least("samples.", self, zoom=0, frames=2, clips=1)
        _require(
            0 <= self.damage <= 1, f"samples.damage must be between 0 and 1, got {self.damage}"
        )
        _require(
            self.scheme == "frame" or (self.frames - 1) % self.clips == 0,
            f"samples.frames = {self.frames} is not one reference and {self.clips} clips alike",
            f"with {self.clips} clips of N frames it is {self.clips}N + 1",
        )
        _require(
            self.crop >= 2 * STRIDE and self.crop % STRIDE == 0,
            f"samples.crop must be a multiple of {STRIDE} and at least {2 * STRIDE}, "
            f"got {self.crop}",
        )
        _require(
            len(self.crop_area) == 2 and 0 < self.crop_area[0] <= self.crop_area[1] <= 1,
            "samples.crop_area must be two shares that rise within 0 to 1, "
            f"got {list(self.crop_area)}",
        )
        _require(
            1 <= self.max_objects <= 254,
            f"samples.max_objects must be 1 to 254, got {self.max_objects}",
        )
        clips = self.frames - 1 if self.scheme == "frame" else self.clips
        _require(
            0 <= self.free_clips < clips,
            f"samples.free_clips must leave one of {clips} clips to train on, "
            f"got {self.free_clips}",
        )
        _require(
            1 <= self.gap_base <= self.gap_peak,
            f"samples.gap_base = {self.gap_base} must be at least 1 and at most "
            f"gap_peak = {self.gap_peak}",
        )
        ends = (self.gap_rise_end, self.gap_fall_start, self.gap_fall_end)
        _require(
            0 < ends[0] <= ends[1] < ends[2] <= 1,
            "samples.gap_rise_end, gap_fall_start and gap_fall_end must rise within 0 to 1, "
            f"got {ends}",
        )

    @property
    def clip_length(self) -> int:
        """N: frames in a clip."""
        return 1 if self.scheme == "frame" else (self.frames - 1) // self.clips


def _split_weight(text: str) -> tuple[str, float]:
    """Read ``FOLDER=WEIGHT``, or ``FOLDER`` alone."""
    folder, equals, weight = text.rpartition("=")
    if equals and folder:
        with contextlib.suppress(ValueError):
            return folder, float(weight)
    return text, 1.0


@dataclass(frozen=True, slots=True)
class DataConfig:
    """Sources of samples.

    A data set is drawn in proportion to its items times its weight. Without any path,
    synthetic video with procedural textures is drawn.

    Attributes:
        photos: Folders of photographs: backgrounds and textures of synthetic video.
        objects: Folders of stills with masks, or of pictures with transparency, to cut the
            objects of synthetic video out of.
        sets: Folders of videos with masks (DAVIS or YouTube-VOS layout) or of stills with
            masks, each made into a sample by deformation; told apart by what lies in them.
            ``FOLDER=WEIGHT`` gives each of its items a weight; 1 without one. A folder whose
            name ends in ``=NUMBER`` needs one.
        synthetic_share: Share of synthetic samples where ``photos`` or ``objects`` are
            given beside ``sets``.
    """

    photos: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    synthetic_share: float = 0.5

    def __post_init__(self) -> None:
        """Refuse shares and weights that mean nothing."""
        for folder, weight in self.weighted_sets:
            _require(0 < weight < math.inf, f"data.sets: the weight of {folder} must be above 0")
        _require(
            0 < self.synthetic_share < 1,
            f"data.synthetic_share must be between 0 and 1, got {self.synthetic_share}",
            "leave photos and objects out for no synthetic video, sets for nothing else",
        )

    @property
    def weighted_sets(self) -> list[tuple[str, float]]:
        """Folder and weight of each of ``sets``."""
        return [_split_weight(text) for text in self.sets]

    @property
    def is_procedural(self) -> bool:
        """Whether there is no data but what is drawn."""
        return not (self.photos or self.objects or self.sets)


@dataclass(frozen=True, slots=True)
class LossConfig:
    """Image-level and clip-level supervision.

    Attributes:
        clip_supervision: Add the clip-level dice loss (eq. 5).
        hard_share: Share of a frame's pixels, the hardest, that the bootstrapped
            cross-entropy keeps in the end.
        hard_from: Step until which all pixels count.
        hard_to: Step from which only ``hard_share`` of them do.
    """

    clip_supervision: bool = True
    hard_share: float = 0.15
    hard_from: int = 20_000
    hard_to: int = 70_000

    def __post_init__(self) -> None:
        """Refuse shares and steps that mean nothing."""
        _require(
            0 < self.hard_share <= 1, f"loss.hard_share must be in (0, 1], got {self.hard_share}"
        )
        _require(
            0 <= self.hard_from <= self.hard_to,
            f"loss.hard_from = {self.hard_from} must be at least 0 and at most "
            f"hard_to = {self.hard_to}",
        )


@dataclass(frozen=True, slots=True)
class OptimiserConfig:
    """How weights are changed.

    Attributes:
        name: ``adam`` (weight decay as an L2 term, as STCN) or ``adamw`` (decoupled, and not
            on biases and norms).
        rate: Learning rate of everything but the trunks.
        trunk_rate: Learning rate of the trunks over ``rate``.
        freeze_trunk: Steps for which the trunks stay as they are. Their part of the backward
            pass costs nothing meanwhile.
        freeze_stride: Layers of the key trunk up to this stride never change: 1 (none), 2, 4,
            8 or 16. Their edges and textures serve every task, and most of the trunk's backward
            pass is theirs: of what training the trunk of pcvos-lite adds to a step, 4 saves
            half and 8 two thirds, and 8 still trains nine tenths of its weights.
        weight_decay: Weight decay.
        schedule: ``step``: multiplied by ``factor`` at each of ``milestones``; ``cosine``:
            falls to ``final`` over the training; ``constant``.
        milestones: Steps at which ``step`` multiplies.
        factor: What it multiplies by.
        final: Last rate over ``rate``, of ``cosine``.
        warm_up: Steps over which the rate rises from 0.
        clip_norm: Largest norm of the gradient; 0 does not clip.
        ema: Decay of the moving average of the weights that is validated and exported;
            0 keeps none.
    """

    name: Literal["adam", "adamw"] = "adam"
    rate: float = 1e-5
    trunk_rate: float = 1.0
    freeze_trunk: int = 0
    freeze_stride: int = 1
    weight_decay: float = 1e-7
    schedule: Literal["step", "cosine", "constant"] = "step"
    milestones: tuple[int, ...] = ()
    factor: float = 0.1
    final: float = 0.01
    warm_up: int = 0
    clip_norm: float = 0.0
    ema: float = 0.0

    def __post_init__(self) -> None:
        """Refuse rates that mean nothing."""
        _require(self.rate > 0, f"optimiser.rate must be above 0, got {self.rate}")
        _at_least("optimiser.", self, trunk_rate=0, freeze_trunk=0, weight_decay=0)
        _at_least("optimiser.", self, factor=0, final=0, warm_up=0, clip_norm=0)
        _require(
            self.freeze_stride in (1, 2, 4, 8, 16),
            f"optimiser.freeze_stride must be 1, 2, 4, 8 or 16, got {self.freeze_stride}",
            "trunk_rate = 0 freezes the whole trunk",
        )
        _require(0 <= self.ema < 1, f"optimiser.ema must be 0 to below 1, got {self.ema}")
        _require(
            list(self.milestones) == sorted(set(self.milestones)),
            f"optimiser.milestones must rise, got {list(self.milestones)}",
        )


@dataclass(frozen=True, slots=True)
class ValidationConfig:
    """Watching accuracy on real video while training.

    Attributes:
        folder: A folder in DAVIS layout; empty does not validate.
        every: Steps between two validations.
        frames: First frames of each sequence that are segmented; 0 takes all.
        size: Short edge in pixels that the network works at.
        interval: L.
    """

    folder: str = ""
    every: int = 1000
    frames: int = 30
    size: int = 480
    interval: int = 5

    def __post_init__(self) -> None:
        """Refuse values that mean nothing."""
        _at_least("validation.", self, every=1, frames=0, size=STRIDE, interval=1)
        _require(
            self.frames != 1, "validation.frames = 1 leaves nothing to score: the first is given"
        )


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Settings that change the result by no more than rounding: saving, speed, reporting.

    Attributes:
        save_every: Steps between two checkpoints: what a kill can cost.
        log_every: Steps averaged in one line of ``metrics.jsonl``.
        picture_every: Steps between two pictures of samples and predictions; 0 draws none.
        workers: Processes that make samples; 0 makes them in the training process.
        amp: Mixed precision on CUDA.
        channels_last: Memory layout of the network.
        frozen_engine: On a CPU, run layers of the key trunk that never change in ONNX
            Runtime, where it is installed.
    """

    save_every: int = 500
    log_every: int = 20
    picture_every: int = 500
    workers: int = 1
    amp: bool = True
    channels_last: bool = True
    frozen_engine: bool = True

    def __post_init__(self) -> None:
        """Refuse values that mean nothing."""
        _at_least("run.", self, save_every=1, log_every=1, picture_every=0, workers=0)


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """A training run, whole.

    Attributes:
        stage: ``image``: three frames made from a still; ``video``: frames of a video;
            ``prompt``: crops of stills and of single frames, for boxes and clicks.
        model: Preset of the network.
        steps: Optimiser steps.
        batch: Samples a step, all processes together.
        seed: Of the weights' initialisation and of every sample.
        samples: What a sample is.
        data: Where samples come from.
        scenes: What happens in synthetic video.
        loss: Supervision.
        optimiser: How weights are changed.
        validation: Watching accuracy.
        run: Saving, speed, reporting.
    """

    stage: Literal["image", "video", "prompt"] = "video"
    model: str = "pcvos-lite"
    steps: int = 150_000
    batch: int = 4
    seed: int = 0
    samples: SampleConfig = field(default_factory=SampleConfig)
    data: DataConfig = field(default_factory=DataConfig)
    scenes: SyntheticConfig = field(default_factory=SyntheticConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        """Refuse what contradicts itself across sections."""
        _at_least("", self, steps=1, batch=1, seed=0)
        known = [LITE_PROMPT.name] if self.stage == "prompt" else list(PRESETS)
        _require(
            self.model in known,
            f"model = {self.model!r}: stage {self.stage} knows no such model",
            f"choose one of {', '.join(known)}",
        )
        _require(
            self.stage != "prompt" or self.samples.crop % 32 == 0,
            f"samples.crop must be a multiple of 32 in stage prompt, got {self.samples.crop}",
        )
