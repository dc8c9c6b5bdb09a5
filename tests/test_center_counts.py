"""Class-aware center counts: the worked example, golden values, what the rules promise."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ufm.center_counts import check_centers, class_aware_centers, proportional_centers
from ufm.counts import cifar10_lt_sizes, cifar100_lt_sizes


sizes = st.lists(st.integers(1, 5000), min_size=2, max_size=40)
RULES = [
    class_aware_centers,
    lambda n, f: class_aware_centers(n, f, end="large"),
    proportional_centers,
]


def test_worked_example_of_the_paper():
    # The paper lists n = (1, 3, 3) and gets (4, 4, 1); equal classes are told apart by position.
    assert class_aware_centers((3, 3, 1), 3) == (1, 4, 4)
    assert class_aware_centers((3, 3, 1), 3, end="large") == (2, 4, 3)
    assert sorted(class_aware_centers((1, 3, 3), 3)) == [1, 4, 4]
    assert class_aware_centers((1, 3, 3), 3)[0] == 4


GOLDEN = {
    200: ((1, 1, 2, 3, 5, 9, 16, 28, 49, 86), (2, 2, 3, 4, 5, 9, 15, 27, 48, 85)),
    100: ((1, 2, 3, 4, 7, 11, 18, 29, 47, 78), (2, 3, 4, 5, 7, 11, 17, 28, 46, 77)),
    50: ((2, 3, 4, 5, 9, 13, 20, 30, 45, 69), (3, 4, 5, 6, 9, 13, 19, 29, 44, 68)),
}


@pytest.mark.parametrize("rho", GOLDEN)
def test_cifar10_lt(rho):
    n = cifar10_lt_sizes(rho)
    assert class_aware_centers(n, 20) == GOLDEN[rho][0]
    assert class_aware_centers(n, 20, end="large") == GOLDEN[rho][1]


@pytest.mark.parametrize(
    ("rho", "N", "missing", "small", "large"),
    [(200, 9502, 61, (1, 101), (2, 100)), (100, 10847, 48, (1, 89), (2, 88)),
     (50, 12608, 52, (2, 77), (3, 76))],
)  # fmt: skip
def test_cifar100_lt(rho, N, missing, small, large):
    n = cifar100_lt_sizes(rho)
    assert sum(n) == N
    assert 20 * 100 - sum(19 * 100 * size // N + 1 for size in n) == missing
    for end, extremes in (("small", small), ("large", large)):
        f = class_aware_centers(n, 20, end=end)
        assert (min(f), max(f), sum(f)) == (*extremes, 2000)
    # Topping up the large end can break the order that the paper's Proposition 3.1 needs.
    f = class_aware_centers(n, 20, end="large")
    assert (list(f) == sorted(f)) == (rho == 100)


@pytest.mark.parametrize("rule", RULES)
@given(n=sizes, f=st.integers(1, 50))
def test_sums_are_met_and_every_class_has_a_center(rule, n, f):
    centers = rule(n, f)
    assert sum(centers) == f * len(n)
    assert min(centers) >= 1


@pytest.mark.parametrize("rule", [RULES[0], RULES[2]])
@given(n=sizes, f=st.integers(1, 50))
def test_rarer_classes_never_get_fewer(rule, n, f):
    by_size = sorted(zip(n, rule(n, f), strict=True))
    for (a, f_a), (b, f_b) in itertools.pairwise(by_size):
        assert a == b or f_a >= f_b


@pytest.mark.parametrize("rule", RULES)
@given(n=st.lists(st.integers(1, 5000), min_size=2, max_size=20, unique=True), seed=st.randoms())
def test_the_order_of_the_classes_does_not_matter(rule, n, seed):
    by_class = dict(zip(n, rule(n, 7), strict=True))
    seed.shuffle(n)
    assert dict(zip(n, rule(n, 7), strict=True)) == by_class


@pytest.mark.parametrize("rule", RULES)
def test_balanced_data_get_equal_numbers(rule):
    assert rule((13,) * 6, 4) == (4,) * 6


@given(n=sizes, f=st.integers(1, 50))
def test_proportional_rule_rounds_the_water_level(n, f):
    """Real-valued optimum max(1, level/n_k), its level found by bisection, rounded by under one."""
    low, high = 0.0, float(f * len(n) * max(n))
    for _ in range(100):
        level = (low + high) / 2
        if sum(max(1.0, level / size) for size in n) < f * len(n):
            low = level
        else:
            high = level
    for size, count in zip(n, proportional_centers(n, f), strict=True):
        assert abs(count - max(1.0, high / size)) < 1 + 1e-9


def test_proportional_rule_keeps_f_times_n_constant():
    n = (300, 300, 100)
    assert proportional_centers(n, 5) == (3, 3, 9)  # f n = 900 for every class
    # The published rule reverses the profile, which inverts an exponential one only.
    assert class_aware_centers(n, 5) == (2, 6, 7)


def test_exact_where_floats_are_not():
    # (f-1) K n_k / N is the integer 49 here; in floats it can be 48.999...
    n = (49, 51)
    assert class_aware_centers(n, 51) == (52, 50)


def test_fractional_mean():
    assert sum(class_aware_centers((5, 3, 1), 7 / 3)) == 7


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: class_aware_centers((3, 3), 0.5), "f must be a finite number >= 1, got 0.5"),
        (lambda: class_aware_centers((3, 3, 3), 2.1), r"f K an integer \(K=3\), got 2.1"),
        (lambda: class_aware_centers((3, 3), math.inf), "finite"),
        (lambda: class_aware_centers((3, 0), 2), r"n\[1\] must be an integer of at least 1"),
        (lambda: class_aware_centers((3, 1.5), 2), r"n\[1\]"),
        (lambda: class_aware_centers((3,), 2), "at least 2 entries"),
        (lambda: class_aware_centers((3, 3), 2, end="left"), "'small' or 'large', got 'left'"),
        (lambda: proportional_centers((3, 3), 0), "f must be"),
        (lambda: proportional_centers(5, 2), "n must be a sequence"),
        (lambda: check_centers((2, 0)), r"f\[1\] must be an integer of at least 1, got 0"),
        (lambda: check_centers((2,)), "at least 2 numbers"),
        (lambda: check_centers(3), "sequence"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_ties_of_remainders_go_to_the_rarer_then_the_later_class():
    assert proportional_centers((3, 1), 3) == (1, 5)  # shares 1.5 and 4.5
    assert proportional_centers((5, 5, 5), 4 / 3) == (1, 1, 2)
