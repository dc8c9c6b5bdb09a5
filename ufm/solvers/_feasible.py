"""Putting a point exactly into its budgets."""

from __future__ import annotations

import torch

from ufm._typing import Tensor
from ufm.objective import Objective, Point
from ufm.problem import AverageBudget, VectorBudget


# Sums of squares round differently when they are taken again.
ROUNDING = 4 * torch.finfo(torch.float64).eps


def into_budgets(objective: Objective, x: Point) -> Point:
    r"""The nearest rescaling of a point that keeps every budget.

    Average budgets of a learnable classifier first share their excess: ``(t W, H / t)`` has the
    same logits, and is feasible whenever :math:`\|W\|_F\|H\|_F \le K\sqrt{E_W E_H}`. What is then
    still outside shrinks. Spheres and ridges are left alone.

    Args:
        objective: Batch of problems.
        x: Point.

    Returns:
        A point whose `Objective.infeasibility` is zero, for budgets that are balls.
    """
    problem = objective.template
    if not isinstance(problem.reg, AverageBudget | VectorBudget):
        return x
    if isinstance(problem.reg, AverageBudget) and problem.is_learnable:
        used_W, used_H = objective.used(x)
        some = (used_W > 0) & (used_H > 0)
        t = torch.where(some, used_H / used_W, 1.0).sqrt().sqrt().unsqueeze(-1)
        x = Point(x.W * t, x.H / t, x.b)
    used_W, used_H = objective.used(x)
    H = x.H * _shrink(used_H).unsqueeze(-2)
    return Point(x.W * _shrink(used_W).unsqueeze(-1) if problem.is_learnable else x.W, H, x.b)


def _shrink(used: Tensor) -> Tensor:
    return torch.where(used > 1, (1 - ROUNDING) / used.clamp(min=1).sqrt(), 1.0)
