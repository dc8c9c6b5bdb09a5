"""Hierarchy metrics against a double loop, their identity, floors and intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tolerances import EXACT
from trees import MIXED, random_tree, shared_tree

from ufm.hierarchy import Tree, distance_matrix, load
from ufm.metrics.hierarchical import (
    confidence_interval,
    hd_floor,
    hierarchy_metrics,
    random_severity,
)


def distances(tree: Tree, convention="height") -> torch.Tensor:
    return torch.from_numpy(distance_matrix(tree, convention))


def sample(K: int, N: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(N, K, generator=rng), torch.randint(K, (N,), generator=rng)


@given(st.integers(5, 12), st.integers(1, 30), st.integers(0, 999))
def test_equals_the_double_loop(K, N, seed):
    D = distances(random_tree(K, seed))
    scores, y = sample(K, N, seed)
    record = hierarchy_metrics(scores, y, D, k=(1, 3, K))
    hd, wrong = {1: [], 3: [], K: []}, []
    for row, true in zip(scores.tolist(), y.tolist(), strict=True):
        ranked = sorted(range(K), key=lambda c: -row[c])
        for k, found in hd.items():
            found.append(sum(int(D[c, true]) for c in ranked[:k]) / k)
        if ranked[0] != true:
            wrong.append(int(D[ranked[0], true]))
    assert record.correct == N - len(wrong)
    assert record.top1 == (N - len(wrong)) / N
    for value, found in zip(record.hd, hd.values(), strict=True):
        assert abs(value - np.mean(found)) < EXACT * K
    if wrong:
        assert abs(record.severity - np.mean(wrong)) < EXACT
        assert abs(record.hd[0] - record.severity * (1 - record.top1)) < EXACT * K
    else:
        assert math.isnan(record.severity)


@given(st.integers(1, 40), st.integers(0, 999))
def test_batches_add_up_to_all_samples(cut, seed):
    """No sample is dropped: unequal last batches count in full."""
    D, (scores, y) = distances(Tree.from_nested(MIXED)), sample(8, 41, seed)
    parts = [hierarchy_metrics(scores[a:b], y[a:b], D, k=(1, 5)) for a, b in ((0, cut), (cut, 41))]
    total, whole = parts[0] + parts[1], hierarchy_metrics(scores, y, D, k=(1, 5))
    assert (total.samples, total.correct) == (41, whole.correct)
    assert total.as_row().keys() == {"top1", "mistake_severity", "hd@1", "hd@5", "samples"}
    for name, value in whole.as_row().items():
        assert abs(total.as_row()[name] - value) < 1e-11 or math.isnan(value)


def test_perfect_and_worst_rankings():
    D = distances(load("cifar100_level5"))
    y = torch.arange(100)
    best = hierarchy_metrics(-D[y].double(), y, D)
    assert best.top1 == 1.0
    assert math.isnan(best.severity)
    # Ranking by distance attains the floor of each class.
    for k, value in zip(best.k, best.hd, strict=True):
        assert abs(value - float(hd_floor(D, k).mean())) < EXACT
    worst = hierarchy_metrics(D[y].double(), y, D)
    assert (worst.top1, worst.severity, worst.hd[0]) == (0.0, 5.0, 5.0)


def test_order_within_the_best_k_does_not_matter():
    D, y = distances(Tree.from_nested(MIXED)), torch.tensor([0])
    a = hierarchy_metrics(torch.tensor([[8.0, 7, 6, 5, 4, 3, 2, 1]]), y, D, k=(1, 5))
    b = hierarchy_metrics(torch.tensor([[4.0, 5, 6, 7, 8, 3, 2, 1]]), y, D, k=(1, 5))
    assert a.hd[1] == b.hd[1]
    assert a.hd[0] < b.hd[0]


def test_ties_go_to_the_lower_class():
    D = distances(Tree.from_nested(MIXED))
    record = hierarchy_metrics(torch.zeros(2, 8), torch.tensor([0, 1]), D, k=(1,))
    assert (record.correct, record.severity) == (1, 1.0)


# haframe.md 4: floors of HD@5 and HD@20, severity of a random wrong guess.
FLOORS = [
    ("fgvc_aircraft", "depth", 1.632, 2.415, 2.908),
    ("cifar100_level5", "depth", 0.8, 2.0625, 3.914),
    ("inaturalist19", "depth", 0.8, 1.479, 5.502),
    ("tiered_imagenet_h", "depth", 4.294, 5.775, 9.365),
    ("tiered_imagenet_h", "height", 1.682, 3.101, 9.012),
]


@pytest.mark.parametrize(("name", "convention", "five", "twenty", "severity"), FLOORS)
def test_floors_and_random_severities(name, convention, five, twenty, severity):
    D = distances(shared_tree(name), convention)
    assert abs(float(hd_floor(D, 5).mean()) - five) < 5.01e-4
    assert abs(float(hd_floor(D, 20).mean()) - twenty) < 5.01e-4
    assert abs(random_severity(D) - severity) < 5.01e-4


def test_random_severity_of_three_classes():
    # Distances 1, 2, 2 of the three pairs.
    assert random_severity(torch.tensor([[0, 1, 2], [1, 0, 2], [2, 2, 0]])) == pytest.approx(5 / 3)


def test_interval_is_the_student_interval_of_the_sample_deviation():
    # Five runs of HAFrame on CIFAR-100, top-1 (haframe.md 5).
    runs = [77.42, 77.52, 77.85, 77.38, 77.45]
    mean, half = confidence_interval(runs)
    assert abs(mean - 77.52) < 5e-3
    t = 2.7764451052  # t_{0.975, 4}
    assert abs(half - t * float(np.std(runs, ddof=1)) / 5**0.5) < 1e-9
    narrow = t * float(np.std(runs, ddof=0)) / 5**0.5
    assert abs(narrow / half - (4 / 5) ** 0.5) < EXACT * 10
    assert 1 - narrow / half > 0.105  # the published intervals


def test_interval_covers():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(2000):
        mean, half = confidence_interval(rng.standard_normal(5).tolist(), level=0.9)
        hits += abs(mean) <= half
    assert abs(hits / 2000 - 0.9) < 5 * (0.9 * 0.1 / 2000) ** 0.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda s, y, D: hierarchy_metrics(s[:0], y[:0], D), "N >= 1 samples"),
        (lambda s, y, D: hierarchy_metrics(s, y + 5, D), "classes 0..7"),
        (lambda s, y, D: hierarchy_metrics(s * math.nan, y, D), "NaN"),
        (lambda s, y, D: hierarchy_metrics(s, y, D, k=(9,)), "between 1 and K=8"),
        (lambda s, y, D: hierarchy_metrics(s, y, D, k=(0,)), r"k\[0\]"),
        (lambda s, y, D: hierarchy_metrics(s, y, D, k=()), "between 1 and K=8"),
        (lambda s, y, D: hierarchy_metrics(s, y, D, k=(1,)) + hierarchy_metrics(s, y, D, k=(2,)),
         "the same in both"),
        (lambda s, y, D: confidence_interval([1.0]), "at least 2 runs"),
        (lambda s, y, D: confidence_interval([1.0, 2.0], level=95.0), r"level must be in \(0, 1\)"),
    ],
)  # fmt: skip
def test_bad_input_is_named(make, message):
    scores, y = sample(8, 4, 0)
    with pytest.raises(ValueError, match=message):
        make(scores, y.clamp(min=3), distances(Tree.from_nested(MIXED)))


@pytest.mark.parametrize(
    ("K", "known"), [(2, (1,)), (5, (1,)), (6, (1, 5)), (20, (1, 5)), (21, (1, 5, 20))]
)
def test_by_default_the_k_that_fit(K, known):
    """At k = K the best k are all classes, whatever the scores."""
    scores, y = sample(K, 7, 0)
    D = distance_matrix(random_tree(K, 0))
    record = hierarchy_metrics(scores, y, D)
    assert record.k == known
    assert record == hierarchy_metrics(scores, y, torch.from_numpy(D), k=known)
    everything = hierarchy_metrics(scores, y, D, k=(K,)).hd
    assert everything == hierarchy_metrics(-scores, y, D, k=(K,)).hd


def test_arrays_are_as_good_as_tensors():
    scores, y = sample(8, 9, 0)
    D = distance_matrix(Tree.from_nested(MIXED))
    record = hierarchy_metrics(scores, y, torch.from_numpy(D))
    for labels in (y.numpy(), y.int(), y.to(torch.uint8).numpy()):
        assert hierarchy_metrics(scores.numpy(), labels, D) == record
    assert torch.equal(hd_floor(D, 3), hd_floor(torch.from_numpy(D), 3))
    assert random_severity(D) == random_severity(torch.from_numpy(D))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f, s, y, D: f(s, y.float(), D), "y must be integers, got torch.float32"),
        (lambda f, s, y, D: f(s.argmax(-1), y, D), "one row of K scores a sample"),
        (lambda f, s, y, D: f(s, y, Tree.from_nested(MIXED)), "distance_matrix.*, got a Tree"),
        (lambda f, s, y, D: f(s, y, D, k=5), r"such as \(1, 5\), got 5"),
    ],
)
def test_what_is_mixed_up_is_named(make, message):
    scores, y = sample(8, 4, 0)
    unchecked = getattr(hierarchy_metrics, "__wrapped__", hierarchy_metrics)
    with pytest.raises(ValueError, match=message):
        make(unchecked, scores, y, distance_matrix(Tree.from_nested(MIXED)))


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [(3, 8, r"labels \(3,\) and 4 rows"), (4, 7, "D must be K x K = 8 x 8")],
)
def test_sizes_that_differ(labels, classes, message):
    scores, y = sample(8, 4, 0)
    D = distances(Tree.from_nested(MIXED))
    # Past the shape annotations, which only the tests check.
    unchecked = getattr(hierarchy_metrics, "__wrapped__", hierarchy_metrics)
    with pytest.raises(ValueError, match=message):
        unchecked(scores, y[:labels], D[:classes, :classes])
