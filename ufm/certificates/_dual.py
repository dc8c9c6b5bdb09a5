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
        price: Support function a unit of the norm (B,): tau for average budgets,
            ``(E_W sum beta + E_H sum alpha)/2`` for per-vector budgets, 0 for a ridge.
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
        dual: The bound itself (B,).
        norm: Dual norm of Y (B,).
        alpha: Feature-side multipliers (B, K) of the gauge that priced Y.
        beta: Classifier-side multipliers (B, K).
        names: How each Y was made.
    """

    Y: Float[Tensor, "B K K"]
    gap: Float[Tensor, "B"]
    dual: Float[Tensor, "B"]
    norm: Float[Tensor, "B"]
    alpha: Float[Tensor, "B K"]
    beta: Float[Tensor, "B K"]
    names: tuple[str, ...]

    def tensors(self) -> tuple[Tensor, ...]:
        """The tensor fields in order.

        Returns:
            Y, gap, dual, norm, alpha, beta.
        """
        return self.Y, self.gap, self.dual, self.norm, self.alpha, self.beta

    def best(self, other: Bound) -> Bound:
        """Instance by instance the bound with the smaller gap; a NaN never wins.

        Args:
            other: Bounds of the same instances.

        Returns:
            The better ones.
        """
        wins = (other.gap < self.gap) | (self.gap.isnan() & ~other.gap.isnan())
        tensors = (
            torch.where(wins.reshape(-1, *[1] * (ours.ndim - 1)), theirs, ours)
            for ours, theirs in zip(self.tensors(), other.tensors(), strict=True)
        )
        names = zip(wins.tolist(), other.names, self.names, strict=True)
        return Bound(*tensors, tuple(new if won else old for won, new, old in names))

    def best_at(self, index: Int[Tensor, "S"], other: Bound) -> Bound:
        """`best` where ``other`` holds only the instances at ``index``.

        Args:
            index: Positions of the other's instances.
            other: Bounds of some instances.

        Returns:
            The better ones, of all instances.
        """
        whole = (
            o.index_copy(0, index, n) for o, n in zip(self.tensors(), other.tensors(), strict=True)
        )
        names = list(self.names)
        for position, name in zip(index.tolist(), other.names, strict=True):
            names[position] = name
        return self.best(Bound(*whole, tuple(names)))


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
    objective = means.objective
    Y = into_domain(means, Y)
    norm = op_norm(gauge.shrink(Y))
    theta = torch.where(norm > gauge.limit, gauge.limit / norm, 1.0)
    Y, norm = Y * theta[..., None, None], torch.minimum(norm, gauge.limit)
    support = torch.where(gauge.price > 0, gauge.price * norm, 0.0)
    gap, dual = fenchel_terms(means, Y)
    paid, owed = bias_terms(means, Y)
    return Bound(
        Y=Y,
        gap=gap + (inner(Y, means.Z) + means.ridge + support) + paid,
        dual=dual - support - owed,
        norm=norm,
        alpha=gauge.alpha,
        beta=gauge.beta,
        names=(name,) * len(objective.problems),
    )


def fenchel_terms(
    means: Means, Y: Float[Tensor, "B K K"]
) -> tuple[Float[Tensor, "B"], Float[Tensor, "B"]]:
    """Fenchel defect of the risk and minus its conjugate.

    Args:
        means: Class-mean point.
        Y: Dual matrix in the domain.

    Returns:
        ``sum_k pi_k defect_k`` and ``-sum_k pi_k loss*(Y_k/pi_k)``.
    """
    objective = means.objective
    U = Y / objective.c.unsqueeze(-2)
    defect = objective.loss.fenchel_defect(U, means.L, objective.y)
    conjugate = objective.loss.conjugate(U, objective.y)
    return (objective.c * defect).sum(-1), -(objective.c * conjugate).sum(-1)


def bias_terms(
    means: Means, Y: Float[Tensor, "B K K"]
) -> tuple[Float[Tensor, "B"], Float[Tensor, "B"]]:
    """What a bias adds to the gap and takes from the bound.

    A free bias demands ``Y 1 = 0`` and then adds nothing.

    Args:
        means: Class-mean point.
        Y: Dual matrix.

    Returns:
        ``|Y1 + lam_b b|^2/(2 lam_b)`` and ``|Y1|^2/(2 lam_b)``, zero without a penalised bias.
    """
    objective = means.objective
    if not isinstance(objective.template.bias, PenalisedBias):
        zero = torch.zeros_like(objective.lam_b)
        return zero, zero
    rows, lam = Y.sum(-1), objective.lam_b.unsqueeze(-1)
    paid = (rows + lam * means.x.b).square() / (2 * lam)
    return paid.sum(-1), (rows.square() / (2 * lam)).sum(-1)


def into_domain(means: Means, Y: Float[Tensor, "B K K"]) -> Float[Tensor, "B K K"]:
    """Blend Y with ``Y0 = (pi 1' - I) Pi`` until the conjugate of the loss is finite.

    Y0 has zero column *and* row sums, so the linear constraints survive. Each column takes the
    smallest share of Y0 that it needs; with a free bias, whose constraint couples the columns, all
    take the largest.

    Args:
        means: Class-mean point.
        Y: Dual matrix.

    Returns:
        Dual matrix in the domain; unchanged where it was there already.
    """
    objective = means.objective
    pi, loss = objective.c, objective.loss
    if not loss.shift_invariant:
        return Y
    U0 = pi.unsqueeze(-1) - torch.eye(objective.K, dtype=pi.dtype, device=pi.device)
    U = Y / pi.unsqueeze(-2)
    lack = (-loss.slack(U, objective.y)).clamp(min=0)
    share = (lack / (lack + pi.unsqueeze(-1))).amax(-2, keepdim=True)
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
        Largest singular values; a full decomposition, never a power iteration, which would give a
        lower estimate and an invalid bound.
    """
    scale = M.abs().amax((-2, -1)).clamp(min=1e-300)
    unit = M / scale[..., None, None]
    return scale * torch.linalg.eigvalsh(unit.mT @ unit)[..., -1].clamp(min=0).sqrt()
