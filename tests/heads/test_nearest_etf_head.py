"""The head that follows its features: the closed solution, the averages, the gradient."""

from __future__ import annotations

import pytest
import torch
from tolerances import EXACT
from torch.testing import assert_close

from ufm.geometry import etf, nearest_etf, nearest_etf_from
from ufm.geometry.nearest import nearest_rotation
from ufm.heads import NearestETFHead


K, D = 5, 9
Y = torch.arange(40) % K


def unit(B: int, d: int = D, *, seed: int = 0) -> torch.Tensor:
    H = torch.randn(B, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(H, dim=-1)


def means(H: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.stack([H[y == k].mean(0) for k in range(K)], 1)


def make(**kw) -> NearestETFHead:
    return NearestETFHead(D, K, dtype=torch.float64, **kw)


def test_starts_at_an_etf_with_its_own_rotation():
    head = make(E_W=2.0)
    assert_close(head.frame @ head.frame.mT, 2 * etf(K, D) @ etf(K, D).mT, rtol=0, atol=EXACT)
    U = head.rotation
    assert_close(U.mT @ U, torch.eye(K).double(), rtol=0, atol=EXACT)
    P = torch.eye(K).double() - 1 / K
    assert_close((2 * K / (K - 1)) ** 0.5 * P @ U.mT, head.frame, rtol=0, atol=EXACT)


@pytest.mark.parametrize("delta", [0.1, 0.0])
def test_follows_to_the_closed_solution(delta):
    head, H = make(delta=delta), unit(40)
    M = means(H, Y)
    centred = M - M.mean(-1, keepdim=True)
    near = nearest_etf_from(centred, head.rotation, delta=delta) if delta else nearest_etf(M)
    head.follow(H, Y)
    assert_close(head.frame, near, rtol=0, atol=EXACT)
    assert_close(head.means, M, rtol=0, atol=EXACT)  # the first batch counts in full
    assert_close(head.logits(H), (H - M.mean(-1)) @ near.mT, rtol=0, atol=EXACT)


def test_published_golden_value():
    """The proximal objective of the nearest-ETF problem, 2 - 2 sum of singular values without."""
    head, H = make(delta=0.0), unit(40)
    head.follow(H, Y)
    M = means(H, Y)
    M = (M - M.mean(-1, keepdim=True)) / (M - M.mean(-1, keepdim=True)).norm()
    gap = (M - head.frame.mT / K**0.5).square().sum()
    singular = torch.linalg.svdvals(M) / (K - 1) ** 0.5
    assert_close(gap, 2 - 2 * singular.sum(), rtol=1e-11, atol=0)


def test_moving_averages():
    head, a, b = make(), unit(40, seed=1), unit(40, seed=2)
    present = Y < 3
    head.follow(a, Y)
    head.follow(b[present], Y[present])
    M, N = means(a, Y), means(b, Y)
    rate = 2 / 3  # 2 / (t + 2) after t = 1 batch
    expected = torch.cat([M[:, :3] + rate * (N - M)[:, :3], M[:, 3:]], 1)
    assert_close(head.means, expected, rtol=0, atol=EXACT)
    assert head.batches.tolist() == [2, 2, 2, 1, 1]
    slow = make(least_rate=0.9)
    for _ in range(3):
        slow.follow(a, Y)
    slow.follow(b, Y)
    assert_close(slow.means, M + 0.9 * (N - M), rtol=0, atol=EXACT)


def test_classes_not_seen_yet_pull_nowhere():
    head = make(delta=0.1)
    H, y = unit(40), Y.clamp(max=2)
    head.follow(H, y)
    seen = torch.stack([H[y == k].mean(0) for k in range(3)], 1)
    filled = torch.cat([seen, seen.mean(-1, keepdim=True).expand(-1, 2)], 1)
    centred = filled - seen.mean(-1, keepdim=True)
    assert_close(head.frame, nearest_etf_from(centred, make().rotation, delta=0.1),
                 rtol=0, atol=EXACT)  # fmt: skip
    assert_close(head.centre, seen.mean(-1), rtol=0, atol=EXACT)


def test_an_empty_batch_changes_nothing():
    head, before = make(delta=0.1), make(delta=0.1)
    head.follow(unit(40)[:0], Y[:0])
    assert_close(dict(head.state_dict()), dict(before.state_dict()), rtol=0, atol=EXACT)


def test_without_a_proximal_term_every_class_must_have_been_seen():
    head, before = make(delta=0.0), make(delta=0.0).frame
    with pytest.raises(ValueError, match="A must have full column rank"):
        head.follow(unit(40), Y.clamp(max=2))
    assert torch.equal(head.frame, before)
    assert head.batches.sum() == 0


def test_the_update_is_deferred():
    head, H = make(), unit(40)
    first = head.logits(H)
    W = head.nearest(H, Y)
    assert torch.equal(head.logits(H), first)
    head.follow(H, Y)
    assert_close(head.frame, W, rtol=0, atol=EXACT)
    assert (head.logits(H) - first).abs().max() > 1e-2
    assert not head.frame.requires_grad


def test_the_frame_of_a_batch_is_differentiable_in_it():
    head = make(delta=0.1)
    head.follow(unit(40, seed=3), Y)

    def loss(x):
        W = head.nearest(x, Y[:10])
        return torch.nn.functional.cross_entropy(head.logits_by(x, W), Y[:10])

    torch.autograd.gradcheck(loss, unit(10).requires_grad_())
    x = unit(10).requires_grad_()
    W = head.nearest(x, Y[:10])
    (through,) = torch.autograd.grad(W[0, 0], x)
    assert through.abs().max() > 1e-4


def test_the_distance_to_the_features_falls_as_the_head_follows():
    head, H = make(delta=1e-3), unit(40)
    M = means(H, Y)
    M = M - M.mean(-1, keepdim=True)

    def cos(W):
        return float((W.mT * M).sum() / (W.norm() * M.norm()))

    before = cos(head.frame)
    head.follow(H, Y)
    assert cos(head.frame) > before
    assert cos(nearest_etf(M)) >= cos(head.frame) - 1e-3


def test_single_precision_keeps_the_etf():
    head = NearestETFHead(D, K)
    for seed in range(50):
        head.follow(unit(40, seed=seed).float(), Y)
    assert head.frame.dtype == torch.float32
    W = head.frame.double()
    assert_close(W @ W.mT, etf(K, D) @ etf(K, D).mT, rtol=0, atol=2e-6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        head.follow(unit(40).bfloat16(), Y)
    assert head.frame.dtype == torch.float32


def test_state_resumes():
    head, fresh = make(), make(generator=torch.Generator().manual_seed(9))
    head.follow(unit(40), Y)
    fresh.load_state_dict(head.state_dict(), strict=True)
    head.follow(unit(40, seed=1), Y)
    fresh.follow(unit(40, seed=1), Y)
    assert torch.equal(head.frame, fresh.frame)
    assert torch.equal(head.rotation, fresh.rotation)


def test_rotation_maximises_the_proximal_objective():
    H, U0 = unit(K).mT, make().rotation
    U = nearest_rotation(H, U0, delta=0.3)
    M = H / H.norm()
    M = M - M.mean(-1, keepdim=True)

    def gain(U):
        return float(2 / (K - 1) ** 0.5 * (U * M).sum() + 0.3 * (U * U0).sum())

    for seed in range(20):
        other = torch.linalg.qr(unit(K, seed=seed).mT)[0]
        assert gain(other) <= gain(U) + EXACT


def test_averages_move_in_half_precision():
    """Steps of rate 1e-2 are below half the spacing of bfloat16: in it the averages would stop."""
    head = NearestETFHead(D, K, transform=torch.nn.Identity(), least_rate=1e-2).bfloat16()
    head.batches.fill_(10_000)
    H, y = torch.randn(K, D), torch.arange(K)
    for _ in range(600):
        head.follow(H, y)
    assert_close(head.means.mT, H, rtol=0, atol=2e-2)
