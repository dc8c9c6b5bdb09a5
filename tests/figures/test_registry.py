"""The registry: ids, claims, runs, errors."""

from __future__ import annotations

import pytest

from figures import _registry
from figures._registry import ID, chosen, figure, registry
from ufm import claims


IDS = [
    "angle-map",
    "center-collapse",
    "center-counts",
    "center-survival",
    "certificate-gap",
    "decision-rules",
    "dr-vs-ce",
    "etf-3d",
    "frame-angles",
    "hierarchy-gram",
    "minority-collapse",
    "multicenter-3d",
    "network-centers",
    "network-classes",
    "network-collapse",
    "network-gram",
    "network-published",
    "phase-diagram",
    "phase-map",
    "rank-loss",
    "similarity-limit",
    "survival-map",
]


def test_the_figures_that_the_report_counts_on_are_there():
    assert sorted(registry()) == IDS


@pytest.mark.parametrize("id", IDS)
def test_a_figure_s_claims_are_registered_and_its_fields_fit(id):
    target = registry()[id]
    assert target.id == id
    assert ID.fullmatch(id)
    assert target.title
    assert target.claims
    assert set(target.claims) <= set(claims.registry())
    assert target.source.is_file()
    assert target.width in ("half", "full")


@pytest.mark.parametrize("id", IDS)
def test_a_figure_s_runs_are_distinct_stable_and_can_be_made(id):
    jobs = registry()[id].runs()
    assert jobs
    keys = [job.spec.key for job in jobs]
    assert len(set(keys)) == len(keys)
    assert [job.spec.key for job in registry()[id].runs()] == keys
    assert all(job.produce is not None or job.command for job in jobs)


def test_an_unknown_id_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="got 'phase-diagrm'; did you mean phase-diagram"):
        chosen(["phase-diagrm"])
    with pytest.raises(ValueError, match=r"there are .*rank-loss"):
        chosen(["zzz"])
    assert [f.id for f in chosen(["rank-loss", "rank-loss"])] == ["rank-loss"]


def test_ids_are_unique_and_well_formed(monkeypatch):
    monkeypatch.setattr(_registry, "_figures", dict(registry()))
    with pytest.raises(ValueError, match="id must be unique"):
        figure("rank-loss")
    with pytest.raises(ValueError, match="id must be lower-case"):
        figure("Rank loss")


def test_the_code_of_a_figure_includes_what_it_draws_with():
    registry()
    assert all(b"SMALLEST_POINTS, LARGEST_POINTS" in target.code for target in registry().values())
    found = _registry.code_of("figures.network_gram")
    assert next(iter(found)) == "figures.network_gram"
    assert set(found) >= {"figures._style", "figures._network_results"}
    assert registry()["network-gram"].code == b"\0".join(found.values())
