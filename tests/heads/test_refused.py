"""What heads refuse at a call: one line that names what was given and what is needed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import ufm
from ufm.geometry import Exponential
from ufm.heads import ResidualTransform
from ufm.heads._head import Head


K, WIDTH = 4, 8
TREE = ufm.Tree.from_nested([[0, 1], [2, 3]])
FRAME = ufm.HAFrame(TREE, Exponential(2.0))
CENTERS = ufm.MultiCenter((1, 1, 1, 1), theta=0.2)
MAKERS = {
    "etf": lambda **kw: ufm.ETFHead(WIDTH, K, **kw),
    "haframe": lambda **kw: ufm.HAFrameHead(WIDTH, FRAME, **kw),
    "multicenter": lambda **kw: ufm.MultiCenterHead(WIDTH, CENTERS, **kw),
    "nearest": lambda **kw: ufm.NearestETFHead(WIDTH, K, **kw),
    "learnable": lambda **kw: ufm.LearnableHead(WIDTH, K, **kw),
    "rotated": lambda **kw: ufm.RotatedHead(WIDTH, K, **kw),
}
SIZES = (4, 3, 2, 1)
CE = ufm.CrossEntropy()
LOSSES = {
    "cross-entropy": CE,
    "squared error": ufm.SquaredError(),
    "batch dot regression": ufm.BatchDotRegression(),
    "mix": ufm.HAFrameMix(0.4),
    "targets": ufm.FrameTargets(beta=3.0),
    "soft targets": ufm.SoftTargets(FRAME, beta=3.0),
    "cosines": ufm.CosineRegression(),
    "centers": ufm.CenterRegression(mean_centers=1.0, lam=0.1),
    "adjusted": ufm.LogitAdjusted(SIZES),
    "ldam": ufm.LDAM(SIZES),
    "balanced": ufm.ClassBalanced(CE, SIZES),
    "arb": ufm.AttractionRepulsion(),
}
x, y = torch.randn(12, WIDTH, generator=torch.Generator().manual_seed(0)), torch.arange(12) % K


def call(head: Head, *args: Any) -> torch.Tensor:
    """The loss as users call it: past the shape annotations, which only the tests check."""
    loss = getattr(Head.loss, "__wrapped__", Head.loss)
    features = getattr(Head.features, "__wrapped__", Head.features)
    head.features = lambda x: features(head, x)  # pyright: ignore[reportAttributeAccessIssue]
    return loss(head, *args)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(
    ("input", "message"),
    [
        (torch.zeros(12, 5), r"x must be vectors \(B, in_features=8\).*, got \(12, 5\)"),
        (torch.zeros(12, 8, 3), r"x must be vectors \(B, in_features=8\).*, got \(12, 8, 3\)"),
    ],
)
def test_another_backbone(name, input, message):
    with pytest.raises(ValueError, match=message):
        call(MAKERS[name](), input, y, CE)


def test_maps_where_the_head_pools_them_and_nowhere_else():
    maps = x.reshape(12, 8, 1, 1)
    head = MAKERS["haframe"]()
    assert torch.equal(call(head, maps, y, CE), call(head, x, y, CE))
    with pytest.raises(ValueError, match=r"got \(12, 8, 1, 1\)"):
        call(MAKERS["etf"](), maps, y, CE)


@pytest.mark.parametrize("name", MAKERS)
def test_a_transformation_that_does_not_fit(name):
    """Said by the width that it gave and the one that it should give; its input is its own."""
    d = MAKERS[name]().d
    head = MAKERS[name](transform=nn.Linear(8, d + 1))
    with pytest.raises(
        ValueError, match=rf"transform must give .* \(B, d={d}\), got \(12, {d + 1}"
    ):
        call(head, x, y, CE)
    with pytest.raises(ValueError, match=r"transform must give .*, got \(12, 8, 1, 1\)"):
        call(MAKERS[name](transform=nn.Identity()), x.reshape(12, 8, 1, 1), y, CE)
    fits = MAKERS[name](transform=nn.Sequential(nn.Flatten(), nn.Linear(16, d)))
    assert fits(torch.zeros(12, 2, 8)).shape == (12, K)


@pytest.mark.parametrize("loss", LOSSES)
def test_labels(loss):
    head = MAKERS["learnable"](unit=True)
    for dtype in (torch.uint8, torch.int16, torch.int32):
        assert torch.equal(call(head, x, y.to(dtype), LOSSES[loss]), call(head, x, y, LOSSES[loss]))
    one_hot = nn.functional.one_hot(y, K)
    for bad, message in (
        (y.float(), r"y must be integers, got torch\.float32"),
        (one_hot, r"one label a sample, shape \(12,\), got \(12, 4\)"),
        (y[:5], r"one label a sample, shape \(12,\), got \(5,\)"),
        (y + 1, r"y must be classes 0\.\.3, got 1\.\.4"),
        (torch.where(y == 2, -100, y), r"y must be classes 0\.\.3, got -100\.\.3"),
    ):
        with pytest.raises(ValueError, match=message):
            call(head, x, bad, LOSSES[loss])


def test_errors_that_the_labels_did_not_make_are_torch_s():
    class Broken(ufm.CrossEntropy):
        def value(self, Z, y):
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        call(MAKERS["etf"](), x, y, Broken())


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (nn.CrossEntropyLoss(), r"loss must be one of ufm.*take the logits, head\(x\)"),
        (ufm.CrossEntropy, r"loss must be one of ufm, such as ufm\.CrossEntropy\(\)"),
        (ufm.LogitAdjusted((5, 4, 3)), "n must have K=4 entries, got 3"),
        (ufm.LDAM((5, 4, 3)), "n must have K=4 entries, got 3"),
        (ufm.ClassBalanced(CE, (5, 4, 3, 2, 1)), "n must have K=4 entries, got 5"),
        (ufm.ClassBalanced(ufm.LDAM((5, 4, 3)), SIZES), "n must have K=4 entries, got 3"),
        (ufm.AttractionRepulsion((5, 4, 3)), "n must have K=4 entries, got 3"),
        (ufm.SoftTargets(ufm.HAFrame(ufm.Tree.from_nested([0, 1, 2]), Exponential(1.0)), beta=1.0),
         "frame must have K=4 leaves, got 3"),
    ],
)  # fmt: skip
def test_a_loss_that_does_not_fit(loss, message):
    with pytest.raises(ValueError, match=message):
        call(MAKERS["etf"](), x, y, loss)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ufm.HAFrameHead(WIDTH, TREE), "frame must be a ufm.HAFrame, got a Tree"),  # pyright: ignore[reportArgumentType]
        (lambda: ufm.MultiCenterHead(WIDTH, (1, 2)), "must be a ufm.MultiCenter, got a tuple"),  # pyright: ignore[reportArgumentType]
        (lambda: ufm.ETFHead(WIDTH, ufm.SimplexETF()), "K must be an integer of at least 2"),  # pyright: ignore[reportArgumentType]
        (lambda: ufm.ETFHead(WIDTH, K, generator=0), r"generator must be a torch\.Generator"),  # pyright: ignore[reportArgumentType]
        (lambda: ufm.ClassBalanced(ufm.BatchDotRegression(), SIZES), "must be a loss of logits"),  # pyright: ignore[reportArgumentType]
    ],
)  # fmt: skip
def test_arguments_of_another_kind(make, message, monkeypatch):
    for kind in (ufm.HAFrameHead, ufm.MultiCenterHead, ufm.ETFHead):
        plain = getattr(kind.__init__, "__wrapped__", kind.__init__)
        monkeypatch.setattr(kind, "__init__", plain)
    with pytest.raises(ValueError, match=message):
        make()


def test_the_baseline_of_the_hierarchy_takes_maps_through_its_transformation():
    head = ufm.LearnableHead(WIDTH, K, d=K, transform=ResidualTransform(WIDTH, K))
    assert head.in_features is None
    assert head(torch.zeros(2, WIDTH, 3, 3)).shape == (2, K)
