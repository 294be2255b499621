"""Trunks: well-known image networks, cut at stride 16."""

from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from model.network.efficientnet import EfficientNetLite0
from model.ops.images import IMAGENET_MEAN, IMAGENET_STD

if TYPE_CHECKING:
    from torchvision.models.resnet import ResNet


class Trunk(Protocol):
    """A backbone that returns features at strides 4, 8 and 16."""

    widths: tuple[int, int, int]

    def __call__(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map ``(B, 3, H, W)`` to ``f4, f8, f16``."""
        ...

    def fine(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``(B, 3, H, W)`` to ``f4, f8``."""
        ...

    def coarse(self, f8: Tensor) -> Tensor:
        """Go on from ``f8`` to ``f16``."""
        ...


class ResNetTrunk(nn.Module):
    """A torchvision ResNet up to res4.

    Args:
        resnet: The network to cut; its later layers are dropped.
        widths: Channels at strides 4, 8 and 16.
        in_width: Input channels: 3, or more where masks join the image.
    """

    def __init__(
        self, resnet: "ResNet", widths: tuple[int, int, int], *, in_width: int = 3
    ) -> None:
        super().__init__()
        self.widths = widths
        self.conv1 = nn.Conv2d(in_width, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = resnet.bn1
        self.relu = resnet.relu
        self.maxpool = resnet.maxpool
        self.res2 = resnet.layer1
        self.res3 = resnet.layer2
        self.res4 = resnet.layer3

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map ``(B, in_width, H, W)`` to features at strides 4, 8 and 16."""
        f4, f8 = self.fine(frames)
        return f4, f8, self.coarse(f8)

    def fine(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``(B, in_width, H, W)`` to features at strides 4 and 8."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(frames))))
        f4: Tensor = self.res2(x)
        return f4, self.res3(f4)

    def coarse(self, f8: Tensor) -> Tensor:
        """Go on from the feature at stride 8 to that at stride 16."""
        f16: Tensor = self.res4(f8)
        return f16


class EfficientNetLite0Trunk(nn.Module):
    """EfficientNet-Lite0 up to stride 16.

    Its weights expect ``(rgb - 127) / 128``; frames arrive ImageNet-normalised, as
    everywhere else, and are converted here.
    """

    scale: Tensor
    offset: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.net = EfficientNetLite0()
        self.register_load_state_dict_pre_hook(_drop_later_stages)  # type: ignore[no-untyped-call]
        self.widths: tuple[int, int, int] = self.net.widths
        mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        self.register_buffer("scale", (std * 255 / 128).view(3, 1, 1), persistent=False)
        self.register_buffer("offset", ((mean * 255 - 127) / 128).view(3, 1, 1), persistent=False)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map ``(B, 3, H, W)`` to features at strides 4, 8 and 16."""
        f4, f8 = self.fine(frames)
        return f4, f8, self.coarse(f8)

    def fine(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``(B, 3, H, W)`` to features at strides 4 and 8."""
        return self.net.fine(frames * self.scale + self.offset)

    def coarse(self, f8: Tensor) -> Tensor:
        """Go on from the feature at stride 8 to that at stride 16."""
        return self.net.coarse(f8)


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
