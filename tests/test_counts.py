"""Class-size profiles: the field's numbers, their properties, bad input."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

from ufm.counts import (
    balanced_sizes,
    check_count,
    check_number,
    check_sizes,
    cifar10_lt_sizes,
    cifar100_lt_sizes,
    exponential_sizes,
    step_sizes,
    step_weights,
)


# Training-set sizes that papers on long-tailed CIFAR print.
@pytest.mark.parametrize(
    ("sizes", "rho", "total"),
    [
        (cifar10_lt_sizes, 1, 50000),
        (cifar10_lt_sizes, 10, 20431),
        (cifar10_lt_sizes, 50, 13996),
        (cifar10_lt_sizes, 100, 12406),
        (cifar10_lt_sizes, 200, 11203),
        (cifar100_lt_sizes, 1, 50000),
        (cifar100_lt_sizes, 10, 19573),
        (cifar100_lt_sizes, 50, 12608),
        (cifar100_lt_sizes, 100, 10847),
        (cifar100_lt_sizes, 200, 9502),
    ],
)
def test_long_tailed_cifar_has_the_published_totals(sizes, rho, total):
    assert sum(sizes(rho)) == total


def test_end_points_survive_rounding():
    # 500 * 10 ** -1 and its like land a rounding error below the integer they stand for.
    for K in range(2, 60):
        for rho in (10, 20, 50, 100, 3):
            n = exponential_sizes(K=K, n_max=300, rho=rho)
            assert (n[0], n[-1]) == (300, 300 // rho)


@given(K=st.integers(2, 30), n_max=st.integers(1, 5000), rho=st.floats(1, 50))
def test_exponential_profile(K, n_max, rho):
    if n_max < rho:
        with pytest.raises(ValueError, match="rho must leave each class a sample"):
            exponential_sizes(K=K, n_max=n_max, rho=rho)
        return
    n = exponential_sizes(K=K, n_max=n_max, rho=rho)
    assert n[0] == n_max
    assert list(n) == sorted(n, reverse=True)
    for k, size in enumerate(n):
        assert 0 <= n_max * rho ** (-k / (K - 1)) - size + 1e-6 < 1 + 1e-5


@given(data=st.data(), K=st.integers(2, 30), n_max=st.integers(1, 5000), rho=st.floats(1, 50))
def test_step_profile(data, K, n_max, rho):
    K_A = data.draw(st.integers(1, K))
    if n_max < rho:
        with pytest.raises(ValueError, match="rho must leave each class a sample"):
            step_sizes(K=K, K_A=K_A, n_max=n_max, rho=rho)
        return
    n = step_sizes(K=K, K_A=K_A, n_max=n_max, rho=rho)
    assert n[:K_A] == (n_max,) * K_A
    assert set(n[K_A:]) <= {math.floor(n_max / rho), round(n_max / rho)}
    assert len(n) == K


def test_balanced_is_a_step_of_one():
    balanced = balanced_sizes(K=5, n=7)
    assert balanced == step_sizes(K=5, K_A=2, n_max=7, rho=1)
    assert balanced == exponential_sizes(K=5, n_max=7, rho=1)


def test_step_weights_may_be_any_positive_ratio():
    assert step_weights(K=4, K_A=2, R=math.pi) == (math.pi, math.pi, 1.0, 1.0)
    assert step_weights(K=3, K_A=3, R=0.5) == (0.5,) * 3


def test_numpy_numbers_become_plain_ones():
    n = step_sizes(K=np.int64(3), K_A=1, n_max=np.int32(10), rho=np.float32(2))
    assert n == (10, 5, 5)
    assert {type(size) for size in n} == {int}
    assert type(check_number("x", np.float64(0.5))) is float
    assert check_sizes(np.array([1, 2]), 2) == (1, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: balanced_sizes(K=1, n=3), "K must be an integer of at least 2, got 1"),
        (lambda: balanced_sizes(K=3, n=0), "n must be an integer of at least 1, got 0"),
        (lambda: balanced_sizes(K=3.0, n=1), "K must be an integer of at least 2, got 3.0"),
        (lambda: balanced_sizes(K=True, n=1), "K must be an integer of at least 2, got True"),
        (lambda: step_sizes(K=3, K_A=4, n_max=5, rho=2), "K_A must be at most K=3, got 4"),
        (lambda: step_sizes(K=3, K_A=0, n_max=5, rho=2), "K_A must be an integer of at least 1"),
        (lambda: step_sizes(K=3, K_A=1, n_max=5, rho=0.5), "rho must be a finite number >= 1"),
        (lambda: step_sizes(K=3, K_A=1, n_max=5, rho=6), r"rho must leave each class .*, got 6"),
        (lambda: exponential_sizes(K=3, n_max=5, rho=math.inf), "rho must be .* >= 1, got inf"),
        (lambda: exponential_sizes(K=3, n_max=5, rho=math.nan), "rho must be .* >= 1, got nan"),
        (lambda: cifar10_lt_sizes(5001), "rho must leave each class a sample"),
        (lambda: step_weights(K=3, K_A=4, R=2), "K_A must be at most K=3, got 4"),
        (lambda: step_weights(K=3, K_A=1, R=0), "R must be a finite number > 0, got 0"),
        (lambda: check_number("E_W", "1"), "E_W must be a finite number >= 0, got '1'"),
        (lambda: check_number("E_W", True), "E_W must be a finite number >= 0, got True"),
        (lambda: check_number("E_W", 10**400), "E_W must be a finite number >= 0, got 1000"),
        (lambda: check_number("x", math.nan, -math.inf), "x must be a finite number, got nan"),
        (lambda: check_count("n", None), "n must be an integer of at least 1, got None"),
    ],
)
def test_bad_input_names_argument_requirement_and_value(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("n", "message"),
    [
        ((1, 2), "n must have K=3 entries, got 2"),
        ((1, 0, 2), r"n\[1\] must be an integer of at least 1, got 0"),
        ((1, 2, -3), r"n\[2\] must be an integer of at least 1, got -3"),
        ((1, 2.5, 3), r"n\[1\] must be an integer of at least 1, got 2.5"),
        ((1, 2.0, 3), r"n\[1\] must be an integer of at least 1, got 2.0"),
        ("123", "n must be a sequence of K=3 class sizes, got '123'"),
        (3, "n must be a sequence of K=3 class sizes, got 3"),
        (np.array(3), "n must be a sequence of K=3 class sizes"),
        (torch.tensor(3), "n must be a sequence of K=3 class sizes"),
        (None, "n must be a sequence of K=3 class sizes, got None"),
    ],
)
def test_bad_class_sizes(n, message):
    with pytest.raises(ValueError, match=message):
        check_sizes(n, 3)


@pytest.mark.parametrize("kind", [np.array, torch.tensor, list])
def test_sizes_come_as_bincount_gives_them(kind):
    unchecked = getattr(check_sizes, "__wrapped__", check_sizes)
    assert unchecked(kind([3, 1, 2]), 3) == (3, 1, 2)
    assert all(type(size) is int for size in unchecked(kind([3, 1, 2]), 3))
    with pytest.raises(ValueError, match=r"n\[1\] must be an integer of at least 1, got 0"):
        unchecked(kind([3, 0, 2]), 3)
    with pytest.raises(ValueError, match="n must have K=3 entries, got 2"):
        unchecked(kind([3, 1]), 3)
