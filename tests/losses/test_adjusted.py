"""Logit adjustment, LDAM and ARB: identities between them and with cross-entropy."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tolerances import EXACT
from torch.testing import assert_close

import ufm
from ufm.losses import LDAM, AttractionRepulsion, CrossEntropy, LogitAdjusted


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


sizes = st.lists(st.integers(1, 500), min_size=2, max_size=7).map(tuple)


def written_out(Z: torch.Tensor, y: torch.Tensor, n: torch.Tensor) -> torch.Tensor:
    """-log(e^{z_y} / sum_j (n_j / n_y) e^{z_j}), as printed."""
    return torch.stack([
        -(z[k].exp() / (n / n[k] * z.exp()).sum()).log() for z, k in zip(Z.mT, y, strict=True)
    ])  # fmt: skip


@given(sizes, st.integers(0, 99))
def test_arb_with_global_counts_is_balanced_softmax(n, seed):
    K, y = len(n), torch.arange(6) % len(n)
    H, W = random(6, K, seed=seed), torch.eye(K).double()
    arb = AttractionRepulsion(n).value(H, W, y)
    assert_close(arb, LogitAdjusted(n).value(H.mT, y), rtol=EXACT, atol=EXACT)
    shifted = H.mT + torch.tensor(n).double().log().unsqueeze(-1)
    assert_close(arb, CrossEntropy().value(shifted, y), rtol=EXACT, atol=EXACT)
    assert_close(arb, written_out(H.mT, y, torch.tensor(n).double()), rtol=1e-11, atol=1e-11)


def test_arb_with_batch_counts_does_not_repel_from_absent_classes():
    y, W, H = torch.tensor([0, 0, 0, 2]), torch.eye(3).double(), random(4, 3)
    loss = AttractionRepulsion()
    assert_close(loss.value(H, W, y), AttractionRepulsion((3, 1, 1)).value(
        H.index_fill(1, torch.tensor([1]), -30.0), W, y), rtol=1e-9, atol=0)  # fmt: skip
    x = H.clone().requires_grad_()
    (grad,) = torch.autograd.grad(loss.value(x, W, y).sum(), x)
    assert grad.isfinite().all()
    assert (grad[:, 1] == 0).all()


def test_clamps_its_logits():
    H, W, y = 1e3 * random(5, 3), torch.eye(3).double(), torch.tensor([0, 1, 2, 0, 1])
    assert float(AttractionRepulsion((1, 1, 1)).value(H, W, y).max()) <= 60 + 2


def test_equal_sizes_and_no_temperature_are_cross_entropy():
    Z, y = random(4, 6), torch.arange(6) % 4
    plain = CrossEntropy().value(Z, y)
    for loss in (LogitAdjusted((7,) * 4), LogitAdjusted((1, 2, 3, 4), tau=0.0),
                 LDAM((1, 2, 3, 4), max_margin=0.0, scale=1.0)):  # fmt: skip
        assert_close(loss.value(Z, y), plain, rtol=EXACT, atol=EXACT)


def test_margins_of_ldam():
    loss = LDAM((5000, 500, 50))
    margins = loss.margins(torch.zeros(1, dtype=torch.float64))
    # The released code: C / n^(1/4) with the largest scaled to 1/2.
    raw = torch.tensor([5000.0, 500, 50]).double() ** -0.25
    assert_close(margins, 0.5 * raw / raw.max(), rtol=EXACT, atol=0)
    Z, y = random(3, 3) / 3, torch.arange(3)
    moved = Z - margins.diag()
    assert_close(loss.value(Z, y), CrossEntropy().value(30 * moved, y), rtol=EXACT, atol=EXACT)


def test_saturated_logits_stay_finite():
    Z, y = torch.tensor([[800.0], [-800.0]], dtype=torch.float64), torch.tensor([1])
    assert LogitAdjusted((9, 1)).value(Z, y).isfinite().all()
    assert LDAM((9, 1)).value(Z, y).isfinite().all()


@pytest.mark.parametrize("loss", [LogitAdjusted((40, 20, 8, 3)), LDAM((40, 20, 8, 3), scale=3)])
@pytest.mark.parametrize("reg", [ufm.AverageBudget(2, 3), ufm.WeightDecay(1e-3, 1e-3)])
def test_models_with_them_are_certified(loss, reg):
    sol = ufm.polish(ufm.solve(ufm.Problem(K=4, d=4, n=(40, 20, 8, 3), loss=loss, reg=reg)))
    assert ufm.certify(sol).passed.all()


def test_sizes_must_fit_the_classes():
    with pytest.raises(ValueError, match="n must have K=3 entries, got 2"):
        ufm.Problem(K=3, d=3, n=(1, 1, 1), loss=LogitAdjusted((1, 2)))
    with pytest.raises(ValueError, match="n must have K=3 entries, got 2"):
        AttractionRepulsion((1, 2)).value(random(4, 3), torch.eye(3).double(), torch.arange(4) % 3)
