"""What the networks share: convolutions without bias, pooling, and their start."""

from __future__ import annotations

import abc

from torch import nn

from ufm._typing import Float, Tensor


class Backbone(nn.Module, abc.ABC):
    """Images to pooled features.

    Attributes:
        width: Number of features.
    """

    width: int

    @abc.abstractmethod
    def forward(self, x: Float[Tensor, "B C s s"]) -> Float[Tensor, "B d"]:
        """Pooled features.

        Args:
            x: Normalised images.

        Returns:
            Features.
        """


def conv3(inside: int, outside: int, stride: int = 1) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size at stride 1.

    Args:
        inside: Channels in.
        outside: Channels out.
        stride: Stride.

    Returns:
        The layer, without bias.
    """
    return nn.Conv2d(inside, outside, 3, stride=stride, padding=1, bias=False)


def conv1(inside: int, outside: int, stride: int = 1) -> nn.Conv2d:
    """A 1x1 convolution.

    Args:
        inside: Channels in.
        outside: Channels out.
        stride: Stride.

    Returns:
        The layer, without bias.
    """
    return nn.Conv2d(inside, outside, 1, stride=stride, bias=False)


def pooled(maps: Float[Tensor, "B d h w"]) -> Float[Tensor, "B d"]:
    """Mean over positions.

    Args:
        maps: Feature maps.

    Returns:
        Features.
    """
    return maps.mean((2, 3))


def initialise(network: nn.Module) -> None:
    r"""Start convolutions at :math:`\mathcal N(0, 2/(k^2 c_{out}))`; batch norms start at 1 and 0.

    That is He et al.'s start ("fan out") and that of wide and dense networks, drawn from torch's
    global generator: call ``torch.manual_seed`` before `deep.models.build`. Linear layers keep
    PyTorch's own. Where a released code divides by the fan-in, its recipes say so.

    Args:
        network: Network to change in place.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
