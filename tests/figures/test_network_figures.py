"""Figures of networks: drawn from result files; what is missing is named and crashes nothing."""

from __future__ import annotations

import math

import polars as pl
import pytest
from drawing import check_drawn
from network_results import SIZES, write_results

from deep import results
from deep.predicted import cosines_of, sigma_of
from deep.recipes import find
from figures import _network_results, network_classes, network_gram, network_published
from figures._build import MissingRun, Target, build
from figures._network_results import curve, job
from figures._registry import registry
from ufm.runs import Store


IDS = [
    "network-centers",
    "network-classes",
    "network-collapse",
    "network-gram",
    "network-published",
]
NAMES = [
    f"{data}-{method}"
    for data in ("digits", "digits-lt")
    for method in ("ce", "etf-dr", "haframe", "al", "cal")
] + ["fashion-lt-ce", "fashion-lt-etf-dr", "fashion-lt-cal"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_results(tmp_path_factory.mktemp("results"), NAMES)


@pytest.fixture
def stored(folder, monkeypatch):
    monkeypatch.setattr(results, "ROOT", folder)
    return folder


def table(id: str) -> pl.DataFrame:
    made = [(job.spec, job.produce) for job in registry()[id].runs()]
    chunks = [produce(spec).rows for spec, produce in made if produce is not None]
    assert len(chunks) == len(made)
    return pl.concat(chunks, how="diagonal_relaxed")


@pytest.mark.parametrize("id", IDS)
def test_a_figure_is_drawn_labelled_and_captioned_without_touching_its_table(id, stored):
    check_drawn(id, table(id))


def test_one_seed_is_drawn_without_an_interval(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "ROOT", write_results(tmp_path, NAMES, seeds=1))
    check_drawn("network-collapse", table("network-collapse"))
    _, mean, low, high = curve(table("network-collapse"), "digits-ce", "angle_mean")
    assert (mean == low).all()
    assert (mean == high).all()


@pytest.mark.parametrize("id", ["network-centers", "network-collapse", "network-gram"])
def test_missing_results_are_named_with_their_command(id, tmp_path, monkeypatch):
    monkeypatch.setattr(results, "ROOT", tmp_path / "none")
    target = Target(Store(tmp_path / "runs"), tmp_path / "out")
    with pytest.raises(MissingRun, match=r"network-result/.* `python -m deep table digits"):
        build(registry()[id], target)


def test_what_is_published_is_drawn_without_results(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "ROOT", tmp_path / "none")
    assert build(registry()["network-published"], Target(Store(tmp_path), tmp_path / "out"))


def test_a_damaged_result_counts_as_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "ROOT", write_results(tmp_path, ["digits-ce"]))
    assert job("digits-ce").produce is not None
    path = tmp_path / "digits-ce" / "seed1.json"
    path.write_text(path.read_text()[:-20])
    assert job("digits-ce").produce is None


def test_new_files_are_a_new_run(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "ROOT", write_results(tmp_path, ["digits-ce"], seeds=2))
    before = job("digits-ce").spec.key
    assert job("digits-ce").spec.key == before
    write_results(tmp_path, ["digits-ce"], seeds=3)
    after = job("digits-ce").spec.key
    assert after != before
    write_results(tmp_path, ["digits-ce"], seeds=3, degrees=2.0)
    assert job("digits-ce").spec.key != after


def test_means_and_intervals_are_those_of_the_logarithm(stored):
    rows = table("network-collapse")
    epoch, mean, low, high = curve(rows, "digits-etf-dr", "angle_mean")
    assert epoch.tolist() == [20, 160, 300]
    # Seeds at 1, 1.1 and 1.2 degrees; Student's t with two degrees of freedom is 4.302653.
    logs = [math.log(1 + k / 10) for k in range(3)]
    centre = sum(logs) / 3
    half = 4.302653 * math.sqrt(sum((x - centre) ** 2 for x in logs) / 2 / 3)
    expected = [math.exp(centre + sign * half) for sign in (0, -1, 1)]
    assert [mean[-1], low[-1], high[-1]] == pytest.approx(expected, rel=1e-5)


def test_cosines_beside_their_prediction(stored):
    rows = table("network-gram")
    for name in ("digits-ce", "digits-lt-etf-dr"):
        found = network_gram.off(rows, name)
        assert found["value"].to_numpy() == pytest.approx(0)
        assert found["error"].to_numpy() == pytest.approx(1 / 9, abs=1e-6)
    # The mean centers of different classes are orthogonal, as the made-up class means are.
    assert network_gram.off(rows, "digits-lt-cal")["error"].to_numpy() == pytest.approx(0, abs=1e-9)
    # Under cross-entropy the rarest classes are farthest apart where nothing is lost.
    ce = network_gram.off(rows, "digits-lt-ce")["predicted"].to_numpy()
    assert ce.min() < -1 / 9 < ce.max() < -0.1


def test_predictions_of_frames_are_known():
    stored = _stored("digits-lt-ce")
    assert cosines_of(find("digits-lt-rbl").method, stored) is None
    S = cosines_of(find("digits-targets").method, stored)
    emerging = cosines_of(find("digits-targets-learnable").method, stored)
    assert S is not None
    assert emerging is not None
    # The tree of the digits is not symmetric: what emerges is near the frame and not the frame.
    assert 1e-4 < float((S - emerging).abs().max()) < 0.02
    f, n = 20, SIZES["digits"]
    # The mean of f centers cos(theta) v_j + sin(theta) w has the part sin(theta) along w.
    limit = sigma_of(find("digits-al").method, n)  # pyright: ignore[reportArgumentType]
    c, s = math.cos(0.2), math.sin(0.2)
    assert limit == pytest.approx(1 - s / math.sqrt(s**2 + c**2 / f), rel=1e-9)


def _stored(name: str) -> results.Stored:
    n = SIZES["digits-lt"]
    side = {"confusion": [[n[i] * (i == j) for j in range(10)] for i in range(10)]}
    return results.Stored(name, 0, {"final": {"train": side}})


def test_accuracies_by_class_are_means_over_seeds_in_the_order_of_the_methods(stored):
    rows = table("network-classes")
    for data, count in (("digits-lt", 5), ("fashion-lt", 3)):
        found = network_classes.accuracies(rows, data)
        assert found["recipe"].to_list() == [n for n in NAMES if n.startswith(data)]
        assert found["9"].to_list() == pytest.approx([82.0] * count)
        assert found["mean"].to_list() == pytest.approx([91.0] * count)
    assert "Not yet run on the digits: CE, type II" in network_classes.caption(rows)


def test_published_rows_say_what_is_not_yet_run(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "ROOT", tmp_path)
    rows = table("network-published")
    assert rows["last"].is_null().all()
    etf = rows.filter(table="cifar10-lt", label="ETF + DR")
    assert etf["published"].to_list() == [76.5]
    caption = network_published.caption(rows)
    assert f"Not yet run: {len(rows)}" in caption
    assert "`python -m deep table haframe`" in caption


def test_the_metrics_that_are_drawn_are_kept():
    drawn = {
        *registry()["network-centers"].panels[0],
        *(name.split()[1] for name in registry()["network-collapse"].panels[0]),
    }
    assert drawn <= set(_network_results.METRICS)
