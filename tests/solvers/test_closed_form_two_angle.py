"""Per-vector budgets: the two-angle state and its threshold."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from tolerances import CERTIFIED

import ufm
from ufm.solvers._closed_factors import two_angle_point
from ufm.solvers.two_angle import two_angle_state, vector_log_R0, vector_R0


TABLE = [  # K_A, K_B, E_W, E_H, R_0
    (3, 2, 1, 1, "15.1706"), (2, 2, 1, 1, "22.5449"), (5, 5, 1, 5, "204.509"),
    (7, 3, 1, 5, "76.0768"), (3, 7, 1, 5, "871.822"),
]  # fmt: skip


@pytest.mark.parametrize(("K_A", "K_B", "E_W", "E_H", "digits"), TABLE)
def test_threshold_table(K_A, K_B, E_W, E_H, digits):
    assert f"{float(vector_R0(K_A, K_B, (E_W * E_H) ** 0.5)):.6g}" == digits


def risk(angles, K_A, K_B, R, s):
    """The risk as stated, in the angles themselves."""
    W, H = angles
    ss, cc = np.sin(W) * np.sin(H), np.cos(W) * np.cos(H)
    own, other, minor = s * (ss + cc), s * (cc - ss / max(K_A - 1, 1)), s * np.cos(H)
    A = np.log1p((K_A - 1) * np.exp(other - own) + K_B * np.exp(minor - own))
    B = np.log(K_B + K_A * np.exp(s * np.cos(W) - s))
    return (R * K_A * A + K_B * B) / (R * K_A + K_B)


def test_state_is_the_minimum_over_both_angles():
    rng = np.random.default_rng(0)
    for _ in range(25):
        K_A, K_B = int(rng.integers(1, 12)), int(rng.integers(2, 12))
        s, R = 10 ** rng.uniform(-2, 0.8), 10 ** rng.uniform(-2, 3)
        state = two_angle_state(K_A, K_B, R=R, s=s)
        angles = (np.arctan2(state.sin_W, state.cos_W), np.arctan2(state.sin_H, state.cos_H))
        value = risk(angles, K_A, K_B, R, s)
        assert float(state.value) == pytest.approx(value, rel=1e-13)
        for start in ((1.8, 1.8), (2.5, 2.5), (3.1, 3.1)):
            found = minimize(
                risk, start, args=(K_A, K_B, R, s), bounds=[(0, np.pi)] * 2,
                options={"ftol": 1e-16, "gtol": 1e-12},
            )  # fmt: skip
            assert state.value <= found.fun + 1e-13


def test_criterion_is_one_at_the_threshold_and_increases_through_it():
    rng = np.random.default_rng(1)
    K_A, K_B = rng.integers(1, 30, 300), rng.integers(2, 30, 300)
    s = 10 ** rng.uniform(-3, 1.3, 300)
    edge = vector_R0(K_A, K_B, s)
    assert (edge > 1).all()
    below, at, above = (
        two_angle_state(K_A, K_B, R=edge * f, s=s).criterion for f in (0.99, 1, 1.01)
    )
    np.testing.assert_allclose(at, 1, rtol=CERTIFIED)
    assert (below < 1).all()
    assert (above > 1).all()
    # Never at R = 1, where the simplex ETF is optimal.
    assert (two_angle_state(K_A, K_B, R=1, s=s).criterion < 1).all()


def test_criterion_is_monotone_in_the_ratio():
    for K_A, K_B, s in ((7, 3, 0.01), (2, 8, 0.1), (3, 7, 0.05), (1, 4, 1.0), (5, 5, 3.0)):
        criterion = two_angle_state(K_A, K_B, R=np.geomspace(1, 1e8, 500), s=s).criterion
        assert (np.diff(criterion) > 0).all()


def test_single_majority_class_is_antipodal():
    # K_A = 1: w_A = -g sqrt(E_W), so q_m, p_m are explicit and R_0 = (1/(2 q_m) - q_m)/p_m.
    for K_B, s in ((2, 0.1), (4, 1.0), (9, 3.0)):
        state = two_angle_state(1, K_B, R=5.0, s=s)
        assert (state.cos_W, state.cos_H) == (-1, -1)
        q, p = 1 / (1 + K_B * np.exp(2 * s)), 1 / (K_B + np.exp(2 * s))
        assert float(vector_R0(1, K_B, s)) == pytest.approx((1 / (2 * q) - q) / p, rel=1e-12)


def test_large_energies_do_not_overflow():
    logs = vector_log_R0([1, 2, 5, 3], [4, 2, 5, 90], 140.0)
    assert np.isfinite(logs).all()
    half = vector_log_R0([1, 2, 5, 3], [4, 2, 5, 90], 70.0)
    np.testing.assert_allclose(logs / half, 2, rtol=0.02)  # linear in s up to a constant


@pytest.mark.parametrize("s", [0.0, 200.0, np.nan])
def test_bad_energy_is_refused(s):
    with pytest.raises(ValueError, match=r"^s must be in \[1e-100, 150\], got "):
        vector_R0(2, 2, s)


@pytest.mark.parametrize(
    ("K_A", "K_B", "s"), [(3, 2, 1.0), (7, 3, 5**0.5), (1, 4, 1.4), (2, 8, 0.1), (3, 7, 0.05)]
)
def test_certificate_accepts_the_state_above_the_threshold_only(K_A, K_B, s):
    # The last two have merged majority classes at the threshold.
    edge = float(vector_R0(K_A, K_B, s))
    K, gaps = K_A + K_B, {}
    for factor in (0.98, 1.02):
        R = edge * factor
        problem = ufm.Problem(
            K=K, d=K, n=(1,) * K, weights=ufm.step_weights(K=K, K_A=K_A, R=R),
            reg=ufm.VectorBudget(E_W=1.0, E_H=s * s),
        )  # fmt: skip
        point = two_angle_point(problem, K_A, two_angle_state(K_A, K_B, R=R, s=s))
        W, H = (torch.zeros(K, K, dtype=torch.float64) for _ in range(2))
        W[:, : point.W.shape[-1]], H[: point.W.shape[-1]] = point.W, point.H
        gaps[factor] = float(ufm.certify(ufm.Solution.from_arrays(problem, W, H)).gap)
    assert abs(gaps[1.02]) < CERTIFIED
    assert gaps[0.98] > 1e-8
