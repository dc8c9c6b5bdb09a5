"""Thresholds: the published table, 40-digit references, limits, inverses, bad input."""

import subprocess
import sys

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tolerances import EXACT

from ufm.solvers.ridge_thresholds import ridge_merging, ridge_vanishing
from ufm.solvers.thresholds import R0, R1, log_R0, log_R1, oversampling_threshold, tau0, tau1


TABLE = [  # K_A, K_B, E_W, E_H, R_0 to nine digits
    (2, 2, 1, 1, "3.38048845"), (2, 2, 5, 5, "31095.9072"), (2, 2, 10, 5, "4041623.92"),
    (2, 3, 1, 5, "104.837028"), (5, 5, 1, 1, "1.73541560"), (5, 5, 1, 5, "12.1924471"),
    (5, 5, 5, 5, "3954.67350"), (5, 5, 10, 5, "321623.238"), (7, 3, 1, 1, "1.36952958"),
    (7, 3, 1, 5, "4.00046671"), (7, 3, 5, 5, "212.741051"), (7, 3, 10, 5, "5023.91385"),
    (3, 7, 1, 5, "245.496931"), (3, 7, 5, 5, "4113420.41"),
]  # fmt: skip


@pytest.mark.parametrize(("K_A", "K_B", "E_W", "E_H", "digits"), TABLE)
def test_merging_threshold_table(K_A, K_B, E_W, E_H, digits):
    value = float(R0(K_A, K_B, (K_A + K_B) * (E_W * E_H) ** 0.5))
    assert f"{value:.9g}" == f"{float(digits):.9g}"


def reference_R0(K_A: int, K_B: int, q):
    """The parametric form in the probability q itself, all in arbitrary precision."""
    K = K_A + K_B
    y = mp.log((1 - K_A * q) / (K_B * q))
    m = mp.sqrt((mp.mpf(1) / K - K_A * q * q) / K_B)
    o = (1 - K_B * m) / K_A
    a = K_B * y * m / q - K_A * mp.log(o / m)
    return (K_A - 1) * a + K_B * y / (K * q), mp.log(1 + o * (mp.e**a - 1))


def reference_R1(K_A: int, K_B: int, tau):
    K, a = K_A + K_B, tau / (K_A - 1)
    t = mp.exp(-a / K_A)
    top = mp.exp(a * (K_A - 1) / K_A) + (K_A - 1) * t + K_B
    return mp.sqrt(mp.mpf(K_A) / K) * top / mp.sqrt((K_A * t + K_B) ** 2 - K * K_B)


def test_merging_threshold_to_rounding_over_all_scales():
    rng = np.random.default_rng(0)
    radii = []
    with mp.workdps(40):
        for _ in range(250):
            K_A, K_B = (int(10 ** rng.uniform(low, 4)) for low in (0, 0.31))
            gap = mp.mpf(10 ** rng.uniform(-9, 1))
            tau, log_ratio = reference_R0(K_A, K_B, 1 / (K_A + K_B * mp.exp(gap)))
            if not 1e-8 <= tau <= 1e6:
                continue
            radii.append(float(tau))
            error = abs(mp.mpf(float(log_R0(K_A, K_B, float(tau)))) / log_ratio - 1)
            assert error < EXACT / 10, (K_A, K_B, float(tau))
    assert min(radii) < 1e-6
    assert max(radii) > 1e5


def test_vanishing_threshold_to_rounding_and_its_inverse():
    rng = np.random.default_rng(1)
    for _ in range(150):
        K_A, K_B = int(10 ** rng.uniform(0.31, 4)), int(10 ** rng.uniform(0, 4))
        limit = K_A * (K_A - 1) * np.log1p(np.sqrt((K_A + K_B) / K_B))
        tau = limit * 10 ** rng.uniform(-8, -1e-3)
        with mp.workdps(40):
            expected = mp.log(reference_R1(K_A, K_B, mp.mpf(tau)))
            assert abs(mp.mpf(float(log_R1(K_A, K_B, tau))) / expected - 1) < EXACT
        if 1e-2 < expected < 700:
            assert float(tau1(K_A, K_B, float(mp.exp(expected)))) == pytest.approx(tau, rel=EXACT)


def test_vanishing_threshold_is_finite_only_below_its_radius():
    for K_A, K_B in ((2, 2), (7, 3), (3, 1), (40, 60)):
        limit = K_A * (K_A - 1) * np.log1p(np.sqrt((K_A + K_B) / K_B))
        assert np.isfinite(log_R1(K_A, K_B, limit * (1 - 1e-6)))
        assert log_R1(K_A, K_B, limit * (1 + 1e-6)) == np.inf
        # sqrt(K_A/K) [...] / sqrt(...) has its pole at the limit: ln R_1 ~ -ln(distance) / 2.
        gained = log_R1(K_A, K_B, limit * (1 - 1e-8)) - log_R1(K_A, K_B, limit * (1 - 1e-6))
        assert gained == pytest.approx(np.log(100) / 2, rel=1e-3)
    assert R1(1, 3, 1.0) == np.inf
    assert tau1(1, 3, 50.0) == 0


@given(
    st.integers(1, 10_000),
    st.integers(2, 10_000),
    st.floats(-7, 5.9),
    st.floats(1e-3, 0.5),
)
def test_thresholds_increase_and_are_ordered(K_A, K_B, exponent, change):
    tau = 10.0**exponent
    log_first, log_second = log_R0(K_A, K_B, np.array([tau, tau * (1 + change)]))
    assert 0 < log_first < log_second
    assert log_R1(K_A, K_B, tau) >= log_first * (1 - EXACT)


@given(st.integers(1, 10_000), st.integers(2, 10_000), st.floats(-2, 2.8))
def test_radius_is_the_inverse_of_the_threshold(K_A, K_B, exponent):
    R = np.exp(10.0**exponent)
    # ln R carries eps R'/R, which the smallest exponent here amplifies a hundred times.
    assert float(log_R0(K_A, K_B, tau0(K_A, K_B, R))) == pytest.approx(np.log(R), rel=EXACT)


def test_small_and_large_energy_limits():
    K_A, K_B = np.array([1, 2, 5, 7, 300, 3]), np.array([2, 2, 5, 3, 700, 9_000])
    K, beta = K_A + K_B, K_B / (K_A + K_B)
    small = log_R0(K_A, K_B, 1e-8)
    np.testing.assert_allclose(small, 1e-8 / (K_A * (K - 1)), rtol=1e-7)  # next order: tau
    # The corrections are logarithmic: (K_A ln tau) / tau.
    huge = log_R0(K_A, K_B, 1e30)
    np.testing.assert_allclose(huge, 1e30 / (K_A - 1 + np.sqrt(beta)), rtol=3e-2)
    # Theory page: ratio .9998 at tau = 1e4 K_A for K = 10.
    ratio = log_R0(5, 5, 5e4) / (5e4 / (4 + np.sqrt(0.5)))
    assert float(ratio) == pytest.approx(0.9998, abs=2e-4)


def test_single_majority_class_has_the_same_formula():
    with mp.workdps(40):
        for q in (0.01, 0.05, 0.19):
            K_B, K = 4, 5
            y = mp.log((1 - mp.mpf(q)) / (K_B * mp.mpf(q)))
            m = mp.sqrt((mp.mpf(1) / K - mp.mpf(q) ** 2) / K_B)
            tau, ratio = K_B * y / (K * q), m * (mp.exp(K_B * y * m / q) + K_B)
            got = float(log_R0(1, K_B, float(tau)))
            assert got == pytest.approx(float(mp.log(ratio)), rel=EXACT)


def test_oversampling_threshold():
    tau = 10 * 5**0.5
    weights = oversampling_threshold([5, 3], [5, 7], tau, R=1000)
    np.testing.assert_allclose(weights, [82.02, 4.07], atol=5e-3)  # digits of the page
    assert oversampling_threshold(5, 5, tau, R=10) < 1


def test_broadcasting_and_shapes():
    table = log_R0(np.array([2, 5])[:, None], np.array([3, 4, 9]), 20.0)
    assert table.shape == (2, 3)
    assert table[1, 2] == log_R0(5, 9, 20.0)
    assert log_R0(5, 9, 20.0).shape == ()
    assert log_R0([], [], []).shape == (0,)
    many = np.full(20_000, 20.0)
    assert (log_R0(5, 9, many) == log_R0(5, 9, 20.0)).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: R0(0, 2, 1.0), "K_A must be an integer of at least 1, got 0"),
        (lambda: R0(2, 1, 1.0), "K_B must be an integer of at least 2, got 1"),
        (lambda: R0(2.5, 2, 1.0), "K_A must be an integer of at least 1, got 2.5"),
        (lambda: R0(2, 2, 0.0), r"tau must be in \[1e-100, 1e\+100\], got 0"),
        (lambda: R0(2, 2, [1.0, np.nan]), r"tau must be in .* got nan"),
        (lambda: tau0(2, 2, 1.0), "R must be finite and > 1, got 1"),
        (lambda: tau1(2, 2, np.inf), "R must be finite and > 1, got inf"),
    ],
)
def test_bad_input_is_one_line(call, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        call()


def test_ridge_thresholds():
    n = np.array([30, 30, 4, 4, 4])
    pi = n / n.sum()
    assert ridge_merging(pi, n)[-1] == pytest.approx(0.0277777778, abs=5e-11)
    for free_bias in (False, True):
        value = float(ridge_vanishing(pi, n, free_bias=free_bias))
        assert value == pytest.approx(0.0760725774, abs=5e-11)
    # Hong and Ling's grids bracket these two.
    assert float(ridge_merging(100 / 3000, 100)) == pytest.approx(100**0.5 / 3000, rel=EXACT)
    # Balanced: everything collapses at once, at K kappa = 1.
    pi, n = np.full(4, 0.25), np.full(4, 5)
    assert float(ridge_vanishing(pi, n)) == pytest.approx(1 / (4 * 5**0.5), rel=EXACT)
    assert float(ridge_merging(pi, n)[0]) == pytest.approx(1 / (4 * 5**0.5), rel=EXACT)
    # Loss weights count in pi only.
    assert float(ridge_merging(0.2, 1)) == pytest.approx(0.2, rel=EXACT)


def test_thresholds_do_not_import_torch():
    code = "import sys, ufm.solvers.thresholds, ufm.solvers.step; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
