"""Starts of the optimum methods: a deterministic full-rank frame, or Gaussian from a seed."""

from __future__ import annotations

from typing import Literal

import torch

from ufm._typing import Float, Tensor
from ufm.geometry.frames import helmert
from ufm.objective import Objective
from ufm.problem import FreeBias, Sphere
from ufm.solvers._charts import Chart


# Relative sizes tried where the scale of the factors is free; the best one starts the run.
INSIDE = (0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95)
FREE = tuple(10 ** (k / 6) for k in range(-6, 7))
# A symmetric frame may be a saddle on spheres, where nothing is convex: leave it by this much.
NOISE = 1e-2


def start(
    chart: Chart, objective: Objective, kind: Literal["frame", "random"], seeds: tuple[int, ...]
) -> Float[Tensor, "B P"]:
    """Starting coordinates of each instance.

    Args:
        chart: Manifold.
        objective: The problems.
        kind: Frame or random. Where there is no frame of full rank the start is random.
        seeds: One seed an instance; the numbers are drawn on the CPU, per instance.

    Returns:
        Coordinates.
    """
    rows = _frame_rows(objective) if kind == "frame" else None
    if rows is None:
        rows = _gaussian_rows(chart, seeds).to(objective.c)
    elif isinstance(objective.template.reg, Sphere):
        size = rows.square().mean((-2, -1), keepdim=True).sqrt()
        rows = rows + NOISE * size * _gaussian_rows(chart, seeds).to(objective.c)
    return best_size(chart, chart.unit(rows))


def best_size(chart: Chart, unit: Float[Tensor, "B R d"]) -> Float[Tensor, "B P"]:
    """Coordinates of rows of the best of a few sizes, where their size is free.

    Args:
        chart: Manifold.
        unit: Rows that use up the radius, or of typical norm 1 where there is none.

    Returns:
        Coordinates.
    """
    # All or none, but for a radius that overflows, which must not change how others start.
    unbounded = bool(chart.radius2.isinf().all())
    if not (unbounded or chart.has_slack):
        return chart.fill(unit)
    candidates = torch.stack([chart.fill(size * unit) for size in (FREE if unbounded else INSIDE)])
    values = torch.stack([chart.value_and_grad(x)[0] for x in candidates])
    best = values.nan_to_num(nan=float("inf")).argmin(0)
    return candidates[best, torch.arange(unit.shape[0], device=best.device)]


def _gaussian_rows(chart: Chart, seeds: tuple[int, ...]) -> Float[Tensor, "B R d"]:
    shape = (chart.rows, chart.d)
    draws = {
        seed: torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        for seed in set(seeds)
    }
    return torch.stack([draws[seed] for seed in seeds])


def _frame_rows(objective: Objective) -> Float[Tensor, "B R d"] | None:
    # A start of lower rank than the optimum stays on its face, so the frame has rank K, or K - 1
    # where the mean logit does not matter. A fixed classifier's own rows start its features.
    problem = objective.template
    K, d, B = problem.K, problem.d, len(objective.problems)
    fixed = objective.fixed_W()
    if fixed is not None:
        norm = fixed.norm(dim=-1, keepdim=True)
        first = torch.eye(1, d).to(fixed).expand(K, -1)
        return torch.where(norm > 0, fixed / norm.clamp(min=1e-300), first).expand(B, -1, -1)
    ignores_mean = objective.loss.shift_invariant or isinstance(problem.bias, FreeBias)
    centred = objective.loss.shift_invariant or d == K - 1
    if d < K - 1 or (centred and not ignores_mean):
        return None
    frame = helmert(K) if centred else torch.eye(K, dtype=torch.float64)
    frame = torch.nn.functional.pad(frame, (0, d - frame.shape[-1])).to(objective.c)
    rows = frame * (K * objective.c).sqrt().sqrt().unsqueeze(-1)
    if centred:
        rows = rows - rows.mean(-2, keepdim=True)
    return torch.cat([rows, rows], 1)
