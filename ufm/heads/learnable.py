"""An ordinary classifier with the interface of the fixed ones, as their baseline."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import nn

from ufm._typing import Float, Tensor
from ufm.counts import check_count
from ufm.heads._head import Head, at_least_float32, product, widened
from ufm.losses._features import unit_rows


class LearnableHead(Head):
    """A learned linear classifier.

    Args:
        in_features: Width of the backbone's output.
        K: Number of classes, at least 2.
        d: Feature dimension; another one than ``in_features`` puts a linear layer in front.
        bias: Whether logits have a bias; not with ``unit``.
        unit: Whether features and rows are normalised, so that logits are cosines (for LDAM).
        transform: Replaces the layers in front; must give d features. With
            `ufm.heads.ResidualTransform` this is the "type II" baseline of the hierarchy-aware
            frame.
        device: Where the parameters go.
        dtype: Their type; torch's default if None.

    Raises:
        ValueError: If ``K`` is below 2.

    >>> LearnableHead(16, 10)(torch.randn(8, 16)).shape
    torch.Size([8, 10])
    """

    shown: ClassVar[tuple[str, ...]] = ("K", "d", "unit")

    def __init__(
        self,
        in_features: int,
        K: int,
        *,
        d: int | None = None,
        bias: bool = True,
        unit: bool = False,
        transform: nn.Module | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.in_features = in_features if transform is None else None
        check_count("K", K, 2)
        d, first = widened(in_features, d, device=device, dtype=dtype)
        self.transform = nn.Sequential(*first) if transform is None else transform
        self.unit = unit
        # The start of nn.Linear: uniform within one over the root of the width.
        bound = 1 / math.sqrt(d)
        rows = torch.empty(K, d, device=device, dtype=dtype).uniform_(-bound, bound)
        self.frame = nn.Parameter(rows)
        offset = torch.empty(K, device=device, dtype=dtype).uniform_(-bound, bound)
        self.bias = nn.Parameter(offset) if bias and not unit else None

    @property
    def parts(self) -> Tensor:
        """The rows, at least float32 as the features are."""
        return at_least_float32(self.frame)

    def linear_rule(self) -> tuple[Float[Tensor, "K d"], Float[Tensor, "K"] | None]:
        """The rows, of unit length with ``unit``, and the bias.

        Returns:
            Rows and bias.
        """
        return unit_rows(self.parts) if self.unit else self.parts, self.bias

    def logits(self, features: Float[Tensor, "B d"]) -> Float[Tensor, "B K"]:
        """Inner products with the rows and the bias; cosines with ``unit``.

        Args:
            features: What `features` returned.

        Returns:
            Logits.
        """
        if self.unit:
            return product(unit_rows(features), unit_rows(self.parts))
        Z = product(features, self.parts)
        return Z if self.bias is None else Z + self.bias
