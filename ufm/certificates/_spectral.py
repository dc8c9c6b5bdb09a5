r"""Dual matrices for gauges that are nuclear norms in rescaled logits, at second order.

In the coordinates ``X = B^{1/2} Z A^{1/2}``, ``M = B^{-1/2} G A^{-1/2}`` an optimum satisfies
``M = -mu (U V' + R)`` with ``X = U S V'``, ``R`` orthogonal to U and V, ``|R|_op <= 1``. The
gradient of a point that is O(e) off violates this at O(e), so the bound at ``M`` itself (*raw*) is
first order. Projecting back onto that structure makes it second order: *clip* caps the singular
values of ``rho X - M`` at mu, which is the dual of a proximal gradient step and needs no rank;
*snap* replaces M by ``-mu U_r V_r'`` on the leading r singular pairs, for trial ranks r.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ufm._linalg import inner
from ufm._typing import Float, Tensor
from ufm.certificates._dual import Bound, Gauge, finite_or_zero, op_norm, priced, weigh
from ufm.certificates._means import Means
from ufm.problem import FreeBias


# Up to this size every rank is tried; above it only 0, K-1 and the visible drops.
ALL_RANKS = 40
# Trial ranks cost ten times a clip and seldom beat it: only above this gap, relative to max(1, F).
TRIAL_ABOVE = 1e-10


@dataclass(frozen=True, eq=False)
class Centring:
    """Projection onto the linear constraints in a gauge's coordinates.

    Attributes:
        left: Unit vectors (B, K) the columns must be orthogonal to, or None.
        right: Unit vectors (B, K) the rows must be orthogonal to, or None.
    """

    left: Float[Tensor, "B K"] | None
    right: Float[Tensor, "B K"] | None

    @classmethod
    def of(cls, means: Means, gauge: Gauge) -> Centring:
        """The constraints ``1'Y = 0`` (shift-invariant loss) and ``Y1 = 0`` (free bias).

        Args:
            means: Class-mean point.
            gauge: Dual norm.

        Returns:
            The projection.
        """
        template = means.objective.template
        left, right = (
            torch.nn.functional.normalize(t.sqrt(), dim=-1) if wanted else None
            for t, wanted in (
                (gauge.beta, template.loss.shift_invariant),
                (gauge.alpha, isinstance(template.bias, FreeBias)),
            )
        )
        return cls(left, right)

    def __call__(self, M: Float[Tensor, "B K K"]) -> Float[Tensor, "B K K"]:
        """Project.

        Args:
            M: Matrix.

        Returns:
            ``(I - vv') M (I - uu')``.
        """
        if self.left is not None:
            v = self.left.unsqueeze(-1)
            M = M - v @ (v.mT @ M)
        if self.right is not None:
            u = self.right.unsqueeze(-1)
            M = M - (M @ u) @ u.mT
        return M


def raw_bound(means: Means, gauge: Gauge) -> Bound:
    """The bound of the projected gradient itself, first order in the distance to an optimum.

    Args:
        means: Class-mean point.
        gauge: Dual norm.

    Returns:
        The bound.
    """
    template = means.objective.template
    if template.is_budgeted and not isinstance(template.bias, FreeBias):
        # The gradient is feasible as it is, and has no defect.
        norm = op_norm(gauge.shrink(means.G))
        return priced(means, gauge, means.G, norm=norm, defect=0.0, name="raw")
    M = Centring.of(means, gauge)(gauge.shrink(means.G))
    return weigh(means, gauge, gauge.stretch(M), "raw")


def refined_bound(means: Means, gauge: Gauge, raw: Bound) -> Bound:
    """The best of the raw bound, the clip, and where that is not tight the trial ranks.

    Args:
        means: Class-mean point.
        gauge: Dual norm.
        raw: The raw bound in this gauge.

    Returns:
        The best bound of each instance.
    """
    centre = Centring.of(means, gauge)
    M = centre(gauge.shrink(means.G))
    X = centre(gauge.stretch(means.Z))
    mu = clip_level(means, gauge, M)
    rho = means.objective.K * mu / size_of(means, gauge)
    clipped = centre(-clip(rho[..., None, None] * X - M, mu))
    best = raw.best(weigh(means, gauge, gauge.stretch(clipped), "clip"))
    todo = (best.gap > TRIAL_ABOVE * means.risk.clamp(min=1)).nonzero().squeeze(-1)
    if todo.numel():
        snapped = snap_bound(means.select(todo), gauge.select(todo), X[todo], M[todo], mu[todo])
        best = best.best_at(todo, snapped)
    return best


def clip_level(means: Means, gauge: Gauge, M: Float[Tensor, "B K K"]) -> Float[Tensor, "B"]:
    """Where to cap singular values: the limit of a ridge, ``-<G, Z>/price`` of a budget.

    Args:
        means: Class-mean point.
        gauge: Dual norm.
        M: Gradient in the gauge's coordinates, whose Frobenius norm stands in where the slope is
            not positive: then nothing of it is capped.

    Returns:
        mu > 0 wherever the gradient is not zero.
    """
    slope = -inner(means.G, means.Z) / gauge.price
    mu = torch.where(slope > 0, slope, torch.linalg.matrix_norm(M))
    return torch.where(gauge.limit.isfinite(), gauge.limit, mu)


def size_of(means: Means, gauge: Gauge) -> Float[Tensor, "B"]:
    """A scale for ``X``: the price of a budget, the nuclear norm that a ridge pays for otherwise.

    Args:
        means: Class-mean point.
        gauge: Dual norm.

    Returns:
        Scales, > 0.
    """
    paid = means.ridge / gauge.limit.clamp(min=1e-300)
    floor = gauge.alpha.sum(-1).sqrt()
    return torch.where(gauge.limit.isfinite(), torch.maximum(paid, floor), gauge.price)


def clip(N: Float[Tensor, "B K K"], mu: Float[Tensor, "B"]) -> Float[Tensor, "B K K"]:
    """Cap the singular values at ``mu``.

    Args:
        N: Matrices.
        mu: Caps.

    Returns:
        The nearest matrices of operator norm at most ``mu``.
    """
    # Only singular values above mu change, so the eigenproblem of N'N, three times cheaper than an
    # SVD, loses no more than (s_max/mu)^2 eps; the norm of the result is computed anew anyway.
    mu = mu.unsqueeze(-1)
    values, V = torch.linalg.eigh(finite_or_zero(N.mT @ N))
    excess = 1 - (mu / values.clamp(min=1e-300).sqrt()).clamp(max=1)
    return N - (N @ V * excess.unsqueeze(-2)) @ V.mT


def snap_bound(
    means: Means,
    gauge: Gauge,
    X: Float[Tensor, "B K K"],
    M: Float[Tensor, "B K K"],
    mu: Float[Tensor, "B"],
) -> Bound:
    """The best bound over trial ranks.

    Args:
        means: Class-mean point.
        gauge: Dual norm.
        X: Logits in the gauge's coordinates.
        M: Gradient in the gauge's coordinates.
        mu: Where `clip_level` would cap.

    Returns:
        The best bound of each instance.
    """
    centre = Centring.of(means, gauge)
    U, S, Vh = torch.linalg.svd(finite_or_zero(X))
    slope = -inner(M, X) / S.sum(-1).clamp(min=1e-300)
    mu = torch.where((slope > 0) & gauge.limit.isinf(), slope, mu)
    best = weigh(means, gauge, gauge.stretch(centre(clip(M, mu))), "snap 0")
    for r in trial_ranks(S):
        U_r, V_r = U[..., :r], Vh[..., :r, :].mT
        rest = M - U_r @ (U_r.mT @ M)
        rest = rest - (rest @ V_r) @ V_r.mT
        snapped = centre(clip(rest, mu) - mu[..., None, None] * (U_r @ V_r.mT))
        best = best.best(weigh(means, gauge, gauge.stretch(snapped), f"snap {r}"))
    return best


def trial_ranks(S: Float[Tensor, "B K"]) -> list[int]:
    """Ranks worth trying for singular values ``S``, for any instance of the batch.

    Args:
        S: Singular values, largest first.

    Returns:
        Increasing ranks above 0: all up to K-1 for small K, else K-1 and the visible drops.
    """
    K = S.shape[-1]
    if K <= ALL_RANKS:
        return list(range(1, K))
    drop = (S[..., 1:] < 1e-2 * S[..., :-1]) & (S[..., :-1] > 1e-14 * S[..., :1])
    small = (S[..., 1:] < 1e-5 * S[..., :1]) & (S[..., :-1] >= 1e-5 * S[..., :1])
    visible = (drop | small).any(0).nonzero().squeeze(-1) + 1
    return sorted({K - 1, *visible.tolist()})
