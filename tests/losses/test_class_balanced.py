"""Effective numbers of samples, and losses weighted by them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tolerances import EXACT
from torch.testing import assert_close

import ufm
from ufm._spec import decode, encode
from ufm.losses import LDAM, ClassBalanced, CrossEntropy, effective_weights, schedules


sizes = st.lists(st.integers(1, 5000), min_size=2, max_size=6).map(tuple)


@given(sizes, st.floats(0, 0.999))
def test_weights_are_inverse_to_the_sum_of_powers(n, beta):
    w = effective_weights(n, beta)
    assert sum(w) == pytest.approx(len(n), rel=1e-12)
    effective = [sum(beta**i for i in range(size)) for size in n]
    for a, b in zip(w, effective, strict=True):
        assert a * b == pytest.approx(w[0] * effective[0], rel=1e-9)  # sums of 5000 powers
    over_samples = effective_weights(n, beta, over="samples")
    assert sum(a * b for a, b in zip(n, over_samples, strict=True)) == pytest.approx(sum(n))


def test_known_weights():
    # n = (2, 1), beta = 1/2: effective 3/2 and 1, weights 2/3 and 1, scaled to sum 2.
    assert effective_weights((2, 1), 0.5) == pytest.approx((0.8, 1.2), rel=EXACT)
    assert effective_weights((2, 1), 0.5, over="samples") == pytest.approx(
        (6 / 7, 9 / 7), rel=EXACT
    )
    assert effective_weights((7, 3, 1), 0.0) == pytest.approx((1, 1, 1), rel=EXACT)
    near = effective_weights((30, 10), 1 - 1e-9)
    assert near == pytest.approx((0.5, 1.5), rel=1e-6)  # inverse sizes, up to 1 - beta


def test_the_published_profile():
    """LDAM-DRW on CIFAR-10-LT, rho = 100, as its released code computes it."""
    n = ufm.cifar10_lt_sizes(100)
    beta = torch.tensor(0.9999, dtype=torch.float64)
    per_class = (1 - beta) / (1 - beta ** torch.tensor(n, dtype=torch.float64))
    per_class = per_class / per_class.sum() * len(n)
    found = torch.tensor(effective_weights(n), dtype=torch.float64)
    assert_close(found, per_class, rtol=1e-10, atol=0)  # 1 - beta has 12 digits


@pytest.mark.parametrize("over", ["classes", "samples"])
def test_is_the_weighted_loss(over):
    n, Z = (40, 20, 3), torch.randn(3, 7, dtype=torch.float64)
    y, inner = torch.arange(7) % 3, LDAM((40, 20, 3))
    w = torch.tensor(effective_weights(n, 0.99, over=over), dtype=torch.float64)
    loss = ClassBalanced(inner, n=n, beta=0.99, over=over)
    assert_close(loss.value(Z, y), w[y] * inner.value(Z, y), rtol=EXACT, atol=0)


def test_over_samples_is_the_weighted_mean_of_an_epoch():
    """What PyTorch's weighted cross-entropy returns on the whole data set."""
    n = (40, 20, 3)
    y = torch.repeat_interleave(torch.arange(3), torch.tensor(n))
    Z = torch.randn(3, 63, dtype=torch.float64)
    w = torch.tensor(effective_weights(n, 0.99), dtype=torch.float64)
    torchs = torch.nn.functional.cross_entropy(Z.mT, y, weight=w)
    ours = ClassBalanced(CrossEntropy(), n=n, beta=0.99, over="samples").value(Z, y).mean()
    assert_close(ours, torchs, rtol=EXACT, atol=0)
    over_classes = ClassBalanced(CrossEntropy(), n=n, beta=0.99).value(Z, y).mean()
    assert abs(over_classes / torchs - 1) > 0.05  # the other normalisation is another loss


def test_deferred_weights():
    n = (500, 5)
    before, after = (
        effective_weights(n, 0.9999 * schedules.deferred(epoch / 200)) for epoch in (159, 160)
    )
    assert before == (1, 1)
    assert after[1] > 50 * after[0]
    assert schedules.deferred(0.0, start=0.0) == 1
    with pytest.raises(ValueError, match="start"):
        schedules.deferred(0.5, start=1.5)


def test_is_a_spec_with_the_flags_of_its_loss():
    loss = ClassBalanced(LDAM((4, 2)), n=(4, 2))
    assert decode(encode(loss)) == loss
    assert loss.shift_invariant
    assert not loss.attains_minimum
    loss.check(2)
    with pytest.raises(ValueError, match="K=3"):
        loss.check(3)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (((3, 0), 0.9), "n\\[1\\]"),
        (((3, 1), 1.0), "beta"),
        (((3, 1), -0.1), "beta"),
    ],
)
def test_refused(args, message):
    with pytest.raises(ValueError, match=message):
        effective_weights(*args)
    with pytest.raises(ValueError, match="over"):
        effective_weights((3, 1), over="batch")
