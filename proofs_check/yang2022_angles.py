"""Proof of the two-angle state: per-vector budgets, learnable classifier, step imbalance.

Units: pi_B = 1, pi_A = R. Probabilities ``p_t, p_o, p_m`` of a majority sample are those of its own
class, another majority class and a minority class; a minority sample gives each majority class q
and each minority class ``q_o = (1 - K_A q)/K_B``.
"""

from __future__ import annotations

import math
from typing import Any

import sympy as sp
import torch

from proofs_check._blocks import IJ
from proofs_check._harness import evidence
from proofs_check._proof import Proof, points
from proofs_check.fang2021_collapse import K_A, K_B, R, gradient_block
from ufm import theory
from ufm.claims import EvidenceKind
from ufm.losses import CrossEntropy
from ufm.theory.yang2022 import TWO_ANGLE


# s = sqrt(E_W E_H)
s, E_H = sp.symbols("s E_H", positive=True)
E_W = s**2 / E_H
phi_w, phi_h = sp.symbols("phi_w phi_h", real=True)
p, q = sp.symbols("p_m q_m", positive=True)
# Half angles: cos = (t^2 - 1)/(t^2 + 1) <= 0 for t in [0, 1], both angles in [pi/2, pi].
t_w, t_h = sp.symbols("t_w t_h", positive=True)
SINES = (2 * t_w / (1 + t_w**2), 2 * t_h / (1 + t_h**2))
COSINES = ((t_w**2 - 1) / (1 + t_w**2), (t_h**2 - 1) / (1 + t_h**2))


def logits(sines: tuple[Any, Any], cosines: tuple[Any, Any]) -> tuple[tuple[Any, ...], ...]:
    """Logits of the two-angle state.

    Args:
        sines: Of the angles of majority rows and majority features to the minority direction.
        cosines: Of the same angles.

    Returns:
        Own class, another majority class, a minority class of a majority sample; own (or any
        minority) class and a majority class of a minority sample.
    """
    along, across = cosines[0] * cosines[1], sines[0] * sines[1]
    majority = (s * (along + across), s * (along - across / (K_A - 1)), s * cosines[1])
    return majority, (s, s * cosines[0])


def risk() -> Any:
    """Risk of the two-angle state as a function of the angles, times ``R K_A + K_B``.

    Returns:
        The expression.
    """
    own, other, minority = logits((sp.sin(phi_w), sp.sin(phi_h)), (sp.cos(phi_w), sp.cos(phi_h)))[0]
    loss_A = sp.log(1 + (K_A - 1) * sp.exp(other - own) + K_B * sp.exp(minority - own))
    loss_B = sp.log(K_B + K_A * sp.exp(s * (sp.cos(phi_w) - 1)))
    return R * K_A * loss_A + K_B * loss_B


@evidence(
    TWO_ANGLE,
    EvidenceKind.SYMBOLIC,
    domain="all K_A >= 2, K_B >= 1, E_W, E_H, R > 0; any merged state",
    steps=("two angles suffice",),
)
def merged_states_have_two_angles(proof: Proof) -> None:
    r"""Among all states with merged minority classes one with two angles is best.

    The problem is convex in the Gram matrix of rows and features, so its average over the
    permutations of the majority classes is as good: a Gram matrix that they leave alone. There
    :math:`w_k = m_w + x_k` and :math:`h_k = m_h + y_k` for the majority classes, the
    :math:`x_k, y_k` orthogonal to all else and summing to zero, with the Gram matrices
    :math:`|x|^2, |y|^2` and :math:`xy` times that of the simplex; the minority classes have one
    row :math:`w` and one feature :math:`h`. Put :math:`\delta = w - m_w`.
    """
    x, mean = sp.symbols("x mm", real=True)
    block = IJ(x * K_A / (K_A - 1), -x / proof.term("simplex", K_A - 1), K_A)
    proof.zero(block.row_sum, "the parts x_k, y_k sum to zero")
    proof.equal(block.a + block.b, x, "<w_k, h_k> = <m_w, m_h> + x; other rows: - x/(K_A - 1)")
    pull, turn = sp.symbols("delta_h delta_m", real=True)
    w_m = mean + turn  # <w, m_h> with turn = <delta, m_h>
    proof.equal((mean + x) - w_m, x - turn, "own minus minority logit: x - <delta, m_h>")
    between = block.b - (block.a + block.b)
    proof.equal(between, -x * K_A / (K_A - 1), "another majority class minus own")
    loss_A = sp.log(1 + (K_A - 1) * sp.exp(between) + K_B * sp.exp(turn - x))
    loss_B = sp.log(K_B + K_A * sp.exp(-pull))
    majority = sp.Symbol("j", nonnegative=True, integer=True) + 2
    loss_A = loss_A.subs(K_A, majority)
    proof.positive(
        sp.diff(loss_A, turn), "the majority's loss rises with <delta, m_h>, K_A = 2 + j"
    )
    proof.positive(-sp.diff(loss_A, x), "and falls with x")
    proof.positive(-sp.diff(loss_B, pull), "the minority's loss falls with <delta, h>")
    a, b = sp.symbols("a b", nonnegative=True)
    inner = sp.Symbol("c", real=True)  # <w, m_w>
    square = a**2 - 2 * inner + b**2
    proof.equal(
        (a + proof.term("lengths add", b)) ** 2 - square,
        2 * (a * b + inner),
        "|w - m_w|^2 <= (|w| + |m_w|)^2 with equality iff m_w = -(|m_w|/|w|) w (Cauchy-Schwarz); "
        "likewise <delta, h> <= |delta||h| and -<delta, m_h> <= |delta||m_h|, with equality iff "
        "h and -m_h have the direction of delta, and x <= |x||y|",
    )
    # The state where all of these are equalities: everything but x_k, y_k along one direction.
    own, other, minority = logits(SINES, COSINES)[0]
    length = sp.sqrt(E_W) * (1 - COSINES[0])  # |delta| = |w| + |m_w|
    along = sp.sqrt(E_H) * COSINES[1]  # m_h along the direction of delta, <= 0
    proof.equal(own - other, s * SINES[0] * SINES[1] * K_A / (K_A - 1), "there: K_A/(K_A-1) |x||y|")
    proof.equal(own - minority, s * SINES[0] * SINES[1] - length * along, "|x||y| + |delta||m_h|")
    z_B = logits(SINES, COSINES)[1]
    proof.equal(z_B[0] - z_B[1], length * sp.sqrt(E_H), "|delta||h|")
    for part in (SINES[0] ** 2 + COSINES[0] ** 2, SINES[1] ** 2 + COSINES[1] ** 2):
        proof.equal(part, 1, "all lengths only help, so both budgets are used: |x|^2 + |m|^2 = E")


def gradient_terms(sines: tuple[Any, Any], cosines: tuple[Any, Any], D: Any) -> tuple[Any, Any]:
    """Derivatives of the risk by the two angles, over ``s K_A`` and ``s R K_A``.

    Args:
        sines: Sines of the angles.
        cosines: Cosines of the angles.
        D: ``1 - p_t + p_o``, the majority contrast value over R.

    Returns:
        The two derivatives.
    """
    (s_w, s_h), (c_w, c_h) = sines, cosines
    by_w = -R * D * c_w * s_h + s_w * K_B * (R * p * c_h - q)
    by_h = -D * s_w * c_h - K_B * p * s_h * (1 - c_w)
    return by_w, by_h


@evidence(
    TWO_ANGLE,
    EvidenceKind.SYMBOLIC,
    domain="all K_A >= 2, K_B >= 2, E_W, E_H; at the optimum over the two angles",
    steps=("alpha", "beta", "contrast", "other blocks"),
)
def two_angle_criterion(proof: Proof) -> None:
    """The dual bound is attained by Q = softmax(Z) iff its matrix is feasible, block by block.

    The multipliers are those of `yang2022.vector-dual`, from each class's own row and column of
    -G; any multipliers of the convex problem at this state are these, so that the condition is
    necessary too. The blocks of B^(-1/2) G A^(-1/2), which must have norm at most 2, are the
    contrasts of the minority, those of the majority, and the two group directions.
    """
    c_w, c_h = COSINES
    q_o = (1 - proof.term("majority mass", K_A * q)) / K_B
    z_A, z_B = logits(SINES, COSINES)
    sample = (1 - K_B * q_o) * z_B[0] - K_A * q * z_B[1]
    proof.equal(sample, K_A * q * s * (1 - c_w), "-(W'G)_k.h_k for a minority column")
    row = (1 - K_B * q_o) * s - K_A * R * p * z_A[2]
    proof.equal(row, K_A * s * (q - R * p * c_h), "-(GH')_k.w_k for a minority row")
    alpha_B, beta_B = sample / (2 * E_H), row / (2 * E_W)
    proof.equal(
        4 * alpha_B * beta_B,
        K_A**2 * q * (1 - c_w) * (q - R * p * c_h),
        "minority contrasts: the value pi_B = 1 of -G is at most 2 sqrt(alpha beta) iff this is "
        "at least 1",
    )
    _derivatives(proof)
    _majority_blocks(proof, (alpha_B, beta_B))
    _merged_majority(proof)
    _tie_risk(proof)


def _derivatives(proof: Proof) -> None:
    u, v = sp.symbols("u v", real=True)  # logits of another majority and of a minority class - own
    odds = 1 + (K_A - 1) * sp.exp(u) + K_B * sp.exp(v)
    proof.equal(sp.diff(sp.log(odds), u), (K_A - 1) * sp.exp(u) / odds, "loss by u: (K_A - 1) p_o")
    proof.equal(sp.diff(sp.log(odds), v), K_B * sp.exp(v) / odds, "loss by v: K_B p_m")
    y = sp.Symbol("y", real=True)  # logit of a majority class minus own, for a minority sample
    odds_B = K_B + K_A * sp.exp(y)
    proof.equal(sp.diff(sp.log(odds_B), y), K_A * sp.exp(y) / odds_B, "by y: K_A q_m")
    trig = (sp.sin(phi_w), sp.sin(phi_h)), (sp.cos(phi_w), sp.cos(phi_h))
    (own, other, minority), (z_B, z_y) = logits(*trig)
    p_o = sp.Symbol("p_o", positive=True)
    D = K_A * p_o + K_B * p  # 1 - p_t + p_o
    formulas = gradient_terms(*trig, D)
    for angle, scale, formula in ((phi_w, s * K_A, formulas[0]), (phi_h, s * R * K_A, formulas[1])):
        derivative = R * K_A * (K_A - 1) * p_o * sp.diff(other - own, angle)
        derivative += R * K_A * K_B * p * sp.diff(minority - own, angle)
        derivative += K_B * K_A * q * sp.diff(z_y - z_B, angle)
        proof.equal(derivative, scale * formula, f"derivative of the risk by {angle}")


def _majority_blocks(proof: Proof, minority: tuple[Any, Any]) -> None:
    (s_w, s_h), (c_w, c_h) = SINES, COSINES
    alpha_B, beta_B = minority
    # Both derivatives vanish: D and q in terms of p and the angles.
    D = K_B * p * s_h * (1 - c_w) / (-s_w * c_h)
    free = R * p * c_h - R * D * c_w * s_h / (s_w * K_B)
    for formula in gradient_terms(SINES, COSINES, D):
        proof.zero(formula.subs(q, free), "stationary in both angles")
    # p_t - p_o and the total are known: 1 - p_t - (K_A-1) p_o = K_B p_m.
    p_o = (D - proof.term("minority mass", K_B * p)) / K_A
    p_t = 1 + p_o - D
    z_A, z_B = logits(SINES, COSINES)
    column = R * ((1 - p_t) * z_A[0] - (K_A - 1) * p_o * z_A[1] - K_B * p * z_A[2])
    row = R * ((1 - p_t) * z_A[0] - (K_A - 1) * p_o * z_A[1]) - K_B * q * z_B[1]
    proof.equal(column, R * s * D * s_w / s_h, "-(W'G)_k.h_k for a majority column")
    proof.equal(row.subs(q, free), R * s * D * s_h / s_w, "-(GH')_k.w_k for a majority row")
    alpha_A, beta_A = column / (2 * E_H), row / (2 * E_W)
    proof.equal(
        (4 * alpha_A * beta_A).subs(q, free),
        R**2 * D**2,
        "majority contrasts: the value pi_A (1 - p_t + p_o) equals 2 sqrt(alpha beta)",
    )
    q_o = (1 - K_A * q) / K_B
    G: Any = gradient_block(R, sp.Integer(1), (p_t, p_o, p), (q_o, q_o, q)).quotient
    proof.zero(G.det(), "the 2 x 2 block of the group directions has rank one")
    rows = (beta_A, beta_B)
    columns = (alpha_A, alpha_B)
    weights: Any = [[sp.factor((1 / (x * y)).subs(q, free)) for y in columns] for x in rows]
    sizes = (K_A, K_B)
    squares = sum(
        sp.factor((G[i, j] ** 2 * sizes[i] / sizes[j]).subs(q, free)) * weights[i][j]
        for i in range(2)
        for j in range(2)
    )
    proof.equal(sp.cancel(squares), 4, "and its one singular value is 2")


def _merged_majority(proof: Proof) -> None:
    # The other stationary state: both angles pi, so that p_t = p_o. One angle alone at pi, or a
    # right angle, is not stationary.
    (s_w, s_h), (c_w, c_h) = SINES, COSINES
    D = sp.Symbol("D", positive=True)
    back = -sp.Symbol("c", nonnegative=True)
    at_w, at_h = (
        gradient_terms((0, s_h), (-1, c_h), D)[0],
        gradient_terms((s_w, 0), (c_w, -1), D)[1],
    )
    proof.positive(at_w, "phi_w = pi alone: turning back lowers the risk")
    proof.positive(at_h, "phi_h = pi alone: likewise")
    right_w, right_h = (
        gradient_terms((1, s_h), (0, back), D)[0],
        gradient_terms((s_w, 1), (back, 0), D)[1],
    )
    proof.positive(-right_w, "phi_w = pi/2: turning on lowers it")
    proof.positive(-right_h, "phi_h = pi/2: likewise")
    odds = K_A + K_B * sp.exp(2 * s)
    p_edge, q_edge = 1 / (K_B + K_A * sp.exp(2 * s)), 1 / odds
    turn = {phi_w: sp.pi, phi_h: sp.pi}
    hessian = sp.hessian(risk(), (phi_w, phi_h)).subs(turn) / (s * K_A)
    first, second = K_B * (R * p_edge + q_edge), 2 * R * K_B * p_edge
    cross = proof.term("cross derivative", -R)
    proof.equal(
        hessian, sp.Matrix([[first, cross], [cross, second]]), "second derivatives at (pi, pi)"
    )
    alpha = 2 * R * s * K_B * p / (2 * E_H)
    beta = s * K_B * (R * p + q) / (2 * E_W)
    proof.equal(
        4 * alpha * beta - R**2,
        K_B * (R * p + q) * 2 * R * K_B * p - R**2,
        "a minimum there has 4 alpha beta >= pi_A^2, the condition of the majority contrasts",
    )


def _tie_risk(proof: Proof) -> None:
    angle = (1.6, 3.1)
    proof.assume(*(x >= sp.pi / 2 for x in (phi_w, phi_h)), *(x <= sp.pi for x in (phi_w, phi_h)))
    proof.tie(
        risk(),
        [K_A, K_B, R, s, phi_w, phi_h],
        _risk_of_the_geometry,
        points(12, 6, (2, 6), (2, 6), (1.0, 40.0), (0.5, 2.0), angle, angle),
        "theory.two_angle_pair and CrossEntropy: (R K_A + K_B) times the risk",
    )


def _risk_of_the_geometry(
    A: int, B: int, ratio: float, s: float, phi_w: float, phi_h: float
) -> float:
    W, H = ((math.cos(x), math.sin(x)) for x in (phi_w, phi_h))
    geometry = theory.two_angle_pair(A, B, E_W=2 * s, E_H=s / 2, W=W, H=H)
    losses = CrossEntropy().value(geometry.Z, torch.arange(A + B))
    return float(ratio * losses[:A].sum() + losses[A:].sum())
