"""The plan of an epoch: one function of (seed, epoch), whatever the device or the processes."""

from __future__ import annotations

import dataclasses

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from scipy import stats

from deep.data.augment import mixed
from deep.data.plan import draw_epoch
from deep.data.spec import NO_AUGMENT, Augment


LABELS = torch.repeat_interleave(torch.arange(5), torch.tensor([400, 200, 60, 30, 10]))
FULL = Augment(cutout=4, mixup=1.0)
# Chance of a false alarm of each test of a distribution; the seeds are fixed.
ALARM = 1e-4


def draw(augment=FULL, labels=LABELS, **kwargs):
    settings = {"batch": 20, "seed": 3, "epoch": 7, "size": (8, 10)} | kwargs
    return draw_epoch(labels, augment=augment, **settings)


def tensors(plan):
    return [getattr(plan, f.name) for f in dataclasses.fields(plan)]


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(tensors(a), tensors(b), strict=True))


def test_shapes_and_types():
    plan = draw()
    S, B = 35, 20
    assert len(plan) == S
    assert [tuple(t.shape) for t in tensors(plan)] == [
        (S, B), (S, B, 2), (S, B), (S, B, 2), (S,), (S, B)
    ]  # fmt: skip
    assert [t.dtype for t in tensors(plan)] == [
        torch.int64, torch.int64, torch.bool, torch.int64, torch.float32, torch.int64
    ]  # fmt: skip


def test_a_plan_depends_on_seed_and_epoch_alone():
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    first = draw()
    torch.rand(3)
    assert same(first, draw())
    for other in (draw(seed=4), draw(epoch=8)):
        assert not any(
            torch.equal(a, b) for a, b in zip(tensors(first), tensors(other), strict=True)
        )
    # (seed, epoch) are not added up.
    assert not same(draw(seed=4, epoch=7), draw(seed=3, epoch=8))


def test_switching_one_choice_off_leaves_the_others_alone():
    plan, plain = draw(), draw(NO_AUGMENT)
    assert torch.equal(plan.index, plain.index)
    assert torch.equal(plan.corner, draw(Augment(flip=False)).corner)
    assert (plain.corner == 0).all()
    assert (plain.hole == 0).all()
    assert not plain.flip.any()
    assert (plain.share == 1).all()
    assert torch.equal(plain.partner, torch.arange(20).expand(35, 20))


def test_an_instance_epoch_is_a_permutation():
    plan = draw(batch=64)
    assert len(plan) == 700 // 64
    seen = plan.index.flatten()
    assert len(seen.unique()) == len(seen) == 640
    whole = draw(batch=700).index.flatten()
    assert sorted(whole.tolist()) == list(range(700))


@given(batch=st.integers(1, 700), seed=st.integers(0, 2**31), epoch=st.integers(0, 300))
def test_every_number_is_in_range(batch, seed, epoch):
    plan = draw(batch=batch, seed=seed, epoch=epoch)
    assert len(plan) == 700 // batch
    assert ((plan.index >= 0) & (plan.index < 700)).all()
    assert ((plan.corner >= 0) & (plan.corner <= 8)).all()
    assert (plan.hole >= 0).all()
    assert (plan.hole < torch.tensor([8, 10])).all()
    assert ((plan.share >= 0) & (plan.share <= 1)).all()
    rows = torch.arange(batch).expand(len(plan), batch)
    assert torch.equal(plan.partner.sort(dim=1).values, rows)


def test_offsets_reach_both_ends_evenly_and_per_sample():
    corner = draw(batch=700, epoch=0).corner.flatten()
    many = torch.cat([draw(batch=700, epoch=e).corner.flatten() for e in range(20)])
    # 0 .. 2 pad with both ends; HAFrame's released code draws 0 .. 2 pad - 1.
    counts = torch.bincount(many, minlength=9)
    assert len(counts) == 9
    assert stats.chisquare(counts.numpy()).pvalue > ALARM
    assert len(corner.unique()) == 9  # one offset a sample, not a batch
    flips = torch.cat([draw(batch=700, epoch=e).flip.flatten() for e in range(20)])
    assert stats.binomtest(int(flips.sum()), flips.numel(), 0.5).pvalue > ALARM


@pytest.mark.parametrize("a", [0.2, 1.0])
def test_mixup_shares_follow_the_beta_distribution(a):
    shares = torch.cat([draw(Augment(mixup=a), batch=2, epoch=e).share for e in range(6)])
    assert len(shares) == 2100
    assert stats.kstest(shares.double().numpy(), stats.beta(a, a).cdf).pvalue > ALARM
    assert stats.kstest(shares.double().numpy(), stats.beta(3, 3).cdf).pvalue < ALARM


def test_class_balanced_sampling_balances_and_covers():
    plan = draw(sampling="class-balanced", batch=20)
    seen = plan.index.flatten()
    per_class = torch.bincount(LABELS[seen])
    assert per_class.max() - per_class.min() <= 1
    assert per_class.sum() == 700
    # An image returns only when its class is through: counts within a class differ by one.
    counts = torch.bincount(seen, minlength=700)
    for k in range(5):
        own = counts[k == LABELS]
        assert own.max() - own.min() <= 1
    # Any block of K draws holds each class once.
    blocks = LABELS[seen].view(-1, 5).sort(dim=1).values
    assert (blocks == torch.arange(5)).all()
    assert len(torch.unique(LABELS[seen].view(-1, 5), dim=0)) > 50


def test_mixup_takes_the_stated_share_of_each_image():
    images = torch.arange(4.0)[:, None, None, None].expand(4, 1, 2, 2)
    got = mixed(images, torch.tensor([3, 2, 1, 0]), torch.tensor(0.75))
    assert got[:, 0, 0, 0].tolist() == [0.75, 1.25, 1.75, 2.25]
    # Without Mixup images come back bit for bit.
    x = torch.randn(4, 1, 2, 2)
    assert torch.equal(mixed(x, torch.arange(4), torch.tensor(1.0)), x)


def test_bad_input():
    with pytest.raises(ValueError, match="batch must be at most the 700 training images, got 701"):
        draw(batch=701)
    with pytest.raises(ValueError, match="batch must be an integer of at least 1"):
        draw(batch=0)
    with pytest.raises(ValueError, match="size must be given with cutout"):
        draw(size=None)
    with pytest.raises(ValueError, match="sampling must be instance or class-balanced"):
        draw(sampling="other")
    with pytest.raises(ValueError, match="class 2 must have images"):
        draw(labels=LABELS[LABELS != 2], sampling="class-balanced")


@pytest.mark.gpu
def test_labels_on_the_device_give_the_same_plan():
    assert same(draw(labels=LABELS.cuda()), draw())
