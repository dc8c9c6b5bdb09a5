"""The refined gap is of second order in the distance of the factors to an optimum."""

from __future__ import annotations

from typing import Any

import sympy as sp

from proofs_check._harness import evidence
from proofs_check._proof import Proof
from proofs_check.zhu2021 import K
from ufm.claims import EvidenceKind
from ufm.theory.fang2021 import REFINED_GAP
from ufm.theory.zhu2021 import REFINED_RIDGE_GAP


mu = sp.Symbol("mu", positive=True)
r = sp.Symbol("r", positive=True, integer=True)


@evidence(
    REFINED_RIDGE_GAP,
    EvidenceKind.SYMBOLIC,
    domain="all K, class shares, D = diag(D_k) > 0, ridges, d >= K-1; near an optimum of rank r, "
    "the trial rank r",
    steps=("factor defect", "bracket", "divergence", "dual matrix"),
)
@evidence(
    REFINED_GAP,
    EvidenceKind.SYMBOLIC,
    domain="all K, class shares, E_W, E_H, p >= K-1; points with both budgets used, near an "
    "optimum of rank r; the trial rank r; raw gap: K = 3, balanced",
    steps=("factor defect", "bracket", "divergence", "dual matrix", "raw gap"),
)
def second_order_gap(proof: Proof) -> None:
    r"""With E_W = E_H after scaling, W = W* + A and H = H* + B, |A| + |B| = epsilon.

    W* = U D, H* = D V' with D = S^(1/2) the balanced optimal factors of rank r, T = UV'. Then
    :math:`\psi = \tfrac12|W|^2 + \tfrac12|H|^2 - \langle T, WH\rangle = \tau - \langle T, Z\rangle`
    has no term of first order. It bounds what the trial matrix
    :math:`Y = -\mu U_rV_r^\top + R`, :math:`|R|_{op} \le \mu`, loses: the sum of the r largest
    singular values of Z is at least :math:`\langle T, Z\rangle` (Ky Fan), and that of all is at
    most :math:`|W||H| = \tau`. The columns of Y are centred, since those of G are and
    :math:`1^\top U_r = 0` for a centred Z, so Q' is column-stochastic once it is non-negative,
    as it is near Q* > 0.

    For ridges read ``H D^(1/2)`` for H, ``Z D^(1/2)`` for Z, ``Y D^(-1/2)`` for Y, lam for mu and
    :math:`\tfrac12|W|^2+\tfrac12|H|^2` for tau, which is then lam^(-1) times the two ridges: the
    same steps, and no budget that would have to be used.
    """
    _factor_defect(proof)
    _bracket(proof)
    _divergence(proof)
    _dual_matrix(proof)
    _raw_gap(proof)


def _factor_defect(proof: Proof) -> None:
    U, V = sp.MatrixSymbol("U", K, r), sp.MatrixSymbol("V", K, r)
    D, one = sp.MatrixSymbol("D", r, r), sp.Identity(r)
    T = proof.term("polar factor", U * V.T, 2 * U * V.T)
    proof.zero(
        (U * D - T * V * D) - U * (one - V.T * V) * D,
        "<W*, A> - <T, A H*> = tr A'(W* - T H*') = 0, since V'V = I: nothing linear in A",
    )
    proof.zero(
        (D * V.T - D * U.T * T) - D * (one - U.T * U) * V.T,
        "<H*, B> - <T, W* B> = tr (H* - W*'T)'B = 0: nothing linear in B",
    )
    square = sp.Symbol("tr_S", positive=True)
    proof.zero(square / 2 + square / 2 - square, "|W*|^2/2 + |H*|^2/2 - <T, Z*> = 0")
    a, b = sp.symbols("A B", nonnegative=True)
    left = proof.term("defect", a**2 / 2 + b**2 / 2 + a * b)
    proof.equal(left, (a + b) ** 2 / 2, "psi = |A|^2/2 + |B|^2/2 - <T, AB> <= epsilon^2/2")


def _bracket(proof: Proof) -> None:
    psi = sp.Symbol("psi", nonnegative=True)
    first, second, third = sp.symbols("e_1 e_2 e_3", nonnegative=True)
    short, rest = psi - first, psi - second  # tau - N_r and N - N_r, both at most psi
    outside = proof.term("clip", mu) * rest - third  # <R, Z> <= |R|_op (N - N_r)
    bracket = mu * short + outside  # <Y, Z> + tau |Y|_op, with |Y|_op = mu
    proof.positive(
        sp.expand(2 * mu * psi - bracket),
        "<Y,Z> + tau |Y|_op = mu (tau - N_r) + <R, Z> <= 2 mu psi <= mu epsilon^2",
        strict=False,
    )


def _divergence(proof: Proof) -> None:
    new, old, e = sp.symbols("q' q e", positive=True)
    x = sp.Symbol("x", positive=True)
    above = x - 1 - sp.log(x)
    proof.zero(above.subs(x, 1), "log x = x - 1 at 1")
    slope: Any = sp.diff(above, x)
    proof.positive(slope.subs(x, 1 + e), "and below it after")
    proof.positive(-slope.subs(x, 1 / (1 + e)), "and before: log x <= x - 1")
    square = proof.term("chi square", (new - old) ** 2 / old)
    proof.equal(
        new * (new / old - 1),
        square + (new - old),
        "KL(q'|q) <= sum q'(q'/q - 1) = sum (q' - q)^2/q, as both sum to one; so the summed "
        "divergence is at most |Y - G|^2/(min pi min q)",
    )


def _dual_matrix(proof: Proof) -> None:
    U, V = sp.MatrixSymbol("U", K, r), sp.MatrixSymbol("V", K, r)
    M, one = sp.MatrixSymbol("M", K, K), sp.Identity(K)
    G = -proof.term("multiplier", mu) * U * V.T + M
    left, right = one - U * U.T, one - V * V.T
    # What vanishes by U'U = I, U'M = 0 and MV = 0.
    gone = -U * (U.T * M) - (M * V) * V.T + U * (U.T * M) * V * V.T
    gone = gone + mu * U * (U.T * U - sp.Identity(r)) * V.T * right
    proof.zero(
        left * G * right - M - gone,
        "at the optimum G = -mu UV' + M with MV = 0, U'M = 0, |M|_op <= mu: the clip leaves M, and "
        "Y = G. U_r V_r' is Lipschitz near there (singular gap), the clip is a projection on a "
        "convex set and mu = -<G,Z>/|Z|_* a quotient: |Y - G| = O(epsilon)",
    )


def _raw_gap(proof: Proof) -> None:
    # K = 3, balanced, Z = a P + epsilon X: the nuclear norm stays 2a, X has trace zero.
    a, e = sp.Symbol("a", positive=True), sp.Symbol("epsilon", real=True)
    u = (sp.Matrix([1, -1, 0]) / sp.sqrt(2), sp.Matrix([1, 1, -2]) / sp.sqrt(6))
    first, second = u[0] * u[0].T, u[1] * u[1].T
    Z = (a + e) * first + (a - proof.term("tangent", e)) * second
    weights = Z.applyfunc(sp.exp)
    Q = sp.Matrix(3, 3, lambda i, j: weights[i, j] / sum(weights[:, j]))
    slope = ((Q - sp.eye(3)) / 3).diff(e).subs(e, 0)
    slope = slope.applyfunc(lambda x: sp.cancel(sp.powsimp(sp.expand(x)).subs(sp.exp(a), K)))
    top, low = ((x.T * slope * x)[0] for x in u)
    proof.zero(sp.simplify(top + low), "to first order <G, Z> stays, by trace zero")
    proof.positive(
        sp.factor(sp.simplify(top)),
        "but |G|_op moves by this much of epsilon (K stands for e^a): a first-order raw gap",
    )
