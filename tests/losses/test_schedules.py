"""Schedules are pure functions of progress with the right ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ufm.losses.schedules import constant, cosine, linear_fall, linear_rise


@given(st.floats(0, 1))
def test_factors_lie_between_zero_and_one(t):
    for schedule in (constant, linear_rise, linear_fall, cosine):
        assert 0 <= schedule(t) <= 1
    assert linear_rise(t) + linear_fall(t) == pytest.approx(1)
    assert cosine(t, cycles=3) == pytest.approx(cosine(min(t * 3 % 1, 1)), abs=1e-6)


def test_ends():
    assert [linear_rise(0), linear_rise(1), linear_fall(0), linear_fall(1)] == [0, 1, 1, 0]
    assert [cosine(0), cosine(0.5), cosine(1)] == pytest.approx([1, 0, 1])


@pytest.mark.parametrize("schedule", [constant, linear_rise, linear_fall, cosine])
def test_progress_must_be_a_share(schedule):
    with pytest.raises(ValueError, match=r"progress must be in \[0, 1\], got 1.5"):
        schedule(1.5)
    with pytest.raises(ValueError, match="progress must be a finite number >= 0, got -1"):
        schedule(-1)
    with pytest.raises(ValueError, match="cycles must be an integer of at least 1, got 0"):
        cosine(0.5, cycles=0)
