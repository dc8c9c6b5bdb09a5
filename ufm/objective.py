"""The objective of a batch of problems as tensors: value, gradient, Hessian product, feasibility.

The one place where a `Problem` becomes numbers on a device. Used by solvers, certificates and
the landscape alike, so that each formula exists once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from ufm._linalg import product
from ufm._problem_sequence import distinct, numbers, shared, take
from ufm._typing import Float, Int, Tensor
from ufm.geometry.frames import frame
from ufm.losses import Loss
from ufm.problem import (
    AverageBudget,
    Fixed,
    Problem,
    Sphere,
    VectorBudget,
    WeightDecay,
)
from ufm.problem_batch import ProblemBatch


# Entries of a matrix of logits that are worked on at once (8 MB): a larger one, of many samples or
# classes, is never formed, but computed and used up in blocks of columns.
BLOCK = 2**20


class Point(NamedTuple):
    """A point (W, H, b), or a direction or gradient of that shape.

    Attributes:
        W: ``(*b, K, d)``.
        H: ``(*b, d, M)``.
        b: ``(*b, K)``; zero where the model has no bias.
    """

    W: Float[Tensor, "*b K d"]
    H: Float[Tensor, "*b d M"]
    b: Float[Tensor, "*b K"]


@dataclass(frozen=True, eq=False)
class Objective:
    r"""A batch of B problems of one static shape.

    .. math:: f = \sum_j c_j\,\ell(W h_j + b, y_j) + \tfrac{\lambda_W}{2}\|W\|_F^2
        + \tfrac12\sum_j p_j \|h_j\|^2 + \tfrac{\lambda_b}{2}\|b\|^2

    over M columns that are samples (M = N) or class means (M = K); with class means the value is
    that of features equal to their class mean, so both agree.

    Attributes:
        problems: The B problems.
        y: Label of each column (M,).
        c: Loss weight of each column (B, M); rows sum to one.
        m: Samples each column stands for (B, M).
        u: Share ``m_j / n_{y_j}`` of its class that each column stands for (B, M).
        lam_W: Ridge on W (B,); 0 where W is fixed or budgeted.
        p: Ridge on each feature column (B, M).
        lam_b: Ridge on the bias (B,).
        E_W: Budgets on W (B,); NaN without budgets.
        E_H: Budgets on H (B,); NaN without budgets.
    """

    problems: Sequence[Problem]
    y: Int[Tensor, "M"]
    c: Float[Tensor, "B M"]
    m: Float[Tensor, "B M"]
    u: Float[Tensor, "B M"]
    lam_W: Float[Tensor, "B"]
    p: Float[Tensor, "B M"]
    lam_b: Float[Tensor, "B"]
    E_W: Float[Tensor, "B"]
    E_H: Float[Tensor, "B"]

    @classmethod
    def stack(
        cls,
        problems: Sequence[Problem],
        M: int,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float64,
    ) -> Objective:
        """Stack problems that differ only in class sizes, weights and strengths.

        Args:
            problems: At least one problem; equal K, d, loss, classifier and types of regulariser
                and bias, and equal labels for M columns.
            M: Feature columns, K or N.
            device: Where the tensors go.
            dtype: Floating-point type.

        Returns:
            The objective.

        Raises:
            ValueError: If the problems do not share a static shape.
        """
        first = shared(problems)
        y = first.labels(M)
        if M != first.K and any(problem.labels(M) != y for problem in distinct(problems)):
            raise ValueError(f"n must be equal across a batch on samples (M=N={M})")
        index = torch.tensor(y, device=device)
        rows = {
            name: torch.as_tensor(values, dtype=dtype, device=device)
            for name, values in numbers(problems).items()
        }
        n, pi = rows.pop("n"), rows.pop("pi")
        if first.K != M:
            n, pi = n[:, index], pi[:, index]
        m = n if first.K == M else torch.ones_like(n)
        u = m / n
        p = rows.pop("lam_H").unsqueeze(-1) * (m if isinstance(first.reg, WeightDecay) else u)
        if not first.is_learnable:
            rows["lam_W"] = torch.zeros_like(rows["lam_W"])
        batch = problems if isinstance(problems, ProblemBatch) else tuple(problems)
        return cls(problems=batch, y=index, c=pi * u, m=m, u=u, p=p, **rows)

    @property
    def template(self) -> Problem:
        """A problem of the batch, for what is common to all."""
        return self.problems[0]

    @property
    def loss(self) -> Loss:
        """The common loss."""
        return self.template.loss

    @property
    def K(self) -> int:
        """Number of classes."""
        return self.template.K

    @property
    def d(self) -> int:
        """Feature dimension."""
        return self.template.d

    @property
    def M(self) -> int:
        """Number of feature columns."""
        return self.y.shape[0]

    def select(self, index: Int[Tensor, "S"]) -> Objective:
        """The sub-batch at ``index``.

        Args:
            index: Positions in the batch.

        Returns:
            A smaller objective.
        """
        rows = index.tolist()
        return Objective(
            take(self.problems, rows),
            self.y,
            *(
                getattr(self, name)[index]
                for name in ("c", "m", "u", "lam_W", "p", "lam_b", "E_W", "E_H")
            ),
        )

    def blocks(self) -> list[slice]:
        """Columns whose logits are worked on at once.

        They depend on the shape of one instance alone: sums over blocks round differently, and an
        instance must not depend on its batch.

        Returns:
            Slices that cover the M columns; one unless K M is large.
        """
        width = max(1, BLOCK // self.K)
        return [slice(first, min(first + width, self.M)) for first in range(0, self.M, width)]

    def columns(self, part: slice) -> Objective:
        """The terms of some columns; ridges on W and b stay whole.

        Args:
            part: Which columns.

        Returns:
            Their objective.
        """
        own = {name: getattr(self, name)[:, part] for name in ("c", "m", "u", "p")}
        return replace(self, y=self.y[part], **own)

    def fixed_W(self) -> Float[Tensor, "K d"] | None:
        """The fixed classifier, or None if it is learnable.

        Returns:
            Rows on this objective's device.
        """
        classifier = self.template.classifier
        if isinstance(classifier, Fixed):
            return frame(classifier.frame, self.K, self.d).to(self.c)
        return None

    def logits(self, x: Point) -> Float[Tensor, "*b K M"]:
        """``W H + b 1'``.

        Args:
            x: Point.

        Returns:
            Logits.
        """
        return product(x.W, x.H) + x.b.unsqueeze(-1)

    def risk(self, Z: Float[Tensor, "*b K M"]) -> Float[Tensor, "*b"]:
        """Weighted loss ``sum_j c_j loss(z_j, y_j)``.

        Args:
            Z: Logits.

        Returns:
            Risk of each instance.
        """
        return (self.c * self.loss.value(Z, self.y)).sum(-1)

    def risk_grad(self, Z: Float[Tensor, "*b K M"]) -> Float[Tensor, "*b K M"]:
        """Gradient ``G`` of the risk in the logits.

        Args:
            Z: Logits.

        Returns:
            ``G``.
        """
        return self.loss.grad(Z, self.y) * self.c.unsqueeze(-2)

    def penalty(self, x: Point) -> Float[Tensor, "*b"]:
        """The ridge terms.

        Args:
            x: Point.

        Returns:
            Penalty of each instance; 0 for budgets.
        """
        return (
            self.lam_W * x.W.square().sum((-2, -1))
            + (self.p * x.H.square().sum(-2)).sum(-1)
            + self.lam_b * x.b.square().sum(-1)
        ) / 2

    def value(self, x: Point) -> Float[Tensor, "*b"]:
        """The objective at any point, feasible or not.

        Args:
            x: Point.

        Returns:
            Values.
        """
        blocks = self.blocks()
        if len(blocks) == 1:
            return self.risk(self.logits(x)) + self.penalty(x)
        risk = torch.zeros_like(self.lam_W)
        for part in blocks:
            some = self.columns(part)
            risk = risk + some.risk(some.logits(x._replace(H=x.H[..., part])))
        return risk + self.penalty(x)

    def value_and_grad(self, x: Point) -> tuple[Float[Tensor, "*b"], Point]:
        """Objective and its Euclidean gradient, analytic.

        The gradient in a fixed W or an absent bias is zero: they are not variables.

        Args:
            x: Point.

        Returns:
            Values and gradients.
        """
        blocks = self.blocks()
        if len(blocks) > 1:
            return self._in_blocks(x, blocks)
        loss, G = self.loss.value_and_grad(self.logits(x), self.y)
        G = G * self.c.unsqueeze(-2)
        value = (self.c * loss).sum(-1) + self.penalty(x)
        return value, self._pull_back(G, x, x)

    def grad(self, x: Point) -> Point:
        """Euclidean gradient alone, as in `value_and_grad`.

        Args:
            x: Point.

        Returns:
            Gradients.
        """
        blocks = self.blocks()
        if len(blocks) > 1:
            return self._in_blocks(x, blocks)[1]
        return self._pull_back(self.risk_grad(self.logits(x)), x, x)

    def hvp(self, x: Point, v: Point) -> Point:
        """Euclidean Hessian of the objective applied to a direction.

        Args:
            x: Point.
            v: Direction; its parts in a fixed W or an absent bias must be zero.

        Returns:
            Hessian product.
        """
        Z = self.logits(x)
        dZ = product(v.W, x.H) + product(x.W, v.H) + v.b.unsqueeze(-1)
        G = self.risk_grad(Z)
        dG = self.loss.hvp(Z, self.y, dZ) * self.c.unsqueeze(-2)
        outer = self._pull_back(dG, x, v)
        W = outer.W + product(G, v.H.mT) if self.template.is_learnable else outer.W
        return Point(W, outer.H + product(v.W.mT, G), outer.b)

    def _in_blocks(self, x: Point, blocks: list[slice]) -> tuple[Float[Tensor, "*b"], Point]:
        value, H = self.penalty(x), torch.empty_like(x.H)
        W = self.lam_W[..., None, None] * x.W if self.template.is_learnable else x.W * 0
        b = self.lam_b.unsqueeze(-1) * x.b
        for part in blocks:
            some, point = self.columns(part), x._replace(H=x.H[..., part])
            loss, G = self.loss.value_and_grad(some.logits(point), some.y)
            G = G * some.c.unsqueeze(-2)
            value = value + (some.c * loss).sum(-1)
            H[..., part] = product(x.W.mT, G) + some.p.unsqueeze(-2) * point.H
            if self.template.is_learnable:
                W = W + product(G, point.H.mT)
            if self.template.has_bias:
                b = b + G.sum(-1)
        return value, Point(W, H, b)

    def _pull_back(self, G: Float[Tensor, "*b K M"], x: Point, ridge_at: Point) -> Point:
        W = torch.zeros_like(ridge_at.W)
        if self.template.is_learnable:
            W = product(G, x.H.mT) + self.lam_W[..., None, None] * ridge_at.W
        H = product(x.W.mT, G) + self.p.unsqueeze(-2) * ridge_at.H
        b = torch.zeros_like(ridge_at.b)
        if self.template.has_bias:
            b = G.sum(-1) + self.lam_b.unsqueeze(-1) * ridge_at.b
        return Point(W, H, b)

    def infeasibility(self, x: Point) -> Float[Tensor, "*b"]:
        """Largest relative violation of a budget in squared norm; 0 for a feasible point.

        ``|W|^2/(K E_W) - 1`` and its likes; for spheres the largest deviation of either sign.

        Args:
            x: Point.

        Returns:
            Violation of each instance, dimensionless, >= 0.
        """
        if not self.template.is_budgeted:
            return torch.zeros_like(self.lam_W)
        W, H = self.used(x)
        excess = (torch.cat([W, H], -1) if self.template.is_learnable else H) - 1
        if isinstance(self.template.reg, Sphere):
            excess = excess.abs()
        return excess.clamp(min=0).amax(-1)

    def used(self, x: Point) -> tuple[Float[Tensor, "*b P"], Float[Tensor, "*b R"]]:
        """Share of each budget that a point uses: 1 is exactly at the limit.

        Args:
            x: Point.

        Returns:
            One share per budget on W and on H: P = R = 1 for average budgets, P = K and R = M for
            per-vector budgets and spheres.

        Raises:
            ValueError: If the problem has no budgets.
        """
        E_W, E_H = self.E_W.unsqueeze(-1), self.E_H.unsqueeze(-1)
        match self.template.reg:
            case AverageBudget():
                W = x.W.square().sum((-2, -1)).unsqueeze(-1) / (self.K * E_W)
                H = (self.u * x.H.square().sum(-2)).sum(-1, keepdim=True) / (self.K * E_H)
            case VectorBudget() | Sphere():
                W = x.W.square().sum(-1) / E_W
                H = x.H.square().sum(-2) / E_H
            case reg:
                raise ValueError(f"reg must have budgets, got {reg!r}")
        return W, H
