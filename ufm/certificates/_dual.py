r"""Weak duality for models whose regulariser is a gauge of ``Z = W H``.

For every dual matrix Y (K x K) in the loss's conjugate domain, Fenchel's inequality and

.. math:: \langle Y, Z\rangle \ge -\,\mathrm{price}\,\|B^{-1/2} Y A^{-1/2}\|_{op}
    \quad\text{or}\quad -\,\mathrm{ridge}(W, H)\ \text{ if that norm is at most } limit

give a lower bound on the optimum. Nothing about the point that suggested Y enters, so any Y is a
proof; a bad one only gives a weak bound. The gap is evaluated term by term,

.. math:: \sum_k \pi_k\,\mathrm{defect}_k + \bigl[\langle Y, Z\rangle + \mathrm{ridge} +
    \mathrm{price}\,\|\cdot\|\bigr] + \frac{\|Y 1 + \lambda_b b\|^2}{2\lambda_b},

each bracket non-negative, so that it resolves values far below the rounding error of the risk.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ufm._linalg import inner
from ufm._typing import Float, Int, Tensor
from ufm.certificates._means import Means
from ufm.problem import FreeBias, PenalisedBias


@dataclass(frozen=True, eq=False)
class Gauge:
    """The dual norm ``|B^{-1/2} Y A^{-1/2}|_op`` of B instances and what it costs.

    Attributes:
        alpha: Diagonal of A (B, K), > 0, on the feature side.
        beta: Diagonal of B (B, K), > 0, on the classifier side.
        price: Support function a unit of the norm (B,): ``(E_W sum beta + E_H sum alpha)/2`` for
            budgets, 0 for a ridge.
        limit: Largest norm allowed (B,): ``sqrt(lam_W lam_H)`` for a ridge, else infinity.
    """

    alpha: Float[Tensor, "B K"]
    beta: Float[Tensor, "B K"]
    price: Float[Tensor, "B"]
    limit: Float[Tensor, "B"]

    def select(self, index: Int[Tensor, "S"]) -> Gauge:
        """The instances at ``index``.

        Args:
            index: Positions in the batch.

        Returns:
            A smaller batch.
        """
        return Gauge(*(getattr(self, f)[index] for f in ("alpha", "beta", "price", "limit")))

    def shrink(self, Y: Float[Tensor, "B K K"]) -> Float[Tensor, "B K K"]:
        """``B^{-1/2} Y A^{-1/2}``.

        Args:
            Y: Dual matrix.

        Returns:
            The matrix whose operator norm is the dual norm.
        """
        return Y * self.beta.rsqrt().unsqueeze(-1) * self.alpha.rsqrt().unsqueeze(-2)

    def stretch(self, Z: Float[Tensor, "B K K"]) -> Float[Tensor, "B K K"]:
        """``B^{1/2} Z A^{1/2}``: logits in the gauge's coordinates, and the inverse of `shrink`.

        Args:
            Z: Logits, or a shrunk dual matrix.

        Returns:
            The rescaled matrix.
        """
        return Z * self.beta.sqrt().unsqueeze(-1) * self.alpha.sqrt().unsqueeze(-2)


@dataclass(frozen=True, eq=False)
class Bound:
    """A dual matrix of each instance with its bound.

    Attributes:
        Y: Feasible dual matrix (B, K, K).
        gap: Objective at the class means minus the bound (B,), without cancellation.
        support: What the constraints on W and H, or a ridge on H alone, cost the bound (B,).
        multipliers: Rows alpha (features) and beta (classifier) of the budgets (B, 2, K); zero
            where there are none.
        names: How each Y was made.
    """

    Y: Float[Tensor, "B K K"]
    gap: Float[Tensor, "B"]
    support: Float[Tensor, "B"]
    multipliers: Float[Tensor, "B 2 K"]
    names: tuple[str, ...]

    def select(self, index: Int[Tensor, "S"]) -> Bound:
        """The instances at ``index``.

        Args:
            index: Positions in the batch.

        Returns:
            A smaller batch.
        """
        return Bound(
            Y=self.Y[index],
            gap=self.gap[index],
            support=self.support[index],
            multipliers=self.multipliers[index],
            names=tuple(self.names[i] for i in index.tolist()),
        )

    def best(self, other: Bound) -> Bound:
        """Instance by instance the bound with the smaller gap; a NaN never wins.

        Args:
            other: Bounds of the same instances.

        Returns:
            The better ones.
        """
        wins = (other.gap < self.gap) | (self.gap.isnan() & ~other.gap.isnan())
        names = zip(wins.tolist(), other.names, self.names, strict=True)
        matrix = wins[:, None, None]
        return Bound(
            Y=torch.where(matrix, other.Y, self.Y),
            gap=torch.where(wins, other.gap, self.gap),
            support=torch.where(wins, other.support, self.support),
            multipliers=torch.where(matrix, other.multipliers, self.multipliers),
            names=tuple(new if won else old for won, new, old in names),
        )

    def best_at(self, index: Int[Tensor, "S"], other: Bound) -> Bound:
        """`best` where ``other`` holds only the instances at ``index``.

        Args:
            index: Positions of the other's instances.
            other: Bounds of some instances.

        Returns:
            The better ones, of all instances.
        """
        names = list(self.names)
        for position, name in zip(index.tolist(), other.names, strict=True):
            names[position] = name
        return self.best(
            Bound(
                Y=self.Y.index_copy(0, index, other.Y),
                gap=self.gap.index_copy(0, index, other.gap),
                support=self.support.index_copy(0, index, other.support),
                multipliers=self.multipliers.index_copy(0, index, other.multipliers),
                names=tuple(names),
            )
        )


def weigh(means: Means, gauge: Gauge, Y: Float[Tensor, "B K K"], name: str) -> Bound:
    """Make Y feasible and evaluate its bound.

    Args:
        means: Class-mean point.
        gauge: Dual norm.
        Y: Any matrix that meets the linear constraints (zero column sums for a shift-invariant
            loss, zero row sums for a free bias) to rounding.
        name: What to call the bound.

    Returns:
        The bound of each instance.
    """
    Y = into_domain(means, Y)
    norm = op_norm(gauge.shrink(Y))
    theta = torch.where(norm > gauge.limit, gauge.limit / norm, 1.0)
    Y, norm = Y * theta[..., None, None], torch.minimum(norm, gauge.limit)
    return priced(means, gauge, Y, norm=norm, defect=fenchel_defect(means, Y), name=name)


def priced(
    means: Means,
    gauge: Gauge,
    Y: Float[Tensor, "B K K"],
    *,
    norm: Float[Tensor, "B"],
    defect: Float[Tensor, "B"] | float,
    name: str,
) -> Bound:
    """The bound of a feasible Y.

    Args:
        means: Class-mean point.
        gauge: Dual norm.
        Y: Dual matrix in the domain of the loss, its norm within the gauge's limit.
        norm: Its dual norm.
        defect: Its Fenchel defect.
        name: What to call the bound.

    Returns:
        The bound of each instance.
    """
    support = gauge.price * norm
    return Bound(
        Y=Y,
        gap=defect + (inner(Y, means.Z) + means.ridge + support) + bias_defect(means, Y),
        support=support,
        multipliers=torch.stack([gauge.alpha, gauge.beta], 1) * (norm / 2)[:, None, None],
        names=(name,) * len(means.objective.problems),
    )


def zero_bound(means: Means, name: str) -> Bound:
    """The bound of Y = 0, which is feasible in every model: the loss is at least its infimum 0.

    Args:
        means: Class-mean point.
        name: What to call the bound.

    Returns:
        Bounds equal to 0, and gaps equal to the objective.
    """
    objective, zero = means.objective, torch.zeros_like(means.risk)
    return Bound(
        Y=torch.zeros_like(means.G),
        gap=means.risk + objective.penalty(means.x),
        support=zero,
        multipliers=torch.zeros_like(means.G)[:, :2],
        names=(name,) * len(objective.problems),
    )


def fenchel_defect(means: Means, Y: Float[Tensor, "B K K"]) -> Float[Tensor, "B"]:
    """Fenchel defect of the risk, ``sum_k pi_k defect(Y_k/pi_k)``.

    Args:
        means: Class-mean point.
        Y: Dual matrix in the domain.

    Returns:
        Defects, >= 0.
    """
    objective = means.objective
    U = Y / objective.c.unsqueeze(-2)
    return (objective.c * objective.loss.fenchel_defect(U, means.L, objective.y)).sum(-1)


def bias_defect(means: Means, Y: Float[Tensor, "B K K"]) -> Float[Tensor, "B"]:
    """``|Y1 + lam_b b|^2/(2 lam_b)`` of a penalised bias.

    Args:
        means: Class-mean point.
        Y: Dual matrix.

    Returns:
        Defects, >= 0; zero without a bias, and with a free one, which demands ``Y1 = 0``.
    """
    objective = means.objective
    if not isinstance(objective.template.bias, PenalisedBias):
        return torch.zeros_like(objective.lam_b)
    lam = objective.lam_b.unsqueeze(-1)
    return ((Y.sum(-1) + lam * means.x.b).square() / (2 * lam)).sum(-1)


def dual_value(means: Means, bound: Bound) -> Float[Tensor, "B"]:
    """The lower bound itself, ``-F*(Y) - support - |Y1|^2/(2 lam_b)``.

    Args:
        means: Class-mean point.
        bound: A feasible dual matrix.

    Returns:
        Lower bounds on the optimum.
    """
    objective = means.objective
    U = bound.Y / objective.c.unsqueeze(-2)
    dual = -(objective.c * objective.loss.conjugate(U, objective.y)).sum(-1)
    if isinstance(objective.template.bias, PenalisedBias):
        dual = dual - (bound.Y.sum(-1).square() / (2 * objective.lam_b.unsqueeze(-1))).sum(-1)
    return dual - bound.support


def into_domain(means: Means, Y: Float[Tensor, "B K K"]) -> Float[Tensor, "B K K"]:
    """Blend Y with ``Y0 = (T pi 1' - T) Pi`` until the conjugate of the loss is finite.

    T is the slack of Y = 0, which is the matrix of targets (the identity for cross-entropy): Y0
    stands for the answer ``T pi`` everywhere. It has zero column *and* row sums, so the linear
    constraints survive. Each column takes the smallest share of Y0 that it needs; with a free bias,
    whose constraint couples the columns, all take the largest.

    Args:
        means: Class-mean point.
        Y: Dual matrix.

    Returns:
        Dual matrix in the domain; unchanged where it was there already.
    """
    objective = means.objective
    pi, loss = objective.c, objective.loss
    U = Y / pi.unsqueeze(-2)
    slack = loss.slack(U, objective.y)
    if not loss.shift_invariant or bool((slack >= 0).all()):
        return Y
    T = loss.slack(torch.zeros_like(U), objective.y)
    answer = (T * pi.unsqueeze(-2)).sum(-1, keepdim=True)
    U0 = answer - T
    lack = (-slack).clamp(min=0)
    share = (lack / (lack + answer)).amax(-2, keepdim=True)
    if isinstance(objective.template.bias, FreeBias):
        share = share.amax(-1, keepdim=True)
    U = torch.lerp(U, U0, share)
    # What rounding leaves below zero is far inside the margin, but its logarithm would be NaN.
    U = U + (-loss.slack(U, objective.y)).clamp(min=0)
    return torch.where(share > 0, U * pi.unsqueeze(-2), Y)


def op_norm(M: Float[Tensor, "B K K"]) -> Float[Tensor, "B"]:
    """Operator norm through the Gram matrix, whose largest eigenvalue keeps its relative digits.

    Args:
        M: Matrices.

    Returns:
        Largest singular values, NaN or infinity for a matrix that is not finite; a full
        decomposition, never a power iteration, which would give a lower estimate and an invalid
        bound.
    """
    scale = M.abs().amax((-2, -1)).clamp(min=1e-300)
    unit = finite_or_zero(M / scale[..., None, None])
    norm = torch.linalg.eigvalsh(unit.mT @ unit)[..., -1].clamp(min=0).sqrt()
    return torch.where(scale.isfinite(), scale * norm, scale)


def finite_or_zero(M: Float[Tensor, "B R C"]) -> Float[Tensor, "B R C"]:
    """The matrices, with zero for those that are not finite.

    A decomposition raises an error for the whole batch if a single instance has overflowed.

    Args:
        M: Matrices.

    Returns:
        Finite matrices.
    """
    return torch.where(M.isfinite().all(-1).all(-1)[:, None, None], M, 0.0)
