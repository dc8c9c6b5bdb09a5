"""Hessian against autograd, counted null spaces, published saddles, closed spectra, escapes."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from tolerances import CERTIFIED, EXACT, SOLVED
from torch.autograd.functional import hessian as autograd_hessian

import ufm
import ufm.landscape
from ufm.landscape import (
    Hessian,
    eigenvalues,
    escape,
    lowest,
    nullity,
    orbit,
    strict_saddle,
    unused_direction,
)
from ufm.manifold import flatten, gaussian, unflatten
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
from ufm.solution import Solution
from ufm.solvers import R0
from ufm.status import Status


REGS = [WeightDecay(0.01, 0.02), ClassMeanDecay(0.01, 0.02), NoReg(), AverageBudget(2, 3)]
REGS += [VectorBudget(2, 3), Sphere(2, 3)]
by_reg = pytest.mark.parametrize("reg", REGS, ids=lambda reg: type(reg).__name__)
# catalogue.md ce-ridge-etf and ce-strict-saddle.
BALANCED = Problem(K=4, d=6, n=(5,) * 4, reg=WeightDecay(0.004, 0.009))


def given(problem: Problem, *, M: int | None = None, seed: int = 5, scale: float = 2.0) -> Solution:
    objective = Objective.stack([problem], M or problem.N)
    x = gaussian(objective, (seed,), scale=scale)
    return Solution.from_arrays(problem, *(part[0] for part in x))


def refined(problem: Problem, start: Point | None = None) -> Solution:
    """The optimum to rounding: L-BFGS, then Newton steps on the pseudo-inverse Hessian."""
    sol = ufm.solve(problem, ufm.LBFGS(gtol=1e-8), start=start, throw=False)[0]
    for _ in range(4):
        here = Hessian.at(sol)
        x = flatten(here.objective, here.x)
        slope = flatten(here.objective, ufm.manifold.gradient(here.objective, here.x))
        newton = -(torch.linalg.pinv(here.dense(), rtol=1e-8) @ slope.mT).mT
        moved = ufm.manifold.retract(here.objective, unflatten(here.objective, x + newton))
        sol = Solution.from_arrays(problem, *(part[0] for part in moved))
    return sol


def embedded(rank: int, d: int) -> Solution:
    """The optimum of ``BALANCED`` in ``rank`` dimensions, as a critical point in ``d``."""
    problem = Problem(K=4, d=d, n=BALANCED.n, reg=BALANCED.reg)
    if rank == 0:
        return Solution.from_arrays(problem, torch.zeros(4, d), torch.zeros(d, 4))
    low = refined(Problem(K=4, d=rank, n=BALANCED.n, reg=BALANCED.reg))
    W, H = torch.zeros(4, d).double(), torch.zeros(d, 4).double()
    W[:, :rank], H[:rank] = low.W, low.H
    return Solution.from_arrays(problem, W, H)


@by_reg
@pytest.mark.parametrize("loss", [ufm.CrossEntropy(), ufm.SquaredError(), ufm.DotRegression(2.0)])
def test_dense_matrix_is_autograds_on_the_tangent_space(reg, loss):
    # Second derivative of the Lagrangian, projected; multipliers by least squares.
    problem = Problem(K=3, d=2, n=(3, 2, 1), loss=loss, reg=reg, bias=PenalisedBias(0.1))
    here = Hessian.at(given(problem))
    objective, x = here.objective, flatten(here.objective, here.x)[0]

    def value(x: torch.Tensor) -> torch.Tensor:
        return objective.value(unflatten(objective, x.unsqueeze(0)))[0]

    def constraints(x: torch.Tensor) -> torch.Tensor:
        return torch.cat(objective.used(unflatten(objective, x.unsqueeze(0))), -1)[0]

    second = autograd_hessian(value, x)
    tangent = torch.eye(len(x)).double()
    if problem.is_budgeted:
        normals = torch.autograd.functional.jacobian(constraints, x)
        slope = torch.autograd.functional.jacobian(value, x)
        multiplier = torch.linalg.lstsq(normals.mT, slope.unsqueeze(-1)).solution.squeeze(-1)
        second = second - autograd_hessian(lambda x: constraints(x) @ multiplier, x)
        tangent = tangent - torch.linalg.pinv(normals) @ normals
    expected = tangent @ second @ tangent
    scale = float(expected.abs().max())
    torch.testing.assert_close(here.dense(), expected, rtol=0, atol=EXACT * scale)
    v = torch.randn(len(x), 2).double()
    torch.testing.assert_close(here @ v, expected @ v, rtol=0, atol=10 * EXACT * scale)


@by_reg
@pytest.mark.parametrize("classifier", [ufm.Learnable(), Fixed(ufm.SimplexETF(2.0))])
@pytest.mark.parametrize("bias", [ufm.NoBias(), FreeBias()])
def test_tangent_dimension_is_the_rank_of_the_projection(reg, classifier, bias):
    problem = Problem(K=3, d=2, n=(2, 1, 1), reg=reg, bias=bias, classifier=classifier)
    here = Hessian.at(given(problem))
    eye = torch.eye(here.size).double()
    projection = flatten(here.objective, here.tangent(unflatten(here.objective, eye)))
    assert here.tangent_dimension == round(float(projection.trace()))
    assert len(eigenvalues(here)) == here.tangent_dimension


@by_reg
def test_spectrum_is_invariant_under_rotation(reg):
    problem = Problem(K=3, d=4, n=(3, 2, 1), reg=reg)
    sol = given(problem)
    R = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64))[0]
    turned = Solution.from_arrays(problem, sol.W @ R, R.mT @ sol.H)
    ours, theirs = eigenvalues(Hessian.at(sol)), eigenvalues(Hessian.at(turned))
    torch.testing.assert_close(ours, theirs, rtol=CERTIFIED, atol=EXACT)


@by_reg
def test_class_means_have_part_of_the_spectrum_of_samples(reg):
    # Moves that keep samples of a class equal are invariant where samples are equal.
    problem = Problem(K=3, d=2, n=(3, 2, 1), reg=reg, bias=FreeBias())
    short = given(problem, M=3)
    long = Solution.from_arrays(problem, short.W, short.H[:, list(problem.labels(6))], short.b)
    ours, theirs = eigenvalues(Hessian.at(short)), eigenvalues(Hessian.at(long))
    nearest = (ours[:, None] - theirs).abs().amin(-1)
    assert float(nearest.max()) < EXACT * 10 * float(theirs.abs().max())


@pytest.mark.parametrize(
    ("problem", "count"),
    [
        (Problem(K=4, d=6, n=(5,) * 4, reg=AverageBudget(3, 2)), 12),
        (BALANCED, 12),
        (Problem(K=4, d=3, n=(5,) * 4, reg=AverageBudget(3, 2)), 3),
        (
            Problem(
                K=10, d=16, n=(1,) * 10, reg=AverageBudget(1, 5),
                weights=ufm.step_weights(K=10, K_A=5, R=10.0),
            ),
            99,
        ),
        (Problem(K=4, d=6, n=(5,) * 4, reg=WeightDecay(0.004, 0.009), bias=FreeBias()), 13),
    ],
)  # fmt: skip
def test_nullity_at_the_optimum_is_the_dimension_of_the_orbit(problem, count):
    # d(d-1)/2 - (d-r)(d-r-1)/2 with r = K-1; one more for the shift of a free bias.
    here = Hessian.at(refined(problem))
    moves = orbit(here)
    assert moves.shape[-1] == nullity(here) == count
    scale = float(eigenvalues(here).max())
    assert float((here @ moves).abs().max()) < CERTIFIED * scale
    pair = lowest(here)
    assert pair.value > 1e-6
    assert pair.residual < CERTIFIED


@pytest.mark.parametrize("d", [4, 6])
@pytest.mark.parametrize(
    ("rank", "value", "curvature"),
    [
        (0, math.log(4), -0.1053313462),
        (1, 0.7692464060, -0.0944545145),
        (2, 0.2471083173, -0.0054426056),
    ],
)
def test_strict_saddles_of_the_catalogue(rank, value, curvature, d):
    sol = embedded(rank, d)
    here = Hessian.at(sol)
    assert float(sol.value) == pytest.approx(value, abs=1e-10)
    assert float(sol.grad_norm) < CERTIFIED
    pair = strict_saddle(here)
    assert pair.value == pytest.approx(curvature, abs=1e-10)
    assert pair.residual < EXACT
    # On samples G has the norm of G D^{-1/2} on class means.
    G = here.objective.risk_grad(sol.Z.unsqueeze(0))[0] / 5**0.5
    g, lW, lH = float(torch.linalg.matrix_norm(G, 2)), 0.004, 0.009
    formula = (lW + lH) / 2 - math.hypot((lW - lH) / 2, g)
    assert pair.value == pytest.approx(formula, rel=CERTIFIED)
    assert lowest(here).value <= pair.value + EXACT


def test_away_from_critical_points_rotations_are_not_null():
    # Negative control of the counted null space.
    here = Hessian.at(given(BALANCED, M=4))
    assert orbit(here).shape[-1] > nullity(here)


def test_the_optimum_is_no_strict_saddle():
    pair = strict_saddle(Hessian.at(refined(BALANCED)))
    # |G|_op = sqrt(lW lH) there: curvature exactly zero, in the orbit.
    assert abs(pair.value) < CERTIFIED


@by_reg
def test_moves_in_an_unused_direction_are_invariant_everywhere(reg):
    problem = Problem(K=3, d=2, n=(3, 2, 1), reg=reg)
    flat = given(problem)
    W, H = torch.nn.functional.pad(flat.W, (0, 2)), torch.nn.functional.pad(flat.H, (0, 0, 0, 2))
    wide = Problem(K=3, d=4, n=(3, 2, 1), reg=reg)
    here = Hessian.at(Solution.from_arrays(wide, W, H))
    pair = strict_saddle(here)
    assert pair.residual < EXACT
    assert float(flatten(here.objective, Point(*(p[None] for p in pair.direction))).norm()) == (
        pytest.approx(1, rel=EXACT)
    )
    assert float((eigenvalues(here) - pair.value).abs().min()) < EXACT


@pytest.mark.parametrize("d", [3, 5])
def test_spectrum_of_cross_entropy_on_the_sphere(d):
    # etf_lpm.md section 1: K-2 directions a sample inside the span of the frame, the rest outside.
    K, E_W, E_H = 4, 2.0, 3.0
    problem = Problem(
        K=K, d=d, n=(1,) * K, reg=Sphere(E_W, E_H), classifier=Fixed(ufm.SimplexETF(E_W))
    )
    W = ufm.etf(K, d)
    miss = 1 / (1 + math.exp(K * (E_W * E_H) ** 0.5 / (K - 1)) / (K - 1))
    outside = K / (K - 1) * miss * (E_W / E_H) ** 0.5
    inside = outside + K / (K - 1) * E_W * miss / (K - 1)
    here = Hessian.at(Solution.from_arrays(problem, E_W**0.5 * W, E_H**0.5 * W.mT))
    expected = [outside / K] * (K * (d - K + 1)) + [inside / K] * (K * (K - 2))
    np.testing.assert_allclose(eigenvalues(here).numpy(), expected, rtol=EXACT)
    # Rotations off the frame's span fix the features as well: no orbit.
    assert orbit(here).shape[-1] == 0


def test_dot_regression_on_the_sphere_has_no_curvature_at_its_optimum():
    problem = Problem(
        K=4, d=5, n=(1,) * 4, reg=Sphere(2.0, 3.0), loss=ufm.DotRegression(6**0.5),
        classifier=Fixed(ufm.SimplexETF(2.0)),
    )  # fmt: skip
    W = ufm.etf(4, 5)
    optimum = Solution.from_arrays(problem, 2**0.5 * W, 3**0.5 * W.mT)
    assert float(eigenvalues(Hessian.at(optimum)).abs().max()) < EXACT
    # Negative control: next to it there is.
    assert float(eigenvalues(Hessian.at(given(problem))).abs().max()) > SOLVED


def test_rotations_that_move_only_features_are_in_the_orbit():
    # With a fixed frame in d = 5 the span of dimension 3 leaves rotations of a plane.
    problem = Problem(
        K=4, d=5, n=(1,) * 4, reg=WeightDecay(0, 0.1), classifier=Fixed(ufm.SimplexETF())
    )
    assert orbit(Hessian.at(given(problem))).shape[-1] == 1


def test_without_regulariser_the_orbit_is_the_general_linear_one():
    problem = Problem(K=3, d=3, n=(3, 2, 1), reg=NoReg(), loss=ufm.SquaredError())
    A = torch.randn(3, 3, dtype=torch.float64)
    one_hot = torch.eye(3).double()[:, list(problem.labels(6))]
    here = Hessian.at(Solution.from_arrays(problem, A, torch.linalg.inv(A) @ one_hot))
    assert orbit(here).shape[-1] == 9
    assert float((here @ orbit(here)).norm()) < CERTIFIED
    # Positive elsewhere: 18 logits are fitted by 27 variables in 9 redundant directions.
    assert nullity(here) == 9
    assert lowest(here).value > 0


@by_reg
def test_lanczos_agrees_with_the_dense_matrix(reg, monkeypatch):
    problem = Problem(K=5, d=4, n=(4, 3, 2, 1, 1), reg=reg)
    here = Hessian.at(given(problem))
    exact = lowest(here)
    monkeypatch.setattr(ufm.landscape, "DENSE", 0)
    iterated = lowest(here)
    assert iterated.value == pytest.approx(exact.value, rel=CERTIFIED)
    assert iterated.residual < 1e-8  # square root of the accuracy of the value


def test_escapes_lead_from_the_origin_to_the_optimum():
    # Values fall at every escape; from rank r to the optimum of rank r + 1 by descent.
    best = float(refined(BALANCED).value)
    sol, values = embedded(0, 6), [math.log(4)]
    for _ in range(3):
        out = escape(sol)
        assert out.status is Status.GIVEN
        values.append(float(out.value))
        flow = ufm.GradientFlow(t_end=1e5, gtol=1e-6, class_means=True)
        sol = ufm.solve(BALANCED, flow, start=out.point, throw=False)[0]
        values.append(float(sol.value))
    assert all(lower < upper for upper, lower in itertools.pairwise(values))
    assert values[-1] == pytest.approx(best, rel=SOLVED)


@pytest.mark.parametrize("reg", [AverageBudget(2, 3), VectorBudget(2, 3), Sphere(2, 3)])
def test_escapes_stay_on_the_budgets(reg):
    # All of W and H on one line: critical for a balanced pair of two classes, of rank 1 in d = 3.
    problem = Problem(K=4, d=3, n=(1,) * 4, reg=reg)
    w = torch.tensor([1.0, 1.0, -1.0, -1.0]).double()
    W, H = torch.zeros(4, 3).double(), torch.zeros(3, 4).double()
    W[:, 0], H[0] = 2**0.5 * w, 3**0.5 * w
    sol = Solution.from_arrays(problem, W, H)
    assert float(sol.objective().infeasibility(Point(*(p[None] for p in sol.point)))) < EXACT
    out = escape(sol)
    assert out.status is Status.GIVEN
    assert float(out.value) < float(sol.value) - 0.1
    assert float(out.objective().infeasibility(Point(*(p[None] for p in out.point)))) < EXACT


def test_there_is_no_escape_from_the_optimum():
    optimum = refined(Problem(K=4, d=3, n=(5,) * 4, reg=AverageBudget(3, 2)))
    stuck = escape(optimum)
    assert stuck.status is Status.STALLED
    assert torch.equal(stuck.W, optimum.W)


def test_collapsed_minority_is_flat_below_and_curved_above_the_threshold():
    # The multiplier equals pi_B at R0 (etf_lpm.md 3.4): merged minorities are a saddle below it.
    for R, stable in [(3.3, False), (3.5, True)]:
        problem = Problem(
            K=4, d=5, n=(1,) * 4, reg=AverageBudget(1, 1),
            weights=ufm.step_weights(K=4, K_A=2, R=R),
        )  # fmt: skip
        merged = merged_minority(problem)
        here = Hessian.at(merged)
        assert (float(R0(2, 2, problem.radius)) < R) == stable
        assert (lowest(here).value > -CERTIFIED) == stable


def merged_minority(problem: Problem) -> Solution:
    """Critical point with both minority classes equal: symmetric starts stay symmetric."""
    W = torch.tensor([[1, 0.5, 0], [-1, 0.5, 0], [0, -0.5, 0], [0, -0.5, 0]]).double()
    W = torch.nn.functional.pad(W, (0, problem.d - 3))
    start = Point(W, W.mT.clone(), torch.zeros(4).double())
    return refined(problem, start)


def test_bad_input_is_refused():
    problem = Problem(K=3, d=2, n=(3, 2, 1), reg=AverageBudget())
    batch = ufm.solve(problem, seeds=2, throw=False)
    with pytest.raises(ValueError, match="sol must be a single instance, got a batch of 2"):
        Hessian.at(batch)
    with pytest.raises(ValueError, match="no zero vector"):
        Hessian.at(Solution.from_arrays(problem, torch.zeros(3, 2), torch.ones(2, 3)))
    full = Hessian.at(given(problem))
    assert unused_direction(full) is None
    with pytest.raises(ValueError, match=r"rank below d=2"):
        strict_saddle(full)
    fixed = Problem(K=3, d=2, n=(1,) * 3, classifier=Fixed(ufm.SimplexETF()))
    with pytest.raises(ValueError, match="classifier must be learnable"):
        strict_saddle(Hessian.at(given(fixed)))
