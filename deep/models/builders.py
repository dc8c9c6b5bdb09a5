"""From a spec to a backbone."""

from __future__ import annotations

from typing import assert_never

from torch import nn

from deep.models._parts import Backbone, initialise
from deep.models.densenet import DenseNetBackbone
from deep.models.resnet import ImageNetBackbone, ResNetBackbone
from deep.models.small import LeNetBackbone, MLPBackbone
from deep.models.spec import MLP, DenseNet, LeNet, Network, ResNet, ResNetImageNet, WideResNet
from deep.models.wide_resnet import WideResNetBackbone
from ufm._typing import Float, Tensor
from ufm.counts import check_count


def build(network: Network, *, channels: int, size: int) -> Backbone:
    """A backbone, images ``(B, channels, size, size)`` to pooled features ``(B, width)``.

    Call ``torch.manual_seed`` before: the start is drawn from torch's global generator. Use
    ``.to(memory_format=torch.channels_last)`` for speed, on CPUs too.

    Args:
        network: Which one.
        channels: Channels of the images.
        size: Their height and width.

    Returns:
        The module, with the attribute ``width``.

    Raises:
        ValueError: If images are too small for the network; the message says both sizes.

    >>> import torch
    >>> build(ResNet(20), channels=1, size=8)(torch.randn(2, 1, 8, 8)).shape
    torch.Size([2, 64])
    """
    check_count("channels", channels)
    least = least_size(network)
    if check_count("size", size) < least:
        raise ValueError(
            f"size must be at least {least} pixels for {type(network).__name__}, got {size}"
        )
    backbone = make(network, channels=channels, size=size)
    if not isinstance(network, MLP):
        initialise(backbone)
    return backbone


def make(network: Network, *, channels: int, size: int) -> Backbone:
    """The module of a spec, with PyTorch's start.

    Args:
        network: Which one.
        channels: Channels of the images.
        size: Their height and width.

    Returns:
        The module.
    """
    match network:
        case ResNet():
            return ResNetBackbone(network, channels=channels)
        case WideResNet():
            return WideResNetBackbone(network, channels=channels)
        case DenseNet():
            return DenseNetBackbone(network, channels=channels)
        case ResNetImageNet(stem="imagenet"):
            return Torchvision(network, channels=channels)
        case ResNetImageNet():
            return ImageNetBackbone(network, channels=channels)
        case MLP():
            return MLPBackbone(network, channels=channels, size=size)
        case LeNet():
            return LeNetBackbone(network, channels=channels, size=size)
    assert_never(network)


def least_size(network: Network) -> int:
    """Smallest images that leave a network something to pool.

    Args:
        network: Which one.

    Returns:
        Height and width in pixels.
    """
    match network:
        case MLP():
            return 1
        case LeNet():
            return 12  # two 5x5 convolutions with pooling, the first padded
        case ResNetImageNet(stem="imagenet"):
            return 32  # five halvings
        case ResNetImageNet():
            return 8
    return 4


class Torchvision(Backbone):
    """torchvision's ImageNet network without its classifier, from random weights.

    Args:
        spec: The network.
        channels: Channels of the images, 3.

    Raises:
        ValueError: If images have other channels.
        ImportError: If torchvision is not installed.
    """

    def __init__(self, spec: ResNetImageNet, *, channels: int):
        super().__init__()
        if channels != 3:
            raise ValueError(f"channels must be 3 for ImageNet's networks, got {channels}")
        try:
            from torchvision import models  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise ImportError(
                "ImageNet's networks need torchvision: pip install 'ufm[vision]'"
            ) from error
        self.width = spec.width
        self.body = models.resnet18() if spec.depth == 18 else models.resnet50()
        self.body.fc = nn.Identity()

    def forward(self, x: Float[Tensor, "B C s s"]) -> Float[Tensor, "B d"]:
        """Pooled features.

        Args:
            x: Normalised images.

        Returns:
            Features.
        """
        return self.body(x)
