"""Building blocks of encoders and decoder."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class ResBlock(nn.Module):
    """Pre-activation residual block: ReLU before each of two 3 x 3 convolutions.

    Where widths differ the shortcut is a convolution of the input, without ReLU
    (STM, Oh et al., ICCV 2019).

    Args:
        in_width: Input channels.
        width: Output channels.
        shortcut_kernel: Side of the shortcut's kernel: 3 in the paper's network, 1 in lite.
    """

    def __init__(self, in_width: int, width: int, *, shortcut_kernel: int = 3) -> None:
        super().__init__()
        self.shortcut: nn.Module = (
            nn.Identity()
            if in_width == width
            else nn.Conv2d(in_width, width, shortcut_kernel, padding=shortcut_kernel // 2)
        )
        self.conv1 = nn.Conv2d(in_width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_width, h, w)`` to ``(B, width, h, w)``."""
        residual = self.conv2(functional.relu(self.conv1(functional.relu(x))))
        return self.shortcut(x) + residual


class CBAM(nn.Module):
    """Convolutional block attention (Woo et al., ECCV 2018): first channels, then places.

    Args:
        width: Channels.
        reduction: Channels over the width of the channel gate's hidden layer.
    """

    def __init__(self, width: int, *, reduction: int = 16) -> None:
        super().__init__()
        self.channel_gate = nn.Sequential(
            nn.Linear(width, width // reduction), nn.ReLU(), nn.Linear(width // reduction, width)
        )
        self.spatial_gate = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        """Rescale ``(B, width, h, w)``."""
        channels = self.channel_gate(x.mean((2, 3))) + self.channel_gate(x.amax((2, 3)))
        x = x * torch.sigmoid(channels)[:, :, None, None]
        places = torch.cat((x.amax(1, keepdim=True), x.mean(1, keepdim=True)), dim=1)
        return x * torch.sigmoid(self.spatial_gate(places))


class FeatureFusion(nn.Module):
    """Fuse value and key features: ResBlock, CBAM, ResBlock (section 4.1)."""

    def __init__(self, in_width: int, width: int) -> None:
        super().__init__()
        self.block1 = ResBlock(in_width, width)
        self.attention = CBAM(width)
        self.block2 = ResBlock(width, width)

    def forward(self, value: Tensor, f16: Tensor) -> Tensor:
        """Fuse ``(B, C, h, w)`` and ``(B, C_16, h, w)`` into ``(B, width, h, w)``."""
        x = self.block1(torch.cat((value, f16), dim=1))
        return self.block2(x + self.attention(x))


class UpsampleBlock(nn.Module):
    """Double the resolution and add a skip feature (decoder of STM).

    Args:
        skip_width: Channels of the skip feature.
        in_width: Channels of the coarser map.
        width: Output channels.
        kernel: Side of the skip convolution's and the shortcut's kernel.
        extra_width: Channels of a further input at the finer resolution.
    """

    def __init__(
        self, skip_width: int, in_width: int, width: int, *, kernel: int = 3, extra_width: int = 0
    ) -> None:
        super().__init__()
        self.skip_conv = nn.Conv2d(skip_width, in_width, kernel, padding=kernel // 2)
        self.out_conv = ResBlock(in_width + extra_width, width, shortcut_kernel=kernel)

    def forward(self, x: Tensor, skip: Tensor, extra: Tensor | None = None) -> Tensor:
        """Combine a coarse map with a skip feature.

        Args:
            x: ``(B * K, in_width, h, w)``, the objects of one frame next to each other.
            skip: ``(B, skip_width, 2h, 2w)``, shared by the K objects of a frame.
            extra: ``(B * K, extra_width, 2h, 2w)`` or ``None``.

        Returns:
            ``(B * K, width, 2h, 2w)``.
        """
        x = functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        skip = self.skip_conv(skip)
        x = (x.unflatten(0, (skip.shape[0], -1)) + skip[:, None]).flatten(0, 1)
        if extra is not None:
            x = torch.cat((x, extra), dim=1)
        return self.out_conv(x)
