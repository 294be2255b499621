"""Starting weights of a training: those of a file, ImageNet trunks, or random values."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.models import ResNet18_Weights, ResNet50_Weights

from model.build import build_pcvos
from model.checkpoint import load_checkpoint, model_from
from model.config import PRESETS
from model.errors import ConfigError, MissingPackage, WeightsError
from model.network.backbones import EfficientNetLite0Trunk, ResNetTrunk
from model.network.encoders import TrunkValueEncoder
from model.pcvos import PCVOS
from model.training.config import TrainConfig
from model.training.initial import load_imagenet_trunk

LAYERS = {"layer1": "res2", "layer2": "res3", "layer3": "res4"}


Init = Path | Literal["imagenet", "random"]


def initial_model(config: TrainConfig, init: Init) -> PCVOS:
    """Build the network that a training starts from.

    Args:
        config: Names the network; its seed decides what is random.
        init: A weights file; or ``imagenet``, trunks as published and the rest random; or
            ``random``.

    Raises:
        ConfigError: If the file holds another network than the recipe names, or a package for
            ``imagenet`` is not installed.
        WeightsError: If weights cannot be read or downloaded.
    """
    if isinstance(init, Path):
        checkpoint = load_checkpoint(init)
        if checkpoint.config.name != config.model:
            raise ConfigError(
                f"{init} is a {checkpoint.config.name}, the recipe trains a {config.model}",
                hint=f"pass --model {checkpoint.config.name}",
            )
        return model_from(checkpoint, name=str(init))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = build_pcvos(PRESETS[config.model])
    if init == "imagenet":
        load_imagenet_trunks(model)
    return model


def load_imagenet_trunks(model: PCVOS) -> None:
    """Fill the trunks with ImageNet weights, downloaded once and kept by torch and timm.

    Raises:
        MissingPackage: If timm is needed and not installed.
        WeightsError: If they cannot be had.
    """
    trunk = model.key_encoder.trunk
    try:
        if isinstance(trunk, EfficientNetLite0Trunk):
            load_imagenet_trunk(trunk, _published_lite0())
        elif isinstance(trunk, ResNetTrunk):
            _fill(trunk, ResNet50_Weights.IMAGENET1K_V1)
        value_encoder = model.value_encoder
        if isinstance(value_encoder, TrunkValueEncoder):
            _fill(value_encoder.trunk, ResNet18_Weights.IMAGENET1K_V1)
    except (OSError, RuntimeError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise WeightsError(
            f"cannot download ImageNet weights for {model.config.name}: {reason}",
            hint="give --init a weights file, or try again with a network connection",
        ) from error


def _published_lite0() -> Mapping[str, Tensor]:
    try:
        import timm
    except ImportError as error:
        raise MissingPackage("--init imagenet for pcvos-lite", "timm", "train") from error
    network: nn.Module = timm.create_model("tf_efficientnet_lite0", pretrained=True)
    return network.state_dict()


@torch.no_grad()
def _fill(trunk: ResNetTrunk, weights: ResNet50_Weights | ResNet18_Weights) -> None:
    """Copy what the trunk has of a ResNet.

    Where masks join the image, their input channels keep what they were built with.
    """
    # torch.hub would execute a pickle without weights_only.
    published: Mapping[str, Tensor] = weights.get_state_dict(check_hash=True, weights_only=True)
    own = trunk.state_dict()
    for name, tensor in own.items():
        head, dot, rest = name.partition(".")
        theirs = next((old for old, new in LAYERS.items() if new == head), head)
        source = published[theirs + dot + rest]
        if name == "conv1.weight":
            tensor[:, : source.shape[1]] = source
        else:
            tensor.copy_(source)
