"""Building blocks of encoders and decoder.

A convolution of a concatenation is the sum of the convolutions of its parts. Where objects
share a part of a block's input (an image feature), that part is therefore convolved once.
"""

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional


class SharedPart(NamedTuple):
    """A ``ResBlock``'s output for the input channels that objects share.

    Attributes:
        shortcut: ``(B, width, h, w)``.
        hidden: ``(B, width, h, w)``, before the second ReLU.
    """

    shortcut: Tensor
    hidden: Tensor


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

    def forward(self, x: Tensor, shared: SharedPart | None = None) -> Tensor:
        """Map the input to ``width`` channels.

        Args:
            x: ``(B, in_width, h, w)``; with ``shared`` its first channels,
                ``(B * K, C, h, w)``, the objects of one frame next to each other.
            shared: ``shared_part`` of the channels that are missing in ``x``, for each frame
                or for each object.

        Returns:
            ``(B, width, h, w)`` or ``(B * K, width, h, w)``.
        """
        if shared is None:
            shortcut, hidden = self.shortcut(x), self.conv1(functional.relu(x))
        else:
            own = self._part(x, 0, bias=False)
            shortcut = add_shared(own.shortcut, shared.shortcut)
            hidden = add_shared(own.hidden, shared.hidden)
        return shortcut + self.conv2(functional.relu(hidden))

    def shared_part(self, x: Tensor) -> SharedPart:
        """Convolve the last channels of the input alone, ``(B, C, h, w)``."""
        return self._part(x, self.conv1.in_channels - channels(x), bias=True)

    def _part(self, x: Tensor, first: int, *, bias: bool) -> SharedPart:
        """Apply the first convolutions to input channels from ``first`` on."""
        after = self.conv1.in_channels - first - channels(x)
        shortcut = (
            convolve_part(self.shortcut, x, first, bias=bias)
            if isinstance(self.shortcut, nn.Conv2d)
            else functional.pad(x, (0, 0, 0, 0, first, after))
        )
        return SharedPart(shortcut, convolve_part(self.conv1, functional.relu(x), first, bias=bias))


def channels(x: Tensor) -> int:
    """Return the channels of ``(B, C, h, w)``, as a number also while a graph is traced.

    A size that is traced is worked out anew by each run of an export with open shapes, and
    the weights cut by it are no constants to lay out beforehand.
    """
    return int(x.shape[1])


def convolve_part(conv: nn.Conv2d, x: Tensor, first: int, *, bias: bool) -> Tensor:
    """Convolve some of the input's channels, from ``first`` on, as if the others were zero."""
    weight = conv.weight[:, first : first + channels(x)]
    return functional.conv2d(
        x,
        weight,
        conv.bias if bias else None,
        stride=conv.stride,
        padding=conv.kernel_size[0] // 2,
    )


def add_shared(x: Tensor, shared: Tensor) -> Tensor:
    """Add ``(B, C, h, w)`` to each of the K objects in ``(B * K, C, h, w)``."""
    if shared.shape[0] in (1, x.shape[0]):
        return x + shared  # An export without reshapes: ONNX Runtime keeps its own layout.
    return (x.unflatten(0, (shared.shape[0], -1)) + shared[:, None]).flatten(0, 1)


CONTEXT_KERNEL = 7
"""Side of the kernels that look around at stride 16, in cells."""


class ZeroConv2d(nn.Conv2d):
    """A convolution that starts at zero, so that what it adds to changes nothing at first."""

    def reset_parameters(self) -> None:
        """Set weight and bias to zero."""
        for parameter in self.parameters():
            nn.init.zeros_(parameter)


class ObjectBlock(nn.Module):
    """Look around a cell, and at the object as a whole.

    Not in the paper. A depthwise convolution with a large kernel and a feed-forward network
    (ConvNeXt, Liu et al., CVPR 2022), whose hidden layer also gets the mean feature under the
    object's mask: what a cell has in common with the object decides, also where no cell of the
    memory resembles it. (Cutie, Cheng et al., CVPR 2024, does it with object queries.) The
    output starts at zero, so the block starts as the identity.

    Args:
        width: Channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.around = nn.Conv2d(width, width, CONTEXT_KERNEL, padding="same", groups=width)
        self.widen = nn.Conv2d(width, 3 * width, 1)
        self.summary = nn.Conv2d(width, 3 * width, 1, bias=False)
        self.narrow = ZeroConv2d(3 * width, width, 1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Add to ``(B, width, h, w)``, given the object's soft mask ``(B, 1, h, w)``."""
        share = mask / (mask.sum((2, 3), keepdim=True) + 1e-3)
        mean = (x * share).sum((2, 3), keepdim=True)
        hidden = functional.relu(self.widen(self.around(x)) + self.summary(mean))
        out: Tensor = x + self.narrow(hidden)
        return out


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

    def shared_part(self, skip: Tensor) -> Tensor:
        """Map a skip feature ``(B, skip_width, 2h, 2w)`` to ``(B, in_width, 2h, 2w)``."""
        feature: Tensor = self.skip_conv(skip)
        return feature

    def forward(self, x: Tensor, shared: Tensor, extra: Tensor | None = None) -> Tensor:
        """Combine a coarse map with a skip feature.

        Args:
            x: ``(B * K, in_width, h, w)``, the objects of one frame next to each other.
            shared: ``shared_part`` of the skip feature, shared by the K objects of a frame.
            extra: ``(B * K, extra_width, 2h, 2w)`` or ``None``.

        Returns:
            ``(B * K, width, 2h, 2w)``.
        """
        x = functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        x = add_shared(x, shared)
        # Convolved apart: joined, they are no whole number of eights (48 + 2 channels in
        # lite), and ONNX Runtime has no fast convolution for that.
        rest = None if extra is None else self.out_conv.shared_part(extra)
        fused: Tensor = self.out_conv(x, rest)
        return fused
