"""A certificate depends on the point only through what the model sees."""

from dataclasses import replace

import hypothesis.strategies as st
import pytest
import torch
from certificates.models import MODELS, moved, name, optimum, random_point
from hypothesis import given, settings
from tolerances import EXACT

import ufm
from ufm.certificates import certify
from ufm.certificates._dual import fenchel_defect
from ufm.certificates._means import Means, reduce_point
from ufm.solution import Solution


LEARNABLE = [p for p in MODELS if p.is_learnable]
NUMBERS = ("primal", "dual", "raw_gap", "gap", "infeasibility", "stationarity")


def assert_same(one, two, *, skip=()):
    for field in set(NUMBERS) - set(skip):
        a, b = getattr(one, field), getattr(two, field)
        # Gaps of different arithmetic agree to the rounding of the terms that cancel.
        atol = EXACT * (1 + one.primal.abs().max()) + one.margin.max()
        assert torch.allclose(a, b, rtol=1e-9, atol=float(atol)), field
    assert (one.rank == two.rank).all()


def near(problem: ufm.Problem, seed: int) -> Solution:
    return moved(optimum(problem), 0.05, seed=seed)


def biased(sol: Solution):
    return sol.b if sol.problem.has_bias else None


@settings(max_examples=30)
@given(problem=st.sampled_from(LEARNABLE), seed=st.integers(0, 99))
def test_rotation(problem, seed):
    sol = near(problem, seed)
    R = torch.linalg.qr(torch.randn(problem.d, problem.d, dtype=torch.float64)).Q
    turned = Solution.from_arrays(problem, sol.W @ R, R.mT @ sol.H, biased(sol))
    assert_same(certify(sol), certify(turned))


@settings(max_examples=30)
@given(problem=st.sampled_from(LEARNABLE), seed=st.integers(0, 99), data=st.data())
def test_class_permutation(problem, seed, data):
    order = data.draw(st.permutations(range(problem.K)))
    sol = near(problem, seed)
    b = None if biased(sol) is None else sol.b[order]
    other = replace(problem, n=tuple(problem.n[k] for k in order))
    cert = certify(sol)
    permuted = certify(Solution.from_arrays(other, sol.W[order], sol.H[:, order], b))
    assert_same(cert, permuted)


@pytest.mark.parametrize("c", [0.1, 3.0])
@pytest.mark.parametrize(
    ("reg", "scaled"),
    [
        (ufm.AverageBudget(0.6, 0.9), lambda c: ufm.AverageBudget(0.6 * c**2, 0.9 / c**2)),
        (ufm.VectorBudget(0.6, 0.9), lambda c: ufm.VectorBudget(0.6 * c**2, 0.9 / c**2)),
        (ufm.WeightDecay(0.03, 0.01), lambda c: ufm.WeightDecay(0.03 / c**2, 0.01 * c**2)),
    ],
)
def test_gauge(reg, scaled, c):
    problem = ufm.Problem(K=3, d=3, n=(4, 2, 1), reg=reg)
    sol = near(problem, 0)
    other = Solution.from_arrays(replace(problem, reg=scaled(c)), c * sol.W, sol.H / c)
    assert_same(certify(sol), certify(other))


@pytest.mark.parametrize("reg", [ufm.AverageBudget(1, 1), ufm.ClassMeanDecay(0.02, 0.02)])
def test_common_shift_of_a_free_bias(reg):
    sol = near(ufm.Problem(K=3, d=3, n=(4, 2, 1), reg=reg, bias=ufm.FreeBias()), 0)
    shifted = Solution.from_arrays(sol.problem, sol.W, sol.H, sol.b + 7.0)
    assert_same(certify(sol), certify(shifted))


@pytest.mark.parametrize("samples", [False, True])
def test_a_huge_shift_of_a_free_bias_hides_nothing(samples):
    # A bias of 1e20 would leave none of the logits' digits and a margin above any gap.
    problem = ufm.Problem(
        K=3, d=3, n=(3, 2, 1), reg=ufm.WeightDecay(0.01, 0.01), bias=ufm.FreeBias()
    )
    sol = random_point(problem, M=6 if samples else 3, seed=0)
    plain = Solution.from_arrays(problem, sol.W, sol.H, torch.zeros(3))
    shifted = Solution.from_arrays(problem, sol.W, sol.H, torch.full((3,), 1e20))
    assert_same(certify(plain), certify(shifted))
    assert certify(shifted).margin < EXACT
    assert not certify(shifted).passed


def test_common_shift_of_every_column_leaves_the_risk_and_its_defect():
    # Z + 1c' changes no softmax: adding one vector v to every row of W does that.
    problem = ufm.Problem(K=3, d=3, n=(4, 2, 1))
    means = reduce_point(random_point(problem, M=3, seed=0)).means
    moved_means = Means.at(means.objective, means.x._replace(W=means.x.W + 2.0))
    Y = 0.7 * means.G
    for f in (lambda m: m.risk, lambda m: m.G, lambda m: fenchel_defect(m, Y)):
        torch.testing.assert_close(f(means), f(moved_means), rtol=1e-10, atol=EXACT)


@pytest.mark.parametrize("problem", MODELS, ids=name)
def test_samples_at_their_class_mean_equal_class_means(problem):
    sol = near(problem, 0)
    labels = torch.tensor(problem.labels(problem.N))
    samples = Solution.from_arrays(problem, sol.W, sol.H[:, labels], biased(sol))
    assert_same(certify(sol), certify(samples))


@pytest.mark.parametrize("problem", MODELS, ids=name)
def test_scatter_around_the_class_means_is_paid_for_in_full(problem):
    best = optimum(problem)
    labels = torch.tensor(problem.labels(problem.N))
    H = best.H[:, labels]
    H[:, 0] += 1e-4
    H[:, 1] -= 1e-4
    scattered = Solution.from_arrays(problem, best.W, H, biased(best))
    cert, base = certify(scattered), certify(best)
    # Same bound up to the change of the class means by rounding, higher objective.
    if not problem.is_budgeted:
        assert cert.gap == pytest.approx(float(cert.primal - base.dual), abs=1e-14)
    assert cert.primal >= base.primal - EXACT
    assert cert.gap >= base.gap - EXACT


def test_batch_equals_loop():
    regs = [ufm.AverageBudget(1, E) for E in (0.1, 1, 5)]
    problems = [ufm.Problem(K=5, d=4, n=(50, 20, 9, 3, 1), reg=reg) for reg in regs]
    sols = [random_point(problem, M=5, seed=i) for i, problem in enumerate(problems)]
    point = type(sols[0].point)(
        *(torch.stack(t) for t in zip(*(s.point for s in sols), strict=True))
    )
    given = {"problems": tuple(problems), "point": point, "seeds": (0,) * 3, "messages": ("",) * 3}
    numbers = ("value", "code", "steps", "grad_norm")
    given |= {field: torch.stack([getattr(sol, field) for sol in sols]) for field in numbers}
    stacked = replace(sols[0], **given)
    batch = certify(stacked)
    assert batch.primal.shape == (3,)
    assert len(batch) == 3
    for i, sol in enumerate(sols):
        alone, one = certify(sol), batch[i]
        assert alone.primal.shape == one.primal.shape == ()
        for field in (*NUMBERS, "margin", "Y", "multipliers"):
            # Batched matrix products may sum in another order.
            torch.testing.assert_close(
                getattr(alone, field), getattr(one, field), rtol=EXACT, atol=1e-15
            )
        assert alone.rank == one.rank
        assert alone.bound == one.bound


def test_single_precision_points_are_certified_in_double():
    sol = random_point(ufm.Problem(K=3, d=2, n=(2, 2, 1)), M=3, seed=0)
    point = type(sol.point)(*(t.float() for t in sol.point))
    cert = certify(replace(sol, point=point))
    assert cert.primal.dtype == torch.float64
