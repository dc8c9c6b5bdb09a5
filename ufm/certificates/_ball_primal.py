"""Upper bounds in ball arithmetic: the objective at a point scaled exactly into its constraints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ufm.certificates._balls import ball, ball_frame, ball_matrix, dot, total
from ufm.certificates._means import without_zeros
from ufm.losses import CenterSquaredError, CrossEntropy, DotRegression, Loss, SquaredError
from ufm.objective import Point
from ufm.problem import (
    AverageBudget,
    ClassMeanDecay,
    Fixed,
    PenalisedBias,
    Problem,
    Sphere,
    VectorBudget,
    WeightDecay,
)


def class_shares(problem: Problem) -> list[Any]:
    """``pi_k`` as balls; the reals they enclose sum to one.

    Args:
        problem: The model.

    Returns:
        K balls.
    """
    weights = problem.weights or (1.0,) * problem.K
    mass = [ball(weight) * size for weight, size in zip(weights, problem.n, strict=True)]
    whole = total(mass)
    return [part / whole for part in mass]


def upper_bound(problem: Problem, x: Point) -> Any:
    """The objective at a point.

    Args:
        problem: The model.
        x: Single point, M = K or N columns.

    Returns:
        Ball of the objective at the point scaled into the constraints.
    """
    if isinstance(problem.reg, Sphere):
        x = x._replace(W=without_zeros(x.W), H=without_zeros(x.H.mT).mT)
    labels = problem.labels(x.H.shape[-1])
    W, H = ball_matrix(x.W), ball_matrix(x.H)
    if isinstance(problem.classifier, Fixed):
        W = ball_frame(problem.classifier.frame, problem.K, problem.d)
    # Share of its class that a column stands for, and the number of samples.
    share = [ball(1) if len(labels) == problem.K else ball(1) / problem.n[y] for y in labels]
    rows, columns = W.table(), H.transpose().table()
    row_scale, column_scale = _scales(problem, rows, columns, share)
    b = [ball(value) for value in x.b.tolist()]
    pi, value = class_shares(problem), _penalty(problem, rows, columns, share, b)
    logits = (W * H).transpose().table()
    for z, y, part, scale in zip(logits, labels, share, column_scale, strict=True):
        shifted = [e * r * scale + c for e, r, c in zip(z, row_scale, b, strict=True)]
        value += pi[y] * part * _loss(problem.loss, shifted, y)
    return value


def _scales(
    problem: Problem, rows: Sequence[Any], columns: Sequence[Any], share: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    # Exact factors of each row of W and each column of H that make the point feasible.
    row_scale, column_scale = [ball(1)] * len(rows), [ball(1)] * len(columns)
    reg, learnable = problem.reg, problem.is_learnable
    match reg:
        case AverageBudget():
            used = total(u * dot(h, h) for u, h in zip(share, columns, strict=True))
            limit = ball(reg.E_H) * problem.K
            if learnable:
                # Norm may be traded between W and H: only the product of the budgets binds Z.
                used *= total(dot(w, w) for w in rows)
                limit *= ball(reg.E_W) * problem.K
            column_scale = [_shrink(limit, used)] * len(columns)
        case VectorBudget() | Sphere():
            onto = isinstance(reg, Sphere)
            column_scale = [_shrink(ball(reg.E_H), dot(h, h), onto=onto) for h in columns]
            if learnable:
                row_scale = [_shrink(ball(reg.E_W), dot(w, w), onto=onto) for w in rows]
        case _:
            pass
    return row_scale, column_scale


def _shrink(limit: Any, used: Any, *, onto: bool = False) -> Any:
    # Where the balls cannot tell inside from outside, the exact factor puts the point on the limit.
    inside = used <= limit
    return ball(1) if inside and not onto else (limit / used).sqrt()


def _penalty(
    problem: Problem,
    rows: Sequence[Any],
    columns: Sequence[Any],
    share: Sequence[Any],
    b: Sequence[Any],
) -> Any:
    value = ball(0)
    reg, labels = problem.reg, problem.labels(len(columns))
    if isinstance(reg, (WeightDecay, ClassMeanDecay)):
        if problem.is_learnable:
            value += ball(reg.lam_W) * total(dot(w, w) for w in rows) / 2
        for h, part, y in zip(columns, share, labels, strict=True):
            count = part * problem.n[y] if isinstance(reg, WeightDecay) else part
            value += ball(reg.lam_H) * count * dot(h, h) / 2
    if isinstance(problem.bias, PenalisedBias):
        value += ball(problem.bias.lam_b) * dot(b, b) / 2
    return value


def _loss(loss: Loss, z: Sequence[Any], y: int) -> Any:
    match loss:
        case CrossEntropy():
            others = (z[j] - z[y] for j in range(len(z)) if j != y)
            return total(e.exp() for e in others).log1p()
        case SquaredError():
            return total((e - (j == y)) ** 2 for j, e in enumerate(z)) / 2
        case DotRegression(s=s):
            return (z[y] / ball(s) - 1) ** 2 * ball(s) / 2
        case CenterSquaredError():
            weight, target = center_scales(loss)
            miss = [
                e - (t if j == y else 0) for j, (e, t) in enumerate(zip(z, target, strict=True))
            ]
            return total(w * m**2 for w, m in zip(weight, miss, strict=True)) / 2
        case _:
            raise TypeError(f"loss must be of a known type, got {type(loss).__name__}")


def center_scales(loss: CenterSquaredError) -> tuple[list[Any], list[Any]]:
    r"""Weights :math:`g_k/\bar f` and targets :math:`1/\cos\alpha_k` of problem P.

    Args:
        loss: The loss.

    Returns:
        K balls each.
    """
    cos, sin = ball(loss.theta).cos(), ball(loss.theta).sin()
    gain = [cos**2 + sin**2 * f for f in loss.f]
    weight = [g / ball(loss.mean_centers) for g in gain]
    return weight, [(ball(f) / g).sqrt() for f, g in zip(loss.f, gain, strict=True)]
