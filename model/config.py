"""Settings: frozen, validated, and free of torch so that ``pcvos --help`` stays fast.

Two kinds, kept apart because they live differently long. ``PCVOSConfig`` is the shape of a
network: it is stored inside a checkpoint and never changes afterwards. ``InferenceConfig``
is what a user chooses at run time; one set of weights serves every choice.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

from model.errors import ConfigError

STRIDE = 16
"""Frames are padded to a multiple of this, the stride of keys and values, in pixels."""


@dataclass(frozen=True, slots=True)
class RefinementConfig:
    """Intra-clip refinement (paper, sections 3.4 and 4.1).

    Attributes:
        layers: Transformer layers; every second one uses shifted windows.
        window: ``(frames, rows, columns)`` of a window, in cells of stride 16.
        mlp_ratio: Hidden width of the feed-forward network over the value width.
    """

    layers: int = 2
    window: tuple[int, int, int] = (2, 7, 7)
    mlp_ratio: int = 4


@dataclass(frozen=True, slots=True)
class ContextConfig:
    """Parts of lite that look beyond a cell and its neighbours; not in the paper.

    Attributes:
        width: Channels of the ``ImageContext`` in the key encoder.
        object_blocks: ``ObjectBlock`` in the decoder.
    """

    width: int = 128
    object_blocks: int = 3


@dataclass(frozen=True, slots=True)
class PCVOSConfig:
    """The shape of a PCVOS network.

    Attributes:
        name: Preset name, as ``--model`` takes it.
        trunk: Key encoder backbone, cut at stride 16.
        value_encoder: ``resnet18``: a second trunk on image, mask and others (the paper);
            ``shared``: a small head on the key encoder's features and the masks (lite).
        key_width: C_k.
        value_width: C_v of the learned value.
        local_key_width: C_k' of the refinement's keys.
        query_value_width: Channels of the image feature that joins the readout.
        mask_readout: Also carry the masks themselves through the affinity, as 4 x 4
            sub-blocks of a cell, and give the decoder this propagated mask (lite).
        unit_keys: L2-normalise keys before scaling, so that similarity is a cosine.
        position_keys: Two of the C_k channels are a cell's row and column (lite).
        key_kernel: Side of the key projection's kernel.
        decoder_kernel: Side of the decoder's skip and shortcut kernels.
        decoder_widths: Channels at strides 16, 8 and 4.
        memory_decay: What a memory frame's similarities lose for each newer frame, in units
            of the softmax's exponent. Reference frames lose nothing.
        drop_strays: The weights are meant to run with ``StrayFilter``.
        progressive_interval: F that the weights are meant to run with; see ``InferenceConfig``.
        decode_provisional: The weights are meant to run with provisional memory that holds
            decoded masks, as the memory does, and not readouts (eq. 4): a clip is segmented
            F frames at a time.
        short_edge: Short edge of the frames that the weights are meant to run on, in pixels:
            what ``--size auto`` enlarges or shrinks frames to.
        refinement: ``None`` leaves intra-clip refinement out (STCN).
        context: ``None`` leaves it out; the trunk then ends at stride 16.
    """

    name: str = "pcvos-r50"
    trunk: Literal["resnet50", "efficientnet_lite0"] = "resnet50"
    value_encoder: Literal["resnet18", "shared"] = "resnet18"
    key_width: int = 64
    value_width: int = 512
    local_key_width: int = 256
    query_value_width: int = 512
    mask_readout: bool = False
    unit_keys: bool = False
    position_keys: bool = False
    key_kernel: int = 3
    decoder_kernel: int = 3
    decoder_widths: tuple[int, int, int] = (512, 256, 256)
    memory_decay: float = 0.0
    drop_strays: bool = False
    progressive_interval: int = 5
    decode_provisional: bool = False
    short_edge: int = 480
    refinement: RefinementConfig | None = RefinementConfig()
    context: ContextConfig | None = None

    def __post_init__(self) -> None:
        """Refuse shapes that no network can have.

        Raises:
            ConfigError: If a width or interval is not positive, or the decay negative.
        """
        widths = (self.key_width, self.value_width, self.query_value_width, *self.decoder_widths)
        if min(widths) < 1 or len(self.decoder_widths) != 3:
            raise ConfigError(f"{self.name}: widths must be positive and three, got {widths}")
        if self.progressive_interval < 1:
            raise ConfigError(
                f"{self.name}: progressive_interval must be at least 1, "
                f"got {self.progressive_interval}"
            )
        if self.memory_decay < 0:
            raise ConfigError(f"{self.name}: memory_decay must be at least 0")

    @property
    def refines(self) -> bool:
        """Whether the network has intra-clip refinement."""
        return self.refinement is not None

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "PCVOSConfig":
        """Read what ``dataclasses.asdict`` returned, also after a round trip through JSON.

        Raises:
            ConfigError: On an unknown key or a value of the wrong kind.
        """
        values = dict(values)
        try:
            if values.get("refinement") is not None:
                refinement = dict(values["refinement"])
                refinement["window"] = tuple(refinement["window"])
                values["refinement"] = RefinementConfig(**refinement)
            if values.get("context") is not None:
                values["context"] = ContextConfig(**values["context"])
            if "decoder_widths" in values:
                values["decoder_widths"] = tuple(values["decoder_widths"])
            return cls(**values)
        except (TypeError, KeyError) as error:
            raise ConfigError(f"not a model configuration: {error}") from error


MEANT_TO_RUN_WITH = ("drop_strays", "progressive_interval", "decode_provisional")
"""Fields of ``PCVOSConfig`` that ``InferenceConfig`` has too, for the user to decide otherwise."""

PCVOS_R50 = PCVOSConfig()
"""The paper's network, layer for layer."""

STCN_R50 = PCVOSConfig(name="stcn-r50", refinement=None)
"""The paper's baseline: PCVOS without refinement."""

PCVOS_LITE = PCVOSConfig(
    name="pcvos-lite",
    trunk="efficientnet_lite0",
    value_encoder="shared",
    key_width=64,
    value_width=64,
    local_key_width=64,
    query_value_width=64,
    mask_readout=True,
    unit_keys=True,
    position_keys=True,
    key_kernel=1,
    decoder_kernel=1,
    decoder_widths=(96, 48, 24),
    memory_decay=0.15,
    drop_strays=True,
    progressive_interval=2,
    decode_provisional=True,
    short_edge=544,
    context=ContextConfig(),
)
"""The same method on a small ImageNet trunk, for CPUs."""


@dataclass(frozen=True, slots=True)
class PromptConfig:
    """The shape of a network that makes a first mask from prompts.

    Attributes:
        name: As ``pcvos train`` takes it.
        prompt_widths: Channels of the prompts at strides 4 and 8.
        decoder_widths: Channels of the decoder at strides 32, 16, 8 and 4.
    """

    name: str = "lite-prompt"
    prompt_widths: tuple[int, int] = (8, 16)
    decoder_widths: tuple[int, int, int, int] = (128, 64, 40, 24)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "PromptConfig":
        """Read a checkpoint's header.

        Raises:
            ConfigError: On unknown keys, or widths that no network can have.
        """
        try:
            config = cls(
                values["name"], tuple(values["prompt_widths"]), tuple(values["decoder_widths"])
            )
        except (KeyError, TypeError) as error:
            raise ConfigError(f"no configuration of a prompt network: {error}") from error
        if (len(config.prompt_widths), len(config.decoder_widths)) != (2, 4):
            raise ConfigError("a prompt network has 2 prompt widths and 4 decoder widths")
        return config


LITE_PROMPT = PromptConfig()
"""The first mask, on the trunk of ``pcvos-lite``."""

PRESETS = {config.name: config for config in (PCVOS_LITE, PCVOS_R50, STCN_R50)}


@dataclass(frozen=True, slots=True)
class InferenceConfig:
    """Settings of a run; one set of weights serves every choice.

    Attributes:
        interval: L, the clip length and the memory update interval, in frames.
        top_k: Matches kept for each query location; ``None`` keeps all.
        progressive: Match progressively; without it, the whole clip in parallel.
        progressive_interval: F: inside a clip, every F-th frame becomes provisional
            memory for the frames after it; ``None``: as the weights are meant to run.
        refinement: Apply intra-clip refinement where the model has it.
        max_memory_frames: Frames that the memory holds at most; ``None``: any number. Those
            used least are dropped, reference frames never. The default leaves videos of
            DAVIS (104 frames at most) and YouTube-VOS (180) as they are, also at L = 5.
        drop_strays: Drop parts of a mask far from the object's body; ``None``: as the
            weights are meant to run.
        decode_provisional: Let provisional memory hold decoded masks; ``None``: likewise.
        cuts: What becomes of objects on the first frame of another shot. ``ignore``: they are
            matched as ever. ``rematch``: they are sought by their looks alone, and one that looks
            like nothing in the memory is absent until the next cut or a reference mask that lists
            it (``model.inference.shots``). ``stop``: all are absent.
        locate_objects: Encode frames only around the objects, and read, refine and decode an
            object only around its propagated mask: on CPUs, and where readouts carry one
            (``model.inference.search_window`` and ``object_boxes``).
    """

    interval: int = 10
    top_k: int | None = 20
    progressive: bool = True
    progressive_interval: int | None = None
    refinement: bool = True
    max_memory_frames: int | None = 40
    drop_strays: bool | None = None
    decode_provisional: bool | None = None
    cuts: Literal["ignore", "rematch", "stop"] = "rematch"
    locate_objects: bool = True

    def __post_init__(self) -> None:
        """Refuse values that mean nothing.

        Raises:
            ConfigError: If an interval, ``top_k`` or the bound of the memory is below 1.
        """
        for name in ("interval", "top_k", "progressive_interval", "max_memory_frames"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, got {value}")

    @property
    def within(self) -> int | None:
        """F, or ``None`` where clips are matched as a whole.

        Raises:
            ValueError: If it was left to the weights and not filled in by ``for_model``.
        """
        if not self.progressive:
            return None
        if self.progressive_interval is None:
            raise ValueError("progressive_interval is open: ask for_model first")
        return self.progressive_interval

    def decoded_together(self, frames: int) -> int:
        """Return how many frames of a clip of T are decoded before the next ones are read.

        F with decoded provisional memory; otherwise T.
        """
        return (self.within or frames) if self.decode_provisional else frames

    def for_model(self, config: PCVOSConfig) -> "InferenceConfig":
        """Return these settings with what was left to the weights filled in."""
        open_ = {
            name: getattr(config, name) for name in MEANT_TO_RUN_WITH if getattr(self, name) is None
        }
        return replace(self, **open_)
