"""Starting weights of a training: those of a file, ImageNet trunks, or random values."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.models import ResNet18_Weights, ResNet50_Weights

from model.build import build_pcvos, build_prompt_segmenter
from model.checkpoint import load_checkpoint, load_prompt_segmenter, model_from
from model.config import LITE_PROMPT, PRESETS
from model.errors import ConfigError, MissingPackage, WeightsError
from model.network.efficientnet import EfficientNetLite0Trunk
from model.network.prompt import PromptSegmenter
from model.network.resnet import ResNetTrunk, TrunkValueEncoder
from model.pcvos import PCVOS
from model.published import read_tensors
from model.training.config import TrainConfig
from model.training.initial import fill_in_order, load_imagenet_trunk

LAYERS = {"layer1": "res2", "layer2": "res3", "layer3": "res4"}


Init = Path | Literal["imagenet", "random"]


def initial_model(config: TrainConfig, init: Init) -> PCVOS | PromptSegmenter:
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
    if config.stage == "prompt":
        return _initial_prompt_segmenter(config, init)
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


def _initial_prompt_segmenter(config: TrainConfig, init: Init) -> PromptSegmenter:
    """As ``initial_model``; a file may also be a PyTorch file of EfficientNet-Lite0."""
    if isinstance(init, Path) and init.suffix != ".pth":
        return load_prompt_segmenter(init)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = build_prompt_segmenter(LITE_PROMPT)
    if init != "random":
        published = read_tensors(init) if isinstance(init, Path) else _published_lite0()
        fill_in_order([model.trunk.net, model.deep], published)
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
        raise _cannot_download(model.config.name, error) from error


def _cannot_download(name: str, error: Exception) -> WeightsError:
    reason = str(error).partition("\n")[0] or type(error).__name__
    return WeightsError(
        f"cannot download ImageNet weights for {name}: {reason}",
        hint="give --init a weights file, or try again with a network connection",
    )


def _published_lite0() -> Mapping[str, Tensor]:
    try:
        import timm
    except ImportError as error:
        raise MissingPackage("--init imagenet for pcvos-lite", "timm", "train") from error
    try:
        network: nn.Module = timm.create_model("tf_efficientnet_lite0", pretrained=True)
    except (OSError, RuntimeError) as error:
        raise _cannot_download("EfficientNet-Lite0", error) from error
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
