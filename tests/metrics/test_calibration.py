"""Calibration error by hand, on calibrated answers, and what it must reject."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tolerances import EXACT

from ufm.metrics import calibrate, calibrate_answers


SURE = torch.tensor([0.95, 0.95, 0.85, 0.55], dtype=torch.float64)
RIGHT = torch.tensor([True, False, True, True])


def test_by_hand_equal_width():
    record = calibrate_answers(SURE, RIGHT, bins=10)
    assert record.count.tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 1, 2]
    # (1/4)|.55 - 1| + (1/4)|.85 - 1| + (2/4)|.95 - .5|
    assert record.ece == pytest.approx(0.1125 + 0.0375 + 0.225, rel=EXACT)
    assert record.mce == pytest.approx(0.45, rel=EXACT)
    assert record.as_row() == {"ece": record.ece, "mce": record.mce}


def test_by_hand_equal_mass():
    record = calibrate_answers(SURE, RIGHT, bins=2, spacing="mass")
    assert record.count.tolist() == [2, 2]
    # bins (.55, .85) right twice and (.95, .95) right once
    assert record.gaps.tolist() == pytest.approx([0.7 - 1, 0.95 - 0.5], rel=EXACT)
    assert record.ece == pytest.approx((0.3 + 0.45) / 2, rel=EXACT)


def test_edges_belong_to_the_bin_below():
    record = calibrate_answers(torch.tensor([0.0, 0.5, 1.0]), torch.ones(3) > 0, bins=2)
    assert record.count.tolist() == [2, 1]


@given(st.integers(1, 40), st.integers(1, 20), st.integers(0, 99))
def test_bins_by_mass_differ_by_one_sample_at_most(N, bins, seed):
    sure = torch.rand(N, generator=torch.Generator().manual_seed(seed))
    record = calibrate_answers(sure, sure > 0.5, bins=bins, spacing="mass")
    assert int(record.count.sum()) == N
    assert int(record.count.max() - record.count.min()) <= 1


def test_one_bin_is_mean_confidence_minus_accuracy():
    for spacing in ("width", "mass"):
        record = calibrate_answers(SURE, RIGHT, bins=1, spacing=spacing)
        assert record.ece == pytest.approx(0.825 - 0.75, rel=1e-12)


def test_probabilities_that_are_true_are_calibrated_and_sharpened_ones_are_not():
    generator = torch.Generator().manual_seed(0)
    Z = 2 * torch.randn(200_000, 4, generator=generator, dtype=torch.float64)
    y = torch.multinomial(Z.softmax(-1), 1, generator=generator).squeeze(-1)
    for spacing in ("width", "mass"):
        assert calibrate(Z, y, spacing=spacing).ece < 0.005  # sampling: 15 bins of 13,000
        assert calibrate(2 * Z, y, spacing=spacing).ece > 0.1


def test_scores_count_by_their_softmax():
    Z, y = torch.tensor([[math.log(2.5), 0.0], [0.0, 0.0]]), torch.tensor([0, 1])
    record = calibrate(Z, y, bins=4)
    assert record.confidence.tolist() == pytest.approx([0, 0.5, 5 / 7, 0], rel=1e-6)  # float32 in
    assert record.correct.tolist() == [0, 0, 1, 0]  # the tie is answered 0


def test_batches_of_equal_width_add_up():
    whole = calibrate_answers(SURE, RIGHT)
    parts = calibrate_answers(SURE[:1], RIGHT[:1]) + calibrate_answers(SURE[1:], RIGHT[1:])
    assert parts.ece == pytest.approx(whole.ece, rel=EXACT)
    mass = calibrate_answers(SURE, RIGHT, spacing="mass")
    with pytest.raises(ValueError, match="equal width"):
        mass + mass
    with pytest.raises(ValueError, match="equally many bins"):
        whole + calibrate_answers(SURE, RIGHT, bins=3)


def test_refused():
    with pytest.raises(ValueError, match="probabilities"):
        calibrate_answers(SURE + 1, RIGHT)
    with pytest.raises(ValueError, match="probabilities"):
        calibrate_answers(SURE[:0], RIGHT[:0])
    with pytest.raises(ValueError, match="NaN"):
        calibrate(torch.full((1, 2), torch.nan), torch.tensor([0]))
    with pytest.raises(ValueError, match="label"):
        calibrate(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long))
    for y in (torch.tensor([2]), torch.tensor([-1])):
        with pytest.raises(ValueError, match=r"classes 0\.\.1"):
            calibrate(torch.zeros(1, 2), y)
