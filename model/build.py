"""Configuration to modules: the only place where a network is put together."""

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from model.config import ContextConfig, PCVOSConfig, PromptConfig
from model.network.blocks import ZeroConv2d
from model.network.decoder import Decoder
from model.network.efficientnet import EfficientNetLite0Trunk
from model.network.encoders import KeyEncoder, SharedValueEncoder, Trunk
from model.network.refinement import IntraClipRefinement
from model.pcvos import PCVOS

if TYPE_CHECKING:
    from model.network.prompt import PromptSegmenter
    from model.network.resnet import TrunkValueEncoder

MASK_BLOCK = 4
"""Sub-blocks along a cell's side in a mask readout: a propagated mask has stride 4."""


def build_pcvos(config: PCVOSConfig) -> PCVOS:
    """Build a network with random weights, in evaluation mode."""
    context = config.context or ContextConfig(width=0, object_blocks=0)
    trunk = _trunk(config, 4 if context.width else 3)
    widths = trunk.widths
    refines = config.refines
    key_encoder = KeyEncoder(
        trunk,
        key_width=config.key_width,
        local_key_width=config.local_key_width if refines else None,
        query_value_width=config.query_value_width,
        unit_keys=config.unit_keys,
        position_keys=config.position_keys,
        kernel=config.key_kernel,
        context_width=context.width,
    )
    value_encoder = _value_encoder(config, widths)
    refinement = None
    if config.refinement is not None:
        refinement = IntraClipRefinement(
            config.local_key_width,
            value_encoder.width,
            layers=config.refinement.layers,
            window=config.refinement.window,
            mlp_ratio=config.refinement.mlp_ratio,
        )
    decoder = Decoder(
        value_encoder.width + config.query_value_width,
        widths,
        config.decoder_widths,
        kernel=config.decoder_kernel,
        mask_block=MASK_BLOCK if config.mask_readout else 0,
        object_blocks=context.object_blocks,
    )
    model = PCVOS(
        config,
        key_encoder=key_encoder,
        value_encoder=value_encoder,
        refinement=refinement,
        decoder=decoder,
    )
    _initialise(model)
    return model.eval()


def _trunk(config: PCVOSConfig, strides: int) -> Trunk:
    if config.trunk == "efficientnet_lite0":
        return EfficientNetLite0Trunk(strides)
    from model.network.resnet import resnet50_trunk  # And with it torchvision: 165 MB.

    return resnet50_trunk()


def _value_encoder(
    config: PCVOSConfig, trunk_widths: tuple[int, ...]
) -> "SharedValueEncoder | TrunkValueEncoder":
    if config.value_encoder == "shared":
        return SharedValueEncoder(trunk_widths, config.value_width, block=MASK_BLOCK)
    from model.network.resnet import TrunkValueEncoder, resnet18_trunk

    return TrunkValueEncoder(resnet18_trunk(in_width=5), trunk_widths[2], config.value_width)


def build_prompt_segmenter(config: PromptConfig) -> "PromptSegmenter":
    """Build a network for prompts with random weights, in evaluation mode."""
    from model.network.prompt import PromptSegmenter

    model = PromptSegmenter(config)
    _initialise(model)
    # Training begins undecided everywhere, not with loud guesses to unlearn.
    nn.init.zeros_(model.pred.weight)
    return model.eval()


def _initialise(model: nn.Module) -> None:
    """Start convolutions of our own heads as He et al. (2015); trunks keep their own."""
    trunks = {
        id(m)
        for name, m in model.named_modules()
        if ".trunk" in name or name.startswith(("trunk.", "deep."))
    }
    for module in model.modules():
        if isinstance(module, ZeroConv2d):
            module.reset_parameters()
        elif isinstance(module, nn.Conv2d) and id(module) not in trunks:
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def fold_batch_norms(network: nn.Module) -> None:
    """Fold every batch norm that follows a convolution into it, in place.

    For inference only: weights and names of the state dict change. Results are equal up to
    rounding. On one thread it took a third off the lite key encoder's time in torch.

    A batch norm is taken to follow the convolution that is registered right before it in the
    same module, as in all trunks here.

    Args:
        network: In evaluation mode.

    Raises:
        ValueError: If a batch norm to be folded is in training mode.
    """
    for parent in network.modules():
        children = list(parent.named_children())
        for (conv_name, conv), (norm_name, norm) in pairwise(children):
            if not (isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)):
                continue
            if norm.training:
                raise ValueError(f"{norm_name} is in training mode and cannot be folded")
            with torch.no_grad():
                setattr(parent, conv_name, fuse_conv_bn_eval(conv, norm))
            setattr(parent, norm_name, nn.Identity())
