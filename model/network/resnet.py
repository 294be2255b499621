"""The paper's trunks and value encoder, ResNets both; lite has neither."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models import resnet18, resnet50
from torchvision.models.resnet import ResNet

from model.network.blocks import ResBlock
from model.ops.masks import others
from model.types import KeyFeatures


class ResNetTrunk(nn.Module):
    """A torchvision ResNet up to res4.

    Args:
        resnet: The network to cut; its later layers are dropped.
        widths: Channels at strides 4, 8 and 16.
        in_width: Input channels: 3, or more where masks join the image.
    """

    def __init__(self, resnet: ResNet, widths: tuple[int, ...], *, in_width: int = 3) -> None:
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


def resnet50_trunk() -> ResNetTrunk:
    """Return the paper's key trunk: ResNet-50 to res4, channels 256, 512, 1024."""
    return ResNetTrunk(resnet50(weights=None), (256, 512, 1024))


def resnet18_trunk(*, in_width: int) -> ResNetTrunk:
    """Return the paper's value trunk: ResNet-18 to res4, channels 64, 128, 256."""
    return ResNetTrunk(resnet18(weights=None), (64, 128, 256), in_width=in_width)


class TrunkValueEncoder(nn.Module):
    """The paper's: ResNet-18 on image, mask and others, fused with the key feature.

    Args:
        trunk: Takes five channels.
        key_trunk_width: Channels of the key encoder's stride-16 feature.
        width: C_v.
    """

    looks_at_frames = True

    def __init__(self, trunk: ResNetTrunk, key_trunk_width: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.trunk = trunk
        self.fuser = FeatureFusion(trunk.widths[2] + key_trunk_width, width)

    def forward(self, frames: Tensor, features: KeyFeatures, probs: Tensor) -> Tensor:
        """Encode masks; see ``ValueEncoder``."""
        batch, objects = probs.shape[:2]
        masks = torch.stack((probs, others(probs)), dim=2)  # (B, K, 2, H, W)
        images = frames[:, None].expand(-1, objects, -1, -1, -1)
        x = torch.cat((images, masks), dim=2).flatten(0, 1)
        *_, value = self.trunk(x)
        return self.fuser(value, features.f16).unflatten(0, (batch, objects))


class FeatureFusion(nn.Module):
    """Fuse value and key features: ResBlock, CBAM, ResBlock (section 4.1)."""

    def __init__(self, in_width: int, width: int) -> None:
        super().__init__()
        self.block1 = ResBlock(in_width, width)
        self.attention = CBAM(width)
        self.block2 = ResBlock(width, width)

    def forward(self, value: Tensor, f16: Tensor) -> Tensor:
        """Fuse values with key features that objects share.

        Args:
            value: ``(B * K, C, h, w)``, the objects of one frame next to each other.
            f16: ``(B, C_16, h, w)``.

        Returns:
            ``(B * K, width, h, w)``.
        """
        x = self.block1(value, self.block1.shared_part(f16))
        return self.block2(x + self.attention(x))


class CBAM(nn.Module):
    """Convolutional block attention (Woo et al., ECCV 2018): first channels, then places.

    Args:
        width: Channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.channel_gate = nn.Sequential(
            nn.Linear(width, width // 16), nn.ReLU(), nn.Linear(width // 16, width)
        )
        self.spatial_gate = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        """Rescale ``(B, width, h, w)``."""
        channels = self.channel_gate(x.mean((2, 3))) + self.channel_gate(x.amax((2, 3)))
        x = x * torch.sigmoid(channels)[:, :, None, None]
        places = torch.cat((x.amax(1, keepdim=True), x.mean(1, keepdim=True)), dim=1)
        return x * torch.sigmoid(self.spatial_gate(places))
