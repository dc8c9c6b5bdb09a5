"""Accuracy, confusion and shots on small known tables."""

from __future__ import annotations

import math

import pytest
import torch
from tolerances import EXACT

from ufm.metrics import tally


ANSWERS = torch.tensor([0, 1, 1, 2, 2, 0, 3, 3])
Y = torch.tensor([0, 0, 1, 2, 1, 0, 3, 2])


def test_known_table():
    record = tally(ANSWERS, Y, K=4)
    assert record.confusion.tolist() == [[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], [0, 0, 0, 1]]
    assert record.samples == 8
    assert record.accuracy == 5 / 8
    assert record.by_class.tolist() == pytest.approx([2 / 3, 1 / 2, 1 / 2, 1], rel=EXACT)
    assert record.balanced == pytest.approx(2 / 3, rel=EXACT)
    assert record.as_row() == {
        "accuracy": 5 / 8,
        "balanced_accuracy": pytest.approx(2 / 3),
        "samples": 8,
    }


def test_shots_are_means_of_classes_with_the_published_limits():
    record = tally(ANSWERS, Y, K=4)
    shots = record.by_shot((101, 100, 20, 19))
    assert shots == pytest.approx({"many": 2 / 3, "medium": 1 / 2, "few": 1.0}, rel=EXACT)
    assert record.by_shot((500,) * 4) == pytest.approx({"many": record.balanced})
    assert record.by_shot((5, 4, 3, 2), many=3, few=3) == pytest.approx(
        {"many": 7 / 12, "medium": 1 / 2, "few": 1.0}, rel=EXACT
    )


def test_classes_without_samples():
    record = tally(torch.tensor([0, 2]), torch.tensor([0, 0]), K=3)
    assert math.isnan(record.by_class[1])
    assert record.balanced == 1 / 2
    assert record.by_shot((200, 50, 2)) == {"many": 1 / 2}
    empty = tally(torch.tensor([], dtype=torch.long), torch.tensor([], dtype=torch.long), K=3)
    assert math.isnan(empty.accuracy)
    assert (empty + record).confusion.equal(record.confusion)


def test_batches_add_up():
    whole = tally(ANSWERS, Y, K=4)
    parts = tally(ANSWERS[:3], Y[:3], K=4) + tally(ANSWERS[3:], Y[3:], K=4)
    assert torch.equal(parts.confusion, whole.confusion)


def test_refused():
    record = tally(ANSWERS, Y, K=4)
    with pytest.raises(ValueError, match="got 0\\.\\.3"):
        tally(ANSWERS, Y, K=3)
    with pytest.raises(ValueError, match="y must be"):
        tally(ANSWERS, Y - 1, K=4)
    with pytest.raises(ValueError, match="both records"):
        record + tally(ANSWERS, Y, K=5)
    with pytest.raises(ValueError, match="K=4"):
        record.by_shot((1, 2))
    with pytest.raises(ValueError, match="few"):
        record.by_shot((1, 2, 3, 4), many=10)
