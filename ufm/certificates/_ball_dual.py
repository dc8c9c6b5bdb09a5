"""Lower bounds in ball arithmetic: weak duality at one exactly feasible real matrix.

The linear constraints of the float dual matrix are made exact by carrying out the projection in
balls, which then enclose one real matrix that satisfies them; every later enclosure is about that
matrix. Inequalities are required to be *proved*.
"""

from __future__ import annotations

from typing import Any

from ufm._typing import Float, Tensor
from ufm.certificates._ball_primal import center_scales, class_shares
from ufm.certificates._balls import (
    ball,
    ball_frame,
    dot,
    frobenius,
    from_rows,
    norm_bound,
    root,
    total,
)
from ufm.losses import CenterSquaredError, CrossEntropy, DotRegression, SquaredError
from ufm.problem import (
    AverageBudget,
    ClassMeanDecay,
    Fixed,
    FreeBias,
    PenalisedBias,
    Problem,
    Sphere,
    VectorBudget,
    WeightDecay,
)


# Blends tried before the dual matrix is given up for zero; each removes what the last one left.
BLENDS = 3


def lower_bound(
    problem: Problem, Y: Float[Tensor, "K K"], multipliers: Float[Tensor, "2 K"] | None
) -> Any:
    """A lower bound on the optimum; never below 0, the infimum of the losses.

    Args:
        problem: The model.
        Y: Any matrix of floats, best the dual matrix of a certificate.
        multipliers: Rows alpha and beta for budgets with a learnable classifier.

    Returns:
        Ball whose lower end is a proved bound.
    """
    pi = class_shares(problem)
    rows = _feasible(problem, Y, pi)
    if rows is None:
        return ball(0)
    priced = _price(problem, rows, multipliers)
    if priced is None:
        return ball(0)
    rows, support = priced
    value = -support
    for k, share in enumerate(pi):
        value -= share * _conjugate(problem, [row[k] / share for row in rows], k)
    if isinstance(problem.bias, PenalisedBias):
        sums = [total(row) for row in rows]
        value -= dot(sums, sums) / (2 * ball(problem.bias.lam_b))
    return value.max(ball(0)) if value.is_finite() else ball(0)


def _feasible(problem: Problem, Y: Float[Tensor, "K K"], pi: list[Any]) -> list[list[Any]] | None:
    # Rows of a real matrix in the domain of the conjugate, or None if none was found near Y.
    K, free = problem.K, isinstance(problem.bias, FreeBias)
    if not bool(Y.isfinite().all()):
        return None
    floats = Y.tolist()
    if isinstance(problem.loss, DotRegression):
        if free:
            return None
        return [[ball(floats[j][k] if j == k else 0) for k in range(K)] for j in range(K)]
    rows = [[ball(entry) for entry in row] for row in floats]
    if isinstance(problem.loss, CrossEntropy):
        rows = [[ball(max(floats[j][k], 0)) for k in range(K)] for j in range(K)]
        for k in range(K):
            rows[k][k] = -total(rows[j][k] for j in range(K) if j != k)
    if free:
        rows = [_less_row_sum(row, pi) for row in rows]
    if isinstance(problem.loss, (SquaredError, CenterSquaredError)):
        return rows
    for _ in range(BLENDS):
        lack = _lack(rows, pi)
        if lack == 0:
            return rows
        rows = _blend(rows, pi, ball(min(1.0, 2 * lack)))
    return None


def _less_row_sum(row: list[Any], pi: list[Any]) -> list[Any]:
    # The shares sum to one exactly, so the row sum vanishes, and column sums stay what they were.
    excess = total(row)
    return [entry - excess * share for entry, share in zip(row, pi, strict=True)]


def _lack(rows: list[list[Any]], pi: list[Any]) -> float:
    # Share of Y0 = (pi 1' - I) Pi that makes every entry of I + Y/pi non-negative.
    worst = 0.0
    for j, row in enumerate(rows):
        for k, entry in enumerate(row):
            slack = entry + pi[k] if j == k else entry
            if not slack >= 0:
                short = max(float(-slack.lower()), 1e-300)
                worst = max(worst, short / (short + float(pi[j] * pi[k])))
    return worst


def _blend(rows: list[list[Any]], pi: list[Any], t: Any) -> list[list[Any]]:
    return [
        [(1 - t) * entry + t * pi[k] * (pi[j] - (j == k)) for k, entry in enumerate(row)]
        for j, row in enumerate(rows)
    ]


def _price(
    problem: Problem, rows: list[list[Any]], multipliers: Float[Tensor, "2 K"] | None
) -> tuple[list[list[Any]], Any] | None:
    # The matrix, scaled where a ridge asks for it, and the support of the constraints.
    reg, K = problem.reg, problem.K
    if isinstance(problem.classifier, Fixed):
        return _price_fixed(problem, problem.classifier, rows)
    match reg:
        case WeightDecay() | ClassMeanDecay():
            D = problem.n if isinstance(reg, WeightDecay) else (1,) * K
            root = [ball(size).rsqrt() for size in D]
            norm = norm_bound(from_rows(_rescaled(rows, [ball(1)] * K, root)))
            theta = (ball(reg.lam_W) * ball(reg.lam_H)).sqrt() / norm
            theta = theta.min(ball(1)) if theta.is_finite() else ball(0)
            return [[theta * entry for entry in row] for row in rows], ball(0)
        case AverageBudget() | VectorBudget() | Sphere():
            if multipliers is None or not bool((multipliers > 0).all()):
                return None
            alpha, beta = ([ball(value) for value in row] for row in multipliers.tolist())
            right, left = ([value.rsqrt() for value in side] for side in (alpha, beta))
            scaled = _rescaled(rows, left, right)
            cost = ball(reg.E_W) * total(beta) + ball(reg.E_H) * total(alpha)
            return rows, cost * norm_bound(from_rows(scaled)) / 2
        case _:
            return None


def _rescaled(rows: list[list[Any]], left: list[Any], right: list[Any]) -> list[list[Any]]:
    return [
        [entry * s * r for entry, r in zip(row, right, strict=True)]
        for row, s in zip(rows, left, strict=True)
    ]


def _price_fixed(
    problem: Problem, classifier: Fixed, rows: list[list[Any]]
) -> tuple[list[list[Any]], Any] | None:
    reg = problem.reg
    W = ball_frame(classifier.frame, problem.K, problem.d)
    a = (W.transpose() * from_rows(rows)).transpose()
    squares = [dot(column, column) for column in a.table()]
    match reg:
        case WeightDecay(lam_H=lam_H) | ClassMeanDecay(lam_H=lam_H) if lam_H > 0:
            D = problem.n if isinstance(reg, WeightDecay) else (1,) * problem.K
            return rows, total(s / size for s, size in zip(squares, D, strict=True)) / (
                2 * ball(lam_H)
            )
        case AverageBudget():
            return rows, (ball(reg.E_H) * problem.K).sqrt() * frobenius(a)
        case VectorBudget() | Sphere():
            return rows, ball(reg.E_H).sqrt() * total(root(s) for s in squares)
        case _:
            return None


def _conjugate(problem: Problem, u: list[Any], y: int) -> Any:
    match problem.loss:
        case CrossEntropy():
            return total(_entropy(e + (j == y)) for j, e in enumerate(u))
        case SquaredError():
            return dot(u, u) / 2 + u[y]
        case DotRegression(s=s):
            return ball(s) * (u[y] ** 2 / 2 + u[y])
        case CenterSquaredError() as loss:
            weight, target = center_scales(loss)
            return total(e**2 / w for e, w in zip(u, weight, strict=True)) / 2 + u[y] * target[y]
        case loss:
            raise TypeError(f"loss must be of a known type, got {type(loss).__name__}")


def _entropy(q: Any) -> Any:
    # q log q of a real number known to be >= 0, even where its ball reaches below.
    if q > 0:
        return q * q.log()
    if q.is_zero():
        return ball(0)
    # Convex on [0, top], zero at 0, never below -1/e, and decreasing where top < 1/e.
    top = q.upper()
    end = top * top.log()
    return ball(0).union(end) if top < ball(-1).exp() else end.union(-ball(-1).exp()).union(ball(0))
