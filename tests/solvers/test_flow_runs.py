"""Gradient flow as a solver: batches, samples in time, tolerances, statuses, observables."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from solvers.flows import MODELS, N, flow, rows
from tolerances import CERTIFIED, EXACT, SOLVED

import ufm
from ufm.losses import Loss, SquaredError
from ufm.manifold import flatten, gaussian, unflatten
from ufm.methods import GradientFlow
from ufm.objective import Objective, Point
from ufm.problem import (
    AverageBudget,
    FreeBias,
    NoReg,
    Problem,
    WeightDecay,
)
from ufm.solvers.flow import run, sample_times
from ufm.solvers.observables import observe
from ufm.status import Status


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
