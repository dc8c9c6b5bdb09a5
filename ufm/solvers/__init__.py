"""Solvers: one algorithm a file, one loop, a status per instance.

Lazy, so that the statements of `ufm.theory` can name closed forms without importing torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ufm._lazy import attach


if TYPE_CHECKING:
    from ufm.solvers._solve import solve as solve
    from ufm.solvers.step import StepOptimum as StepOptimum
    from ufm.solvers.step import step_optimum as step_optimum
    from ufm.solvers.thresholds import R0 as R0
    from ufm.solvers.thresholds import R1 as R1
    from ufm.solvers.thresholds import log_R0 as log_R0

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "solve": "._solve",
        "StepOptimum": ".step",
        "step_optimum": ".step",
        "R0": ".thresholds",
        "R1": ".thresholds",
        "log_R0": ".thresholds",
    },
)
