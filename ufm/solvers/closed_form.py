"""Closed forms as a method: the exact optimum where theory gives one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ufm.manifold import flatten, gradient
from ufm.methods import ClosedForm
from ufm.objective import Objective, Point
from ufm.problem import Problem
from ufm.solvers._closed_cases import optimum, step_parameters
from ufm.solvers._closed_factors import step_point
from ufm.solvers._feasible import into_budgets
from ufm.solvers._result import Result
from ufm.solvers.step import step_optimum
from ufm.status import Status


def has_closed_form(problem: Problem) -> bool:
    """Whether `ClosedForm` solves a problem: theory knows its optimum, and it fits in ``d``.

    Args:
        problem: The model.

    Returns:
        The answer.
    """
    point = optimum(problem)
    return point is not None and point.W.shape[-1] <= problem.d


def run(
    objective: Objective,
    method: ClosedForm,
    *,
    start: Point | None = None,
    seeds: tuple[int, ...] = (),
    callback: Callable | None = None,
) -> Result:
    """Write down a global minimiser of each problem.

    Args:
        objective: Problems on class means.
        method: The method; it has no settings.
        start: Ignored.
        seeds: Ignored; equal problems have equal solutions.
        callback: Ignored.

    Returns:
        The minimisers, with the norm of their Riemannian gradient.

    Raises:
        ValueError: If a problem has no known closed form or ``d`` is too small for it.
    """
    points = _points(tuple(dict.fromkeys(objective.problems)))
    rows = [points[problem] for problem in objective.problems]
    stacked = (torch.stack(parts) for parts in zip(*rows, strict=True))
    x = into_budgets(objective, Point(*(t.to(objective.c) for t in stacked)))
    slope = flatten(objective, gradient(objective, x)).norm(dim=-1)
    fine = slope.isfinite()
    code = torch.where(fine, Status.CONVERGED.code, Status.NONFINITE.code)
    return Result(point=x, code=code, steps=torch.zeros_like(code), grad_norm=slope)


def _points(problems: tuple[Problem, ...]) -> dict[Problem, Point]:
    found = _step_points(problems)
    for problem in problems:
        point = found.get(problem) or optimum(problem)
        if point is None:
            raise ValueError(
                "problem must have a known closed form (balanced, step cross-entropy with average "
                "budgets, collapsed per-vector budgets, squared error with a ridge, fixed simplex "
                f"ETF), got {problem}"
            )
        found[problem] = _in_dimension(point, problem.d)
    return found


def _step_points(problems: tuple[Problem, ...]) -> dict[Problem, Point]:
    # A sweep over ratios or budgets is one vectorised solve.
    steps = {p: groups for p in problems if (groups := step_parameters(p)) is not None}
    if not steps:
        return {}
    K_A, K_B, R = (np.array(v, dtype=np.float64) for v in zip(*steps.values(), strict=True))
    solved = step_optimum(K_A, K_B, R=R, tau=np.array([p.radius for p in steps]))
    return {problem: step_point(problem, solved, i) for i, problem in enumerate(steps)}


def _in_dimension(point: Point, d: int) -> Point:
    rank = point.W.shape[-1]
    if rank > d:
        raise ValueError(f"d must be at least {rank} for the closed form, got {d}")
    return Point(
        torch.nn.functional.pad(point.W, (0, d - rank)),
        torch.nn.functional.pad(point.H, (0, 0, 0, d - rank)),
        point.b,
    )
