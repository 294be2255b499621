"""The state of a training run on disk, and the weights it exports.

``state.pt`` holds everything that a resumed run needs to go on bit for bit: network, moving
average, optimiser, loss scale, random states, step (from which schedule and data position
follow) and the resolved recipe. It is read with ``weights_only=True``: no code in it runs.
"""

import pickle
import zipfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from model.checkpoint import write_whole
from model.config import PCVOSConfig, PromptConfig
from model.errors import ConfigError, WeightsError
from model.training.config import TrainConfig
from model.training.recipe import config_from_dict

STATE = "state.pt"
BEST = "best.safetensors"
LAST = "last.safetensors"
METRICS = "metrics.jsonl"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class TrainState:
    """A run between two steps.

    Attributes:
        config: The resolved recipe.
        model_config: Shape of the network.
        step: Steps done.
        seconds: Spent in training, all pieces together.
        best_score: Best validation so far, or ``None``.
        model: State of the network.
        average: State of the moving average of the weights, or ``None``.
        optimiser: State of the optimiser.
        scaler: State of the loss scale.
        random: Random states of torch, by device.
    """

    config: TrainConfig
    model_config: PCVOSConfig | PromptConfig
    step: int
    seconds: float
    best_score: float | None
    model: dict[str, Any]
    average: dict[str, Any] | None
    optimiser: dict[str, Any]
    scaler: dict[str, Any]
    random: dict[str, Any]


def save_state(path: Path, state: TrainState) -> None:
    """Write a state under a temporary name, then rename, so that the file is always whole.

    Raises:
        OutputError: If it cannot be written.
    """
    content = {field.name: getattr(state, field.name) for field in fields(state)}
    content["config"] = _plain(asdict(state.config))
    content["model_config"] = _plain(asdict(state.model_config))
    content["format"] = FORMAT
    write_whole(path, lambda file: torch.save(content, file))


def load_state(path: Path) -> TrainState:
    """Read a state.

    Raises:
        WeightsError: Not found, damaged, or not a state of ours.
    """
    if not path.is_file():
        raise WeightsError(
            f"{path}: nothing to resume", hint="leave --resume out to begin a training there"
        )
    hint = "begin again with --init and the last exported weights"
    if not zipfile.is_zipfile(path):  # As everything that torch.save writes.
        raise WeightsError(f"{path} is damaged or not a training state", hint=hint)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        reason = str(error).partition("\n")[0][:200] or type(error).__name__
        raise WeightsError(
            f"{path} is damaged or not a training state: {reason}", hint=hint
        ) from error
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise WeightsError(f"{path} is not a training state of this version")
    try:
        content["config"] = config_from_dict(content["config"])
        kind = PromptConfig if content["config"].stage == "prompt" else PCVOSConfig
        content["model_config"] = kind.from_dict(content["model_config"])
        return TrainState(**content)
    except (ConfigError, TypeError, KeyError) as error:
        raise WeightsError(f"{path} is not a training state of this version: {error}") from error


def random_states() -> dict[str, Any]:
    """Return torch's random states. Samples have their own, made from their position."""
    states: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def restore_random(states: dict[str, Any]) -> None:
    """Set torch's random states; those of GPUs only where there are as many."""
    torch.set_rng_state(states["cpu"])
    cuda = states.get("cuda")
    if cuda and torch.cuda.is_available() and len(cuda) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(cuda)


def _plain(value: Any) -> Any:
    """Turn tuples into lists, as JSON and TOML have them."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
