"""The nearest simplex ETF in closed form: golden values, optimality, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tolerances import CERTIFIED, EXACT
from torch.testing import assert_close

from ufm.geometry import etf
from ufm.geometry.nearest import nearest_etf, nearest_etf_from, polar


def unit(H: torch.Tensor) -> torch.Tensor:
    return H / H.norm()


def gap(Hn: torch.Tensor, W: torch.Tensor) -> torch.Tensor:
    """Squared distance of features of unit total norm to the ETF of unit total norm."""
    return (Hn - W.mT / len(W) ** 0.5).square().sum()


def golden() -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(1)
    H, U0 = rng.standard_normal((9, 5)), np.linalg.qr(rng.standard_normal((9, 5)))[0]
    return unit(torch.from_numpy(H)), torch.from_numpy(U0)


def test_golden_value():
    H, _ = golden()
    W = nearest_etf(H)
    assert_close(W @ W.mT, etf(5, 9) @ etf(5, 9).mT, rtol=0, atol=EXACT)
    assert abs(float(gap(H, W)) - 0.2565798960) < 5e-11
    singular = torch.linalg.svdvals(H @ (torch.eye(5).double() - 0.2) / 2)
    assert_close(gap(H, W), 2 - 2 * singular.sum(), rtol=EXACT, atol=0)


def test_golden_value_of_the_proximal_form():
    H, U0 = golden()
    W, delta = nearest_etf_from(H, U0, delta=0.1), 0.1
    P = torch.eye(5).double() - 0.2
    A = H @ P + delta * U0
    U = polar(A)
    assert_close(W, (5 / 4) ** 0.5 * P @ U.mT, rtol=0, atol=EXACT)
    value = gap(H, W) + delta / 2 * (U - U0).square().sum()
    assert abs(float(value) - 0.6105911592) < 5e-11
    assert abs(float(torch.linalg.svdvals(A)[-1]) - 0.0648) < 5e-5


@given(st.integers(2, 6), st.integers(0, 3), st.integers(0, 9999))
def test_no_rotation_is_nearer(K, extra, seed):
    rng = torch.Generator().manual_seed(seed)
    d = K - 1 + extra
    H = unit(torch.randn(d, K, generator=rng).double())
    best = gap(H, nearest_etf(H))
    for _ in range(20):
        R = torch.linalg.qr(torch.randn(d, d, generator=rng).double())[0]
        assert gap(H, etf(K, d) @ R) >= best - EXACT


def test_an_etf_is_its_own_nearest_with_a_finite_gradient():
    H = (3 * etf(4, 6)).mT.contiguous().requires_grad_()
    W = nearest_etf(H, E_W=2.0)
    assert_close(W.detach(), 2**0.5 * etf(4, 6), rtol=0, atol=EXACT)
    (W @ torch.linspace(0, 1, 6).double()).square().sum().backward()
    assert H.grad is not None
    assert torch.isfinite(H.grad).all()


def test_scale_shift_and_rotation():
    H = torch.randn(7, 5).double()
    R = torch.linalg.qr(torch.randn(7, 7).double())[0]
    W = nearest_etf(H)
    assert_close(nearest_etf(10 * H + torch.randn(7, 1).double()), W, rtol=0, atol=CERTIFIED)
    assert_close(nearest_etf(R @ H), W @ R.mT, rtol=0, atol=EXACT)
    assert_close(nearest_etf(torch.stack([H, R @ H])), torch.stack([W, W @ R.mT]),
                 rtol=0, atol=EXACT)  # fmt: skip


def test_weak_proximal_term_tends_to_the_nearest():
    H, U0 = golden()
    W = nearest_etf(H)
    errors = [float((nearest_etf_from(H, U0, delta=delta) - W).norm()) for delta in (1e-3, 1e-5)]
    assert errors[1] < 1e-4
    assert 50 < errors[0] / errors[1] < 200  # first order in delta


@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (2, 5, 2)])
def test_gradient_of_the_polar_factor(shape):
    A = torch.randn(*shape, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(polar, A)
    equal = torch.linalg.qr(torch.randn(6, 3).double())[0].requires_grad_()
    assert torch.autograd.gradcheck(polar, equal)  # all singular values equal


def test_float32_stays_float32():
    assert nearest_etf(torch.randn(6, 4)).dtype == torch.float32


def test_bad_input():
    with pytest.raises(ValueError, match="d must be at least K-1=4"):
        nearest_etf(torch.randn(3, 5).double())
    with pytest.raises(ValueError, match="full column rank"):
        nearest_etf(torch.ones(6, 4).double())
    one_class_twice = torch.randn(6, 4).double()
    one_class_twice[:, 1] = one_class_twice[:, 0]
    with pytest.raises(ValueError, match="full column rank"):
        nearest_etf(one_class_twice)
    with pytest.raises(ValueError, match="delta"):
        nearest_etf_from(torch.randn(6, 4).double(), torch.eye(6, 4).double(), delta=0.0)
    with pytest.raises(ValueError, match="d must be at least K=4"):
        nearest_etf_from(torch.randn(3, 4).double(), torch.eye(3, 4).double(), delta=0.1)


def test_rounding_counts_as_zero_in_single_precision_too():
    """In float32 a singular value of rounding errors is far above 1e-12 of the largest."""
    generator = torch.Generator().manual_seed(0)
    column, row = (torch.randn(shape, generator=generator).double() for shape in ((6, 1), (1, 4)))
    for dtype in (torch.float32, torch.float64):
        with pytest.raises(ValueError, match="full column rank"):
            nearest_etf((column @ row).to(dtype))
    with pytest.raises(ValueError, match="finite numbers, got NaN"):
        nearest_etf(column @ row * torch.nan)
