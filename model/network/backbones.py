"""Trunks: well-known image networks, cut at stride 16 or 32."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from model.network.efficientnet import EfficientNetLite0
from model.ops.images import IMAGENET_MEAN, IMAGENET_STD

if TYPE_CHECKING:
    from torchvision.models.resnet import ResNet


class Trunk(Protocol):
    """A backbone that returns features at strides 4, 8 and 16, and may go on to 32.

    Attributes:
        widths: Channels of these features.
    """

    widths: tuple[int, ...]

    def __call__(self, frames: Tensor, known: Sequence[Tensor] = ()) -> tuple[Tensor, ...]:
        """Map ``(B, 3, H, W)`` to its features, finest first.

        ``known`` are the finest of them, where somebody has them already.
        """
        ...


class ResNetTrunk(nn.Module):
    """A torchvision ResNet up to res4.

    Args:
        resnet: The network to cut; its later layers are dropped.
        widths: Channels at strides 4, 8 and 16.
        in_width: Input channels: 3, or more where masks join the image.
    """

    def __init__(self, resnet: "ResNet", widths: tuple[int, ...], *, in_width: int = 3) -> None:
        super().__init__()
        self.widths = widths
        self.conv1 = nn.Conv2d(in_width, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = resnet.bn1
        self.relu = resnet.relu
        self.maxpool = resnet.maxpool
        self.res2 = resnet.layer1
        self.res3 = resnet.layer2
        self.res4 = resnet.layer3

    def forward(self, frames: Tensor, known: Sequence[Tensor] = ()) -> tuple[Tensor, ...]:
        """Map ``(B, in_width, H, W)`` to features at strides 4, 8 and 16."""
        features = list(known)
        if not features:
            features.append(self.res2(self.maxpool(self.relu(self.bn1(self.conv1(frames))))))
        for stage in (self.res3, self.res4)[len(features) - 1 :]:
            features.append(stage(features[-1]))
        return tuple(features)


class EfficientNetLite0Trunk(nn.Module):
    """EfficientNet-Lite0 up to stride 16 or 32.

    Its weights expect ``(rgb - 127) / 128``; frames arrive ImageNet-normalised, as
    everywhere else, and are converted here.

    Args:
        strides: How many of the strides 4, 8, 16 and 32 there are features at.
    """

    scale: Tensor
    offset: Tensor

    def __init__(self, strides: int = 3) -> None:
        super().__init__()
        self.net = EfficientNetLite0(strides)
        self.register_load_state_dict_pre_hook(_drop_later_stages)  # type: ignore[no-untyped-call]
        self.widths = self.net.widths
        mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        self.register_buffer("scale", (std * 255 / 128).view(3, 1, 1), persistent=False)
        self.register_buffer("offset", ((mean * 255 - 127) / 128).view(3, 1, 1), persistent=False)

    def forward(self, frames: Tensor, known: Sequence[Tensor] = ()) -> tuple[Tensor, ...]:
        """Map ``(B, 3, H, W)`` to its features, finest first."""
        return self.net(frames if known else frames * self.scale + self.offset, known)


def _drop_later_stages(
    trunk: nn.Module, state: dict[str, Any], prefix: str, *_others: object
) -> None:
    """Accept weights of the whole network, as they are published."""
    assert isinstance(trunk, EfficientNetLite0Trunk)
    kept = len(trunk.net.blocks)
    start = f"{prefix}net.blocks."
    for name in [name for name in state if name.startswith(start)]:
        if int(name.removeprefix(start).partition(".")[0]) >= kept:
            del state[name]


def resnet50_trunk() -> ResNetTrunk:
    """Return the paper's key trunk: ResNet-50 to res4, channels 256, 512, 1024."""
    from torchvision.models import resnet50  # 165 MB with what it imports: only where needed.

    return ResNetTrunk(resnet50(weights=None), (256, 512, 1024))


def resnet18_trunk(*, in_width: int) -> ResNetTrunk:
    """Return the paper's value trunk: ResNet-18 to res4, channels 64, 128, 256."""
    from torchvision.models import resnet18

    return ResNetTrunk(resnet18(weights=None), (64, 128, 256), in_width=in_width)
