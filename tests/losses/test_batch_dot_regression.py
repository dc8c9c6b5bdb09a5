"""Dot regression as trained: class balance inside a batch, both normalisations, mixup."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tolerances import EXACT
from torch.testing import assert_close

import ufm
from ufm.losses import BatchDotRegression, DotRegression, mixup


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    H = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(H, dim=-1)


def labels(*counts: int) -> torch.Tensor:
    return torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))


def pulls(loss: BatchDotRegression, H: torch.Tensor, W: torch.Tensor, y: torch.Tensor):
    """Weight c of each sample's gradient, grad = -c (1 - cos) m_y."""
    x = H.clone().requires_grad_()
    (grad,) = torch.autograd.grad(loss.value(x, W, y).sum(), x)
    m = torch.nn.functional.normalize(W, dim=-1)[y]
    cos = torch.nn.functional.cosine_similarity(H, m)
    weight = -(grad * m).sum(-1) / (1 - cos)
    assert_close(grad, -(weight * (1 - cos)).unsqueeze(-1) * m, rtol=0, atol=EXACT)
    return weight


def test_released_code_balances_the_classes_of_a_batch_exactly():
    W, y, H = ufm.etf(3, 4), labels(6, 3, 1), unit(10, 4)
    total = {
        kind: torch.zeros(3).double().index_add(0, y, pulls(BatchDotRegression(kind), H, W, y))
        for kind in ("released", "paper")
    }
    assert_close(total["released"], torch.full((3,), 10, dtype=torch.float64) / 3,
                 rtol=EXACT, atol=0)  # fmt: skip
    printed = torch.tensor([4.47, 3.16, 1.83], dtype=torch.float64)
    assert_close(total["paper"], printed, rtol=0, atol=5e-3)


@given(st.lists(st.integers(1, 9), min_size=2, max_size=6), st.integers(0, 99))
def test_every_class_present_weighs_the_same(counts, seed):
    K = len(counts) + 1  # one class is absent
    W, y = ufm.etf(K, K), labels(*counts)
    weight = pulls(BatchDotRegression(), unit(len(y), K, seed=seed), W, y)
    total = torch.zeros(K).double().index_add(0, y, weight)
    assert_close(total[:-1], torch.full((K - 1,), len(y) / (K - 1)).double(), rtol=1e-6, atol=0)
    assert BatchDotRegression().squared_lengths(W, y)[-1] == 1


def test_balanced_batches_are_plain_dot_regression():
    W, y, H = ufm.etf(3, 4), labels(2, 2, 2), unit(6, 4)
    expected = DotRegression(s=1.0).value(W @ H.mT, y)
    for kind in ("released", "paper"):
        assert_close(BatchDotRegression(kind).value(H, W, y), expected, rtol=1e-11, atol=EXACT)


def test_global_counts():
    loss, W, y = BatchDotRegression(n=(60, 30, 10)), ufm.etf(3, 4), labels(1, 1, 1)
    expected = torch.tensor([100 / 180, 100 / 90, 100 / 30], dtype=torch.float64)
    assert_close(loss.squared_lengths(W, y), expected, rtol=EXACT, atol=0)
    weight = pulls(loss, unit(3, 4), W, y)
    assert_close(weight, expected, rtol=1e-11, atol=0)
    with pytest.raises(ValueError, match="n must have K=3 entries, got 2"):
        BatchDotRegression(n=(1, 2)).value(unit(3, 4), W, y)


def test_the_printed_formula_with_the_code_s_lengths():
    # (<L m, h> - sqrt(E_W E_H))^2 / (2 sqrt(E_W E_H)) with sqrt(E_W) = L and |h|^2 = E_H.
    W, y = ufm.etf(3, 4), labels(6, 3, 1)
    H = 1.7 * unit(10, 4)
    L = BatchDotRegression().squared_lengths(W, y).sqrt()[y]
    Z = W @ H.mT
    expected = torch.stack([
        DotRegression(s=float(1.7 * a)).value(a * Z[:, [i]], y[[i]])[0] for i, a in enumerate(L)
    ])  # fmt: skip
    assert_close(BatchDotRegression("paper").value(H, W, y), expected, rtol=1e-11, atol=EXACT)


def test_the_length_is_a_constant_and_may_be_penalised():
    """Without normalisation the length is detached: no radial gradient but from the penalty."""
    W, y, H = ufm.etf(3, 4), labels(1, 1, 1), 2.5 * unit(3, 4)
    x = H.clone().requires_grad_()
    value = BatchDotRegression(norm_penalty=0.01).value(x, W, y)
    (grad,) = torch.autograd.grad(value.sum(), x)
    cos = torch.nn.functional.cosine_similarity(H, W[y]).unsqueeze(-1)
    expected = -(1 - cos) * W[y] + 0.01 * H / 2.5
    assert_close(grad, expected, rtol=0, atol=1e-11)


def test_mixup_mixes_both_labels_with_the_lengths_of_the_unmixed_batch():
    W, y, H = ufm.etf(3, 4), labels(6, 3, 1), unit(10, 4)
    other = y[torch.randperm(10, generator=torch.Generator().manual_seed(3))]
    loss = BatchDotRegression()
    L2 = loss.squared_lengths(W, y)
    cos = H @ torch.nn.functional.normalize(W, dim=-1).mT

    def half_square(labels):
        return L2[labels] * (cos.gather(-1, labels.unsqueeze(-1)).squeeze(-1) - 1).square() / 2

    expected = 0.3 * half_square(y) + 0.7 * half_square(other)
    assert_close(mixup(loss, H, W, y=(y, other), lam=0.3), expected, rtol=1e-11, atol=EXACT)


def test_checks_its_numbers():
    with pytest.raises(ValueError, match="normalisation must be 'released' or 'paper', got 'x'"):
        BatchDotRegression("x")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"n\[1\] must be an integer of at least 1, got 0"):
        BatchDotRegression(n=(1, 0))
