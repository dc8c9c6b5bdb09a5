"""Evidence that the threshold of minority collapse rises with the energy, and its two limits."""

from __future__ import annotations

from typing import Any

import sympy as sp

from proofs_check._harness import evidence
from proofs_check._proof import Proof
from proofs_check.fang2021_collapse import (
    K_A,
    K_B,
    K,
    gap_of,
    q,
    radius_of,
    ratio_of,
    threshold_terms,
)
from ufm.claims import EvidenceKind
from ufm.theory.fang2021_collapse import R0_LIMITS, R0_MONOTONE


u = sp.Symbol("u", positive=True)
INSIDE = {q: 1 / (K + u)}


@evidence(
    R0_MONOTONE,
    EvidenceKind.SYMBOLIC,
    domain="all K_A >= 2, K_B >= 2, q in (0, 1/K), written q = 1/(K+u), u > 0",
    steps=("m falls", "o rises", "y falls", "tau falls", "ratio falls"),
)
def threshold_is_monotone(proof: Proof) -> None:
    """Signs of the derivatives in q, each from the one before."""
    y_q, m_q, o_q, _ = threshold_terms()
    proof.equal(
        (m_q**2).subs(INSIDE),
        (2 * K * u + u**2 + K_B * K) / (K * K_B * (K + u) ** 2),
        "m^2 > 0: m is real",
    )
    proof.equal(sp.diff(m_q, q), -K_A * q / (K_B * m_q), "m' = -K_A q/(K_B m) < 0")
    proof.equal(
        (1 - K_B**2 * m_q**2).subs(INSIDE),
        K_A * (1 / K + K_B / (K + u) ** 2),
        "K_B m < 1, so o > 0",
    )
    proof.equal(sp.diff(o_q, q), -K_B * sp.diff(m_q, q) / K_A, "o' = -K_B m'/K_A > 0")
    proof.equal((sp.exp(y_q) - 1).subs(INSIDE), u / K_B, "y > 0")
    proof.equal(sp.diff(y_q, q), -1 / (q * (1 - K_A * q)), "y' < 0, since K_A q < 1")
    _rates(proof)
    y_2, m_2, o_2, a_2 = (term.subs(q, 1 / K) for term in threshold_terms())
    proof.zero(sp.simplify(a_2), "at q = 1/K both a and tau vanish, so a > 0 before")
    proof.zero(sp.simplify(y_2), "y too")
    proof.equal(sp.simplify(m_2), 1 / K, "m = 1/K")
    proof.equal(sp.simplify(o_2), 1 / K, "o = 1/K")


def _rates(proof: Proof) -> None:
    # The formulas in functions of q whose rates have the signs shown: y' = -v, m' = -f, o' = g.
    Y, M, A, O = (sp.Function(name)(q) for name in ("y", "m", "a", "o"))
    y, m, o, v, f, g, gain = sp.symbols("y m o v f g gain", positive=True)
    slopes: Any = {Y.diff(q): -v, M.diff(q): -f, O.diff(q): proof.term("o rises", g, altered=-g)}
    more = sp.Symbol("k", nonnegative=True, integer=True) + 2  # K_A

    def fall(value: Any) -> Any:
        rate = sp.diff(value, q).subs(slopes).subs({Y: y, M: m, O: o})
        return -rate.subs(K_A, more)

    proof.positive(fall(Y / q), "(y/q)' < 0")
    proof.positive(fall(Y * M / q), "(ym/q)' < 0: both factors fall")
    fall_a = fall(gap_of(Y, M, O))
    proof.positive(fall_a, "a' = K_B (ym/q)' - K_A (o'/o - m'/m) < 0")
    proof.positive(fall(radius_of(gap_of(Y, M, O), Y)), "tau' < 0")
    # e^a = 1 + 1/gain, that is e^a/(e^a - 1) = 1 + gain.
    log_ratio = fall(sp.log(ratio_of(A, O) - 1)).subs(A.diff(q).subs(K_A, more), -fall_a)
    log_ratio = log_ratio.subs(A, sp.log(1 + 1 / gain))
    proof.equal(
        log_ratio,
        fall_a * (1 + gain) - slopes[O.diff(q)] / o,
        "-(ln(R_0 - 1))' = -a' e^a/(e^a - 1) - o'/o",
    )
    proof.positive(sp.expand(log_ratio), "is positive: -a' contains K_A o'/o, and K_A >= 2")


@evidence(
    R0_LIMITS,
    EvidenceKind.SYMBOLIC,
    domain="all K_A >= 2, K_B >= 2; the limits only",
    steps=("small", "large"),
)
def threshold_limits(proof: Proof) -> None:
    """L'Hopital at q = 1/K (tau -> 0); leading order in y/q at q -> 0 (tau -> infinity)."""
    y_q, m_q, o_q, a_q = threshold_terms()
    tau_q = radius_of(a_q, y_q)
    start = {q: 1 / K}
    slope_a = sp.simplify(sp.diff(a_q, q).subs(start))
    slope_tau = sp.simplify(sp.diff(tau_q, q).subs(start))
    ratio = sp.simplify(o_q.subs(start)) * slope_a / slope_tau
    proof.equal(
        sp.simplify(ratio),
        1 / (proof.term("small slope", K_A) * (K - 1)),
        "(R_0 - 1)/tau -> o a'/tau' at q = 1/K",
    )
    proof.limit(q / sp.log(1 / q), q, 0, 0, "q/y -> 0 as q -> 0")
    m_0 = sp.sqrt(1 / (K * K_B))
    proof.equal((m_q**2).subs(q, 0), m_0**2, "m -> 1/sqrt(K K_B), so o has a positive limit")
    proof.equal(1 - (K_B * m_0) ** 2, K_A / K, "K_B m < 1")
    # In units of y/q: a -> K_B m, tau -> (K_A-1) K_B m + K_B/K, ln R_0 - a stays bounded.
    large = K_B * m_0 / ((K_A - 1) * K_B * m_0 + K_B / K)
    proof.equal(
        1 / sp.simplify(large), K_A - 1 + sp.sqrt(K_B / K), "ln R_0/tau -> 1/(K_A-1+sqrt(K_B/K))"
    )
