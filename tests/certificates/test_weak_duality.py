"""Every bound is a bound: at any point of any model, near or far, feasible or not."""

import hypothesis.strategies as st
import pytest
import torch
from certificates.models import MODELS, moved, name, optimum, random_point
from certificates.strategies import any_problem, powers
from hypothesis import given, settings
from tolerances import CERTIFIED, EXACT, SOLVED

import ufm
from ufm.certificates import certify


def assert_sound(cert, best: float):
    """Non-negative gaps, a dual below a known feasible value, and a gap that is their distance."""
    size = 1 + cert.primal.abs()
    assert cert.gap >= -cert.margin
    assert cert.raw_gap >= -cert.margin - EXACT * size
    assert cert.gap <= cert.raw_gap + cert.margin
    assert cert.dual <= best + EXACT * (1 + abs(best)) + cert.margin
    assert cert.primal >= best - EXACT * (1 + abs(best))
    # The formula without cancellation is the plain difference, to rounding.
    assert (cert.gap - (cert.primal - cert.dual)).abs() <= EXACT * size + cert.margin


@settings(max_examples=150)
@given(
    problem=st.sampled_from(MODELS),
    seed=st.integers(0, 10**6),
    log_scale=st.floats(-3, 3),
    samples=st.booleans(),
)
def test_random_points(problem, seed, log_scale, samples):
    M = problem.N if samples else problem.K
    point = random_point(problem, M=M, seed=seed, scale=10**log_scale)
    assert_sound(certify(point), float(certify(optimum(problem)).primal))


@pytest.mark.parametrize("problem", MODELS, ids=name)
class TestEveryModel:
    def test_points_near_the_optimum(self, problem):
        best = optimum(problem)
        value = float(certify(best).primal)
        for noise in (1e-6, 1e-3, 1e-1):
            assert_sound(certify(moved(best, noise)), value)

    def test_the_optimum_passes(self, problem):
        cert = certify(optimum(problem))
        assert cert.passed
        assert cert.gap < EXACT
        assert cert.stationarity < SOLVED  # its square is the excess

    def test_zero_points(self, problem):
        value = float(certify(optimum(problem)).primal)
        W, H = torch.zeros(problem.K, problem.d), torch.zeros(problem.d, problem.N)
        x, y = torch.ones(problem.K, problem.d), torch.ones(problem.d, problem.N)
        for pair in ((W, H), (x, H), (W, y)):
            assert_sound(certify(ufm.Solution.from_arrays(problem, *pair)), value)


@pytest.mark.parametrize("reg", [ufm.NoReg(), ufm.WeightDecay(1e-3, 0), ufm.WeightDecay(0, 1e-3)])
@pytest.mark.parametrize("loss", [ufm.CrossEntropy(), ufm.SquaredError(), ufm.DotRegression(s=2)])
def test_without_a_bounding_regulariser_the_bound_is_the_infimum(reg, loss):
    problem = ufm.Problem(K=3, d=3, n=(3, 2, 1), loss=loss, reg=reg)
    cert = certify(random_point(problem, M=6, seed=0))
    assert cert.dual.abs() <= EXACT
    assert_sound(cert, float(cert.primal))
    assert "infimum" in cert.bound[0] or reg != ufm.NoReg()


@pytest.mark.parametrize("loss", [ufm.CrossEntropy(), ufm.SquaredError()])
def test_a_free_feature_under_a_fixed_classifier_is_certified_in_the_null_space(loss):
    # One-dimensional features cannot fit three classes: the optimum is not the infimum 0.
    rows = ((1.0,), (0.0,), (-1.0,))
    problem = ufm.Problem(
        K=3, d=1, n=(1, 3, 1), loss=loss, reg=ufm.NoReg(),
        classifier=ufm.Fixed(ufm.ExplicitFrame(rows)),
    )  # fmt: skip
    weights = torch.tensor(problem.pi, dtype=torch.float64)
    if isinstance(loss, ufm.SquaredError):
        H = torch.tensor([[0.5, 0.0, -0.5]], dtype=torch.float64)
        cert = certify(ufm.Solution.from_arrays(problem, rows, H))
        assert cert.passed
        assert cert.primal == pytest.approx(0.2 * 0.25 * 2 + 0.6 * 0.5, rel=EXACT)
    else:
        # Classes 0 and 2 are separable, class 1 is best left at zero logits: log 3.
        H = torch.tensor([[60.0, 0.0, -60.0]], dtype=torch.float64)
        cert = certify(ufm.Solution.from_arrays(problem, rows, H))
        assert cert.dual <= weights[1] * torch.log(torch.tensor(3.0)) + EXACT


def test_extreme_logits_keep_a_bound():
    problem = ufm.Problem(K=4, d=4, n=(9, 3, 2, 1), reg=ufm.AverageBudget(1e3, 1e3))
    right = ufm.Solution.from_arrays(problem, 31 * torch.eye(4), 31 * torch.eye(4))
    wrong = ufm.Solution.from_arrays(problem, 31 * torch.eye(4), 31 * torch.eye(4).roll(1, 0))
    for point in (right, wrong):
        cert = certify(point)
        assert cert.gap.isfinite()
        assert cert.gap >= -cert.margin
        assert cert.dual <= 1e-4
    assert not certify(wrong).passed
    assert certify(right).gap < CERTIFIED


@settings(max_examples=150)
@given(
    problem=any_problem(),
    samples=st.booleans(),
    seed=st.integers(0, 99),
    scales=st.tuples(powers(-8, 6), powers(-2, 1)),
)
def test_any_model_of_any_strength(problem, samples, seed, scales):
    M = problem.N if samples else problem.K
    certs = [certify(random_point(problem, M=M, seed=seed, scale=scale)) for scale in scales]
    best = min(float(cert.primal) for cert in certs)
    for cert in certs:
        assert_sound(cert, best)
