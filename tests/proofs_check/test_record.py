"""What is recorded of a run: rounding, merging, staleness, the table."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest

from proofs_check import _record, _table
from ufm.claims import Evidence, EvidenceKind, load_evidence, parse_evidence


BALANCED = Evidence(
    "fang2021.balanced", "m.f", EvidenceKind.NUMERIC, "K = 3", True, (), {"gap": 3e-16, "a": 2.5}
)
TANGENT = Evidence("zhu2021.tangent", "m.g", EvidenceKind.SYMBOLIC, "all K", True, ("slope",))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, 0.0), (3e-17, 1e-15), (-3e-17, 1e-15), (2e-13, 1e-12), (1e-10, 1e-10), (8.5e-5, 1e-4),
        (1e-4, 1e-4), (1.23456789, 1.23457), (math.inf, math.inf),
    ],
)  # fmt: skip
def test_rounding_is_idempotent(value, expected):
    assert _record.rounded(value) == expected
    assert _record.rounded(expected) == expected


def test_a_record_survives_the_file(tmp_path):
    path = tmp_path / "evidence.json"
    _record.write([TANGENT, BALANCED], [], path)
    read = parse_evidence(json.loads(path.read_text("utf-8")))
    assert read[0] == TANGENT
    assert read[1] == dataclasses.replace(BALANCED, numbers={"gap": 1e-15, "a": 2.5})
    assert all(_record.agree(a, b) for a, b in zip(read, (TANGENT, BALANCED), strict=True))
    assert [p.name for p in tmp_path.iterdir()] == ["evidence.json"]


def test_confirmed_records_are_left_as_they_are(tmp_path):
    again = dataclasses.replace(BALANCED, numbers={"gap": 9e-14, "a": 2.5001})
    assert _record.merged([BALANCED, TANGENT], [again], ids=[again.claim]) == [TANGENT, BALANCED]
    _record.write([BALANCED], [BALANCED], tmp_path / "evidence.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "change",
    [
        {"numbers": {"gap": 3e-16, "a": 2.6}}, {"numbers": {"gap": 3e-16}}, {"passed": False},
        {"domain": "K = 4"}, {"numbers": {"gap": 0.5, "a": 2.5}}, {"steps": ("value",)},
    ],
)  # fmt: skip
def test_changes_are_stale(change):
    changed = dataclasses.replace(BALANCED, **change)
    assert _record.merged([BALANCED], [changed], ids=[changed.claim]) == [changed]
    assert _record.stale([BALANCED], [changed]) == [
        "fang2021.balanced: the record of m.f differs from this run"
    ]


def test_missing_and_surplus_records_are_stale():
    assert _record.stale([], [TANGENT]) == ["zhu2021.tangent: m.g is not recorded"]
    assert _record.stale([TANGENT], []) == ["zhu2021.tangent: m.g no longer exists"]
    assert _record.stale([TANGENT], [TANGENT]) == []


def test_records_of_unknown_claims_are_dropped():
    unknown = dataclasses.replace(BALANCED, claim="gone2000.thm")
    assert _record.merged([unknown], [TANGENT], ids=[TANGENT.claim]) == [TANGENT]


def test_records_do_not_outlive_the_last_check_of_their_claim():
    ids = [TANGENT.claim, BALANCED.claim]
    assert _record.merged([TANGENT, BALANCED], [TANGENT], ids=ids) == [TANGENT]
    assert _record.merged([TANGENT, BALANCED], [], ids=[TANGENT.claim]) == [BALANCED]


def test_unexpected_statuses_are_named():
    assert _record.unexpected([], ["fang2021.lq", "zhu2021.tangent"]) == [
        "fang2021.lq must be refuted, got unsupported",
        "zhu2021.tangent must be supported, got unsupported",
    ]


def test_the_table_is_that_of_the_records():
    assert _table.TABLE_PATH.read_text("utf-8") == _table.claims_table(load_evidence())


def test_table_shows_failures_domains_and_missing_steps():
    failed = dataclasses.replace(TANGENT, passed=False, note="ProofFailure: no")
    text = _table.claims_table([failed, BALANCED])
    assert "**failed**: ProofFailure: no" in text
    assert "numeric: K = 3" in text
    assert "gap ≤ 1e-15; a 2.5" in text
    assert "Steps of the proof not checked symbolically: contact, convex." in text
    rows = [line for line in text.splitlines() if line.startswith("| [`")]
    assert len({row.replace(r"\|", "").count("|") for row in rows}) == 1
