"""Gradient descent with a constant step: the field's baseline, and the flow's Euler scheme."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch

from ufm._typing import Float, Int, Tensor
from ufm.manifold import flatten, gaussian, gradient, retract, unflatten
from ufm.methods import GradientDescent
from ufm.objective import Objective, Point
from ufm.solution import Trace
from ufm.solvers._loop import iterate
from ufm.solvers._result import Result
from ufm.solvers.observables import observe
from ufm.status import RUNNING, Status


def run(
    objective: Objective,
    method: GradientDescent,
    *,
    start: Point | None,
    seeds: tuple[int, ...],
    callback: Callable[[int, Tensor, Point], None] | None = None,
) -> Result:
    r"""Take ``steps`` steps :math:`x \leftarrow R(x - \eta\,\operatorname{grad} f(x))`.

    ``R`` rescales onto the budgets at equality, where the gradient is the Riemannian one; without
    budgets it does nothing. An instance is CONVERGED when it has taken all its steps, whatever
    its gradient is then; a step that is too large ends as DIVERGED or NONFINITE.

    Args:
        objective: Batch of B problems.
        method: Settings.
        start: Where to start, rescaled onto the budgets; Gaussian from the seeds if None.
        seeds: Seed of each instance.
        callback: Called after each step with its number, the running instances and their points.

    Returns:
        Points, statuses, steps, gradient norms, and the trace of `observe` at `sample_steps`.
    """
    if start is None:
        start = gaussian(objective, seeds, scale=method.scale)
    state = _at(objective, flatten(objective, retract(objective, start)))
    wanted = sample_steps(method)
    columns = {count: column for column, count in enumerate(wanted)}
    rows = {
        name: torch.full_like(now, float("nan")).unsqueeze(-1).repeat(1, len(wanted))
        for name, now in observe(objective, unflatten(objective, state.x)).items()
    }

    def after(count: int, slots: Tensor, now: Descent) -> None:
        alive = (now.code == RUNNING) | (now.code == Status.CONVERGED.code)
        if count in columns:
            for name, values in observe(now.objective, unflatten(now.objective, now.x)).items():
                rows[name][slots[alive], columns[count]] = values[alive]
        if callback is not None:
            point = unflatten(now.objective, now.x)
            callback(count, slots[alive], Point(*(part[alive] for part in point)))

    after(0, torch.arange(len(seeds), device=state.x.device), state)
    final = iterate(
        state, partial(_step, method=method), max_steps=method.steps + 1, callback=after
    )
    return Result(
        unflatten(objective, final.x),
        final.code,
        final.steps,
        final.grad_norm,
        trace=Trace(torch.tensor(wanted).to(state.x), rows),
    )


def sample_steps(method: GradientDescent) -> list[int]:
    """Steps after which observables are recorded: 0, the last one, and some in between.

    Args:
        method: Settings.

    Returns:
        Increasing numbers, ``samples`` of them where logarithmic spacing from 1 leaves them apart.
    """
    between = max(method.samples - 2, 0)
    spaced = {round(method.steps ** (i / between)) for i in range(between)}
    return sorted({0, method.steps, *spaced})


@dataclass(frozen=True, eq=False)
class Descent:
    """Where each instance is, for the loop.

    Attributes:
        objective: The problems.
        x: Flat coordinates ``(B, P)``.
        value: Objective ``(B,)``.
        grad: Riemannian gradient in flat coordinates ``(B, P)``.
        grad_norm: Its norm ``(B,)``.
        code: Status codes ``(B,)``.
        count: Steps taken by the batch.
    """

    objective: Objective
    x: Float[Tensor, "B P"]
    value: Float[Tensor, "B"]
    grad: Float[Tensor, "B P"]
    grad_norm: Float[Tensor, "B"]
    code: Int[Tensor, "B"]
    count: int = 0

    def select(self, index: Int[Tensor, "S"]) -> Descent:
        """The sub-batch at ``index``.

        Args:
            index: Positions in the batch.

        Returns:
            A smaller state.
        """
        names = ("x", "value", "grad", "grad_norm", "code")
        parts = {name: getattr(self, name)[index] for name in names}
        return replace(self, objective=self.objective.select(index), **parts)


def _at(objective: Objective, x: Float[Tensor, "B P"]) -> Descent:
    point = unflatten(objective, x)
    grad = flatten(objective, gradient(objective, point))
    code = torch.full_like(x[:, 0], RUNNING, dtype=torch.int64)
    norm = grad.square().sum(-1).sqrt()
    return Descent(objective, x, objective.value(point), grad, norm, code)


def _step(state: Descent, *, method: GradientDescent) -> Descent:
    objective, running = state.objective, (state.code == RUNNING).unsqueeze(-1)
    moved = unflatten(objective, state.x - method.lr * state.grad)
    x = torch.where(running, flatten(objective, retract(objective, moved)), state.x)
    count = state.count + 1
    done = running.squeeze(-1) & (count >= method.steps)
    code = state.code.masked_fill(done, Status.CONVERGED.code)
    return replace(_at(objective, x), code=code, count=count)
