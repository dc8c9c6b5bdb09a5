"""The registry as data: ids, sources, edges, vacuity, evidence, statuses."""

from __future__ import annotations

import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from proofs_check.catalogue import CASES
from proofs_check.papers import registered
from ufm import claims
from ufm.claims import ClaimStatus, Kind, Provenance


ROOT = Path(__file__).parents[2]
REGISTRY = claims.registry()
RECORDED = claims.load_evidence()


@pytest.fixture(params=REGISTRY.values(), ids=REGISTRY.keys())
def claim(request):
    return request.param


def test_papers_are_modules_and_bibliography_keys(claim):
    paper = claim.id.partition(".")[0]
    assert (ROOT / "ufm" / "theory" / f"{paper}.py").exists()
    bibliography = (ROOT / "docs" / "references.bib").read_text("utf-8")
    assert re.search(rf"^@\w+\{{{claim.source.key},", bibliography, re.MULTILINE)


def test_ours_are_derived_and_only_ours(claim):
    derived = claim.source.provenance is Provenance.DERIVED
    assert derived == (claim.kind in (Kind.OURS, Kind.CONJECTURE))


def test_a_printed_number_comes_with_a_text_that_was_read(claim):
    numbered = claim.source.provenance in (Provenance.PRINTED, Provenance.RECONSTRUCTED)
    assert bool(claim.source.number) == numbered


def test_statement_and_formula_are_short_and_present(claim):
    assert 20 < len(claim.statement) < 500
    assert claim.formula.count("{") == claim.formula.count("}")
    assert "\n" not in claim.formula


def test_uses_exist_and_repairs_exist(claim):
    assert set(claim.uses) <= set(REGISTRY)
    assert claim.repaired_by is None or claim.repaired_by in REGISTRY
    assert claim.repaired_by is None or claim.fails
    assert not any(REGISTRY[id].fails for id in claim.uses)


def test_graph_has_no_cycle():
    graph = {claim.id: set(claim.uses) for claim in REGISTRY.values()}
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(REGISTRY)


def test_no_claim_is_vacuous(claim):
    applies = [case.name for case in CASES if claim.applies(case.problem)]
    assert bool(applies) != bool(claim.outside)


def test_every_case_is_covered_by_some_claim():
    for case in CASES:
        assert any(claim.applies(case.problem) for claim in REGISTRY.values()), case.name


def test_every_claim_has_recorded_evidence_of_the_expected_outcome(claim):
    assert any(e.claim == claim.id for e in RECORDED)
    assert claims.as_expected(claim, RECORDED)


def test_only_statements_that_fail_are_refuted(claim):
    assert (claims.status(claim, RECORDED) is ClaimStatus.REFUTED) == claim.fails


def test_records_are_those_of_the_registered_checks():
    expected = {(c.claim, c.name, c.kind, c.domain, c.steps) for c in registered()}
    assert {(e.claim, e.check, e.kind, e.domain, e.steps) for e in RECORDED} == expected


def test_statements_are_torch_free():
    code = (
        "import sys, ufm.claims; n = len(ufm.claims.registry()); print(n, 'torch' in sys.modules)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert out.stdout.split() == [str(len(REGISTRY)), "False"]
