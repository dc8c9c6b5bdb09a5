"""What every algorithm hands back to `solve`: points and why each instance stopped."""

from __future__ import annotations

from dataclasses import dataclass

from ufm._typing import Float, Int, Tensor
from ufm.objective import Point
from ufm.solution import Trace


@dataclass(frozen=True, eq=False)
class Result:
    """Outcome of one algorithm on a batch of B instances, in the order of the problems.

    Attributes:
        point: W ``(B, K, d)``, H ``(B, d, M)``, b ``(B, K)``; within the budgets.
        code: Position in `STATUSES` of each status ``(B,)``.
        steps: Steps taken ``(B,)``.
        grad_norm: Norm of the Riemannian gradient in the algorithm's own coordinates ``(B,)``.
        messages: What an external solver said, one an instance; empty otherwise.
        dual: Dual matrix an external solver returned ``(B, K, K)``, or None.
        trace: Observables along the run, or None.
        value: Objective at the point ``(B,)``, if the algorithm knows it.
    """

    point: Point
    code: Int[Tensor, "B"]
    steps: Int[Tensor, "B"]
    grad_norm: Float[Tensor, "B"]
    messages: tuple[str, ...] = ()
    dual: Float[Tensor, "B K K"] | None = None
    trace: Trace | None = None
    value: Float[Tensor, "B"] | None = None
