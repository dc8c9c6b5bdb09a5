"""Gradient flow: reference integration, invariants, exact solutions, end points, statuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.stats import linregress
from tolerances import CERTIFIED, EXACT, SOLVED

import ufm
from ufm.geometry import frame
from ufm.losses import CrossEntropy, DotRegression, Loss, SquaredError
from ufm.manifold import flatten, gaussian, unflatten
from ufm.methods import LBFGS, GradientFlow
from ufm.objective import Objective, Point
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
from ufm.solvers.flow import field, run, sample_times
from ufm.solvers.observables import observe
from ufm.status import Status


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
@pytest.mark.parametrize(
    "problem",
    [*MODELS.values(), Problem(K=6, d=8, n=(9, 8, 7, 6, 5, 4), reg=AverageBudget(2.0, 3.0))],
    ids=[*MODELS, "larger"],
)
def test_instances_do_not_influence_each_other(problem):
    method = GradientFlow(t_end=5.0, samples=10)
    together = ufm.solve(problem, method, seeds=3)
    for seed in range(3):
        alone = ufm.solve(problem, method, seeds=[seed])
        for ours, theirs in zip(alone.point, together.point, strict=True):
            assert torch.equal(ours[0], theirs[seed])
        assert int(alone.steps[0]) == int(together.steps[seed])
        for name in alone.trace.rows:
            np.testing.assert_array_equal(rows(alone, name)[0], rows(together, name)[seed])


def test_problems_of_a_batch_may_differ_in_strength():
    problems = [Problem(K=4, d=3, n=N, reg=WeightDecay(lam, lam)) for lam in (0.03, 0.3)]
    method = GradientFlow(t_end=1000.0, gtol=1e-4)
    both = ufm.solve(problems, method)
    # One ends early and leaves the batch; the other goes on unchanged.
    early, late = both.steps.argsort().tolist()
    assert int(both.steps[early]) < int(both.steps[late])
    alone = ufm.solve(problems[late], method)
    assert torch.equal(alone.W[0], both.W[late])
    np.testing.assert_array_equal(rows(alone, "value")[0], rows(both, "value")[late])


def test_the_first_sample_is_the_start():
    problem = MODELS["ridge"]
    sol = flow(problem, seeds=2, t_end=1.0)
    objective = sol.objective()
    start = observe(objective, gaussian(objective, (0, 1)))
    assert sol.trace.time[0] == 0
    for name, values in start.items():
        np.testing.assert_allclose(rows(sol, name)[:, 0], values.numpy(), rtol=EXACT)
    end = observe(objective, sol.point)
    for name, values in end.items():
        np.testing.assert_allclose(rows(sol, name)[:, -1], values.numpy(), rtol=CERTIFIED)


def test_sample_times():
    log = sample_times(GradientFlow(t_end=1e4, samples=8)).numpy()
    np.testing.assert_allclose(log, [0, *np.logspace(-2, 4, 7)], rtol=EXACT)
    short = sample_times(GradientFlow(t_end=1.0, samples=6)).numpy()
    np.testing.assert_allclose(short, [0, *np.logspace(-4, 0, 5)], rtol=EXACT)
    linear = sample_times(GradientFlow(t_end=3.0, samples=4, spacing="linear")).numpy()
    np.testing.assert_allclose(linear, [0, 1, 2, 3], rtol=EXACT)
    assert sample_times(GradientFlow(t_end=5.0, samples=1)).tolist() == [0]
    assert sample_times(GradientFlow(t_end=5.0, samples=2)).tolist() == [0, 5]


def test_the_tolerance_is_kept():
    # The end's error is proportional to what was asked, over four decades.
    problem = MODELS["average budgets"]
    exact = flow(problem, t_end=5.0, rtol=1e-12, atol=1e-13, samples=2)
    for rtol in (1e-5, 1e-7, 1e-9):
        sol = flow(problem, t_end=5.0, rtol=rtol, atol=rtol * 1e-2, samples=2)
        error = float((sol.W - exact.W).abs().max())
        assert 1e-3 * rtol < error < 50 * rtol


def test_dense_output_agrees_with_steps_that_end_at_the_samples():
    problem = MODELS["ridge"]
    trace = flow(problem, t_end=8.0, rtol=1e-9, samples=9, spacing="linear").trace
    for j in (1, 3, 7):
        end = flow(problem, t_end=float(j), rtol=1e-9, samples=2).trace
        for name in ("value", "balancedness", "nc1_quot", "nc3_self_dual"):
            assert float(trace.rows[name][0, j]) == pytest.approx(
                float(end.rows[name][0, -1]), rel=1e-7
            ), name  # 100 rtol


def test_stops_early_at_gtol_and_leaves_the_rest_open():
    sol = flow(MODELS["ridge"], t_end=1e6, gtol=1e-5)
    assert sol.status == (Status.CONVERGED,)
    assert float(sol.grad_norm) < 1e-5
    value = rows(sol, "value")[0]
    assert math.isfinite(value[0])
    assert math.isnan(value[-1])


def test_step_limit_keeps_what_was_computed():
    sol = flow(MODELS["ridge"], t_end=1e6, max_steps=20, samples=50)
    assert sol.status == (Status.MAX_STEPS,)
    assert int(sol.steps) == 20
    value = rows(sol, "value")[0]
    known = value[np.isfinite(value)]
    assert 1 < len(known) < 50
    assert float(sol.value) < known[0]
    with pytest.raises(ufm.SolveError) as error:
        ufm.solve(MODELS["ridge"], GradientFlow(t_end=1e6, max_steps=20))
    assert torch.equal(error.value.solution.W, sol.W)


def test_overflow_is_nonfinite():
    problem = Problem(K=4, d=3, n=N, reg=NoReg(), loss=SquaredError())
    x = gaussian(Objective.stack([problem], problem.N), (0,))
    good = flow(problem, start=x, t_end=1.0)
    huge = Point(*(torch.cat([part, 1e200 * part]) for part in x))
    sol = ufm.solve([problem, problem], GradientFlow(t_end=1.0), start=huge, throw=False)
    assert sol.status == (Status.CONVERGED, Status.NONFINITE)
    assert torch.equal(sol.W[0], good.W[0])


class Runaway(Loss):
    """Minus a power of the logits' norm, unbounded below; only value and gradient."""

    def __init__(self, power):
        self.power = power

    def value_and_grad(self, Z, y):
        norm = Z.norm(dim=-2, keepdim=True)
        return -(norm.squeeze(-2) ** self.power) / self.power, -Z * norm ** (self.power - 2)

    def hvp(self, Z, y, V):
        raise NotImplementedError

    conjugate = slack = fenchel_defect = hvp


def test_running_away_is_divergence():
    # x' of the order of x: exponential growth past every bound.
    problem = Problem(K=4, d=3, n=N, reg=NoReg(), loss=Runaway(1), bias=FreeBias())
    assert flow(problem, t_end=1e3).status == (Status.DIVERGED,)


def test_a_singularity_in_finite_time_stalls():
    # x' of the order of x^3: infinite at a finite time, which steps cannot pass.
    problem = Problem(K=4, d=3, n=N, reg=NoReg(), loss=Runaway(2))
    assert flow(problem, t_end=1e3).status == (Status.STALLED,)


def test_tolerances_below_rounding_are_refused():
    with pytest.raises(ValueError, match="rtol must be a finite number >= 1e-14"):
        GradientFlow(rtol=1e-16)


def test_starts_are_checked_and_put_on_the_budgets():
    problem = MODELS["vector budgets"]
    W, H = torch.randn(4, 3).double(), torch.randn(3, 10).double()
    sol = flow(problem, start=Point(W, H, torch.zeros(4).double()), t_end=1e-9)
    assert float(sol.objective().infeasibility(sol.point)) < EXACT
    with pytest.raises(ValueError, match="start must have M=10 feature columns, got 4"):
        flow(problem, start=Point(W, H[:, :4], torch.zeros(4).double()))


def test_callback_sees_every_step():
    problem, seen = MODELS["ridge"], []
    objective = Objective.stack([problem] * 2, problem.N)
    method = GradientFlow(t_end=3.0)
    result = run(objective, method, start=None, seeds=(0, 1), callback=lambda *a: seen.append(a))
    assert [count for count, _, _ in seen] == list(range(1, int(result.steps.max()) + 1))
    count, alive, x = seen[0]
    assert count == 1
    assert alive.tolist() == [0, 1]
    assert x.W.shape == (2, 4, 3)
    # The last step ends the last instance.
    assert seen[-1][1].tolist() == []


def test_every_reported_observable_can_tell_points_apart():
    # Negative control: nothing recorded is a constant.
    sol = flow(MODELS["average budgets"], seeds=2, t_end=10.0)
    constant = {"norm_W"}  # by the budget, as the norm of H is up to the class shares
    for name in sol.trace.rows.keys() - constant:
        first, last = rows(sol, name)[:, 0], rows(sol, name)[:, -1]
        assert (np.abs(last - first) > SOLVED * np.abs(first)).any(), name


def test_flat_coordinates_are_isometric():
    problem = MODELS["ridge"]
    objective = Objective.stack([problem], problem.K)
    x = gaussian(objective, (0,))
    assert unflatten(objective, flatten(objective, x)).H.shape == (1, 3, 4)
    assert observe(objective, x)["norm_H"].item() == pytest.approx(
        (objective.m * x.H.square().sum(-2)).sum().sqrt().item(), rel=EXACT
    )
