"""Evidence for Zhu et al. (2021): cross-entropy with ridges."""

from __future__ import annotations

from typing import Any

import sympy as sp
import torch

from proofs_check._blocks import IJ
from proofs_check._harness import evidence
from proofs_check._proof import Proof, points
from ufm import solvers
from ufm.claims import EvidenceKind
from ufm.losses import CrossEntropy
from ufm.objective import Objective, Point
from ufm.problem import ClassMeanDecay, Problem
from ufm.theory.zhu2021 import (
    GAP,
    GLOBAL_ETF,
    LOW_DIMENSION,
    NARROW_SADDLE,
    SPECTRAL,
    STRICT_SADDLE,
    TANGENT,
    THRESHOLD,
)


K = sp.Symbol("K", positive=True, integer=True)
k2 = sp.Symbol("k", nonnegative=True, integer=True)
AT_LEAST_TWO: Any = {K: 2 + k2}  # so that the sign of an expression follows for all K >= 2
a = sp.Symbol("a", real=True)
kappa = sp.Symbol("kappa", positive=True)
lam_W, lam_H = sp.symbols("lambda_W lambda_H", positive=True)


def symmetric_loss(scale: sp.Expr) -> sp.Expr:
    """Cross-entropy of the logits ``scale (I - J/K)``, the same for every class.

    Args:
        scale: The scale.

    Returns:
        ``log(1 + (K-1) e^{-scale})``.
    """
    return sp.log(1 + (K - 1) * sp.exp(-scale))


def tangent(scale: sp.Expr, differences: sp.Expr) -> sp.Expr:
    """Tangent plane of a column's cross-entropy at the symmetric point; see `tangent_inequality`.

    Args:
        scale: All differences are minus this there.
        differences: Sum of the differences ``s_j = z_j - z_k``.

    Returns:
        A lower bound of the loss.
    """
    return symmetric_loss(scale) + (differences + (K - 1) * scale) / (sp.exp(scale) + K - 1)


@evidence(
    TANGENT, EvidenceKind.SYMBOLIC, domain="all K >= 2, all a", steps=("contact", "slope", "convex")
)
def tangent_inequality(proof: Proof) -> None:
    """Jensen: sum_j e^{s_j} >= (K-1) e^m with m the mean, equality iff all s_j are m.

    What is left is one convex function of m above its tangent at m = -a.
    """
    m, x = sp.Symbol("m", real=True), sp.Symbol("x", real=True)
    above = proof.term("exponential", sp.exp(x)) - (1 + x)
    e = sp.Symbol("e", positive=True)
    proof.zero(above.subs(x, 0), "e^x = 1 + x at 0")
    slope: Any = sp.diff(above, x)
    proof.positive(slope.subs(x, sp.log(1 + e)), "e^x - 1 - x rises after, at x = log(1 + e)")
    proof.positive(
        -slope.subs(x, -sp.log(1 + e)),
        "and falls before: e^x >= 1 + x, equality at 0 only; with x = s_j - m, whose sum is 0, "
        "sum_j e^{s_j} >= (K-1) e^m",
    )
    f = sp.log(1 + (K - 1) * sp.exp(m))
    plane = tangent(a, (K - 1) * m)
    proof.equal(plane.subs(m, -a), f.subs(m, -a), "value at the point of contact, m = -a")
    proof.equal(
        sp.diff(plane, m),
        proof.term("slope", sp.diff(f, m).subs(m, -a)),
        "and slope; (K-1) m is the sum of the s_j",
    )
    curvature = sp.simplify(sp.diff(f, m, 2)).subs(AT_LEAST_TWO)
    proof.positive(curvature, "strictly convex in m, for K = 2 + k")
    s = sp.symbols("s1:3", real=True)
    loss = sp.log(1 + sum(sp.exp(x) for x in s))
    proof.tie(loss, list(s), _loss_of_differences, points(2, 10, (-3.0, 3.0), (-3.0, 3.0)), "K = 3")


def _loss_of_differences(*s: float) -> torch.Tensor:
    Z = torch.tensor([[0.0], *([x] for x in s)], dtype=torch.float64)
    return CrossEntropy().value(Z, torch.tensor([0]))[0]


@evidence(
    GLOBAL_ETF,
    EvidenceKind.SYMBOLIC,
    domain="all K >= 2, all n, K kappa < 1; no, free or penalised bias",
    steps=("lower bound", "bias", "scale", "attained", "only those"),
)
def balanced_ridge_optimum(proof: Proof) -> None:
    """Average the tangent inequality over classes, and bound tr(PZ) by the nuclear norm of Z."""
    trace, total, nuclear = sp.symbols("T S nu", real=True)
    # sum_k sum_{j != k} (z_jk - z_kk) in the trace T and the sum of all entries S of Z.
    differences = (total - trace) - (K - 1) * trace
    tr_PZ = trace - total / proof.term("centring", K)
    proof.equal(differences / K, -tr_PZ, "the mean of the logit differences is -tr(PZ)")
    b_sum = sp.Symbol("b_sum", real=True)
    with_bias = {trace: trace + b_sum, total: total + K * b_sum}
    proof.equal(
        differences.subs(with_bias, simultaneous=True),
        differences,
        "a bias b, sum b_sum, does not change the sum of the differences",
    )
    scale = proof.term("scale", sp.log(1 / kappa - K + 1))
    slope = -sp.diff(tangent(a, -nuclear), nuclear)
    proof.equal(slope.subs(a, scale), kappa, "at this scale the tangent's slope is kappa")
    bound = tangent(a, -nuclear) + kappa * nuclear
    proof.equal(
        bound.subs(a, scale),
        symmetric_loss(scale) + kappa * (K - 1) * scale,
        "with tr(PZ) <= |P|_op |Z|_* the bound no longer depends on Z",
    )
    Z = IJ(a, -a / K, K)
    proof.equal(Z.trace, (K - 1) * a, "aP has K-1 singular values a: nuclear norm (K-1)a = tr(PZ)")
    proof.equal((Z.a + Z.b) - Z.b, a, "and all its logit differences are -a: equality")
    _equality_case(proof)
    share = sp.Symbol("c", positive=True)  # K kappa
    proof.assume(share < 1)
    proof.tie(
        (symmetric_loss(scale) + kappa * (K - 1) * scale).subs(kappa, share / K),
        [K, share],
        _balanced_value,
        points(3, 8, (2, 20), (0.01, 0.99)),
        "GLOBAL_ETF.predict(...).value",
    )


def _equality_case(proof: Proof) -> None:
    # tr(PZ) = |Z|_* = sum sigma_i u_i'P v_i asks for u_i = P v_i = v_i: rows and columns of Z sum
    # to zero. z_jk + b_j - z_kk - b_k = -a for all j != k is equality in every tangent inequality.
    own, b_j, b_k, b_sum = sp.symbols("z_kk b_j b_k b_sum", real=True)
    other = own + b_k - b_j - proof.term("gap", a)
    # Column k: own entry, and the others with sum_{j != k} b_j = b_sum - b_k.
    column = own + (K - 1) * (other + b_j) - (b_sum - b_k)
    found = sp.solve(column, own)[0]
    proof.equal(found, (K - 1) * a / K + b_sum / K - b_k, "centred column: z_kk")
    entry = other.subs(own, found)
    row = found.subs(b_k, b_j) + (K - 1) * entry
    proof.equal(
        row, b_sum - K * b_j, "which has the same entries off the diagonal of row j; centred row: "
        "b_j = b_sum/K, so the bias is constant (zero if penalised)",
    )  # fmt: skip
    even = {b_j: b_sum / K, b_k: b_sum / K}
    proof.equal(found.subs(even), (K - 1) * a / K, "then Z = aP: diagonal")
    proof.equal(entry.subs(even), -a / K, "and off it. Its minimal factors have one Gram matrix")


def _balanced_value(K: int, c: float) -> float:
    problem = Problem(K=K, d=K, n=(1,) * K, reg=ClassMeanDecay(lam_W=1.0, lam_H=(c / K) ** 2))
    value = GLOBAL_ETF.predict(problem).value
    assert value is not None
    return value


@evidence(
    THRESHOLD,
    EvidenceKind.SYMBOLIC,
    domain="all K >= 2, all n, K kappa >= 1",
    steps=("lower bound", "scale at threshold", "only zero"),
)
def total_threshold(proof: Proof) -> None:
    """The tangent at a = 0: F >= log K - tr(PZ)/K, and tr(PZ) <= |Z|_* <= K kappa |Z|_*.

    If K kappa > 1 equality asks for |Z|_* = 0; if K kappa = 1 for tr(PZ) = |Z|_* and differences
    that are all zero, which `balanced_ridge_optimum` solves for any a: Z = aP, with a = 0. A bias
    does not enter, as there. The factors of zero with the least ridges are zero.
    """
    excess, nuclear = sp.symbols("epsilon nu", nonnegative=True)
    strength = proof.term("strength", 1 / K, altered=sp.Rational(6, 7) / K) + excess
    bound = tangent(sp.Integer(0), -nuclear) + strength * nuclear
    proof.equal(symmetric_loss(sp.Integer(0)), sp.log(K), "value at zero")
    proof.equal(
        bound,
        sp.log(K) + excess * nuclear,
        "F + kappa |Z|_* >= log K + epsilon |Z|_* for kappa = 1/K + epsilon",
    )
    proof.zero(sp.log(1 / kappa - K + 1).subs(kappa, 1 / K), "the ETF's scale reaches zero there")
    proof.tie(
        1 / K,
        [K],
        lambda size: solvers.ridge_vanishing([1 / size] * size, 1.0),
        points(14, 5, (2, 30)),
        "solvers.ridge_vanishing, equal shares",
    )


@evidence(
    SPECTRAL,
    EvidenceKind.SYMBOLIC,
    domain="all K, d, D = diag(D_k) > 0",
    steps=("critical balance", "critical inner product", "subgradient", "tight"),
)
def spectral_criterion(proof: Proof) -> None:
    """A critical point's <G,Z> is -lam |ZD^(1/2)|_*, so G is minus a subgradient iff op <= lam."""
    d = sp.Symbol("d", positive=True, integer=True)
    W, H = sp.MatrixSymbol("W", K, d), sp.MatrixSymbol("H", d, K)
    G, D = sp.MatrixSymbol("G", K, K), sp.MatrixSymbol("D", K, K)
    in_W = G * H.T + proof.term("ridge on W", lam_W) * W
    in_H = W.T * G + lam_H * H * D
    proof.zero(
        W.T * in_W - in_H * H.T - (lam_W * W.T * W - lam_H * H * D * H.T),
        "where both gradients vanish, lam_W W'W = lam_H H D H'",
    )
    proof.zero(
        W.T * in_W - W.T * G * H.T - lam_W * W.T * W,
        "and tr(W'GH') = <G,Z> is -lam_W |W|^2, hence minus the mean of the two ridges",
    )
    ones = sp.MatrixSymbol("one", K, 1)
    proof.zero(
        ones.T * in_W - (ones.T * G) * H.T - proof.term("ridge on W", lam_W) * ones.T * W,
        "1'G = 0, so 1'W = 0: optimal logits have rank <= K-1 <= d, and a global minimiser of "
        "the factors is one of the convex problem, where the condition is necessary",
    )
    op, nuclear, slack, ours = sp.symbols("op nu_new slack nu", nonnegative=True)
    lam = op + slack
    inner = -lam * ours
    change = -op * nuclear - inner + lam * nuclear - lam * ours
    proof.equal(
        change,
        slack * nuclear,
        "F(Z') - F(Z) >= <G, Z'-Z> >= -op |Z'|_* - <G,Z>: the objective rises by (lam - op)|Z'|_* "
        "at least",
    )
    proof.tie(
        1 / (sp.exp(a) + K - 1),
        [K, a],
        _symmetric_operator_norm,
        points(15, 6, (2, 12), (-1.0, 5.0)),
        "Objective.risk_grad at the logits aP: its operator norm",
    )


def _symmetric_operator_norm(K: int, a: float) -> torch.Tensor:
    objective = Objective.stack([Problem(K=K, d=K, n=(2,) * K, reg=ClassMeanDecay())], K)
    Z = a * (torch.eye(K, dtype=torch.float64) - 1 / K)
    return torch.linalg.matrix_norm(objective.risk_grad(Z[None])[0], 2)


@evidence(
    STRICT_SADDLE,
    EvidenceKind.SYMBOLIC,
    domain="all K, all d >= K",
    steps=("null direction", "two by two", "sign"),
)
def saddle_direction(proof: Proof) -> None:
    """Move W by alpha u v' and H by beta v x' with v in the null space of W and H'."""
    d = sp.Symbol("d", positive=True, integer=True)
    W, H = sp.MatrixSymbol("W", K, d), sp.MatrixSymbol("H", d, K)
    G, ones = sp.MatrixSymbol("G", K, K), sp.MatrixSymbol("one", K, 1)
    in_W = G * H.T + lam_W * W
    proof.zero(
        ones.T * in_W - (ones.T * G) * H.T - lam_W * ones.T * W,
        "1'G = 0, so 1'W = 0 at a critical point: rank W <= K-1 < d and such a v exists",
    )
    alpha, beta, g = sp.Symbol("alpha"), sp.Symbol("beta"), sp.Symbol("g", positive=True)
    change = lam_W / 2 * alpha**2 + lam_H / 2 * beta**2 - proof.term("coupling", g) * alpha * beta
    hessian = sp.hessian(change, (alpha, beta))
    lowest = (lam_W + lam_H) / 2 - sp.sqrt(((lam_W - lam_H) / 2) ** 2 + g**2)
    proof.zero(
        hessian.charpoly().as_expr().subs(hessian.charpoly().gen, lowest),
        "Z moves by alpha beta u x' alone; the lowest eigenvalue of the 2 x 2 Hessian",
    )
    proof.equal(hessian.det(), lam_W * lam_H - g**2, "negative iff g^2 > lam_W lam_H")
    proof.positive(hessian.trace(), "the other eigenvalue is positive")
    proof.tie(
        lowest.subs(g, 1 / K),
        [K, lam_W, lam_H],
        _curvature_at_zero,
        points(16, 6, (2, 9), (0.01, 2.0), (0.01, 2.0)),
        "Objective.hvp at zero, balanced: G = -P/K",
    )


def _curvature_at_zero(K: int, lam_W: float, lam_H: float) -> torch.Tensor:
    objective = Objective.stack(
        [Problem(K=K, d=K, n=(1,) * K, reg=ClassMeanDecay(lam_W, lam_H))], K
    )
    zero = torch.zeros(1, K, K, dtype=torch.float64)
    # Along alpha u v' and beta v u' with u = (1, -1, 0, ...)/sqrt(2), v = (1, 0, ...).
    plane = torch.zeros(2, 2, dtype=torch.float64)
    u, v = torch.zeros(2, K, dtype=torch.float64)
    u[0], u[1], v[0] = 0.5**0.5, -(0.5**0.5), 1.0
    moves = (
        Point(torch.outer(u, v)[None], zero, torch.zeros(1, K).double()),
        Point(zero, torch.outer(v, u)[None], torch.zeros(1, K).double()),
    )
    at = Point(zero, zero, torch.zeros(1, K).double())
    for i, x in enumerate(moves):
        second = objective.hvp(at, x)
        for j, other in enumerate(moves):
            plane[i, j] = (second.W * other.W).sum() + (second.H * other.H).sum()
    return torch.linalg.eigvalsh(plane)[0]


@evidence(
    NARROW_SADDLE,
    EvidenceKind.SYMBOLIC,
    domain="all K, all d >= K-1",
    steps=("balance", "centring", "full rank"),
)
def full_rank_is_global(proof: Proof) -> None:
    """A rank below d leaves a null direction of W and H', as in `saddle_direction`.

    By balance and 1'W = 0 the rank is at most K-1, so else d = K-1 and the columns of W span the
    zero-sum vectors: GG' is lam_W lam_H on them, and zero on 1.
    """
    d = sp.Symbol("d", positive=True, integer=True)
    W, H = sp.MatrixSymbol("W", K, d), sp.MatrixSymbol("H", d, K)
    G, ones = sp.MatrixSymbol("G", K, K), sp.MatrixSymbol("one", K, 1)
    in_W = G * H.T + proof.term("ridge on W", lam_W) * W
    in_H = W.T * G + lam_H * H
    proof.zero(
        W.T * in_W - in_H * H.T - (lam_W * W.T * W - lam_H * H * H.T),
        "balance: W and H' have one rank and one null space",
    )
    proof.zero(ones.T * in_W - (ones.T * G) * H.T - lam_W * ones.T * W, "1'G = 0, so 1'W = 0")
    proof.zero(
        G * in_H.T - lam_H * in_W - (G * G.T * W - lam_W * lam_H * W),
        "GG'W = lam_W lam_H W at a critical point",
    )


@evidence(
    GAP,
    EvidenceKind.SYMBOLIC,
    domain="all K >= 2, all class shares; sums over j as moments",
    steps=("conjugate", "gap formula", "shrinking"),
)
def ridge_gap(proof: Proof) -> None:
    """Fenchel's inequality per column with its exact defect, then the sum over columns."""
    entropy, inner, lse, z_y = sp.symbols("E B L z_y", real=True)
    mass = proof.term("mass", sp.Integer(1))
    # E = sum q' log q', B = sum q' z, L = log sum e^z, and sum q' = 1.
    loss, pairing, divergence = lse - z_y, inner - z_y, entropy - inner + mass * lse
    proof.equal(
        loss + entropy - pairing, divergence, "loss + conjugate - <q' - e_y, z> = KL(q'||q)"
    )
    risk, penalty, dual, YZ = sp.symbols("F penalty Ent YZ", real=True)
    proof.equal(
        (risk + penalty) - dual,
        (risk - dual - YZ) + (YZ + penalty),
        "the gap is the summed defect plus <Y,Z> + lam |ZD^(1/2)|_* >= 0",
    )
    theta, q, pi, e = sp.symbols("theta q pi e")
    proof.equal(
        ((1 - theta) * e + theta * q - e) * pi,
        theta * (q - e) * pi,
        "blending Q with the identity scales Y, so every Q can be made feasible",
    )
    u, z = sp.symbols("u1:3", positive=True), sp.symbols("z1:4", real=True)
    probabilities = [x / (1 + sum(u)) for x in (*u, sp.Integer(1))]
    log_sum = sp.log(sum(sp.exp(x) for x in z))
    divergence = sum(p * (sp.log(p) - x + log_sum) for p, x in zip(probabilities, z, strict=True))
    proof.tie(
        divergence,
        [*u, *z],
        _fenchel_defect,
        points(4, 8, (0.1, 4.0), (0.1, 4.0), (-2.0, 2.0), (-2.0, 2.0), (-2.0, 2.0)),
        "CrossEntropy.fenchel_defect, K = 3",
    )


def _fenchel_defect(u1: float, u2: float, *z: float) -> torch.Tensor:
    q = torch.tensor([[u1], [u2], [1.0]], dtype=torch.float64)
    U = q / q.sum() - torch.tensor([[0.0], [1.0], [0.0]], dtype=torch.float64)
    Z = torch.tensor(z, dtype=torch.float64).unsqueeze(-1)
    return CrossEntropy().fenchel_defect(U, Z, torch.tensor([1]))[0]


@evidence(LOW_DIMENSION, EvidenceKind.SYMBOLIC, domain="all K >= 2", steps=("rank",))
def rank_of_the_frame(proof: Proof) -> None:
    """The optimal logits aP have rank K-1, so factors with d = K-1 exist, and none with d = K-2.

    They are the only optimal ones, so with d = K-2 the value, which is attained, is larger.
    """
    P = IJ(sp.Integer(1), -1 / proof.term("size", K), K)
    proof.zero(P @ P - P, "P is a projector")
    proof.equal(P.trace, K - 1, "of rank K - 1")
