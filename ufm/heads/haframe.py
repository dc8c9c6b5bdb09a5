"""A classifier fixed to a hierarchy-aware frame."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn

from ufm._typing import Float, Tensor
from ufm.geometry.frames import FixedRows
from ufm.geometry.specs import HAFrame
from ufm.heads._head import Head, build_rows, product, refill, stored
from ufm.heads.transform import ResidualTransform


class HAFrameHead(Head):
    r"""The residual feature transformation and a fixed hierarchy-aware frame.

    Features are not normalised. Train with `ufm.losses.HAFrameMix` (published), or with
    `ufm.losses.FrameTargets`, whose optimum is the frame exactly.

    Args:
        in_features: Channels of the backbone; its output may be maps or pooled vectors.
        frame: The frame; its tree's leaves are the classes in label order.
        d: Feature dimension, at least the frame's rank; by default K, as published. At the most
            negative asymptote the rank is K - 1, and d = K leaves one direction free.
        transform: Replaces the transformation; must give d features.
        generator: Source of the frame's random rotation; by default one seeded 0.
        device: Where parameters and frame go.
        dtype: Their type, the frame's float32 at least; torch's default if None.

    Raises:
        ValueError: If ``d`` is below the rank.

    References:
        Liang and Davis (2023) [liang2023]_.

    >>> from ufm.geometry import Exponential
    >>> from ufm.hierarchy import Tree
    >>> head = HAFrameHead(16, HAFrame(Tree.from_nested([[0, 1], [2, 3]]), Exponential(2.0)))
    >>> head(torch.randn(8, 16, 5, 5)).shape
    torch.Size([8, 4])
    """

    gram: Tensor
    takes_maps: ClassVar[bool] = True

    def __init__(
        self,
        in_features: int,
        frame: HAFrame,
        *,
        d: int | None = None,
        transform: nn.Module | None = None,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.in_features = in_features if transform is None else None
        if not isinstance(frame, HAFrame):
            raise ValueError(f"frame must be a ufm.HAFrame, got a {type(frame).__name__}")
        K = frame.tree.K
        d = K if d is None else d
        rows = build_rows(frame, K, rank=frame.rank, d=d, generator=generator)
        if transform is None:
            transform = ResidualTransform(in_features, d, device=device, dtype=dtype)
        self.transform = transform
        self.register_buffer("frame", stored(rows, device=device, dtype=dtype))
        gram = gram_of(stored(rows, device="cpu", dtype=dtype))
        self.register_buffer("gram", gram.to(self.frame.device), persistent=False)

    @property
    def parts(self) -> FixedRows:
        """The rows with their Gram matrix, which its losses need."""
        return FixedRows(self.frame, self.gram)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        if not self.frame.is_meta:
            refill(self, "gram", gram_of(self.frame))

    def logits(self, features: Float[Tensor, "B d"]) -> Float[Tensor, "B K"]:
        """Inner products with the rows.

        Args:
            features: What `features` returned.

        Returns:
            Logits.
        """
        return product(features, self.frame)


def gram_of(frame: Float[Tensor, "K d"]) -> Float[Tensor, "K K"]:
    """Gram matrix of stored rows, to their last digit whatever a device makes of products.

    Args:
        frame: Rows.

    Returns:
        ``W W'`` in the type of the rows, on the CPU.
    """
    rows = frame.detach().cpu().double()
    return (rows @ rows.mT).to(frame.dtype)
