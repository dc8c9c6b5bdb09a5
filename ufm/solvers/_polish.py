"""`polish`: Newton steps from a solution, keeping whatever is better."""

from __future__ import annotations

import time
from dataclasses import replace

import torch

from ufm._typing import Bool, Float, Tensor
from ufm.methods import Newton
from ufm.objective import Objective, Point
from ufm.reduce import ClassMeans
from ufm.solution import Solution
from ufm.solvers import newton
from ufm.solvers._feasible import into_budgets
from ufm.solvers._manifolds import chart_of
from ufm.solvers._result import Result
from ufm.status import Status


NEWTON = Newton()
# A value this much larger, in units of max(1, |f|), is the same value rounded.
ROUNDING = 8 * torch.finfo(torch.float64).eps


def polish(sol: Solution, method: Newton = NEWTON) -> Solution:
    """Take Newton steps on (W, H) from a solution until its gradient is at rounding level.

    From a point at L-BFGS accuracy a few steps bring the gradient to about 1e-13 where the
    optimum is not degenerate. Points outside their budgets are first moved inside. Samples are
    polished as class means and given their class mean, which is no worse for losses convex in the
    logits. The value never increases, beyond rounding: where no better point is found the point
    is kept, with the status of the attempt.

    Args:
        sol: A batch of solutions, or a single one.
        method: Settings.

    Returns:
        Solutions of the same batch shape and number of columns, with statuses, steps and gradient
        norms of the polishing.

    Raises:
        ValueError: If this is no solution, or the problem has no minimiser.
    """
    if not isinstance(sol, Solution):
        raise ValueError(f"sol must be a Solution, got {type(sol).__name__}")
    begin = time.perf_counter()
    shape, problem = sol.batch_shape, sol.problems[0]
    if not all(problem.has_minimiser for problem in sol.problems):
        raise ValueError(f"problem must have a minimiser to polish to, got {problem}")
    with torch.no_grad():
        given = sol.objective()
        size = len(sol.problems)
        old = Point(*(t.reshape(size, *t.shape[len(shape) :]) for t in sol.point))
        old = into_budgets(given, old)
        result = _on_class_means(sol, old, method)
        new = result.point
        if sol.H.shape[-1] != problem.K:
            new = ClassMeans().invert(problem, new)
        old_value, new_value = given.value(old), given.value(new)
        better = new_value <= old_value + ROUNDING * old_value.abs().clamp(min=1)
        point = Point(*(_where(better, a, b) for a, b in zip(new, old, strict=True)))
        code = result.code.masked_fill(~better, Status.STALLED.code)
    return replace(
        sol,
        point=Point(*(t.reshape(shape + t.shape[1:]) for t in point)),
        value=torch.where(better, new_value, old_value).reshape(shape),
        code=code.reshape(shape),
        steps=result.steps.reshape(shape),
        grad_norm=result.grad_norm.reshape(shape),
        method=method,
        trace=None,
        seconds=time.perf_counter() - begin,
    )


def _on_class_means(sol: Solution, x: Point, method: Newton) -> Result:
    problem = sol.problems[0]
    objective = Objective.stack(sol.problems, problem.K, device=x.H.device)
    x = Point(*(t.to(torch.float64) for t in x))
    if x.H.shape[-1] != problem.K:
        x = ClassMeans().apply(problem, x)
    chart = chart_of(objective)
    return newton.descend(chart, objective, method, x=chart.coordinates(x))


def _where(
    mask: Bool[Tensor, "B"], new: Float[Tensor, "B ..."], old: Float[Tensor, "B ..."]
) -> Float[Tensor, "B ..."]:
    return torch.where(mask.reshape(-1, *(1,) * (new.ndim - 1)), new, old)
