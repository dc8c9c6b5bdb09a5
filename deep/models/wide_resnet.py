"""Wide residual networks with pre-activation blocks."""

from __future__ import annotations

from torch import nn

from deep.models._parts import Backbone, conv1, conv3, pooled
from deep.models.spec import WideResNet
from ufm._typing import Float, Tensor


class WideResNetBackbone(Backbone):
    """Stem, three stages of pre-activation blocks, batch norm, activation, mean over positions.

    Args:
        spec: The network.
        channels: Channels of the images.
    """

    def __init__(self, spec: WideResNet, *, channels: int):
        super().__init__()
        self.width = spec.width
        self.stem = conv3(channels, 16)
        layers: list[nn.Module] = []
        inside = 16
        for stage, outside in enumerate((16 * spec.k, 32 * spec.k, 64 * spec.k)):
            for block in range((spec.depth - 4) // 6):
                stride = 2 if stage and not block else 1
                raw = spec.raw_transitions and stride == 2
                layers.append(WideBlock(spec, inside, outside, stride=stride, raw=raw))
                inside = outside
        self.body = nn.Sequential(*layers)
        self.last = activated(spec, inside)

    def forward(self, x: Float[Tensor, "B C s s"]) -> Float[Tensor, "B d"]:
        """Pooled features.

        Args:
            x: Normalised images.

        Returns:
            Features.
        """
        return pooled(self.last(self.body(self.stem(x))))


class WideBlock(nn.Module):
    """Batch norm, activation and 3x3 convolution, twice, and a shortcut.

    Args:
        spec: The network.
        inside: Channels in.
        outside: Channels out.
        stride: Stride of the first convolution and the projection.
        raw: Whether the block takes its input without batch norm and activation.
    """

    def __init__(self, spec: WideResNet, inside: int, outside: int, *, stride: int, raw: bool):
        super().__init__()
        self.first = nn.Identity() if raw else activated(spec, inside)
        self.conv1 = conv3(inside, outside, stride)
        self.second = activated(spec, outside)
        self.conv2 = conv3(outside, outside)
        # Where channels change, a 1x1 convolution that starts behind the first activation.
        self.shortcut = conv1(inside, outside, stride) if inside != outside else None

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B c i j"]:
        """Apply the block.

        Args:
            x: Maps.

        Returns:
            Maps.
        """
        start = self.first(x)
        y = self.conv2(self.second(self.conv1(start)))
        return y.add_(x if self.shortcut is None else self.shortcut(start))


def activated(spec: WideResNet, channels: int) -> nn.Sequential:
    """Batch norm and activation.

    Args:
        spec: The network.
        channels: Number of channels.

    Returns:
        The layers.
    """
    norm = nn.BatchNorm2d(channels, momentum=spec.momentum)
    if spec.leak:
        return nn.Sequential(norm, nn.LeakyReLU(spec.leak, inplace=True))
    return nn.Sequential(norm, nn.ReLU(inplace=True))
