"""The record: invariances, rejections, boundaries, bad input, batches, solutions."""

import math

import hypothesis.strategies as st
import pytest
import torch
from collapsed import gaussian, noisy_etf, rotation
from hypothesis import given
from tolerances import EXACT

import ufm
from ufm.geometry import etf
from ufm.metrics import NCRecord, Weighting, measure, nc, observe, riesz_energy
from ufm.metrics.batched import OBSERVABLES


# Everything but the variance of raw products.
SCALE_FREE = set(NCRecord.__dataclass_fields__) - {"nc3u_uni_dual"}

weightings = st.sampled_from(Weighting)
instances = st.builds(
    noisy_etf,
    n=st.lists(st.integers(1, 6), min_size=4, max_size=4),
    noise=st.floats(0.01, 1),
    seed=st.integers(0, 500),
)


def assert_same(a, b, names=None, *, tol=EXACT):
    a, b = a.as_row(), b.as_row()
    for name in names or a:
        assert a[name] == pytest.approx(b[name], rel=tol, abs=tol), name


@given(instance=instances, seed=st.integers(0, 100), weighting=weightings)
def test_rotations_change_nothing(instance, seed, weighting):
    W, H, y = instance
    R = rotation(7, seed)
    rotated = nc(W @ R, R.mT @ H, y, weighting=weighting)
    assert_same(rotated, nc(W, H, y, weighting=weighting))


@given(instance=instances, order=st.permutations(range(4)), weighting=weightings)
def test_relabelling_changes_nothing(instance, order, weighting):
    W, H, y = instance
    b = gaussian(4, seed=1)
    order = torch.tensor(order)
    relabelled = nc(W[order], H, order.argsort()[y], b[order], weighting=weighting)
    assert_same(relabelled, nc(W, H, y, b, weighting=weighting))


@given(instance=instances, log_a=st.floats(-30, 30), log_c=st.floats(-30, 30))
def test_scales_change_nothing_but_the_raw_products(instance, log_a, log_c):
    W, H, y = instance
    a, c = math.exp(log_a), math.exp(log_c)
    record, scaled = nc(W, H, y), nc(a * W, c * H, y)
    assert_same(scaled, record, SCALE_FREE)
    product = scaled.nc3u_uni_dual / (a * c) ** 2
    assert product == pytest.approx(record.nc3u_uni_dual, rel=1e3 * EXACT)  # a cancelling variance


@given(instance=instances, shift=st.floats(-3, 3), weighting=weightings)
def test_centred_metrics_ignore_a_common_offset(instance, shift, weighting):
    W, H, y = instance
    moved = nc(W, H + shift, y, -shift * W.sum(-1), weighting=weighting)
    names = SCALE_FREE - {"nc2_etf_err_raw", "nc2_of_err"}
    assert_same(moved, nc(W, H, y, weighting=weighting), names, tol=100 * EXACT)  # shift/spread


def test_extra_dimensions_change_nothing():
    W, H, y = noisy_etf([5, 4, 3, 2])
    pad = torch.zeros(4, 9, dtype=torch.float64)
    wide = nc(torch.cat([W, pad], 1), torch.cat([H, torch.zeros(9, 14).double()]), y)
    assert_same(wide, nc(W, H, y))


@pytest.mark.parametrize(
    ("change", "rejecting"),
    [
        ("norm", {"nc2_equinorm", "nc2_etf_err", "nc3_self_dual", "nc3_dual_err"}),
        ("angle", {"nc2_equiangle", "nc2_maxangle", "nc2_etf_err", "nc2g_dist", "nc2g_log"}),
        ("scatter", {"nc1_pinv", "nc1_svd", "nc1_quot", "nc1_cdnv", "nc1_share"}),
        ("weight", {"nc2_equinorm_w", "nc2_etf_err_w", "nc3_self_dual", "nc3u_uni_dual"}),
        ("swap", {"nc3_self_dual", "nc3_dual_err", "nc3u_uni_dual"}),
        ("offset", {"nc2_etf_err_raw"}),
    ],
)
def test_every_metric_rejects_a_perturbed_etf(change, rejecting):
    W, H, y = noisy_etf(2, noise=0, noise_W=0)
    W, H = W.clone(), H.clone()
    if change == "norm":
        H[:, y == 0] *= 1.1
    elif change == "angle":
        H[:, y == 0] += 0.1 * H[:, y == 1]
    elif change == "scatter":
        H += 0.05 * gaussian(*H.shape, seed=1)
    elif change == "weight":
        W[0] *= 1.1
    elif change == "swap":
        W = W[[1, 0, 2, 3]]
    else:
        H += 0.1
    row = nc(W, H, y).as_row()
    weak = {name: row[name] for name in rejecting if not row[name] > 1e-4}
    assert not weak


def test_nc4_rejects_a_swapped_classifier():
    W, H, y = noisy_etf(noise=0)
    assert nc(W[[1, 0, 2, 3]], H, y).nc4_agree == pytest.approx(0.5, rel=EXACT)


def test_an_unfinished_run_is_not_collapsed():
    row = nc(gaussian(4, 7, seed=1), gaussian(7, 24, seed=2), torch.arange(24) % 4).as_row()
    assert row.pop("nc4_agree") < 0.9
    assert {name for name, value in row.items() if not value > 1e-3} == set()


def test_two_classes_are_opposite_whatever_they_are():
    # NC2 of centred means is vacuous at K = 2; NC1, NC3 and the uncentred metrics are not.
    W, H, y = gaussian(2, 3, seed=1), gaussian(3, 10, seed=2), torch.arange(10) % 2
    record = nc(W, H, y)
    for name in ("nc2_equinorm", "nc2_equiangle", "nc2_maxangle", "nc2_etf_err", "nc2g_log"):
        assert abs(record.as_row()[name]) < EXACT, name
    assert record.nc1_quot > 1e-2
    assert record.nc3_self_dual > 1e-2
    assert record.nc2_etf_err_raw > 1e-2
    exact = nc(etf(2, 1), etf(2, 1).mT, [0, 1])
    assert exact.nc3_self_dual < EXACT
    assert exact.undefined == {}


def test_fewer_dimensions_than_an_etf_needs():
    W, H, y = gaussian(5, 2, seed=1), gaussian(2, 50, seed=2), torch.arange(50) % 5
    record = nc(W, H, y)
    assert record.nc1_svd == pytest.approx(record.nc1_pinv, rel=EXACT)
    assert record.nc2_etf_err > 0.3


def test_float32_arrays_are_measured_in_float64():
    W, H, y = noisy_etf()
    assert_same(nc(W.float(), H.float(), y), nc(W.float().double(), H.float().double(), y))
    assert_same(nc(W.numpy(), H.numpy(), y.tolist()), nc(W, H, y))


def test_etf_minimises_riesz_energies():
    for s in (-1.0, 0.0, 1.0, 3.0):
        best = riesz_energy(etf(4, 3), s=s)
        others = riesz_energy(gaussian(200, 4, 3, seed=3), s=s)
        near = riesz_energy(etf(4, 3) + 1e-3 * gaussian(200, 4, 3, seed=4), s=s)
        assert (others > best).all()
        assert (near > best).all()


def test_record_is_a_row_of_floats():
    row = nc(*noisy_etf()).as_row()
    assert all(type(value) is float for value in row.values())
    assert next(iter(row)) == "nc1_pinv"


def test_without_a_second_pass_nc4_says_so():
    W, H, y = noisy_etf()
    m = ufm.FeatureStats.from_columns(H, y, 4).moments()
    record = measure(m, W)
    assert math.isnan(record.nc4_agree)
    assert record.undefined["nc4_agree"].startswith("not measured")


@pytest.mark.parametrize(
    ("W", "H", "y", "b", "message"),
    [
        ((4, 7), (7, 24), range(23), None, r"H must have shape \(d, M\) = \(7, 23\)"),
        ((4, 7), (24, 7), [0] * 24, None, r"H must have shape \(d, M\) = \(7, 24\)"),
        ((4,), (7, 24), [0] * 24, None, r"W must have shape \(K, d\), got \(4,\)"),
        ((1, 7), (7, 24), [0] * 24, None, "K must be an integer of at least 2, got 1"),
        ((4, 7), (7, 24), [0] * 24, None, r"y must contain every class, class 1 \(and 2 more\)"),
        ((4, 7), (7, 4), [0, 1, 2, 4], None, r"y must lie in 0..K-1 = 0..3, got 0..4"),
        ((4, 7), (7, 4), [0.0, 1, 2, 3], None, "y must be a vector of integer labels"),
        ((4, 7), (7, 4), [[0, 1, 2, 3]], None, "y must be a vector of integer labels"),
        ((4, 7), (7, 4), [0, 1, 2, 3], (3,), r"b must have shape \(K,\) = \(4,\), got \(3,\)"),
    ],
)
def test_bad_shapes_and_labels(W, H, y, b, message):
    bias = None if b is None else gaussian(*b, seed=3)
    with pytest.raises(ValueError, match=message):
        nc(gaussian(*W, seed=1), gaussian(*H, seed=2), list(y), bias)


@pytest.mark.parametrize("name", ["W", "H", "b"])
def test_values_must_be_finite_numbers(name):
    W, H, y = noisy_etf()
    arrays = {"W": W.clone(), "H": H.clone(), "b": torch.zeros(4, dtype=torch.float64)}
    arrays[name].view(-1)[0] = float("nan")
    with pytest.raises(ValueError, match=f"{name} must be finite, got NaN or infinity"):
        nc(arrays["W"], arrays["H"], y, arrays["b"])
    arrays[name] = [["a"]]
    with pytest.raises(ValueError, match=f"{name} must be an array of numbers"):
        nc(arrays["W"], arrays["H"], y, arrays["b"])


def test_measure_checks_the_classifier():
    _, H, y = noisy_etf()
    m = ufm.FeatureStats.from_columns(H, y, 4).moments()
    with pytest.raises(ValueError, match=r"W must have shape \(K, d\) = \(4, 7\), got \(7, 4\)"):
        measure(m, torch.zeros(7, 4))
    with pytest.raises(ValueError, match="W must be finite"):
        measure(m, torch.full((4, 7), float("nan")))


def test_batched_observables_equal_the_record():
    parts = [noisy_etf([5, 4, 3, 2], seed=seed) for seed in range(6)]
    y = parts[0][2]
    W = torch.stack([part[0] for part in parts]).reshape(2, 3, 4, 7)
    H = torch.stack([part[1] for part in parts]).reshape(2, 3, 7, 14)
    rows = observe(W, H, y)
    assert set(rows) == set(OBSERVABLES)
    for i, part in enumerate(parts):
        record = nc(*part).as_row()
        for name, values in rows.items():
            assert values.flatten()[i].item() == pytest.approx(record[name], rel=EXACT), name


def test_batched_observables_are_nan_for_the_degenerate_instance_only():
    W, H, y = noisy_etf()
    rows = observe(torch.stack([W, W]), torch.stack([H, torch.ones_like(H)]), y)
    for name, values in rows.items():
        assert values[0].isfinite(), name
        assert values[1].isnan() or name == "nc2_of_err"
    assert rows["nc2_of_err"][1] > 0.5


class TestOfASolution:
    problem = ufm.Problem(K=3, d=4, n=(4, 2, 2), bias=ufm.FreeBias())

    def test_class_means_have_no_within_class_variability(self):
        b = torch.tensor([0.3, 0.0, -0.3])
        sol = ufm.Solution.from_arrays(self.problem, 2 * etf(3, 4), etf(3, 4).mT, b)
        record = sol.nc()
        assert record.nc1_pinv == record.nc1_quot == record.nc1_cdnv == record.nc1_share == 0
        assert record.nc2_etf_err < EXACT
        # Sizes come from the problem, not from the three columns.
        expected = nc(sol.W, sol.H, sol.y, b, n=(4, 2, 2), weighting=Weighting.SAMPLES)
        assert_same(sol.nc(Weighting.SAMPLES), expected)
        assert expected.nc2_etf_err > 1e-2

    def test_class_sizes_are_refused_where_columns_are_samples(self):
        W, H = gaussian(3, 4, seed=1), gaussian(4, 8, seed=2)
        with pytest.raises(ValueError, match="n must be absent unless H has K=3 columns, got 8"):
            nc(W, H, [0, 0, 0, 0, 1, 1, 2, 2], n=(1, 2, 3))

    def test_samples(self):
        W, H = gaussian(3, 4, seed=1), gaussian(4, 8, seed=2)
        sol = ufm.Solution.from_arrays(self.problem, W, H, gaussian(3, seed=3))
        assert_same(sol.nc(), nc(W, H, [0, 0, 0, 0, 1, 1, 2, 2], sol.b))

    def test_bias_reaches_nc4(self):
        W, H = 2 * etf(3, 4), etf(3, 4).mT
        biased = ufm.Solution.from_arrays(self.problem, W, H, [50, 0, 0]).nc()
        assert biased.nc4_agree == pytest.approx(1 / 3, rel=EXACT)

    def test_batches_are_indexed_first(self):
        batch = ufm.Solution.from_arrays(
            self.problem, gaussian(2, 3, 4, seed=1), gaussian(2, 4, 8, seed=2)
        )
        with pytest.raises(ValueError, match="nc is defined for one instance, got a batch of 2"):
            batch.nc()
        assert_same(batch[1].nc(), nc(batch.W[1], batch.H[1], batch.y))
