"""Brackets in ball arithmetic: they contain the float values, are narrow, and cannot be fooled."""

import builtins
import math
from dataclasses import replace

import pytest
import torch
from certificates.models import MODELS, moved, name, optimum, random_point
from tolerances import EXACT

import ufm
from ufm.certificates import certify


flint = pytest.importorskip("flint", reason="needs python-flint, the extra `rigorous`")

from ufm.certificates import _balls  # noqa: E402
from ufm.certificates.rigorous import bracket  # noqa: E402
from ufm.geometry.frames import frame  # noqa: E402


def single(sol: ufm.Solution):
    return sol.problem, sol.point


@pytest.mark.parametrize("problem", MODELS, ids=name)
class TestEveryModel:
    def test_optimum(self, problem):
        cert = certify(optimum(problem), rigorous=True)
        ((lower, upper),) = cert.bracket
        value = float(cert.primal)
        assert lower <= upper
        assert upper - lower < EXACT
        assert lower <= value + 1e-15
        assert abs(upper - value) <= 1e-15 + 1e-14 * abs(value)

    def test_far_off_points(self, problem):
        best = certify(optimum(problem))
        for M in (problem.K, problem.N):
            point = random_point(problem, M=M, seed=2)
            cert = certify(point, rigorous=True)
            ((lower, upper),) = cert.bracket
            assert lower <= float(best.primal) + EXACT
            assert lower >= float(cert.dual) - EXACT * (1 + float(cert.primal))
            assert upper == pytest.approx(float(cert.primal), rel=EXACT)


def test_the_worked_example():
    # Step 5,5, R=10, E=(1,5): the theory page proves .26167703863699392 + [0, 1.8e-15].
    problem = ufm.Problem(
        K=10, d=9, n=(1,) * 10, weights=ufm.step_weights(K=10, K_A=5, R=10),
        reg=ufm.AverageBudget(1, 5),
    )  # fmt: skip
    ((lower, upper),) = certify(optimum(problem), rigorous=True).bracket
    assert upper - lower < 1e-14
    assert lower <= 0.26167703863699392 + 1.8e-15
    assert upper >= 0.26167703863699392


@pytest.mark.parametrize("bias", [ufm.NoBias(), ufm.FreeBias(), ufm.PenalisedBias(0.01)])
@pytest.mark.parametrize(
    "reg", [ufm.AverageBudget(1, 5), ufm.WeightDecay(2e-3, 2e-4), ufm.VectorBudget(1, 5)]
)
def test_width_at_ten_classes(reg, bias):
    n = ufm.exponential_sizes(K=10, n_max=500, rho=50)
    problem = ufm.Problem(K=10, d=9, n=n, reg=reg, bias=bias)
    sol = ufm.solve(problem, ufm.LBFGS(gtol=1e-9), throw=False)
    ((lower, upper),) = certify(sol, rigorous=True).bracket
    assert 0 <= upper - lower < EXACT


def test_a_perturbed_point_is_proved_not_optimal():
    best = optimum(MODELS[12])
    assert isinstance(best.problem.reg, ufm.AverageBudget)
    ((_, good),) = certify(best, rigorous=True).bracket
    point = moved(best, 1e-3)
    upper = bracket(best.problem, point.point, torch.zeros(3, 3), multipliers=None)[1]
    assert upper > good
    ((lower, _),) = certify(point, rigorous=True).bracket
    assert lower <= good


@pytest.mark.parametrize("problem", MODELS, ids=name)
def test_planted_dual_matrices_never_raise_the_lower_bound(problem):
    best = certify(optimum(problem), rigorous=True)
    upper = best.bracket[0][1]
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(problem.K, problem.K, dtype=torch.float64, generator=generator)
    ones = torch.ones(2, problem.K, dtype=torch.float64)
    for planted in (3 * best.Y, -best.Y, best.Y + noise, best.Y + 1e-3, noise * 1e-3, 0 * noise):
        for multipliers in (best.multipliers, ones, 1e-3 * ones, None):
            lower, _ = bracket(*single(optimum(problem)), planted, multipliers=multipliers)
            assert 0 <= lower <= upper


def test_a_dual_matrix_within_the_ridge_is_not_scaled_up():
    # Above the threshold the optimum is zero and the gradient there is inside the limit.
    problem = ufm.Problem(K=3, d=2, n=(5, 2, 1), reg=ufm.ClassMeanDecay(1.0, 1.0))
    zero = ufm.Solution.from_arrays(problem, torch.zeros(3, 2), torch.zeros(2, 3))
    lower, upper = certify(zero, rigorous=True).bracket[0]
    assert lower <= math.log(3) <= upper
    assert upper - lower < 1e-15


def test_the_lower_end_is_never_below_the_infimum_of_the_losses():
    # The maximum of a ball with zero has a radius of its own.
    problem = ufm.Problem(K=3, d=3, n=(1, 1, 1), reg=ufm.WeightDecay(1e-160, 1e-160))
    eye = torch.eye(3, dtype=torch.float64)
    cert = certify(ufm.Solution.from_arrays(problem, eye, eye), rigorous=True)
    assert cert.bracket[0][0] >= 0


def test_infeasible_points_are_scaled_exactly():
    problem = MODELS[12]
    best = optimum(problem)
    over = ufm.Solution.from_arrays(problem, 1.5 * best.W, 1.2 * best.H)
    lower, upper = certify(over, rigorous=True).bracket[0]
    assert over.value < lower
    assert upper == pytest.approx(float(best.value), rel=EXACT)


class TestBalls:
    def test_norm_bound_is_an_upper_bound(self):
        generator = torch.Generator().manual_seed(0)
        for scale in (1e-150, 1.0, 1e150):
            for K in (1, 2, 5, 12):
                A = scale * torch.randn(K, K, dtype=torch.float64, generator=generator)
                for matrix in (A, A[:, :1] * torch.ones(1, K), torch.diag(A[0])):
                    with flint.ctx.workprec(_balls.PRECISION):
                        bound = _balls.norm_bound(_balls.ball_matrix(matrix))
                    norm = float(torch.linalg.matrix_norm(matrix, 2))
                    assert float(bound.upper()) >= norm * (1 - 1e-15)
                    assert float(bound.upper()) <= norm * (1 + 1e-12)

    def test_rounding_is_outwards(self):
        # Ends of more bits than a float has, whose nearest float is on either side.
        with flint.ctx.workprec(_balls.PRECISION):
            for k in range(1, 20):
                x = flint.arb(k) / 21
                assert flint.arb(_balls.float_below(x)) <= x.lower()
                assert flint.arb(_balls.float_above(x)) >= x.upper()
                assert _balls.float_above(x) - _balls.float_below(x) < 1e-15
        assert _balls.float_below(flint.arb("nan")) == -math.inf

    @pytest.mark.parametrize("spec", [
        ufm.SimplexETF(E_W=2.5), ufm.OrthogonalFrame(E_W=3.0),
        ufm.ExplicitFrame(((0.1, 2.0, 0.0, 0.0), (1.0, 0.0, -0.3, 0.0), (0.0, 0.0, 1.0, 7.0))),
    ])  # fmt: skip
    def test_frames_enclose_the_float_frames(self, spec):
        rows = _balls.ball_frame(spec, 3, 4).table()
        floats = torch.tensor([[float(x) for x in row] for row in rows], dtype=torch.float64)
        torch.testing.assert_close(floats, frame(spec, 3, 4), rtol=1e-15, atol=1e-300)


F = (1, 2, 5)
CENTERS = ufm.CenterSquaredError.of(F, n=(4, 2, 1), theta=0.3)
TREE = ufm.HAFrame(ufm.Tree.from_nested([[0, 1], 2]), ufm.geometry.Exponential(2.0))


@pytest.mark.parametrize("reg", [ufm.WeightDecay(3e-2, 1e-2), ufm.VectorBudget(0.6, 0.9)])
@pytest.mark.parametrize(
    "classifier",
    [ufm.Learnable(), ufm.Fixed(ufm.OrthogonalFrame()), ufm.Fixed(ufm.MultiCenter(F, 0.3))],
    ids=str,
)
def test_problem_P_is_bracketed(reg, classifier):
    problem = ufm.Problem(K=3, d=11, n=(4, 2, 1), loss=CENTERS, reg=reg, classifier=classifier)
    sol = ufm.polish(ufm.solve(problem))
    cert = certify(sol, rigorous=True)
    ((lower, upper),) = cert.bracket
    assert upper - lower < EXACT
    assert lower <= float(cert.primal[0]) + 1e-15
    assert upper == pytest.approx(float(cert.primal[0]), rel=EXACT)
    far = certify(random_point(problem, M=problem.N, seed=1), rigorous=True)
    assert far.bracket[0][0] <= upper
    assert far.bracket[0][1] == pytest.approx(float(far.primal), rel=EXACT)


def test_problem_P_with_a_fixed_frame_has_the_proved_closed_value():
    """sum_k n_k f_k lam / (2 (g_k + lam S)), one of the printed values."""
    f, n = (1, 2, 3, 5), (40, 20, 8, 3)
    problem = ufm.Problem(
        K=4, d=4, n=n, loss=ufm.CenterSquaredError.of(f, n=n, theta=0.2),
        reg=ufm.WeightDecay(0.0, 1e-3), classifier=ufm.Fixed(ufm.OrthogonalFrame()),
    )  # fmt: skip
    ((lower, upper),) = certify(ufm.polish(ufm.solve(problem)), rigorous=True).bracket
    g = [math.cos(0.2) ** 2 + k * math.sin(0.2) ** 2 for k in f]
    closed = sum(a * b * 1e-3 / (2 * (c + 1e-3 * 119)) for a, b, c in zip(n, f, g, strict=True))
    assert closed == pytest.approx(0.0510281643, abs=1e-10)
    assert lower - 1e-15 <= closed <= upper + 1e-15
    assert upper - lower < EXACT


@pytest.mark.parametrize(
    ("loss", "classifier", "message"),
    [
        (ufm.SoftTargets(TREE, beta=2.0), ufm.Learnable(), "loss must be one of CrossEntropy, "),
        (ufm.CrossEntropy(), ufm.Fixed(TREE), "frame must be one of SimplexETF, .* got HAFrame"),
    ],
)
def test_models_without_balls_are_named(loss, classifier, message):
    problem = ufm.Problem(K=3, d=3, n=(1,) * 3, loss=loss, classifier=classifier,
                          reg=ufm.VectorBudget(1, 4))  # fmt: skip
    point = random_point(problem, M=3, seed=0)
    assert certify(point).bracket is None
    with pytest.raises(ValueError, match=message) as error:
        certify(point, rigorous=True)
    assert "\n" not in str(error.value)


def test_without_flint_the_error_names_the_extra(monkeypatch):
    real = builtins.__import__

    def refuse(module, *args, **kwargs):
        if module == "flint":
            raise ImportError("no flint")
        return real(module, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match="extra `rigorous`"):
        certify(random_point(MODELS[0], M=3, seed=0), rigorous=True)


def test_the_bracket_is_printed_and_indexed():
    sol = optimum(MODELS[0])
    point = type(sol.point)(*(torch.stack([t, t]) for t in sol.point))
    two = replace(
        sol, problems=sol.problems * 2, point=point, value=sol.value.repeat(2),
        code=sol.code.repeat(2), steps=sol.steps.repeat(2), grad_norm=sol.grad_norm.repeat(2),
        seeds=(0, 0), messages=("", ""),
    )  # fmt: skip
    cert = certify(two, rigorous=True)
    assert len(cert.bracket) == 2
    assert cert[-1].bracket == cert.bracket[1:]
    lines = str(cert).splitlines()
    assert len(lines) == 2
    assert all(line.startswith("passed: value") and "proved" in line for line in lines)
    with pytest.raises(IndexError, match="batch of 2, got 2"):
        cert[2]
