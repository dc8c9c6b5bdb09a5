"""A learned rotation of a fixed frame: Gram matrix kept, orientation learned."""

from __future__ import annotations

import io

import pytest
import torch
from tolerances import EXACT
from torch import nn
from torch.testing import assert_close

from ufm.heads import RotatedHead
from ufm.losses import CrossEntropy


K, WIDTH = 5, 9


def turned(head: RotatedHead, scale: float = 1.0) -> RotatedHead:
    generator = torch.Generator().manual_seed(2)
    noise = torch.randn(head.skew.shape, generator=generator, dtype=head.skew.dtype)
    head.skew.data.copy_(scale * noise)
    return head


def test_released_rows_are_columns_of_the_centred_identity():
    head = RotatedHead(WIDTH, K, dtype=torch.float64)
    centred = torch.eye(WIDTH, dtype=torch.float64) - 1 / WIDTH
    gram = (centred.mT @ centred)[:K, :K]
    frame = head.frame.detach()
    assert_close(frame @ frame.mT, gram, rtol=EXACT, atol=EXACT)
    cosine = gram / gram.diagonal().mean()
    assert float(cosine[0, 1]) == pytest.approx(-1 / (WIDTH - 1), rel=1e-12)


def test_simplex_rows():
    frame = RotatedHead(K - 1, K, rows="simplex", dtype=torch.float64).frame.detach()
    expected = (K * torch.eye(K) - 1).double() / (K - 1)
    assert_close(frame @ frame.mT, expected, rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("rows", ["released", "simplex"])
def test_every_rotation_keeps_the_gram_matrix(rows):
    head = RotatedHead(WIDTH, K, rows=rows, dtype=torch.float64)
    before = head.frame.detach()
    assert_close(before, head.base, rtol=EXACT, atol=EXACT)
    after = turned(head, 3.0).frame.detach()
    assert (after - before).abs().max() > 0.1
    assert_close(after @ after.mT, before @ before.mT, rtol=EXACT, atol=EXACT)


def test_is_the_cayley_map():
    head = turned(RotatedHead(WIDTH, K, dtype=torch.float64))
    lower = head.skew.detach().tril(-1)
    A, eye = lower - lower.mT, torch.eye(WIDTH, dtype=torch.float64)
    R = torch.linalg.inv(eye + A / 2) @ (eye - A / 2)
    assert_close(R @ R.mT, eye, rtol=EXACT, atol=EXACT)
    assert_close(head.frame.detach(), head.base @ R.mT, rtol=EXACT, atol=EXACT)
    assert torch.autograd.gradcheck(
        lambda s: torch.func.functional_call(head, {"skew": s}, (eye[:3],)), head.skew
    )


def test_small_angles_are_the_exponential_map():
    """Third order: A^3 / 12."""
    errors = []
    for scale in (0.1, 0.05):
        head = turned(RotatedHead(WIDTH, K, dtype=torch.float64), scale)
        lower = head.skew.detach().tril(-1)
        exact = head.base @ torch.linalg.matrix_exp(lower.mT - lower).mT
        errors.append(float((head.frame.detach() - exact).norm()))
    assert 7 < errors[0] / errors[1] < 9


def test_learns_an_orientation_it_did_not_start_with():
    """Features are given and cannot move: only the rotation can make the rows fit."""
    head = RotatedHead(WIDTH, K, rows="simplex", dtype=torch.float64)
    other = RotatedHead(WIDTH, K, rows="simplex", dtype=torch.float64,
                        generator=torch.Generator().manual_seed(7))  # fmt: skip
    x, y = 5 * other.frame.detach(), torch.arange(K)
    assert (head.predict(x) != y).any()
    optimiser = torch.optim.Adam(head.parameters(), lr=0.05)
    for _ in range(300):
        optimiser.zero_grad()
        head.loss(x, y, CrossEntropy()).mean().backward()
        optimiser.step()
    assert (head.predict(x) == y).all()
    frame = head.frame.detach()
    assert_close(frame @ frame.mT, head.base @ head.base.mT, rtol=1e-10, atol=1e-10)


def test_state_types_and_graph():
    head = turned(RotatedHead(WIDTH, K, d=12))
    x = torch.randn(4, WIDTH)
    file = io.BytesIO()
    torch.save(head.state_dict(), file)
    file.seek(0)
    fresh = RotatedHead(WIDTH, K, d=12, generator=torch.Generator().manual_seed(3))
    fresh.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(head(x), fresh(x))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert head(x).dtype == torch.float32
    narrow = turned(RotatedHead(WIDTH, K)).bfloat16()
    assert narrow.base.dtype == torch.float32
    gram = narrow.frame.detach() @ narrow.frame.detach().mT
    assert_close(gram, narrow.base @ narrow.base.mT, rtol=0, atol=1e-5)  # float32
    compiled = torch.compile(nn.Sequential(head), backend="eager", fullgraph=True)
    assert_close(compiled(x), head(x))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RotatedHead(4, 5), "d must be at least K=5"),
        (lambda: RotatedHead(3, 5, rows="simplex"), "4"),
        (lambda: RotatedHead(9, 5, rows="paper"), "rows"),
        (lambda: RotatedHead(9, 1), "K"),
    ],
)
def test_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
