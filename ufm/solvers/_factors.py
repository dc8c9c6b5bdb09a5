"""Balanced factors: the coordinates in which both penalties or budgets look the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from ufm._typing import Float, Int, Tensor
from ufm.losses import Loss
from ufm.objective import Objective, Point
from ufm.problem import BUDGETS, RIDGES


class Parts(NamedTuple):
    """Balanced factors, or a gradient or direction in them.

    Attributes:
        W: ``(B, K, d)``; no variable where W is fixed.
        V: ``(B, K, d)``, one row a class.
        b: ``(B, K)``, or None without a bias.
    """

    W: Float[Tensor, "B K d"]
    V: Float[Tensor, "B K d"]
    b: Float[Tensor, "B K"] | None


@dataclass(frozen=True, eq=False)
class Factors:
    r"""The objective on class means in balanced factors.

    With :math:`W = \alpha \tilde W` and :math:`h_k = \beta_k \tilde v_k` it is

    .. math:: \sum_k c_k\,\ell(\alpha\beta_k \tilde W \tilde v_k + b, k)
        + \tfrac{s}{2}(\|\tilde W\|_F^2 + \|\tilde V\|_F^2) + \tfrac{\lambda_b}{2}\|b\|^2 ,

    where for a ridge :math:`s = \sqrt{\lambda_W \bar p}` with :math:`\bar p` the mean ridge of a
    feature column, so that :math:`\alpha\beta_k = \sqrt{\bar p/p_k}`, and for budgets ``s = 0``
    and :math:`\alpha = 1/\beta = (E_W/E_H)^{1/4}`.

    Attributes:
        loss: Loss on the logits.
        y: Labels (K,), one column a class.
        c: Class weights (B, K).
        alpha: Scale of W (B,).
        beta: Scale of each feature column (B, K).
        gain: Scale ``alpha beta_k`` of the logits (B, K), or None where it is one.
        s: Common ridge (B,), or None without one.
        lam_b: Ridge on the bias (B,).
        fixed_W: The fixed classifier (K, d), or None if it is learnable.
        has_bias: Whether b is a variable.
    """

    loss: Loss
    y: Int[Tensor, "K"]
    c: Float[Tensor, "B K"]
    alpha: Float[Tensor, "B"]
    beta: Float[Tensor, "B K"]
    gain: Float[Tensor, "B K"] | None
    s: Float[Tensor, "B"] | None
    lam_b: Float[Tensor, "B"]
    fixed_W: Float[Tensor, "K d"] | None
    has_bias: bool

    @classmethod
    def of(cls, objective: Objective) -> Factors:
        """Balance a batch of problems.

        Args:
            objective: Problems on class means.

        Returns:
            Their objective in balanced factors.
        """
        problem, p = objective.template, objective.p
        alpha, beta = torch.ones_like(objective.lam_W), torch.ones_like(p)
        gain = s = None
        if isinstance(problem.reg, BUDGETS) and problem.is_learnable:
            # Not a power of 1/4: its last bit depends on an entry's place in the batch.
            alpha = (objective.E_W / objective.E_H).sqrt().sqrt()
            beta = beta / alpha.unsqueeze(-1)
        elif isinstance(problem.reg, RIDGES) and bool((p > 0).all()):
            mean = p.mean(-1)
            s = (objective.lam_W * mean).sqrt() if problem.is_learnable else mean
            alpha = (s / objective.lam_W).sqrt() if problem.is_learnable else alpha
            beta = (s.unsqueeze(-1) / p).sqrt()
            gain = alpha.unsqueeze(-1) * beta
        return cls(
            loss=objective.loss, y=objective.y, c=objective.c, alpha=alpha, beta=beta, gain=gain,
            s=s, lam_b=objective.lam_b, fixed_W=objective.fixed_W(), has_bias=problem.has_bias,
        )  # fmt: skip

    def select(self, index: Int[Tensor, "S"]) -> Factors:
        """The sub-batch at ``index``.

        Args:
            index: Positions in the batch.

        Returns:
            Fewer instances.
        """
        arrays = {
            name: getattr(self, name) for name in ("c", "alpha", "beta", "gain", "s", "lam_b")
        }
        return replace(self, **{name: t[index] for name, t in arrays.items() if t is not None})

    def value_and_grad(self, x: Parts) -> tuple[Float[Tensor, "B"], Parts]:
        """Objective and Euclidean gradient.

        Args:
            x: Balanced factors.

        Returns:
            Values and gradient, in W also if it is fixed.
        """
        loss, G = self.loss.value_and_grad(self._logits(x), self.y)
        value, G = (self.c * loss).sum(-1), G * self.c.unsqueeze(-2)
        if self.s is not None:
            value = value + self.s / 2 * self._square(x)
        b = None
        if x.b is not None:
            value = value + self.lam_b / 2 * x.b.square().sum(-1)
            b = G.sum(-1) + self.lam_b.unsqueeze(-1) * x.b
        return value, self._pull_back(self._gained(G), x, x)._replace(b=b)

    def hessian(self, x: Parts) -> Callable[[Parts], Parts]:
        """Euclidean Hessian at a point as an operator.

        Args:
            x: Balanced factors.

        Returns:
            Function from a direction to its Hessian product.
        """
        Z = self._logits(x)
        G = self._gained(self.loss.grad(Z, self.y) * self.c.unsqueeze(-2))

        def product(v: Parts) -> Parts:
            dZ = self._gained(x.W @ v.V.mT + v.W @ x.V.mT)
            dZ = dZ if v.b is None else dZ + v.b.unsqueeze(-1)
            dG = self.loss.hvp(Z, self.y, dZ) * self.c.unsqueeze(-2)
            W, V, _ = self._pull_back(self._gained(dG), x, v)
            b = None if v.b is None else dG.sum(-1) + self.lam_b.unsqueeze(-1) * v.b
            return Parts(W + G @ v.V, V + G.mT @ v.W, b)

        return product

    def point(self, x: Parts) -> Point:
        """Back to the caller's coordinates.

        Args:
            x: Balanced factors.

        Returns:
            W, H, b.
        """
        b = torch.zeros_like(self.c) if x.b is None else x.b
        return Point(x.W * self.alpha[:, None, None], x.V.mT * self.beta.unsqueeze(-2), b)

    def parts(self, point: Point) -> Parts:
        """Inverse of `point`.

        Args:
            point: W, H, b on class means.

        Returns:
            Balanced factors.
        """
        W = point.W / self.alpha[:, None, None]
        return Parts(W, point.H.mT / self.beta.unsqueeze(-1), point.b if self.has_bias else None)

    def _gained(self, A: Float[Tensor, "B K K"]) -> Float[Tensor, "B K K"]:
        return A if self.gain is None else A * self.gain.unsqueeze(-2)

    def _logits(self, x: Parts) -> Float[Tensor, "B K K"]:
        Z = self._gained(x.W @ x.V.mT)
        return Z if x.b is None else Z + x.b.unsqueeze(-1)

    def _square(self, x: Parts) -> Float[Tensor, "B"]:
        square = x.V.square().sum((-2, -1))
        return square if self.fixed_W is not None else square + x.W.square().sum((-2, -1))

    def _pull_back(self, G: Float[Tensor, "B K K"], x: Parts, ridge_at: Parts) -> Parts:
        W, V = G @ x.V, G.mT @ x.W
        if self.s is not None:
            s = self.s[:, None, None]
            W, V = torch.addcmul(W, s, ridge_at.W), torch.addcmul(V, s, ridge_at.V)
        return Parts(W, V, None)
