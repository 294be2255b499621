"""PyTorch files of others: the published PCVOS and STCN weights, and ImageNet trunks.

Nothing here executes a pickle: they are read with ``torch.load(weights_only=True)``.
"""

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from model.checkpoint import Checkpoint, first_line, model_from
from model.config import PCVOS_R50, STCN_R50, PCVOSConfig
from model.errors import WeightsError
from model.network.window_attention import relative_position_index


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a PyTorch file that holds a dictionary of tensors and nothing else.

    Raises:
        WeightsError: Not found, or not such a file. Anything else in a pickle is refused,
            never executed.
    """
    if not path.is_file():
        raise WeightsError(f"no weights at {path}")
    try:
        with warnings.catch_warnings():
            # torch warns of unusual pickle protocols before it refuses what is in them.
            warnings.simplefilter("ignore")
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise WeightsError(
            f"{path} is not a PyTorch file of tensors: {first_line(error)}",
            hint="files with code in them are refused; download the file again",
        ) from error
    if not isinstance(tensors, dict) or not all(
        isinstance(k, str) and isinstance(v, Tensor) for k, v in tensors.items()
    ):
        raise WeightsError(f"{path} is not a dictionary of tensors")
    return tensors


def import_published(path: Path) -> Checkpoint[PCVOSConfig]:
    """Convert the published PCVOS or STCN weights to ours.

    Args:
        path: A PyTorch file that holds a dictionary of tensors.

    Raises:
        WeightsError: Not a file of tensors (anything else in a pickle is refused, never
            executed), or not one of the known layouts.
    """
    published = read_tensors(path)
    refined = any(name.startswith("refine_transformer.") for name in published)
    config = PCVOS_R50 if refined else STCN_R50
    state = _convert(published, path)
    source = "published PCVOS" if refined else "published STCN"
    checkpoint = Checkpoint(config, state, {"source": source, "source_file": path.name})
    model_from(checkpoint, name=str(path))
    return checkpoint


RENAMES = (
    ("key_encoder.layer", "key_encoder.trunk.res"),  # layer2, layer3 are res3, res4
    ("key_encoder.", "key_encoder.trunk."),
    ("key_proj.key_proj.", "key_encoder.key."),
    ("key_comp.", "key_encoder.query_value."),
    ("input_proj.key_proj.", "key_encoder.local_key."),
    ("value_encoder.fuser.", "value_encoder.fuser."),
    ("value_encoder.layer", "value_encoder.trunk.res"),  # layer1..3 are res2..4
    ("value_encoder.", "value_encoder.trunk."),
    ("refine_transformer.layers.0.blocks.", "refinement.layers."),
    ("refine_transformer.norm.", "refinement.norm."),
)
"""Published prefix -> ours; the first that fits is applied."""

INNER_RENAMES = (
    (".ChannelGate.mlp.1.", ".channel_gate.0."),
    (".ChannelGate.mlp.3.", ".channel_gate.2."),
    (".SpatialGate.spatial.conv.", ".spatial_gate."),
    (".norm1_v.", ".value_norm."),
    (".norm1.", ".key_norm."),
    (".norm2.", ".mlp_norm."),
    (".attn.qk.", ".attention.key."),
    (".attn.v.", ".attention.value."),
    (".attn.proj.", ".attention.out."),
    (".mlp.fc1.", ".mlp.0."),
    (".mlp.fc2.", ".mlp.2."),
)


def _convert(published: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Rename published tensors; fold what our modules do without."""
    state: dict[str, Tensor] = {}
    biases: dict[str, Tensor] = {}
    for name, tensor in published.items():
        new = _rename(name)
        if name.endswith("relative_position_index"):
            if not torch.equal(tensor, relative_position_index((2, 7, 7))):
                raise WeightsError(f"{path}: {name} is not that of a (2, 7, 7) window")
        elif name.endswith("relative_position_bias_table"):
            state[new.replace(".attn.relative_position_bias_table", ".attention.position_bias")] = (
                tensor.flatten()
            )
        elif new.startswith("value_encoder.trunk.") and _is_conv_bias(new, published, name):
            biases[_batch_norm_of(new) + "running_mean"] = tensor
        else:
            state[new] = tensor
    for mean, bias in biases.items():
        # BN(conv + b) with mean m is BN(conv) with mean m - b: torchvision's
        # ResNet-18 has no such bias and needs none.
        if mean not in state:
            raise WeightsError(f"{path} is not a published PCVOS or STCN file: no {mean}")
        state[mean] = state[mean] - bias
    return state


def _rename(name: str) -> str:
    for old, new in RENAMES:
        if name.startswith(old):
            rest = name[len(old) :]
            if old.endswith(".layer"):
                rest = f"{int(rest[0]) + 1}{rest[1:]}"
            name = new + rest
            break
    for old, new in INNER_RENAMES:
        name = name.replace(old, new)
    if not name.startswith(("key_encoder.trunk.", "value_encoder.trunk.")):
        # Only our residual blocks; a trunk's shortcut keeps torchvision's name.
        name = name.replace(".downsample.", ".shortcut.")
    return name


def _is_conv_bias(new: str, published: Mapping[str, Tensor], name: str) -> bool:
    weight = published.get(name.removesuffix("bias") + "weight")
    return new.endswith(".bias") and weight is not None and weight.dim() == 4


def _batch_norm_of(bias: str) -> str:
    """Return the prefix of the batch norm behind a convolution's bias."""
    stem = bias.removesuffix("bias")
    if stem.endswith("downsample.0."):
        return stem.removesuffix("0.") + "1."
    return stem.removesuffix(".").replace("conv", "bn") + "."
