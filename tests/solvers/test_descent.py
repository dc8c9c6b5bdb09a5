"""Gradient descent: one step by hand, known rates, agreement with the flow, divergence."""

import itertools
import math

import pytest
import torch
from tolerances import EXACT

import ufm
from ufm.manifold import flatten, gradient
from ufm.objective import Objective, Point
from ufm.solvers.descent import sample_steps


def fixed(K: int, E: float, loss: ufm.losses.Loss) -> ufm.Problem:
    return ufm.Problem(
        K=K, d=K - 1, n=(1,) * K, reg=ufm.Sphere(E, E), loss=loss,
        classifier=ufm.Fixed(ufm.SimplexETF(E_W=E)),
    )  # fmt: skip


def tilted(problem: ufm.Problem, angle: float) -> Point:
    """Features at an angle to the rows of the fixed frame, towards the next row."""
    W = Objective.stack([problem], problem.K).fixed_W()
    unit = W / W.norm(dim=-1, keepdim=True)
    side = unit.roll(1, 0) - (unit.roll(1, 0) * unit).sum(-1, keepdim=True) * unit
    side = side / side.norm(dim=-1, keepdim=True)
    return Point(W, (math.cos(angle) * unit + math.sin(angle) * side).mT, torch.zeros(problem.K))


def test_one_step_is_x_minus_lr_times_the_gradient():
    problem = ufm.Problem(K=3, d=2, n=(2, 1, 1), reg=ufm.WeightDecay(0.1, 0.2), bias=ufm.FreeBias())
    objective = Objective.stack([problem], 4)
    generator = torch.Generator().manual_seed(0)
    start = Point(*(torch.randn(shape, generator=generator).double()
                    for shape in ((1, 3, 2), (1, 2, 4), (1, 3))))  # fmt: skip
    leaves = Point(*(t.clone().requires_grad_() for t in start))
    grads = torch.autograd.grad(objective.value(leaves).sum(), leaves)
    sol = ufm.solve(problem, ufm.GradientDescent(lr=0.3, steps=1), start=start)
    for new, old, grad in zip(sol.point, start, grads, strict=True):
        torch.testing.assert_close(new, old - 0.3 * grad, rtol=EXACT, atol=EXACT)


def test_steps_stay_on_the_budgets():
    for reg in (ufm.AverageBudget(2, 3), ufm.VectorBudget(2, 3), ufm.Sphere(2, 3)):
        problem = ufm.Problem(K=3, d=2, n=(3, 2, 1), reg=reg)
        sol = ufm.solve(problem, ufm.GradientDescent(lr=0.5, steps=20), seeds=2)
        for share in sol.objective().used(sol.point):
            torch.testing.assert_close(share, torch.ones_like(share), rtol=EXACT, atol=0)
        assert (sol.trace.rows["value"].diff(dim=-1) < 0).all()


@pytest.mark.parametrize(
    ("K", "E", "eta", "rate"), [(10, 1.0, 0.45, 0.584639), (10, 5.0, 0.09, 0.994770)]
)
def test_cross_entropy_on_a_fixed_etf_has_the_linear_rate_of_its_hessian(K, E, eta, rate):
    p = 1 / (1 + (K - 1) * math.exp(-K * E / (K - 1)))
    hessian = K / (K - 1) * ((1 - p) + E * (1 - p) / (K - 1))
    assert 1 - eta * hessian == pytest.approx(rate, abs=1e-6)
    # Each class has the share 1/K of the objective.
    method = ufm.GradientDescent(lr=eta * K, steps=800 if rate > 0.9 else 25, samples=40)
    problem = fixed(K, E, ufm.CrossEntropy())
    trace = ufm.solve(problem, method, start=tilted(problem, 0.01)).trace
    angle, time = trace.rows["angle"][0, -2:].tolist(), trace.time[-2:].tolist()
    measured = (angle[1] / angle[0]) ** (1 / (time[1] - time[0]))
    assert measured == pytest.approx(rate, abs=2e-6)  # six digits are quoted


def test_dot_regression_on_the_sphere_is_sublinear():
    # theta_t ~ 1/sqrt(eta t): a quartic minimum.
    K, eta, steps = 4, 0.9, 1000
    problem = fixed(K, 1.0, ufm.DotRegression(s=1.0))
    method = ufm.GradientDescent(lr=eta * K, steps=steps, samples=2)
    sol = ufm.solve(problem, method, start=tilted(problem, 1.2))
    angle = float(sol.trace.rows["angle"][0, -1])
    assert angle * math.sqrt(eta * steps) == pytest.approx(1, abs=0.01)  # logarithmic correction


def test_small_steps_follow_the_flow_to_first_order():
    problem = ufm.Problem(K=3, d=2, n=(3, 2, 1), reg=ufm.WeightDecay(0.05, 0.02))
    flow = ufm.solve(problem, ufm.GradientFlow(t_end=2.0, rtol=1e-10, atol=1e-12, samples=2))
    error = []
    for steps in (40, 80, 160):
        method = ufm.GradientDescent(lr=2.0 / steps, steps=steps, samples=2)
        error.append(float((ufm.solve(problem, method).W - flow.W).norm()))
    order = [math.log2(a / b) for a, b in itertools.pairwise(error)]
    assert order == pytest.approx([1, 1], abs=0.1)


def test_statuses_steps_and_trace():
    problem = ufm.Problem(K=3, d=2, n=(1, 1, 1), loss=ufm.SquaredError(), reg=ufm.NoReg())
    method = ufm.GradientDescent(lr=1.0, steps=50, samples=6)
    calm = ufm.solve(problem, method, seeds=3)
    assert calm.status == (ufm.Status.CONVERGED,) * 3
    assert calm.steps.tolist() == [50] * 3
    assert calm.trace.time.tolist() == sample_steps(method)
    objective = calm.objective()
    norm = flatten(objective, gradient(objective, calm.point)).norm(dim=-1)
    torch.testing.assert_close(calm.grad_norm, norm, rtol=EXACT, atol=EXACT)
    torch.testing.assert_close(calm.trace.rows["value"][:, -1], calm.value)
    wild = ufm.solve(problem, ufm.GradientDescent(lr=1e6, steps=50), seeds=3, throw=False)
    assert set(wild.status) <= {ufm.Status.DIVERGED, ufm.Status.NONFINITE}
    assert wild.trace.rows["value"][:, -1].isnan().all()


@pytest.mark.parametrize(
    ("steps", "samples"), [(1, 1), (1, 100), (7, 3), (1000, 10), (5, 100), (9, 2)]
)
def test_sample_steps(steps, samples):
    taken = sample_steps(ufm.GradientDescent(steps=steps, samples=samples))
    assert taken == sorted(set(taken))
    assert taken[0] == 0
    assert taken[-1] == steps
    assert len(taken) <= max(samples, 2)


def test_alone_and_in_a_batch_are_bitwise_equal():
    problems = [
        ufm.Problem(K=3, d=3, n=n, reg=ufm.WeightDecay(lam, 0.02))
        for n, lam in (((3, 2, 1), 0.1), ((3, 2, 1), 0.001))
    ]
    batch = ufm.solve(problems, ufm.GradientDescent(steps=40))
    alone = ufm.solve(problems[1], ufm.GradientDescent(steps=40))
    assert torch.equal(batch.W[1], alone.W[0])
    assert torch.equal(batch.H[1], alone.H[0])
