"""Fitting gives the parameters of a solved model back, and says when no model explains a point."""

from __future__ import annotations

import json

import pytest
import torch
from tolerances import CERTIFIED

import ufm
from deep.collapse import Classifier
from deep.fit import Fit, fit


SIZES = {"balanced": (6, 6, 6, 6), "step": (12, 12, 3, 3)}
REGS = {
    "decay": ufm.WeightDecay(4e-3, 1e-3),
    "class-decay": ufm.ClassMeanDecay(4e-3, 1e-2),
    "budget": ufm.AverageBudget(1.5, 6.0),
    "vector": ufm.VectorBudget(1.5, 6.0),
}


def features_of(problem: ufm.Problem) -> tuple[torch.Tensor, torch.Tensor, Classifier]:
    """Samples of the optimum, in more dimensions than it needs."""
    solution, certificate = ufm.solve_certified(problem)
    assert bool(certificate.passed.all())
    sol = ufm.polish(solution)[0]
    y = torch.tensor(problem.labels(problem.N))
    Q = torch.linalg.qr(torch.randn(9, problem.d, dtype=torch.float64)).Q
    return (Q @ sol.H).mT[y], y, Classifier.of(sol.W @ Q.mT, sol.b)


def fitted(problem: ufm.Problem, **options) -> Fit:
    X, y, rule = features_of(problem)
    order = torch.randperm(len(y))
    X, y = X[order], y[order]
    return fit(lambda: zip(X.split(7), y.split(7), strict=True), rule, loss=problem.loss, **options)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("name", REGS)
def test_parameters_of_a_known_model_come_back(name: str, sizes: str):
    problem = ufm.Problem(K=4, d=4, n=SIZES[sizes], reg=REGS[name])
    found = fitted(problem, models=(name,))
    ours = found.best
    assert ours.residual < 1e-6  # first order in the distance to the optimum, the gap is second
    assert ours.problem is not None
    for strength, value in vars(problem.reg).items():
        assert getattr(ours.problem.reg, strength) == pytest.approx(value, rel=CERTIFIED), strength
    assert ours.certificate is not None
    assert bool(ours.certificate.passed)
    assert ours.distance < 1e-5
    assert ours.excess == pytest.approx(0, abs=CERTIFIED)
    assert ours.explains
    json.dumps(found.as_row())


def test_the_wrong_ridge_leaves_gradient_over_when_classes_differ():
    found = fitted(ufm.Problem(K=4, d=4, n=SIZES["step"], reg=REGS["decay"]))
    by_name = {p.model: p for p in found.predictions}
    assert by_name["decay"].residual < 1e-6
    assert by_name["class-decay"].residual > 0.05
    assert by_name["vector"].residual > 0.05
    assert found.best.model == "decay"
    by_class = found.balance.lam_H_by_class
    torch.testing.assert_close(by_class, torch.full_like(by_class, 1e-3), rtol=1e-6, atol=0)


def test_both_ridges_of_a_balanced_model_are_the_same_one():
    found = fitted(ufm.Problem(K=4, d=4, n=SIZES["balanced"], reg=REGS["decay"]))
    by_name = {p.model: p.problem.reg for p in found.predictions if p.problem is not None}
    assert by_name["class-decay"].lam_H == pytest.approx(6e-3, rel=1e-8)
    product = found.balance.lam_W * found.balance.classifier.W.square().sum()
    assert float(product) == pytest.approx(
        found.balance.per_sample * float(found.balance.hh.sum()), rel=1e-12
    )


@pytest.mark.parametrize("bias", [ufm.FreeBias(), ufm.PenalisedBias(3e-2)])
def test_bias(bias: ufm.FreeBias | ufm.PenalisedBias):
    problem = ufm.Problem(K=4, d=4, n=SIZES["step"], reg=REGS["decay"], bias=bias)
    found = fitted(problem, has_bias=True, models=("decay",)).best
    assert found.problem is not None
    assert type(found.problem.bias) is type(bias)
    if isinstance(found.problem.bias, ufm.PenalisedBias):
        assert found.problem.bias.lam_b == pytest.approx(3e-2, rel=1e-6)
    assert found.residual_b < 1e-6
    assert found.distance < 1e-5


def test_fixed_classifier_and_loss_weights():
    frame = ufm.SimplexETF(2.0)
    problem = ufm.Problem(
        K=4, d=4, n=SIZES["step"], reg=ufm.WeightDecay(0.0, 1e-3), classifier=ufm.Fixed(frame),
        weights=(1, 1, 4, 4),
    )  # fmt: skip
    found = fitted(problem, fixed=True, weights=(1, 1, 4, 4), models=("decay", "vector"))
    assert found.best.model == "decay"
    assert found.best.problem is not None
    assert found.best.problem.reg.lam_H == pytest.approx(1e-3, rel=1e-8)
    assert found.best.distance < 1e-5


def test_random_features_are_explained_by_no_model():
    y = torch.arange(80) % 4
    X = torch.randn(80, 9, dtype=torch.float64)
    rule = Classifier.of(torch.randn(4, 9, dtype=torch.float64))
    found = fit(lambda: iter([(X, y)]), rule)
    assert all(p.residual > 0.5 for p in found.predictions)
    assert not found.best.explains
    json.dumps(found.as_row())


def test_a_gradient_that_points_outward_gives_a_reason_instead_of_a_model():
    # Every feature on the wrong side: the loss falls when features shrink.
    y = torch.arange(8) % 4
    rule = Classifier.of(ufm.etf(4, 4))
    X = -3 * rule.W[y]
    found = fit(lambda: iter([(X, y)]), rule, models=("decay",)).best
    assert found.problem is None
    assert "not positive" in found.reason


def test_models_are_named():
    with pytest.raises(ValueError, match="models must be of decay"):
        fit(lambda: iter(()), Classifier.of(torch.eye(2)), models=("nope",))
