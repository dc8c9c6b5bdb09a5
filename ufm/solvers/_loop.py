"""The only loop over batched iterates: statuses, freezing, compaction. Knows no algorithm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import torch

from ufm._typing import Bool, Float, Int, Tensor
from ufm.status import RUNNING, Status


# Coordinates beyond this have left every bounded region a budget or a ridge of use can describe.
FAR = 1e12
# Finished instances are removed when at most this share still runs; masking alone would let the
# slowest instance set the price of all.
COMPACT_BELOW = 0.9


@runtime_checkable
class State(Protocol):
    """A batch of iterates as a frozen dataclass; every tensor leads with the batch axis.

    A step must leave instances whose ``code`` is not RUNNING as they are, and must compute each
    instance from its own numbers only.
    """

    @property
    def x(self) -> Float[Tensor, "B P"]: ...
    @property
    def value(self) -> Float[Tensor, "B"]: ...
    @property
    def grad_norm(self) -> Float[Tensor, "B"]: ...
    @property
    def code(self) -> Int[Tensor, "B"]: ...

    def select(self, index: Int[Tensor, "S"]) -> Any:
        """The sub-batch at ``index``."""


S = TypeVar("S", bound=State)


class Final(NamedTuple):
    """Where every instance of a batch ended.

    Attributes:
        x: Coordinates ``(B, P)``.
        value: Objective ``(B,)``.
        grad_norm: Gradient norm ``(B,)``.
        code: Position in `STATUSES` ``(B,)``.
        steps: Steps taken ``(B,)``.
    """

    x: Float[Tensor, "B P"]
    value: Float[Tensor, "B"]
    grad_norm: Float[Tensor, "B"]
    code: Int[Tensor, "B"]
    steps: Int[Tensor, "B"]


def iterate(
    state: S,
    step: Callable[[S], S],
    *,
    max_steps: int,
    callback: Callable[[int, Tensor, S], None] | None = None,
) -> Final:
    """Step a batch until every instance has stopped.

    An instance is frozen at the step that gives it a status; the batch is compacted now and then.
    Neither changes any number of another instance.

    Args:
        state: Start; instances may already carry a status.
        step: One step of the algorithm.
        max_steps: Steps after which a running instance gets MAX_STEPS.
        callback: Called after each step with its number, the batch positions of the rows of the
            state, and the state; rows that are not RUNNING are frozen.

    Returns:
        The final iterates in the original order.
    """
    slots = torch.arange(state.code.shape[0], device=state.code.device)
    steps = torch.zeros_like(state.code)
    state = _classified(state)
    parked: list[tuple[Tensor, Final]] = []
    for count in range(1, max_steps + 1):
        running = state.code == RUNNING
        alive = int(running.sum())
        if alive == 0:
            break
        if alive <= COMPACT_BELOW * len(running):
            stopped, kept = _compacted(running, alive)
            parked.append((slots[stopped], _final(state, steps, stopped)))
            state, slots, steps = state.select(kept), slots[kept], steps[kept]
            running = running[kept]
        state = _classified(step(state))
        steps = torch.where(running, count, steps)
        if callback is not None:
            callback(count, slots, state)
    out_of_steps = state.code.masked_fill(state.code == RUNNING, Status.MAX_STEPS.code)
    state = _with_code(state, out_of_steps)
    parked.append((slots, _final(state, steps, torch.arange(len(slots), device=slots.device))))
    order = torch.cat([where for where, _ in parked]).argsort()
    columns = zip(*(final for _, final in parked), strict=True)
    return Final(*(torch.cat(column)[order] for column in columns))


def _compacted(running: Bool[Tensor, "B"], alive: int) -> tuple[Int[Tensor, "_"], Int[Tensor, "_"]]:
    # Positions that stopped, and those that run: in place where they are among the first `alive`,
    # the gaps filled from the end, so that a state may move rows instead of copying all.
    kept = torch.arange(alive, device=running.device)
    gaps = (~running[:alive]).nonzero().squeeze(-1)
    kept[gaps] = alive + running[alive:].nonzero().squeeze(-1)
    return (~running).nonzero().squeeze(-1), kept


def _final(state: State, steps: Int[Tensor, "B"], rows: Int[Tensor, "S"]) -> Final:
    parts = (state.x, state.value, state.grad_norm, state.code, steps)
    return Final(*(part[rows] for part in parts))


def _classified(state: S) -> S:
    running = state.code == RUNNING
    finite = state.value.isfinite() & state.grad_norm.isfinite()
    far = torch.linalg.vector_norm(state.x, float("inf"), dim=-1) > FAR
    code = state.code.masked_fill(running & far, Status.DIVERGED.code)
    code = code.masked_fill(running & ~finite, Status.NONFINITE.code)
    return _with_code(state, code)


def _with_code(state: S, code: Int[Tensor, "B"]) -> S:
    return replace(state, code=code)  # pyright: ignore[reportArgumentType]
