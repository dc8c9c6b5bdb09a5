"""Solvers: one algorithm a file, one loop, a status per instance.

Lazy, so that the statements of `ufm.theory` can name closed forms without importing torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ufm._lazy import attach


if TYPE_CHECKING:
    from ufm.solvers._polish import polish as polish
    from ufm.solvers._solve import solve as solve
    from ufm.solvers.block import block_optimum as block_optimum
    from ufm.solvers.closed_form import has_closed_form as has_closed_form
    from ufm.solvers.ridge_thresholds import ridge_merging as ridge_merging
    from ufm.solvers.ridge_thresholds import ridge_vanishing as ridge_vanishing
    from ufm.solvers.step import StepOptimum as StepOptimum
    from ufm.solvers.step import step_optimum as step_optimum
    from ufm.solvers.thresholds import R0 as R0
    from ufm.solvers.thresholds import R1 as R1
    from ufm.solvers.thresholds import R_RANGE as R_RANGE
    from ufm.solvers.thresholds import TAU_RANGE as TAU_RANGE
    from ufm.solvers.thresholds import log_R0 as log_R0
    from ufm.solvers.thresholds import log_R1 as log_R1
    from ufm.solvers.thresholds import oversampling_threshold as oversampling_threshold
    from ufm.solvers.thresholds import tau0 as tau0
    from ufm.solvers.thresholds import tau1 as tau1
    from ufm.solvers.two_angle import S_RANGE as S_RANGE
    from ufm.solvers.two_angle import TwoAngleState as TwoAngleState
    from ufm.solvers.two_angle import two_angle_state as two_angle_state
    from ufm.solvers.two_angle import vector_log_R0 as vector_log_R0
    from ufm.solvers.two_angle import vector_R0 as vector_R0

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "polish": "._polish",
        "solve": "._solve",
        "block_optimum": ".block",
        "has_closed_form": ".closed_form",
        **dict.fromkeys(("ridge_merging", "ridge_vanishing"), ".ridge_thresholds"),
        **dict.fromkeys(("StepOptimum", "step_optimum"), ".step"),
        **dict.fromkeys(
            (
                "R0",
                "R1",
                "R_RANGE",
                "TAU_RANGE",
                "log_R0",
                "log_R1",
                "oversampling_threshold",
                "tau0",
                "tau1",
            ),
            ".thresholds",
        ),
        **dict.fromkeys(
            ("S_RANGE", "TwoAngleState", "two_angle_state", "vector_R0", "vector_log_R0"),
            ".two_angle",
        ),
    },
)
