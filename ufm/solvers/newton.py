"""Batched Riemannian Newton by truncated conjugate gradients, rotations projected out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch

from ufm._typing import Bool, Float, Int, Tensor
from ufm.methods import Newton
from ufm.objective import Objective, Point
from ufm.solvers._charts import Chart
from ufm.solvers._feasible import into_budgets
from ufm.solvers._loop import Final, iterate
from ufm.solvers._manifolds import chart_of
from ufm.solvers._orbit import horizontal
from ufm.solvers._result import Result
from ufm.solvers._start import start as start_at
from ufm.solvers._trust_region import steihaug
from ufm.status import RUNNING, Status


# First trust-region radius, as a share of the norm of the point; it grows to at most ten times.
FIRST_RADIUS = 0.1
# Conjugate gradients reduce the residual to this share, and quadratically less near the optimum.
FORCING = 0.1
# Decreases of the objective below this share of it, or below a hundredth of it of its square root
# (a squared residual), are rounding: there the gradient norm decides whether a step is kept.
ROUNDING = 1e-14
SHORT = 1e-5
LEAST_SLACK = 1e-3


@dataclass(frozen=True, eq=False)
class NewtonState:
    """State of the batch between steps.

    Attributes:
        chart: Manifold and objective.
        x: Coordinates ``(B, P)``.
        value: Objective ``(B,)``.
        grad: Riemannian gradient ``(B, P)``.
        mu: Curvature scale ``(B,)``.
        radius: Trust-region radius ``(B,)``.
        code: Status ``(B,)``.
    """

    chart: Chart
    x: Float[Tensor, "B P"]
    value: Float[Tensor, "B"]
    grad: Float[Tensor, "B P"]
    mu: Float[Tensor, "B"]
    radius: Float[Tensor, "B"]
    code: Int[Tensor, "B"]

    @property
    def grad_norm(self) -> Float[Tensor, "B"]:
        """Norm of the Riemannian gradient."""
        return _norm(self.grad)

    @property
    def error(self) -> Float[Tensor, "B"]:
        """What the stopping test is on."""
        return self.grad_norm / self.mu.sqrt()

    def select(self, index: Int[Tensor, "S"]) -> NewtonState:
        """The sub-batch at ``index``.

        Args:
            index: Positions in the batch.

        Returns:
            A smaller state.
        """
        names = ("x", "value", "grad", "mu", "radius", "code")
        parts = {name: getattr(self, name)[index] for name in names}
        return replace(self, chart=self.chart.select(index), **parts)


def run(
    objective: Objective,
    method: Newton,
    *,
    start: Point | None,
    seeds: tuple[int, ...],
    callback: Callable[[int, Tensor, Point], None] | None = None,
) -> Result:
    r"""Minimise on class means by a trust-region Newton method on the balanced factors.

    Quadratically convergent where the Hessian is positive definite across the rotation orbit.
    The stopping test is the one of L-BFGS, :math:`|g|/\sqrt{\mu} <` ``gtol``. STALLED means that
    the objective and the gradient have reached rounding level above it.

    Args:
        objective: Problems on class means.
        method: Settings.
        start: Start of every instance, or None for the frame start.
        seeds: One seed an instance.
        callback: Called with step number, positions of running instances and their points.

    Returns:
        The outcome of each instance.
    """
    chart = chart_of(objective)
    if start is None:
        x = start_at(chart, objective, "frame", seeds)
    else:
        x = chart.coordinates(start, least=LEAST_SLACK)
    return descend(chart, objective, method, x=x, callback=callback)


def descend(
    chart: Chart,
    objective: Objective,
    method: Newton,
    *,
    x: Float[Tensor, "B P"],
    callback: Callable[[int, Tensor, Point], None] | None = None,
) -> Result:
    """Newton steps from given coordinates.

    Args:
        chart: Manifold of the objective.
        objective: Problems on class means.
        method: Settings.
        x: Start.
        callback: As in `run`.

    Returns:
        The outcome of each instance.
    """
    final = minimise(chart, method, x=x, callback=callback)
    point = into_budgets(objective, chart.point(final.x))
    return Result(point, final.code, final.steps, final.grad_norm)


def minimise(
    chart: Chart,
    method: Newton,
    *,
    x: Float[Tensor, "B P"],
    callback: Callable[[int, Tensor, Point], None] | None = None,
) -> Final:
    """Newton steps in coordinates alone; no point is made.

    Args:
        chart: Manifold of the objective.
        method: Settings.
        x: Start.
        callback: As in `run`.

    Returns:
        Where each instance ended.
    """
    value, grad, mu = chart.value_and_grad(x)
    state = NewtonState(
        chart, x, value, grad, mu,
        radius=FIRST_RADIUS * _norm(x),
        code=torch.full_like(value, RUNNING, dtype=torch.int64),
    )  # fmt: skip
    state = _tested(state, method)

    def watch(count: int, slots: Tensor, now: NewtonState) -> None:
        rows = (now.code == RUNNING).nonzero().squeeze(-1)
        if callback is not None and len(rows) > 0:
            callback(count, slots[rows], now.chart.select(rows).point(now.x[rows]))

    return iterate(
        state, partial(_step, method=method), max_steps=method.max_steps,
        callback=None if callback is None else watch,
    )  # fmt: skip


def _tested(state: NewtonState, method: Newton) -> NewtonState:
    done = (state.code == RUNNING) & (state.error <= method.gtol)
    return replace(state, code=state.code.masked_fill(done, Status.CONVERGED.code))


def _step(state: NewtonState, *, method: Newton) -> NewtonState:
    running = state.code == RUNNING
    p, predicted = _newton_step(state, running, method)
    x = state.chart.retract(state.x + p)
    value, grad, mu = state.chart.value_and_grad(x)
    trial = replace(state, x=x, value=value, grad=grad, mu=mu)
    noise = ROUNDING * state.value.abs() + 1e-2 * ROUNDING * state.value.abs().sqrt()
    ratio = (state.value - value) / predicted
    blind = predicted <= 10 * noise
    better = torch.where(blind, trial.grad_norm < state.grad_norm, ratio > 0.1)
    kept = running & better & (value <= state.value + noise)
    size, reach = _norm(p), _norm(x)
    # A short step that only moves rounding errors about will not do better when shorter.
    stuck = running & blind & ~kept & (size <= SHORT * reach)
    radius = torch.where(torch.where(blind, ~kept, ratio < 0.25), size / 4, state.radius)
    grown = (2 * radius).minimum(10 * FIRST_RADIUS * reach.maximum(radius))
    radius = torch.where(kept & (ratio > 0.75) & (size > 0.9 * state.radius), grown, radius)
    state = _chosen(kept, trial, state)
    code = state.code.masked_fill(stuck, Status.STALLED.code)
    return _tested(replace(state, radius=radius, code=code), method)


def _newton_step(
    state: NewtonState, running: Bool[Tensor, "B"], method: Newton
) -> tuple[Float[Tensor, "B P"], Float[Tensor, "B"]]:
    project, hessian = horizontal(state.chart, state.x), state.chart.hessian(state.x)
    norm = state.grad_norm
    goal = 0.1 * method.gtol * state.mu.sqrt()
    return steihaug(
        lambda v: project(hessian(project(v))),
        project(state.grad),
        radius=state.radius,
        tolerance=goal.maximum(norm * state.error.clamp(max=FORCING)),
        active=running,
        max_cg=method.max_cg,
    )


def _norm(v: Float[Tensor, "B P"]) -> Float[Tensor, "B"]:
    return torch.linalg.vector_norm(v, dim=-1)


def _chosen(kept: Bool[Tensor, "B"], new: NewtonState, old: NewtonState) -> NewtonState:
    rows = kept.unsqueeze(-1)
    return replace(
        old,
        x=torch.where(rows, new.x, old.x),
        value=torch.where(kept, new.value, old.value),
        grad=torch.where(rows, new.grad, old.grad),
        mu=torch.where(kept, new.mu, old.mu),
    )
