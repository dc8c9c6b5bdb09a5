"""Gradient flow: the adaptive integration of dx/dt = -grad f, with observables at given times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial

import torch

from ufm._typing import Bool, Float, Int, Tensor
from ufm.manifold import flatten, gaussian, gradient, retract, unflatten
from ufm.methods import GradientFlow
from ufm.objective import Objective, Point
from ufm.solution import Trace
from ufm.solvers._loop import iterate
from ufm.solvers._result import Result
from ufm.solvers._runge_kutta import DORMAND_PRINCE, Field, Step, Weights, resize, step
from ufm.solvers.observables import observe
from ufm.status import RUNNING, Status


# A step below this share of the time reached no longer advances it; TINY is that limit at t = 0.
UNDERFLOW, TINY = 4 * torch.finfo(torch.float64).eps, 1e-30
# First positive sample of logarithmic spacing, absolute and as a share of t_end.
FIRST_TIME, FIRST_SHARE = 1e-2, 1e-4


def run(
    objective: Objective,
    method: GradientFlow,
    *,
    start: Point | None,
    seeds: tuple[int, ...],
    callback: Callable[[int, Tensor, Point], None] | None = None,
) -> Result:
    r"""Integrate the gradient flow :math:`\dot x = -\operatorname{grad} f(x)` to ``t_end``.

    On budgets and spheres the gradient is the Riemannian one of the product of spheres that the
    budgets at equality describe, in the Euclidean metric of W and H, and every step ends with a
    rescaling onto them. Each instance has its own time and step size; none influences another.
    An instance is CONVERGED at ``t_end`` or below ``gtol``, STALLED if its step size underflows.

    Args:
        objective: Batch of B problems.
        method: Settings.
        start: Where to start, rescaled onto the budgets; Gaussian from the seeds if None.
        seeds: Seed of each instance.
        callback: Called after each trial step with its number, the running instances and their
            points.

    Returns:
        Points, statuses, trial steps (rejected ones included), gradient norms, and the trace of
        `observe` at `sample_times`.
    """
    if start is None:
        start = gaussian(objective, seeds, scale=method.scale)
    state = _initial(objective, flatten(objective, retract(objective, start)), method)
    times = sample_times(method).to(state.x)
    record = _Recorder.begin(times, objective, unflatten(objective, state.x))

    def after(count: int, slots: Tensor, now: FlowState) -> None:
        record(slots, now)
        if callback is not None:
            alive = (now.code == RUNNING).nonzero().squeeze(-1)
            point = unflatten(now.objective, now.x)
            callback(count, slots[alive], Point(*(part[alive] for part in point)))

    advance = partial(_advance, method=method, weights=DORMAND_PRINCE.weights(state.x))
    final = iterate(state, advance, max_steps=method.max_steps, callback=after)
    return Result(
        unflatten(objective, final.x),
        final.code,
        final.steps,
        final.grad_norm,
        trace=Trace(times, record.rows),
    )


def sample_times(method: GradientFlow) -> Float[Tensor, "T"]:
    """The times at which observables are recorded: 0, and ``samples - 1`` spaced up to ``t_end``.

    Args:
        method: Settings.

    Returns:
        Increasing times; logarithmic spacing begins at 0.01, or at ``t_end / 10^4`` if that is
        less.
    """
    count, end = method.samples - 1, method.t_end
    if method.spacing == "linear" or count < 2:
        later = torch.arange(1, count + 1, dtype=torch.float64) * (end / max(count, 1))
    else:
        first = torch.tensor(min(FIRST_TIME, FIRST_SHARE * end), dtype=torch.float64)
        share = torch.linspace(0, 1, count, dtype=torch.float64)
        later = (first.log() * (1 - share) + share * torch.tensor(end).double().log()).exp()
    later[-1:] = end
    return torch.cat([torch.zeros(1, dtype=torch.float64), later])


def field(objective: Objective) -> Field:
    """Right-hand side of the flow in flat coordinates.

    Args:
        objective: Batch of B problems.

    Returns:
        The function ``x -> -grad f(x)``, ``(B, P)`` to ``(B, P)``.
    """

    def slope(x: Tensor) -> Tensor:
        return -flatten(objective, gradient(objective, unflatten(objective, x)))

    return slope


@dataclass(frozen=True, eq=False)
class FlowState:
    """Where each instance is, for the loop.

    Attributes:
        objective: The problems.
        x: Flat coordinates ``(B, P)``.
        k: The field at ``x`` ``(B, P)``.
        value: Objective ``(B,)``.
        t: Time reached ``(B,)``.
        h: Size of the next trial step ``(B,)``.
        error: Error of the last accepted step in units of the tolerance ``(B,)``.
        retry: Whether the last trial step was rejected ``(B,)``.
        code: Status codes ``(B,)``.
        t_before: Time before the last trial step ``(B,)``.
        trial: The last trial step, or None.
    """

    objective: Objective
    x: Float[Tensor, "B P"]
    k: Float[Tensor, "B P"]
    value: Float[Tensor, "B"]
    t: Float[Tensor, "B"]
    h: Float[Tensor, "B"]
    error: Float[Tensor, "B"]
    retry: Bool[Tensor, "B"]
    code: Int[Tensor, "B"]
    t_before: Float[Tensor, "B"]
    trial: Step | None = None

    @property
    def grad_norm(self) -> Float[Tensor, "B"]:
        """Norm of the Riemannian gradient."""
        return self.k.square().sum(-1).sqrt()

    def select(self, index: Int[Tensor, "S"]) -> FlowState:
        """The sub-batch at ``index``, without the trial step.

        Args:
            index: Positions in the batch.

        Returns:
            A smaller state.
        """
        tensors = {f.name: getattr(self, f.name) for f in fields(self)[1:-1]}
        parts = {name: tensor[index] for name, tensor in tensors.items()}
        return FlowState(self.objective.select(index), **parts)


def _initial(objective: Objective, x: Float[Tensor, "B P"], method: GradientFlow) -> FlowState:
    k = field(objective)(x)
    slope, zero = k.square().sum(-1).sqrt(), torch.zeros_like(x[:, 0])
    code = torch.full_like(zero, RUNNING, dtype=torch.int64)
    return FlowState(
        objective,
        x,
        k,
        value=objective.value(unflatten(objective, x)),
        t=zero,
        h=(0.01 * (x.square().sum(-1).sqrt() + method.atol) / slope).clamp(max=1.0),
        error=zero,
        retry=torch.zeros_like(code, dtype=torch.bool),
        code=code.masked_fill(slope < method.gtol, Status.CONVERGED.code),
        t_before=zero,
    )


def _advance(state: FlowState, *, method: GradientFlow, weights: Weights) -> FlowState:
    objective, left = state.objective, method.t_end - state.t
    h, back = state.h.minimum(left), _retraction(objective)
    trial = step(field(objective), state.x, h, k0=state.k, retract=back, weights=weights)
    error = _error(objective, trial, method)
    running = state.code == RUNNING
    moves = running & (error <= 1)
    t = torch.where(h >= left, method.t_end, state.t + h).where(moves, state.t)
    x = trial.x1.where(moves.unsqueeze(-1), state.x)
    smaller = h * resize(error, state.error, retry=state.retry)
    now = replace(
        state,
        x=x,
        k=trial.k[:, -1].where(moves.unsqueeze(-1), state.k),
        value=objective.value(unflatten(objective, x)),
        t=t,
        h=smaller,
        error=error.where(moves, state.error),
        retry=~moves,
        t_before=state.t,
        trial=trial,
    )
    done = moves & ((t >= method.t_end) | (now.grad_norm < method.gtol))
    stuck = running & ~done & (smaller <= (UNDERFLOW * t).clamp(min=TINY))
    code = state.code.masked_fill(done, Status.CONVERGED.code)
    code = code.masked_fill(stuck & error.isfinite(), Status.STALLED.code)
    return replace(now, code=code.masked_fill(stuck & ~error.isfinite(), Status.NONFINITE.code))


def _retraction(objective: Objective) -> Field | None:
    if not objective.template.is_budgeted:
        return None
    return lambda x: flatten(objective, retract(objective, unflatten(objective, x)))


def _error(objective: Objective, trial: Step, method: GradientFlow) -> Float[Tensor, "B"]:
    # Frobenius norms of W, H and b, not entries: steps do not depend on the choice of basis.
    worst = torch.zeros_like(trial.h)
    parts = (unflatten(objective, t) for t in (trial.x0, trial.x1, trial.error))
    for old, new, error in zip(*parts, strict=True):
        size = _norm(old).maximum(_norm(new))
        # maximum, unlike amax over a stack of clamped values, passes NaN on.
        worst = worst.maximum(_norm(error) / (method.atol + method.rtol * size))
    return worst


def _norm(part: Tensor) -> Float[Tensor, "B"]:
    return part.flatten(1).square().sum(-1).sqrt()


@dataclass(frozen=True, eq=False)
class _Recorder:
    times: Float[Tensor, "T"]
    rows: dict[str, Tensor]

    @classmethod
    def begin(cls, times: Float[Tensor, "T"], objective: Objective, x: Point) -> _Recorder:
        now = observe(objective, x)
        rows = {name: v.new_full((len(v), len(times)), float("nan")) for name, v in now.items()}
        for name, values in now.items():
            rows[name][:, 0] = values
        return cls(times, rows)

    def __call__(self, slots: Int[Tensor, "B"], state: FlowState) -> None:
        """Record the samples in ``(t_before, t]`` of every instance."""
        first = torch.searchsorted(self.times, state.t_before, right=True)
        count = torch.searchsorted(self.times, state.t, right=True) - first
        row = torch.repeat_interleave(count)
        if len(row) == 0 or state.trial is None:
            return
        place = torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[row]
        column = first[row] + place
        theta = (self.times[column] - state.t_before[row]) / state.trial.h[row]
        objective = state.objective.select(row)
        x = unflatten(objective, state.trial.at(row, theta.clamp(max=1.0)))
        for name, values in observe(objective, retract(objective, x)).items():
            self.rows[name][slots[row], column] = values
