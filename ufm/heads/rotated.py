"""A fixed frame behind a rotation that is learned."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import nn

from ufm._typing import Float, Tensor
from ufm.counts import check_count
from ufm.geometry.haframe import embed
from ufm.geometry.specs import SimplexETF
from ufm.heads._head import (
    Head,
    at_least_float32,
    build_rows,
    full_precision,
    product,
    source,
    stored,
    widened,
)


Rows = Literal["released", "simplex"]


class RotatedHead(Head):
    r"""A fixed frame and a learned rotation, logits :math:`\langle R m_k, h\rangle`.

    The Gram matrix of the classifier is that of the frame, its orientation follows the features.
    R is the Cayley map of the skew part of `skew`, :math:`(I + A/2)^{-1}(I - A/2)`, behind a random
    start; the released code has the exponential map (geotorch), which reaches the same rotations.
    Features are used as they are. Train with cross-entropy; subtract :math:`\log\pi` from the
    scores to decide (`ufm.heads.adjusted_scores`), as published.

    Args:
        in_features: Width of the backbone's output.
        K: Number of classes.
        d: Feature dimension, at least K (K - 1 with ``rows="simplex"``); another one than
            ``in_features`` puts a linear layer in front. By default ``in_features``.
        rows: ``released``: the first K columns of :math:`I_d - 11'/d`, as in the code: squared
            norms 1 - 1/d and cosines -1/(d-1), so nearly orthogonal where d is large.
            ``simplex``: unit rows with cosines -1/(K-1), as in the paper.
        transform: Replaces the layers in front; must give d features.
        generator: Source of the rotation at the start; by default one source 0.
        device: Where parameters and frame go.
        dtype: Their type, the frame's float32 at least; torch's default if None.

    Attributes:
        base: The rows at the start ``(K, d)``.
        skew: Parameter ``(d, d)``, 0 at the start; A is its lower triangle minus the transpose.

    Raises:
        ValueError: If ``d`` is too small or ``rows`` is unknown.

    References:
        Peifeng et al. (2023) [peifeng2023]_ and its released code.

    >>> RotatedHead(16, 10)(torch.randn(8, 16)).shape
    torch.Size([8, 10])
    """

    base: Tensor
    shown: ClassVar[tuple[str, ...]] = ("K", "d", "rows")

    def __init__(
        self,
        in_features: int,
        K: int,
        *,
        d: int | None = None,
        rows: Rows = "released",
        transform: nn.Module | None = None,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.in_features = in_features if transform is None else None
        d, first = widened(in_features, d, device=device, dtype=dtype)
        self.rows = rows
        base = start(check_count("K", K, 2), d, rows=rows, generator=generator)
        self.transform = nn.Sequential(*first) if transform is None else transform
        self.register_buffer("base", stored(base, device=device, dtype=dtype))
        self.skew = nn.Parameter(torch.zeros(d, d, device=device, dtype=dtype))

    @property
    def frame(self) -> Float[Tensor, "K d"]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The rotated rows, differentiable in the rotation."""
        with full_precision(self.base):
            lower = at_least_float32(self.skew).tril(-1)
            half = (lower - lower.mT) / 2
            eye = torch.eye(self.d, dtype=half.dtype, device=half.device)
            columns = (eye - half) @ self.base.to(half.dtype).mT
            # I + A/2 is invertible for every skew A: nothing to check, so no wait for the device.
            return torch.linalg.solve_ex(eye + half, columns, check_errors=False).result.mT

    @property
    def parts(self) -> Tensor:
        """The rotated rows."""
        return self.frame

    @property
    def K(self) -> int:
        """Number of classes."""
        return self.base.shape[0]

    @property
    def d(self) -> int:
        """Feature dimension."""
        return self.base.shape[1]

    def logits(self, features: Float[Tensor, "B d"]) -> Float[Tensor, "B K"]:
        """Inner products with the rotated rows.

        Args:
            features: What `features` returned.

        Returns:
            Logits.
        """
        return product(features, self.frame)


def start(K: int, d: int, *, rows: Rows, generator: torch.Generator | None) -> Float[Tensor, "K d"]:
    """Rows of the frame, turned at random.

    Args:
        K: Number of classes.
        d: Feature dimension.
        rows: Which frame.
        generator: Source of the rotation; by default one source 0.

    Returns:
        Rows, float64 on the CPU.

    Raises:
        ValueError: If ``d`` is too small or ``rows`` is unknown.
    """
    if rows == "simplex":
        return build_rows(SimplexETF(), K, rank=K - 1, d=d, generator=generator)
    if rows != "released":
        raise ValueError(f"rows must be 'released' or 'simplex', got {rows!r}")
    if d < K:
        raise ValueError(f"d must be at least K={K} for the released rows, got {d}")
    with torch.device("cpu"):  # whatever the default device, as in `build_rows`
        centred = torch.eye(d, dtype=torch.float64)[:K] - 1 / d
        return embed(centred, d, generator=source(generator))
