r"""L-BFGS of tensors for CUDA: one evaluation a turn, no decision of the host inside a turn.

The reference (`ufm.solvers.lbfgs`) shrinks the steps of those instances that need it, so the host
must know which do, every step. Here a turn evaluates every instance once: it either accepts its
trial step, stores a pair and chooses a direction, or shrinks the step. Shapes never depend on
numbers, so a block of turns is one captured graph, replayed without the host. The host reads how
many instances still run, one block behind, so that the device never waits for it; when at most half
do, they move to a smaller batch and a new graph. Each instance has its own place in the ring of
pairs, since instances accept at different turns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from ufm._typing import Bool, Float, Int, Tensor
from ufm.methods import LBFGS
from ufm.solvers._charts import Chart
from ufm.solvers._line_search import ARMIJO, MAX_IDLE, MAX_SHRINKS, SHRINK
from ufm.solvers._loop import FAR, Final
from ufm.solvers._memory import CURVATURE
from ufm.status import RUNNING, Status


# Turns between two looks at how many instances run: a captured block costs the host one launch.
BLOCK = 8
# A smaller batch pays for its new graph only if it halves the work, and has not become small.
COMPACT_BELOW = 0.5
SMALLEST = 64


@dataclass(frozen=True, eq=False)
class Batch:
    """Buffers of a batch, updated in place.

    Attributes:
        chart: Manifold and objective.
        x: Coordinates ``(B, P)``.
        value: Objective ``(B,)``.
        grad: Riemannian gradient ``(B, P)``.
        norm: Its norm ``(B,)``.
        code: Status ``(B,)``.
        steps: Steps taken ``(B,)``.
        direction: Search direction ``(B, P)``.
        slope: Derivative along it ``(B,)``.
        t: Step to try along it ``(B,)``.
        steepest: Whether it is the negative gradient ``(B,)``.
        shrinks: How often the step was shrunk ``(B,)``.
        least: Smallest gradient norm so far ``(B,)``.
        idle: Steps since the value or that norm last improved ``(B,)``.
        slot: Place of the next pair ``(B,)``.
        pairs: s and y of each place ``(B, m, 2, P)``.
        R_inverse: Inverse triangle, as in `ufm.solvers._memory` ``(B, m, m)``.
        YY: ``<y_i, y_j>`` ``(B, m, m)``.
        D: ``<s_i, y_i>`` ``(B, m)``.
        gamma: Scale of the initial inverse Hessian ``(B,)``.
    """

    chart: Chart
    x: Float[Tensor, "B P"]
    value: Float[Tensor, "B"]
    grad: Float[Tensor, "B P"]
    norm: Float[Tensor, "B"]
    code: Int[Tensor, "B"]
    steps: Int[Tensor, "B"]
    direction: Float[Tensor, "B P"]
    slope: Float[Tensor, "B"]
    t: Float[Tensor, "B"]
    steepest: Bool[Tensor, "B"]
    shrinks: Int[Tensor, "B"]
    least: Float[Tensor, "B"]
    idle: Int[Tensor, "B"]
    slot: Int[Tensor, "B"]
    pairs: Float[Tensor, "B m 2 P"]
    R_inverse: Float[Tensor, "B m m"]
    YY: Float[Tensor, "B m m"]
    D: Float[Tensor, "B m"]
    gamma: Float[Tensor, "B"]

    @classmethod
    def at(cls, chart: Chart, x: Float[Tensor, "B P"], method: LBFGS) -> Batch:
        """Evaluate the start.

        Args:
            chart: Manifold and objective.
            x: Starts.
            method: Settings.

        Returns:
            A batch that will first go down the gradient.
        """
        (B, P), m, zeros = x.shape, method.memory, x.new_zeros
        value, grad, mu = chart.value_and_grad(x)
        norm, none = _norm(grad), torch.zeros(B, dtype=torch.int64, device=x.device)
        code = torch.full_like(none, RUNNING)
        code = code.masked_fill(norm <= method.gtol * mu.sqrt(), Status.CONVERGED.code)
        return cls(
            chart=chart, x=x.clone(), value=value, grad=grad.clone(), norm=norm,
            code=_classified(code, x, value, norm), steps=none, direction=-grad,
            slope=-norm.square(), t=_first_trial(x, norm),
            steepest=torch.ones_like(none, dtype=torch.bool), shrinks=none.clone(),
            least=norm.clone(), idle=none.clone(), slot=none.clone(), pairs=zeros(B, m, 2, P),
            R_inverse=zeros(B, m, m), YY=zeros(B, m, m), D=zeros(B, m), gamma=zeros(B) + 1,
        )  # fmt: skip

    def select(self, index: Int[Tensor, "S"]) -> Batch:
        """Copies of some rows.

        Args:
            index: Positions.

        Returns:
            Another batch.
        """
        tensors: dict[str, Any] = {f.name: getattr(self, f.name)[index] for f in fields(self)[1:]}
        return replace(self, chart=self.chart.select(index), **tensors)

    def update(self, **new: Tensor) -> None:
        """Write new values into the buffers.

        Args:
            **new: Attributes and what they become.
        """
        for name, values in new.items():
            getattr(self, name).copy_(values)


def minimise(chart: Chart, x: Float[Tensor, "B P"], *, method: LBFGS) -> Final:
    """Minimise a batch; statuses as `ufm.solvers.lbfgs` gives them.

    Args:
        chart: Manifold and objective.
        x: Starts.
        method: Settings.

    Returns:
        Where every instance ended.
    """
    batch = Batch.at(chart, x, method)
    slots = torch.arange(len(x), device=x.device)
    parked: list[tuple[Tensor, Final]] = []
    while True:
        alive = _run_until_half(batch, method)
        if alive == 0:
            break
        order = (batch.code != RUNNING).to(torch.int8).argsort(stable=True)
        stopped, kept = order[alive:], order[:alive]
        parked.append((slots[stopped], _final(batch, stopped)))
        batch, slots = batch.select(kept), slots[kept]
    parked.append((slots, _final(batch, torch.arange(len(slots), device=slots.device))))
    order = torch.cat([where for where, _ in parked]).argsort()
    columns = zip(*(final for _, final in parked), strict=True)
    return Final(*(torch.cat(column)[order] for column in columns))


def _run_until_half(batch: Batch, method: LBFGS) -> int:
    # Blocks until the batch can be halved or has ended; an upper bound on how many still run.
    size = len(batch.code)
    worth = COMPACT_BELOW * size if size > SMALLEST else 0
    running = torch.zeros((), dtype=torch.int64, device=batch.code.device)

    def block() -> None:
        for _ in range(BLOCK):
            _turn(batch, method)
        running.copy_((batch.code == RUNNING).sum())

    if batch.code.device.type != "cuda":
        while True:
            block()
            if int(running) <= worth:
                return int(running)
    return _replay_until(_captured(block), running, worth)


def _captured(block: Callable[[], None]) -> torch.cuda.CUDAGraph:
    # The turns before the capture, which libraries need to set themselves up, count like others.
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        block()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        block()
    return graph


def _replay_until(graph: torch.cuda.CUDAGraph, running: Int[Tensor, ""], worth: float) -> int:
    # Two pinned numbers in turn: block k is queued before the host waits for block k - 1.
    seen = [torch.zeros((), dtype=torch.int64, pin_memory=True) for _ in range(2)]
    ready = [torch.cuda.Event() for _ in range(2)]
    count = 0
    while True:
        graph.replay()
        seen[count % 2].copy_(running, non_blocking=True)
        ready[count % 2].record()
        count += 1
        if count > 1:
            ready[count % 2].synchronize()
            alive = int(seen[count % 2])
            if alive <= worth:
                # The graph may only go when nothing of it is queued any more.
                ready[(count - 1) % 2].synchronize()
                return int(seen[(count - 1) % 2])


def _turn(batch: Batch, method: LBFGS) -> None:
    now, running = batch, batch.code == RUNNING
    x = now.chart.retract(torch.addcmul(now.x, now.direction, now.t.unsqueeze(-1)))
    value, grad, mu = now.chart.value_and_grad(x)
    noise = 1e-15 * (1 + now.value.abs())
    accepted = running & (value <= now.value + noise + now.t * (ARMIJO * now.slope))
    lost = running & ~accepted & (now.shrinks >= MAX_SHRINKS)
    moved, fresh = accepted.unsqueeze(-1), accepted | lost
    direction = _remember(now, x, grad, accepted=accepted, lost=lost)
    slope = (grad * direction).sum(-1)
    x, grad = torch.where(moved, x, now.x), torch.where(moved, grad, now.grad)
    norm = torch.where(accepted, _norm(grad), now.norm)
    steepest = torch.where(fresh, lost | ~(slope < 0), now.steepest)
    down = (fresh & steepest).unsqueeze(-1)
    direction = torch.where(fresh.unsqueeze(-1), direction, now.direction)
    direction = torch.where(down, -grad, direction)
    slope = torch.where(fresh, torch.where(steepest, -norm.square(), slope), now.slope)
    # On a sphere a longer step than twice the radius only turns back.
    reach = (2 * now.chart.radius2.sqrt() / _norm(direction)).clamp(max=1)
    first = torch.where(steepest, _first_trial(x, norm), reach)
    useful = accepted & ((norm < now.least) | (value < now.value - noise))
    idle = torch.where(useful, 0, now.idle + fresh)
    value = torch.where(accepted, value, now.value)
    steps = now.steps + fresh
    done = accepted & (norm <= method.gtol * mu.sqrt())
    stuck = (lost & now.steepest) | (running & ~done & (idle >= MAX_IDLE))
    code = now.code.masked_fill(done, Status.CONVERGED.code)
    code = _classified(code.masked_fill(stuck, Status.STALLED.code), x, value, norm)
    over = (code == RUNNING) & (steps >= method.max_steps)
    now.update(
        x=x, value=value, grad=grad, norm=norm, steps=steps, direction=direction, slope=slope,
        t=torch.where(fresh, first, SHRINK * now.t), steepest=steepest,
        shrinks=torch.where(fresh, 0, now.shrinks + 1), least=norm.minimum(now.least), idle=idle,
        code=code.masked_fill(over, Status.MAX_STEPS.code),
        slot=(now.slot + accepted) % now.D.shape[-1],
    )  # fmt: skip


def _remember(
    now: Batch,
    x: Float[Tensor, "B P"],
    grad: Float[Tensor, "B P"],
    *,
    accepted: Bool[Tensor, "B"],
    lost: Bool[Tensor, "B"],
) -> Float[Tensor, "B P"]:
    # Store the pairs of accepted steps, forget those of lost ones; minus the inverse Hessian times
    # the gradient, of use only where a step was accepted. As `ufm.solvers._memory`, ring by ring.
    here = torch.arange(len(x), device=x.device)
    change = grad - now.grad
    new = torch.stack([x - now.x, change], 1)
    now.pairs[here, now.slot] = torch.where(accepted[:, None, None], new, now.pairs[here, now.slot])
    pairs = now.pairs.flatten(1, 2)
    with_change, with_grad = (torch.stack([change, grad], 1) @ pairs.mT).unbind(1)
    with_S, with_Y = with_change[:, 0::2], with_change[:, 1::2]
    place = now.slot.unsqueeze(-1)
    mine = place == torch.arange(now.D.shape[-1], device=x.device)
    sy, yy = with_S.gather(-1, place).squeeze(-1), with_Y.gather(-1, place).squeeze(-1)
    good = accepted & (sy > CURVATURE * yy)
    rho = torch.where(good, 1 / sy, 0.0).unsqueeze(-1)
    row, column = mine.unsqueeze(-1), mine.unsqueeze(-2)
    R = now.R_inverse.masked_fill(row | column, 0.0)
    entry = torch.where(mine, rho, -rho * (R @ with_S.unsqueeze(-1)).squeeze(-1))
    R = torch.where(column, entry.unsqueeze(-1), R)
    YY = torch.where(row, with_Y.unsqueeze(-2), now.YY)
    YY = torch.where(column, with_Y.unsqueeze(-1), YY)
    stored = accepted[:, None, None]
    R = torch.where(stored, R, now.R_inverse).masked_fill(lost[:, None, None], 0.0)
    now.update(
        R_inverse=R, YY=torch.where(stored, YY, now.YY),
        D=torch.where(mine & accepted.unsqueeze(-1), sy.unsqueeze(-1), now.D),
        gamma=torch.where(good, sy / yy, now.gamma),
    )  # fmt: skip
    with_S, with_Y, gamma = with_grad[:, 0::2], with_grad[:, 1::2], now.gamma.unsqueeze(-1)
    alpha = (now.R_inverse @ with_S.unsqueeze(-1)).squeeze(-1)
    weight = now.D * alpha + gamma * ((now.YY @ alpha.unsqueeze(-1)).squeeze(-1) - with_Y)
    weight = (weight.unsqueeze(-2) @ now.R_inverse).squeeze(-2)
    mix = torch.stack([-weight, gamma * alpha], -1).flatten(1)
    return torch.baddbmm((-gamma * grad).unsqueeze(-2), mix.unsqueeze(-2), pairs).squeeze(-2)


def _classified(
    code: Int[Tensor, "B"],
    x: Float[Tensor, "B P"],
    value: Float[Tensor, "B"],
    norm: Float[Tensor, "B"],
) -> Int[Tensor, "B"]:
    running = code == RUNNING
    far = torch.linalg.vector_norm(x, float("inf"), dim=-1) > FAR
    code = code.masked_fill(running & far, Status.DIVERGED.code)
    finite = value.isfinite() & norm.isfinite()
    return code.masked_fill(running & ~finite, Status.NONFINITE.code)


def _first_trial(x: Float[Tensor, "B P"], norm: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
    return 0.35 * _norm(x) / norm.clamp(min=1e-300)


def _norm(v: Float[Tensor, "B P"]) -> Float[Tensor, "B"]:
    return torch.linalg.vector_norm(v, dim=-1)


def _final(batch: Batch, rows: Int[Tensor, "S"]) -> Final:
    return Final(*(t[rows] for t in (batch.x, batch.value, batch.norm, batch.code, batch.steps)))
