"""Evidence for step imbalance: the exact optimum, the vanishing threshold, oversampling."""

from __future__ import annotations

from typing import Any

import sympy as sp

from proofs_check._harness import evidence
from proofs_check._proof import Proof, points
from proofs_check.fang2021_collapse import (
    K_A,
    K_B,
    K,
    R,
    a,
    e,
    gradient_block,
    m,
    mixed_value,
    mu,
    o,
    q,
)
from ufm import solvers
from ufm.claims import EvidenceKind
from ufm.problem import Problem
from ufm.theory.fang2021_collapse import OVERSAMPLING, OVERSAMPLING_R0, R1_CLOSED, STEP_OPTIMUM


@evidence(
    STEP_OPTIMUM,
    EvidenceKind.SYMBOLIC,
    domain="all K_A >= 2, K_B >= 2, mu > 0",
    steps=("singular values", "gradient blocks", "full phase", "alignment", "ratio", "radius"),
)
def step_conditions(proof: Proof) -> None:
    """KKT in the normalisation pi_B = 1, pi_A = R: active singular values of -G equal mu."""
    p_o, p_m = o / R, m / R
    p_t = 1 - (K_A - 1) * p_o - K_B * p_m
    q_full = (mu - proof.term("majority rows", K_A) * q) / K_B
    full = gradient_block(R, sp.Integer(1), (p_t, p_o, p_m), (q_full + 1 - mu, q_full, q))
    proof.zero(sp.Matrix(full.column_sums), "full phase (mu < 1): columns of -G are centred")
    proof.equal(full.e, mu, "minority block equals mu, with q_t - q_o = 1 - mu > 0 so e > 0")
    q_o = (1 - K_A * q) / K_B
    merged = gradient_block(R, sp.Integer(1), (p_t, p_o, p_m), (q_o, q_o, q))
    proof.zero(sp.Matrix(merged.column_sums), "merged: columns of -G are centred")
    proof.equal(merged.e, 1, "merged (mu >= 1): the minority block is 1 <= mu, so e = 0")
    o_closed = (mu - K_B * m) / K_A
    proof.equal(full.a.subs(o, o_closed), mu, "majority block equals mu")
    m_closed = sp.sqrt((mu**2 / K - K_A * q**2) / K_B)
    proof.equal(mixed_value(full.c, full.d).subs(m, m_closed), mu**2, "mixed value equals mu")
    y_s = sp.Symbol("y", real=True)
    c_z = ((K_B - 1) * e - K_B * y_s) / K
    d_z = c_z * m / q
    proof.equal(c_z * full.d - d_z * full.c, 0, "Z and -G share the mixed direction")
    proof.equal(((K_B - 1) * e - K * c_z) / K_B, y_s, "log(q_t/q) = y fixes c")
    a_closed = -K * d_z - K_A * sp.log(o / m)
    proof.equal(
        ((K_A - 1) * a_closed - K * d_z) / K_A, a_closed + sp.log(o / m), "log(p_t/p_m) fixes a"
    )
    proof.equal(
        (p_t / p_o).subs(o, o_closed).subs(R, o_closed * (sp.exp(a) - 1) + mu),
        sp.exp(a),
        "R = o (e^a - 1) + mu",
    )
    size = sp.Symbol("c", positive=True)
    proof.equal(
        sp.simplify(sp.sqrt(mixed_value(size, size * m / q).subs(m, m_closed))),
        size * mu / q,
        "the mixed singular value of Z is |c| mu/q",
    )
    _tie_step_optimum(proof)


def _tie_step_optimum(proof: Proof) -> None:
    # q = mu/(K + u) < mu/K; the two equations then give R and tau, and the solver the value.
    u = sp.Symbol("u", positive=True)
    q_u = mu / (K + u)
    m_u = sp.sqrt((mu**2 / K - K_A * q_u**2) / K_B)
    o_u = (mu - K_B * m_u) / K_A
    proof.assume(K_A >= 2, K_B >= 2)
    for phase, q_o, low, high in (
        ("full", (mu - K_A * q_u) / K_B, 0.75, 0.95), ("merged", (1 - K_A * q_u) / K_B, 1.05, 1.25)
    ):  # fmt: skip
        q_t = q_o + 1 - mu if phase == "full" else q_o
        e_u, y_u = sp.log(q_t / q_o), sp.log(q_t / q_u)
        c_u = ((K_B - 1) * e_u - K_B * y_u) / K
        a_u = -K * c_u * m_u / q_u - K_A * sp.log(o_u / m_u)
        ratio = o_u * (sp.exp(a_u) - 1) + mu
        tau = (K_A - 1) * a_u + (K_B - 1) * e_u - c_u * mu / q_u
        p_t = 1 - ((K_A - 1) * o_u + K_B * m_u) / ratio
        value = -(ratio * K_A * sp.log(p_t) + K_B * sp.log(q_t)) / (ratio * K_A + K_B)
        solved = sp.lambdify([K_A, K_B, mu, u], (ratio, tau), "mpmath")
        proof.tie(
            value,
            [K_A, K_B, mu, u],
            lambda A, B, x, y, solved=solved: _value_of_the_solver(A, B, *solved(A, B, x, y)),
            points(81, 5, (2, 6), (2, 6), (low, high), (2.0, 6.0)),
            f"solvers.step_optimum, {phase} phase: the risk",
        )


def _value_of_the_solver(A: int, B: int, R: Any, tau: Any) -> float:
    return float(solvers.step_optimum(A, B, R=float(R), tau=float(tau)).value)


@evidence(
    R1_CLOSED,
    EvidenceKind.SYMBOLIC,
    domain="all K_A >= 2, K_B >= 2, all budgets",
    steps=("gradient blocks", "threshold", "finite", "after R_0"),
)
def vanishing_threshold(proof: Proof) -> None:
    """With w_B = h_B = 0 only the majority block is active and mu is its value."""
    t, S = sp.symbols("t S", positive=True)  # t = e^{-a/K_A}
    p = (1 - ((K_A - 1) * t + K_B) / S, t / S, 1 / S)
    G = gradient_block(R, sp.Integer(1), p, (1 / K, 1 / K, 1 / K))
    proof.equal(G.a, R * (K_A * t + K_B) / S, "majority block: mu = R (K_A t + K_B)/S")
    proof.equal(G.e, 1, "minority block: pi_B")
    root_closed = (K_A * t + K_B) ** 2 - proof.term("K K_B", K * K_B)
    closed = sp.sqrt(K_A / K) * S / sp.sqrt(root_closed)
    proof.zero((mixed_value(G.c, G.d) - G.a**2).subs(R, closed), "mixed = mu at R_1")
    root, root_B = sp.symbols("r s", positive=True)
    squares = {K_A: root**2 - root_B**2, K_B: root_B**2}
    edge = root_B / (root + root_B)
    proof.zero(
        root_closed.subs(squares).subs(t, edge),
        "the root closes at t = 1/(1 + sqrt(K/K_B)), i.e. tau = K_A(K_A-1) ln(1 + sqrt(K/K_B))",
    )
    proof.positive(sp.diff((K_A * t + K_B) ** 2, t), "and is real above")
    floor = sp.sqrt(K_A / K) / sp.sqrt(K**2 - K * K_B)
    proof.equal(sp.simplify(floor), 1 / K, "R_1/S >= 1/K because t <= 1")
    proof.equal(mixed_value(1 / K, 1 / K), 1, "hence mu = mixed >= 1 = pi_B at R_1: R_1 >= R_0")
    tau = sp.Symbol("tau", positive=True)
    a_tau = tau / (K_A - 1)
    odds = sp.exp(a_tau * (K_A - 1) / K_A) + (K_A - 1) * t + K_B
    closed_tau = closed.subs(S, odds).subs(t, sp.exp(-a_tau / K_A))
    finite = tau < K_A * (K_A - 1) * sp.log(1 + sp.sqrt(K / K_B))
    proof.assume(K_A >= 2, K_B >= 2, finite)
    proof.tie(
        closed_tau,
        [K_A, K_B, tau],
        lambda A, B, radius: solvers.R1(A, B, radius),
        points(8, 10, (3, 10), (2, 10), (0.2, 3.0)),
        "solvers.R1",
    )


@evidence(OVERSAMPLING, EvidenceKind.SYMBOLIC, domain="all n_A, n_B, K_A, K_B", steps=("shares",))
def oversampling_shares(proof: Proof) -> None:
    """The risk's shares are all that the model sees of the class sizes."""
    n_A, n_B, weight = sp.symbols("n_A n_B w_r", positive=True)

    def share(minority: sp.Expr) -> sp.Expr:
        return minority / (K_A * n_A + K_B * minority)

    weighted = weight * n_B / (K_A * n_A + proof.term("weight", weight) * K_B * n_B)
    proof.equal(weighted, share(weight * n_B), "share of a minority class")
    sizes = sp.symbols("n_A n_B", positive=True, integer=True)
    symbols = dict(zip((n_A, n_B), sizes, strict=True))
    proof.tie(
        weighted.subs(symbols),
        [K_A, K_B, *sizes, weight],
        lambda A, B, a, b, w: Problem(
            K=A + B, d=A + B, n=(a,) * A + (b,) * B, weights=(1.0,) * A + (w,) * B
        ).pi[-1],
        points(23, 5, (1, 5), (2, 5), (1, 500), (1, 50), (0.5, 20.0)),
        "Problem.pi with loss weights",
    )


@evidence(
    OVERSAMPLING_R0,
    EvidenceKind.SYMBOLIC,
    domain="all K_A >= 1, K_B >= 2, all budgets",
    steps=("effective ratio", "roles"),
)
def oversampling_ratio(proof: Proof) -> None:
    """Collapse iff the effective ratio reaches R_0, which does not depend on the sizes."""
    n_A, n_B, weight = sp.symbols("n_A n_B w_r", positive=True)
    effective = (n_A / proof.term("weighted", weight * n_B)).subs(n_A, R * n_B)
    proof.equal(effective, R / weight, "effective ratio R/w_r")
    proof.equal(effective.subs(weight, R), 1, "balanced at w_r = R")
    more = sp.Symbol("more", positive=True)
    swapped = (weight * n_B / n_A).subs(n_A, R * n_B)
    proof.equal(swapped, weight / R, "beyond, the former minority is heavier by w_r/R")
    proof.equal(
        swapped.subs(weight, R * (1 + more)), 1 + more, "more than one: roles are exchanged"
    )
