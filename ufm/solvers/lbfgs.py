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
from ufm.solvers._loop import iterate
from ufm.solvers._manifolds import chart_of
from ufm.solvers._result import Result
from ufm.solvers._start import start as start_at
from ufm.status import RUNNING, Status


ARMIJO = 1e-4
SHRINK = 0.35
# 0.35^30 = 2e-14 of the trial step: nothing is left to gain in float64.
MAX_SHRINKS = 30
CURVATURE = 1e-12


class Memory(NamedTuple):
    """The last m pairs (s, y) and their inner products, in a ring that all instances share.

    Attributes:
        pairs: s in the first m rows and y in the last m, ``(B, 2m, P)``.
        rho: 1 / <s, y>, or 0 where a pair is not to be used ``(B, m)``.
        SY: ``<s_i, y_j>`` ``(B, m, m)``.
        YY: ``<y_i, y_j>`` ``(B, m, m)``.
        gamma: Scale of the initial inverse Hessian ``(B,)``.
    """

    pairs: Float[Tensor, "B twom P"]
    rho: Float[Tensor, "B m"]
    SY: Float[Tensor, "B m m"]
    YY: Float[Tensor, "B m m"]
    gamma: Float[Tensor, "B"]


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
        trial: First step to try along it ``(B,)``.
        steepest: Whether it is the negative gradient ``(B,)``.
        memory: Pairs.
        count: Steps taken by the batch.
    """

    chart: Chart
    x: Float[Tensor, "B P"]
    value: Float[Tensor, "B"]
    grad: Float[Tensor, "B P"]
    grad_norm: Float[Tensor, "B"]
    code: Int[Tensor, "B"]
    direction: Float[Tensor, "B P"]
    trial: Float[Tensor, "B"]
    steepest: Bool[Tensor, "B"]
    memory: Memory
    count: int

    def select(self, index: Int[Tensor, "S"]) -> Iterate:
        """The sub-batch at ``index``.

        Args:
            index: Positions in the batch.

        Returns:
            A smaller state.
        """
        names = ("x", "value", "grad", "grad_norm", "code", "direction", "trial", "steepest")
        return replace(
            self,
            chart=self.chart.select(index),
            memory=Memory(*(t[index] for t in self.memory)),
            **{name: getattr(self, name)[index] for name in names},
        )


def run(
    objective: Objective,
    method: LBFGS,
    *,
    start: Point | None,
    seeds: tuple[int, ...],
    callback: Callable[[int, Tensor, Point], None] | None = None,
) -> Result:
    r"""Minimise on class means by L-BFGS on the balanced factors.

    Trial step 1 (the very first ``0.35 |x|/|g|``), Armijo 1e-4 with factor 0.35 and a slack of
    ``1e-15 (1 + |f|)``; a pair is kept if ``<s,y> > 1e-12 <y,y>``; a direction that does not
    descend is replaced by the negative gradient. The stopping test is
    :math:`|g|/\sqrt{\mu} <` ``gtol`` with the chart's curvature scale.

    Args:
        objective: Problems on class means.
        method: Settings.
        start: Start of every instance, or None for the method's own.
        seeds: One seed an instance.
        callback: Called with step number, positions of running instances and their points.

    Returns:
        The outcome of each instance.
    """
    chart = chart_of(objective)
    if start is None:
        x = start_at(chart, objective, method.start, seeds)
    else:
        x = chart.coordinates(start, least=1e-3)

    def watch(count: int, slots: Tensor, state: Iterate) -> None:
        rows = (state.code == RUNNING).nonzero().squeeze(-1)
        callback(count, slots[rows], state.chart.select(rows).point(state.x[rows]))

    final = iterate(
        _begin(chart, x, method),
        lambda state: _step(state, method.gtol),
        max_steps=method.max_steps,
        callback=None if callback is None else watch,
    )
    return Result(chart.point(final.x), final.code, final.steps, final.grad_norm)


def _begin(chart: Chart, x: Float[Tensor, "B P"], method: LBFGS) -> Iterate:
    value, grad, mu = chart.value_and_grad(x)
    norm = grad.norm(dim=-1)
    B, m, P = x.shape[0], method.memory, x.shape[1]
    zeros = x.new_zeros
    return Iterate(
        chart=chart,
        x=x,
        value=value,
        grad=grad,
        grad_norm=norm,
        code=_code(norm, mu, method.gtol),
        direction=-grad,
        trial=_first_trial(x, norm),
        steepest=torch.ones_like(norm, dtype=torch.bool),
        memory=Memory(
            zeros(B, 2 * m, P), zeros(B, m), zeros(B, m, m), zeros(B, m, m), zeros(B) + 1
        ),
        count=0,
    )


def _code(norm: Tensor, mu: Tensor, gtol: float) -> Int[Tensor, "B"]:
    code = torch.full_like(norm, RUNNING, dtype=torch.int64)
    return code.masked_fill(norm < gtol * mu.clamp(min=0).sqrt(), Status.CONVERGED.code)


def _first_trial(x: Float[Tensor, "B P"], norm: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
    return 0.35 * x.norm(dim=-1) / norm.clamp(min=1e-300)


def _step(state: Iterate, gtol: float) -> Iterate:
    running = state.code == RUNNING
    accepted, x, value, grad, mu = _search(state, running)
    norm = grad.norm(dim=-1)
    memory = _remember(state, accepted, x - state.x, grad - state.grad)
    direction, trial, steepest = _direction(state, memory, x, grad, norm)
    code = torch.where(accepted, _code(norm, mu, gtol), state.code)
    code = code.masked_fill(running & ~accepted & state.steepest, Status.STALLED.code)
    # A failed search along a quasi-Newton direction gets a second chance along the gradient.
    lost = running & ~accepted
    memory = memory._replace(rho=memory.rho.masked_fill(lost.unsqueeze(-1), 0.0))
    return replace(
        state, x=x, value=value, grad=grad, grad_norm=norm, code=code,
        direction=torch.where(lost.unsqueeze(-1), -grad, direction),
        trial=torch.where(lost, _first_trial(x, norm), trial), steepest=steepest | lost,
        memory=memory, count=state.count + 1,
    )  # fmt: skip


def _search(
    state: Iterate, running: Bool[Tensor, "B"]
) -> tuple[Bool[Tensor, "B"], Tensor, Tensor, Tensor, Tensor]:
    """Backtrack each instance until Armijo holds; the last point where it never does."""
    slope = (state.grad * state.direction).sum(-1)
    slack = 1e-15 * (1 + state.value.abs())
    t = state.trial
    x, (value, grad, mu) = _try(state.chart, state.x, state.direction, t)
    accepted = running & (value <= state.value + ARMIJO * t * slope + slack)
    for _ in range(MAX_SHRINKS):
        left = (running & ~accepted).nonzero().squeeze(-1)
        if left.shape[0] == 0:
            break
        t = t.index_fill(0, left, 0.0) + torch.zeros_like(t).index_copy(0, left, SHRINK * t[left])
        retry = _try(state.chart.select(left), state.x[left], state.direction[left], t[left])
        ok = retry[1][0] <= (state.value + ARMIJO * t * slope + slack)[left]
        done = left[ok]
        x[done], value[done], grad[done], mu[done] = (
            retry[0][ok], retry[1][0][ok], retry[1][1][ok], retry[1][2][ok]
        )  # fmt: skip
        accepted[done] = True
    keep, keep_rows = accepted, accepted.unsqueeze(-1)
    return (
        accepted,
        torch.where(keep_rows, x, state.x),
        torch.where(keep, value, state.value),
        torch.where(keep_rows, grad, state.grad),
        mu,
    )


def _try(chart: Chart, x: Tensor, direction: Tensor, t: Tensor):
    x = chart.retract(torch.addcmul(x, direction, t.unsqueeze(-1)))
    return x, chart.value_and_grad(x)


def _remember(
    state: Iterate, accepted: Bool[Tensor, "B"], s: Float[Tensor, "B P"], y: Float[Tensor, "B P"]
) -> Memory:
    memory, m = state.memory, state.memory.rho.shape[-1]
    slot = state.count % m
    sy, yy = (s * y).sum(-1), y.square().sum(-1)
    good = accepted & (sy > CURVATURE * yy)
    memory.pairs[:, slot], memory.pairs[:, m + slot] = s, y
    products = memory.pairs @ y.unsqueeze(-1)
    memory.SY[:, :, slot], memory.YY[:, :, slot] = products[:, :m, 0], products[:, m:, 0]
    memory.YY[:, slot, :] = products[:, m:, 0]
    memory.rho[:, slot] = torch.where(good, 1 / sy, 0.0)
    gamma = torch.where(good, sy / yy, memory.gamma)
    return memory._replace(gamma=gamma)


def _direction(
    state: Iterate, memory: Memory, x: Tensor, grad: Tensor, norm: Tensor
) -> tuple[Float[Tensor, "B P"], Float[Tensor, "B"], Bool[Tensor, "B"]]:
    coefficients = _two_loops(memory, (memory.pairs @ grad.unsqueeze(-1)).squeeze(-1), state.count)
    step = (coefficients.unsqueeze(-2) @ memory.pairs).squeeze(-2)
    direction = torch.addcmul(step, memory.gamma.unsqueeze(-1), grad, value=-1)
    bad = ~((grad * direction).sum(-1) < 0)
    direction = torch.where(bad.unsqueeze(-1), -grad, direction)
    # On a sphere a longer step than twice the radius only turns back.
    reach = 2 * state.chart.radius2.sqrt() / direction.norm(dim=-1)
    trial = torch.nan_to_num(reach, nan=1.0).clamp(max=1)
    trial = torch.where(bad, _first_trial(x, norm), trial)
    return direction, trial, bad


def _two_loops(
    memory: Memory, products: Float[Tensor, "B twom"], count: int
) -> Float[Tensor, "B twom"]:
    r"""Coefficients of the L-BFGS direction in the pairs, from inner products alone.

    The two-loop recursion needs only :math:`\langle s_i, g\rangle, \langle y_i, g\rangle` and the
    stored products, so the pairs are read twice a step instead of 4m times.
    """
    m = memory.rho.shape[-1]
    order = [(count - age) % m for age in range(min(count + 1, m))]
    s_q, y_g = products[:, :m].clone(), products[:, m:]
    alpha, weight = torch.zeros_like(s_q), torch.zeros_like(s_q)
    for i in order:
        alpha[:, i] = memory.rho[:, i] * s_q[:, i]
        s_q = torch.addcmul(s_q, alpha[:, i : i + 1], memory.SY[:, :, i], value=-1)
    y_r = y_g - (memory.YY @ alpha.unsqueeze(-1)).squeeze(-1)
    y_r = y_r * memory.gamma.unsqueeze(-1)
    for i in reversed(order):
        weight[:, i] = alpha[:, i] - memory.rho[:, i] * y_r[:, i]
        y_r = torch.addcmul(y_r, weight[:, i : i + 1], memory.SY[:, i, :])
    return torch.cat([-weight, memory.gamma.unsqueeze(-1) * alpha], -1)
