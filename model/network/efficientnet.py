"""EfficientNet-Lite0 up to stride 32, as timm's ``tf_efficientnet_lite0`` computes it.

Our own hundred lines because timm imports torchvision, and that torch's compiler: 165 MB and
two seconds in every run. Names and order of the parameters are timm's, so that the published
weights fit; a test compares both networks.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.ops.frames import IMAGENET_MEAN, IMAGENET_STD

BATCH_NORM_EPS = 1e-3
"""As in TensorFlow, where the weights were trained."""

STEM_WIDTH = 32

STAGES = (
    # blocks, kernel, stride of the first block, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)

FEATURES = (1, 2, 4, 6)
"""The stages that end the strides 4, 8, 16 and 32."""


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


class EfficientNetLite0(nn.Module):
    """Stages of inverted residuals; ReLU6, no squeeze and excitation.

    Args:
        strides: How many of the strides 4, 8, 16 and 32 there are features at.

    Attributes:
        widths: Channels of these features.
    """

    def __init__(self, strides: int = 3) -> None:
        super().__init__()
        self._ends = FEATURES[:strides]
        self.widths = tuple(STAGES[end][4] for end in self._ends)
        self.conv_stem = SameConv2d(3, STEM_WIDTH, 3, stride=2)
        self.bn1 = nn.BatchNorm2d(STEM_WIDTH, eps=BATCH_NORM_EPS)
        self.blocks = nn.Sequential(*stages(STEM_WIDTH, STAGES[: self._ends[-1] + 1]))
        self.apply(_initialise)

    def forward(self, x: Tensor, known: Sequence[Tensor] = ()) -> tuple[Tensor, ...]:
        """Map ``(B, 3, H, W)`` to its features, finest first.

        Args:
            x: Scaled as the weights expect.
            known: The finest of the features, where somebody has them already.
        """
        features = list(known)
        if not features:
            x = functional.relu6(self.bn1(self.conv_stem(x)), inplace=True)
            features.append(self.blocks[: self._ends[0] + 1](x))
        for before, end in list(pairwise(self._ends))[len(features) - 1 :]:
            features.append(self.blocks[before + 1 : end + 1](features[-1]))
        return tuple(features)


class SameConv2d(nn.Conv2d):
    """A convolution without bias, padded as TensorFlow pads.

    With stride 2 the odd row and column of the padding are at the bottom and the right.
    """

    def __init__(
        self, in_width: int, out_width: int, kernel: int, *, stride: int = 1, groups: int = 1
    ) -> None:
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(
            in_width, out_width, kernel, stride, padding=padding, groups=groups, bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``(B, C, H, W)`` to ``(B, C', H / stride, W / stride)``, rounded up."""
        if self.stride == (1, 1):
            return super().forward(x)
        kernel = self.kernel_size[0]
        if x.shape[-2] % 2 == x.shape[-1] % 2 == 0:
            # A kernel with a row and a column of zeros before it, padded alike on all sides,
            # is the same: padding by itself costs a copy, a quarter of the key encoder's time.
            out_width, in_width, *_ = self.weight.shape
            row = self.weight.new_zeros(out_width, in_width, 1, kernel)
            column = self.weight.new_zeros(out_width, in_width, kernel + 1, 1)
            weight = torch.cat((column, torch.cat((row, self.weight), 2)), 3)
            return functional.conv2d(
                x, weight, self.bias, self.stride, kernel // 2, groups=self.groups
            )
        rows, columns = (kernel - 2 + int(side) % 2 for side in x.shape[-2:])
        x = functional.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
        return super().forward(x)


class SeparableBlock(nn.Module):
    """The first stage's block: a convolution of each channel, then one across channels."""

    def __init__(self, in_width: int, width: int, kernel: int) -> None:
        super().__init__()
        self.conv_dw = SameConv2d(in_width, in_width, kernel, groups=in_width)
        self.bn1 = nn.BatchNorm2d(in_width, eps=BATCH_NORM_EPS)
        self.conv_pw = SameConv2d(in_width, width, 1)
        self.bn2 = nn.BatchNorm2d(width, eps=BATCH_NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to ``(B, C', H, W)``."""
        x = functional.relu6(self.bn1(self.conv_dw(x)), inplace=True)
        out: Tensor = self.bn2(self.conv_pw(x))
        return out


class InvertedResidual(nn.Module):
    """Widen, convolve each channel, narrow; added to the input where shapes agree."""

    def __init__(
        self, in_width: int, width: int, kernel: int, *, stride: int, expansion: int
    ) -> None:
        super().__init__()
        self.residual = stride == 1 and in_width == width
        middle = in_width * expansion
        self.conv_pw = SameConv2d(in_width, middle, 1)
        self.bn1 = nn.BatchNorm2d(middle, eps=BATCH_NORM_EPS)
        self.conv_dw = SameConv2d(middle, middle, kernel, stride=stride, groups=middle)
        self.bn2 = nn.BatchNorm2d(middle, eps=BATCH_NORM_EPS)
        self.conv_pwl = SameConv2d(middle, width, 1)
        self.bn3 = nn.BatchNorm2d(width, eps=BATCH_NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to ``(B, C', H / stride, W / stride)``."""
        y = functional.relu6(self.bn1(self.conv_pw(x)), inplace=True)
        y = functional.relu6(self.bn2(self.conv_dw(y)), inplace=True)
        y = self.bn3(self.conv_pwl(y))
        return y + x if self.residual else y


def stages(in_width: int, rows: Sequence[tuple[int, ...]]) -> Iterator[nn.Sequential]:
    """Yield stages that follow each other, as rows of ``STAGES`` describe them."""
    for blocks, kernel, stride, expansion, width in rows:
        stage = nn.Sequential()
        for index in range(blocks):
            if expansion == 1:
                stage.append(SeparableBlock(in_width, width, kernel))
            else:
                stage.append(
                    InvertedResidual(
                        in_width,
                        width,
                        kernel,
                        stride=1 if index else stride,
                        expansion=expansion,
                    )
                )
            in_width = width
        yield stage


def _initialise(module: nn.Module) -> None:
    """Start as timm does: normal, by the number of values that each input value reaches."""
    if isinstance(module, nn.Conv2d):
        rows, columns = module.kernel_size
        fan_out = rows * columns * module.out_channels // module.groups
        with torch.no_grad():
            module.weight.normal_(0, math.sqrt(2 / fan_out))
