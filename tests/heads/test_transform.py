"""Feature transformations: unit features, and the residual one against its layers written out."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from ufm.heads import ETFHead, ResidualBlock, ResidualTransform, UnitFeatures


def test_unit_features_have_the_radius_and_leave_zero_alone():
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    out = UnitFeatures(radius=2.0)(x)
    assert_close(out, torch.tensor([[1.2, 1.6], [0.0, 0.0]]))
    (grad,) = torch.autograd.grad(out.sum(), x)
    assert grad.isfinite().all()
    assert UnitFeatures()(x.bfloat16()).dtype == torch.float32
    with pytest.raises(ValueError, match="radius must be a finite number > 0, got 0"):
        UnitFeatures(0)


def test_the_length_of_etf_features_is_that_of_the_budget():
    x = torch.randn(16, 12)
    head = ETFHead(12, 5, E_W=3.0, E_H=4.0)
    assert_close(head.features(x).norm(dim=-1), torch.full((16,), 2.0))
    assert_close(head.frame.norm(dim=-1), torch.full((5,), 3.0**0.5))
    free = ETFHead(12, 5, E_H=None)
    assert free.features(x).norm(dim=-1).std() > 1e-2


def written_out(block: ResidualBlock, x: torch.Tensor) -> torch.Tensor:
    first, bn1, act1, second, bn2, act2 = block.body
    y = nn.functional.prelu(bn1(x @ first.weight.mT), act1.weight)
    return x + nn.functional.prelu(bn2(y @ second.weight.mT), act2.weight)


def test_residual_block_adds_the_input_behind_the_last_activation():
    block = ResidualBlock(6, dtype=torch.float64).eval()
    x = torch.randn(10, 6, dtype=torch.float64)
    assert_close(block(x), written_out(block, x))
    # With the residual branch at zero it is the identity, also on negative numbers.
    nn.init.zeros_(block.body[3].weight)
    assert_close(block(x), x)


@pytest.mark.parametrize("pool", ["avg", "max"])
def test_residual_transform_is_a_convolution_then_pooling(pool):
    transform = ResidualTransform(5, 7, pool=pool, dtype=torch.float64).eval()
    x = torch.randn(4, 5, 3, 2, dtype=torch.float64)
    conv = nn.functional.conv2d(x, transform.reduce.weight[:, :, None, None])
    pooled = conv.mean((2, 3)) if pool == "avg" else conv.amax((2, 3))
    assert_close(transform(x), transform.body(pooled))
    vectors = x[:, :, 0, 0]
    assert_close(transform(vectors), transform.body(vectors @ transform.reduce.weight.mT))
    with pytest.raises(ValueError, match="x must be vectors"):
        transform(x[:, :, 0])


def test_features_reach_negative_values():
    torch.manual_seed(1)
    out = ResidualTransform(5, 7)(torch.randn(64, 5).relu())
    assert (out < 0).any(0).all()
    assert len([m for m in ResidualTransform(5, 7).modules() if isinstance(m, nn.PReLU)]) == 4
