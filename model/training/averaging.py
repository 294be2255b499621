"""Average weights of several runs (model soups, Wortsman et al., ICML 2022).

Runs that started from the same weights lie in one valley of the loss: the middle between them
often scores above each of them, and costs nothing at run time.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch

from model.checkpoint import Checkpoint, Config
from model.config import MEANT_TO_RUN_WITH, PCVOSConfig, PromptConfig
from model.errors import ConfigError, WeightsError

_NO_SHAPE = (*MEANT_TO_RUN_WITH, "memory_decay", "short_edge")


def average_checkpoints(
    checkpoints: Sequence[Checkpoint[Config]], shares: Sequence[float]
) -> Checkpoint[Config]:
    """Return the weighted mean of weights of one architecture.

    Args:
        checkpoints: At least one. What is not of the architecture's shape may differ: the
            first one's configuration and metadata are taken.
        shares: One for each, at least 0; they need not sum to 1.

    Raises:
        WeightsError: If they are of different architectures.
        ConfigError: If shares are negative, all 0, or not as many as checkpoints.
    """
    first = checkpoints[0]
    total = sum(shares)
    if len(shares) != len(checkpoints) or min(shares) < 0 or total <= 0:
        raise ConfigError(
            f"{len(checkpoints)} files of weights and shares {list(shares)}",
            hint="one share for each, none below 0 and not all 0",
        )
    for other in checkpoints[1:]:
        alike = _shape(other.config) == _shape(first.config)
        if not alike or other.state.keys() != first.state.keys():
            raise WeightsError(
                f"{first.config.name} and {other.config.name} weights of different shapes "
                "have no average"
            )
    state = {}
    for name, tensor in first.state.items():
        if tensor.is_floating_point():
            # In double precision, so that the order of the files does not matter.
            parts = [
                c.state[name].double() * (share / total)
                for c, share in zip(checkpoints, shares, strict=True)
            ]
            state[name] = torch.stack(parts).sum(0).to(tensor.dtype)
        else:
            state[name] = tensor
    sources = ", ".join(
        f"{share / total:.3g} of {c.sha256 or 'unsaved weights'}"
        for c, share in zip(checkpoints, shares, strict=True)
    )
    return Checkpoint(first.config, state, first.metadata | {"average": sources})


def _shape(config: PCVOSConfig | PromptConfig) -> dict[str, Any]:
    return {name: value for name, value in asdict(config).items() if name not in _NO_SHAPE}
