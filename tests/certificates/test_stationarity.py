"""KKT residuals: zero exactly at KKT points, per sample for a fixed classifier."""

import pytest
import torch
from certificates.models import MODELS, moved, name, optimum
from tolerances import EXACT, SOLVED

import ufm
from ufm.certificates import certify
from ufm.certificates._means import reduce_point
from ufm.certificates._stationarity import kkt_residual


@pytest.mark.parametrize("problem", MODELS, ids=name)
def test_the_square_has_the_size_of_the_gap(problem):
    best = optimum(problem)
    assert certify(best).stationarity < SOLVED
    near, far = (certify(moved(best, noise)) for noise in (1e-4, 1e-3))
    assert far.stationarity > 3 * near.stationarity
    if "Sphere" not in name(problem) and "Budget" not in name(problem):
        # Off a budget the gap is first order; inside it stationarity^2 ~ 2 gap up to curvature.
        assert 1e-2 < far.stationarity**2 / far.gap < 1e2


def test_residual_is_the_gradient_without_constraints():
    problem = ufm.Problem(K=3, d=2, n=(3, 2, 1), reg=ufm.WeightDecay(0.1, 0.2), bias=ufm.FreeBias())
    sol = moved(optimum(problem), 0.1)
    reduced = reduce_point(sol)
    x = type(sol.point)(*(t.clone().requires_grad_() for t in reduced.x))
    grads = torch.autograd.grad(reduced.objective.value(x).sum(), x)
    for ours, theirs in zip(kkt_residual(reduced.objective, reduced.x), grads, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=EXACT, atol=EXACT)


def test_unused_budget_is_not_a_kkt_point():
    # Half-length features along the optimal direction: the gradient is parallel to them.
    problem = ufm.Problem(
        K=3, d=2, n=(2, 1, 1), reg=ufm.VectorBudget(1, 1), classifier=ufm.Fixed(ufm.SimplexETF())
    )
    M = ufm.etf(3, 2)
    full, half = (
        certify(ufm.Solution.from_arrays(problem, M, length * M.mT)) for length in (1.0, 0.5)
    )
    assert full.residual.max() < EXACT
    assert half.residual.min() > 0.1
    # 3/2 (1 - p_1) sqrt(E_W) (1 - |h|^2/E_H) along h at |h| = 1/2.
    z = torch.tensor([0.5, -0.25, -0.25], dtype=torch.float64)
    expected = 1.5 * (1 - z.softmax(0)[0]) * (1 - 0.25)
    torch.testing.assert_close(half.residual, expected.expand(3), rtol=EXACT, atol=0)


@pytest.mark.parametrize(
    ("reg", "is_kkt"),
    [(ufm.Sphere(1, 1), True), (ufm.VectorBudget(1, 1), False), (ufm.AverageBudget(1, 1), False)],
)
def test_a_multiplier_of_the_wrong_sign_counts_on_spheres_only(reg, is_kkt):
    # Features opposite to their class: the worst point of the sphere, stationary there; in the ball
    # shrinking them helps.
    problem = ufm.Problem(K=3, d=2, n=(1, 1, 1), reg=reg)
    M = ufm.etf(3, 2)
    cert = certify(ufm.Solution.from_arrays(problem, M, -M.mT))
    assert (cert.stationarity < EXACT) == is_kkt
    assert not cert.passed


def test_residual_per_sample_finds_the_wrong_sample():
    problem = ufm.Problem(
        K=3, d=2, n=(4, 3, 2), reg=ufm.VectorBudget(1, 1), classifier=ufm.Fixed(ufm.SimplexETF())
    )
    M = ufm.etf(3, 2)
    H = M.mT[:, torch.tensor(problem.labels(9))]
    H[:, 5] = H[:, 5].flip(0)
    cert = certify(ufm.Solution.from_arrays(problem, M, H))
    assert cert.residual.argmax() == 5
    assert (cert.residual > 1e-6).sum() == 1
    assert not cert.passed


def test_learnable_models_have_no_residual_per_sample():
    assert certify(optimum(MODELS[0])).residual is None
    assert certify(optimum(MODELS[0])).multipliers is None
