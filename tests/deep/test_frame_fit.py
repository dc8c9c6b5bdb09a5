"""What losses want on a fixed frame: the frame where theorems say so, or something else."""

from __future__ import annotations

import pytest
import torch

import ufm
from deep.collapse import Classifier, collapse
from deep.frame_fit import predict_on_frame
from ufm.geometry import Exponential
from ufm.geometry.frames import frame
from ufm.geometry.multicenter import multicenter_frame


UNBALANCED = ufm.HAFrame(ufm.Tree.from_nested([[[[0, 1], 2], 3], [4, 5]]), Exponential(2.0))


def at(classifier: Classifier, H: torch.Tensor):
    """A network whose class means are the columns of H."""
    K = len(classifier.W)
    return collapse(lambda: iter([(H.mT, torch.arange(K))]), classifier)


def rows_of(spec, K: int) -> Classifier:
    return Classifier.of(frame(spec, K, K))


LOSSES = {
    "ce": ufm.CrossEntropy(),
    "dr": ufm.BatchDotRegression(),
    "targets": ufm.losses.FrameTargets(beta=2.0),
}


@pytest.mark.parametrize("name", LOSSES)
def test_on_an_etf_every_loss_wants_the_frame(name: str):
    rule = rows_of(ufm.SimplexETF(), 5)
    H = torch.nn.functional.normalize(torch.randn(5, 5, dtype=torch.float64), dim=0)
    found = predict_on_frame(at(rule, 2 * H), LOSSES[name])
    # Two of them are quartic at the minimum: directions are known to the fourth root of the value.
    assert float(found.predicted.max()) < (1e-4 if name == "ce" else 0.5)
    torch.testing.assert_close(found.between, found.measured, atol=0.5, rtol=0)


def test_cosine_regression_wants_the_mean_direction_not_the_class_vector():
    parts = multicenter_frame(ufm.MultiCenter((1, 2, 4), theta=0.2))
    rule = Classifier(parts.W, torch.zeros(3, dtype=torch.float64), parts.direction, parts)
    found = predict_on_frame(at(rule, parts.W.mT.clone()), ufm.CosineRegression())
    # One center alone is quartic at its minimum, as dot regression is.
    assert float(found.predicted[0]) < 0.5
    assert float(found.predicted[1:].max()) < 1e-4
    assert float(found.measured.min()) > 30


def test_features_longer_than_calibrated_leave_the_span_of_the_frame():
    # The targets fix the logits, so what a feature is too long goes where no row looks.
    rule = rows_of(ufm.SimplexETF(), 5)
    found = predict_on_frame(at(rule, 4 * torch.eye(5).double()), ufm.losses.FrameTargets(beta=2.0))
    angle = torch.rad2deg(torch.acos(torch.tensor(0.5)))
    torch.testing.assert_close(found.predicted, angle.expand(5).double(), rtol=1e-5, atol=0)


def test_on_an_unbalanced_tree_the_prediction_is_not_the_frame_and_is_the_models_optimum():
    K, E_H = 6, 9.0
    rule = rows_of(UNBALANCED, K)
    start = 3.0 * rule.W.mT
    found = predict_on_frame(at(rule, start), ufm.CrossEntropy())
    assert float(found.predicted.max()) > 3
    problem = ufm.Problem(
        K=K, d=K, n=(3,) * K, reg=ufm.VectorBudget(1.0, E_H), classifier=ufm.Fixed(UNBALANCED)
    )
    best = ufm.solve(problem)[0]
    ours, theirs = rule.W @ found.features.mT, best.W @ best.H
    shift = (ours - ours.mean(0)) - (theirs - theirs.mean(0))
    assert float(shift.abs().max()) < 1e-4  # the minimum is known to 1e-8 in value
    mixed = predict_on_frame(at(rule, start), ufm.HAFrameMix(alpha=0.4))
    assert 1e-2 < float(mixed.predicted.max()) < float(found.predicted.max())
