"""Problems with reference values: the instances on which every claim that applies is checked.

Values are those of the theory pages that the project started from, computed there by other code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

from proofs_check.tree_problems import ROWS
from ufm.counts import exponential_sizes, step_weights
from ufm.geometry.specs import OrthogonalFrame, SimplexETF
from ufm.losses import CenterSquaredError, CrossEntropy, DotRegression, Loss, SquaredError
from ufm.problem import (
    AverageBudget,
    ClassMeanDecay,
    Fixed,
    FreeBias,
    Learnable,
    PenalisedBias,
    Problem,
    Sphere,
    VectorBudget,
    WeightDecay,
)


@final
@dataclass(frozen=True)
class Case:
    """A problem with what is known of its optimum.

    Attributes:
        name: Short unique name.
        problem: The problem.
        value: Reference optimal value, or None.
    """

    name: str
    problem: Problem
    value: float | None = None


def step_problem(
    K_A: int, K_B: int, R: float, E: tuple[float, float], *, d: int | None = None
) -> Problem:
    """Average budgets with the step profile of a real ratio.

    Args:
        K_A: Majority classes.
        K_B: Minority classes.
        R: Ratio ``pi_A / pi_B``.
        E: ``(E_W, E_H)``.
        d: Feature dimension; K - 1 by default.

    Returns:
        The problem, one sample a class and loss weights R and 1.
    """
    K = K_A + K_B
    return Problem(
        K=K, d=d or K - 1, n=(1,) * K, reg=AverageBudget(*E),
        weights=step_weights(K=K, K_A=K_A, R=R),
    )  # fmt: skip


def ridge_problem(
    n: tuple[int, ...],
    lam: float | tuple[float, float],
    *,
    d: int | None = None,
    per_mean: bool = False,
) -> Problem:
    """Cross-entropy with ridges.

    Args:
        n: Class sizes.
        lam: ``(lam_W, lam_H)``, or their common value.
        d: Feature dimension; K by default.
        per_mean: Ridge per class mean instead of per sample.

    Returns:
        The problem.
    """
    lam_W, lam_H = lam if isinstance(lam, tuple) else (lam, lam)
    reg = ClassMeanDecay(lam_W, lam_H) if per_mean else WeightDecay(lam_W, lam_H)
    return Problem(K=len(n), d=d or len(n), n=n, reg=reg)


def _budgets() -> list[Case]:
    rows = [
        (5, 5, 5.0, 0.376705506418), (5, 5, 10.0, 0.261677038637), (5, 5, 100.0, 0.091299164075),
        (7, 3, 3.0, 0.476396165203), (7, 3, 5.0, 0.399655089328), (7, 3, 10.0, 0.321853497805),
        (3, 7, 100.0, 0.050453680086), (50, 50, 10.0, 1.085333466491),
    ]  # fmt: skip
    steps = [
        Case(f"step-{A}-{B}-R{R:g}", step_problem(A, B, R, (1.0, 5.0)), value)
        for A, B, R, value in rows
    ]
    long_tail = exponential_sizes(K=10, n_max=5000, rho=100)
    return [
        *steps,
        Case("step-2-2-R2", step_problem(2, 2, 2.0, (1.0, 1.0)), 0.543340722014),
        Case("step-below-R0", step_problem(5, 5, 0.98 * 12.1924471, (1.0, 5.0))),
        Case("step-above-R0", step_problem(5, 5, 1.02 * 12.1924471, (1.0, 5.0))),
        Case("step-wide", step_problem(2, 3, 20.0, (1.0, 5.0), d=10)),
        Case("step-single-majority", step_problem(1, 4, 8.0, (1.0, 2.0), d=5)),
        Case("step-sizes", Problem(K=4, d=4, n=(8, 8, 2, 2), reg=AverageBudget(1.0, 2.0))),
        Case(
            "step-oversampled",
            Problem(
                K=4, d=4, n=(8, 8, 1, 1), reg=AverageBudget(1.0, 2.0), weights=(1.0, 1.0, 2.0, 2.0)
            ),
        ),
        Case("balanced-K4", Problem(K=4, d=3, n=(5,) * 4, reg=AverageBudget(3, 2)), 0.1083859879),
        Case("balanced-K2", Problem(K=2, d=1, n=(1, 1), reg=AverageBudget(1.0, 1.0))),
        Case("balanced-K10", Problem(K=10, d=20, n=(3,) * 10, reg=AverageBudget(1.0, 5.0))),
        Case("long-tail", Problem(K=10, d=10, n=long_tail, reg=AverageBudget(1.0, 1.0))),
        Case("long-tail-strong", Problem(K=10, d=10, n=long_tail, reg=AverageBudget(1.0, 5.0))),
        Case("three-groups", Problem(K=6, d=5, n=(9, 9, 5, 5, 1, 1), reg=AverageBudget(1.0, 1.5))),
    ]


def _ridges() -> list[Case]:
    five = (5,) * 4
    scale = 1 / (4 * math.sqrt(5))
    etf = ridge_problem(five, (0.004, 0.009), d=6)
    unequal = (30, 30, 4, 4, 4)
    merging = math.sqrt(4) / 72
    return [
        Case("ridge-etf", etf, 0.21295367823514733),
        Case("ridge-etf-d3", ridge_problem(five, (0.004, 0.009), d=3), 0.21295367823514733),
        Case("ridge-near-zero", ridge_problem(five, 0.9 * scale), 1.3721443232),
        Case("ridge-zero", ridge_problem(five, 1.1 * scale), math.log(4)),
        Case("mean-ridge-etf", ridge_problem((2,) * 5, (0.01, 0.02), per_mean=True)),
        Case("mean-ridge-K2", ridge_problem((1, 1), 0.05, d=1, per_mean=True)),
        Case(
            "ridge-free-bias",
            Problem(K=4, d=6, n=five, reg=etf.reg, bias=FreeBias()),
            0.21295367823514733,
        ),
        Case(
            "ridge-penalised-bias",
            Problem(K=4, d=6, n=five, reg=etf.reg, bias=PenalisedBias(0.01)),
            0.21295367823514733,
        ),
        Case("two-clusters", ridge_problem((15, 15, 6, 6, 6), 8e-3), 0.4504863524540283),
        Case("ridge-told-apart", ridge_problem(unequal, 0.99 * merging)),
        Case("ridge-merged", ridge_problem(unequal, 1.01 * merging)),
        Case("ridge-unequal-zero", ridge_problem(unequal, 1.05 * 0.0760725774), math.log(5)),
        Case("mean-told-apart", ridge_problem((10,) * 5 + (1,) * 5, 0.99 / 55, per_mean=True)),
        Case("mean-merged", ridge_problem((10,) * 5 + (1,) * 5, 1.01 / 55, per_mean=True)),
    ]


def _vectors() -> list[Case]:
    n = (40, 40, 7, 3, 1)
    fixed = 0.1715991541

    def with_frame(loss: Loss, reg: VectorBudget | Sphere) -> Problem:
        return Problem(K=5, d=5, n=n, loss=loss, reg=reg, classifier=Fixed(SimplexETF(1.5)))

    target = DotRegression(math.sqrt(6.0))
    ball, sphere = VectorBudget(1.5, 4.0), Sphere(1.5, 4.0)
    return [
        Case("fixed-ce-ball", with_frame(CrossEntropy(), ball), fixed),
        Case("fixed-ce-sphere", with_frame(CrossEntropy(), sphere), fixed),
        Case("fixed-dr-ball", with_frame(target, ball), 0.0),
        Case("fixed-dr-sphere", with_frame(target, sphere), 0.0),
        *(
            Case(
                f"vector-{name}",
                Problem(
                    K=5, d=5, n=(1,) * 5, reg=VectorBudget(1.0, 1.0),
                    weights=step_weights(K=5, K_A=3, R=factor * 15.1706),
                ),
            )
            for name, factor in (("told-apart", 0.95), ("merged", 1.05))
        ),
    ]  # fmt: skip


def center_problem(
    f: tuple[int, ...],
    n: tuple[int, ...],
    lam: tuple[float, float],
    *,
    theta: float = 0.2,
    d: int | None = None,
    fixed: bool = False,
) -> Problem:
    """Problem P of a multi-center frame, on the logits of the mean directions.

    Args:
        f: Centers of each class.
        n: Class sizes.
        lam: ``(lam_W, lam_H)``.
        theta: Angle of the centers.
        d: Feature dimension; K by default.
        fixed: Fix the frame, with unit vectors.

    Returns:
        The problem.
    """
    K = len(n)
    return Problem(
        K=K, d=d or K, n=n, loss=CenterSquaredError.of(f, n=n, theta=theta), reg=WeightDecay(*lam),
        classifier=Fixed(OrthogonalFrame()) if fixed else Learnable(),
    )  # fmt: skip


def _centers() -> list[Case]:
    n, rising, equal, ten = (40, 20, 8, 3), (1, 2, 3, 5), (3,) * 4, (10,) * 4
    fixed = [
        (1e-3, 0.2, 4, 0.0510281643), (1e-2, 0.2, 5, 0.2658635341),
        (1e-3, 0.7, 4, 0.0397664195), (1e-2, 0.7, 6, 0.2273140026),
    ]  # fmt: skip
    return [
        *(
            Case(
                f"centers-fixed-{lam:g}-{theta:g}",
                center_problem(rising, n, (0.0, lam), theta=theta, d=d, fixed=True),
                value,
            )
            for lam, theta, d, value in fixed
        ),
        Case("centers", center_problem(rising, n, (2e-3, 2e-3), d=7), 0.0407939119),
        Case("centers-right-angle", center_problem(rising, n, (2e-3, 2e-3), theta=math.pi / 2)),
        Case("centers-balanced", center_problem(equal, ten, (5e-3, 5e-3)), 0.0999000519),
        Case("centers-balanced-zero", center_problem(equal, ten, (0.5, 0.5)), 0.5),
        Case("centers-one-lost", center_problem(equal, n, (3e-2, 1e-2))),
        Case("centers-two-lost", center_problem(equal, n, (1e-1, 1e-2))),
        Case("centers-none-lost", center_problem((1, 2, 3, 6), n, (1e-1, 1e-2))),
    ]


def _squared_errors() -> list[Case]:
    n, four = (12, 7, 3, 1), (6,) * 4
    loss, reg = SquaredError(), WeightDecay(6e-3, 4e-3)
    bias = 0.048 / 0.952  # the transition at c = 0.048
    return [
        Case(
            "squared",
            Problem(K=4, d=4, n=n, loss=loss, reg=WeightDecay(0.004, 0.001)),
            0.0174998075,
        ),
        Case(
            "squared-lost",
            Problem(K=4, d=5, n=n, loss=loss, reg=WeightDecay(0.24, 0.06)),
            0.4892226286,
        ),
        Case("squared-mean", Problem(K=4, d=4, n=n, loss=loss, reg=ClassMeanDecay(0.01, 0.02))),
        Case("squared-balanced", Problem(K=4, d=5, n=four, loss=loss, reg=reg), 0.046848),
        Case(
            "squared-free-bias",
            Problem(K=4, d=3, n=four, loss=loss, reg=reg, bias=FreeBias()),
            0.035136,
        ),
        *(
            Case(
                f"squared-bias-{factor:g}",
                Problem(K=4, d=5, n=four, loss=loss, reg=reg, bias=PenalisedBias(factor * bias)),
                value,
            )
            for factor, value in ((0.5, None), (2.0, 0.043992), (20.0, 0.0465624))
        ),
    ]


CASES: tuple[Case, ...] = (
    *_budgets(),
    *_ridges(),
    *_vectors(),
    *_centers(),
    *_squared_errors(),
    Case("spheres", Problem(K=4, d=3, n=(2,) * 4, reg=Sphere(1.5, 2.0))),
    Case("balls", Problem(K=5, d=7, n=(3,) * 5, reg=VectorBudget(1.5, 2.0))),
    *(Case(*row) for row in ROWS),
)
