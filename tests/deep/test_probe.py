"""The probe agrees with the package's metrics, sees collapse and its absence, and streams."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tolerances import EXACT

import ufm
from deep.collapse import Classifier, collapse
from deep.decisions import Decisions
from deep.probe import linear_rule, probe, save_features
from ufm.geometry.multicenter import multicenter_frame
from ufm.metrics import collapsed_sigma, hierarchy_metrics, multicenter_collapse


TREE = ufm.hierarchy.distance_matrix(ufm.Tree.from_nested([[0, 1], [2, [3, 4]]]))


def in_batches(X: torch.Tensor, y: torch.Tensor, size: int):
    return lambda: zip(X.split(size), y.split(size), strict=True)


def labels_of(n: tuple[int, ...]) -> torch.Tensor:
    return torch.repeat_interleave(torch.arange(len(n)), torch.tensor(n))


def test_perfect_collapse_is_zero_and_a_perturbation_is_not():
    y = labels_of((5, 3, 3, 2))
    W = ufm.etf(4, 6)
    X = 2.0 * W[y]
    perfect = collapse(in_batches(X, y, 4), Classifier.of(W)).as_row()
    for name in ("nc1_quot", "nc1_pinv", "nc2_etf_err", "nc2_equinorm", "nc3_self_dual"):
        assert perfect[name] < EXACT, name
    assert perfect["nc4_agree"] == 1
    assert perfect["angle_max"] < 1e-10  # degrees; EXACT is for relative numbers
    assert perfect["E_H"] == pytest.approx(4, rel=EXACT)
    moved = collapse(in_batches(X + 0.1 * torch.randn_like(X), y, 4), Classifier.of(W)).as_row()
    for name in ("nc1_quot", "nc2_etf_err", "nc2_equinorm", "nc3_self_dual", "angle_mean"):
        assert moved[name] > 1e-4, name


@given(st.integers(0, 10**6), st.integers(1, 40))
def test_two_streaming_passes_equal_the_metrics_on_all_features_at_once(seed: int, size: int):
    generator = torch.Generator().manual_seed(seed)
    y = labels_of((17, 9, 5, 2))[torch.randperm(33, generator=generator)]
    W = torch.randn(4, 7, generator=generator, dtype=torch.float64)
    b = torch.randn(4, generator=generator, dtype=torch.float64)
    X = W[y] + 0.5 * torch.randn(33, 7, generator=generator, dtype=torch.float64) + 1
    found = collapse(in_batches(X, y, size), Classifier.of(W, b))
    expected = ufm.nc(W, X.mT, y, b).as_row()
    assert found.record.as_row() == pytest.approx(expected, rel=1e-11, nan_ok=True)  # sums reorder
    geometry = ufm.Geometry.of(W, X.mT, y)
    assert float(ufm.distance(found.geometry, geometry)) < EXACT


def test_multicenter_collapse_is_streamed_and_ends_at_the_known_sigma():
    spec, n = ufm.MultiCenter((1, 2, 4), theta=0.2), (8, 5, 3)
    parts, y = multicenter_frame(spec), labels_of(n)
    X = parts.direction[y] + 0.05 * torch.randn(16, parts.W.shape[1], dtype=torch.float64)
    rule = Classifier(parts.W, torch.zeros(3, dtype=torch.float64), parts.direction, parts)
    row = collapse(in_batches(X, y, 5), rule).multicenter
    whole = multicenter_collapse(X.mT, y, parts)
    for name, value in row.items():
        assert value == pytest.approx(float(getattr(whole, name)), rel=1e-10), name  # sums reorder
    done = collapse(in_batches(3 * parts.direction[y], y, 5), rule)
    assert done.multicenter["nc_ave"] < EXACT
    sigma = collapsed_sigma(spec, torch.tensor(n, dtype=torch.float64))
    assert done.multicenter["sigma"] == pytest.approx(float(sigma), rel=EXACT)
    assert done.as_row()["angle_max"] < 1e-10  # degrees


def test_answers_of_a_known_table_in_two_batches():
    tallied = Decisions(3)
    scores = torch.eye(3)[[0, 0, 1, 1, 2, 0]]
    tallied.update(scores[:4], torch.tensor([0, 0, 0, 1]))
    tallied.update(scores[4:], torch.tensor([2, 2]))
    row = tallied.as_row(n=(500, 100, 5))
    assert row["confusion"] == [[2, 1, 0], [0, 1, 0], [1, 0, 1]]
    assert row["per_class"] == pytest.approx([2 / 3, 1, 1 / 2])
    assert row["accuracy"] == pytest.approx(4 / 6)
    assert {s: row[s] for s in ("many", "medium", "few")} == pytest.approx(
        {"many": 2 / 3, "medium": 1, "few": 0.5}
    )


def test_calibration_error_of_known_confidences():
    # Confidence 0.8 at accuracy 3/4 and 0.6 at 1/2, twice as many of the first.
    logits = torch.tensor([0.8, 0.8, 0.8, 0.8, 0.6, 0.6], dtype=torch.float64).logit()
    tallied = Decisions(2)
    scores = torch.stack([logits, torch.zeros_like(logits)], -1)
    tallied.update(scores[:3], torch.tensor([0, 0, 0]))
    tallied.update(scores[3:], torch.tensor([1, 0, 1]))
    assert tallied.ece == pytest.approx((4 * 0.05 + 2 * 0.1) / 6, rel=EXACT)


@given(st.integers(0, 10**6))
def test_hierarchical_distance_at_one_is_severity_times_the_error(seed: int):
    generator = torch.Generator().manual_seed(seed)
    D = TREE
    scores = torch.randn(40, 5, generator=generator, dtype=torch.float64)
    y = torch.randint(5, (40,), generator=generator)
    tallied = Decisions(5, D=D)
    tallied.update(scores[:11], y[:11])
    tallied.update(scores[11:], y[11:])
    row = tallied.as_row()
    assert row["hd@1"] == pytest.approx(row["mistake_severity"] * (1 - row["accuracy"]), rel=EXACT)
    whole = hierarchy_metrics(scores, y, torch.as_tensor(D), k=(1, 5)).as_row()
    assert row["hd@5"] == pytest.approx(whole["hd@5"], rel=EXACT)
    assert "hd@20" not in row


class Flat(torch.nn.Module):
    """A backbone that shows its pixels, and any head."""

    def __init__(self, head: ufm.ETFHead | ufm.MultiCenterHead | ufm.LearnableHead):
        super().__init__()
        self.backbone, self.head = torch.nn.Flatten(), head


def images(K: int, *, each: int = 6) -> SimpleNamespace:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (K * each, 3, 4, 4), generator=generator, dtype=torch.uint8)
    return SimpleNamespace(pixels=pixels, labels=torch.arange(K * each) % K)


CHANNELS = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.3)}
HEADS = {
    "etf": lambda: ufm.ETFHead(48, 4),
    "learnable": lambda: ufm.LearnableHead(48, 4),
    "cosine": lambda: ufm.LearnableHead(48, 4, unit=True),
    "multicenter": lambda: ufm.MultiCenterHead(48, ufm.MultiCenter((1, 2, 3, 4), theta=0.2)),
    "nearest": lambda: ufm.NearestETFHead(48, 4),
}


@pytest.mark.parametrize("name", HEADS)
def test_a_network_is_measured_by_its_own_rule_and_left_as_it_was(name: str):
    model, data = Flat(HEADS[name]()), images(4)
    model.train()
    if name == "nearest":
        x = torch.randn(64, 48)
        model.head.follow(model.head.features(x), torch.arange(64) % 4)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    row = probe(model, data, **CHANNELS, n=(500, 50, 50, 5), batch=7)
    assert model.training
    assert all(bool((value == before[key]).all()) for key, value in model.state_dict().items())
    saved = save_features(model, data, **CHANNELS)
    model.eval()
    x = (data.pixels.float() / 255 - torch.tensor(CHANNELS["mean"]).view(-1, 1, 1)) / torch.tensor(
        CHANNELS["std"]
    ).view(-1, 1, 1)
    with torch.no_grad():
        decided = model.head.predict(model.backbone(x))
        scores = model.head(model.backbone(x))
    assert row["accuracy"] == pytest.approx(float((decided == data.labels).double().mean()))
    # The linear rule that NC4 and the fit use decides as the head does.
    assert bool((saved.scores(saved.features).argmax(-1) == decided).all())
    if name not in ("cosine", "multicenter"):  # their logits divide by the features' length
        torch.testing.assert_close(
            saved.scores(saved.features).float(), scores, rtol=1e-4, atol=1e-5
        )
    assert row["samples"] == 24
    assert len(row["gram_H"]) == 4
    assert ("sigma" in row) == (name == "multicenter")
    assert math.isfinite(row["nc1_quot"])


def test_rules_are_measured_beside_each_other_and_the_first_is_the_published_one():
    model, data = Flat(ufm.LearnableHead(48, 4)), images(4)
    rules = {
        "plain": lambda features, head: head.logits(features),
        "never 0": lambda features, head: head.logits(features).index_fill(-1, torch.tensor(0), -9),
    }
    D = ufm.hierarchy.distance_matrix(ufm.Tree.from_nested([[0, 1], [2, 3]]))
    row = probe(model, data, **CHANNELS, rules=rules, D=D)
    assert row["accuracy"] == row["accuracy_plain"]
    assert row["hd@1_never 0"] > 0
    assert "hd@1_plain" not in row


def test_means_that_coincide_give_no_metric_instead_of_an_end():
    y = labels_of((3, 3))
    row = collapse(in_batches(torch.ones(6, 2), y, 2), Classifier.of(torch.eye(2))).as_row()
    assert math.isnan(row["nc1_quot"])
    assert row["E_H"] == 2


def test_bad_input():
    with pytest.raises(ValueError, match="class 1 has no samples"):
        collapse(
            in_batches(torch.ones(2, 2), torch.zeros(2).long(), 2), Classifier.of(torch.eye(2))
        )
    with pytest.raises(ValueError, match="at least one batch"):
        collapse(lambda: iter(()), Classifier.of(torch.eye(2)))
    with pytest.raises(ValueError, match="features must have d=3"):
        collapse(in_batches(torch.ones(2, 2), torch.arange(2), 2), Classifier.of(torch.eye(2, 3)))
    with pytest.raises(ValueError, match=r"backbone and a head of ufm\.heads, got Linear"):
        probe(torch.nn.Linear(2, 2), images(2), **CHANNELS)
    with pytest.raises(ValueError, match="scores must be numbers"):
        Decisions(2).update(torch.full((1, 2), math.nan), torch.tensor([0]))
    with pytest.raises(ValueError, match="scores must have shape"):
        Decisions(2).update(torch.zeros(1, 3), torch.tensor([0]))


def test_a_linear_rule_of_a_cosine_head_has_unit_rows():
    rule = linear_rule(ufm.LearnableHead(5, 3, unit=True))
    torch.testing.assert_close(
        rule.W.norm(dim=-1), torch.ones(3, dtype=torch.float64), rtol=EXACT, atol=0
    )


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("name", ["etf", "multicenter"])
def test_a_probe_is_the_same_on_every_device(name: str, device: str):
    model, data = Flat(HEADS[name]()), images(4, each=20)
    D = ufm.hierarchy.distance_matrix(ufm.Tree.from_nested([[0, 1], [2, 3]]))
    here = probe(model, data, **CHANNELS, n=(500, 50, 50, 5), D=D)
    there = probe(model.to(device), data, **CHANNELS, n=(500, 50, 50, 5), D=D, batch=33)
    for key, value in here.items():
        if isinstance(value, float) and key != "nc4_agree":  # a tie may fall either way
            # Features are made in float32, whose products differ between devices.
            assert there[key] == pytest.approx(value, rel=1e-3, abs=1e-5, nan_ok=True), key
