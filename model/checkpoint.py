"""Weights on disk: safetensors with the configuration inside; published layouts imported.

Nothing here executes a pickle: published files are read with ``torch.load(weights_only=True)``.
"""

import hashlib
import json
import os
import pickle
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor

from model.build import build_pcvos, build_prompt_segmenter
from model.config import PCVOS_R50, STCN_R50, PCVOSConfig, PromptConfig
from model.errors import ConfigError, OutputError, WeightsError
from model.network.prompt import PromptSegmenter
from model.network.window_attention import relative_position_index
from model.ops.hashing import file_sha256
from model.pcvos import PCVOS

CONFIG_KEY = "pcvos_config"
PROMPT_KEY = "prompt_config"
"""Where a file of weights holds its configuration: says which kind of network it is, too."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Weights and what they are of.

    Attributes:
        config: Shape of the network.
        state: Tensors by our names.
        metadata: Free text beside the configuration (source, licence, recipe).
        sha256: Of the file, in hex; empty for weights that are not in a file of ours yet.
    """

    config: PCVOSConfig
    state: dict[str, Tensor]
    metadata: dict[str, str]
    sha256: str = ""


def save_checkpoint(
    path: Path,
    config: PCVOSConfig | PromptConfig,
    state: Mapping[str, Tensor],
    metadata: Mapping[str, str],
) -> str:
    """Write weights under a temporary name, then rename. The same input gives the same bytes.

    Args:
        path: Ends in ``.safetensors``.
        config: Stored inside.
        state: Tensors by our names.
        metadata: Further text to store.

    Returns:
        The file's SHA-256, in hex.

    Raises:
        OutputError: If it cannot be written.
    """
    key = PROMPT_KEY if isinstance(config, PromptConfig) else CONFIG_KEY
    header = {key: json.dumps(config.to_dict(), sort_keys=True), **metadata}
    tensors = {k: v.detach().cpu().contiguous() for k, v in sorted(state.items())}
    if isinstance(config, PromptConfig):  # Half the file, and masks that are the same to a pixel.
        tensors = {k: v.half() if v.is_floating_point() else v for k, v in tensors.items()}
    payload = _stable_header(serialise(tensors, metadata=header))
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
    return hashlib.sha256(payload).hexdigest()


def _stable_header(payload: bytes) -> bytes:
    """Sort the header's keys: the library writes metadata in the order of a hash map."""
    (length,) = struct.unpack("<Q", payload[:8])
    header = json.loads(payload[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + payload[8 + length :]


def load_checkpoint(path: Path) -> Checkpoint:
    """Read weights of ours.

    Raises:
        WeightsError: Not found, truncated, not safetensors, without our configuration.
    """
    metadata, state = _read(path)
    if PROMPT_KEY in metadata:
        raise WeightsError(
            f"{path} holds a network for prompts (boxes and clicks), which tracks no object",
            hint="`pcvos mask` uses it; give `segment` weights of a PCVOS network",
        )
    if CONFIG_KEY not in metadata:
        raise WeightsError(
            f"{path} holds tensors but no PCVOS configuration",
            hint="weights of other projects cannot be used",
        )
    try:
        config = PCVOSConfig.from_dict(json.loads(metadata.pop(CONFIG_KEY)))
    except (ConfigError, ValueError) as error:
        raise WeightsError(f"{path} has a configuration that cannot be read: {error}") from error
    return Checkpoint(config, state, metadata, file_sha256(path))


def load_prompt_segmenter(path: Path) -> PromptSegmenter:
    """Build the network for prompts that a weights file describes and fill it.

    Weights that were stored in half precision are widened.

    Raises:
        WeightsError: As ``load_checkpoint``; also if tensors and configuration disagree.
    """
    metadata, state = _read(path)
    if PROMPT_KEY not in metadata:
        raise WeightsError(f"{path} holds no network for prompts (boxes and clicks)")
    try:
        model = build_prompt_segmenter(PromptConfig.from_dict(json.loads(metadata[PROMPT_KEY])))
        model.load_state_dict(state, strict=True)
    except (ConfigError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{path} cannot be used: {_first_line(error)}") from error
    return model.to(memory_format=torch.channels_last)


def load_network(path: Path) -> PCVOS | PromptSegmenter:
    """Build whatever network a weights file describes and fill it.

    Raises:
        WeightsError: As ``load_model``.
    """
    return load_prompt_segmenter(path) if PROMPT_KEY in _read(path)[0] else load_model(path)


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Return what a weights file says of itself, and its tensors."""
    if not path.is_file():
        raise WeightsError(
            f"no weights at {path}", hint="`pcvos weights list` shows those that are installed"
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            return metadata, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"cannot read weights {path}: {error}", hint=_hint(path)) from error


def load_model(path: Path, device: torch.device | str = "cpu") -> PCVOS:
    """Build the network that a weights file describes and fill it.

    Raises:
        WeightsError: As ``load_checkpoint``; also if tensors and configuration disagree.
    """
    return model_from(load_checkpoint(path), name=str(path)).to(device)


def model_from(checkpoint: Checkpoint, *, name: str = "the checkpoint") -> PCVOS:
    """Build the network that a checkpoint describes and fill it, every key accounted for.

    Raises:
        WeightsError: If tensors and configuration disagree.
    """
    model = build_pcvos(checkpoint.config)
    try:
        model.load_state_dict(checkpoint.state, strict=True)
    except RuntimeError as error:
        raise WeightsError(
            f"{name} does not fit {checkpoint.config.name}: {_first_line(error)}",
            hint="the file may be of another version or architecture",
        ) from error
    # Convolutions run faster with channels last, on CPUs and on tensor cores alike.
    return model.to(memory_format=torch.channels_last)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a PyTorch file that holds a dictionary of tensors and nothing else.

    Raises:
        WeightsError: Not found, or not such a file. Anything else in a pickle is refused,
            never executed.
    """
    if not path.is_file():
        raise WeightsError(f"no weights at {path}")
    try:
        with warnings.catch_warnings():
            # torch warns of unusual pickle protocols before it refuses what is in them.
            warnings.simplefilter("ignore")
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise WeightsError(
            f"{path} is not a PyTorch file of tensors: {_first_line(error)}",
            hint="files with code in them are refused; download the file again",
        ) from error
    if not isinstance(tensors, dict) or not all(
        isinstance(k, str) and isinstance(v, Tensor) for k, v in tensors.items()
    ):
        raise WeightsError(f"{path} is not a dictionary of tensors")
    return tensors


def import_published(path: Path) -> Checkpoint:
    """Convert the published PCVOS or STCN weights to ours.

    Args:
        path: A PyTorch file that holds a dictionary of tensors.

    Raises:
        WeightsError: Not a file of tensors (anything else in a pickle is refused, never
            executed), or not one of the known layouts.
    """
    published = read_tensors(path)
    refined = any(name.startswith("refine_transformer.") for name in published)
    config = PCVOS_R50 if refined else STCN_R50
    state = _convert(published, path)
    source = "published PCVOS" if refined else "published STCN"
    checkpoint = Checkpoint(config, state, {"source": source, "source_file": path.name})
    model_from(checkpoint, name=str(path))
    return checkpoint


RENAMES = (
    ("key_encoder.layer", "key_encoder.trunk.res"),  # layer2, layer3 are res3, res4
    ("key_encoder.", "key_encoder.trunk."),
    ("key_proj.key_proj.", "key_encoder.key."),
    ("key_comp.", "key_encoder.query_value."),
    ("input_proj.key_proj.", "key_encoder.local_key."),
    ("value_encoder.fuser.", "value_encoder.fuser."),
    ("value_encoder.layer", "value_encoder.trunk.res"),  # layer1..3 are res2..4
    ("value_encoder.", "value_encoder.trunk."),
    ("refine_transformer.layers.0.blocks.", "refinement.layers."),
    ("refine_transformer.norm.", "refinement.norm."),
)
"""Published prefix -> ours; the first that fits is applied."""

INNER_RENAMES = (
    (".ChannelGate.mlp.1.", ".channel_gate.0."),
    (".ChannelGate.mlp.3.", ".channel_gate.2."),
    (".SpatialGate.spatial.conv.", ".spatial_gate."),
    (".norm1_v.", ".value_norm."),
    (".norm1.", ".key_norm."),
    (".norm2.", ".mlp_norm."),
    (".attn.qk.", ".attention.key."),
    (".attn.v.", ".attention.value."),
    (".attn.proj.", ".attention.out."),
    (".mlp.fc1.", ".mlp.0."),
    (".mlp.fc2.", ".mlp.2."),
)


def _convert(published: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Rename published tensors; fold what our modules do without."""
    state: dict[str, Tensor] = {}
    biases: dict[str, Tensor] = {}
    for name, tensor in published.items():
        new = _rename(name)
        if name.endswith("relative_position_index"):
            if not torch.equal(tensor, relative_position_index((2, 7, 7))):
                raise WeightsError(f"{path}: {name} is not that of a (2, 7, 7) window")
        elif name.endswith("relative_position_bias_table"):
            state[new.replace(".attn.relative_position_bias_table", ".attention.position_bias")] = (
                tensor.flatten()
            )
        elif new.startswith("value_encoder.trunk.") and _is_conv_bias(new, published, name):
            biases[_batch_norm_of(new) + "running_mean"] = tensor
        else:
            state[new] = tensor
    for mean, bias in biases.items():
        # BN(conv + b) with mean m is BN(conv) with mean m - b: torchvision's
        # ResNet-18 has no such bias and needs none.
        if mean not in state:
            raise WeightsError(f"{path} is not a published PCVOS or STCN file: no {mean}")
        state[mean] = state[mean] - bias
    return state


def _rename(name: str) -> str:
    for old, new in RENAMES:
        if name.startswith(old):
            rest = name[len(old) :]
            if old.endswith(".layer"):
                rest = f"{int(rest[0]) + 1}{rest[1:]}"
            name = new + rest
            break
    for old, new in INNER_RENAMES:
        name = name.replace(old, new)
    if not name.startswith(("key_encoder.trunk.", "value_encoder.trunk.")):
        # Only our residual blocks; a trunk's shortcut keeps torchvision's name.
        name = name.replace(".downsample.", ".shortcut.")
    return name


def _is_conv_bias(new: str, published: Mapping[str, Tensor], name: str) -> bool:
    weight = published.get(name.removesuffix("bias") + "weight")
    return new.endswith(".bias") and weight is not None and weight.dim() == 4


def _batch_norm_of(bias: str) -> str:
    """Return the prefix of the batch norm behind a convolution's bias."""
    stem = bias.removesuffix("bias")
    if stem.endswith("downsample.0."):
        return stem.removesuffix("0.") + "1."
    return stem.removesuffix(".").replace("conv", "bn") + "."


def _hint(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith((b"PK\x03\x04", b"\x80")):
        return "a PyTorch file; convert it with `pcvos weights import FILE --out X.safetensors`"
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "this is a web page, not the file behind the link; download it again"
    return "the file is damaged or incomplete; download it again"


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:300] if lines else type(error).__name__
