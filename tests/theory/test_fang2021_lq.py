"""The repaired l_q statement: what its bound reduces to, and where it does not hold."""

from __future__ import annotations

import math

import pytest

from ufm.theory.fang2021_lq import lq_bound


def test_at_q_2_it_is_the_balanced_value_for_every_width():
    expected = math.log1p(4 * math.exp(-5 / 4 * math.sqrt(3.0 * 2.0)))
    for p in (3, 4, 9):
        assert lq_bound(5, p, 2, E_W=3.0, E_H=2.0) == pytest.approx(expected, rel=1e-14)


def test_two_classes_of_opposite_signs_attain_it_in_any_width():
    # h = +-c (1, ..., 1) with p c^q = E_H, w along h: the logit difference is 2 |w| |h|.
    p, q, E_H = 7, 3.5, 0.6
    length = math.sqrt(p) * (E_H / p) ** (1 / q)
    assert lq_bound(2, p, q, E_H=E_H) == pytest.approx(math.log1p(math.exp(-2 * length)), rel=1e-14)


def test_wider_features_help_above_q_2():
    assert lq_bound(4, 7, 3) < lq_bound(4, 3, 3)


def test_below_q_2_there_is_no_bound():
    with pytest.raises(ValueError, match=r"q must be at least 2, got 1\.5"):
        lq_bound(3, 3, 1.5)
