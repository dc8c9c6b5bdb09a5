"""Known answers: the catalogue's instance, and the values of the field's common package."""

import pytest
import torch
from collapsed import noisy_etf
from tolerances import EXACT

from ufm.metrics import FeatureStats, Weighting, measure, nc, nc5_ood_dev, riesz_energy


# K = 4, n = 6, d = 7; from the definitions of Papyan et al., Tirer et al., Galanti et al. and
# Zhu et al. in NumPy, to the digits printed.
CATALOGUE = {
    "nc1_pinv": 0.0693956,
    "nc1_quot": 0.1952226,
    "nc1_cdnv": 0.0739588,
    "nc2_equinorm": 0.0335514,
    "nc2_equinorm_w": 0.0493984,
    "nc2_equiangle": 0.0812394,
    "nc2_maxangle": 0.0690747,
    "nc2_etf_err_w": 0.1079615,
    "nc3_self_dual": 0.2414946,
    "nc3_dual_err": 0.0923217,
}

# rhubarbwu/neural-collapse at c05a0b8, run once with torch's default dtype set to float64 (in
# float32, its default, the pairwise metrics are good to 1e-7 only). Its pairs: nc1_* from pooled
# covariance and class-averaged means.
COMMON_BALANCED = {
    "nc1_pinv": 0.069395616306455,
    "nc1_svd": 0.06939561630645498,
    "nc1_quot": 0.19522259766618755,
    "nc1_cdnv": 0.07395884892447575,
    "nc2_etf_err": 0.1421979419158987,
    "nc2g_dist": 0.0024491244465367564,
    "nc2g_log": 0.0009102235757857567,
    "nc3_dual_err": 0.09232169158401807,
    "nc3u_uni_dual": 0.012154759993360473,
    "nc4_agree": 1.0,
}
COMMON_IMBALANCED = {
    "nc1_pinv": 0.04504965513392223,
    "nc1_svd": 0.045049655133922194,
    "nc1_quot": 0.13865153207168254,
    "nc1_cdnv": 0.05277195087267644,
    "nc2_etf_err": 0.2239977853333721,
    "nc2g_dist": 0.003342738915619802,
    "nc2g_log": 0.0013027447314050294,
    "nc3_dual_err": 0.19357761350293984,
    "nc3u_uni_dual": 0.052500890886761443,
    "nc4_agree": 1.0,
}


def test_catalogue_values():
    row = nc(*noisy_etf()).as_row()
    for name, value in CATALOGUE.items():
        assert row[name] == pytest.approx(value, abs=5e-8), name


@pytest.mark.parametrize(("n", "values"), [(6, COMMON_BALANCED), ([9, 6, 4, 2], COMMON_IMBALANCED)])
def test_equal_to_the_common_package(n, values):
    row = nc(*noisy_etf(n), weighting=Weighting.POOLED).as_row()
    for name, value in values.items():
        assert row[name] == pytest.approx(value, rel=EXACT), name


def test_balanced_classes_make_the_weighting_irrelevant():
    rows = [nc(*noisy_etf(), weighting=weighting).as_row() for weighting in Weighting]
    assert rows[0] == pytest.approx(rows[1], rel=EXACT)
    assert rows[0] == pytest.approx(rows[2], rel=EXACT)


def test_out_of_distribution_deviation_equals_the_common_package():
    _, H, y = noisy_etf()
    mean = FeatureStats.from_columns(H, y, 4).mean
    ood = torch.arange(1.0, 8.0, dtype=torch.float64)
    assert nc5_ood_dev(mean, ood).item() == pytest.approx(0.21134939459046284, rel=EXACT)


def test_exact_etf_scores_zero_and_one():
    row = nc(*noisy_etf(noise=0, noise_W=0)).as_row()
    assert row.pop("nc4_agree") == 1
    orthogonal = (2 - 2 * (1 - 1 / 4) ** 0.5) ** 0.5
    assert row.pop("nc2_of_err") == pytest.approx(orthogonal, rel=EXACT)
    assert row.pop("nc2_of_err_w") == pytest.approx(orthogonal, rel=EXACT)
    # nc1_quot and its like: squares of rounding; the rest: rounding.
    assert all(abs(value) < EXACT for value in row.values())


# Sums over ordered pairs of Riesz energies of a simplex ETF, K(K-1)(2K/(K-1))^(-s/2), K = 4.
@pytest.mark.parametrize(
    ("s", "total"), [(1, 7.3484692283), (2, 4.5), (0, -5.8849755181), (-1, -19.5959179423)]
)
def test_riesz_energy_of_the_etf(s, total):
    W, _, _ = noisy_etf(noise_W=0)
    assert 12 * riesz_energy(W, s=s).item() == pytest.approx(total, abs=1e-10)


def test_stream_of_statistics_gives_the_record_of_the_arrays():
    W, H, y = noisy_etf([9, 6, 4, 2])
    for weighting in Weighting:
        stats = FeatureStats.from_columns(H, y, 4)
        record = measure(stats.moments(weighting), W, agreement=1.0)
        assert record.as_row() == pytest.approx(
            nc(W, H, y, weighting=weighting).as_row(), rel=EXACT
        )
