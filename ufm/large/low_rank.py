r"""Certificate of a point of low rank among many classes, in blocks of columns.

Cross-entropy with average budgets. The dual matrix is that of the small case: the singular values
of :math:`N = \rho Z - G` above :math:`\mu` are capped, :math:`Y = -\mathrm{clip}(N)`. At an
optimum only those on the support of Z are above, at most d of them, so the factors W, H and two
subspace iterations give the excess, :math:`Y = G - \rho Z + U E V^\top`. Any such Y is a proof
whatever U and V are: they only decide how tight it is. K x K matrices are held for the norm of Y
alone (`norm`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from ufm._typing import Float, Tensor
from ufm.certificates._means import class_means, feasible
from ufm.large.norm import proved_norm
from ufm.losses import CrossEntropy
from ufm.objective import Objective, Point
from ufm.problem import AverageBudget, Problem
from ufm.solution import Solution


# Passes of the subspace iteration: the ratio of wanted to other singular values is about K/rank.
PASSES = 2
GATE, MARGIN = 1e-10, 1e-8


@dataclass(frozen=True)
class LargeCertificate:
    """Rigorous bounds on the optimum of one instance; the dual matrix is not kept.

    Attributes:
        primal: Objective at the point, scaled into its budgets.
        dual: Lower bound on the optimum, up to ``margin``.
        gap: Their difference, evaluated without its cancellation.
        margin: Allowance for rounding, ``(4 K + d) eps |Y|_F`` times the radius.
        norm: Proved norm of the dual matrix, the multiplier of the nuclear norm.
        infeasibility: Relative violation of a budget by the point as given.
    """

    primal: float
    dual: float
    gap: float
    margin: float
    norm: float
    infeasibility: float

    @property
    def passed(self) -> bool:
        """Gap at most 1e-10 max(1, F) and margin, feasible, and a margin of at most 1e-8."""
        size = max(1.0, abs(self.primal))
        tight = self.gap <= GATE * size + self.margin and self.margin <= MARGIN * size
        return tight and self.infeasibility <= GATE


def certify_low_rank(sol: Solution) -> LargeCertificate:
    """Bound the optimum from one point alone, on samples or class means, in blocks.

    Args:
        sol: A single instance, or a batch of one.

    Returns:
        Its certificate. It is tight to second order if the optimal logits have a rank of at most d.
        A point that overflows has an infinite gap.

    Raises:
        ValueError: If this is no solution of one instance, or its problem is not cross-entropy with
            average budgets, a learnable classifier and no bias.
    """
    if not isinstance(sol, Solution):
        raise ValueError(f"sol must be a Solution, got {type(sol).__name__}")
    if len(sol) != 1:
        raise ValueError(f"sol must be one instance, got {len(sol)}")
    problem = sol.problems[0]
    check(problem)
    W, H = (t.detach().to("cpu", torch.float64).reshape(1, *t.shape[-2:]) for t in sol.point[:2])
    given = Point(W, H, W.new_zeros(1, problem.K))
    on_columns = Objective.stack([problem], H.shape[-1])
    x = feasible(on_columns, given)
    means, spread = x, 0.0
    if on_columns.M != problem.K:
        means = x._replace(H=class_means(on_columns, x.H))
        spread = _spread(on_columns, x, means)
    point, infeasibility = _Columns.at(problem, means), float(on_columns.infeasibility(given))
    if not math.isfinite(point.value + spread):
        return LargeCertificate(
            math.nan, -math.inf, gap=math.inf, margin=0.0, norm=math.inf,
            infeasibility=infeasibility,
        )  # fmt: skip
    factors = point.excess()
    defect, inner, frobenius, entropy = point.terms(factors)
    norm = proved_norm(problem.K, lambda: (Y for _, _, Y in point.dual(factors)))
    gap = defect + inner + problem.radius * norm + spread
    size = float(means.W.norm() * means.H.norm()) * frobenius
    primal, dual = point.value + spread, -entropy - problem.radius * norm
    if not gap <= primal:  # the dual matrix 0 proves more: no risk is below 0
        gap, dual, norm, size = primal, 0.0, 0.0, 0.0
    return LargeCertificate(
        primal=primal,
        dual=dual,
        gap=gap,
        margin=(4 * problem.K + problem.d) * torch.finfo(torch.float64).eps * size,
        norm=norm,
        infeasibility=infeasibility,
    )


def check(problem: Problem) -> None:
    """Refuse other models.

    Args:
        problem: The model.

    Raises:
        ValueError: If it is no single problem of cross-entropy with average budgets.
    """
    if not isinstance(problem, Problem):
        raise ValueError(f"problem must be one Problem, got {type(problem).__name__}")
    known = isinstance(problem.loss, CrossEntropy) and isinstance(problem.reg, AverageBudget)
    if not known or problem.has_bias or not problem.is_learnable:
        raise ValueError(
            "problem must be cross-entropy with average budgets, a learnable classifier and no "
            f"bias, got loss={problem.loss}, reg={problem.reg}, bias={problem.bias}"
        )


@dataclass(frozen=True, eq=False)
class _Excess:
    # U E V' with orthonormal columns: what is capped.
    U: Float[Tensor, "K r"]
    E: Float[Tensor, "r"]
    V: Float[Tensor, "K r"]


@dataclass(frozen=True, eq=False)
class _Columns:
    # A feasible point on class means, seen in blocks of columns.
    objective: Objective
    W: Float[Tensor, "K d"]
    H: Float[Tensor, "d K"]
    value: float
    mu: float
    rho: float

    @classmethod
    def at(cls, problem: Problem, x: Point) -> _Columns:
        objective = Objective.stack([problem], problem.K)
        # Logits only count up to a shift; a centred W keeps the columns of Z and Y centred.
        W, H = x.W[0] - x.W[0].mean(0), x.H[0]
        begun, value, slope = cls(objective, W, H, 0.0, 0.0, 0.0), 0.0, 0.0
        for part, Z, G in begun.gradient():
            some = objective.columns(part)
            value += float(some.risk(Z[None]))
            slope += float((G * Z).sum())
        mu = max(-slope / problem.radius, 1e-300)
        return cls(objective, W, H, value, mu, problem.K * mu / problem.radius)

    def gradient(self) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Blocks of columns with their logits and gradients."""  # noqa: DOC402
        for part in self.objective.blocks():
            some = self.objective.columns(part)
            Z = self.W @ self.H[:, part]
            yield part, Z, some.risk_grad(Z[None])[0]

    def excess(self) -> _Excess:
        """Singular values of N above mu and their vectors, from a subspace iteration."""  # noqa: DOC201
        U = _orthonormal(self.W)
        V = torch.empty(self.H.shape[::-1], dtype=self.H.dtype)
        for _ in range(PASSES):
            V = _orthonormal(self._products(U, V)[1])
            U = _orthonormal(self._products(U, V)[0])
        V = self._products(U, V)[1]
        # N'U = V0 S R': the best subspaces for this U.
        V0, S, Rh = torch.linalg.svd(V, full_matrices=False)
        E = (S - self.mu).clamp(min=0)
        kept = E > 0
        return _Excess((U @ Rh.mT)[:, kept], E[kept], V0[:, kept])

    def _products(self, U: Tensor, V: Tensor) -> tuple[Tensor, Tensor]:
        # N V and N'U.
        left, right = torch.zeros_like(U), torch.zeros_like(V)
        for part, Z, G in self.gradient():
            N = self.rho * Z - G
            right[part] = N.mT @ U
            left += N @ V[part]
        return left, right

    def dual(self, excess: _Excess) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Blocks of columns with their logits and dual matrix, which is in the domain."""  # noqa: DOC402
        pi = self.objective.c[0]
        for part, Z, G in self.gradient():
            Y = G - self.rho * Z + (excess.U * excess.E) @ excess.V[part].mT
            yield part, Z, self._into_domain(part, (Y - Y.mean(0)) / pi[part]) * pi[part]

    def _into_domain(self, part: slice, change: Tensor) -> Tensor:
        # As `certificates._dual.into_domain`: towards the answer pi by what each column needs.
        pi, y = self.objective.c[0].unsqueeze(-1), self.objective.y[part]
        column = torch.arange(len(y))
        slack = change.clone()
        slack[y, column] += 1
        lack = slack.neg().clamp(min=0)
        share = (lack / (lack + pi)).amax(0)
        if not bool((share > 0).any()):
            return change
        answer = pi.expand_as(change).clone()
        answer[y, column] -= 1
        mixed = torch.lerp(change, answer, share)
        slack = mixed.clone()
        slack[y, column] += 1
        return mixed + slack.neg().clamp(min=0)

    def terms(self, excess: _Excess) -> tuple[float, float, float, float]:
        """Fenchel defect, <Y, Z>, |Y|_F and conjugate of the dual matrix."""  # noqa: DOC201
        defect = inner = square = entropy = 0.0
        loss = self.objective.loss
        for part, Z, Y in self.dual(excess):
            some = self.objective.columns(part)
            change = Y / some.c
            defect += float((some.c[0] * loss.fenchel_defect(change, Z, some.y)).sum())
            entropy += float((some.c[0] * loss.conjugate(change, some.y)).sum())
            inner += float((Y * Z).sum())
            square += float(Y.square().sum())
        return defect, inner, square**0.5, entropy


def _orthonormal(A: Float[Tensor, "K r"]) -> Float[Tensor, "K r"]:
    return torch.linalg.qr(A).Q


def _spread(objective: Objective, x: Point, means: Point) -> float:
    # What the point loses by the spread within its classes, see `certificates._means`.
    total, loss = 0.0, objective.loss
    for part in objective.blocks():
        some = objective.columns(part)
        at_mean = loss.grad(x.W @ means.H[..., some.y], some.y)
        Z = some.logits(x._replace(H=x.H[..., part]))
        total += float((some.c * loss.fenchel_defect(at_mean, Z, some.y)).sum())
    return total
