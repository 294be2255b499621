"""A user's choices for one run of ``segment``: frozen, validated, free of torch."""

import json
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from model.config import InferenceConfig
from model.errors import ConfigError
from pcvos_cli.masks.formats import FORMATS as ALL_FORMATS
from pcvos_cli.masks.formats import SOFT

FORMATS = tuple(ALL_FORMATS)
DEVICES = ("auto", "cpu", "cuda", "mps")
DeviceName = Literal["auto", "cpu", "cuda", "mps"]
ENGINES = ("auto", "torch", "onnxruntime")
EngineName = Literal["auto", "torch", "onnxruntime"]

_NOT_RECORDED = (
    *("resume", "overwrite"),  # They decide whether there are results, not which.
    *("device", "threads", "fps"),  # ``run_identity`` adds what became of them.
    *("weights", "value_range"),  # Likewise: the weights' hash, and the range in use.
)


@dataclass(frozen=True, slots=True)
class SegmentSettings:
    """Everything about a run but its input and its output folder.

    Attributes:
        inference: The method's own settings (clip length, top-k, progressive matching).
        size: Short edge of the frames the model works on, in pixels; never enlarges.
            ``None`` keeps the source's size; ``auto`` takes the one that the weights are meant
            to run on and enlarges smaller frames to it, at most twofold.
        weights: A weights file; ``None`` for the shipped ones of ``model``.
        model: Preset name; ``None`` for whatever ``weights`` holds, or else the default.
        device: ``auto`` takes CUDA, then MPS, then the CPU.
        engine: Runs key encoder and decoder. ``auto`` takes ONNX Runtime on a CPU, if it
            works here, else torch.
        threads: CPU threads of torch and the engine; ``None`` leaves torch's own choice.
        formats: Which outputs to write, a subset of ``FORMATS``.
        resume: Go on where an unfinished run with the same settings ended, if there is one.
        overwrite: Replace what an earlier run left in the output folder.
        resize_mask: Accept masks of another size than the video's (nearest neighbour).
        fps: Frame rate given to a folder of images.
        categories: Pairs of an object's id and the name of its class, for ``masks.json``; they
            go before those of the masks.
        channel: Which channel of a TIFF stack is segmented, from 0 on.
        value_range: Values of a folder's images that are shown as black and as white; ``None``
            for what images of more than 8 bits span, and 0 to 255 for others.
        start: First frame of the run, by index or output name; ``None`` for the source's
            first. Indices, names and timestamps stay those of the source.
        end: Last frame of the run, included; ``None`` for the source's last.
        backward: Where the first reference mask lies on a later frame, segment from it back
            to the run's first frame too, instead of leaving the frames before it empty.
        end_objects: Pairs of an object's id and the first frame, by output name or index, on
            which it is absent. It comes back with a later reference mask that lists it.
        absent: Likewise frames on which an object is not to be seen, and after which it may be.
        choke: Pixels by which the outline of mattes and cut-outs moves inwards; outwards if
            negative.
        feather: Width in pixels of an additional soft edge of mattes and cut-outs.
        background: What ``composite`` puts behind the objects: ``blur``, a colour, or the
            path of an image, a video or a folder of images.
        amp: Let the network work in half precision (CUDA and MPS only): for speed, with
            masks that differ a little.
        strict: Fail at the first damage in the video instead of keeping what decodes.
    """

    inference: InferenceConfig = field(default_factory=InferenceConfig)
    size: int | Literal["auto"] | None = "auto"
    weights: Path | None = None
    model: str | None = None
    device: DeviceName = "auto"
    engine: EngineName = "auto"
    threads: int | None = None
    formats: tuple[str, ...] = ("png", "rle", "overlay")
    resume: bool = False
    overwrite: bool = False
    resize_mask: bool = False
    fps: Fraction = Fraction(24)
    value_range: tuple[float, float] | None = None
    channel: int | None = None
    categories: tuple[tuple[int, str], ...] = ()
    start: int | str | None = None
    end: int | str | None = None
    backward: bool = False
    end_objects: tuple[tuple[int, int | str], ...] = ()
    absent: tuple[tuple[int, int | str], ...] = ()
    choke: int = 0
    feather: float = 0.0
    background: str | None = None
    amp: bool = False
    strict: bool = False

    def __post_init__(self) -> None:
        """Refuse values that mean nothing.

        Raises:
            ConfigError: Naming the option and the value.
        """
        wanted: object = self.size
        if wanted not in ("auto", None) and (type(wanted) is not int or wanted < 16):
            raise ConfigError(f"--size must be auto or at least 16 pixels, got {wanted!r}")
        if self.threads is not None and self.threads < 1:
            raise ConfigError(f"--threads must be at least 1, got {self.threads}")
        if self.resume and self.overwrite:
            raise ConfigError(
                "--resume and --overwrite contradict each other",
                hint="--resume goes on with an unfinished run, --overwrite begins anew",
            )
        if self.fps <= 0:
            raise ConfigError(f"--fps must be above 0, got {self.fps}")
        if self.value_range is not None and not self.value_range[0] < self.value_range[1]:
            low, high = self.value_range
            raise ConfigError(f"--range {low:g},{high:g}: the lower value comes first")
        if self.device not in DEVICES:
            raise ConfigError(f"--device {self.device}: choose one of {', '.join(DEVICES)}")
        if self.engine not in ENGINES:
            raise ConfigError(f"--engine {self.engine}: choose one of {', '.join(ENGINES)}")
        unknown = [name for name in self.formats if name not in FORMATS]
        if unknown or not self.formats:
            raise ConfigError(
                f"--format {','.join(unknown)}: no such format" if unknown else "--format: empty",
                hint=f"choose from {','.join(FORMATS)}",
            )
        if (self.choke or self.feather) and not self.makes_soft_masks:
            raise ConfigError(
                f"--{'choke' if self.choke else 'feather'}: nothing to apply it to",
                hint=f"it goes with --format {', '.join(sorted(SOFT))}",
            )
        if not -64 <= self.choke <= 64 or not 0 <= self.feather <= 256:
            raise ConfigError("--choke must be from -64 to 64, and --feather from 0 to 256 pixels")
        if ("composite" in self.formats) != (self.background is not None):
            raise ConfigError(
                "the format composite and a background go together",
                hint="pass --background: a colour, an image, a video, or blur",
            )

    @property
    def makes_soft_masks(self) -> bool:
        """Whether a format is made of soft masks."""
        return not SOFT.isdisjoint(self.formats)

    def record(self, *, weights: str, sha256: str) -> dict[str, Any]:
        """Return all that may show in the results, as JSON-able values.

        ``run.json`` and ``masks.json`` hold it, and ``--resume`` compares it.

        Args:
            weights: Name of the weights.
            sha256: Their hash.
        """
        chosen = {name: value for name, value in asdict(self).items() if name not in _NOT_RECORDED}
        method = chosen.pop("inference")
        record = {**method, **chosen, "weights": weights, "weights_sha256": sha256}
        as_read: dict[str, Any] = json.loads(json.dumps(record))
        return as_read
