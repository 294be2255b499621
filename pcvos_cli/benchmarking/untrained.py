"""Weights that mean nothing, for measuring the speed of a model whose weights are not at hand."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from model.build import build_pcvos
from model.checkpoint import save_checkpoint
from model.config import PRESETS
from model.errors import ConfigError
from pcvos_cli.weights_store import DEFAULT_MODEL


@contextmanager
def untrained_weights(model: str | None) -> Iterator[Path]:
    """Write random weights of a preset to a temporary file.

    What the network computes costs the same with all weights. Its masks are noise, which
    takes longer to write than masks usually do.

    Args:
        model: Name of the preset; ``None`` for the default.

    Raises:
        ConfigError: If there is no such preset.
        OutputError: If there is no room for temporary files.
    """
    name = model or DEFAULT_MODEL
    if name not in PRESETS:
        raise ConfigError(
            f"--model {name}: no such model", hint=f"choose one of {', '.join(PRESETS)}"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_pcvos(PRESETS[name])
    with TemporaryDirectory(prefix="pcvos-benchmark-") as folder:
        path = Path(folder) / f"untrained-{name}.safetensors"
        save_checkpoint(path, network.config, network.state_dict(), {"source": "random values"})
        yield path
