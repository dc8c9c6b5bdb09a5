"""`certify`: the one entry, from a solution to its certificate."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import torch

from ufm._linalg import centre_columns
from ufm._pieces import pieces
from ufm._typing import Float, Int, Tensor
from ufm.certificates._certificate import RANK_TOLERANCE, Certificate, joined
from ufm.certificates._dual import Bound, dual_value, finite_or_zero, zero_bound
from ufm.certificates._fused import fused_certificate, is_fused
from ufm.certificates._means import Means, Reduced, reduce_point
from ufm.certificates._stationarity import kkt_residual, stationarity
from ufm.certificates.average import average_bounds
from ufm.certificates.dot import dot_bounds
from ufm.certificates.fixed import fixed_bounds
from ufm.certificates.ridge import ridge_bounds
from ufm.certificates.rigorous import bracket, check_balls
from ufm.certificates.unregularised import infimum_bounds
from ufm.certificates.vector import vector_bounds
from ufm.losses import DotRegression
from ufm.objective import Point
from ufm.problem import (
    AverageBudget,
    ClassMeanDecay,
    NoReg,
    Problem,
    Sphere,
    VectorBudget,
    WeightDecay,
)
from ufm.solution import Solution


# K x K matrices alive at once while an instance is certified, its point and products included.
FLOAT, MATRICES = 8, 40


def certify(
    sol: Solution, *, rigorous: bool = False, engine: Literal["auto", "tensors"] = "auto"
) -> Certificate:
    """Bound the optimum from a point alone.

    Args:
        sol: Anybody's point: a batch or a single instance, on samples or class means.
        rigorous: Whether to also prove a bracket in ball arithmetic (needs python-flint, the extra
            ``rigorous``).
        engine: Who computes: ``"auto"`` takes compiled code (extra ``fast``; Triton on CUDA) for
            small problems of cross-entropy with average budgets, which finds the same numbers to
            rounding; ``"tensors"`` never does.

    Returns:
        A certificate of the batch shape of ``sol``. `passed` is the gate; ``bound`` says how good a
        bound there was: ``raw`` and ``infimum`` are first order, the others second.

    Raises:
        ValueError: If this is no solution, or ``rigorous`` and the loss or the fixed frame has no
            formula in balls, or the engine is unknown.

    References:
        Weak duality of the layer-peeled model: [fang2021]_ states the convex programme.
    """
    if not isinstance(sol, Solution):
        raise ValueError(
            "sol must be a Solution (of solve, or Solution.from_arrays of a point), "
            f"got {type(sol).__name__}"
        )
    if engine not in ("auto", "tensors"):
        raise ValueError(f"engine must be 'auto' or 'tensors', got {engine!r}")
    if rigorous:
        check_balls(sol.problems)
    parts = _pieces(sol)
    if len(parts) > 1:
        return joined([certify(part, rigorous=rigorous, engine=engine) for part in parts])
    if not rigorous and engine == "auto" and is_fused(sol):
        certificate, loose = fused_certificate(sol)
        if len(loose):
            points = replace(sol, seeds=(), messages=())  # all that is not the point's own
            better = certify(points.select(loose), engine="tensors")
            certificate = certificate.overwritten(loose, better)
        return certificate if sol.batch_shape else certificate[0]
    reduced = reduce_point(sol)
    raw, best = bounds(reduced.means)
    best = best.best(zero_bound(reduced.means, "infimum"))
    certificate = _assemble(reduced, raw, best, shape=sol.batch_shape)
    return replace(certificate, bracket=brackets(sol, best)) if rigorous else certificate


def _pieces(sol: Solution) -> list[Solution]:
    # The batch itself, or parts of it that fit into memory; without what is not the point's own.
    K, M = sol.problems[0].K, sol.H.shape[-1]
    found = list(pieces(len(sol), FLOAT * MATRICES * K * max(K, M, sol.W.shape[-1]), sol.H.device))
    if len(found) < 2:
        return [sol]
    points, whole = replace(sol, seeds=(), messages=()), torch.arange(len(sol))
    return [points.select(whole[piece]) for piece in found]


def first_certificate(sol: Solution) -> Certificate:
    """What `certify` finds before it tries ranks, which take far longer than another solve.

    Args:
        sol: A batch.

    Returns:
        Certificate, with a larger gap than `certify` finds where that fails the gate.
    """
    return fused_certificate(sol)[0] if is_fused(sol) else certify(sol)


def _assemble(reduced: Reduced, raw: Bound, best: Bound, *, shape: torch.Size) -> Certificate:
    means, objective = reduced.means, reduced.objective
    residual = kkt_residual(objective, reduced.x)
    template = objective.template
    tensors = {
        "primal": reduced.primal,
        "dual": dual_value(means, best),
        "raw_gap": raw.gap + reduced.spread,
        "gap": best.gap + reduced.spread,
        "margin": margin(means, best),
        "infeasibility": reduced.infeasibility,
        "stationarity": stationarity(objective, residual, means.G),
        "rank": numerical_rank(means),
        "Y": best.Y,
    }
    if not template.is_learnable:
        tensors["residual"] = torch.linalg.vector_norm(residual.H, dim=-2) / objective.c
    elif template.is_budgeted:
        tensors["multipliers"] = best.multipliers
    shaped: dict[str, Any] = {name: t.reshape(shape + t.shape[1:]) for name, t in tensors.items()}
    relaxation = label(template)
    return Certificate(bound=tuple(f"{relaxation}: {name}" for name in best.names), **shaped)


def brackets(sol: Solution, best: Bound) -> tuple[tuple[float, float], ...]:
    """Prove a bracket for every instance.

    Args:
        sol: Points as given.
        best: Their float bounds.

    Returns:
        One (lower, upper) an instance.
    """
    point = (t.detach().to("cpu", torch.float64) for t in sol.point)
    flat = Point(*(t.reshape(len(sol), *t.shape[len(sol.batch_shape) :]) for t in point))
    Y, multipliers = best.Y.cpu(), best.multipliers.cpu()
    return tuple(
        bracket(problem, Point(*(t[i] for t in flat)), Y[i], multipliers=multipliers[i])
        for i, problem in enumerate(sol.problems)
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
    template = means.objective.template
    if not template.is_learnable:
        return fixed_bounds(means)
    if isinstance(template.reg, NoReg):
        return infimum_bounds(means)
    if isinstance(template.loss, DotRegression):
        return dot_bounds(means)
    match template.reg:
        case AverageBudget():
            return average_bounds(means)
        case VectorBudget() | Sphere():
            return vector_bounds(means)
        case WeightDecay() | ClassMeanDecay():
            return ridge_bounds(means)
        case reg:
            raise TypeError(f"reg must be of a known type, got {type(reg).__name__}")


def label(problem: Problem) -> str:
    """Which relaxation the bound belongs to.

    Args:
        problem: The model.

    Returns:
        A few words.
    """
    if not problem.is_learnable:
        ball = " (balls for the spheres)" if isinstance(problem.reg, Sphere) else ""
        return "fixed classifier" + ball
    match problem.reg:
        case AverageBudget():
            return "average budgets"
        case VectorBudget():
            return "vector budgets"
        case Sphere():
            return "vector budgets (balls for the spheres)"
        case WeightDecay() | ClassMeanDecay():
            return "ridge"
        case _:
            return "no regulariser"


def margin(means: Means, best: Bound) -> Float[Tensor, "B"]:
    """Allowance for rounding: ``(4K + d) eps`` times the size of what cancels in the gap.

    Args:
        means: Class-mean point.
        best: Its bound.

    Returns:
        Absolute allowance.
    """
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
    objective = means.objective
    Z = centre_columns(means.Z)
    S = torch.linalg.eigvalsh(finite_or_zero(Z.mT @ Z)).clamp(min=0).sqrt()
    scale = torch.ones_like(objective.lam_b)
    if objective.template.is_budgeted:
        scale = (objective.E_W * objective.E_H).sqrt()
    floor = RANK_TOLERANCE * torch.maximum(S[..., -1], scale)
    return S.gt(floor.unsqueeze(-1)).sum(-1)
