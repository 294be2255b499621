"""The lite network for tests: the shipped one, or its weights file with seeded random values."""

from pathlib import Path

import torch

from model.build import build_pcvos
from model.checkpoint import load_model, save_checkpoint
from model.config import PCVOS_LITE
from model.pcvos import PCVOS

WEIGHTS = Path(__file__).parents[2] / "weights"


def write_random_lite(path: Path) -> Path:
    """Write a ``pcvos-lite`` checkpoint whose values mean nothing, and return its path."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_pcvos(PCVOS_LITE)
    save_checkpoint(path, model.config, model.state_dict(), {"source": "random, for tests"})
    return path


def shipped_lite() -> PCVOS:
    """Return the network as it ships: random ones of 36 layers enlarge rounding at their will."""
    return load_model(WEIGHTS / "pcvos-lite.safetensors")
