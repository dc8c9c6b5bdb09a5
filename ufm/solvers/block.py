"""The optimum of a model with few groups of exchangeable classes, in a few numbers for any K."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from ufm._typing import Float, Tensor
from ufm.losses import CrossEntropy
from ufm.methods import Newton
from ufm.objective import Objective
from ufm.problem import AverageBudget, Problem
from ufm.reduce import BlockSymmetry, NuclearForm
from ufm.solution import Solution
from ufm.solvers import newton
from ufm.solvers._block_factors import BlockFactors
from ufm.solvers._charts import Chart
from ufm.solvers._manifolds import FLOOR, FlatChart, SphereChart
from ufm.solvers._start import best_size


NEWTON = Newton()


def block_optimum(problem: Problem | Sequence[Problem], method: Newton = NEWTON) -> Solution:
    r"""Optimum of cross-entropy with average budgets or ridges, solved on groups of equal classes.

    The problem is convex in the logits, so the average of an optimum over the permutations of
    equal classes is an optimum: G groups leave ``G + 2 G^2`` unknowns for any K
    (`ufm.reduce.BlockSymmetry`). They are found by the trust-region Newton method, and expanded to
    W and H in closed form. Two groups with average budgets also have the exact solution
    `ufm.solvers.step_optimum`.

    Args:
        problem: A problem without bias, or several with the same groups of classes.
        method: Settings of the Newton method; its gradient is that of the reduced problem.

    Returns:
        Solutions on class means, one batch axis.

    Raises:
        ValueError: If the reduction is not exact for the problem, or groups differ.

    References:
        Fang et al. (2021) [fang2021]_ for the model; the reduction is ours.
    """
    begin = time.perf_counter()
    problems = (problem,) if isinstance(problem, Problem) else tuple(problem)
    for each in problems:
        _check(each, problems[0])
    with torch.no_grad():
        objective = Objective.stack(problems, problems[0].K if problems else 0)
        factors = BlockFactors.of(objective)
        chart = _chart(objective, factors)
        x = best_size(chart, chart.unit(_start_rows(factors)))
        result = newton.descend(chart, objective, method, x=x)
        value = objective.value(result.point)
    return Solution(
        problems=problems, point=result.point, value=value, code=result.code, steps=result.steps,
        grad_norm=result.grad_norm, method=method, seeds=(0,) * len(problems),
        messages=("",) * len(problems), seconds=time.perf_counter() - begin,
    )  # fmt: skip


def _check(problem: Problem, first: Problem) -> None:
    exact = NuclearForm().exact_for(problem) and isinstance(problem.loss, CrossEntropy)
    if not exact or problem.has_bias:
        raise ValueError(
            "problem must be cross-entropy with average budgets or ridges on both factors, "
            f"d >= K - 1, a learnable classifier and no bias, got {problem}"
        )
    groups, expected = BlockSymmetry.groups(problem), BlockSymmetry.groups(first)
    if groups != expected:
        raise ValueError(
            f"problem must have the same groups of equal classes across a batch, "
            f"got {len(groups)} groups and {len(expected)}"
        )


def _chart(objective: Objective, factors: BlockFactors) -> Chart:
    G = len(factors.groups)
    both = (objective.E_W * objective.E_H).sqrt()
    if isinstance(objective.template.reg, AverageBudget):
        return SphereChart(factors, 2 * G + 1, G, G, 0, 2 * objective.K * both, 0.0)
    free = torch.full_like(both, float("inf"))
    return FlatChart(factors, 2 * G + 1, G, G, 0, free, FLOOR / objective.K)


def _start_rows(factors: BlockFactors) -> Float[Tensor, "B R G"]:
    # The frame start of the full problem in these coordinates: (K pi_k)^(1/4) a class, centred.
    K, size = float(factors.size.sum()), factors.size
    weight = (K * factors.c / size).sqrt().sqrt()
    q = (size / K).sqrt()
    centre = torch.eye(len(size)).to(q) - q.unsqueeze(-1) * q
    between = centre @ torch.diag_embed(weight) @ centre
    t = (weight * (2 * (size - 1)).sqrt()).unsqueeze(1)
    return torch.cat([between, t, between], 1)
