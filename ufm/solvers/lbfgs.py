"""Batched L-BFGS with an Armijo search per instance; nothing is shared between instances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from ufm._typing import Bool, Float, Int, Tensor
from ufm.methods import LBFGS
from ufm.objective import Objective, Point
from ufm.solvers._charts import Chart
from ufm.solvers._feasible import into_budgets
from ufm.solvers._line_search import ARMIJO, MAX_IDLE, MAX_SHRINKS, SHRINK
from ufm.solvers._loop import iterate
from ufm.solvers._manifolds import chart_of
from ufm.solvers._memory import Memory
from ufm.solvers._result import Result
from ufm.solvers._start import start as start_at
from ufm.solvers.cuda import fused, turns
from ufm.status import RUNNING, Status


Watcher = Callable[[int, Tensor, Point], None]
# Smallest slack of a given start, as a share of the radius: at zero slack nothing pulls inwards.
LEAST_SLACK = 1e-3


@dataclass(frozen=True, eq=False)
class Iterate:
    """State of the batch between steps.

    Attributes:
        chart: Manifold and objective.
        x: Coordinates ``(B, P)``.
        value: Objective ``(B,)``.
        grad: Riemannian gradient ``(B, P)``.
        grad_norm: Its norm ``(B,)``.
        code: Status ``(B,)``.
        direction: Next search direction ``(B, P)``.
        slope: Derivative along it ``(B,)``.
        trial: First step to try along it ``(B,)``.
        steepest: Whether it is the negative gradient ``(B,)``.
        memory: Pairs.
        least: Smallest gradient norm so far ``(B,)``.
        idle: Steps since the value or that norm last improved ``(B,)``.
        count: Steps taken by the batch.
    """

    chart: Chart
    x: Float[Tensor, "B P"]
    value: Float[Tensor, "B"]
    grad: Float[Tensor, "B P"]
    grad_norm: Float[Tensor, "B"]
    code: Int[Tensor, "B"]
    direction: Float[Tensor, "B P"]
    slope: Float[Tensor, "B"]
    trial: Float[Tensor, "B"]
    steepest: Bool[Tensor, "B"]
    memory: Memory
    least: Float[Tensor, "B"]
    idle: Int[Tensor, "B"]
    count: int

    def select(self, index: Int[Tensor, "S"]) -> Iterate:
        """The sub-batch at ``index``.

        Args:
            index: Positions in the batch.

        Returns:
            A smaller state.
        """
        names = (
            "x", "value", "grad", "grad_norm", "code", "direction", "slope", "trial", "steepest",
            "least", "idle",
        )  # fmt: skip
        return replace(
            self,
            chart=self.chart.select(index),
            memory=self.memory.select(index),
            **{name: getattr(self, name)[index] for name in names},
        )


class Trial(NamedTuple):
    """A trial point of a line search.

    Attributes:
        x: Coordinates ``(B, P)``.
        value: Objective ``(B,)``.
        grad: Riemannian gradient ``(B, P)``.
        mu: Curvature scale ``(B,)``.
    """

    x: Float[Tensor, "B P"]
    value: Float[Tensor, "B"]
    grad: Float[Tensor, "B P"]
    mu: Float[Tensor, "B"]


def run(
    objective: Objective,
    method: LBFGS,
    *,
    start: Point | None,
    seeds: tuple[int, ...],
    callback: Watcher | None = None,
) -> Result:
    r"""Minimise on class means by L-BFGS on the balanced factors.

    Trial step 1 (the very first ``0.35 |x|/|g|``), Armijo 1e-4 with factor 0.35 and a slack of
    ``1e-15 (1 + |f|)``; a pair is kept if ``<s,y> > 1e-12 <y,y>``; a direction that does not
    descend is replaced by the negative gradient, and so is one along which no step is found
    (STALLED if that fails too, or if 50 steps improve neither value nor gradient norm). The
    stopping test is :math:`|g|/\sqrt{\mu} \le` ``gtol`` with the chart's curvature scale.

    On CUDA, unless somebody watches or asks for tensors, small models of cross-entropy with average
    budgets go to a fused kernel and all others to captured graphs (`ufm.solvers.cuda`): the same
    algorithm, which differs by rounding.

    Args:
        objective: Problems on class means.
        method: Settings.
        start: Start of every instance, or None for the method's own.
        seeds: One seed an instance.
        callback: Called with step number, positions of running instances and their points.

    Returns:
        The outcome of each instance.

    Raises:
        ValueError: If ``engine="fused"`` is asked for where CUDA has no kernel.
    """
    chart = chart_of(objective)
    if start is None:
        x = start_at(chart, objective, method.start, seeds)
    else:
        x = chart.coordinates(start, least=LEAST_SLACK)
    if method.engine == "fused" and (callback is not None or not fused.takes(chart)):
        raise ValueError(
            "engine must be 'auto' or 'tensors' on CUDA with a callback and except for "
            "CrossEntropy with AverageBudget, a learnable classifier and no bias, K and d up to "
            f"16, got {method.engine!r}"
        )
    if x.device.type == "cuda" and callback is None and method.engine != "tensors":
        if fused.takes(chart):
            out = fused.minimise(x, chart.factors.c, chart.radius2, method=method)
        else:
            out = turns.minimise(chart, x, method=method)
        point = into_budgets(objective, chart.point(out.x))
        return Result(point, out.code, out.steps, out.grad_norm)

    def watch(count: int, slots: Tensor, state: Iterate) -> None:
        rows = (state.code == RUNNING).nonzero().squeeze(-1)
        if callback is not None and len(rows) > 0:
            callback(count, slots[rows], state.chart.select(rows).point(state.x[rows]))

    final = iterate(
        _begin(chart, x, method),
        lambda state: _step(state, method.gtol),
        max_steps=method.max_steps,
        callback=None if callback is None else watch,
    )
    point = into_budgets(objective, chart.point(final.x))
    return Result(point, final.code, final.steps, final.grad_norm)


def _begin(chart: Chart, x: Float[Tensor, "B P"], method: LBFGS) -> Iterate:
    value, grad, mu = chart.value_and_grad(x)
    norm = _norm(grad)
    return Iterate(
        chart=chart, x=x, value=value, grad=grad, grad_norm=norm,
        code=_code(norm, mu, method.gtol), direction=-grad, slope=-norm.square(),
        trial=_first_trial(x, norm),
        steepest=torch.ones_like(norm, dtype=torch.bool), memory=Memory.empty(x, method.memory),
        least=norm, idle=torch.zeros_like(norm, dtype=torch.int64), count=0,
    )  # fmt: skip


def _code(norm: Float[Tensor, "B"], mu: Float[Tensor, "B"], gtol: float) -> Int[Tensor, "B"]:
    code = torch.full_like(norm, RUNNING, dtype=torch.int64)
    return code.masked_fill(norm <= gtol * mu.sqrt(), Status.CONVERGED.code)


def _first_trial(x: Float[Tensor, "B P"], norm: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
    return 0.35 * _norm(x) / norm.clamp(min=1e-300)


def _step(state: Iterate, gtol: float) -> Iterate:
    running = state.code == RUNNING
    accepted, new = _search(state, running)
    lost = running & ~accepted
    norm = _norm(new.grad)
    memory, direction = state.memory.update(
        (state.x, new.x), (state.grad, new.grad), count=state.count, usable=accepted
    )
    slope = (new.grad * direction).sum(-1)
    if bool(lost.any()):
        memory = memory.forget(lost)
    steepest = lost | ~(slope < 0)
    if bool(steepest.any()):
        direction = torch.where(steepest.unsqueeze(-1), -new.grad, direction)
        slope = torch.where(steepest, -norm.square(), slope)
    # On a sphere a longer step than twice the radius only turns back.
    reach = 2 * state.chart.radius2.sqrt() / _norm(direction)
    trial = reach.clamp(max=1)
    if bool(steepest.any()):
        trial = torch.where(steepest, _first_trial(new.x, norm), trial)
    code = torch.where(accepted, _code(norm, new.mu, gtol), state.code)
    useful = (norm < state.least) | (new.value < state.value - _noise(state.value))
    idle = torch.where(useful, 0, state.idle + 1)
    stalled = (lost & state.steepest) | ((code == RUNNING) & (idle >= MAX_IDLE))
    code = code.masked_fill(stalled, Status.STALLED.code)
    return replace(
        state, x=new.x, value=new.value, grad=new.grad, grad_norm=norm, code=code,
        direction=direction, slope=slope, trial=trial, steepest=steepest,
        memory=memory, least=norm.minimum(state.least), idle=idle, count=state.count + 1,
    )  # fmt: skip


def _search(state: Iterate, running: Bool[Tensor, "B"]) -> tuple[Bool[Tensor, "B"], Trial]:
    # Backtrack each instance until Armijo holds; instances where it never does stay put.
    slope = ARMIJO * state.slope
    bound = state.value + _noise(state.value)
    t = state.trial
    new = _trial(state.chart, state.x, state.direction, t)
    accepted = running & (new.value <= bound + t * slope)
    left = (running & ~accepted).nonzero().squeeze(-1)
    for _ in range(MAX_SHRINKS):
        if left.shape[0] == 0:
            break
        t = t.index_copy(0, left, SHRINK * t[left])
        retry = _trial(state.chart.select(left), state.x[left], state.direction[left], t[left])
        ok = retry.value <= (bound + t * slope)[left]
        done, left = left[ok], left[~ok]
        accepted[done] = True
        for whole, part in zip(new, retry, strict=True):
            whole[done] = part[ok]
    if bool(accepted.all()):
        return accepted, new
    moved = accepted.unsqueeze(-1)
    return accepted, Trial(
        torch.where(moved, new.x, state.x),
        torch.where(accepted, new.value, state.value),
        torch.where(moved, new.grad, state.grad),
        new.mu,
    )


def _norm(v: Float[Tensor, "B P"]) -> Float[Tensor, "B"]:
    return torch.linalg.vector_norm(v, dim=-1)


def _noise(value: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
    return 1e-15 * (1 + value.abs())


def _trial(
    chart: Chart, x: Float[Tensor, "B P"], direction: Float[Tensor, "B P"], t: Float[Tensor, "B"]
) -> Trial:
    x = chart.retract(torch.addcmul(x, direction, t.unsqueeze(-1)))
    return Trial(x, *chart.value_and_grad(x))
