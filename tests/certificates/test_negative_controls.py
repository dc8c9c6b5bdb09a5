"""What a certificate must reject: nearly optimal points, wrong phases, cheating, bad duals."""

from dataclasses import replace

import pytest
import torch
from certificates.models import MODELS, moved, name, optimum, random_point
from tolerances import CERTIFIED, EXACT

import ufm
from ufm.certificates import certify
from ufm.certificates._dual import dual_value, weigh
from ufm.certificates._means import reduce_point
from ufm.certificates.average import average_gauge
from ufm.certificates.ridge import ridge_gauge


STEP = ufm.Problem(
    K=4, d=3, n=(1,) * 4, weights=ufm.step_weights(K=4, K_A=2, R=3), reg=ufm.AverageBudget(1, 1)
)


def given(problem: ufm.Problem, W, H, b=None) -> ufm.Solution:
    return ufm.Solution.from_arrays(problem, W, H, b)


# A dot-regression model with a free bias has optimum 0 and is flat around it.
CURVED = [p for p in MODELS if not (
    isinstance(p.loss, ufm.DotRegression) and isinstance(p.bias, ufm.FreeBias))]  # fmt: skip


@pytest.mark.parametrize("problem", CURVED, ids=name)
def test_a_slightly_wrong_point_fails(problem):
    best = optimum(problem)
    cert = certify(moved(best, 1e-2))
    assert not cert.passed
    assert cert.gap > CERTIFIED + cert.margin


@pytest.mark.parametrize("bias", [ufm.FreeBias(), ufm.PenalisedBias(0.05)])
@pytest.mark.parametrize("reg", [ufm.AverageBudget(1, 1), ufm.ClassMeanDecay(0.02, 0.02)])
def test_a_wrong_bias_fails(reg, bias):
    best = optimum(ufm.Problem(K=4, d=3, n=(9, 4, 2, 1), reg=reg, bias=bias))
    shift = torch.tensor([1e-2, 0, 0, -1e-2], dtype=torch.float64)
    cert = certify(given(best.problem, best.W, best.H, best.b + shift))
    assert certify(best).passed
    assert not cert.passed


def test_minorities_collapsed_below_the_threshold_fail():
    # R = 3 < R_0 = 3.3805: merging the two minority classes costs something.
    best = optimum(STEP)
    W, H = best.W.clone(), best.H.clone()
    W[2:] = W[2:].mean(0)
    H[:, 2:] = H[:, 2:].mean(1, keepdim=True)
    assert certify(best).passed
    assert not certify(given(STEP, W, H)).passed


def test_a_stationary_point_that_is_not_a_minimum_fails():
    # The best symmetric point (minorities merged) has no first-order descent direction.
    best = optimum(replace(STEP, weights=ufm.step_weights(K=4, K_A=2, R=3.5)))
    W, H = best.W, best.H
    merged = given(STEP, W, H)
    assert float(torch.linalg.vector_norm(W[2] - W[3])) < 1e-4
    assert not certify(merged).passed
    # W = H = 0 is exactly stationary, and never optimal here.
    zero = certify(given(STEP, 0 * W, 0 * H))
    assert zero.stationarity == 0
    assert not zero.passed


def test_a_point_outside_its_budgets_fails_and_gains_nothing():
    # SCS reports "optimal" values below the optimum at points like this one.
    best = optimum(STEP)
    over = given(STEP, 1.001 * best.W, best.H)
    cert = certify(over)
    assert over.value < certify(best).dual
    assert cert.primal >= certify(best).dual
    assert cert.infeasibility == pytest.approx(1.001**2 - 1, rel=1e-6)
    assert not cert.passed


def test_norm_traded_between_the_factors_loses_nothing():
    # W over its average budget and H below it: the same logits are feasible.
    best = optimum(STEP)
    cert = certify(given(STEP, 1.1 * best.W, best.H / 1.1))
    assert cert.primal == pytest.approx(float(best.value), rel=EXACT)
    assert cert.gap < EXACT
    assert not cert.passed  # as given it is infeasible


def test_a_fixed_classifier_that_was_moved_fails():
    problem = ufm.Problem(
        K=3, d=2, n=(3, 2, 1), reg=ufm.VectorBudget(1, 1), classifier=ufm.Fixed(ufm.SimplexETF())
    )
    best = optimum(problem)
    cert = certify(given(problem, best.W + 1e-3, best.H))
    assert certify(best).passed
    assert cert.infeasibility > 1e-4
    assert not cert.passed


def test_too_small_a_dimension_leaves_a_gap():
    # d < rank(Z*): the relaxation is not tight, and the bound stays below the true optimum.
    best = optimum(replace(STEP, d=1))
    full = optimum(STEP)
    cert = certify(best)
    assert not cert.passed
    assert cert.dual <= full.value + EXACT


def test_nan_never_passes():
    cert = certify(optimum(STEP))
    assert not replace(cert, gap=cert.gap * torch.nan).passed
    assert not replace(cert, infeasibility=cert.infeasibility * torch.nan).passed
    assert not replace(cert, margin=cert.margin * torch.nan).passed


def test_a_margin_does_not_stand_in_for_a_proof():
    # Rounding that could hide a gap of one: a bias of 1e17 leaves no digits of the logits.
    cert = certify(optimum(STEP))
    wide = replace(cert, gap=torch.ones_like(cert.gap), margin=2 * torch.ones_like(cert.margin))
    assert cert.passed
    assert not wide.passed


@pytest.mark.parametrize("samples", [False, True])
@pytest.mark.parametrize("rigorous", [False, True])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e160])
@pytest.mark.parametrize(
    "reg", [ufm.WeightDecay(), ufm.AverageBudget(), ufm.VectorBudget(), ufm.Sphere(), ufm.NoReg()]
)
@pytest.mark.parametrize("classifier", [ufm.Learnable(), ufm.Fixed(ufm.SimplexETF())])
def test_an_instance_that_blew_up_fails_alone(classifier, reg, bad, rigorous, samples):
    # A diverged run of a batch: no exception, not passed, and its neighbour is as if alone.
    problem = ufm.Problem(K=3, d=2, n=(2, 2, 1), reg=reg, classifier=classifier)
    good = random_point(problem, M=5 if samples else 3, seed=0)
    point = type(good.point)(*(torch.stack([t, t]) for t in good.point))
    point.H[0, 0, 0] = bad
    if problem.is_learnable:
        point.W[0, 0, 0] = bad
    numbers = ("value", "code", "steps", "grad_norm")
    both = replace(
        good, problems=(problem,) * 2, point=point,
        **{name: getattr(good, name).expand(2) for name in numbers},
    )  # fmt: skip
    alone, batch = certify(good, rigorous=rigorous), certify(both, rigorous=rigorous)
    assert not batch[0].passed
    for field in ("gap", "raw_gap", "dual", "stationarity"):
        torch.testing.assert_close(
            getattr(batch[1], field), getattr(alone, field), rtol=EXACT, atol=1e-15
        )
    if rigorous:
        (lower, upper), (_, above) = batch[0].bracket[0], alone.bracket[0]
        assert 0 <= lower <= min(upper, above)
    if not bad < 1e300:
        assert batch[0].stationarity.isnan()


@pytest.mark.parametrize("factor", [0.5, 2.0, 100.0, -1.0])
def test_planted_dual_matrices_are_made_feasible_or_priced(factor):
    # A dual that claims too much: scaled gradients, negative probabilities, too large a norm.
    for reg, gauge in (
        (ufm.AverageBudget(1, 1), average_gauge),
        (ufm.ClassMeanDecay(0.05, 0.05), ridge_gauge),
    ):
        problem = replace(STEP, reg=reg)
        means = reduce_point(random_point(problem, M=4, seed=1)).means
        bound = weigh(means, gauge(means), factor * means.G, "planted")
        assert dual_value(means, bound) <= optimum(problem).value + EXACT
        assert bound.gap >= 0
        Q = bound.Y / means.objective.c.unsqueeze(-2) + torch.eye(4, dtype=torch.float64)
        assert (Q >= -1e-15).all()
        assert (Q.sum(-2) - 1).abs().max() < 1e-14


def test_a_ridge_dual_above_the_limit_would_be_a_false_bound():
    # Without repair (i) the bound of a planted dual exceeds the optimum: the repair is needed.
    problem = replace(STEP, reg=ufm.ClassMeanDecay(0.1, 0.1))
    best = optimum(problem)
    means = reduce_point(random_point(problem, M=4, seed=1, scale=0.1)).means
    gauge = ridge_gauge(means)
    lawless = replace(gauge, limit=torch.full_like(gauge.limit, torch.inf))
    assert dual_value(means, weigh(means, lawless, means.G, "lawless")) > best.value + 1e-3
    assert dual_value(means, weigh(means, gauge, means.G, "raw")) <= best.value + EXACT


@pytest.mark.parametrize("wrong", [STEP, [STEP], None])
def test_what_is_no_point_is_refused_in_a_line(wrong):
    for call in (certify, ufm.polish, ufm.large.certify_low_rank):
        with pytest.raises(ValueError, match=r"^sol must be a Solution.*, got \w+$"):
            getattr(call, "__wrapped__", call)(wrong)  # without the type checker of the tests
