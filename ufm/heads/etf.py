"""A classifier fixed to a simplex ETF."""

from __future__ import annotations

import torch
from torch import nn

from ufm._typing import Float, Tensor
from ufm.counts import check_count, check_number
from ufm.geometry.specs import SimplexETF
from ufm.heads._head import Head, build_rows, product, stored, widened
from ufm.heads.transform import normalised


class ETFHead(Head):
    r"""Batch normalisation, unit features, and a fixed simplex ETF.

    Logits are :math:`\sqrt{E_W E_H}\,\cos\angle(w_k, h)`: rows of squared norm E_W, features of
    squared norm E_H. Train with `ufm.losses.BatchDotRegression`, or with cross-entropy; with
    E_W = E_H = 1 the probabilities of the latter stay far from one (0.252 at most for K = 10).

    Args:
        in_features: Width of the backbone's output.
        K: Number of classes.
        d: Feature dimension, at least K - 1; another one than ``in_features`` puts a linear layer
            in front. By default ``in_features``.
        E_W: Squared norm of the rows.
        E_H: Squared norm of the features, or None to leave them as normalised by the batch (the
            published ImageNet variant).
        transform: Replaces all layers in front of the frame; must give d features.
        generator: Source of the frame's random rotation; by default one seeded 0.
        device: Where parameters and frame go.
        dtype: Their type, the frame's float32 at least; torch's default if None.

    Raises:
        ValueError: If ``d`` is below K - 1.

    References:
        Yang et al. (2022) [yang2022]_.

    >>> head = ETFHead(16, 10)
    >>> head(torch.randn(8, 16)).shape
    torch.Size([8, 10])
    """

    def __init__(
        self,
        in_features: int,
        K: int,
        *,
        d: int | None = None,
        E_W: float = 1.0,
        E_H: float | None = 1.0,
        transform: nn.Module | None = None,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.in_features = in_features if transform is None else None
        spec = SimplexETF(E_W)
        d, first = widened(in_features, d, device=device, dtype=dtype)
        rows = build_rows(spec, K, rank=check_count("K", K, 2) - 1, d=d, generator=generator)
        radius = None if E_H is None else check_number("E_H", E_H, strict=True) ** 0.5
        layers = first + normalised(d, radius=radius, device=device, dtype=dtype)
        self.transform = nn.Sequential(*layers) if transform is None else transform
        self.register_buffer("frame", stored(rows, device=device, dtype=dtype))

    @property
    def parts(self) -> Tensor:
        """The rows."""
        return self.frame

    def logits(self, features: Float[Tensor, "B d"]) -> Float[Tensor, "B K"]:
        """Inner products with the rows.

        Args:
            features: What `features` returned.

        Returns:
            Logits.
        """
        return product(features, self.frame)
