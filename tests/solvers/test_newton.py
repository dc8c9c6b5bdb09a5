"""Newton and polish: order of convergence, trust region, what is never made worse."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tolerances import CERTIFIED, EXACT

import ufm
from ufm.objective import Objective
from ufm.solvers._manifolds import chart_of
from ufm.solvers._trust_region import steihaug


REGS = {
    "average": ufm.AverageBudget(1.0, 3.0),
    "vector": ufm.VectorBudget(1.0, 3.0),
    "sphere": ufm.Sphere(1.0, 3.0),
    "ridge": ufm.WeightDecay(1e-3, 2e-3),
    "class-mean ridge": ufm.ClassMeanDecay(1e-2, 5e-3),
}


def problem(n=(17, 9, 4, 2, 1), d=4, reg=REGS["average"], **fields) -> ufm.Problem:
    return ufm.Problem(K=len(n), d=d, n=n, reg=reg, **fields)


@pytest.mark.parametrize("reg", REGS.values(), ids=REGS)
@pytest.mark.parametrize("bias", [ufm.NoBias(), ufm.FreeBias()], ids=["none", "free"])
@pytest.mark.parametrize("d", [4, 7])
def test_a_few_steps_from_lbfgs_reach_rounding_level(reg, bias, d):
    rough = ufm.solve(problem(d=d, reg=reg, bias=bias))
    sol = ufm.polish(rough)
    assert sol.status == (ufm.Status.CONVERGED,)
    assert int(sol.steps[0]) <= 8
    assert float(sol.grad_norm[0]) < 1e-12
    assert -1e-15 <= float((rough.value - sol.value)[0]) < CERTIFIED


def test_convergence_is_quadratic():
    errors = []
    for steps in range(1, 9):
        sol = ufm.solve(problem(), ufm.Newton(max_steps=steps), throw=False)
        errors.append(float(sol.grad_norm[0]))
    fast = [(a, b) for a, b in itertools.pairwise(errors) if 1e-7 < a < 1e-3]
    assert len(fast) >= 2
    # |g+| <= C |g|^2 with one C over two and a half decades of |g|: the order is two.
    assert all(b < 200 * a**2 for a, b in fast)
    assert errors[-1] < 1e-12


def test_newton_from_the_frame_agrees_with_lbfgs():
    problems = [problem(n) for n in ((5, 4, 3, 2, 1), (90, 30, 9, 3, 1), (7, 7, 7, 1, 1))]
    newton, lbfgs = ufm.solve(problems, ufm.Newton()), ufm.solve(problems)
    torch.testing.assert_close(newton.value, lbfgs.value, rtol=CERTIFIED, atol=0)
    assert bool((newton.value <= lbfgs.value + 1e-15).all())


@given(
    n=st.lists(st.integers(1, 60), min_size=4, max_size=4),
    noise=st.sampled_from([1e-8, 1e-4, 1e-1, 1.0]),
    reg=st.sampled_from(list(REGS.values())),
    seed=st.integers(0, 99),
)
def test_polish_never_makes_a_point_worse(n, noise, reg, seed):
    # From anywhere, in or out of the budgets: not above the point moved into its budgets.
    generator = torch.Generator().manual_seed(seed)
    base = ufm.solve(problem(tuple(n), d=3, reg=reg))
    W, H = (t[0] + noise * torch.randn(t.shape[1:], generator=generator, dtype=torch.float64)
            for t in (base.W, base.H))  # fmt: skip
    given_point = ufm.Solution.from_arrays(base.problem, W, H)
    sol = ufm.polish(given_point)
    assert sol.batch_shape == torch.Size([])
    if not isinstance(reg, ufm.Sphere):
        assert float(given_point.objective().infeasibility(sol.point)) <= 1e-15
        assert float(sol.value) >= float(base.value[0]) - 1e-9
    if float(given_point.objective().infeasibility(given_point.point)) == 0:
        assert float(sol.value) <= float(given_point.value) + 1e-14


def test_polish_keeps_batches_single_instances_and_columns():
    batch = ufm.solve([problem(), problem((1,) * 5)], seeds=2)
    polished = ufm.polish(batch)
    assert polished.batch_shape == (4,)
    assert polished.seeds == batch.seeds
    assert polished.method == ufm.Newton()
    single = ufm.polish(batch[3])
    assert single.batch_shape == ()
    assert single.problem == batch[3].problem
    assert torch.equal(single.W, polished.W[3])
    flow = ufm.GradientDescent(steps=30)
    samples = ufm.solve(problem((4, 3, 2, 2, 1)), flow)
    after = ufm.polish(samples)
    assert after.H.shape == samples.H.shape == (1, 4, 12)
    optimum = ufm.solve(problem((4, 3, 2, 2, 1)))
    assert float(after.value[0]) == pytest.approx(float(optimum.value[0]), rel=CERTIFIED)


def test_an_exact_optimum_stays():
    once = ufm.polish(ufm.solve(problem()))
    twice = ufm.polish(once)
    assert int(twice.steps[0]) == 0
    torch.testing.assert_close(twice.Z, once.Z, rtol=EXACT, atol=EXACT)


def test_a_quartic_minimum_is_reported_as_not_converged():
    # Dot regression on the sphere has a zero Hessian at its optimum: Newton is linear there.
    dr = problem(
        reg=ufm.Sphere(1.0, 1.0), loss=ufm.DotRegression(s=1.0),
        classifier=ufm.Fixed(ufm.SimplexETF()),
    )  # fmt: skip
    rough = ufm.solve(dr, ufm.LBFGS(gtol=1e-4))
    sol = ufm.polish(rough, ufm.Newton(max_steps=4, gtol=1e-30))
    assert sol.status == (ufm.Status.MAX_STEPS,)
    assert 0 < float(sol.value[0]) < float(rough.value[0])


@pytest.mark.parametrize(
    "reg", [ufm.WeightDecay(5e-6, 5e-6), ufm.AverageBudget(99, 99), ufm.VectorBudget(10, 40)]
)
def test_valleys_of_minimisers_do_not_stop_it(reg):
    # d = K - 1 loses one of the equal minority classes, or a mixture of them: near the valley the
    # Hessian along it is tiny and of either sign.
    n = ufm.step_sizes(K=6, K_A=3, n_max=500, rho=100)
    flat = problem(n, d=5, reg=reg, loss=ufm.SquaredError())
    sol = ufm.polish(ufm.solve(flat))
    assert sol.status == (ufm.Status.CONVERGED,)
    assert int(sol.steps[0]) <= 8
    assert float(sol.grad_norm[0]) < 1e-12


def test_a_problem_without_a_minimiser_is_refused():
    bare = problem(reg=ufm.NoReg())
    point = ufm.Solution.from_arrays(bare, torch.ones(5, 4), torch.ones(4, 5))
    with pytest.raises(ValueError, match="problem must have a minimiser"):
        ufm.polish(point)


def test_polish_does_not_trust_the_status_or_value_it_is_given():
    sol = ufm.solve(problem())
    liar = replace(sol, value=sol.value - 1, code=torch.full((1,), ufm.Status.NONFINITE.code))
    torch.testing.assert_close(ufm.polish(liar).value, sol.value, rtol=CERTIFIED, atol=0)


class TestSteihaug:
    @staticmethod
    def run(eigenvalues: list[float], radius: float, seed: int = 0):
        generator = torch.Generator().manual_seed(seed)
        P = len(eigenvalues)
        Q, _ = torch.linalg.qr(torch.randn(P, P, dtype=torch.float64, generator=generator))
        A = Q @ torch.diag(torch.tensor(eigenvalues, dtype=torch.float64)) @ Q.mT
        g = torch.randn(1, P, dtype=torch.float64, generator=generator)
        p, predicted = steihaug(
            lambda v: v @ A, g, radius=torch.tensor([radius], dtype=torch.float64),
            tolerance=torch.tensor([1e-13]).double(), active=torch.tensor([True]), max_cg=50,
        )  # fmt: skip
        torch.testing.assert_close(
            predicted[0], -(g @ p.mT + p @ A @ p.mT / 2)[0, 0], rtol=1e-10, atol=EXACT
        )
        return A, g, p

    def test_inside_it_is_the_newton_step(self):
        A, g, p = self.run([1.0, 2.0, 5.0, 0.1], radius=1e3)
        torch.testing.assert_close(p[0], torch.linalg.solve(A, -g[0]), rtol=1e-9, atol=1e-9)

    def test_long_steps_end_on_the_boundary(self):
        _, g, p = self.run([1.0, 2.0, 5.0, 0.1], radius=0.05)
        assert float(p.norm()) == pytest.approx(0.05, rel=EXACT)
        assert float((g * p).sum()) < 0

    def test_negative_curvature_is_followed_to_the_boundary(self):
        A, g, p = self.run([1.0, -2.0, 0.5, 3.0], radius=2.0)
        assert float(p.norm()) == pytest.approx(2, rel=EXACT)
        cauchy = -2 * g / g.norm()
        assert float(g @ p.mT + p @ A @ p.mT / 2) <= float(
            (g @ cauchy.mT + cauchy @ A @ cauchy.mT / 2).clamp(max=0)
        )

    def test_a_flat_direction_without_gradient_is_left_alone(self):
        A = torch.diag(torch.tensor([0.0, 1.0, 2.0]).double())
        p, _ = steihaug(
            lambda v: v @ A, torch.tensor([[0.0, 1.0, 1.0]]).double(),
            radius=torch.tensor([9.0]).double(), tolerance=torch.tensor([1e-13]).double(),
            active=torch.tensor([True]), max_cg=20,
        )  # fmt: skip
        torch.testing.assert_close(p[0], torch.tensor([0.0, -1.0, -0.5]).double())

    def test_inactive_instances_do_not_move(self):
        p, predicted = steihaug(
            lambda v: v, torch.ones(2, 3).double(), radius=torch.ones(2).double() * 9,
            tolerance=torch.zeros(2).double() + 1e-12, active=torch.tensor([True, False]),
            max_cg=9,
        )  # fmt: skip
        assert p[1].abs().max() == 0
        assert predicted.tolist() == pytest.approx([1.5, 0.0])


def test_saddles_are_left():
    # Rank one of a possible three: a strict saddle with a small gradient, exactly critical if the
    # rest is zero; with a little noise the trust region follows the negative curvature down.
    instance = ufm.Problem(K=4, d=3, n=(5,) * 4, reg=ufm.WeightDecay(0.004, 0.009))
    low = ufm.polish(ufm.solve(replace(instance, d=1), ufm.LBFGS(start="random"), seeds=4))
    low = low[int(low.value.argmin())]
    assert float(low.value) == pytest.approx(0.7692464060, abs=CERTIFIED)
    noise = 1e-3 * torch.randn(2, 12, generator=torch.Generator().manual_seed(0)).double()
    W = torch.nn.functional.pad(low.W, (0, 2)) + noise[0].view(4, 3)
    H = torch.nn.functional.pad(low.H, (0, 0, 0, 2)) + noise[1].view(3, 4)
    sol = ufm.polish(ufm.Solution.from_arrays(instance, W, H))
    assert float(sol.value) == pytest.approx(0.21295367823514733, abs=CERTIFIED)


def test_curvature_scale_is_the_multiplier():
    # At an average-budget optimum mu is the multiplier: dF*/dtau = -mu.
    def value(E):
        return ufm.polish(ufm.solve(problem(reg=ufm.AverageBudget(E, E)))).value[0]

    sol = ufm.polish(ufm.solve(problem(reg=ufm.AverageBudget(1.0, 1.0))))
    chart = chart_of(Objective.stack(sol.problems, 5))
    mu = chart.value_and_grad(chart.coordinates(sol.point))[2][0]
    h = 1e-4
    slope = (value(1 + h) - value(1 - h)) / (2 * h * 5)
    assert float(mu) == pytest.approx(-float(slope), rel=1e-6)  # central difference, h^2
    assert math.isfinite(float(mu))
