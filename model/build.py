"""Configuration to modules: the only place where a network is put together."""

from torch import nn

from model.config import ContextConfig, PCVOSConfig, PromptConfig
from model.network.backbones import EfficientNetLite0Trunk, resnet18_trunk, resnet50_trunk
from model.network.blocks import ZeroConv2d
from model.network.decoder import Decoder
from model.network.encoders import KeyEncoder, SharedValueEncoder, TrunkValueEncoder
from model.network.prompt import PromptSegmenter
from model.network.refinement import IntraClipRefinement
from model.pcvos import PCVOS

MASK_BLOCK = 4
"""Sub-blocks along a cell's side in a mask readout: a propagated mask has stride 4."""


def build_pcvos(config: PCVOSConfig) -> PCVOS:
    """Build a network with random weights, in evaluation mode."""
    lite = config.trunk == "efficientnet_lite0"
    context = config.context or ContextConfig(width=0, object_blocks=0)
    trunk = EfficientNetLite0Trunk(4 if context.width else 3) if lite else resnet50_trunk()
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
    value_encoder: TrunkValueEncoder | SharedValueEncoder = (
        SharedValueEncoder(widths, config.value_width, block=MASK_BLOCK)
        if config.value_encoder == "shared"
        else TrunkValueEncoder(resnet18_trunk(in_width=5), widths[2], config.value_width)
    )
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


def build_prompt_segmenter(config: PromptConfig) -> PromptSegmenter:
    """Build a network for prompts with random weights, in evaluation mode."""
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
