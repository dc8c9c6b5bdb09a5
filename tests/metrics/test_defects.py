"""What public metric code gets wrong, one test each: vacuous, degenerate or misindexed metrics."""

import math

import pytest
import torch
from collapsed import gaussian, noisy_etf
from tolerances import EXACT

from ufm.geometry import etf, orthogonal
from ufm.metrics import (
    FeatureStats,
    Moments,
    equinorm,
    etf_err,
    maxangle,
    nc,
    nc1_cdnv,
    nc1_pinv,
    nc1_quot,
    nc1_share,
    nc1_svd,
    of_err,
    riesz_spread,
)


CROSS = torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]], dtype=torch.float64)


def test_nc4_sees_the_bias():
    # A bias this large makes the linear rule answer 0 everywhere: agreement is 0's share.
    W, H, y = noisy_etf(10, K=5, d=8)
    b = torch.tensor([10.0, 0, 0, 0, 0], dtype=torch.float64)
    assert nc(W, H, y).nc4_agree == 1
    assert nc(W, H, y, b).nc4_agree == pytest.approx(0.2, rel=EXACT)


def test_maximal_angles_are_not_averaged_with_their_sign():
    # For centred vectors of equal norm the signed mean of cos + 1/(K-1) is identically zero.
    signed = CROSS @ CROSS.mT
    i, j = torch.triu_indices(4, 4, 1)
    assert (signed[i, j] + 1 / 3).mean().abs() < EXACT
    assert maxangle(CROSS).item() == pytest.approx(4 / 9, rel=EXACT)


def test_norm_spread_is_not_averaged_with_its_sign():
    # Norms 1, 2, 1: the sum over i < j of log-norm differences is zero.
    V = torch.diag(torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64))
    assert equinorm(V).item() == pytest.approx((2 / 9) ** 0.5 / (4 / 3), rel=EXACT)


def test_an_exact_etf_has_no_rounding_noise_over_rounding_noise():
    # A normalisation by the norms' own covariance scores .7071 here.
    assert etf_err(etf(4, 6)) < EXACT
    assert equinorm(etf(4, 6)) < EXACT
    assert maxangle(etf(4, 6)) < EXACT


def test_an_orthogonal_frame_is_told_from_an_etf_by_the_uncentred_metrics_only():
    frame = orthogonal(4, 5)
    record = nc(frame, frame.mT, torch.arange(4))
    assert record.nc2_etf_err < EXACT
    assert record.nc2_maxangle < EXACT
    assert record.nc2_of_err < EXACT
    distance = (2 - 2 * (1 - 1 / 4) ** 0.5) ** 0.5
    assert record.nc2_etf_err_raw == pytest.approx(distance, rel=EXACT)
    assert record.nc2_etf_err_w == pytest.approx(distance, rel=EXACT)
    assert of_err(etf(4, 5)).item() == pytest.approx(distance, rel=EXACT)


@pytest.mark.parametrize("scatter", [0.0, 1.0])
def test_equal_class_means_are_not_perfect_collapse(scatter):
    # Pairs +-x about one point: every class mean is the point; pinv(S_B) = 0 would give NC1 = 0.
    x = scatter * gaussian(3, 5, seed=2)
    X = torch.stack([x, -x], 1).flatten(0, 1) + torch.tensor([1.0, 2, 3, 4, 5]).double()
    y = torch.arange(3).repeat_interleave(2)
    message = "class means must differ, got all K=3 equal to within rounding"
    with pytest.raises(ValueError, match=message):
        nc(gaussian(3, 5, seed=1), X.mT, y)
    with pytest.raises(ValueError, match=message):
        FeatureStats.from_columns(X.mT, y, 3).moments()
    m = Moments.of_columns(X.mT, y, 3)
    assert bool(m.coincide)
    for metric in (nc1_pinv, nc1_svd, nc1_quot, nc1_cdnv):
        assert math.isnan(metric(m)), metric
    for metric in (equinorm, etf_err, maxangle):
        assert math.isnan(metric(m.centred)), metric
    share = nc1_share(m)
    assert share == 1 if scatter else math.isnan(share)


def test_zero_features_are_refused():
    with pytest.raises(ValueError, match="class means must differ"):
        nc(torch.zeros(3, 2), torch.zeros(2, 3), [0, 1, 2])


def test_a_collapsed_minority_is_not_scored_as_collapsed_variability():
    # Classes 2 and 3 share a mean, with scatter: pinv forgets the direction between them.
    W, H, y = noisy_etf(40, noise=0.3)
    H = H.clone()
    H[:, y == 3] = H[:, y == 2] + 1e-7 * gaussian(7, 40, seed=1)
    record = nc(W, H, y)
    assert record.nc1_svd > 1e6
    assert record.nc1_cdnv > 1e6
    assert record.nc2_etf_err > 0.1
    assert math.isnan(nc(W, H[:, y < 3][:, [*range(120), *range(80, 120)]], y).nc1_cdnv)


def test_a_small_difference_of_class_means_still_counts():
    h, s = 1e-5, 0.1
    mean = torch.tensor([[1, h], [-1, h], [0, -2 * h]], dtype=torch.float64)
    e = torch.eye(2, dtype=torch.float64)
    X = torch.cat([mean + s * v for v in (*e, *-e)])
    m = Moments.of_columns(X.mT, torch.arange(3).repeat(4), 3)
    # S_W = s^2/2 I, S_B = diag(2/3, 2 h^2).
    exact = s**2 / 2 * (3 / 2 + 1 / (2 * h**2)) / 3
    assert nc1_pinv(m).item() == pytest.approx(exact, rel=1e-9)  # h is lost at 1e-16 in 1
    assert nc1_svd(m).item() == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("unit", [1e-300, 1e150])
def test_the_classifier_s_unit_does_not_matter(unit):
    W, H, y = noisy_etf(6)
    plain, scaled = nc(W, H, y).as_row(), nc(unit * W, H, y).as_row()
    for name in plain:
        if name != "nc3u_uni_dual":
            assert scaled[name] == pytest.approx(plain[name], rel=1e-9, abs=EXACT), name


def test_exactly_coinciding_minority_is_nan_with_a_reason_not_an_error():
    M = etf(3, 4)[[0, 1, 2, 2]]
    record = nc(M, M.mT, torch.arange(4))
    assert record.nc1_quot == 0
    undefined = record.undefined
    assert set(undefined) == {"nc1_svd", "nc1_cdnv", "nc2g_dist", "nc2g_log"}
    assert undefined["nc1_cdnv"] == "two class means coincide"
    # The two rules cut the space alike: sharing a cell is no disagreement.
    assert record.nc4_agree == 1


def test_the_riesz_exponent_is_not_tied_to_the_dimension():
    # s = d - 2 is 0 at d = 2 and makes the statistic a constant: variance 0 for any vectors.
    V = torch.tensor([[1.0, 0], [0, 1], [-1, -1]], dtype=torch.float64)
    assert riesz_spread(V, s=0) > 1e-3
    assert riesz_spread(V, s=1) > 1e-3
    assert riesz_spread(etf(3, 2), s=0) < EXACT


def test_float64_throughout_pairwise_metrics():
    _, H, y = noisy_etf()
    m = Moments.of_columns(H, y, 4)
    exact = [
        (m.spread[i] + m.spread[j]) / 2 / (m.mean[i] - m.mean[j]).square().sum()
        for i in range(4) for j in range(i)
    ]  # fmt: skip
    assert nc1_cdnv(m).dtype == torch.float64
    assert nc1_cdnv(m).item() == pytest.approx(float(sum(exact)) / 6, rel=EXACT)


def test_zero_classifier_is_undefined_and_disagrees():
    _, H, y = noisy_etf(noise=0)
    record = nc(torch.zeros(4, 7), H, y)
    assert record.nc4_agree == pytest.approx(1 / 4, rel=EXACT)
    assert record.undefined["nc3_self_dual"] == "W is zero"
    assert math.isnan(record.nc2_etf_err_w)
