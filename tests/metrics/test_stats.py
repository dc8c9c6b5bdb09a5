"""FeatureStats: streaming equals one shot, merging in any order, float64, bad input."""

from itertools import pairwise

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from collapsed import gaussian, noisy_etf
from hypothesis import given
from tolerances import EXACT

from ufm.metrics import FeatureStats, Moments, Weighting


NAMES = ("count", "mean", "scatter", "spread")


def assert_equal(a, b, *, scale=1.0):
    for name in NAMES:
        got, want = getattr(a, name), getattr(b, name)
        torch.testing.assert_close(got, want, rtol=EXACT, atol=EXACT * scale)


def dense(X, y, K):
    """Counts, means and scatter by their definitions, one class at a time."""
    groups = [X[y == k].double() for k in range(K)]
    deviations = [g - g.mean(0) for g in groups]
    scatter = torch.stack([a.mT @ a for a in deviations])
    spread = scatter.diagonal(dim1=-2, dim2=-1).sum(-1)
    count = torch.tensor([len(g) for g in groups])
    return FeatureStats(count, torch.stack([g.mean(0) for g in groups]), scatter, spread)


@given(
    seed=st.integers(0, 1000),
    K=st.integers(2, 5),
    cuts=st.lists(st.integers(0, 40), max_size=6),
    pooled=st.booleans(),
)
def test_streaming_equals_one_shot(seed, K, cuts, pooled):
    X = gaussian(40, 3, seed=seed) + 2
    y = torch.cat([torch.arange(K), torch.randint(0, K, (40 - K,))])
    stats = FeatureStats.empty(K=K, d=3, pooled=pooled)
    edges = sorted({0, 40, *cuts})
    for start, end in pairwise(edges):
        stats.update(X[start:end], y[start:end])
    expected = dense(X, y, K)
    if pooled:
        pooled_scatter = expected.scatter.sum(0, keepdim=True)
        expected = FeatureStats(expected.count, expected.mean, pooled_scatter, expected.spread)
    assert_equal(stats, expected, scale=40)


@given(order=st.permutations(range(5)), pooled=st.booleans())
def test_merge_order_does_not_matter(order, pooled):
    _, H, y = noisy_etf([9, 6, 4, 2])
    parts = [FeatureStats.from_columns(H[:, i::5], y[i::5], 4, pooled=pooled) for i in range(5)]
    total = FeatureStats.empty(K=4, d=7, pooled=pooled)
    for i in order:
        total = total + parts[i]
    backwards = parts[4] + (parts[3] + (parts[2] + (parts[1] + parts[0])))
    assert_equal(total, FeatureStats.from_columns(H, y, 4, pooled=pooled))
    assert_equal(total, backwards)


def test_addition_leaves_its_operands_alone():
    _, H, y = noisy_etf()
    a = FeatureStats.from_columns(H[:, ::2], y[::2], 4)
    before = FeatureStats(*(getattr(a, name).clone() for name in NAMES))
    _ = a + a
    assert_equal(a, before)


def test_large_offset_does_not_swamp_the_scatter():
    # Sums of squares would lose all 16 digits: 1e16 against a variance of order 1.
    X = gaussian(200, 2, seed=5)
    y = torch.arange(200) % 2
    # Rounding the shifted samples to float64 is itself an error of 1e-8 in each deviation.
    shifted = FeatureStats.empty(K=2, d=2)
    for block in range(0, 200, 10):
        shifted.update(X[block : block + 10] + 1e8, y[block : block + 10])
    torch.testing.assert_close(shifted.scatter, dense(X, y, 2).scatter, rtol=1e-7, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_accumulates_in_float64_whatever_comes_in(dtype):
    X = (gaussian(64, 3, seed=1) + 3).to(dtype)
    y = torch.arange(64) % 4
    stats = FeatureStats.empty(K=4, d=3)
    stats.update(X, y)
    assert {getattr(stats, name).dtype for name in NAMES} == {torch.float64, torch.int64}
    assert_equal(stats, dense(X, y, 4), scale=64)
    assert stats.moments().mean.dtype == torch.float64


def test_matches_the_in_memory_moments():
    _, H, y = noisy_etf([9, 6, 4, 2])
    for weighting in Weighting:
        streamed = FeatureStats.from_columns(H, y, 4).moments(weighting)
        direct = Moments.of_columns(H, y, 4, weighting=weighting)
        for name, value in vars(streamed).items():
            torch.testing.assert_close(value, vars(direct)[name], rtol=EXACT, atol=EXACT)


def test_arrays_mapped_from_a_file(tmp_path):
    """As features that do not fit in memory come; torch would warn of what cannot be written."""
    X, y = gaussian(30, 4, seed=0), torch.arange(30) % 3
    np.save(tmp_path / "X.npy", X.numpy())
    rows = np.load(tmp_path / "X.npy", mmap_mode="r")
    mapped, plain = (FeatureStats.empty(K=3, d=4) for _ in range(2))
    for a in range(0, 30, 8):
        mapped.update(rows[a : a + 8], y[a : a + 8].numpy())
        plain.update(X[a : a + 8], y[a : a + 8])
    assert_equal(mapped, plain)


def test_weights_of_the_global_mean():
    # Two samples at 0, one at 3: the class mean of means is 1.5, the mean of samples 1.
    stats = FeatureStats.empty(K=2, d=1)
    stats.update(torch.tensor([[0.0], [0.0], [3.0]]), torch.tensor([0, 0, 1]))
    centres = [float(stats.moments(w).centre) for w in Weighting]
    assert centres == pytest.approx([1.5, 1.0, 1.5], rel=EXACT)


def test_selecting_classes_slices_classes_not_features():
    _, H, y = noisy_etf()
    stats = FeatureStats.from_columns(H, y, 4)
    some = stats.select(torch.tensor([2, 0]))
    assert some.scatter.shape == (2, 7, 7)
    torch.testing.assert_close(some.covariance()[0], stats.covariance()[2], rtol=0, atol=0)
    assert some.count.tolist() == [6, 6]


def test_from_covariances_is_the_inverse_of_covariance():
    _, H, y = noisy_etf([9, 6, 4, 2])
    stats = FeatureStats.from_columns(H, y, 4)
    again = FeatureStats.from_covariances(stats.mean, stats.covariance(), n=stats.count)
    assert_equal(again, stats)
    with pytest.raises(ValueError, match="n must be K=4 integers of at least 0"):
        FeatureStats.from_covariances(stats.mean, stats.covariance(), n=torch.tensor([9, 6, -4, 2]))


def test_an_empty_class_is_named_when_a_metric_needs_it():
    stats = FeatureStats.empty(K=4, d=2)
    stats.update(torch.randn(4, 2), torch.tensor([0, 2, 2, 0]))
    message = r"y must contain every class, class 1 \(and 1 more\) has no samples"
    with pytest.raises(ValueError, match=message):
        stats.moments()
    with pytest.raises(ValueError, match=message):
        stats.covariance()
    with pytest.raises(ValueError, match="class 3 has no samples"):
        Moments.of_columns(torch.randn(2, 4), torch.tensor([0, 1, 2, 0]), 4)


def test_one_sample_a_class_is_enough():
    stats = FeatureStats.empty(K=3, d=2)
    stats.update(gaussian(3, 2, seed=1), torch.arange(3))
    assert stats.moments().spread.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (torch.full((2, 3), float("nan")), [0, 1], "X must be finite, got NaN"),
        (torch.full((2, 3), float("inf")), [0, 1], "X must be finite"),
        (torch.zeros(2, 3), [0, 4], r"y must lie in 0..K-1 = 0..3, got 0..4"),
        (torch.zeros(2, 3), [-1, 0], r"y must lie in 0..K-1 = 0..3, got -1..0"),
        (torch.zeros(2, 4), [0, 1], r"X must have shape \(B, d\) = \(B, 3\)"),
    ],
)
def test_bad_batches_are_refused_and_leave_nothing_behind(X, y, message):
    stats = FeatureStats.empty(K=4, d=3)
    with pytest.raises(ValueError, match=message):
        stats.update(X, torch.tensor(y))
    assert stats.count.sum() == 0


def test_pooled_scatter_refuses_what_it_cannot_know():
    _, H, y = noisy_etf([9, 6, 4, 2])
    stats = FeatureStats.from_columns(H, y, 4, pooled=True)
    assert stats.is_pooled
    with pytest.raises(ValueError, match="weighting must be SAMPLES or POOLED"):
        stats.moments(Weighting.CLASSES)
    with pytest.raises(ValueError, match="one scatter matrix a class to select, got pooled"):
        stats.select(torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="one scatter matrix a class, got pooled"):
        stats.covariance()
    full = FeatureStats.from_columns(H, y, 4)
    with pytest.raises(ValueError, match="same K, d and pooling"):
        _ = full + stats
    torch.testing.assert_close(
        stats.moments(Weighting.POOLED).within,
        full.moments(Weighting.POOLED).within,
        rtol=EXACT,
        atol=EXACT,
    )


def test_sizes_are_checked():
    with pytest.raises(ValueError, match="K must be an integer of at least 2, got 1"):
        FeatureStats.empty(K=1, d=2)


def test_moving_to_a_device_keeps_the_numbers():
    _, H, y = noisy_etf()
    stats = FeatureStats.from_columns(H, y, 4)
    assert_equal(stats.to("cpu"), stats)


@pytest.mark.gpu
def test_cuda_agrees_with_the_cpu():
    _, H, y = noisy_etf([9, 6, 4, 2])
    stats = FeatureStats.empty(K=4, d=7, device="cuda")
    stats.update(H.mT.float(), y)
    expected = FeatureStats.empty(K=4, d=7)
    expected.update(H.mT.float(), y)
    assert stats.mean.is_cuda
    assert_equal(stats.to("cpu"), expected, scale=20)
