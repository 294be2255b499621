"""Layers that training never changes, run in ONNX Runtime."""

import torch
from torch import Tensor, nn

from model.inference.engine import OnnxExport, onnxruntime_version
from model.network.encoders import Trunk
from model.network.prompt import PromptSegmenter
from model.pcvos import PCVOS
from model.training.config import TrainConfig
from model.types import concatenated


class OnnxTrunk:
    """Stands in for the first layers of a trunk in training, where they never change.

    Args:
        trunk: Of a key encoder; the layers are exported as they are now.
        features: How many of the trunk's features are wanted, from the finest on.
        threads: CPU threads.

    Raises:
        EngineError: ONNX Runtime is missing; or it cannot run them, with the first frame.
    """

    def __init__(self, trunk: Trunk, features: int, *, threads: int) -> None:
        self._export = OnnxExport(_TrunkGraph(trunk, features), object(), threads)

    def __call__(self, frames: Tensor) -> tuple[Tensor, ...]:
        """Map ``(B, 3, H, W)`` to the features, finest first, without gradients."""
        with torch.no_grad():
            by_frame = [self._export.run(one) for one in frames.split(1)]
        return tuple(concatenated(maps) for maps in zip(*by_frame, strict=True))


class _TrunkGraph(nn.Module):
    def __init__(self, trunk: Trunk, features: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.features = features

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        return self.trunk(frames)[: self.features]  # The exporter leaves out the rest.


def frozen_layers(model: PCVOS, config: TrainConfig, device: torch.device) -> OnnxTrunk | None:
    """Return ONNX Runtime's stand-in for layers that never change, or ``None``.

    With lite's trunk frozen up to stride 8, the key encoder's forward pass takes about half the
    time that it takes in torch (docs/training.md).
    """
    trunk = model.key_encoder.trunk
    if config.optimiser.trunk_rate == 0:
        features = len(trunk.widths)
    elif config.optimiser.freeze_stride >= 8:
        features = {8: 2, 16: 3}[config.optimiser.freeze_stride]
    else:
        return None
    if not _has_engine(config, device):
        return None
    return OnnxTrunk(trunk, features, threads=torch.get_num_threads())


def frozen_trunk(
    model: PromptSegmenter, config: TrainConfig, device: torch.device
) -> OnnxTrunk | None:
    """Return ONNX Runtime's stand-in for the trunk: 17 ms a crop where torch takes 47."""
    if not _has_engine(config, device):
        return None
    return OnnxTrunk(model.trunk, len(model.trunk.widths), threads=torch.get_num_threads())


def _has_engine(config: TrainConfig, device: torch.device) -> bool:
    return config.run.frozen_engine and device.type == "cpu" and onnxruntime_version() is not None
