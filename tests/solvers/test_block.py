"""The block-symmetric solver against the full one, its derivatives, and what it refuses."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tolerances import CERTIFIED, EXACT

import ufm
from ufm.objective import Objective
from ufm.solvers import block_optimum
from ufm.solvers._block_factors import BlockFactors
from ufm.solvers._factors import Factors, Parts
from ufm.solvers.block import _chart


REGS = [ufm.AverageBudget(1.0, 5.0), ufm.WeightDecay(8e-3, 3e-3), ufm.ClassMeanDecay(0.01, 0.02)]
SIZES = [(9, 9, 2, 2, 2), (4, 4, 4, 4), (7, 1, 3, 1, 7, 1), (5, 3, 2, 1), (6, 6), (3, 1)]


def name(value: object) -> str:
    return type(value).__name__ if isinstance(value, ufm.problem.Regulariser) else str(value)


@pytest.mark.parametrize("reg", REGS, ids=name)
@pytest.mark.parametrize("n", SIZES, ids=name)
@pytest.mark.parametrize("more", [-1, 2])
def test_it_agrees_with_the_full_solver_and_is_certified(reg, n, more):
    problem = ufm.Problem(K=len(n), d=len(n) + more, n=n, reg=reg)
    sol, full = block_optimum(problem), ufm.polish(ufm.solve(problem))
    assert sol.status == (ufm.Status.CONVERGED,)
    torch.testing.assert_close(sol.value, full.value, rtol=EXACT, atol=EXACT)
    assert float(ufm.distance(sol[0].geometry, full[0].geometry)) < 1e-6
    assert bool(ufm.certify(sol).passed.all())


@given(n=st.lists(st.sampled_from([20, 5, 1]), min_size=3, max_size=7), s=st.floats(0.1, 6.0))
def test_it_is_certified_for_any_sizes_and_budget(n, s):
    problem = ufm.Problem(K=len(n), d=len(n), n=tuple(n), reg=ufm.AverageBudget(s, s))
    assert bool(ufm.certify(block_optimum(problem)).passed.all())


@pytest.mark.parametrize("reg", REGS, ids=name)
def test_its_objective_is_the_full_one_and_its_derivatives_are_right(reg):
    problem = ufm.Problem(K=6, d=6, n=(7, 2, 7, 2, 2, 1), reg=reg)
    objective = Objective.stack([problem], 6)
    factors = BlockFactors.of(objective)
    chart = _chart(objective, factors)
    generator = torch.Generator().manual_seed(2)
    X, V = torch.randn(2, 1, 7, 3, generator=generator, dtype=torch.float64)
    X[:, 3, 2] = V[:, 3, 2] = 0.0  # a single class has no t
    X = X.requires_grad_()
    x, v = Parts(X, None), Parts(V, None)
    value, grad = factors.value_and_grad(x)
    (expected,) = torch.autograd.grad(value.sum(), X)
    torch.testing.assert_close(grad.X.detach(), expected, rtol=EXACT, atol=EXACT)
    _, product = torch.autograd.functional.hvp(
        lambda X: factors.value_and_grad(Parts(X, None))[0].sum(), X, V
    )
    torch.testing.assert_close(factors.hessian(x)(v).X.detach(), product, rtol=1e-11, atol=1e-11)
    # The same value on all classes: d = 6 holds all axes. Its ridge is for balanced factors.
    full = factors.point(Parts(X.detach(), None))
    risk = objective.risk(objective.logits(full))
    bare = value if factors.s is None else value - factors.s / 2 * X.square().sum()
    torch.testing.assert_close(risk, bare.detach(), rtol=1e-11, atol=0)
    assert chart.rows == 7


def test_parts_undo_point():
    problem = ufm.Problem(K=6, d=6, n=(7, 2, 7, 2, 2, 1), reg=REGS[1])
    objective = Objective.stack([problem], 6)
    factors = BlockFactors.of(objective)
    sol = ufm.solve(problem, ufm.LBFGS(start="random"))
    back = factors.point(factors.parts(sol.point))
    torch.testing.assert_close(back.W @ back.H, sol.Z, rtol=1e-5, atol=1e-5)  # gtol of L-BFGS
    again = factors.point(factors.parts(back))
    torch.testing.assert_close(again.W @ again.H, back.W @ back.H, rtol=1e-10, atol=1e-10)
    assert isinstance(factors.whole, Factors)


def test_a_thousand_classes():
    weights = ufm.step_weights(K=1000, K_A=300, R=3.0)
    problem = ufm.Problem(
        K=1000, d=999, n=(1,) * 1000, weights=weights, reg=ufm.AverageBudget(2.0, 9.0)
    )
    sol = block_optimum(problem)
    assert sol.status == (ufm.Status.CONVERGED,)
    assert sol.W.shape == (1, 1000, 999)
    # First-order bound by hand: one singular value, no certificate of a 1000 x 1000 problem.
    objective = sol.objective()
    G = objective.risk_grad(sol.Z)[0]
    bound = torch.linalg.matrix_norm(G, 2) * problem.radius
    assert float((sol.Z[0] * G).sum() + bound) < CERTIFIED * 10  # raw gap, first order


def test_a_batch_of_problems_with_the_same_groups():
    problems = [
        ufm.Problem(K=5, d=4, n=(R, R, 1, 1, 1), reg=ufm.AverageBudget(1, E))
        for R, E in ((2, 1.0), (9, 5.0), (300, 5.0))
    ]
    sol = block_optimum(problems)
    for i, problem in enumerate(problems):
        torch.testing.assert_close(sol.value[i], block_optimum(problem).value[0], rtol=0, atol=0)


@pytest.mark.parametrize(
    "fields",
    [
        {"d": 3}, {"reg": ufm.VectorBudget()}, {"loss": ufm.SquaredError()},
        {"bias": ufm.FreeBias()}, {"classifier": ufm.Fixed(ufm.SimplexETF())},
        {"reg": ufm.WeightDecay(1e-3, 0.0)},
    ],
    ids=str,
)  # fmt: skip
def test_what_it_refuses(fields):
    problem = ufm.Problem(**({"K": 5, "d": 4, "n": (3, 3, 1, 1, 1)} | fields))
    with pytest.raises(ValueError, match="problem must be cross-entropy with average budgets"):
        block_optimum(problem)


def test_groups_must_be_equal_in_a_batch():
    one, two = (ufm.Problem(K=3, d=2, n=n) for n in ((2, 2, 1), (2, 1, 1)))
    with pytest.raises(ValueError, match="same groups"):
        block_optimum([one, two])
