"""Gradient flow as mathematics: reference integration, invariants, exact solutions, end points."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.stats import linregress
from solvers.flows import MODELS, each_model, flow, rows
from tolerances import CERTIFIED, EXACT, SOLVED

import ufm
from ufm.geometry import frame
from ufm.losses import CrossEntropy, DotRegression, SquaredError
from ufm.manifold import flatten, gaussian
from ufm.methods import LBFGS
from ufm.objective import Objective, Point
from ufm.problem import (
    Fixed,
    FreeBias,
    NoReg,
    Problem,
    Sphere,
    WeightDecay,
)
from ufm.solvers.flow import field


@each_model
def test_agrees_with_a_classical_method_of_tiny_steps(problem):
    # Runge's method without retraction: the projected field keeps the budgets by itself.
    objective = Objective.stack([problem], problem.N)
    slope, h = field(objective), 1 / 150
    x = flatten(objective, gaussian(objective, (0,)))
    for _ in range(150):
        k1 = slope(x)
        k2 = slope(x + h / 2 * k1)
        k3 = slope(x + h / 2 * k2)
        x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + slope(x + h * k3))
    sol = flow(problem, t_end=1.0, rtol=1e-12, atol=1e-13, samples=2)
    torch.testing.assert_close(flatten(objective, sol.point), x, rtol=0, atol=CERTIFIED)


@each_model
def test_the_objective_never_increases(problem):
    sol = flow(problem, t_end=50.0, samples=40, seeds=2)
    value = rows(sol, "value")
    assert sol.converged.all()
    assert (np.diff(value, axis=1) <= EXACT * value[:, :1]).all()
    assert (value[:, -1] < value[:, 0]).all()


def test_budgets_and_fixed_classifiers_are_kept():
    sol = flow(MODELS["average budgets"], t_end=100.0)
    W, H = sol.objective().used(sol.point)
    torch.testing.assert_close(torch.cat([W, H], -1), torch.ones(1, 2).double(), rtol=EXACT, atol=0)
    sol = flow(MODELS["fixed frame"], t_end=100.0)
    assert torch.equal(sol.W[0], frame(ufm.SimplexETF(2.0), 4, 3))


@pytest.mark.parametrize("loss", [CrossEntropy(), SquaredError()])
@pytest.mark.parametrize("bias", [ufm.NoBias(), FreeBias()])
@pytest.mark.parametrize("lam", [0.0, 0.1])
def test_balancedness_is_conserved_or_decays_exactly(lam, bias, loss):
    # d/dt (W'W - HH') = -2 lam (W'W - HH') whatever the loss, sizes and start.
    reg = WeightDecay(lam, lam) if lam else NoReg()
    problem = Problem(K=3, d=4, n=(3, 2, 1), reg=reg, bias=bias, loss=loss)
    sol = flow(problem, t_end=5.0, rtol=1e-10, atol=1e-12, samples=20, spacing="linear")
    start = gaussian(sol.objective(), (0,))
    before = start.W.mT @ start.W - start.H @ start.H.mT
    after = sol.W.mT @ sol.W - sol.H @ sol.H.mT
    # Errors of about 50 steps at rtol, each quadratic form twice.
    tight = 1e3 * 1e-10
    torch.testing.assert_close(after, math.exp(-10 * lam) * before, rtol=0, atol=tight)
    norm, time = rows(sol, "balancedness")[0], sol.trace.time.numpy()
    np.testing.assert_allclose(norm, norm[0] * np.exp(-2 * lam * time), rtol=tight)


def test_unequal_ridges_break_the_exponential_decay():
    # Negative control of the test above.
    problem = Problem(K=3, d=4, n=(3, 2, 1), reg=WeightDecay(0.1, 0.3))
    norm = rows(flow(problem, t_end=5.0, samples=3, spacing="linear"), "balancedness")[0]
    assert abs(norm[-1] / norm[0] - math.exp(-1.0)) > SOLVED


def test_class_means_flow_as_samples_that_start_equal():
    problem = MODELS["average budgets"]
    means = gaussian(Objective.stack([problem], problem.K), (0,))
    samples = Point(means.W, means.H[..., list(problem.labels(problem.N))], means.b)
    short = flow(problem, start=means, t_end=10.0, class_means=True)
    long = flow(problem, start=samples, t_end=10.0)
    assert short.steps.tolist() == long.steps.tolist()
    for name in long.trace.rows:
        np.testing.assert_allclose(
            rows(short, name), rows(long, name), rtol=CERTIFIED, atol=EXACT, err_msg=name
        )


def test_balanced_cross_entropy_follows_its_scalar_equation():
    # From a balanced ETF pair the flow keeps Z = a P and a' = 2 a sqrt(n) K (1-p) / ((K-1) N):
    # Z has singular values a sqrt(n), both factors their roots, and G = -K (1-p) P / ((K-1) N).
    K, n, d = 3, 4, 2
    problem = Problem(K=K, d=d, n=(n,) * K, reg=NoReg())
    W = ufm.etf(K, d) * (n**0.25 * (K - 1) ** 0.5 / K**0.5)
    start = Point(W, W.mT[:, list(problem.labels(K * n))] / n**0.5, torch.zeros(K).double())
    sol = flow(problem, start=start, t_end=1e8, rtol=1e-10, atol=1e-12, samples=40)

    def slope(t, a):
        p_miss = (K - 1) * np.exp(-a) / (1 + (K - 1) * np.exp(-a))
        return 2 * a * n**0.5 * K * p_miss / ((K - 1) * K * n)

    time, margin = sol.trace.time.numpy(), rows(sol, "margin")[0]
    assert margin[0] == pytest.approx(1, rel=EXACT)
    exact = solve_ivp(slope, (0, 1e8), [1.0], "DOP853", t_eval=time, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(margin, exact.y[0], rtol=1e3 * 1e-10)
    # Collapse and duality are kept exactly.
    assert rows(sol, "nc2_etf_err").max() < CERTIFIED


def test_cross_entropy_flow_maximises_the_margin_over_fourteen_decades():
    # catalogue.md ce-flow-max-margin: margin over half the squared norms tends to
    # 1/((K-1) sqrt n) like 1/log t, and loss * t decreases.
    K, n = 3, 3
    problem = Problem(K=K, d=4, n=(n,) * K, reg=NoReg())
    sol = flow(problem, seeds=2, t_end=1e14, samples=15, scale=0.1)
    assert sol.converged.all()
    assert int(sol.steps.max()) < 400
    half = (rows(sol, "norm_W") ** 2 + rows(sol, "norm_H") ** 2) / 2
    late = sol.trace.time.numpy() >= 1e2
    margin, limit = (rows(sol, "margin") / half)[:, late], 1 / ((K - 1) * n**0.5)
    assert (np.diff(margin) > 0).all()
    assert (margin < limit).all()
    assert (margin[:, -1] > 0.999 * limit).all()
    loss_times_t = (rows(sol, "risk") * sol.trace.time.numpy())[:, late]
    assert (np.diff(loss_times_t) < 0).all()


def test_squared_error_from_small_starts_collapses_quadratically():
    # catalogue.md mse-flow-small-init: scatter and cosine error are of order eps^2, b -> 1/K.
    K = 3
    problem = Problem(K=K, d=5, n=(4,) * K, reg=NoReg(), loss=SquaredError(), bias=FreeBias())
    scales = np.array([0.01, 0.001])
    scatter, angle = [], []
    for scale in scales:
        # Modes of rate eps^2 are not waited for: they carry eps^4 of the loss.
        sol = flow(problem, t_end=200.0, samples=2, scale=scale * 5**0.5)[0]
        geometry = sol.geometry
        scatter.append(float(geometry.within))
        centred = geometry.gram_H - geometry.gram_H.mean(0) - geometry.gram_H.mean(1)[:, None]
        cosine = ufm.cosines(centred + geometry.gram_H.mean())
        angle.append(float((cosine[~torch.eye(K, dtype=torch.bool)] + 1 / (K - 1)).abs().max()))
        assert float(sol.value) < SOLVED
        # Not exactly: b takes part of order eps in fitting the targets.
        torch.testing.assert_close(sol.b, torch.full((K,), 1 / K).double(), rtol=0, atol=scale)
    for errors in (scatter, angle):
        assert linregress(np.log(scales), np.log(errors)).slope == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("name", ["ridge", "class-mean ridge", "average budgets"])
def test_ends_at_the_optimum(name):
    problem = MODELS[name]
    sol = flow(problem, seeds=[1, 2], t_end=1e5, gtol=1e-7)
    best = ufm.solve(problem, LBFGS(gtol=1e-9), throw=False)
    torch.testing.assert_close(sol.value, best.value.expand(2), rtol=CERTIFIED, atol=0)
    far = ufm.distance(sol.geometry, best.geometry)
    assert float(far.max()) < SOLVED


def test_dot_regression_on_the_sphere_is_quartic():
    # With c = cos(theta): c' = eta (1-c)^2 (1+c), eta = (1/N) sqrt(E_W/E_H), whose first integral
    # is 1/(2(1-c)) + artanh(c)/2 = eta t + const; so theta_t sqrt(eta t) -> 1 (etf_lpm.md 1).
    K, E_W, E_H = 4, 2.0, 3.0
    problem = Problem(
        K=K, d=3, n=(1,) * K, reg=Sphere(E_W, E_H), loss=DotRegression((E_W * E_H) ** 0.5),
        classifier=Fixed(ufm.SimplexETF(E_W)),
    )  # fmt: skip
    sol = flow(problem, t_end=1e6, rtol=1e-10, atol=1e-12, samples=30)
    time, angle = sol.trace.time.numpy(), rows(sol, "angle")[0]
    eta = (E_W / E_H) ** 0.5 / K
    integral = 1 / (4 * np.sin(angle / 2) ** 2) - np.log(np.tan(angle / 2)) / 2
    np.testing.assert_allclose(integral - integral[0], eta * time, rtol=1e3 * 1e-10, atol=CERTIFIED)
    assert angle[-1] * (eta * 1e6) ** 0.5 == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("d", [3, 5])
def test_cross_entropy_on_the_sphere_is_linear(d):
    # Tangent Hessian at the fixed-ETF optimum (etf_lpm.md 1), times the sample's share 1/N;
    # directions outside the span of the frame exist for d >= K and are slower.
    K, E_W, E_H = 4, 2.0, 3.0
    problem = Problem(
        K=K, d=d, n=(1,) * K, reg=Sphere(E_W, E_H), classifier=Fixed(ufm.SimplexETF(E_W))
    )
    miss = 1 / (1 + np.exp(K * (E_W * E_H) ** 0.5 / (K - 1)) / (K - 1))
    outside = K / (K - 1) * miss * (E_W / E_H) ** 0.5
    inside = outside + K / (K - 1) * E_W * miss / (K - 1)
    rate = (inside if d == K - 1 else outside) / K
    sol = flow(problem, t_end=15 / rate, rtol=1e-10, atol=1e-11, samples=100, spacing="linear")
    time, angle = sol.trace.time.numpy(), rows(sol, "angle")[0]
    late = (angle < 1e-3) & (angle > 1e-5)
    # The angle obeys its linearisation up to its square; on the slower directions up to the other
    # rate's remainder.
    assert linregress(time[late], np.log(angle[late])).slope == pytest.approx(-rate, rel=1e-3)


def test_a_rotated_start_runs_the_rotated_course():
    problem = MODELS["average budgets"]
    objective = Objective.stack([problem], problem.N)
    x = gaussian(objective, (1,))
    R = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))[0]
    straight = flow(problem, start=x, t_end=30.0)
    turned = flow(problem, start=Point(x.W @ R, R.mT @ x.H, x.b), t_end=30.0)
    assert straight.steps.tolist() == turned.steps.tolist()
    np.testing.assert_allclose(rows(turned, "value"), rows(straight, "value"), rtol=CERTIFIED)
    torch.testing.assert_close(turned.W, straight.W @ R, rtol=0, atol=CERTIFIED)


# Bitwise; K and d even where products go to the BLAS (docs/reproducibility.md).
