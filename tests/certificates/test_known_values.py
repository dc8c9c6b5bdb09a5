"""Known optima: the reference table of the layer-peeled model, ridge thresholds, closed forms."""

import math

import pytest
import torch
from certificates.models import optimum
from tolerances import EXACT

import ufm
from ufm.certificates import certify


# K_A, K_B, E_W, E_H, R, F* of the exact step solver (risk with sum pi = 1), rank of Z*.
STEPS = [
    (5, 5, 1, 5, 5, 0.376705506418, 9),
    (5, 5, 1, 5, 10, 0.261677038637, 9),
    (5, 5, 1, 5, 100, 0.091299164075, 5),
    (7, 3, 1, 5, 3, 0.476396165203, 9),
    (7, 3, 1, 5, 5, 0.399655089328, 7),
    (7, 3, 1, 5, 10, 0.321853497805, 6),
    (3, 7, 1, 5, 100, 0.050453680086, 9),
    (2, 2, 1, 1, 2, 0.543340722014, 3),
]


def step(K_A: int, K_B: int, R: float, reg, **more) -> ufm.Problem:
    K = K_A + K_B
    weights = ufm.step_weights(K=K, K_A=K_A, R=R)
    return ufm.Problem(K=K, d=K - 1, n=(1,) * K, weights=weights, reg=reg, **more)


def solved(problem: ufm.Problem) -> ufm.Solution:
    return ufm.solve(problem, ufm.LBFGS(gtol=1e-9), throw=False)[0]


@pytest.mark.parametrize(("K_A", "K_B", "E_W", "E_H", "R", "value", "rank"), STEPS)
def test_step_imbalance_table(K_A, K_B, E_W, E_H, R, value, rank):
    cert = certify(solved(step(K_A, K_B, R, ufm.AverageBudget(E_W, E_H))))
    # The table has twelve digits.
    assert float(cert.primal) == pytest.approx(value, abs=6e-13)
    assert cert.gap < EXACT
    assert cert.passed
    assert cert.rank == rank


def test_the_worked_example_is_certified_below_rounding():
    # Theory page: raw 1e-9 .. 9e-8, refined 6e-17; SciPy's stopping point is a little worse.
    cert = certify(optimum(step(5, 5, 10, ufm.AverageBudget(1, 5))))
    assert cert.gap < 1e-14
    assert 1e-11 < cert.raw_gap < 1e-6
    # mu = |grad F|_op is 0.97297555 pi_B there, and the multipliers are those of tau |Y|_op.
    mu = 0.97297555 / 55
    assert torch.linalg.matrix_norm(cert.Y, 2) == pytest.approx(mu, rel=1e-7)
    assert cert.multipliers[0] == pytest.approx(mu / 2 / math.sqrt(5), rel=1e-7)
    assert cert.multipliers[1] == pytest.approx(mu / 2 * math.sqrt(5), rel=1e-7)


@pytest.mark.parametrize(("K", "E_W", "E_H"), [(2, 1, 1), (4, 3, 2), (10, 1, 5)])
@pytest.mark.parametrize("reg", [ufm.AverageBudget, ufm.VectorBudget, ufm.Sphere])
def test_balanced_closed_form(K, E_W, E_H, reg):
    problem = ufm.Problem(K=K, d=K - 1, n=(7,) * K, reg=reg(E_W, E_H))
    M = ufm.etf(K, K - 1)
    sol = ufm.Solution.from_arrays(problem, E_W**0.5 * M, E_H**0.5 * M.mT)
    cert = certify(sol)
    s = math.sqrt(E_W * E_H)
    assert cert.primal == pytest.approx(math.log1p((K - 1) * math.exp(-K * s / (K - 1))), rel=EXACT)
    assert cert.passed
    assert cert.gap.abs() < EXACT
    # Here even the plain gradient is an optimal dual.
    assert cert.raw_gap.abs() < EXACT
    assert cert.stationarity < 1e-7  # square root of rounding


@pytest.mark.parametrize("bias", [ufm.NoBias(), ufm.FreeBias(), ufm.PenalisedBias(1e-2)])
@pytest.mark.parametrize(("factor", "rank"), [(0.999, 9), (1.001, 5)])
def test_ridge_threshold_of_minority_collapse(bias, factor, rank):
    # Equal-sized minorities merge iff pi_B <= lam (ridge per class mean).
    lam = factor / 55
    cert = certify(solved(step(5, 5, 10, ufm.ClassMeanDecay(lam, lam), bias=bias)))
    assert cert.gap < EXACT
    assert cert.rank == rank


@pytest.mark.parametrize(("factor", "rank"), [(0.99, 4), (1.01, 2)])
def test_ridge_per_sample_threshold(factor, rank):
    # sqrt(n_B) <= N lam.
    n = (30, 30, 4, 4, 4)
    lam = factor * 2 / 72
    cert = certify(solved(ufm.Problem(K=5, d=4, n=n, reg=ufm.WeightDecay(lam, lam))))
    assert cert.gap < EXACT
    assert cert.rank == rank


def test_two_cluster_ridge_value_of_the_catalogue():
    problem = ufm.Problem(K=5, d=5, n=(15, 15, 6, 6, 6), reg=ufm.WeightDecay(8e-3, 8e-3))
    cert = certify(optimum(problem))
    assert cert.primal == pytest.approx(0.4504863524540283, rel=EXACT)
    assert cert.passed


@pytest.mark.parametrize(
    ("K_A", "K_B", "E_W", "E_H", "R"),
    [
        (5, 5, 1, 5, 10),
        (3, 2, 1, 1, 15.0),
        (3, 2, 1, 1, 15.3),
        (5, 5, 1, 5, 198.4),
        (5, 5, 1, 5, 208.6),
    ],
)
def test_vector_budgets_are_certified_at_second_order(K_A, K_B, E_W, E_H, R):
    # The collapse thresholds are 15.1706 and 204.509: both sides of each, where the theory page
    # found refined gaps of 8e-14 to 6e-12 and could not tell which side was loose.
    problem = step(K_A, K_B, R, ufm.VectorBudget(E_W, E_H))
    cert = certify(solved(problem))
    assert cert.gap < EXACT
    assert cert.gap < 1e-3 * cert.raw_gap
    assert cert.passed


def test_fixed_frame_closed_form_whatever_the_imbalance():
    # h = sqrt(E_H) m_k for any class sizes; K=5, E_H=4, E_W=1.5 of the catalogue.
    problem = ufm.Problem(
        K=5, d=7, n=(100, 20, 3, 1, 1), reg=ufm.VectorBudget(1.5, 4.0),
        classifier=ufm.Fixed(ufm.SimplexETF(E_W=1.5)),
    )  # fmt: skip
    W = ufm.etf(5, 7)
    H = 2 * W.mT.repeat_interleave(torch.tensor(problem.n), dim=1)
    cert = certify(ufm.Solution.from_arrays(problem, 1.5**0.5 * W, H))
    assert cert.primal == pytest.approx(0.1715991541, abs=1e-10)
    assert cert.passed
    assert cert.residual.shape == (125,)
    assert cert.residual.max() < EXACT


def test_squared_error_soft_threshold():
    # Balanced MSE with ridge: Z = (1 - K lam) I per class mean, value from the scalar problem.
    K, lam = 4, 0.05
    problem = ufm.Problem(
        K=K, d=K, n=(3,) * K, loss=ufm.SquaredError(), reg=ufm.ClassMeanDecay(lam, lam)
    )
    a = 1 - K * lam
    root = a**0.5 * torch.eye(K, dtype=torch.float64)
    cert = certify(ufm.Solution.from_arrays(problem, root, root))
    assert cert.primal == pytest.approx((1 - a) ** 2 / 2 + K * lam * a, rel=EXACT)
    assert cert.gap.abs() < EXACT
    assert cert.passed


@pytest.mark.parametrize("s", [0.5, 2.0])
def test_dot_regression_is_zero_iff_the_budget_reaches_the_target(s):
    problem = ufm.Problem(
        K=4, d=3, n=(5, 3, 2, 1), loss=ufm.DotRegression(s=s), reg=ufm.VectorBudget(1.0, 1.0)
    )
    M = ufm.etf(4, 3) * min(s, 1.0) ** 0.5
    cert = certify(ufm.Solution.from_arrays(problem, M, M.mT))
    assert cert.passed
    assert cert.primal == pytest.approx(max(s - 1, 0) ** 2 / (2 * s), abs=EXACT)
