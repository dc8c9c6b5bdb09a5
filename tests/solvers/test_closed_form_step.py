"""Exact step imbalance against an independent certificate, the published table and symmetries."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tolerances import CERTIFIED, EXACT

from ufm.solvers.step import step_optimum
from ufm.solvers.thresholds import R0, R1


TABLE = [  # K_A, K_B, E_H, R, phase, F*, mu/pi_B, cos, |w_A|^2/E_W, |w_B|^2/E_W, |h_B|^2/E_H
    (5, 5, 5, 5, "full", .376705506418, .85346169, .07252741, 1.554536, .445464, .417447),
    (5, 5, 5, 10, "full", .261677038637, .97297555, .51749628, 1.805860, .194140, .152760),
    (5, 5, 5, 100, "collapsed", .091299164075, 7.11631247, 1, 1.965847, .034153, .000660),
    (7, 3, 5, 3, "full", .476396165203, .90120470, .16564263, 1.277416, .352697, .329784),
    (7, 3, 5, 5, "collapsed", .399655089328, 1.18125220, 1, 1.409625, .044209, .029481),
    (7, 3, 5, 10, "vanished", .321853497805, 2.29972955, np.nan, 1.428571, 0, 0),
    (3, 7, 5, 100, "full", .050453680086, .94767983, .31068989, 2.731642, .257868, .203148),
    (2, 2, 1, 2, "full", .543340722014, .81185114, .06987843, 1.361559, .638441, .547643),
    (50, 50, 5, 10, "vanished", 1.085333466491, 5.24710429, np.nan, 2, 0, 0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("K_A", "K_B", "E_H", "R", "phase", "value", "mu", "cosine", "w_A", "w_B", "h_B"), TABLE
)
def test_reference_table(K_A, K_B, E_H, R, phase, value, mu, cosine, w_A, w_B, h_B):
    optimum = step_optimum(K_A, K_B, R=R, tau=(K_A + K_B) * E_H**0.5)
    assert optimum.phase == phase
    # As many digits as the page prints.
    assert float(optimum.value) == pytest.approx(value, abs=6e-13)
    assert float(optimum.mu / optimum.pi_B) == pytest.approx(mu, abs=6e-9)
    assert float(optimum.cos_W_B) == pytest.approx(cosine, abs=6e-9, nan_ok=True)
    for got, expected in ((optimum.w_A, w_A), (optimum.w_B, w_B), (optimum.h_B, h_B)):
        assert float(got) == pytest.approx(expected, abs=6e-7)


def shares(K_A: int, K_B: int, R: float) -> np.ndarray:
    return np.r_[np.full(K_A, R), np.ones(K_B)] / (R * K_A + K_B)


def raw_gap(Z: np.ndarray, pi: np.ndarray, tau: float) -> tuple[float, float]:
    """Primal, and ``F(Z) - D(softmax Z)`` by dense linear algebra that knows no blocks."""
    label = np.diag(Z)
    odds = np.exp(Z - label)
    Q = odds / odds.sum(0)
    primal = float(pi @ np.log(odds.sum(0)))
    entropy = -np.where(Q > 0, Q * np.log(np.where(Q > 0, Q, 1)), 0).sum(0)
    G = (Q - np.eye(len(pi))) * pi
    return primal, primal - float(pi @ entropy) + tau * np.linalg.norm(G, 2)


def test_certified_by_dense_linear_algebra_in_every_phase():
    rng = np.random.default_rng(2)
    seen = set()
    for _ in range(120):
        K_A, K_B = (int(k) for k in rng.integers(1, 12, 2))
        R, s = 10 ** rng.uniform(-4, 4), 10 ** rng.uniform(-2, 0.7)
        optimum = step_optimum(K_A, K_B, R=R, tau=(K_A + K_B) * s)
        Z, tau = optimum.Z(), float(optimum.tau)
        primal, gap = raw_gap(Z, shares(K_A, K_B, R), tau)
        assert abs(gap) < 1e-13
        assert abs(float(optimum.gap)) < 1e-13
        assert float(optimum.value) == pytest.approx(primal, abs=1e-14)
        assert np.linalg.norm(Z, "nuc") == pytest.approx(tau, rel=EXACT)
        assert np.abs(Z.sum(0)).max() < EXACT * tau
        values = np.linalg.svd(Z, compute_uv=False)
        assert (values > 1e-7 * values[0]).sum() == optimum.rank
        seen.add((str(optimum.phase), R > 1))
    assert seen == {(p, big) for p in ("full", "collapsed", "vanished") for big in (True, False)}


def test_the_gap_rejects_everything_else():
    # Negative control: blocks of another ratio, another radius, or noise are not optimal.
    optimum, pi = step_optimum(5, 5, R=10, tau=20.0), shares(5, 5, 10)
    assert raw_gap(optimum.Z(), pi, 20.0)[1] < 1e-13
    assert raw_gap(step_optimum(5, 5, R=10.001, tau=20.0).Z(), pi, 20.0)[1] > 1e-5
    smaller = step_optimum(5, 5, R=10, tau=19.99).Z()
    assert raw_gap(smaller, pi, 20.0)[1] > 1e-5
    noise = np.random.default_rng(0).normal(size=(10, 10))
    Z = optimum.Z() + 1e-6 * noise
    assert raw_gap(Z * 20.0 / np.linalg.norm(Z, "nuc"), pi, 20.0)[1] > 1e-9


@pytest.mark.parametrize(("K_A", "K_B"), [(5, 5), (7, 3), (2, 2), (3, 9), (1, 4), (6, 1)])
def test_phases_change_at_the_thresholds(K_A, K_B):
    # Three quarters of the radius above which nothing vanishes.
    limit = K_A * (K_A - 1) * np.log1p(np.sqrt((K_A + K_B) / K_B))
    tau = 0.75 * limit if K_A > 1 else 2.0
    if K_B > 1:
        edge = float(R0(K_A, K_B, tau))
        below, above = (step_optimum(K_A, K_B, R=edge * f, tau=tau) for f in (1 - 1e-7, 1 + 1e-7))
        assert (below.phase, above.phase) == ("full", "collapsed")
        assert below.mu / below.pi_B < 1 < above.mu / above.pi_B
        assert 0 < float(below.e) < 1e-5
        assert above.e == 0
        assert below.cos_W_B < 1
        assert above.cos_W_B == 1
        assert abs(below.value - above.value) < 1e-7
    edge = float(R1(K_A, K_B, tau))
    assert np.isfinite(edge) == (K_A > 1)
    if K_A > 1:
        below, above = (step_optimum(K_A, K_B, R=edge * f, tau=tau) for f in (1 - 1e-7, 1 + 1e-7))
        assert (below.phase, above.phase) == ("full" if K_B == 1 else "collapsed", "vanished")
        assert 0 < float(below.w_B) < 1e-5
        assert above.w_B == above.h_B == 0
        assert float(above.w_A) == pytest.approx((K_A + K_B) / K_A, rel=EXACT)
        assert np.isnan(above.cos_W_B)


@given(st.integers(1, 200), st.integers(1, 200), st.floats(-14, 14), st.floats(-4, 5))
def test_swapping_the_groups_is_a_symmetry(K_A, K_B, log_R, log_tau):
    R, tau = np.exp(log_R), np.exp(log_tau)
    one, two = step_optimum(K_A, K_B, R=R, tau=tau), step_optimum(K_B, K_A, R=1 / R, tau=tau)
    assert one.phase == two.phase
    for left, right in (("a", "e"), ("c", "d"), ("w_A", "w_B"), ("cos_H_A", "cos_H_B")):
        # 1/R is rounded, and the gap of a group about to merge feels that.
        np.testing.assert_allclose(getattr(one, left), getattr(two, right), rtol=1e-6, atol=1e-10)
    np.testing.assert_allclose(one.value, two.value, rtol=CERTIFIED)
    assert abs(one.gap) < 1e-13


def test_balanced_profiles_are_simplex_etfs():
    for K_A, K_B in ((1, 1), (1, 3), (4, 1), (3, 7)):
        K, tau = K_A + K_B, 2.5 * (K_A + K_B)
        optimum = step_optimum(K_A, K_B, R=1, tau=tau)
        assert optimum.phase == "balanced"
        np.testing.assert_allclose(
            optimum.Z(), tau / (K - 1) * (np.eye(K) - 1 / K), rtol=EXACT, atol=EXACT
        )
        expected = np.log1p((K - 1) * np.exp(-tau / (K - 1)))
        assert float(optimum.value) == pytest.approx(expected, rel=EXACT)
        assert float(optimum.w_A) == pytest.approx(1, rel=EXACT)
    # cos of classifier rows of the two groups of an ETF is -1/(K-1) within a group too.
    assert float(step_optimum(3, 7, R=1, tau=5.0).cos_H_B) == pytest.approx(-1 / 9, rel=EXACT)


def test_norms_and_cosines_are_those_of_the_factors():
    for R in (3.0, 4.5, 0.3):
        optimum = step_optimum(4, 3, R=R, tau=9.0)
        U, S, Vh = np.linalg.svd(optimum.Z())
        gram_W, gram_H = (U * S) @ U.T * 7 / 9.0, (Vh.T * S) @ Vh * 7 / 9.0
        for gram, one, two, cos_A, cos_B in (
            (gram_W, optimum.w_A, optimum.w_B, optimum.cos_W_A, optimum.cos_W_B),
            (gram_H, optimum.h_A, optimum.h_B, optimum.cos_H_A, optimum.cos_H_B),
        ):
            np.testing.assert_allclose(np.diag(gram), [float(one)] * 4 + [float(two)] * 3, 1e-10)
            assert gram[0, 1] / gram[0, 0] == pytest.approx(float(cos_A), rel=CERTIFIED)
            assert gram[4, 5] / gram[4, 4] == pytest.approx(float(cos_B), rel=CERTIFIED)


def test_two_classes_have_one_scalar():
    # K = 2: Z = [[-d, c], [d, -c]] with d, c < 0 and tau^2 = 2 (c^2 + d^2).
    optimum = step_optimum(1, 1, R=9, tau=3.0)
    assert optimum.phase == "full"
    assert float(np.hypot(optimum.c, optimum.d)) == pytest.approx(3 / 2**0.5, rel=EXACT)
    grid = np.linspace(0, np.pi / 2, 200_001)
    c, d = 3 / 2**0.5 * np.cos(grid), 3 / 2**0.5 * np.sin(grid)
    risk = 0.9 * np.log1p(np.exp(-2 * d)) + 0.1 * np.log1p(np.exp(-2 * c))
    assert float(optimum.value) == pytest.approx(risk.min(), rel=CERTIFIED)
    assert np.isnan(optimum.cos_W_A)


def test_extreme_arguments_keep_their_certificate():
    rng = np.random.default_rng(3)
    size = 4000
    K_A, K_B = rng.choice([1, 2, 3, 10, 100, 10_000], (2, size))
    tau = 10 ** rng.uniform(-9, 6, size)
    R = np.exp(rng.choice([-1, 1], size) * 10 ** rng.uniform(-9, 2.8, size))
    optimum = step_optimum(K_A, K_B, R=R, tau=tau)
    # Three orders above rounding of a gap of order one at K = 10^4.
    assert np.abs(optimum.gap).max() < 1e-13
    for name in ("a", "b", "c", "d", "e", "f", "mu", "value", "w_A", "w_B", "h_A", "h_B"):
        assert np.isfinite(getattr(optimum, name)).all(), name
    total = (K_A * optimum.w_A + K_B * optimum.w_B) / (K_A + K_B)
    np.testing.assert_allclose(total, 1, rtol=EXACT)


def test_a_batch_is_a_loop():
    R = np.geomspace(0.01, 100, 41)
    batch = step_optimum(4, 6, R=R, tau=8.0)
    for i in (0, 13, 20, 40):
        single = step_optimum(4, 6, R=R[i], tau=8.0)
        assert single.value == batch.value[i]
        assert (single.Z() == batch.Z(i)).all()
        assert single.phase == batch.phase[i]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"R": -1.0, "tau": 1.0}, r"R must be in \[1e-300, 1e\+300\], got -1"),
        ({"R": 2.0, "tau": np.nan}, r"tau must be in .*, got nan"),
    ],
)
def test_bad_input_is_one_line(arguments, message):
    with pytest.raises(ValueError, match=message):
        step_optimum(2, 2, **arguments)
