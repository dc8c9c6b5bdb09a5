"""The machinery of claims: computed status, look-up, errors, round trips."""

from __future__ import annotations

import dataclasses
import json

import pytest

from ufm import claims
from ufm.claims import Claim, ClaimStatus, Evidence, EvidenceKind, Kind, Provenance, Source, status
from ufm.problem import AverageBudget, Problem


SOURCE = Source("fang2021", "2101.12699")
CLAIM = Claim(
    id="test2000.thm",
    kind=Kind.THEOREM,
    statement="A statement.",
    formula="1 = 1",
    source=SOURCE,
    outside="nothing",
    steps=("first", "second"),
)


def record(kind, *, passed=True, steps=(), claim=CLAIM.id, check="m.f"):
    return Evidence(claim, check, kind, "K = 3", passed, steps)


SYMBOLIC, CERTIFIED = EvidenceKind.SYMBOLIC, EvidenceKind.CERTIFIED
NUMERIC, COUNTER = EvidenceKind.NUMERIC, EvidenceKind.COUNTEREXAMPLE


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        ([], ClaimStatus.UNSUPPORTED),
        ([record(NUMERIC)], ClaimStatus.NUMERIC),
        ([record(EvidenceKind.NETWORK)], ClaimStatus.NUMERIC),
        # A network is no instance of a model: it cannot contradict a theorem, nor support one
        # against what failed; alone it counts.
        ([record(NUMERIC), record(EvidenceKind.NETWORK, passed=False)], ClaimStatus.NUMERIC),
        ([record(NUMERIC, passed=False), record(EvidenceKind.NETWORK)], ClaimStatus.UNSUPPORTED),
        ([record(EvidenceKind.NETWORK, passed=False)], ClaimStatus.UNSUPPORTED),
        ([record(NUMERIC), record(CERTIFIED)], ClaimStatus.CERTIFIED),
        ([record(SYMBOLIC)], ClaimStatus.SYMBOLIC_PARTIAL),
        ([record(SYMBOLIC, steps=("first",))], ClaimStatus.SYMBOLIC_PARTIAL),
        (
            [record(SYMBOLIC, steps=("first",)), record(SYMBOLIC, steps=("second",))],
            ClaimStatus.SYMBOLIC,
        ),
        ([record(SYMBOLIC, steps=("first", "second"))], ClaimStatus.SYMBOLIC),
        # A failure is not outvoted by what passed.
        (
            [record(SYMBOLIC, steps=("first", "second")), record(NUMERIC, passed=False)],
            ClaimStatus.UNSUPPORTED,
        ),
        ([record(SYMBOLIC, steps=("first", "second")), record(COUNTER)], ClaimStatus.REFUTED),
        ([record(COUNTER, passed=False)], ClaimStatus.UNSUPPORTED),
        ([record(CERTIFIED, claim="other2000.thm")], ClaimStatus.UNSUPPORTED),
    ],
)
def test_status_is_computed(evidence, expected):
    assert status(CLAIM, evidence) is expected


def test_a_claim_is_symbolic_only_if_what_it_uses_is():
    used = "fang2021.nuclear"
    claim = dataclasses.replace(CLAIM, uses=(used,))
    own = record(SYMBOLIC, steps=claim.steps)
    assert status(claim, [own]) is ClaimStatus.SYMBOLIC_PARTIAL
    proved = record(SYMBOLIC, claim=used, steps=claims.get(used).steps)
    assert status(claim, [own, proved]) is ClaimStatus.SYMBOLIC


def test_a_claim_without_steps_is_never_fully_symbolic():
    claim = dataclasses.replace(CLAIM, steps=())
    assert status(claim, [record(SYMBOLIC)]) is ClaimStatus.SYMBOLIC_PARTIAL


@pytest.mark.parametrize(
    ("fails", "kind", "expected"),
    [
        (False, NUMERIC, True),
        (False, COUNTER, False),
        (True, COUNTER, True),
        (True, NUMERIC, False),
    ],
)
def test_expected_outcome(fails, kind, expected):
    claim = dataclasses.replace(CLAIM, fails=fails)
    assert claims.as_expected(claim, [record(kind)]) is expected


def test_unknown_id_names_close_ones():
    with pytest.raises(ValueError, match=r"got 'fang2021.thm55'; close: fang2021.thm5"):
        claims.get("fang2021.thm55")
    with pytest.raises(ValueError, match="ufm claims list"):
        claims.get("zzz")


def test_registration_refuses_bad_claims():
    for change, message in (
        ({"id": "Fang.thm"}, "id must look like"),
        ({"id": "fang2021.thm5"}, "id must be unique"),
        ({"outside": ""}, "assumptions or an outside subject"),
    ):
        claims.registry()
        with pytest.raises(ValueError, match=message):
            claims.register(dataclasses.replace(CLAIM, **change))


def test_sources_and_domains_are_checked():
    for where in ("NeurIPS", "openreview:RJEC9"):
        with pytest.raises(ValueError, match=f"where must be an arXiv number.* got '{where}'"):
            Source("fang2021", where)
    with pytest.raises(ValueError, match="domain must say where"):
        Evidence(CLAIM.id, "m.f", NUMERIC, " ", True)
    printed = Source("fang2021", "2101.12699", Provenance.PRINTED, "Theorem 5")
    assert str(printed) == "fang2021 (arXiv:2101.12699, Theorem 5), as printed"
    ours = Source("welch1974", "10.1109/TIT.1974.1055219", Provenance.DERIVED)
    assert str(ours) == "extends welch1974 (doi:10.1109/TIT.1974.1055219), derived here"
    forum = Source("yan2024", "openreview:RJEC9fZ9Ma", Provenance.PRINTED, "Theorem 3.3")
    assert str(forum) == "yan2024 (openreview:RJEC9fZ9Ma, Theorem 3.3), as printed"


def test_predicting_where_a_claim_does_not_apply():
    unbalanced = Problem(K=3, d=2, n=(3, 2, 1), reg=AverageBudget())
    with pytest.raises(ValueError, match=r"'balanced classes' for fang2021\.balanced"):
        claims.get("fang2021.balanced").predict(unbalanced)
    with pytest.raises(ValueError, match=r"must have a prediction, got fang2021\.dual"):
        claims.get("fang2021.dual").predict(unbalanced)
    assert not CLAIM.applies(unbalanced)


def test_evidence_survives_json():
    recorded = claims.load_evidence()
    rows = [dataclasses.asdict(e) | {"kind": e.kind.value} for e in recorded]
    assert claims.parse_evidence(json.loads(json.dumps({"evidence": rows}))) == recorded


def test_graph_text_names_every_edge():
    text = claims.graph_text()
    for claim in claims.registry().values():
        assert f"{claim.id} [{claim.kind.value}, " in text
        assert all(f"  uses {id} [" in text for id in claim.uses)
    assert "repaired by yang2022.dr-regimes" in text
    assert "unsupported" in claims.graph_text(())
