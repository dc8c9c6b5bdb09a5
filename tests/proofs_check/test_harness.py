"""The harness refuses what is no evidence: no domain, floats, surviving mutations, no end."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest
import sympy as sp

from proofs_check import _harness
from proofs_check._harness import Check, Measurement, evidence, run, surviving_mutations
from proofs_check._proof import Proof, ProofFailure, points
from ufm.claims import EvidenceKind, get


CLAIM = get("fang2021.balanced")
x, y = sp.Symbol("x", positive=True), sp.Symbol("y", real=True)


def check(function, *, kind=EvidenceKind.SYMBOLIC, limit=60.0):
    return Check(CLAIM.id, "test.function", kind, "somewhere", (), function, limit)


@pytest.fixture(autouse=True)
def _registry_is_left_alone(monkeypatch):
    monkeypatch.setattr(_harness, "_checks", list(_harness._checks))


def test_evidence_needs_a_domain_and_known_steps():
    with pytest.raises(ValueError, match=r"domain must say where the evidence for fang2021\."):
        evidence(CLAIM, EvidenceKind.SYMBOLIC, domain="  ")
    with pytest.raises(ValueError, match=r"steps must be among .* got \['magic'\]"):
        evidence(CLAIM, EvidenceKind.SYMBOLIC, domain="all K", steps=("magic",))
    with pytest.raises(ValueError, match="steps must come from symbolic evidence, got numeric"):
        evidence(CLAIM, EvidenceKind.NUMERIC, domain="K = 3", steps=("value",))


def test_evidence_is_registered_once():
    decorate = evidence(CLAIM, EvidenceKind.NUMERIC, domain="K = 3", name="test.once")

    def function(measure):
        """Nothing."""

    assert decorate(function) is function
    assert _harness.checks()[-1].name == "test.once"
    with pytest.raises(ValueError, match=r"evidence must be unique, got test\.once twice"):
        decorate(function)


def test_a_sound_proof_passes_and_its_mutation_fails():
    def proof(p):
        p.equal((x + p.term("shift", 1)) ** 2, x**2 + 2 * x + 1, "square")

    assert run(check(proof)).passed
    assert surviving_mutations(check(proof)) == []


def test_a_proof_that_ignores_its_term_is_caught():
    def proof(p):
        p.term("unused", x)
        p.equal((x + 1) ** 2, x**2 + 2 * x + 1, "square")

    assert surviving_mutations(check(proof)) == ["unused"]


@pytest.mark.parametrize(
    ("proof", "message"),
    [
        (lambda p: p.equal(x, x, "trivial"), "must name a term"),
        (lambda p: p.term("t", x), "must check at least one step"),
        (lambda p: p.equal(p.term("t", 0.5) * x, x / 2, "float"), "holds a float"),
        (lambda p: p.equal(p.term("t", x), x + 1, "wrong"), "x is not identically x + 1"),
        (lambda p: p.positive(p.term("t", y), "unknown sign"), "the sign of y does not follow"),
        (lambda p: p.positive(p.term("t", sp.Integer(0)), "zero"), "does not follow"),
        (lambda p: p.limit(p.term("t", x), x, 0, 1, "limit"), "0 is not identically 1"),
        (lambda p: 1 / p.term("t", 0), "ZeroDivisionError"),
    ],
)
def test_failed_proofs_are_recorded_with_their_reason(proof, message):
    record = run(check(proof))
    assert not record.passed
    assert message in record.note


def test_an_identity_is_not_sampled():
    # Vanishes at every point that a sampler of a few digits would try, but not identically.
    with pytest.raises(ProofFailure):
        Proof().zero(sp.exp(-(10**4) * x) * sp.Integer(1), "tiny")


def test_matrix_expressions_and_weak_signs():
    proof = Proof()
    n = sp.Symbol("n", positive=True, integer=True)
    A, B = sp.MatrixSymbol("A", n, n), sp.MatrixSymbol("B", n, n)
    proof.zero((A + B) * B - A * B - B * B, "distributes")
    with pytest.raises(ProofFailure):
        proof.zero(A * B - B * A, "does not commute")
    proof.positive(y**2, "square", strict=False)
    with pytest.raises(ProofFailure):
        proof.positive(y**2, "not strict")
    assert [step.text for step in proof.steps] == ["distributes", "square"]


def test_ties_compare_with_many_digits_and_refuse_points_outside():
    proof = Proof()
    grid = points(0, 5, (0.5, 2.0))
    proof.tie(x**2, [x], lambda v: v * v, grid, "square")
    with pytest.raises(ProofFailure, match=r"the proof has .* the package"):
        proof.tie(x**2, [x], lambda v: v * v * (1 + 1e-11), grid, "off by 1e-11")
    tiny = sp.exp(-20 * x)
    with pytest.raises(ProofFailure, match="off where it is small"):
        proof.tie(tiny, [x], lambda v: 0.0, grid, "off where it is small")
    with pytest.raises(ValueError, match="tie point must lie in the domain, got x=-1"):
        proof.tie(x, [x], float, [(-1,)], "outside")
    n = sp.Symbol("n", positive=True, integer=True)
    with pytest.raises(ValueError, match="got n=1/2"):
        proof.tie(n, [n], float, [(Fraction(1, 2),)], "outside")


def test_bounds_between_symbols_hold_at_tie_points():
    K, K_B = sp.symbols("K K_B", positive=True, integer=True)
    q, weak = sp.Symbol("q", positive=True), sp.Symbol("c", nonnegative=True)
    proof = Proof()
    with pytest.raises(ValueError, match="tie point must lie in the domain, got K=1"):
        proof.tie(K, [K], float, [(1,)], "one class")
    with pytest.raises(ValueError, match="got c=-1/4"):
        proof.tie(weak, [weak], float, [(Fraction(-1, 4),)], "negative")
    proof.assume(q < 1 / K, K_B >= 2)
    proof.tie(q * K, [K, q], lambda k, v: k * v, [(2, Fraction(1, 4))], "inside")
    with pytest.raises(ValueError, match=r"edge: tie point must satisfy q < 1/K, got K=2, q=1/2"):
        proof.tie(q * K, [K, q], lambda k, v: k * v, [(2, Fraction(1, 2))], "edge")
    with pytest.raises(ValueError, match="tie point must satisfy K_B >= 2, got K_B=1"):
        proof.tie(K_B, [K_B], float, [(1,)], "one minority class")


def test_points_are_exact_and_reproducible():
    grid = points(3, 4, (2, 9), (0.1, 1.0))
    assert grid == points(3, 4, (2, 9), (0.1, 1.0))
    assert all(isinstance(k, int) and Fraction(float(v)) == v for k, v in grid)


def test_the_time_limit_interrupts():
    def endless(p):
        p.term("t", x)
        while True:
            pass

    record = run(check(endless, limit=0.05))
    assert not record.passed
    assert "took more than its limit of 0.05 s of processor time" in record.note


def test_waiting_for_a_busy_machine_is_not_running_long():
    record = run(check(lambda measure: time.sleep(0.2), kind=EvidenceKind.NUMERIC, limit=0.1))
    assert record.passed


def test_measurements_refuse_and_keep_the_worst():
    measure = Measurement()
    measure.below("error", 1e-13, 1e-12)
    measure.below("error", 1e-14, 1e-12)
    measure.above("margin", 3.0, 1.0)
    measure.above("margin", 2.0, 1.0)
    assert measure.numbers == {"error": 1e-13, "margin": 2.0}
    for refused in (
        lambda: measure.below("error", 1e-11, 1e-12),
        lambda: measure.below("error", float("nan"), 1.0),
        lambda: measure.above("margin", 0.5, 1.0),
        lambda: measure.above("margin", float("nan"), 0.0),
        lambda: measure.true("sky is green", False),
    ):
        with pytest.raises(ProofFailure):
            refused()


def test_a_failing_measurement_keeps_its_numbers():
    record = run(check(lambda m: m.below("error", 2.0, 1.0), kind=EvidenceKind.NUMERIC))
    assert not record.passed
    assert record.numbers == {"error": 2.0}
    assert record.note == "ProofFailure: error must be at most 1, got 2"
