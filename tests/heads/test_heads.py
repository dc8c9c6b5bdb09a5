"""What all heads share: frames, buffers, types, devices, errors, logits."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from tolerances import EXACT
from torch import nn
from torch.testing import assert_close
from trees import MIXED

import ufm
from ufm.geometry import Exponential, HAFrame, MultiCenter, frame, multicenter_frame
from ufm.heads import (
    ETFHead,
    HAFrameHead,
    LearnableHead,
    MultiCenterHead,
    NearestETFHead,
    ResidualTransform,
)
from ufm.heads._head import Head
from ufm.hierarchy import Tree
from ufm.losses import CosineRegression, CrossEntropy, FrameTargets, HAFrameMix


K, WIDTH = 8, 16
TREE = Tree.from_nested(MIXED)
F = (1, 2, 3, 4, 1, 2, 3, 4)
MAKERS = {
    "etf": lambda **kw: ETFHead(WIDTH, K, **kw),
    "haframe": lambda **kw: HAFrameHead(WIDTH, HAFrame(TREE, Exponential(2.0)), **kw),
    "multicenter": lambda **kw: MultiCenterHead(WIDTH, MultiCenter(F, 0.3), d=30, **kw),
    "nearest": lambda **kw: NearestETFHead(WIDTH, K, **kw),
    "learnable": lambda **kw: LearnableHead(WIDTH, K, **kw),
}
FIXED = [name for name in MAKERS if name != "learnable"]
GRAMS = {
    "etf": frame(ufm.SimplexETF(), K, K),
    "haframe": frame(HAFrame(TREE, Exponential(2.0)), K, K),
    "multicenter": torch.eye(K, dtype=torch.float64),
    "nearest": frame(ufm.SimplexETF(), K, K),
}


def batch(dtype: torch.dtype = torch.float32, *, seed: int = 0) -> torch.Tensor:
    return torch.randn(
        32, WIDTH, dtype=dtype, generator=torch.Generator().manual_seed(seed)
    )  # fmt: skip


Y = torch.arange(32) % K


@pytest.fixture(params=list(MAKERS))
def name(request) -> str:
    return request.param


@pytest.mark.parametrize("name", FIXED)
@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, EXACT), (torch.float32, 1e-6)])
def test_rows_have_the_gram_matrix_of_the_frame(name, dtype, error):
    W = MAKERS[name](dtype=dtype).frame
    expected = GRAMS[name] @ GRAMS[name].mT
    assert W.dtype == dtype
    assert_close(W.double() @ W.double().mT, expected, rtol=0, atol=error)


@pytest.mark.parametrize("name", FIXED)
def test_all_channels_are_used(name):
    """Zero-padded rows would waste the channels beyond the rank."""
    assert (MAKERS[name]().frame.abs().amax(0) > 1e-4).all()


@pytest.mark.parametrize("name", FIXED)
def test_the_generator_decides_the_rotation(name):
    make = MAKERS[name]
    assert torch.equal(make().frame, make().frame)
    torch.manual_seed(17)  # the global generator has no say
    assert torch.equal(make().frame, make(generator=torch.Generator().manual_seed(0)).frame)
    other = make(generator=torch.Generator().manual_seed(1)).frame
    assert (make().frame - other).abs().max() > 0.1


@pytest.mark.parametrize("name", FIXED)
def test_the_frame_is_a_buffer_that_checkpoints_restore(name):
    head = MAKERS[name](generator=torch.Generator().manual_seed(5))
    assert not any(p.shape == head.frame.shape and torch.equal(p, head.frame)
                   for p in head.parameters())  # fmt: skip
    file = io.BytesIO()
    torch.save(head.state_dict(), file)
    file.seek(0)
    fresh = MAKERS[name]()
    fresh.load_state_dict(torch.load(file, weights_only=True), strict=True)
    x = batch()
    assert torch.equal(head.eval()(x), fresh.eval()(x))
    state = head.state_dict()
    del state["frame"]
    with pytest.raises(RuntimeError, match="frame"):
        fresh.load_state_dict(state, strict=True)


def test_copies_and_printing(name):
    head = MAKERS[name]()
    assert torch.equal(copy.deepcopy(head).eval()(batch()), head.eval()(batch()))
    assert f"K={K}, d={head.d}" in repr(head)


def test_trains_and_learns(name):
    torch.manual_seed(0)
    head = MAKERS[name]()
    model = nn.Sequential(nn.Linear(K, WIDTH), nn.BatchNorm1d(WIDTH), head)
    x = nn.functional.one_hot(Y, K).float() + 0.01 * batch()[:, :K]
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    frame_before = head.frame.detach().clone()
    for _ in range(60):
        optimiser.zero_grad()
        nn.functional.cross_entropy(8 * model(x), Y).backward()
        optimiser.step()
    assert (model.eval()(x).argmax(-1) == Y).float().mean() > 0.9
    moved = not torch.equal(head.frame, frame_before)
    assert moved == (name == "learnable")


def test_both_kinds_of_losses_train_it(name):
    head = MAKERS[name]()
    for loss in (CrossEntropy(), HAFrameMix(0.4), FrameTargets(3.0), CosineRegression()):
        x = batch().requires_grad_()
        value = head.loss(x, Y, loss)
        (grad,) = torch.autograd.grad(value.mean(), x)
        assert value.shape == (32,)
        assert value.isfinite().all()
        assert grad.isfinite().all()
        assert grad.abs().max() > 0
    direct = nn.functional.cross_entropy(head.eval()(batch()), Y, reduction="none")
    assert_close(head.loss(batch(), Y, CrossEntropy()), direct, rtol=1e-5, atol=1e-5)


def test_float64_in_float64_out(name):
    head = MAKERS[name](dtype=torch.float64)
    assert head(batch(torch.float64)).dtype == torch.float64
    assert {t.dtype for t in head.state_dict().values()} <= {torch.float64, torch.int64}


def test_float32_by_default_and_nothing_else(name):
    # MPS has no float64 at all.
    head = MAKERS[name]()
    assert {t.dtype for t in head.state_dict().values()} <= {torch.float32, torch.int64}
    assert head(batch()).dtype == torch.float32


def test_bf16_autocast_keeps_logits_and_losses_in_float32(name):
    head = MAKERS[name]().eval()
    exact = head(batch())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = head(batch())
        losses = head.loss(batch(), Y, HAFrameMix(0.4))
        features = head.features(batch())
    assert logits.dtype == losses.dtype == features.dtype == torch.float32
    # bfloat16 has 8 bits; layers in front of the frame run in it.
    assert (logits - exact).abs().max() < 0.05 * exact.abs().max()
    # The product with the frame itself is not rounded.
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = head.logits(features)
    assert torch.equal(inside, head.logits(features))


@pytest.mark.parametrize("name", FIXED)
def test_casting_a_network_to_half_precision_spares_the_frame(name):
    head = MAKERS[name]()
    before = head.frame.clone()
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), head).to(torch.bfloat16).eval()
    assert head.frame.dtype == torch.float32
    assert torch.equal(head.frame, before)
    logits = model(batch().bfloat16())
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()
    assert torch.equal(model.half()[1].frame, before)
    assert model.double()[1].frame.dtype == torch.float64


@pytest.mark.parametrize("name", FIXED)
def test_a_network_built_in_half_precision_has_an_exact_frame(name):
    """By ``dtype=`` or by torch's default: rounding the frame would take its geometry away."""
    asked = MAKERS[name](dtype=torch.bfloat16)
    torch.set_default_dtype(torch.bfloat16)
    try:
        default = MAKERS[name]()
    finally:
        torch.set_default_dtype(torch.float32)
    for head in (asked, default):
        assert torch.equal(head.frame, MAKERS[name]().frame)
        assert all(p.dtype == torch.bfloat16 for p in head.parameters())
        assert head(batch(torch.bfloat16)).dtype == torch.float32


@pytest.mark.parametrize("loss", [CosineRegression(), HAFrameMix(), CrossEntropy()])
def test_networks_cast_to_half_precision_have_their_losses(name, loss):
    head = MAKERS[name]().bfloat16()
    x = batch(torch.bfloat16).requires_grad_()
    head.loss(x, Y, loss).mean().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_checkpoints_fill_heads_built_without_storage(name):
    """``meta`` by argument or as default device, filled by assignment or after `to_empty`."""
    head = MAKERS[name]().eval()
    with torch.device("meta"):
        by_default = MAKERS[name]()
    by_argument, emptied = MAKERS[name](device="meta"), MAKERS[name](device="meta")
    assert all(t.is_meta for m in (by_default, by_argument) for t in m.state_dict().values())
    emptied = emptied.to_empty(device="cpu")
    for fresh, assign in ((by_default, True), (by_argument, True), (emptied, False)):
        fresh.load_state_dict(head.state_dict(), assign=assign)
        for loss in (CosineRegression(), HAFrameMix()):
            assert torch.equal(fresh.eval().loss(batch(), Y, loss), head.loss(batch(), Y, loss))


def test_can_be_built_and_moved_to_other_devices(name):
    head = MAKERS[name]().to("meta")
    assert head.frame.is_meta
    assert head(torch.randn(4, WIDTH, device="meta")).shape == (4, K)


@pytest.mark.gpu
def test_cuda_gives_the_same_logits(name):
    head = MAKERS[name]().eval()
    expected = head(batch())
    assert_close(head.cuda()(batch().cuda()).cpu(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("make", [ETFHead, NearestETFHead])
def test_norms_of_rows_and_features_are_the_roots_of_their_budgets(make):
    head = make(WIDTH, K, E_W=4.0, E_H=9.0)
    h = head.features(batch())
    assert_close(h.norm(dim=-1), torch.full((32,), 3.0))
    assert_close(head.frame.norm(dim=-1), torch.full((K,), 2.0))
    cos = torch.nn.functional.cosine_similarity(h.unsqueeze(1), head.frame, dim=-1)
    assert_close(head(batch()), 6 * cos, rtol=1e-4, atol=1e-5)


def test_learned_heads_keep_a_bias_and_cosines_do_not():
    head = LearnableHead(WIDTH, K)
    linear = nn.Linear(WIDTH, K)
    linear.weight, linear.bias = head.frame, head.bias
    assert_close(head(batch()), linear(batch()))
    cosine = LearnableHead(WIDTH, K, unit=True)
    assert cosine.bias is None
    assert cosine(batch()).abs().max() <= 1 + 1e-6


def test_type_two_baseline():
    head = LearnableHead(WIDTH, K, d=K, transform=ResidualTransform(WIDTH, K))
    assert head(torch.randn(4, WIDTH, 3, 3)).shape == (4, K)
    assert head.d == K


def test_a_custom_transformation_replaces_the_paper_s():
    head = ETFHead(WIDTH, K, transform=nn.Identity())
    x = batch()
    assert_close(head(x), x @ head.frame.mT)
    assert len(list(head.parameters())) == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ETFHead(6, 8), "d must be at least K-1=7 for a simplex ETF, got 6"),
        (lambda: HAFrameHead(6, HAFrame(TREE, Exponential(2.0)), d=6),
         "d must be at least 7, the rank of the frame, got 6"),
        (lambda: HAFrameHead(6, HAFrame(TREE, Exponential(2.0), s=0.0), d=7),
         "d must be at least 8, the rank of the frame, got 7"),
        (lambda: MultiCenterHead(27, MultiCenter(F, 0.3)),
         r"d must be at least sum\(f\)\+K=28, got 27"),
        (lambda: NearestETFHead(7, 8), "d must be at least K=8 for a proximal rotation, got 7"),
        (lambda: NearestETFHead(6, 8, delta=0),
         "d must be at least K-1=7 for a simplex ETF, got 6"),
        (lambda: MultiCenterHead(28, MultiCenter(F, 0.3), rule="best"),  # pyright: ignore[reportArgumentType]
         "rule must be 'regular', 'mean' or 'general', got 'best'"),
        (lambda: ETFHead(0, 8), "in_features must be an integer of at least 1, got 0"),
        (lambda: ETFHead(8, 8, d=0), "d must be an integer of at least 1, got 0"),
        (lambda: LearnableHead(8, 1), "K must be an integer of at least 2, got 1"),
        (lambda: ETFHead(8, 1), "K must be an integer of at least 2, got 1"),
        (lambda: ETFHead(8, 8, E_H=0), "E_H must be a finite number > 0, got 0"),
        (lambda: ResidualTransform(8, 8, pool="sum"), "pool must be 'avg' or 'max', got 'sum'"),  # pyright: ignore[reportArgumentType]
    ],
)  # fmt: skip
def test_errors_name_the_argument_and_what_is_needed(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("K", [2, 3])
def test_smallest_sizes(K):
    for head in (ETFHead(K - 1, K), NearestETFHead(K - 1, K, delta=0), NearestETFHead(K, K)):
        assert head(torch.randn(5, head.d)).shape == (5, K)
    tree = Tree.from_nested(list(range(K)))
    head = HAFrameHead(4, HAFrame(tree, Exponential(1.0)), d=K - 1)
    assert head(torch.randn(5, 4)).shape == (5, K)


def test_multi_center_buffers_are_one_rotated_frame():
    head, natural = (
        MAKERS["multicenter"](dtype=torch.float64),
        multicenter_frame(MultiCenter(F, 0.3)),
    )
    ours = torch.cat([head.frame, head.centers])
    theirs = torch.cat([natural.W, natural.centers])
    assert_close(ours @ ours.mT, theirs @ theirs.mT, rtol=0, atol=EXACT)
    assert torch.equal(head.owner, natural.owner)
    assert isinstance(head, Head)


def test_the_gram_matrix_follows_the_frame():
    """It is no part of a checkpoint, and neither casts nor another tree's checkpoint stale it."""
    head = MAKERS["haframe"]()
    other = HAFrameHead(WIDTH, HAFrame(Tree.from_nested([*range(K)]), Exponential(2.0)))
    assert "gram" not in head.state_dict()
    address = head.gram.data_ptr()
    head.load_state_dict(other.state_dict())
    assert torch.equal(head.gram, other.gram)
    assert head.gram.data_ptr() == address  # a captured CUDA graph reads it there
    assert_close(head.gram, other.frame @ other.frame.mT)
    assert head.bfloat16().gram.dtype == torch.float32


def test_places_of_centers_follow_the_checkpoint():
    """As many centers in all, divided otherwise: no buffer but the owners tells them apart."""
    f = (2,) + (1,) * 69  # few of many: losses look the places up
    one, other = (MultiCenterHead(141, MultiCenter(each, 0.3)) for each in (f, f[::-1]))
    other.load_state_dict(one.state_dict())
    assert torch.equal(other.slots, one.slots)
    x, y = torch.randn(70, 141), torch.arange(70)
    loss = CosineRegression()
    assert torch.equal(other.loss(x, y, loss), one.loss(x, y, loss))
