"""Small networks: fully connected, and LeNet."""

from __future__ import annotations

from torch import nn

from deep.models._parts import Backbone
from deep.models.spec import MLP, LeNet
from ufm._typing import Float, Tensor


class MLPBackbone(Backbone):
    """Flattened pixels through linear layers, a ReLU behind each.

    Args:
        spec: The network.
        channels: Channels of the images.
        size: Their height and width.
    """

    def __init__(self, spec: MLP, *, channels: int, size: int):
        super().__init__()
        self.width = spec.width
        layers: list[nn.Module] = []
        inside = channels * size**2
        for outside in spec.widths:
            layers += [nn.Linear(inside, outside), nn.ReLU(inplace=True)]
            inside = outside
        self.body = nn.Sequential(*layers)

    def forward(self, x: Float[Tensor, "B C s s"]) -> Float[Tensor, "B d"]:
        """Features.

        Args:
            x: Normalised images.

        Returns:
            Features.
        """
        return self.body(x.flatten(1))


class LeNetBackbone(Backbone):
    """Two 5x5 convolutions with max pooling, two linear layers.

    Args:
        spec: The network.
        channels: Channels of the images.
        size: Their height and width, at least 12.
    """

    def __init__(self, spec: LeNet, *, channels: int, size: int):
        super().__init__()
        self.width = spec.width
        first, second, third, fourth = spec.widths
        padding = 2 if size < 32 else 0  # 28 x 28 digits stand in a field of 32 x 32
        side = ((size + 2 * padding - 4) // 2 - 4) // 2
        self.maps = nn.Sequential(
            nn.Conv2d(channels, first, 5, padding=padding),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(first, second, 5),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
        )
        self.body = nn.Sequential(
            nn.Linear(second * side**2, third),
            nn.ReLU(inplace=True),
            nn.Linear(third, fourth),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Float[Tensor, "B C s s"]) -> Float[Tensor, "B d"]:
        """Features.

        Args:
            x: Normalised images.

        Returns:
            Features.
        """
        return self.body(self.maps(x).flatten(1))
