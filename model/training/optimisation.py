"""Which weights change, at which rate: parameter groups, frozen trunks, moving average."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from model.pcvos import PCVOS
from model.training.config import OptimiserConfig, TrainConfig
from model.training.schedule import rate_factor


def trunk_parameters(model: PCVOS) -> list[nn.Parameter]:
    """Return the weights of the pretrained image networks."""
    return [p for name, p in model.named_parameters() if _in_trunk(name)]


def freeze_trunk(model: PCVOS, frozen: bool) -> None:
    """Leave the trunks out of the backward pass, or put them back in."""
    for parameter in trunk_parameters(model):
        parameter.requires_grad_(not frozen)


def build_optimiser(model: PCVOS, config: OptimiserConfig) -> torch.optim.Optimizer:
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


def build_average(model: PCVOS, decay: float) -> AveragedModel:
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


def _in_trunk(name: str) -> bool:
    return ".trunk." in name
