"""Evidence for minority collapse: block spectra, the collapse criterion and its threshold.

Notation of the statements: a minority sample gives a majority class the probability q, a majority
sample gives another majority class p_o and a minority class p_m; m = R p_m and o = R p_o.
"""

from __future__ import annotations

import sympy as sp

from proofs_check._blocks import Block
from proofs_check._harness import evidence
from proofs_check._proof import Proof, points
from ufm import solvers
from ufm.claims import EvidenceKind
from ufm.theory.fang2021_collapse import (
    COLLAPSE,
    FINDING2,
    FINITE,
    R0_CLOSED,
    R0_SINGLE,
    THM5,
)


K_A, K_B = sp.symbols("K_A K_B", positive=True, integer=True)
K = K_A + K_B
a, c, d, e = sp.symbols("a c d e", real=True)
q, R, y = sp.symbols("q R y", positive=True)
mu, m, o = sp.symbols("mu m o", positive=True)
CLASSES = sp.Symbol("k", nonnegative=True, integer=True) + 2


def centred_block(a: sp.Expr, c: sp.Expr, d: sp.Expr, e: sp.Expr) -> Block:
    """The block matrix with zero column sums and these free entries.

    Args:
        a: Majority gap.
        c: Upper right entry.
        d: Lower left entry.
        e: Minority gap.

    Returns:
        The matrix.
    """
    return Block(a, -(a + K_B * d) / K_A, c, d, e, -(e + K_A * c) / K_B, K_A, K_B)


def gradient_block(share_A: sp.Expr, share_B: sp.Expr, p: tuple, q: tuple) -> Block:
    """``-G = (I - Q) Pi`` from the probabilities of a majority and of a minority sample.

    Args:
        share_A: Share of a majority class.
        share_B: Share of a minority class.
        p: Own class, another majority class, a minority class, for a majority sample.
        q: Own class, another minority class, a majority class, for a minority sample.

    Returns:
        The matrix.
    """
    (p_t, p_o, p_m), (q_t, q_o, q_m) = p, q
    return Block(
        share_A * (1 - p_t + p_o), -share_A * p_o, -share_B * q_m, -share_A * p_m,
        share_B * (1 - q_t + q_o), -share_B * q_o, K_A, K_B,
    )  # fmt: skip


def mixed_value(c: sp.Expr, d: sp.Expr) -> sp.Expr:
    """Squared singular value of a centred block matrix on the direction between the groups.

    Args:
        c: Upper right entry.
        d: Lower left entry.

    Returns:
        ``K (K_B d^2 + K_A c^2)``.
    """
    return K * (K_B * d**2 + K_A * c**2)


@evidence(
    COLLAPSE,
    EvidenceKind.SYMBOLIC,
    domain="all K_A, K_B, any profile around the group",
    steps=("block", "contrast gradient", "strict"),
)
def collapse_criterion(proof: Proof) -> None:
    """Necessity on the contrasts x of the group (sum x = 0); sufficiency by uniqueness of Z*.

    Equal features give equal columns of Q, so Qx = 0 and |Gx| = pi_B |x|: pi_B <= mu. Conversely
    Z* is symmetric in the group, Zx = e x; if e > 0 the KKT conditions make that singular value
    of G equal to mu, and it is less than pi_B; e < 0 contradicts <G, Z> = -mu |Z|_*.
    """
    share = sp.Symbol("pi_B", positive=True)
    Z = centred_block(a, c, d, e)
    square = Z @ Z.T
    proof.zero(sp.Matrix(Z.column_sums), "columns of Z are centred")
    proof.equal(square.a, a**2, "singular value |a|, K_A - 1 times")
    proof.equal(square.e, e**2, "singular value |e|, K_B - 1 times")
    proof.zero(square.quotient.det(), "the remaining two: zero")
    proof.equal(square.quotient.trace(), mixed_value(c, d), "and sqrt(K (K_B d^2 + K_A c^2))")
    q_t, q_o = sp.symbols("q_t q_o", positive=True)
    minority = share * (1 - q_t + proof.term("other", q_o))
    proof.equal(minority.subs(q_t, q_o), share, "merged (q_t = q_o): the contrast value is pi_B")
    gap = sp.Symbol("e", positive=True)
    proof.equal(
        share - minority.subs(q_t, q_o * sp.exp(gap)),
        share * q_o * (sp.exp(gap) - 1),
        "told apart (q_t = q_o exp(e), e > 0): it is less than pi_B, since exp(e) > 1",
    )


def miss_bound(tau: sp.Expr) -> sp.Expr:
    """Least probability that a sample of the largest class is missed, see `finite_threshold`.

    Args:
        tau: Radius of the nuclear-norm ball.

    Returns:
        The bound, for K = 2 + k classes.
    """
    return (CLASSES - 1) / (CLASSES - 1 + sp.exp(sp.sqrt(2) * tau))


@evidence(
    FINITE,
    EvidenceKind.SYMBOLIC,
    domain="all K >= 2, all profiles with an equal group",
    steps=("entry bound", "logit bound", "miss bound"),
)
def finite_threshold(proof: Proof) -> None:
    """An entry |G_kk| = pi_k (1 - p_k) bounds mu; logit gaps are at most sqrt(2) |Z|_op."""
    share, miss, tau = sp.symbols("pi_k miss tau", positive=True)
    classes = CLASSES
    proof.equal(-share * ((1 - miss) - 1), share * miss, "|G_kk| is an entry, at most |G|_op")
    proof.equal(
        sp.Matrix([1, -1]).norm(), proof.term("gap vector", sp.sqrt(2)), "|e_j - e_k| = sqrt 2"
    )
    odds = sp.Symbol("S", positive=True)
    proof.equal(
        sp.diff(odds / (1 + odds), odds),
        (1 + odds) ** -2,
        "1 - p_k = S/(1+S) rises with the odds S",
    )
    least = (classes - 1) * sp.exp(-sp.sqrt(2) * tau)
    bound = miss_bound(tau)
    proof.equal(least / (1 + least), bound, "S >= (K-1) exp(-sqrt(2) tau)")
    ratio = 1 + sp.exp(sp.sqrt(2) * tau) / (classes - 1)
    proof.equal(ratio * bound, 1, "R bound = 1 there, so pi_B <= mu: merged")


@evidence(
    THM5, EvidenceKind.SYMBOLIC, domain="all K_A >= 1, K_B >= 2, all budgets", steps=("limit",)
)
@evidence(
    FINDING2, EvidenceKind.SYMBOLIC, domain="all K_A >= 1, K_B >= 2, all budgets", steps=("finite",)
)
def exact_merging(proof: Proof) -> None:
    """Beyond the explicit ratio of `finite_threshold` w_k - w_k' = 0, hence also in the limit."""
    tau = sp.Symbol("tau", positive=True)
    miss = proof.term("miss", miss_bound(tau), altered=sp.Integer(0))
    proof.positive(miss, "the miss probability is bounded away from zero for a fixed budget")
    proof.equal(
        1 / miss - 1,
        sp.exp(sp.sqrt(2) * tau) / (CLASSES - 1),
        "so the ratio where R miss = 1 is finite, and above one",
    )


def threshold_terms() -> tuple[sp.Expr, sp.Expr, sp.Expr, sp.Expr]:
    """``y, m, o, a`` of the closed threshold as functions of q.

    Returns:
        The four expressions.
    """
    y_q = sp.log((1 - K_A * q) / (K_B * q))
    m_q = sp.sqrt((1 / K - K_A * q**2) / K_B)
    o_q = (1 - K_B * m_q) / K_A
    return y_q, m_q, o_q, gap_of(y_q, m_q, o_q)


def gap_of(y: sp.Expr, m: sp.Expr, o: sp.Expr) -> sp.Expr:
    """Majority gap ``a`` at the threshold.

    Args:
        y: Logit gap of a minority sample.
        m: R times the probability that a majority sample gives a minority class.
        o: R times that of another majority class.

    Returns:
        ``K_B y m/q - K_A log(o/m)``.
    """
    return K_B * y * m / q - K_A * sp.log(o / m)


def radius_of(a: sp.Expr, y: sp.Expr) -> sp.Expr:
    """``tau`` at the threshold: the singular values of Z summed up.

    Args:
        a: Majority gap.
        y: Logit gap of a minority sample.

    Returns:
        ``(K_A - 1) a + K_B y/(K q)``.
    """
    return (K_A - 1) * a + K_B * y / (K * q)


def ratio_of(a: sp.Expr, o: sp.Expr) -> sp.Expr:
    """``R_0`` at the threshold.

    Args:
        a: Majority gap.
        o: R times the probability that a majority sample gives another majority class.

    Returns:
        ``1 + o (e^a - 1)``.
    """
    return 1 + o * (sp.exp(a) - 1)


@evidence(
    R0_CLOSED,
    EvidenceKind.SYMBOLIC,
    domain="all K_A >= 2, K_B >= 2, q in (0, 1/K)",
    steps=(
        "singular values",
        "gradient blocks",
        "alignment",
        "probabilities",
        "radius",
        "ratio",
        "not vanished",
    ),
)
def closed_threshold(proof: Proof) -> None:
    """All nonzero singular values of -G equal mu = pi_B = 1 where the minority block sets in."""
    q_o = (1 - K_A * q) / K_B
    p_o, p_m = o / R, m / R
    p_t = 1 - (K_A - 1) * p_o - K_B * p_m
    G = gradient_block(R, sp.Integer(1), (p_t, p_o, p_m), (q_o, q_o, q))
    proof.zero(sp.Matrix(G.column_sums), "columns of -G are centred")
    proof.equal(G.e, 1, "minority block: pi_B exactly")
    o_closed = (1 - proof.term("minority rows", K_B) * m) / K_A
    proof.equal(G.a.subs(o, o_closed), 1, "majority block: o = (1 - K_B m)/K_A")
    m_closed = sp.sqrt((1 / K - K_A * q**2) / K_B)
    proof.equal(mixed_value(G.c, G.d).subs(m, m_closed), 1, "mixed direction: m")
    c_z = -K_B * y / K
    d_z = c_z * m / q
    proof.equal(c_z * G.d - d_z * G.c, 0, "Z and -G share the mixed direction: d/c = m/q")
    proof.equal(-K * c_z / K_B, y, "a minority sample: log(q_o/q) = y fixes c")
    scale = gap_of(y, m, o)
    proof.equal(
        ((K_A - 1) * scale - K * d_z) / K_A,
        scale + sp.log(o / m),
        "a majority sample: log(p_t/p_m) = log(p_t/p_o) + log(p_o/p_m) fixes a",
    )
    mixed = -c_z / q * sp.sqrt(K * (K_B * m_closed**2 + K_A * q**2))
    proof.equal(
        (K_A - 1) * a + sp.simplify(mixed), radius_of(a, y), "radius: (K_A-1) a and the mixed value"
    )
    ratio = ratio_of(a, o_closed)
    proof.equal((p_t / p_o).subs(o, o_closed).subs(R, ratio), sp.exp(a), "R_0 = 1 + o (e^a - 1)")
    _not_vanished_at_the_threshold(proof)
    _tie_threshold(proof)


def _not_vanished_at_the_threshold(proof: Proof) -> None:
    # Without the mixed direction a minority sample is uniform and p_m = 1/S, with the excess S of
    # the odds over t = e^{-a/K_A} < 1. If the majority block is pi_B = 1, the mixed value, which
    # must be at most that, is more: so the mixed direction is active.
    shrink, S = sp.symbols("shrink S", positive=True)  # 1/t = 1 + shrink
    t = 1 / (1 + shrink)
    uniform = (1 / K,) * 3
    p = (1 - ((K_A - 1) * t + K_B) / S, t / S, 1 / S)
    G = gradient_block(R, sp.Integer(1), p, uniform)
    ratio = S / (K_A * t + K_B)
    proof.equal(G.a.subs(R, ratio), 1, "vanished, majority block at pi_B: R/S = 1/(K_A t + K_B)")
    proof.equal(
        mixed_value(G.c, G.d).subs(R, ratio) - 1,
        K_B / K * (K**2 / (K_A * t + K_B) ** 2 - 1),
        "the square of the mixed value, less one",
    )
    proof.positive(K / (K_A * t + K_B) - 1, "is positive, as t < 1: that value is above pi_B")


def _tie_threshold(proof: Proof) -> None:
    y_q, _, o_q, a_q = threshold_terms()
    u = sp.Symbol("u", positive=True)
    inside = {q: 1 / (K + u)}
    log_ratio = sp.log(ratio_of(a_q, o_q)).subs(inside)
    tau = radius_of(a_q, y_q).subs(inside)
    radius = sp.lambdify([K_A, K_B, u], tau, "mpmath")
    proof.assume(K_A >= 2, K_B >= 2, q < 1 / K)
    proof.tie(
        log_ratio,
        [K_A, K_B, u],
        lambda A, B, x: solvers.log_R0(A, B, float(radius(A, B, x))),
        points(6, 12, (2, 12), (2, 12), (0.5, 40.0)),
        "solvers.log_R0",
    )


@evidence(
    R0_SINGLE,
    EvidenceKind.SYMBOLIC,
    domain="K_A = 1, all K_B >= 2, q in (0, 1/K)",
    steps=("gradient blocks", "alignment", "radius", "ratio", "radius falls"),
)
def closed_threshold_single(proof: Proof) -> None:
    """As `closed_threshold` without a majority block: p_o does not occur."""
    one = {K_A: 1}
    q_o, p_m = (1 - q) / K_B, m / R
    p_t = 1 - K_B * p_m
    G = gradient_block(R, sp.Integer(1), (p_t, sp.Integer(0), p_m), (q_o, q_o, q))
    m_closed = sp.sqrt((1 / K - q**2) / K_B).subs(one)
    proof.zero(sp.Matrix(G.column_sums).subs(one), "columns of -G are centred")
    proof.equal(G.e, 1, "minority block: pi_B exactly")
    proof.equal(mixed_value(G.c, G.d).subs(one).subs(m, m_closed), 1, "mixed direction: m")
    c_z = -proof.term("minority rows", K_B) * y / (1 + K_B)
    d_z = c_z * m / q
    proof.equal((c_z * G.d - d_z * G.c).subs(one), 0, "Z and -G share the mixed direction")
    mixed = sp.sqrt(mixed_value(c_z, d_z).subs(one).subs(m, m_closed))
    proof.equal(sp.simplify(mixed), K_B * y / ((1 + K_B) * q), "radius: the mixed value alone")
    ratio = m * (sp.exp(K_B * y * m / q) + K_B)
    proof.equal(
        (p_t / p_m).subs(R, ratio), sp.exp(-(1 + K_B) * d_z), "p_t/p_m = e^{-K d} gives R_0"
    )
    u = sp.Symbol("u", positive=True)
    inside = {q: 1 / (1 + K_B + u)}
    y_q = sp.log(q_o / q)
    proof.equal((sp.exp(y_q) - 1).subs(inside), u / K_B, "y = log(q_o/q) > 0 for q = 1/(K+u) < 1/K")
    proof.positive(-sp.diff(y_q, q).subs(inside), "y' < 0, so tau falls: one boundary point")
    proof.limit(q / y_q, q, 0, 0, "tau takes every value: unbounded as q -> 0")
    proof.zero(y_q.subs(q, 1 / (1 + K_B)), "and zero at q = 1/K")
    closed = sp.log(ratio.subs(m, m_closed).subs(y, y_q)).subs(inside)
    radius = sp.lambdify([K_B, u], (K_B * y_q / ((1 + K_B) * q)).subs(inside), "mpmath")
    proof.assume(K_B >= 2, q < 1 / (1 + K_B))
    proof.tie(
        closed,
        [K_B, u],
        lambda B, x: solvers.log_R0(1, B, float(radius(B, x))),
        points(7, 8, (2, 12), (0.5, 20.0)),
        "solvers.log_R0, K_A = 1",
    )
