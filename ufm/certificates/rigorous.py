r"""Brackets proved in ball arithmetic: ``lower <= optimum <= objective of the point <= upper``.

Inputs are exact: float64 (W, H, b) are dyadic rationals, class sizes integers; weights, budgets and
strengths are the floats of the problem. Needs python-flint, the extra ``rigorous``.
"""

from __future__ import annotations

from collections.abc import Sequence

from ufm._typing import Float, Tensor
from ufm.certificates._ball_dual import lower_bound
from ufm.certificates._ball_primal import upper_bound
from ufm.certificates._balls import PRECISION, float_above, float_below, load_flint
from ufm.geometry.specs import ExplicitFrame, MultiCenter, OrthogonalFrame, SimplexETF
from ufm.losses import CenterSquaredError, CrossEntropy, DotRegression, SquaredError
from ufm.objective import Point
from ufm.problem import Fixed, Problem


LOSSES = (CrossEntropy, SquaredError, DotRegression, CenterSquaredError)
FRAMES = (SimplexETF, OrthogonalFrame, MultiCenter, ExplicitFrame)


def check_balls(problems: Sequence[Problem]) -> None:
    """Refuse models that have no formula in balls.

    Args:
        problems: The models.

    Raises:
        ValueError: If there is one; the message says what there is.
    """
    for problem in problems:
        fixed = problem.classifier
        frame = fixed.frame if isinstance(fixed, Fixed) else None
        for what, given, known in (("loss", problem.loss, LOSSES), ("frame", frame, FRAMES)):
            if given is not None and not isinstance(given, known):
                names = ", ".join(kind.__name__ for kind in known)
                raise ValueError(
                    f"{what} must be one of {names} for rigorous=True, got {type(given).__name__}"
                )


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
