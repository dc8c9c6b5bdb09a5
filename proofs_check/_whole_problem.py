"""Problem P itself: all centers, every sample's feature, and the frame free, by descent."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, final

import torch
from torch.nn.functional import normalize

from ufm._typing import Float, Int, Tensor
from ufm.losses import CenterSquaredError
from ufm.problem import WeightDecay


class Variables(NamedTuple):
    """What P is minimised over.

    Attributes:
        base: Free matrix ``(d, K + F)`` whose orthonormal factor is the frame.
        lengths: Length of each class's vectors ``(K,)``.
        H: Features of the samples ``(d, N)``.
    """

    base: Float[Tensor, "d K+F"]
    lengths: Float[Tensor, "K"]
    H: Float[Tensor, "d N"]


@final
@dataclass(frozen=True)
class WholeProblem:
    """Problem P with a learnable frame, all its constraints kept exactly.

    Attributes:
        loss: The loss on K logits that it reduces to; gives f, theta and S/N.
        reg: The ridges.
        n: Class sizes.
        d: Feature dimension, at least sum(f) + K.
    """

    loss: CenterSquaredError
    reg: WeightDecay
    n: tuple[int, ...]
    d: int

    @property
    def owner(self) -> Int[Tensor, "F"]:
        """Class of each center."""
        return torch.repeat_interleave(torch.arange(len(self.n)), torch.tensor(self.loss.f))

    @property
    def y(self) -> Int[Tensor, "N"]:
        """Class of each sample."""
        return torch.repeat_interleave(torch.arange(len(self.n)), torch.tensor(self.n))

    def centers(self, x: Variables) -> Float[Tensor, "F d"]:
        """The centers.

        Args:
            x: Variables.

        Returns:
            One center a row.
        """
        K, theta = len(self.n), self.loss.theta
        Q, R = torch.linalg.qr(x.base)
        Q = (Q * R.diagonal().sign()).mT  # the factor that is smooth in the matrix
        units = math.cos(theta) * Q[K:] + math.sin(theta) * Q[:K][self.owner]
        return units * x.lengths[self.owner].unsqueeze(-1)

    def value(self, x: Variables) -> Float[Tensor, ""]:
        """The objective of P.

        Args:
            x: Variables.

        Returns:
            The value.
        """
        target = (self.owner.unsqueeze(-1) == self.y).double()
        S = self.loss.mean_centers * len(self.y)
        fit = (self.centers(x) @ x.H - target).square().sum() / (2 * S)
        ridges = self.reg.lam_W * x.lengths.square().sum() + self.reg.lam_H * x.H.square().sum()
        return fit + ridges / 2

    def minimised(self, seed: int) -> tuple[float, float]:
        """Descend from a random start.

        Args:
            seed: Of the start.

        Returns:
            The value, and the largest part of a feature away from its class's mean center, as a
            share of its length.
        """
        K, F = len(self.n), sum(self.loss.f)
        rng = torch.Generator().manual_seed(seed)
        x = Variables(
            *(
                torch.randn(shape, generator=rng, dtype=torch.float64).requires_grad_()
                for shape in ((self.d, K + F), (K,), (self.d, len(self.y)))
            )
        )
        optimiser = torch.optim.LBFGS(
            x, max_iter=2000, tolerance_grad=1e-9, tolerance_change=0, history_size=30,
            line_search_fn="strong_wolfe",
        )  # fmt: skip

        def closure() -> Tensor:
            optimiser.zero_grad()
            value = self.value(x)
            torch.autograd.backward(value)
            return value

        optimiser.step(closure)  # pyright: ignore[reportArgumentType]
        with torch.no_grad():
            mean = torch.zeros(K, self.d, dtype=torch.float64)
            mean.index_add_(0, self.owner, self.centers(x))
            e = normalize(mean, dim=-1)[self.y].mT
            away = (x.H - e * (e * x.H).sum(0)).norm(dim=0) / x.H.norm(dim=0)
            return float(self.value(x)), float(away.max())
