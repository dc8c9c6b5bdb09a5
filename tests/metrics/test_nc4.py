"""NC4: equivalence of the rules, bias, centring, ties, streaming."""

import pytest
import torch
from collapsed import gaussian, noisy_etf
from tolerances import EXACT

from ufm.geometry import etf
from ufm.metrics import Agreement, Weighting, decisions_agree, nc


def by_hand(W, H, mean, b):
    linear = (W @ H + b[:, None]).argmax(0)
    centre = torch.stack([(H - mu[:, None]).norm(dim=0) for mu in mean]).argmin(0)
    return (linear == centre).double()


def test_equal_to_the_two_rules_spelled_out():
    W, b, mean = gaussian(5, 8, seed=1), gaussian(5, seed=2), gaussian(5, 8, seed=3)
    H = 2 * gaussian(8, 2000, seed=4)
    agree = decisions_agree(W, H, mean, b=b)
    torch.testing.assert_close(agree, by_hand(W, H, mean, b), rtol=0, atol=0)
    assert 0.1 < agree.mean() < 0.9


def test_scaled_centred_equal_norm_means_with_their_bias_are_the_nearest_centre_rule():
    # |h - mu_k|^2 expanded: W = c (M - mu_G), b = -W mu_G and equal norms about mu_G.
    offset = gaussian(8, seed=7)
    centred = etf(5, 8)
    W = 3 * centred
    H = gaussian(8, 5000, seed=8) + offset.unsqueeze(-1)
    assert decisions_agree(W, H, centred + offset, b=-W @ offset).min() == 1
    assert decisions_agree(W, H, centred + offset).mean() < 0.9


def test_a_large_common_offset_does_not_blur_the_centre_rule():
    offset = torch.full((8,), 1e6, dtype=torch.float64)
    H = gaussian(8, 1000, seed=8)
    near = decisions_agree(3 * etf(5, 8), H, etf(5, 8))
    far = decisions_agree(
        3 * etf(5, 8), H + offset[:, None], etf(5, 8) + offset, b=-3 * etf(5, 8) @ offset
    )
    torch.testing.assert_close(far, near, rtol=0, atol=0)


def test_ties_count_by_the_share_of_common_best_classes():
    mean = torch.tensor([[1.0, 0], [1.0, 0], [-1.0, 0]], dtype=torch.float64)
    H = torch.tensor([[1.0], [0.3]], dtype=torch.float64)
    # The centre rule ties {0, 1}; the linear rule says {0, 1}, {0}, {2}, {0, 1, 2}.
    rows = [[1.0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0]]
    agree = [
        decisions_agree(torch.tensor([[x, 0.0] for x in row]).double(), H, mean).item()
        for row in rows
    ]
    assert agree == pytest.approx([1, 1 / 2, 0, 2 / 3], rel=EXACT)


def test_streaming_in_float32_equals_memory():
    W, H, y = noisy_etf([90, 60, 40, 20], noise=1.0)
    W, H = W.float(), H.float()
    b = torch.tensor([0.5, 0, 0, -0.5])
    mean = torch.stack([H[:, y == k].double().mean(1) for k in range(4)])
    for weighting in Weighting:
        tally = Agreement.empty(W, mean, b=b)
        for i in range(7):
            tally.update(H[:, i::7].mT, y[i::7])
        rate = tally.rate(weighting)
        assert 0.5 < rate < 1
        assert rate == pytest.approx(nc(W, H, y, b, weighting=weighting).nc4_agree, rel=EXACT)


def test_imbalance_shows_in_the_weighting():
    # The minority sample alone is decided differently: half of the classes, a tenth of samples.
    W = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    H = torch.tensor([[1.0] * 9 + [-1.0]], dtype=torch.float64)
    y = torch.tensor([0] * 9 + [1])
    b = torch.tensor([5.0, 0.0])
    assert nc(W, H, y, b).nc4_agree == pytest.approx(0.5, rel=EXACT)
    agree = nc(W, H, y, b, weighting=Weighting.SAMPLES).nc4_agree
    assert agree == pytest.approx(0.9, rel=EXACT)


def test_bad_input():
    with pytest.raises(ValueError, match=r"W must have shape \(K, d\) = \(4, 7\), got \(3, 7\)"):
        Agreement.empty(torch.zeros(3, 7), torch.zeros(4, 7))
    with pytest.raises(ValueError, match="class 0"):
        Agreement.empty(torch.zeros(4, 7), torch.zeros(4, 7)).rate()
