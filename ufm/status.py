"""How a solve ended, one status per instance. Torch-free."""

from __future__ import annotations

import enum


class Status(enum.Enum):
    """Why an instance stopped; the value is the advice.

    There is no OPTIMAL: a solver can only say that it stopped moving. Optimality is what a
    `Certificate` says.
    """

    CONVERGED = "The stopping test was met; certify to know whether the point is optimal."
    MAX_STEPS = "The step limit was reached first; raise max_steps or loosen the tolerance."
    STALLED = (
        "No step decreased the objective further, usually at rounding level; "
        "certify the point, and polish or restart from another seed if its gap is too large."
    )
    DIVERGED = (
        "The iterates left every bounded region; the problem may have no minimiser "
        "(cross-entropy without a regulariser)."
    )
    NONFINITE = "A value or gradient was not finite; look for huge budgets or weights."
    SOLVER_FAILED = "The external solver reported failure; its own status is in `messages`."
    GIVEN = "The point was given by the caller; no solver ran."

    @property
    def code(self) -> int:
        """Position in the enumeration, as stored in batches."""
        return CODES[self]


STATUSES: tuple[Status, ...] = tuple(Status)
CODES: dict[Status, int] = {status: code for code, status in enumerate(STATUSES)}
RUNNING = -1
