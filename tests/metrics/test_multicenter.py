"""Collapse to multiple centers: values at collapse, and what must not count as collapse."""

from __future__ import annotations

import pytest
import torch
from tolerances import EXACT
from torch.testing import assert_close

from ufm.center_counts import class_aware_centers
from ufm.counts import cifar10_lt_sizes
from ufm.geometry.multicenter import center_mean_cos, multicenter_frame
from ufm.geometry.specs import MultiCenter
from ufm.metrics.multicenter import collapsed_sigma, multicenter_collapse


SPEC = MultiCenter((1, 2, 5), 0.2)


def test_exact_collapse():
    parts, n = multicenter_frame(SPEC), torch.tensor([5, 3, 1])
    y = torch.repeat_interleave(torch.arange(3), n)
    H = 3.7 * parts.direction[y].mT
    got = multicenter_collapse(H, y, parts)
    assert got.nc_ave < EXACT
    assert got.nc_std < EXACT
    assert_close(got.sigma, collapsed_sigma(SPEC, n.double()), rtol=EXACT, atol=0)
    assert got.sigma > 0.5  # the variability does not go to zero


def test_printed_limits_of_the_variability():
    n = cifar10_lt_sizes(100)
    size = torch.tensor(n).double()
    aware = MultiCenter(class_aware_centers(n, 20), 0.2)
    assert abs(float(collapsed_sigma(aware, size)) - 0.7014) < 5e-5
    assert abs(float(collapsed_sigma(MultiCenter((20,) * 10, 0.2), size)) - 0.3284) < 5e-5


def test_features_at_single_centers_are_not_collapsed():
    for count, plateau in [(2, 0.558), (3, 0.801), (5, 1.038)]:
        parts = multicenter_frame(MultiCenter((count, count), 0.2))
        got = multicenter_collapse(parts.centers.mT.contiguous(), parts.owner, parts)
        expected = 2 - 2 * center_mean_cos(torch.tensor([float(count)]).double(), 0.2)[0]
        assert_close(got.nc_ave, expected, rtol=EXACT, atol=0)
        assert abs(float(got.nc_ave) - plateau) < 5e-4


def test_deviation_is_over_samples():
    # One class at its mean, one opposite: values 0 and 4, mean 2, deviation 2.
    parts, y = multicenter_frame(MultiCenter((1, 1), 0.2)), torch.tensor([0, 1])
    H = parts.direction.mT * torch.tensor([1.0, -1.0]).double()
    got = multicenter_collapse(torch.stack([H, H.flip(-1)]), y, parts)
    assert_close(got.nc_ave[0], torch.tensor(2.0).double(), rtol=EXACT, atol=0)
    assert_close(got.nc_std[0], torch.tensor(2.0).double(), rtol=EXACT, atol=0)
    assert_close(got.nc_ave[1], torch.tensor(2.0).double(), rtol=EXACT, atol=0)  # orthogonal


def test_a_zero_feature_has_no_direction():
    parts = multicenter_frame(MultiCenter((1, 1), 0.2))
    H = torch.zeros(4, 1).double()
    assert multicenter_collapse(H, torch.tensor([0]), parts).nc_ave.isnan()


def test_labels_that_are_no_classes_are_refused():
    """-1 would be looked up as the last class."""
    parts = multicenter_frame(SPEC)
    H = parts.direction.mT
    with pytest.raises(ValueError, match=r"classes 0\.\.2, got -1\.\.1"):
        multicenter_collapse(H, torch.arange(3) - 1, parts)
    unchecked = getattr(multicenter_collapse, "__wrapped__", multicenter_collapse)
    with pytest.raises(ValueError, match=r"label the M=3 >= 1 columns, got \(2,\)"):
        unchecked(H, torch.arange(2), parts)
