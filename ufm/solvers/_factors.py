"""Balanced factors: the coordinates in which both penalties or budgets look the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from ufm._typing import Float, Int, Tensor
from ufm.losses import Loss
from ufm.objective import Objective, Point
from ufm.problem import RIDGES, AverageBudget, Sphere, VectorBudget


class Parts(NamedTuple):
    """Balanced factors, or a gradient in them.

    Attributes:
        W: ``(B, K, d)``.
        V: ``(B, K, d)``, one row a class.
        b: ``(B, K)``.
    """

    W: Float[Tensor, "B K d"]
    V: Float[Tensor, "B K d"]
    b: Float[Tensor, "B K"]


@dataclass(frozen=True, eq=False)
class Factors:
    r"""The objective on class means in balanced factors.

    With :math:`W = \alpha \tilde W` and :math:`h_k = \beta_k \tilde v_k` it is

    .. math:: \sum_k c_k\,\ell(\alpha\beta_k \tilde W \tilde v_k + b, k)
        + \tfrac{s}{2}(\|\tilde W\|_F^2 + \|\tilde V\|_F^2) + \tfrac{\lambda_b}{2}\|b\|^2 ,

    where for a ridge :math:`s = \sqrt{\lambda_W\lambda_H\bar m}` (``m_k`` samples a column, or 1)
    so that :math:`\alpha\beta_k = \sqrt{\bar m/m_k}`, and for budgets ``s = 0`` and
    :math:`\alpha = 1/\beta = (E_W/E_H)^{1/4}`.

    Attributes:
        loss: Loss on the logits.
        y: Labels (K,), one column a class.
        c: Class weights (B, K).
        alpha: Scale of W (B,).
        beta: Scale of each feature column (B, K).
        s: Common ridge (B,).
        lam_b: Ridge on the bias (B,).
        fixed_W: The fixed classifier (K, d), or None if it is learnable.
        has_bias: Whether b is a variable.
    """

    loss: Loss
    y: Int[Tensor, "K"]
    c: Float[Tensor, "B K"]
    alpha: Float[Tensor, "B"]
    beta: Float[Tensor, "B K"]
    s: Float[Tensor, "B"]
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
        learnable = objective.template.is_learnable
        one, p = torch.ones_like(objective.lam_W), objective.p
        alpha, beta, s = one, torch.ones_like(p), torch.zeros_like(one)
        match objective.template.reg:
            case AverageBudget() | VectorBudget() | Sphere() if learnable:
                alpha = (objective.E_W / objective.E_H) ** 0.25
                beta = beta / alpha.unsqueeze(-1)
            case reg if isinstance(reg, RIDGES) and bool((p > 0).all()):
                mean = p.mean(-1)
                s = (objective.lam_W * mean).sqrt() if learnable else mean
                alpha = (s / objective.lam_W).sqrt() if learnable else one
                beta = (s.unsqueeze(-1) / p).sqrt()
        return cls(
            loss=objective.loss, y=objective.y, c=objective.c, alpha=alpha, beta=beta, s=s,
            lam_b=objective.lam_b, fixed_W=objective.fixed_W(),
            has_bias=objective.template.has_bias,
        )  # fmt: skip

    def select(self, index: Int[Tensor, "S"]) -> Factors:
        """The sub-batch at ``index``.

        Args:
            index: Positions in the batch.

        Returns:
            Fewer instances.
        """
        names = ("c", "alpha", "beta", "s", "lam_b")
        return replace(self, **{name: getattr(self, name)[index] for name in names})

    def value_and_grad(self, x: Parts) -> tuple[Float[Tensor, "B"], Parts]:
        """Objective and Euclidean gradient.

        Args:
            x: Balanced factors.

        Returns:
            Values and gradient; its parts that are no variables are meaningless.
        """
        gain = self._gain()
        loss, G = self.loss.value_and_grad(self._logits(x), self.y)
        value = (self.c * loss).sum(-1) + self._penalty(x)
        Gc = G * (self.c * gain).unsqueeze(-2)
        s = self.s[:, None, None]
        W = torch.baddbmm(x.W, Gc, x.V, beta=0) + s * x.W if self.fixed_W is None else x.W
        V = Gc.mT @ x.W + s * x.V
        b = (G @ self.c.unsqueeze(-1)).squeeze(-1) + self.lam_b.unsqueeze(-1) * x.b
        return value, Parts(W, V, b)

    def hessian(self, x: Parts) -> Callable[[Parts], Parts]:
        """Euclidean Hessian at a point as an operator.

        Args:
            x: Balanced factors.

        Returns:
            Function from a direction to its Hessian product.
        """
        gain = self._gain().unsqueeze(-2)
        c, s = self.c.unsqueeze(-2), self.s[:, None, None]
        Z = self._logits(x)
        G = self.loss.grad(Z, self.y) * c * gain

        def product(v: Parts) -> Parts:
            dZ = (v.W @ x.V.mT + x.W @ v.V.mT) * gain + v.b.unsqueeze(-1)
            dG = self.loss.hvp(Z, self.y, dZ) * c
            dGg = dG * gain
            return Parts(
                dGg @ x.V + G @ v.V + s * v.W,
                dGg.mT @ x.W + G.mT @ v.W + s * v.V,
                dG.sum(-1) + self.lam_b.unsqueeze(-1) * v.b,
            )

        return product

    def point(self, x: Parts) -> Point:
        """Back to the caller's coordinates.

        Args:
            x: Balanced factors.

        Returns:
            W, H, b.
        """
        W = x.W * self.alpha[:, None, None] if self.fixed_W is None else x.W
        return Point(W, x.V.mT * self.beta.unsqueeze(-2), x.b)

    def parts(self, point: Point) -> Parts:
        """Inverse of `point`.

        Args:
            point: W, H, b on class means.

        Returns:
            Balanced factors.
        """
        W = point.W / self.alpha[:, None, None]
        return Parts(W, point.H.mT / self.beta.unsqueeze(-1), point.b)

    def _gain(self) -> Float[Tensor, "B K"]:
        return self.alpha.unsqueeze(-1) * self.beta

    def _logits(self, x: Parts) -> Float[Tensor, "B K K"]:
        return (x.W @ x.V.mT) * self._gain().unsqueeze(-2) + x.b.unsqueeze(-1)

    def _penalty(self, x: Parts) -> Float[Tensor, "B"]:
        W = x.W.square().sum((-2, -1)) if self.fixed_W is None else 0.0
        ridge = self.s * (W + x.V.square().sum((-2, -1)))
        return (ridge + self.lam_b * x.b.square().sum(-1)) / 2
