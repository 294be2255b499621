"""Weights for tests of the shell: the real lite network, with seeded random values."""

from pathlib import Path

import torch

from model.build import build_pcvos
from model.checkpoint import save_checkpoint
from model.config import PCVOS_LITE


def write_random_lite(path: Path) -> Path:
    """Write a ``pcvos-lite`` checkpoint whose values mean nothing, and return its path."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_pcvos(PCVOS_LITE)
    save_checkpoint(path, model.config, model.state_dict(), {"source": "random, for tests"})
    return path
