"""The refined gap falls with the square of the distance to the optimum, the raw gap with it."""

import numpy as np
import pytest
import torch
from certificates.models import moved, optimum
from tolerances import EXACT

import ufm
from ufm.certificates import certify


N = ufm.exponential_sizes(K=6, n_max=300, rho=50)
CASES = {
    "average": {"reg": ufm.AverageBudget(1, 3)},
    "average, free bias": {"reg": ufm.AverageBudget(1, 3), "bias": ufm.FreeBias()},
    "average, ridge bias": {"reg": ufm.AverageBudget(1, 3), "bias": ufm.PenalisedBias(0.01)},
    "per sample": {"reg": ufm.WeightDecay(2e-3, 1e-4)},
    "per mean, free bias": {"reg": ufm.ClassMeanDecay(1e-2, 1e-2), "bias": ufm.FreeBias()},
    "per mean, ridge bias": {"reg": ufm.ClassMeanDecay(1e-2, 1e-2), "bias": ufm.PenalisedBias(0.1)},
    "squared error": {"reg": ufm.ClassMeanDecay(1e-2, 1e-2), "loss": ufm.SquaredError()},
    "sphere": {"reg": ufm.Sphere(1, 3)},
    "sphere, free bias": {"reg": ufm.Sphere(1, 3), "bias": ufm.FreeBias()},
}
FIXED = {"reg": ufm.AverageBudget(1, 3), "classifier": ufm.Fixed(ufm.SimplexETF())}


def filled(sol: ufm.Solution) -> ufm.Solution:
    """The point with its average budgets used up: unused budget is a first-order loss."""
    reg = sol.problem.reg
    if not isinstance(reg, ufm.AverageBudget) or not sol.problem.is_learnable:
        return sol
    W, H = (
        t * (sol.problem.K * E) ** 0.5 / torch.linalg.matrix_norm(t)
        for t, E in ((sol.W, reg.E_W), (sol.H, reg.E_H))
    )
    return ufm.Solution.from_arrays(sol.problem, W, H, sol.b if sol.problem.has_bias else None)


def gaps(problem: ufm.Problem, noises) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    best = optimum(problem)
    certs = [certify(filled(moved(best, noise, seed=3))) for noise in noises]
    value = float(best.value)
    columns = ([float(f(c)) for c in certs] for f in (
        lambda c: c.raw_gap, lambda c: c.gap, lambda c: c.primal - value))  # fmt: skip
    return tuple(np.array(column) for column in columns)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_slopes(case):
    noises = np.array([1e-3, 1e-4, 1e-5])
    raw, refined, excess = gaps(ufm.Problem(K=6, d=6, n=N, **case), noises)
    slope_raw, slope_refined = (np.polyfit(np.log(noises), np.log(g), 1)[0] for g in (raw, refined))
    # Curvature over two decades leaves a few hundredths.
    assert slope_raw == pytest.approx(1, abs=0.15)
    assert slope_refined == pytest.approx(2, abs=0.05)
    # Measured: refined / true excess is between 1.0 and 1.8; a bound is never below 1.
    ratio = refined[:2] / excess[:2]
    assert (ratio >= 1 - 1e-3).all()  # the excess itself is a difference of O(1) numbers
    assert (ratio < 5).all()


def test_a_fixed_classifier_needs_no_refinement():
    noises = np.array([1e-3, 1e-4, 1e-5])
    problem = ufm.Problem(K=6, d=6, n=N, **FIXED)
    raw, refined, _ = gaps(problem, noises)
    assert np.polyfit(np.log(noises), np.log(raw), 1)[0] == pytest.approx(2, abs=0.1)
    assert (refined == raw).all()


def test_gaps_far_below_rounding_are_resolved():
    # Newton-like continuation: halving the distance quarters the gap down to 1e-17 F and below.
    problem = ufm.Problem(K=3, d=2, n=(5, 5, 5), reg=ufm.AverageBudget(1, 4))
    M = ufm.etf(3, 2)
    certs = []
    for noise in (1e-7, 1e-8):
        H = 2 * M.mT * (1 + noise * torch.tensor([1.0, -1.0, 0.0], dtype=torch.float64))
        certs.append(certify(ufm.Solution.from_arrays(problem, M, H)))
    # Both gaps are below the spacing of floats near F = 0.1; margins do not hide a wrong sign.
    assert all(abs(c.gap) < 1e-14 and c.gap >= -c.margin for c in certs)
    assert all((c.primal - c.dual).abs() < EXACT for c in certs)
