"""K positives: against the sums written out, who is a positive of whom, what minimises it."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tolerances import EXACT
from torch.testing import assert_close

import ufm
from ufm.losses import KPositives


FRAME = torch.eye(3, 4, dtype=torch.float64)


def written_out(H: torch.Tensor, positive: torch.Tensor, temperature: float) -> torch.Tensor:
    V = H / H.norm(dim=-1, keepdim=True)
    losses = []
    for i in range(len(V)):
        below = sum(float((V[i] @ V[m] / temperature).exp()) for m in range(len(V)) if m != i)
        terms = [
            -math.log(float((V[i] @ V[j] / temperature).exp()) / below)
            for j in range(len(V))
            if positive[i, j]
        ]
        losses.append(sum(terms) / len(terms) if terms else 0.0)
    return torch.tensor(losses, dtype=torch.float64)


@given(st.lists(st.integers(0, 2), min_size=2, max_size=9), st.integers(1, 4))
def test_equals_the_sums(labels, k):
    y = torch.tensor(labels)
    H = torch.randn(len(y), 4, dtype=torch.float64, generator=torch.Generator().manual_seed(k))
    loss = KPositives(k=k, temperature=0.3)
    value = loss.value(H, FRAME, y)
    assert_close(value, written_out(H, loss.positives(y), 0.3), rtol=1e-11, atol=1e-11)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=12), st.integers(1, 4))
def test_as_many_positives_as_there_are_up_to_k(labels, k):
    y = torch.tensor(labels)
    positive = KPositives(k=k).positives(y)
    same = y.unsqueeze(-1) == y
    others = same.sum(-1) - 1
    assert torch.equal(positive.sum(-1), others.clamp(max=k))
    assert torch.equal(positive.sum(0), others.clamp(max=k))  # each is a positive as often
    assert not (positive & ~same).any()
    assert not positive.diagonal().any()


def test_the_next_in_the_batch_cyclically():
    positive = KPositives(k=1).positives(torch.tensor([0, 1, 0, 1, 0]))
    assert positive.nonzero().tolist() == [[0, 2], [1, 3], [2, 4], [3, 1], [4, 0]]


def test_two_views():
    y = torch.tensor([0, 0, 1, 0])
    positive = KPositives(k=1, views=2).positives(torch.cat([y, y]))
    assert positive.sum(-1).tolist() == [2, 2, 1, 2, 2, 2, 1, 2]  # the lone image has its view
    assert positive[0].nonzero().flatten().tolist() == [1, 4]
    assert positive[6].nonzero().flatten().tolist() == [2]
    with pytest.raises(ValueError, match="pairs of views"):
        KPositives(views=2).value(torch.randn(3, 4), FRAME, y[:3])


def test_anchors_without_positives_have_no_loss_and_no_gradient_of_their_own():
    H = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    value = KPositives().value(H, FRAME, torch.tensor([0, 1, 2]))
    assert torch.equal(value, torch.zeros_like(value))
    for rows in (H, H[:1]):
        (grad,) = torch.autograd.grad(
            KPositives().value(rows, FRAME, torch.arange(len(rows))).sum(), H
        )
        assert torch.equal(grad, torch.zeros_like(grad))


def test_all_positives_are_supervised_contrast_and_its_minimum_is_the_simplex():
    K, n, temperature = 3, 4, 0.5
    y = torch.arange(K).repeat(n)
    loss = KPositives(k=n - 1, temperature=temperature)
    H = torch.randn(
        K * n, K, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    ).requires_grad_()
    optimiser = torch.optim.LBFGS([H], max_iter=300, line_search_fn="strong_wolfe",
                                  tolerance_grad=1e-12, tolerance_change=1e-16)  # fmt: skip

    def closure():
        optimiser.zero_grad()
        value = loss.value(H, FRAME, y).mean()
        value.backward()
        return value

    optimiser.step(closure)
    found = float(loss.value(H.detach(), FRAME, y).mean())
    # At a collapsed simplex: log((n - 1) + (K - 1) n exp((-1/(K-1) - 1)/T)).
    simplex = math.log((n - 1) + (K - 1) * n * math.exp((-1 / (K - 1) - 1) / temperature))
    at_simplex = loss.value(ufm.etf(K, K)[y], FRAME, y).mean()
    assert float(at_simplex) == pytest.approx(simplex, rel=EXACT)
    assert found == pytest.approx(simplex, rel=1e-8)  # L-BFGS without polish


@pytest.mark.parametrize(
    ("fields", "message"), [({"k": 0}, "k"), ({"temperature": 0}, "temperature"),
                            ({"views": 3}, "views")]
)  # fmt: skip
def test_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        KPositives(**fields)
