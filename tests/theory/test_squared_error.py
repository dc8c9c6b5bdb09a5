"""Claims on squared error, spheres and the class means of the layer-peeled model."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from tolerances import CERTIFIED, EXACT

import ufm
from ufm import claims
from ufm.geometry import distance
from ufm.losses import SquaredError
from ufm.problem import (
    AverageBudget,
    Bias,
    ClassMeanDecay,
    FreeBias,
    NoBias,
    PenalisedBias,
    Problem,
    Sphere,
    WeightDecay,
)
from ufm.theory import predict


def squared(n, reg, *, bias: Bias | None = None, d=None) -> Problem:
    return Problem(
        K=len(n), d=d or len(n), n=n, loss=SquaredError(), reg=reg, bias=bias or NoBias()
    )


def predicted(id: str, problem: Problem) -> Any:
    claim = claims.get(id)
    assert claim.applies(problem)
    return claim.predict(problem)


@pytest.mark.parametrize(("factor", "lost"), [(0.999, 0), (1.001, 1)])
def test_a_class_vanishes_at_its_own_threshold(factor, lost):
    n = (9, 4, 1)
    lam = factor * math.sqrt(1.0) / sum(n)  # sqrt(n_3) = N lam
    problem = squared(n, WeightDecay(2 * lam, lam / 2))
    prediction = predicted("tirer2022.orthogonal-frame", problem)
    assert sum(float(x) == 0 for x in prediction.geometry.Z.diagonal()) == lost
    solution = ufm.polish(ufm.solve(problem, ufm.LBFGS(), throw=False))[0]
    assert float(solution.value) == pytest.approx(prediction.value, abs=CERTIFIED)


@pytest.mark.parametrize("K", [2, 5])
def test_the_penalised_bias_joins_the_simplex_and_the_orthogonal_frame(K):
    reg, n = ClassMeanDecay(0.03, 0.01), (1,) * K
    c = K * math.sqrt(0.03 * 0.01)
    edge = c / (1 - c)
    simplex = predicted("tirer2022.free-bias", squared(n, reg, bias=FreeBias()))
    for factor in (0.5, 1.0):
        bias = PenalisedBias(factor * edge)
        short = predicted("tirer2022.bias-transition", squared(n, reg, bias=bias))
        assert short.numbers["s"] == pytest.approx(0.0, abs=EXACT)
        # The root of a rounding error of s enters the geometry at the edge.
        assert float(distance(short.geometry, simplex.geometry)) < (1e-6 if factor == 1 else EXACT)
    orthogonal = predicted("tirer2022.orthogonal-frame", squared(n, reg))
    far = predicted("tirer2022.bias-transition", squared(n, reg, bias=PenalisedBias(1e12)))
    assert far.value == pytest.approx(orthogonal.value, rel=1e-9)  # off by 1/lam_b
    beyond = predicted("tirer2022.bias-transition", squared(n, reg, bias=PenalisedBias(2 * edge)))
    assert float(distance(beyond.geometry, simplex.geometry)) > 1e-2
    assert float(distance(beyond.geometry, orthogonal.geometry)) > 1e-2


def test_strong_ridges_leave_nothing_of_squared_error():
    reg = ClassMeanDecay(0.5, 0.5)
    for bias in (NoBias(), FreeBias(), PenalisedBias(0.1)):
        for prediction in predict(squared((1, 1), reg, bias=bias)):
            assert prediction.geometry is not None
            assert float(prediction.geometry.joint.abs().max()) == 0.0


def test_spheres_and_average_budgets_share_the_balanced_optimum():
    on_spheres = predict(Problem(K=4, d=3, n=(2,) * 4, reg=Sphere(1.5, 2.0)))
    averages = predict(Problem(K=4, d=3, n=(2,) * 4, reg=AverageBudget(1.5, 2.0)))
    values = {p.claim.id: p.value for p in (*on_spheres, *averages)}
    assert values["yaras2022.balanced-spheres"] == values["fang2021.balanced"]
    assert not claims.get("yaras2022.balanced-spheres").applies(
        Problem(K=4, d=3, n=(2, 2, 2, 1), reg=Sphere(1.5, 2.0))
    )


def test_scatter_within_classes_costs_value_under_average_budgets():
    # Features on samples, moved apart within their class and scaled back into the budget.
    problem = Problem(K=3, d=2, n=(2, 2, 2), reg=AverageBudget(1.0, 1.0))
    best = ufm.solve(problem)[0]
    H = best.H.repeat_interleave(2, dim=1)
    away = 0.1 * torch.tensor([1.0, -1.0] * 3, dtype=H.dtype) * torch.ones_like(H)
    moved = H + away
    moved = moved * (H.norm() / moved.norm())
    worse = ufm.Solution.from_arrays(problem, best.W, moved)
    assert float(worse.value) > float(best.value) + 1e-4
