"""`certify`: the one entry, from a solution to its certificate."""

from __future__ import annotations

import torch

from ufm._typing import Float, Int, Tensor
from ufm.certificates._certificate import Certificate
from ufm.certificates._dual import Bound, op_norm
from ufm.certificates._means import Means, Reduced, reduce_point
from ufm.certificates._stationarity import kkt_residual, stationarity
from ufm.certificates.average import average_bounds
from ufm.certificates.ridge import ridge_bounds
from ufm.certificates.vector import vector_bounds
from ufm.problem import AverageBudget, ClassMeanDecay, Sphere, VectorBudget, WeightDecay
from ufm.solution import Solution


# Singular values of the logits below this share of their scale do not count towards the rank.
RANK_TOLERANCE = 1e-6


def certify(sol: Solution, *, rigorous: bool = False) -> Certificate:
    """Bound the optimum from a point alone.

    Args:
        sol: Anybody's point: a batch or a single instance, on samples or class means.
        rigorous: Whether to also prove a bracket in ball arithmetic (needs python-flint, the extra
            ``rigorous``).

    Returns:
        A certificate of the batch shape of ``sol``.
    """
    reduced = reduce_point(sol)
    raw, best = bounds(reduced.means)
    residual = kkt_residual(reduced.objective, reduced.x)
    shape = sol.batch_shape

    def unflatten(t: Tensor) -> Tensor:
        return t.reshape(shape + t.shape[1:])

    return Certificate(
        primal=unflatten(reduced.primal),
        dual=unflatten(best.dual),
        raw_gap=unflatten(raw.gap + reduced.spread),
        gap=unflatten(best.gap + reduced.spread),
        margin=unflatten(margin(reduced, best)),
        infeasibility=unflatten(reduced.infeasibility),
        stationarity=unflatten(stationarity(reduced.objective, residual, op_norm(reduced.means.G))),
        rank=unflatten(numerical_rank(reduced.means)),
        bound=best.names,
        Y=unflatten(best.Y),
    )


def bounds(means: Means) -> tuple[Bound, Bound]:
    """Raw and best bound of a model.

    Args:
        means: Class-mean point.

    Returns:
        The two bounds.

    Raises:
        TypeError: If the regulariser is of no known type.
    """
    match means.objective.template.reg:
        case AverageBudget():
            return average_bounds(means)
        case VectorBudget() | Sphere():
            return vector_bounds(means)
        case WeightDecay() | ClassMeanDecay():
            return ridge_bounds(means)
        case reg:
            raise TypeError(f"reg must be of a known type, got {type(reg).__name__}")


def margin(reduced: Reduced, best: Bound) -> Float[Tensor, "B"]:
    """Allowance for rounding: ``(4K + d) eps`` times the size of what cancels in the gap.

    Args:
        reduced: The point.
        best: Its bound.

    Returns:
        Absolute allowance.
    """
    means = reduced.means
    size = torch.linalg.matrix_norm(best.Y) * (
        torch.linalg.matrix_norm(means.x.W) * torch.linalg.matrix_norm(means.x.H)
        + torch.linalg.vector_norm(means.x.b, dim=-1)
    )
    rounding = (4 * means.objective.K + means.objective.d) * torch.finfo(torch.float64).eps
    return rounding * (size + means.ridge)


def numerical_rank(means: Means) -> Int[Tensor, "B"]:
    """Number of singular values of the column-centred logits that are not rounding.

    Args:
        means: Class-mean point.

    Returns:
        Ranks at the tolerance 1e-6 of the larger of the first singular value and the model's
        scale: ``sqrt(E_W E_H)`` for budgets, 1 otherwise.
    """
    S = torch.linalg.svdvals(means.Z - means.Z.mean(-2, keepdim=True))
    objective = means.objective
    scale = torch.ones_like(objective.lam_b)
    if objective.template.is_budgeted:
        scale = (objective.E_W * objective.E_H).sqrt()
    floor = RANK_TOLERANCE * torch.maximum(S[..., 0], scale)
    return (S > floor.unsqueeze(-1)).sum(-1)
