"""Weights of ``pcvos-lite`` before any training: an ImageNet trunk that propagates masks.

Keys are principal components of the trunk's features, so matching works at once; the
decoder's last layer is zero, so the output is the propagated mask. Training starts from
this score and rises.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from model.build import build_pcvos
from model.checkpoint import Checkpoint
from model.config import PCVOSConfig
from model.errors import WeightsError
from model.network.efficientnet import EfficientNetLite0Trunk


def extended(
    checkpoint: Checkpoint[PCVOSConfig], config: PCVOSConfig, trunk_state: Mapping[str, Tensor]
) -> Checkpoint[PCVOSConfig]:
    """Return weights of a larger shape that give what a checkpoint gives.

    Args:
        checkpoint: Weights that may lack the context.
        config: The larger shape, with a context; its parts start at zero.
        trunk_state: As ``training_free`` takes it; fills the trunk's stages that they lack.

    Raises:
        WeightsError: If the weights hold something that the larger shape has no place for, or
            lack something besides what it adds.
    """
    needed = build_pcvos(replace(config, context=None)).state_dict().keys()
    torch.manual_seed(0)
    model = build_pcvos(config)
    trunk = model.key_encoder.trunk
    if isinstance(trunk, EfficientNetLite0Trunk):
        with torch.no_grad():
            load_imagenet_trunk(trunk, trunk_state)
    try:
        missing, unknown = model.load_state_dict(checkpoint.state, strict=False)
    except RuntimeError as error:
        raise WeightsError(f"the weights do not fit {config.name}: {error}") from error
    if unknown:
        raise WeightsError(f"the weights do not fit {config.name}: it has no {unknown[0]}")
    if lacking := [name for name in missing if name in needed]:
        raise WeightsError(f"the weights do not fit {config.name}: they lack {lacking[0]}")
    return Checkpoint(config, model.state_dict(), {"source": f"extended {checkpoint.sha256}"})


@torch.inference_mode()
def training_free(
    config: PCVOSConfig, trunk_state: Mapping[str, Tensor], frames: Iterable[Tensor]
) -> Checkpoint[PCVOSConfig]:
    """Make training-free weights.

    Args:
        config: A shape on the EfficientNet-Lite0 trunk with ``mask_readout``.
        trunk_state: ImageNet classifier weights of EfficientNet-Lite0, tensor by tensor in
            the order of timm's ``tf_efficientnet_lite0`` (names may differ).
        frames: ``(B, 3, H, W)`` normalised pictures from which key components are taken.

    Returns:
        Weights in our names.

    Raises:
        WeightsError: If the trunk's tensors do not fit.
    """
    torch.manual_seed(0)
    model = build_pcvos(config)
    trunk = model.key_encoder.trunk
    if not isinstance(trunk, EfficientNetLite0Trunk) or not config.mask_readout:
        raise WeightsError(f"{config.name} cannot propagate masks without training")
    load_imagenet_trunk(trunk, trunk_state)
    features = [trunk(part)[2].permute(0, 2, 3, 1).flatten(0, 2) for part in frames]
    components, mean = principal_components(torch.cat(features), model.key_encoder.key.out_channels)
    key = model.key_encoder.key
    if key.kernel_size != (1, 1):
        raise WeightsError("key components need a key kernel of 1")
    key.weight.copy_(components.t()[:, :, None, None])
    assert key.bias is not None
    key.bias.copy_(-(mean @ components))
    for parameter in (model.decoder.pred.weight, model.decoder.pred.bias):
        assert parameter is not None
        nn.init.zeros_(parameter)
    return Checkpoint(config, model.state_dict(), {"source": "training-free initialisation"})


def load_imagenet_trunk(trunk: EfficientNetLite0Trunk, state: Mapping[str, Tensor]) -> None:
    """Fill a trunk with the first tensors of an ImageNet classifier, in order.

    Raises:
        WeightsError: If a shape differs or there are too few tensors.
    """
    fill_in_order([trunk.net], state)


def fill_in_order(parts: Sequence[nn.Module], state: Mapping[str, Tensor]) -> None:
    """Fill consecutive parts of a network with the first tensors of a published one.

    Raises:
        WeightsError: If a shape differs or there are too few tensors.
    """
    own = [item for part in parts for item in part.state_dict().items()]
    given = list(state.values())
    if len(given) < len(own):
        raise WeightsError(f"{len(given)} trunk tensors where {len(own)} are needed")
    for (name, tensor), candidate in zip(own, given, strict=False):
        if tensor.shape != candidate.shape:
            raise WeightsError(
                f"trunk tensor {name} is {tuple(candidate.shape)}, needs {tuple(tensor.shape)}"
            )
        tensor.copy_(candidate)


def principal_components(features: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the ``count`` leading components ``(C, count)`` and the mean of ``(n, C)``."""
    mean = features.mean(0)
    centred = (features - mean).double()
    _, vectors = torch.linalg.eigh(centred.t() @ centred)
    components = vectors.flip(1)[:, :count]
    # An eigenvector's sign is arbitrary; fix it, so that the same input gives the same file.
    signs = components.gather(0, components.abs().argmax(0, keepdim=True)).sign()
    return (components * signs).float(), mean
