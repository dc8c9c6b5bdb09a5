"""Long tails: quotas, caps, hold-out, and labels that never slip against their images."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

from deep.data.images import Images, ImageSet, channel_statistics
from deep.data.select import chosen, class_sizes
from deep.data.sources import PUBLISHED
from deep.data.spec import Augment, Balanced, Data, LongTail, Sizes, StepTail
from ufm import _spec
from ufm.counts import cifar10_lt_sizes, cifar100_lt_sizes


SVHN_N = PUBLISHED["svhn"].n
EXTRA_N = tuple(a - b for a, b in zip(PUBLISHED["svhn-extra"].n, SVHN_N, strict=True))


def select(labels, data, seed=0):
    labels = torch.as_tensor(labels)
    available = torch.bincount(labels).tolist()
    return chosen(labels, data, available=available, seed=seed)


def shuffled(n, seed=0):
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(n)), n))


def test_published_class_counts():
    cifar10, cifar100 = (5000,) * 10, (500,) * 100
    for rho in (10, 50, 100, 200):
        assert class_sizes(LongTail(rho), cifar10) == cifar10_lt_sizes(rho)
        assert class_sizes(LongTail(rho, n_max=500), cifar100) == cifar100_lt_sizes(rho)
    assert sum(class_sizes(LongTail(100), cifar10)) == 12406
    assert class_sizes(LongTail(200), cifar10)[-1] == 25
    assert sum(class_sizes(LongTail(100), cifar100)) == 10847
    step = class_sizes(StepTail(rho=100, K_A=5), cifar10)
    assert step == (5000,) * 5 + (50,) * 5


def test_counts_are_capped_at_what_a_class_has():
    assert class_sizes(Balanced(), (3, 7)) == (3, 7)
    assert class_sizes(Balanced(5), (3, 7)) == (3, 5)
    assert class_sizes(Sizes((0, 2)), (3, 7)) == (3, 2)
    # An explicit n_max keeps the other quotas; without one the whole profile fits.
    assert class_sizes(LongTail(4, n_max=100), (60, 90, 90)) == (60, 50, 25)
    assert class_sizes(LongTail(4), (60, 90, 90)) == (60, 30, 15)
    assert class_sizes(StepTail(rho=2, K_A=1), (100, 20)) == (41, 20)


@given(
    rho=st.floats(1, 300),
    available=st.lists(st.integers(400, 3000), min_size=2, max_size=12),
)
def test_default_n_max_is_the_largest_that_fits(rho, available):
    n = class_sizes(LongTail(rho), available)
    assert all(a <= b for a, b in zip(n, available, strict=True))
    more = class_sizes(LongTail(rho, n_max=n[0] + 1), (10**6,) * len(available))
    assert any(a > b for a, b in zip(more, available, strict=True))


def released_loader(labels, rho):
    """The public SVHN-LT loader's arithmetic: images cut at what exists, labels by quota."""
    K = labels.max() + 1
    n_max = len(labels) / K
    images, targets = [], []
    for k in range(K):
        quota = int(n_max * rho ** (-k / (K - 1)))
        images.append(np.flatnonzero(labels == k)[:quota])
        targets += [k] * quota
    return np.concatenate(images), np.array(targets)


@pytest.mark.parametrize("rho", [50, 100, 200])
def test_labels_never_shift_where_the_released_loader_shifts_them(rho):
    wrong = total = 0
    for n, shift in ((EXTRA_N, 53113 - 45550), (SVHN_N, 7325 - 4948)):
        labels = shuffled(n)
        images, targets = released_loader(labels, rho)
        assert len(targets) - len(images) == shift
        wrong += np.sum(labels[images] != targets[: len(images)])
        total += len(images)
    # Both splits together, as that loader trains on them.
    assert round(100 * wrong / total) in (33, 34, 35)
    for profile in (LongTail(rho, n_max=7325), LongTail(rho)):
        index, _ = select(labels, Data("svhn", profile=profile))
        kept = Images(torch.zeros(len(labels), 1, 1, 1, dtype=torch.uint8),
                      torch.from_numpy(labels), 10).subset(index)  # fmt: skip
        assert (kept.labels.numpy() == labels[index]).all()
        assert kept.n == class_sizes(profile, SVHN_N)
    assert kept.n[0] == 4948  # nothing capped: the profile is exact
    assert kept.n[9] == int(4948 / rho)


def test_file_order_and_hold_out():
    labels = np.array([1, 0, 0, 1, 1, 0, 0, 1, 1, 0])
    index, held = select(labels, Data(profile=Sizes((3, 2)), holdout=1))
    assert index.tolist() == [0, 1, 2, 3, 5]
    assert held.tolist() == [8, 9]
    everything, none = select(labels, Data())
    assert everything.tolist() == list(range(10))
    assert len(none) == 0


def test_seeded_choice_is_random_repeatable_and_inside_the_training_part():
    labels = shuffled((200,) * 4)
    data = Data(profile=LongTail(10), choose="seed", holdout=20)
    index, held = select(labels, data, seed=1)
    again, _ = select(labels, data, seed=1)
    other, held_too = select(labels, data, seed=2)
    assert torch.equal(index, again)
    assert torch.equal(held, held_too)
    assert not torch.equal(index, other)
    assert not set(index.tolist()) & set(held.tolist())
    assert (index.diff() > 0).all()
    assert np.bincount(labels[index]).tolist() == list(class_sizes(LongTail(10), (180,) * 4))


def test_an_excerpt_serves_what_it_holds_and_refuses_the_rest():
    full = shuffled((500,) * 10)
    part, _ = select(full, Data(profile=LongTail(50)))
    labels = torch.from_numpy(full)[part]

    def from_excerpt(data):
        return chosen(labels, data, available=(500,) * 10)

    for rho in (50, 100, 200):
        index, _ = from_excerpt(Data(profile=LongTail(rho)))
        want, _ = select(full, Data(profile=LongTail(rho)))
        assert torch.equal(part[index], want)
    with pytest.raises(ValueError, match=r"class 1 must have 358 images .*rho=20.* got 323"):
        from_excerpt(Data(profile=LongTail(20)))
    with pytest.raises(ValueError, match="class 1 must have 500"):
        from_excerpt(Data())
    for data in (Data(profile=LongTail(100), choose="seed"), Data(profile=Balanced(5), holdout=1)):
        with pytest.raises(ValueError, match="excerpt of the published set"):
            from_excerpt(data)


def test_classes_without_images_are_refused():
    with pytest.raises(ValueError, match="class 1 must have images, got none of 8"):
        class_sizes(Balanced(), (3, 0, 5))
    with pytest.raises(ValueError, match="class 0 must have images"):
        select([0, 0, 1, 1, 1], Data(holdout=2))
    with pytest.raises(ValueError, match="rho must leave each class a sample"):
        class_sizes(LongTail(100), (60,) * 3)
    with pytest.raises(ValueError, match="n must have K=2 entries, got 3"):
        class_sizes(Sizes((1, 1, 1)), (3, 3))
    with pytest.raises(ValueError, match="K_A must be at most"):
        class_sizes(StepTail(rho=2, K_A=4), (9,) * 3)


def test_images_refuse_wrong_types_shapes_and_labels():
    x, y = torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1, 2, 1])
    assert Images(x, y, 4).n == (1, 2, 1, 0)
    for pixels, labels, K, match in (
        (x.float(), y, 3, "pixels must be uint8, got torch.float32"),
        (x[0], y, 3, r"\(N, C, H, W\), got \(1, 2, 2\)"),
        (x[:0], y[:0], 3, "non-empty"),
        (x, y.int(), 3, "labels must be int64, got torch.int32"),
        (x, y[:3], 3, "one entry for each of the 4 images"),
        (x, y, 2, r"labels must be in 0\.\.1, got 0\.\.2"),
        (x, y - 1, 3, r"got -1\.\.1"),
        (x, y, 0, "K must be at least 1"),
    ):
        with pytest.raises(ValueError, match=match):
            Images(pixels, labels, K)
    images = Images(x, y, 3)
    with pytest.raises(ValueError, match="classes must have K=3"):
        ImageSet("a", images, images, None, (0.0,), (1.0,), ("a", "b"))
    whole = ImageSet("a", images, images, images, (0.0,), (1.0,), ("a", "b", "c"))
    assert whole.to("cpu").validation is not None


def test_channel_statistics_are_the_population_ones():
    x = torch.randint(0, 256, (9, 3, 4, 5), dtype=torch.uint8)
    mean, std = channel_statistics(Images(x, torch.zeros(9, dtype=torch.int64), 1))
    levels = x.double().transpose(0, 1).reshape(3, -1) / 255
    assert mean == pytest.approx(levels.mean(1).tolist(), rel=1e-12)
    assert std == pytest.approx(levels.std(1, correction=0).tolist(), rel=1e-12)


def test_specs_round_trip_and_refuse_nonsense():
    data = Data("cifar10", profile=LongTail(100.0), mean=(0.1,) * 3, std=(0.2,) * 3)
    assert _spec.decode(_spec.encode(data)) == data
    assert _spec.digest(data) != _spec.digest(Data("cifar10", profile=StepTail(100.0, K_A=5)))
    for make, match in (
        (lambda: Data("cifar11"), "source must be one of"),  # pyright: ignore[reportArgumentType]
        (lambda: Data("npz"), "path must be given for source 'npz'"),
        (lambda: Data(choose="first"), "choose must be one of file, seed"),  # pyright: ignore[reportArgumentType]
        (lambda: Data(holdout=-1), "holdout must be an integer of at least 0"),
        (lambda: Data(mean=(0.5,)), "mean and std must be given together"),
        (lambda: Data(mean=(0.5,), std=(0.0,)), r"std\[0\] must be a finite number > 0"),
        (lambda: Data(profile=100), "profile must be Balanced"),  # pyright: ignore[reportArgumentType]
        (lambda: LongTail(0.01), "rho must be a finite number >= 1"),
        (lambda: Augment(crop=-1), "crop"),
        (lambda: Augment(pad="wrap"), "pad must be one of zero, reflect"),  # pyright: ignore[reportArgumentType]
        (lambda: Augment(mixup=-1), "mixup"),
    ):
        with pytest.raises(ValueError, match=match):
            make()
