r"""Brackets proved in ball arithmetic: ``lower <= optimum <= objective of the point <= upper``.

Inputs are exact: float64 (W, H, b) are dyadic rationals, class sizes integers; weights, budgets and
strengths are the floats of the problem. Needs python-flint, the extra ``rigorous``.
"""

from __future__ import annotations

from ufm._typing import Float, Tensor
from ufm.certificates._ball_dual import lower_bound
from ufm.certificates._ball_primal import upper_bound
from ufm.certificates._balls import PRECISION, float_above, float_below, load_flint
from ufm.objective import Point
from ufm.problem import Problem


def bracket(
    problem: Problem,
    x: Point,
    Y: Float[Tensor, "K K"],
    *,
    multipliers: Float[Tensor, "2 K"] | None = None,
) -> tuple[float, float]:
    """Prove a bracket of the optimum.

    Args:
        problem: The model.
        x: A single point as given, feasible or not; the upper bound is about its exact scaling
            into the constraints.
        Y: Dual matrix of a float certificate; any matrix gives a valid bracket.
        multipliers: Rows alpha and beta of budgets with a learnable classifier.

    Returns:
        Floats (lower, upper), rounded outwards.
    """
    with load_flint().ctx.workprec(PRECISION):
        # The maximum of a ball with zero still has a radius.
        lower = max(0.0, float_below(lower_bound(problem, Y, multipliers)))
        return lower, float_above(upper_bound(problem, x))
