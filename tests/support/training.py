"""A network and a recipe small enough to train in a test."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from model.build import build_pcvos
from model.checkpoint import save_checkpoint
from model.config import PCVOS_LITE, PCVOSConfig, RefinementConfig
from model.data.sample import TrainingBatch
from model.pcvos import PCVOS
from model.training.config import TrainConfig
from model.training.recipe import config_from_dict

TINY: PCVOSConfig = replace(
    PCVOS_LITE,
    key_width=8,
    value_width=8,
    local_key_width=8,
    query_value_width=8,
    decoder_widths=(16, 8, 8),
    refinement=RefinementConfig(layers=2, window=(2, 3, 3), mlp_ratio=2),
)


def tiny_model(seed: int = 0) -> PCVOS:
    """Build the narrow network with seeded random values."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_pcvos(TINY)


def write_tiny(path: Path) -> Path:
    """Write the narrow network's weights and return the path."""
    model = tiny_model()
    save_checkpoint(path, model.config, model.state_dict(), {"source": "random, for tests"})
    return path


def tiny_recipe(data_set: Path | None, /, **sections: object) -> TrainConfig:
    """Return a recipe of a few steps on 64 x 64 crops; ``sections`` are merged in."""
    values: dict[str, object] = {
        "steps": 4,
        "batch": 2,
        "samples": {"frames": 3, "clips": 1, "crop": 64},
        "data": {"sets": [str(data_set)] if data_set else []},
        "loss": {"hard_from": 1, "hard_to": 4},
        "optimiser": {"rate": 1e-3},
        "run": {"workers": 0, "log_every": 1, "save_every": 2, "picture_every": 0},
    }
    for name, value in sections.items():
        before = values.get(name)
        values[name] = (
            {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value
        )
    return config_from_dict(values)


def random_batch(
    counts: tuple[int, ...] = (2, 1), frames: int = 5, side: int = 64, seed: int = 0
) -> TrainingBatch:
    """Return noise with boxes as objects, ``counts[b]`` of them in sample ``b``."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((len(counts), frames, side, side), np.uint8)
    for b, count in enumerate(counts):
        for t in range(frames):
            for k in range(1, count + 1):
                top, left = rng.integers(0, side // 2, 2)
                labels[b, t, top : top + side // 3, left : left + side // 3] = k
    pixels = rng.standard_normal((len(counts), frames, 3, side, side)).astype(np.float32)
    return TrainingBatch(
        torch.from_numpy(pixels),
        torch.from_numpy(labels),
        torch.tensor(counts),
        tuple(f"noise {b}" for b in range(len(counts))),
    )
