"""Decision rules on trained scores: Bayes' rule for another prior, least expected cost."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tolerances import EXACT
from torch.testing import assert_close
from trees import MIXED

from ufm.heads import adjusted_scores, least_cost_scores
from ufm.hierarchy import Tree, distance_matrix
from ufm.losses import CrossEntropy, LogitAdjusted
from ufm.metrics import hierarchy_metrics


@given(st.lists(st.integers(1, 900), min_size=2, max_size=6).map(tuple), st.integers(0, 99))
def test_adjustment_is_bayes_rule_for_equal_classes(n, seed):
    generator = torch.Generator().manual_seed(seed)
    likelihood = torch.rand(7, len(n), generator=generator, dtype=torch.float64) + 1e-3
    prior = torch.tensor(n, dtype=torch.float64) / sum(n)
    posterior = likelihood * prior
    logits = (posterior / posterior.sum(-1, keepdim=True)).log()
    fair = likelihood / likelihood.sum(-1, keepdim=True)
    assert_close(adjusted_scores(logits, n).softmax(-1), fair, rtol=1e-10, atol=1e-12)
    assert torch.equal(adjusted_scores(logits, n, tau=0), logits)


def test_adjustment_undoes_the_one_in_training():
    """Trained on z + log pi the logits are fair; adjusted logits of a plain model are those."""
    n, y = (90, 9, 1), torch.tensor([0, 2, 1])
    fair = torch.randn(3, 3, dtype=torch.float64)
    plain = LogitAdjusted(n)._shift(fair.mT).mT + fair  # what cross-entropy would have learned
    assert_close(adjusted_scores(plain, n), fair, rtol=EXACT, atol=EXACT)
    adjusted = LogitAdjusted(n).value(fair.mT, y)
    assert_close(adjusted, CrossEntropy().value(plain.mT, y), rtol=EXACT, atol=EXACT)


def test_least_cost_by_hand():
    P = torch.tensor([[0.4, 0.3, 0.3]], dtype=torch.float64)
    D = torch.tensor([[0, 2, 2], [2, 0, 1], [2, 1, 0]])
    scores = least_cost_scores(P.log(), D)
    assert_close(
        scores, torch.tensor([[-1.2, -1.1, -1.1]], dtype=torch.float64), rtol=EXACT, atol=EXACT
    )
    assert P.argmax() == 0  # which is not the answer of least cost


def test_cost_one_for_every_mistake_is_the_order_of_probabilities():
    Z = torch.randn(20, 6, dtype=torch.float64)
    scores = least_cost_scores(Z, 1 - torch.eye(6))
    assert_close(scores, Z.softmax(-1) - 1, rtol=EXACT, atol=EXACT)


def test_least_cost_is_the_least_expected_distance_and_no_class_does_better():
    D = torch.from_numpy(distance_matrix(Tree.from_nested(MIXED)))
    K, generator = len(D), torch.Generator().manual_seed(0)
    Z = torch.randn(300, K, generator=generator, dtype=torch.float64)
    y = torch.multinomial(Z.softmax(-1), 1, generator=generator).squeeze(-1)
    expected = (Z.softmax(-1).unsqueeze(-1) * D).sum(1)
    assert_close(least_cost_scores(Z, D), -expected, rtol=EXACT, atol=EXACT)
    plain = hierarchy_metrics(Z, y, D, k=(1, 5))
    crm = hierarchy_metrics(least_cost_scores(Z, D), y, D, k=(1, 5))
    assert crm.hd[1] < plain.hd[1]


def test_an_asymmetric_cost_is_of_answers_in_columns():
    P = torch.tensor([[0.5, 0.5]], dtype=torch.float64)
    cost = torch.tensor([[0.0, 1.0], [10.0, 0.0]])  # true 1 answered 0 costs 10
    assert int(least_cost_scores(P.log(), cost).argmax()) == 1


def test_refused():
    Z = torch.zeros(2, 3)
    with pytest.raises(ValueError, match="K=3"):
        adjusted_scores(Z, (1, 2))
    with pytest.raises(ValueError, match="tau"):
        adjusted_scores(Z, (1, 2, 3), tau=-1)
    with pytest.raises(ValueError, match="3 x 3"):
        least_cost_scores(Z, torch.eye(2))
