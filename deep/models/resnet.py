"""Residual networks: He et al.'s for CIFAR, and ImageNet's 18 and 50 layers on small images."""

from __future__ import annotations

import torch
from torch import nn

from deep.models._parts import Backbone, conv1, conv3, pooled
from deep.models.spec import ResNet, ResNetImageNet
from ufm._typing import Float, Tensor


class ResNetBackbone(Backbone):
    """Stem, three stages of basic blocks, mean over positions.

    Args:
        spec: The network.
        channels: Channels of the images.
    """

    def __init__(self, spec: ResNet, *, channels: int):
        super().__init__()
        self.width = spec.width
        self.stem = nn.Sequential(conv3(channels, spec.widths[0]), nn.BatchNorm2d(spec.widths[0]))
        layers: list[nn.Module] = []
        inside = spec.widths[0]
        for stage, outside in enumerate(spec.widths):
            for block in range((spec.depth - 2) // 6):
                stride = 2 if stage and not block else 1
                layers.append(BasicBlock(inside, outside, stride, Padded(inside, outside, stride)))
                inside = outside
        self.body = nn.Sequential(*layers)

    def forward(self, x: Float[Tensor, "B C s s"]) -> Float[Tensor, "B d"]:
        """Pooled features.

        Args:
            x: Normalised images.

        Returns:
            Features.
        """
        return pooled(self.body(torch.relu_(self.stem(x))))


class ImageNetBackbone(Backbone):
    """ResNet-18 or ResNet-50 with a 3x3 stem of stride 1 and no pooling behind it.

    Args:
        spec: The network.
        channels: Channels of the images.
    """

    def __init__(self, spec: ResNetImageNet, *, channels: int):
        super().__init__()
        self.width = spec.width
        self.stem = nn.Sequential(conv3(channels, 64), nn.BatchNorm2d(64))
        layers: list[nn.Module] = []
        inside = 64
        blocks = (2, 2, 2, 2) if spec.depth == 18 else (3, 4, 6, 3)
        for stage, count in enumerate(blocks):
            inner = 64 * 2**stage
            outside = inner if spec.depth == 18 else 4 * inner
            for block in range(count):
                stride = 2 if stage and not block else 1
                way = projection(inside, outside, stride)
                if spec.depth == 18:
                    layers.append(BasicBlock(inside, outside, stride, way))
                else:
                    layers.append(Bottleneck(inside, inner, stride, way))
                inside = outside
        self.body = nn.Sequential(*layers)

    def forward(self, x: Float[Tensor, "B C s s"]) -> Float[Tensor, "B d"]:
        """Pooled features.

        Args:
            x: Normalised images.

        Returns:
            Features.
        """
        return pooled(self.body(torch.relu_(self.stem(x))))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, and a shortcut.

    Args:
        inside: Channels in.
        outside: Channels out.
        stride: Stride of the first convolution.
        shortcut: What carries the input to the sum.
    """

    def __init__(self, inside: int, outside: int, stride: int, shortcut: nn.Module):
        super().__init__()
        self.conv1 = conv3(inside, outside, stride)
        self.norm1 = nn.BatchNorm2d(outside)
        self.conv2 = conv3(outside, outside)
        self.norm2 = nn.BatchNorm2d(outside)
        self.shortcut = shortcut

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B c i j"]:
        """Apply the block.

        Args:
            x: Maps.

        Returns:
            Maps.
        """
        y = torch.relu_(self.norm1(self.conv1(x)))
        return torch.relu_(self.norm2(self.conv2(y)).add_(self.shortcut(x)))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions with batch norm, and a shortcut; four times ``inner`` channels.

    The stride is in the 3x3 convolution, as in all current implementations; the paper's table has
    it in the first.

    Args:
        inside: Channels in.
        inner: Channels of the 3x3 convolution.
        stride: Its stride.
        shortcut: What carries the input to the sum.
    """

    def __init__(self, inside: int, inner: int, stride: int, shortcut: nn.Module):
        super().__init__()
        self.conv1 = conv1(inside, inner)
        self.norm1 = nn.BatchNorm2d(inner)
        self.conv2 = conv3(inner, inner, stride)
        self.norm2 = nn.BatchNorm2d(inner)
        self.conv3 = conv1(inner, 4 * inner)
        self.norm3 = nn.BatchNorm2d(4 * inner)
        self.shortcut = shortcut

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B c i j"]:
        """Apply the block.

        Args:
            x: Maps.

        Returns:
            Maps.
        """
        y = torch.relu_(self.norm1(self.conv1(x)))
        y = torch.relu_(self.norm2(self.conv2(y)))
        return torch.relu_(self.norm3(self.conv3(y)).add_(self.shortcut(x)))


class Padded(nn.Module):
    """Option A: every other position, and zeros in the channels that are new; no parameters.

    Args:
        inside: Channels in.
        outside: Channels out.
        stride: Distance of the positions that are kept.
    """

    def __init__(self, inside: int, outside: int, stride: int):
        super().__init__()
        self.stride, self.new = stride, outside - inside

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B c i j"]:
        """Apply the shortcut.

        Args:
            x: Maps.

        Returns:
            Maps.
        """
        if self.stride > 1:
            # Windows of one pixel: the same as slicing, with a backward pass of one kernel.
            x = nn.functional.avg_pool2d(x, 1, self.stride)
        if not self.new:
            return x
        before = self.new // 2
        return nn.functional.pad(x, (0, 0, 0, 0, before, self.new - before))

    def extra_repr(self) -> str:
        """Stride and new channels, for ``print``.

        Returns:
            The text.
        """
        return f"stride={self.stride}, new={self.new}"


def projection(inside: int, outside: int, stride: int) -> nn.Module:
    """Option B: a 1x1 convolution with batch norm where shapes differ, else nothing.

    Args:
        inside: Channels in.
        outside: Channels out.
        stride: Stride.

    Returns:
        The shortcut.
    """
    if stride == 1 and inside == outside:
        return nn.Identity()
    return nn.Sequential(conv1(inside, outside, stride), nn.BatchNorm2d(outside))
