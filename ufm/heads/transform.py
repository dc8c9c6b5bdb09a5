"""Feature transformations between a backbone and a fixed frame."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from ufm._typing import Float, Tensor
from ufm.counts import check_count, check_number
from ufm.heads._head import at_least_float32, full_precision
from ufm.losses._features import unit_rows


class UnitFeatures(nn.Module):
    """Rows scaled to one length, in float32 at least; a zero row stays zero.

    Args:
        radius: The length, > 0.

    References:
        Yang et al. (2022) [yang2022]_, after a batch normalisation.
    """

    def __init__(self, radius: float = 1.0):
        super().__init__()
        self.radius = check_number("radius", radius, strict=True)

    def forward(self, x: Float[Tensor, "B d"]) -> Float[Tensor, "B d"]:
        """Scale the rows.

        Args:
            x: Features.

        Returns:
            Rows of length ``radius``.
        """
        with full_precision(x):
            return self.radius * unit_rows(at_least_float32(x))

    def extra_repr(self) -> str:
        """The length, for ``print``.

        Returns:
            The text.
        """
        return f"radius={self.radius:g}"


class ResidualBlock(nn.Module):
    r"""Two times linear, batch normalisation, PReLU; the input is added behind the last PReLU.

    PReLU and the skip let features be negative: behind a ReLU they would be confined to the
    positive orthant and could not reach rows with negative cosines.

    Args:
        width: Number of channels.
        device: Where the parameters go.
        dtype: Their type.

    References:
        Liang and Davis (2023) [liang2023]_, released code.
    """

    def __init__(
        self,
        width: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            layers.append(nn.Linear(width, width, bias=False, device=device, dtype=dtype))
            layers.append(nn.BatchNorm1d(width, device=device, dtype=dtype))
            layers.append(nn.PReLU(width, device=device, dtype=dtype))
        self.body = nn.Sequential(*layers)

    def forward(self, x: Float[Tensor, "B d"]) -> Float[Tensor, "B d"]:
        """Apply the block.

        Args:
            x: Features.

        Returns:
            ``x + body(x)``.
        """
        return x + self.body(x)


class ResidualTransform(nn.Module):
    """The feature transformation of the hierarchy-aware frame ("type II").

    A linear map to ``d`` channels at each position (a 1x1 convolution), pooling, batch
    normalisation, two residual blocks. Takes maps ``(B, C, h, w)`` or pooled vectors ``(B, C)``.

    Args:
        in_features: Channels C of the backbone.
        d: Feature dimension; the published choice is K.
        pool: ``avg``, as in the published runs, or ``max``.
        device: Where the parameters go.
        dtype: Their type.

    Raises:
        ValueError: If ``pool`` is neither.

    References:
        Liang and Davis (2023) [liang2023]_, released code.
    """

    def __init__(
        self,
        in_features: int,
        d: int,
        *,
        pool: Literal["avg", "max"] = "avg",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        if pool not in ("avg", "max"):
            raise ValueError(f"pool must be 'avg' or 'max', got {pool!r}")
        check_count("in_features", in_features)
        self.pool = pool
        self.reduce = nn.Linear(
            in_features, check_count("d", d), bias=False, device=device, dtype=dtype
        )
        self.body = nn.Sequential(
            nn.BatchNorm1d(d, device=device, dtype=dtype),
            ResidualBlock(d, device=device, dtype=dtype),
            ResidualBlock(d, device=device, dtype=dtype),
        )

    def forward(self, x: Float[Tensor, "B C"] | Float[Tensor, "B C h w"]) -> Float[Tensor, "B d"]:
        """Transform the backbone's output.

        Args:
            x: Maps or vectors.

        Returns:
            Features.

        Raises:
            ValueError: If ``x`` is neither.
        """
        if x.ndim not in (2, 4):
            raise ValueError(f"x must be vectors (B, C) or maps (B, C, h, w), got {x.ndim} axes")
        if x.ndim == 4 and self.pool == "avg":
            x = x.mean((2, 3))  # the mean commutes with the linear map
        if x.ndim == 2:
            return self.body(self.reduce(x))
        return self.body(self.reduce(x.flatten(2).mT).amax(1))

    def extra_repr(self) -> str:
        """The pooling, for ``print``.

        Returns:
            The text.
        """
        return f"pool={self.pool}"


def normalised(
    d: int,
    *,
    radius: float | None,
    device: torch.device | str | None,
    dtype: torch.dtype | None,
) -> list[nn.Module]:
    """Batch normalisation, and unit features behind it.

    Args:
        d: Feature dimension.
        radius: Length of the features; None leaves them as the normalisation makes them.
        device: Where the parameters go.
        dtype: Their type.

    Returns:
        The layers.
    """
    layers: list[nn.Module] = [nn.BatchNorm1d(d, device=device, dtype=dtype)]
    return layers if radius is None else [*layers, UnitFeatures(radius)]
