"""Densely connected networks with bottlenecks and compression."""

from __future__ import annotations

import torch
from torch import nn

from deep.models._parts import Backbone, conv1, conv3, pooled
from deep.models.spec import DenseNet
from ufm._typing import Float, Tensor


class DenseNetBackbone(Backbone):
    """Stem, three dense blocks with transitions between, batch norm, ReLU, mean over positions.

    Args:
        spec: The network.
        channels: Channels of the images.
    """

    def __init__(self, spec: DenseNet, *, channels: int):
        super().__init__()
        self.width = spec.width
        inside = 2 * spec.growth
        self.stem = conv3(channels, inside)
        layers: list[nn.Module] = []
        for block in range(3):
            if block:
                kept = int(inside * spec.reduction)
                layers += [activated(inside), conv1(inside, kept), nn.AvgPool2d(2)]
                inside = kept
            for _ in range(spec.layers):
                layers.append(DenseLayer(inside, spec.growth))
                inside += spec.growth
        self.body = nn.Sequential(*layers)
        self.last = activated(inside)

    def forward(self, x: Float[Tensor, "B C s s"]) -> Float[Tensor, "B d"]:
        """Pooled features.

        Args:
            x: Normalised images.

        Returns:
            Features.
        """
        return pooled(self.last(self.body(self.stem(x))))


class DenseLayer(nn.Module):
    """A bottleneck of four times ``growth`` channels; its output is put behind its input.

    Args:
        inside: Channels in.
        growth: Channels it adds.
    """

    def __init__(self, inside: int, growth: int):
        super().__init__()
        self.body = nn.Sequential(
            activated(inside),
            conv1(inside, 4 * growth),
            activated(4 * growth),
            conv3(4 * growth, growth),
        )

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B c h w"]:
        """Apply the layer.

        Args:
            x: Maps.

        Returns:
            Maps.
        """
        return torch.cat([x, self.body(x)], 1)


def activated(channels: int) -> nn.Sequential:
    """Batch norm and ReLU.

    Args:
        channels: Number of channels.

    Returns:
        The layers.
    """
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
