"""Starts of the optimum methods: a deterministic full-rank frame, or Gaussian from a seed."""

from __future__ import annotations

from typing import Literal

import torch

from ufm._typing import Float, Tensor
from ufm.geometry.frames import helmert
from ufm.objective import Objective
from ufm.solvers._charts import Chart


# Relative sizes tried where the scale of the factors is free; the best one starts the run.
INSIDE = (0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95)
FREE = tuple(10 ** (k / 6) for k in range(-6, 7))


def start(
    chart: Chart, objective: Objective, kind: Literal["frame", "random"], seeds: tuple[int, ...]
) -> Float[Tensor, "B P"]:
    """Starting coordinates of each instance.

    The frame has full rank K - 1 (K for a loss that sees the mean logit): a rank-deficient start
    would stay on its face of the problem. Below that dimension there is no such frame, and the
    start is random. With a fixed classifier the features start along its rows.

    Args:
        chart: Manifold.
        objective: The problems.
        kind: Frame or random.
        seeds: One seed an instance; the numbers are drawn on the CPU, per instance.

    Returns:
        Coordinates.
    """
    rows = _frame_rows(objective) if kind == "frame" else None
    if rows is None:
        rows = _gaussian_rows(chart, seeds)
    unit = chart.unit(rows.to(objective.c))
    if not chart.sized:
        return chart.fill(unit)
    candidates = [chart.fill(size * unit) for size in (INSIDE if chart.bounded else FREE)]
    values = torch.stack([chart.value_and_grad(x)[0] for x in candidates])
    best = torch.nan_to_num(values, nan=float("inf")).argmin(0)
    return torch.stack(candidates)[best, torch.arange(len(seeds), device=best.device)]


def _gaussian_rows(chart: Chart, seeds: tuple[int, ...]) -> Float[Tensor, "B R d"]:
    draw = {
        seed: torch.randn(
            chart.rows, chart.d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
        )
        for seed in set(seeds)
    }
    return torch.stack([draw[seed] for seed in seeds])


def _frame_rows(objective: Objective) -> Float[Tensor, "B R d"] | None:
    problem = objective.template
    K, d = problem.K, problem.d
    fixed = objective.fixed_W()
    if fixed is not None:
        norm = fixed.norm(dim=-1, keepdim=True)
        first = torch.zeros_like(fixed)
        first[:, 0] = 1.0
        return torch.where(norm > 0, fixed / norm, first).expand(len(objective.problems), -1, -1)
    sees_mean = not (objective.loss.shift_invariant or problem.has_bias)
    rank = K if sees_mean else K - 1
    if d < rank:
        return None
    frame = torch.eye(K, dtype=torch.float64) if sees_mean else helmert(K)
    frame = torch.nn.functional.pad(frame, (0, d - rank)).to(objective.c)
    rows = frame * (K * objective.c).unsqueeze(-1) ** 0.25
    if not sees_mean:
        rows = rows - rows.mean(-2, keepdim=True)
    return torch.cat([rows, rows], 1)
