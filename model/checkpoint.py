"""Weights on disk: safetensors with the configuration inside."""

import hashlib
import json
import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Generic, TypeVar, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor

from model.build import build_pcvos, build_prompt_segmenter
from model.config import PCVOSConfig, PromptConfig
from model.errors import ConfigError, OutputError, WeightsError
from model.pcvos import PCVOS

if TYPE_CHECKING:
    from model.network.prompt import PromptSegmenter

CONFIG_KEY = "pcvos_config"
PROMPT_KEY = "prompt_config"
"""Where a file of weights holds its configuration: says which kind of network it is, too."""


Config = TypeVar("Config", bound=PCVOSConfig | PromptConfig)


@dataclass(frozen=True, slots=True)
class Checkpoint(Generic[Config]):
    """Weights and what they are of.

    Attributes:
        config: Shape of the network.
        state: Tensors by our names.
        metadata: Free text beside the configuration (source, licence, recipe).
        sha256: Of the file, in hex; empty for weights that are not in a file of ours yet.
    """

    config: Config
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
    header = {key: json.dumps(asdict(config), sort_keys=True), **metadata}
    tensors = {k: v.detach().cpu().contiguous() for k, v in sorted(state.items())}
    if isinstance(config, PromptConfig):  # Half the file, and masks that are the same to a pixel.
        tensors = {k: v.half() if v.is_floating_point() else v for k, v in tensors.items()}
    payload = _stable_header(serialise(tensors, metadata=header))
    write_whole(path, lambda file: file.write(payload))
    return hashlib.sha256(payload).hexdigest()


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file under a temporary name, then rename it, so that it is whole or not there.

    Raises:
        OutputError: If it cannot be written.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError.
        temporary.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or first_line(error)
        raise OutputError(f"cannot write {path}: {reason}") from error


def _stable_header(payload: bytes) -> bytes:
    """Sort the header's keys: the library writes metadata in the order of a hash map."""
    (length,) = struct.unpack("<Q", payload[:8])
    header = json.loads(payload[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + payload[8 + length :]


def load_checkpoint(path: Path) -> Checkpoint[PCVOSConfig]:
    """Read weights of a PCVOS network.

    Raises:
        WeightsError: Not found, truncated, not safetensors, without our configuration.
    """
    checkpoint = read_checkpoint(path)
    if isinstance(checkpoint.config, PromptConfig):
        raise WeightsError(
            f"{path} holds a network for prompts (boxes and clicks), which tracks no object",
            hint="`pcvos mask` uses it; give `segment` weights of a PCVOS network",
        )
    return cast(Checkpoint[PCVOSConfig], checkpoint)


def read_checkpoint(path: Path) -> Checkpoint[PCVOSConfig | PromptConfig]:
    """Read weights of either kind of network.

    Raises:
        WeightsError: As ``load_checkpoint``.
    """
    metadata, state = _read(path)
    config: PCVOSConfig | PromptConfig
    try:
        if PROMPT_KEY in metadata:
            config = PromptConfig.from_dict(json.loads(metadata.pop(PROMPT_KEY)))
        elif CONFIG_KEY in metadata:
            config = PCVOSConfig.from_dict(json.loads(metadata.pop(CONFIG_KEY)))
        else:
            raise WeightsError(
                f"{path} holds tensors but no PCVOS configuration",
                hint="weights of other projects cannot be used",
            )
    except (ConfigError, ValueError) as error:
        raise WeightsError(f"{path} has a configuration that cannot be read: {error}") from error
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Checkpoint(config, state, metadata, sha256)


def load_prompt_segmenter(path: Path) -> "PromptSegmenter":
    """Build the network for prompts that a weights file describes and fill it.

    Weights that were stored in half precision are widened.

    Raises:
        WeightsError: As ``load_checkpoint``; also if tensors and configuration disagree.
    """
    checkpoint = read_checkpoint(path)
    if not isinstance(checkpoint.config, PromptConfig):
        raise WeightsError(f"{path} holds no network for prompts (boxes and clicks)")
    return _prompt_segmenter(checkpoint.config, checkpoint.state, path)


def load_network(path: Path) -> "PCVOS | PromptSegmenter":
    """Build whatever network a weights file describes and fill it.

    Raises:
        WeightsError: As ``load_model``.
    """
    checkpoint = read_checkpoint(path)
    if isinstance(checkpoint.config, PromptConfig):
        return _prompt_segmenter(checkpoint.config, checkpoint.state, path)
    return model_from(cast(Checkpoint[PCVOSConfig], checkpoint), name=str(path))


def _prompt_segmenter(
    config: PromptConfig, state: Mapping[str, Tensor], path: Path
) -> "PromptSegmenter":
    try:
        model = build_prompt_segmenter(config)
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise WeightsError(f"{path} cannot be used: {first_line(error)}") from error
    return model.to(memory_format=torch.channels_last)


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


def model_from(checkpoint: Checkpoint[PCVOSConfig], *, name: str = "the checkpoint") -> PCVOS:
    """Build the network that a checkpoint describes and fill it, every key accounted for.

    Raises:
        WeightsError: If tensors and configuration disagree.
    """
    model = build_pcvos(checkpoint.config)
    try:
        model.load_state_dict(checkpoint.state, strict=True)
    except RuntimeError as error:
        raise WeightsError(
            f"{name} does not fit {checkpoint.config.name}: {first_line(error)}",
            hint="the file may be of another version or architecture",
        ) from error
    # Convolutions run faster with channels last, on CPUs and on tensor cores alike.
    return model.to(memory_format=torch.channels_last)


def _hint(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith((b"PK\x03\x04", b"\x80")):
        return "a PyTorch file; convert it with `pcvos weights import FILE --out X.safetensors`"
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "this is a web page, not the file behind the link; download it again"
    return "the file is damaged or incomplete; download it again"


def first_line(error: Exception) -> str:
    """Return the beginning of an error's message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:300] if lines else type(error).__name__
