"""Which weights change, at which rate: parameter groups, frozen trunks, moving average."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from model.training.config import OptimiserConfig, TrainConfig
from model.training.schedule import rate_factor

STRIDES = {
    "key_encoder.trunk.net.conv_stem.": 2,
    "key_encoder.trunk.net.bn1.": 2,
    "key_encoder.trunk.net.blocks.0.": 2,
    "key_encoder.trunk.net.blocks.1.": 4,
    "key_encoder.trunk.net.blocks.2.": 8,
    "key_encoder.trunk.net.blocks.5.": 32,
    "key_encoder.trunk.net.blocks.6.": 32,
    "key_encoder.trunk.conv1.": 2,
    "key_encoder.trunk.bn1.": 2,
    "key_encoder.trunk.res2.": 4,
    "key_encoder.trunk.res3.": 8,
}
"""Stride at which a part of a key trunk ends; what is not listed ends at 16."""


def freeze_trunk(model: nn.Module, frozen: bool, *, stride: int = 1) -> None:
    """Leave the trunks out of the backward pass, or put them back in.

    Args:
        model: The network.
        frozen: Leave them out as a whole.
        stride: Layers of the key trunk up to this stride stay out in any case.
    """
    for name, parameter in model.named_parameters():
        if _in_trunk(name):
            parameter.requires_grad_(not frozen and _stride(name) > stride)


def build_optimiser(model: nn.Module, config: OptimiserConfig) -> torch.optim.Optimizer:
    """Group the weights by rate and decay and give them to Adam or AdamW.

    Each group's ``scale`` is its rate over ``config.rate``. Weights of a frozen trunk are
    in their group from the start: without a gradient the optimiser passes over them.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        # Adam's L2 term reaches everything, as in STCN; decoupled decay would pull norms
        # and biases to zero for no gain.
        decays = config.name == "adam" or parameter.dim() > 1
        groups.setdefault((_in_trunk(name), decays), []).append(parameter)
    settings: list[dict[str, Any]] = [
        {
            "params": parameters,
            "scale": config.trunk_rate if trunk else 1.0,
            "weight_decay": config.weight_decay if decays else 0.0,
        }
        for (trunk, decays), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]
    kind = torch.optim.Adam if config.name == "adam" else torch.optim.AdamW
    return kind(settings, lr=config.rate)


def set_rates(optimiser: torch.optim.Optimizer, step: int, config: TrainConfig) -> float:
    """Set the rates of a step and return that of the heads."""
    rate = config.optimiser.rate * rate_factor(step, config.steps, config.optimiser)
    for group in optimiser.param_groups:
        group["lr"] = rate * group["scale"]
    return rate


def build_average(model: nn.Module, decay: float) -> AveragedModel:
    """Return an exponential moving average of the weights, starting at what they are.

    Early on it averages over fewer steps, ``(1 + n) / (10 + n)``, so that where training
    began is forgotten quickly.
    """

    @torch.no_grad()
    def update(averages: Sequence[Tensor], weights: Sequence[Tensor], count: Any) -> None:
        n = float(count)
        kept = min(decay, (1 + n) / (10 + n))
        torch._foreach_lerp_(list(averages), list(weights), 1 - kept)

    average = AveragedModel(model, multi_avg_fn=update)
    average.update_parameters(model)  # The first call copies.
    return average


def _stride(name: str) -> int:
    return next((stride for part, stride in STRIDES.items() if name.startswith(part)), 16)


def _in_trunk(name: str) -> bool:
    return ".trunk." in name or name.startswith("deep.")
