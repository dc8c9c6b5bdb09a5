"""Networks as specs: what a recipe names. Torch-free; `deep.models.build` makes the modules.

Each has ``width``, the number of pooled features it gives, so that a recipe can be checked against
the dimension that a frame needs before anything is built. No classifier is part of a network.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from ufm._spec import spec
from ufm.counts import check_count, check_number


@spec
class ResNet:
    """CIFAR ResNet of 6m + 2 layers, parameter-free shortcuts (option A).

    Attributes:
        depth: 20, 32, 44, 56, 110, or any other 6m + 2.
        widths: Channels of the three stages; (32, 64, 128) is the widened network that Yang et al.
            use on CIFAR-100.

    References:
        He et al. (2016) [he2016]_, Section 4.2.
    """

    depth: int = 32
    widths: tuple[int, ...] = (16, 32, 64)

    def __post_init__(self):
        check_depth(self.depth, step=6, offset=2)
        object.__setattr__(self, "widths", check_widths(self.widths, 3))
        if any(b < a for a, b in zip(self.widths, self.widths[1:], strict=False)):
            raise ValueError(f"widths must not fall, got {self.widths}")

    @property
    def width(self) -> int:
        """Number of features."""
        return self.widths[-1]


@spec
class WideResNet:
    """Wide ResNet of 6m + 4 layers with pre-activation blocks, without dropout.

    The defaults are the paper's. The hierarchy-aware frame's runs, whose code has the backbone from
    semi-supervised learning, have ``leak=0.1, momentum=0.001, raw_transitions=True``.

    Attributes:
        depth: 28, or any other 6m + 4.
        k: Widening factor: stages of 16k, 32k, 64k channels.
        leak: Slope of the activation at negative inputs; 0 is ReLU.
        momentum: Share of a batch in the running statistics, in (0, 1].
        raw_transitions: Whether the first block of the second and third stage takes its input as
            it is; else all blocks begin with batch norm and activation.

    References:
        Zagoruyko and Komodakis (2016) [zagoruyko2016]_; Liang and Davis (2023) [liang2023]_,
        released code, for the other values.
    """

    depth: int = 28
    k: int = 8
    leak: float = 0.0
    momentum: float = 0.1
    raw_transitions: bool = False

    def __post_init__(self):
        check_depth(self.depth, step=6, offset=4)
        check_count("k", self.k)
        object.__setattr__(self, "leak", check_number("leak", self.leak))
        object.__setattr__(self, "momentum", check_number("momentum", self.momentum, strict=True))
        if self.momentum > 1:
            raise ValueError(f"momentum must be at most 1, got {self.momentum:g}")

    @property
    def width(self) -> int:
        """Number of features."""
        return 64 * self.k


@spec
class DenseNet:
    """DenseNet-BC with three blocks of ``(depth - 4) // 6`` bottleneck layers.

    Depth 150, which the long-tailed papers name, is not 6m + 4: as in their code it has the 24
    layers a block of depth 148, and 510 features with growth 12, 1360 with growth 32.

    Attributes:
        depth: Nominal depth, at least 10.
        growth: Channels a layer adds.
        reduction: Share of channels that a transition keeps, in (0, 1].

    References:
        Huang et al. (2017) [huang2017]_.
    """

    depth: int = 150
    growth: int = 12
    reduction: float = 0.5

    def __post_init__(self):
        check_count("depth", self.depth, 10)
        check_count("growth", self.growth)
        share = check_number("reduction", self.reduction, strict=True)
        object.__setattr__(self, "reduction", share)
        if share > 1:
            raise ValueError(f"reduction must be at most 1, got {share:g}")

    @property
    def layers(self) -> int:
        """Bottleneck layers of each block."""
        return (self.depth - 4) // 6

    @property
    def width(self) -> int:
        """Number of features."""
        channels, gained = 2 * self.growth, self.layers * self.growth
        for _ in range(2):
            channels = int((channels + gained) * self.reduction)
        return channels + gained


@spec
class ResNetImageNet:
    """ImageNet's ResNet-18 or ResNet-50.

    Attributes:
        depth: 18 (basic blocks, 512 features) or 50 (bottlenecks, 2048 features).
        stem: ``cifar``: a 3x3 convolution of stride 1 and no pooling, for small images.
            ``imagenet``: torchvision's network (extra ``vision``).

    References:
        He et al. (2016) [he2016]_, Table 1.
    """

    depth: int = 50
    stem: Literal["cifar", "imagenet"] = "cifar"

    def __post_init__(self):
        if self.depth not in (18, 50):
            raise ValueError(f"depth must be 18 or 50, got {self.depth!r}")
        if self.stem not in ("cifar", "imagenet"):
            raise ValueError(f"stem must be 'cifar' or 'imagenet', got {self.stem!r}")

    @property
    def width(self) -> int:
        """Number of features."""
        return 512 if self.depth == 18 else 2048


@spec
class MLP:
    """Fully connected network, a ReLU behind every layer.

    Attributes:
        widths: Units of the layers; the last are the features.
    """

    widths: tuple[int, ...] = (256, 256)

    def __post_init__(self):
        object.__setattr__(self, "widths", check_widths(self.widths, None))

    @property
    def width(self) -> int:
        """Number of features."""
        return self.widths[-1]


@spec
class LeNet:
    """LeNet-5 in its modern form: ReLU, max pooling; images below 32 x 32 are padded by 2.

    Attributes:
        widths: Channels of the two convolutions and units of the two layers behind them.

    References:
        LeCun et al. (1998) [lecun1998]_.
    """

    widths: tuple[int, ...] = (6, 16, 120, 84)

    def __post_init__(self):
        object.__setattr__(self, "widths", check_widths(self.widths, 4))

    @property
    def width(self) -> int:
        """Number of features."""
        return self.widths[-1]


Network: TypeAlias = ResNet | WideResNet | DenseNet | ResNetImageNet | MLP | LeNet


def check_depth(depth: int, *, step: int, offset: int) -> None:
    """Check a depth of ``step * m + offset`` layers, m >= 1.

    Args:
        depth: Number of layers.
        step: Layers a unit of depth has.
        offset: Layers outside of the stages.

    Raises:
        ValueError: If the depth is another one.
    """
    if check_count("depth", depth, step + offset) % step != offset % step:
        raise ValueError(f"depth must be {step}m + {offset}, got {depth}")


def check_widths(widths: tuple[int, ...], length: int | None) -> tuple[int, ...]:
    """Check a tuple of layer widths.

    Args:
        widths: Positive integers.
        length: How many; None for one or more.

    Returns:
        The widths.

    Raises:
        ValueError: If the length is another one or a width is not a positive integer.
    """
    found = tuple(check_count(f"widths[{i}]", w) for i, w in enumerate(widths))
    if not found or (length is not None and len(found) != length):
        raise ValueError(f"widths must hold {length or 'at least 1'} numbers, got {len(found)}")
    return found
