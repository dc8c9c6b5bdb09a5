"""Proof that the layer-peeled model has no spurious local minima for p >= K-1."""

from __future__ import annotations

import sympy as sp

from proofs_check._harness import evidence
from proofs_check._proof import Proof
from proofs_check.zhu2021 import K
from ufm.claims import EvidenceKind
from ufm.theory.fang2021 import LANDSCAPE


a, b, g = sp.symbols("a b g", positive=True)  # multipliers, |G|_op


@evidence(
    LANDSCAPE,
    EvidenceKind.SYMBOLIC,
    domain="all K, all p >= K-1, all class shares, E_W, E_H",
    steps=("balance", "two by two", "gap", "full rank", "no multipliers"),
)
def no_spurious_minima(proof: Proof) -> None:
    """Critical: GH' = -aW and W'G = -bH with a, b >= 0, so a|W|^2 = b|H|^2 = -<G,Z>.

    By complementarity a and b are both positive (and both budgets used) or both zero. If they are
    positive, W and H' have a common null direction v unless their rank is p = K-1, and the move
    W + alpha u v', H + beta v x' is tangent to both spheres.
    """
    d = sp.Symbol("p", positive=True, integer=True)
    W, H = sp.MatrixSymbol("W", K, d), sp.MatrixSymbol("H", d, K)
    G, ones = sp.MatrixSymbol("G", K, K), sp.MatrixSymbol("one", K, 1)
    in_W = G * H.T + proof.term("multiplier", a) * W
    in_H = W.T * G + b * H
    proof.zero(
        W.T * in_W - in_H * H.T - (a * W.T * W - b * H * H.T),
        "balance: W and H' have one rank and one null space",
    )
    proof.zero(ones.T * in_W - (ones.T * G) * H.T - a * ones.T * W, "1'G = 0: rank W <= K-1")
    alpha, beta = sp.symbols("alpha beta", real=True)
    change = a / 2 * alpha**2 + b / 2 * beta**2 - proof.term("coupling", g) * alpha * beta
    proof.equal(
        sp.hessian(change, (alpha, beta)).det(),
        a * b - g**2,
        "with a null direction: negative curvature of the Lagrangian iff |G|_op > sqrt(ab)",
    )
    norm_W, norm_H = sp.symbols("W H", positive=True)
    balanced = {norm_H: sp.sqrt(a / b) * norm_W}
    proof.zero(
        (-a * norm_W**2 + norm_W * norm_H * sp.sqrt(a * b)).subs(balanced),
        "else <G,Z> + tau |G|_op <= 0 with tau = |W||H|: the dual bound is attained, global",
    )
    proof.zero(
        G * in_H.T - b * in_W - (G * G.T * W - a * b * W),
        "rank W = K-1: GG' = ab on the zero-sum vectors, 0 on 1, so |G|_op = sqrt(ab): global",
    )
    _without_multipliers(proof)


def _without_multipliers(proof: Proof) -> None:
    # G = (Q - I)Pi with Q > 0 has rank K-1, so GH' = 0 and W'G = 0 give W = 1w' and H = v_0 y' with
    # Gy = 0. Moving by u v' and v x' with 1'u = 0 changes the logits by alpha u v'H and
    # alpha beta u x' but for a constant column, which the risk does not see, as it does not see
    # the rescaling of W and H into their budgets (the sign of v is chosen so that |H| does not
    # grow at first order).
    alpha, beta = sp.symbols("alpha beta", real=True)
    curvature = sp.Symbol("C", nonnegative=True)
    change = curvature * alpha**2 / 2 - proof.term("free coupling", g) * alpha * beta
    proof.equal(
        sp.hessian(change, (alpha, beta)).det(),
        -(g**2),
        "no multipliers: no curvature in beta, so the form is indefinite",
    )
    d = sp.Symbol("p", positive=True, integer=True)
    u, ones = sp.MatrixSymbol("u", K, 1), sp.MatrixSymbol("one", K, 1)
    w, v = sp.MatrixSymbol("w", d, 1), sp.MatrixSymbol("v", d, 1)
    C = sp.Identity(K) - ones * ones.T / K
    inner = w * ones.T * C * u  # W'u for W = 1w', u centred by C; <W, u v'> = v'W'u
    proof.zero(
        v.T * inner - v.T * w * (ones.T * u - (ones.T * ones) * ones.T * u / K),
        "<W, u v'> = (w.v)(1'u) = 0 for a centred u, since 1'1 = K",
    )
