"""Models whose gradient flow is tested, and short ways to run and read it."""

from __future__ import annotations

import numpy as np
import pytest

import ufm
from ufm.losses import DotRegression, SquaredError
from ufm.methods import GradientFlow
from ufm.problem import (
    AverageBudget,
    ClassMeanDecay,
    Fixed,
    FreeBias,
    NoReg,
    PenalisedBias,
    Problem,
    Sphere,
    VectorBudget,
    WeightDecay,
)


N = (4, 3, 2, 1)
ETF = Fixed(ufm.SimplexETF(E_W=2.0))
MODELS = {
    "ridge": Problem(K=4, d=3, n=N, reg=WeightDecay(0.01, 0.02)),
    "class-mean ridge": Problem(
        K=4, d=3, n=N, reg=ClassMeanDecay(0.06, 0.04), loss=SquaredError(), bias=PenalisedBias(0.1)
    ),
    "no regulariser": Problem(K=4, d=3, n=N, reg=NoReg(), bias=FreeBias()),
    "average budgets": Problem(K=4, d=3, n=N, reg=AverageBudget(2.0, 3.0), bias=FreeBias()),
    "vector budgets": Problem(K=4, d=3, n=N, reg=VectorBudget(2.0, 3.0), loss=SquaredError()),
    "fixed frame": Problem(
        K=4, d=3, n=N, reg=Sphere(2.0, 3.0), loss=DotRegression(s=6**0.5), classifier=ETF
    ),
    "class weights": Problem(K=4, d=3, n=N, reg=Sphere(2.0, 3.0), weights=(1.0, 2.0, 3.0, 4.0)),
}
each_model = pytest.mark.parametrize("problem", MODELS.values(), ids=MODELS)


def flow(problem: Problem, *, seeds=1, start=None, **settings) -> ufm.Solution:
    return ufm.solve(problem, GradientFlow(**settings), seeds=seeds, start=start, throw=False)


def rows(sol: ufm.Solution, name: str) -> np.ndarray:
    assert sol.trace is not None
    return sol.trace.rows[name].numpy()
