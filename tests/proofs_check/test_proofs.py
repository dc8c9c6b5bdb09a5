"""Every symbolic proof passes, and fails when a term it names is altered."""

from __future__ import annotations

import dataclasses

import pytest

from proofs_check import predictions
from proofs_check._harness import Measurement, run, surviving_mutations
from proofs_check.papers import registered
from ufm.claims import EvidenceKind, registry


CHECKS = registered()
SYMBOLIC = [c for c in CHECKS if c.kind is EvidenceKind.SYMBOLIC]
NUMERIC = [c for c in CHECKS if c.kind not in (EvidenceKind.SYMBOLIC, EvidenceKind.NETWORK)]
QUICK = [c for c in NUMERIC if c.name.startswith(("predictions.", "fang2021_lq."))]


def name(check):
    return f"{check.claim}:{check.name}"


@pytest.mark.parametrize("check", SYMBOLIC, ids=name)
def test_proof_passes_and_no_mutation_survives(check):
    record = run(check)
    assert record.passed, record.note
    assert surviving_mutations(check) == []


@pytest.mark.parametrize("check", QUICK, ids=name)
def test_quick_numeric_evidence(check):
    record = run(check)
    assert record.passed, record.note
    assert record.numbers


@pytest.mark.slow
@pytest.mark.parametrize("check", [c for c in NUMERIC if c not in QUICK], ids=name)
def test_numeric_evidence(check):
    record = run(check)
    assert record.passed, record.note


def test_every_claim_has_a_check_and_every_prediction_is_compared():
    covered = {c.claim for c in CHECKS}
    assert covered == set(registry())
    for claim in registry().values():
        optima = [
            case for case in predictions.applicable(claim)
            if claim.rule and claim.predict(case.problem).geometry is not None
        ]  # fmt: skip
        names = {c.name for c in CHECKS if c.claim == claim.id}
        assert not optima or f"predictions.{claim.id}" in names


def test_the_generic_check_rejects_a_wrong_prediction():
    claim = registry()["fang2021.balanced"]

    def wrong_value(_, problem):
        right = claim.predict(problem)
        return dataclasses.replace(right, value=right.value * (1 + 1e-8))

    def wrong_geometry(_, problem):
        right = claim.predict(problem)
        wider = dataclasses.replace(right.geometry, gram_H=right.geometry.gram_H * (1 + 1e-4))
        return dataclasses.replace(right, geometry=wider)

    for rule, message in ((wrong_value, "value must"), (wrong_geometry, "geometry must")):
        with pytest.raises(AssertionError, match=message):
            predictions.check_prediction(Measurement(), dataclasses.replace(claim, rule=rule))
