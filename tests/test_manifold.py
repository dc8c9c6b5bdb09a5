"""Projection, retraction and the Riemannian derivatives on every kind of constraint set."""

from __future__ import annotations

import pytest
import torch
from tolerances import EXACT
from torch.autograd.functional import jvp

from ufm.geometry import SimplexETF, frame
from ufm.losses import CrossEntropy, DotRegression, SquaredError
from ufm.manifold import (
    flatten,
    gaussian,
    gradient,
    hvp,
    multipliers,
    project,
    raise_index,
    retract,
    unflatten,
)
from ufm.objective import Objective, Point
from ufm.problem import (
    AverageBudget,
    Fixed,
    FreeBias,
    Learnable,
    NoReg,
    PenalisedBias,
    Problem,
    Sphere,
    VectorBudget,
    WeightDecay,
)


REGS = [
    WeightDecay(0.01, 0.02),
    NoReg(),
    AverageBudget(E_W=2.0, E_H=3.0),
    VectorBudget(E_W=2.0, E_H=3.0),
    Sphere(E_W=2.0, E_H=3.0),
]


def objective_of(reg, **fields):
    problem = Problem(K=3, d=2, n=(3, 2, 1), reg=reg, **{"bias": FreeBias(), **fields})
    return Objective.stack([problem, problem], problem.N)


def inner(a: Point, b: Point) -> torch.Tensor:
    return torch.stack([(s * t).flatten(1).sum(-1) for s, t in zip(a, b, strict=True)]).sum(0)


def direction(objective: Objective, x: Point) -> Point:
    return project(objective, x, Point(*(torch.randn_like(t) for t in x)))


@pytest.mark.parametrize("classifier", [Learnable(), Fixed(SimplexETF(E_W=2.0))])
@pytest.mark.parametrize("reg", REGS, ids=lambda reg: type(reg).__name__)
def test_projection_is_an_orthogonal_projection(reg, classifier):
    objective = objective_of(reg, classifier=classifier)
    x = gaussian(objective, (0, 1))
    v, w = (Point(*(torch.randn_like(t) for t in x)) for _ in range(2))
    once = project(objective, x, v)
    torch.testing.assert_close(project(objective, x, once), once, rtol=EXACT, atol=EXACT)
    torch.testing.assert_close(
        inner(once, w), inner(v, project(objective, x, w)), rtol=EXACT, atol=EXACT
    )


@pytest.mark.parametrize("reg", REGS[2:], ids=lambda reg: type(reg).__name__)
def test_tangent_directions_keep_the_budgets_to_first_order(reg):
    objective = objective_of(reg)
    x = gaussian(objective, (0, 1))
    v = direction(objective, x)
    _, change = jvp(lambda *p: torch.cat(objective.used(Point(*p)), -1), tuple(x), tuple(v))
    torch.testing.assert_close(change, torch.zeros_like(change), rtol=0, atol=EXACT)


@pytest.mark.parametrize("classifier", [Learnable(), Fixed(SimplexETF(E_W=2.0))])
@pytest.mark.parametrize("reg", REGS[2:], ids=lambda reg: type(reg).__name__)
def test_retraction_uses_every_budget_exactly(reg, classifier):
    objective = objective_of(reg, classifier=classifier)
    x = gaussian(objective, (3, 4))
    moved = retract(objective, Point(*(s + 0.3 * torch.randn_like(s) for s in x)))
    used_H = objective.used(moved)[1]
    torch.testing.assert_close(used_H, torch.ones_like(used_H), rtol=EXACT, atol=0)
    if objective.template.is_learnable:
        used_W = objective.used(moved)[0]
        torch.testing.assert_close(used_W, torch.ones_like(used_W), rtol=EXACT, atol=0)


@pytest.mark.parametrize("loss", [CrossEntropy(), SquaredError(), DotRegression(s=2.0)])
@pytest.mark.parametrize("reg", REGS, ids=lambda reg: type(reg).__name__)
def test_hessian_product_is_the_covariant_derivative_of_the_gradient(reg, loss):
    # On a submanifold of flat space: Hess[v] = P D_v(P grad f), also away from critical points.
    objective = objective_of(reg, loss=loss, bias=PenalisedBias(0.1))
    x = gaussian(objective, (5, 6), scale=2.0)
    v = direction(objective, x)
    derivative = jvp(lambda *p: tuple(gradient(objective, Point(*p))), tuple(x), tuple(v))[1]
    expected = project(objective, x, Point(*derivative))
    torch.testing.assert_close(hvp(objective, x, v), expected, rtol=EXACT, atol=EXACT)


def test_the_curvature_of_the_budget_matters():
    # Negative control: without the multiplier term the product is wrong.
    objective = objective_of(AverageBudget(E_W=2.0, E_H=3.0))
    x = gaussian(objective, (5, 6))
    v = direction(objective, x)
    flat = project(objective, x, objective.hvp(x, v))
    curved = hvp(objective, x, v)
    flat, curved = flatten(objective, flat), flatten(objective, curved)
    assert bool(((flat - curved).norm(dim=-1) > 0.01 * curved.norm(dim=-1)).all())


def test_multipliers_at_the_balanced_optimum():
    # There mu = |G|_op sqrt(E_H/E_W) on W: the gradient G H' = -mu W (etf_lpm.md 3.2).
    K, E_W, E_H = 4, 3.0, 2.0
    problem = Problem(K=K, d=K - 1, n=(1,) * K, reg=AverageBudget(E_W=E_W, E_H=E_H))
    objective = Objective.stack([problem], K)
    W = objective_frame(K, E_W)
    x = Point(W, (E_H / E_W) ** 0.5 * W.mT, W.new_zeros(1, K))
    G = objective.risk_grad(objective.logits(x))
    mu_W, mu_H = multipliers(objective, x, raise_index(objective, objective.grad(x)))
    op = torch.linalg.matrix_norm(G, 2)
    torch.testing.assert_close(-mu_W.flatten(), op * (E_H / E_W) ** 0.5, rtol=EXACT, atol=0)
    torch.testing.assert_close(-mu_H.flatten(), op * (E_W / E_H) ** 0.5, rtol=EXACT, atol=0)
    assert float(flatten(objective, gradient(objective, x)).norm()) < EXACT


def objective_frame(K: int, E_W: float) -> torch.Tensor:
    return frame(SimplexETF(E_W=E_W), K, K - 1).unsqueeze(0)


@pytest.mark.parametrize("reg", REGS, ids=lambda reg: type(reg).__name__)
def test_class_means_behave_as_samples_that_equal_them(reg):
    # The metric counts a class mean once per sample, so lifting commutes with everything.
    problem = Problem(K=3, d=2, n=(3, 2, 1), reg=reg, bias=FreeBias())
    means, samples = (Objective.stack([problem], M) for M in (problem.K, problem.N))

    def lift(v: Point) -> Point:
        return Point(v.W, v.H[..., samples.y], v.b)

    x = gaussian(means, (5,), scale=2.0)
    v = direction(means, x)
    for short, long in [
        (gradient(means, x), gradient(samples, lift(x))),
        (hvp(means, x, v), hvp(samples, lift(x), lift(v))),
        (retract(means, v), retract(samples, lift(v))),
    ]:
        torch.testing.assert_close(lift(short), long, rtol=EXACT, atol=EXACT)
        torch.testing.assert_close(
            flatten(means, short).norm(), flatten(samples, long).norm(), rtol=EXACT, atol=EXACT
        )


def test_flat_coordinates_round_trip():
    problem = Problem(K=3, d=2, n=(3, 2, 1), bias=FreeBias())
    objective = Objective.stack([problem] * 2, problem.K)
    x = gaussian(objective, (0, 1))
    assert_same(unflatten(objective, flatten(objective, x)), x)


def assert_same(a: Point, b: Point) -> None:
    torch.testing.assert_close(a, b, rtol=EXACT, atol=0)


def test_gaussian_points_do_not_depend_on_the_batch():
    problem = Problem(K=3, d=2, n=(3, 2, 1), reg=AverageBudget())
    alone = gaussian(Objective.stack([problem], problem.N), (7,))
    batch = gaussian(Objective.stack([problem] * 3, problem.N), (6, 7, 8))
    assert all(torch.equal(s[0], t[1]) for s, t in zip(alone, batch, strict=True))


def test_gaussian_asks_for_a_seed_an_instance():
    problem = Problem(K=3, d=2, n=(3, 2, 1))
    with pytest.raises(ValueError, match="seeds must hold one seed an instance, got 1 for 2"):
        gaussian(Objective.stack([problem] * 2, problem.N), (0,))
