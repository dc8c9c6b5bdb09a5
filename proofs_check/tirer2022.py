"""Evidence for squared error with ridges: orthogonal frames, simplex ETFs, and between them."""

from __future__ import annotations

import math
from collections.abc import Callable

import sympy as sp

from proofs_check._blocks import IJ
from proofs_check._harness import evidence
from proofs_check._proof import Proof, points
from proofs_check.zhu2021 import K, lam_H, lam_W
from ufm.claims import Claim, EvidenceKind
from ufm.losses import SquaredError
from ufm.problem import Bias, ClassMeanDecay, FreeBias, PenalisedBias, Problem, WeightDecay
from ufm.solvers.balanced import mse_bias_split, mse_ridge_logits
from ufm.theory.tirer2022 import BIAS_TRANSITION, FREE_BIAS_ETF, ORTHOGONAL


lam = sp.sqrt(lam_W * lam_H)
D, pi, c, lam_b = sp.symbols("D pi c lambda_b", positive=True)
P = IJ(1, -1 / K, K)


@evidence(
    ORTHOGONAL,
    EvidenceKind.SYMBOLIC,
    domain="all K, n_k, class shares, lam_W, lam_H > 0, ridge per sample or per class mean, d >= K",
    steps=("subgradient", "lost classes", "unique", "norms", "value"),
)
def diagonal_optimum(proof: Proof) -> None:
    """Sum_k pi_k |z_k - e_k|^2/2 + lam |Z D^(1/2)|_* is convex; G = (Z - I) Pi at diagonal Z.

    Z D^(1/2) is diagonal and non-negative: a diagonal matrix is lam times a subgradient of the
    nuclear norm there iff its entries are lam on the classes that survive and in [-lam, lam] on
    the others. So -G D^(-1/2) has to be one.
    """
    t = proof.term("t", lam * sp.sqrt(D) / pi)
    z = 1 - t
    proof.equal(pi * (1 - z) / sp.sqrt(D), lam, "survivors, t_k < 1: z_k = 1 - t_k")
    proof.equal(pi / sp.sqrt(D), lam / t, "lost classes, z_k = 0: at most lam iff t_k >= 1")
    n, N = sp.symbols("n N", positive=True)
    proof.equal(
        (t**2).subs({D: n, pi: n / N}), N**2 * lam**2 / n, "per sample: iff n <= N^2 lam_W lam_H"
    )
    entry, target = sp.symbols("z_jk delta_jk", real=True)
    proof.equal(
        sp.diff(pi * (entry - target) ** 2 / 2, entry, 2),
        proof.term("curvature", pi),
        "every entry is strictly convex: the optimal logits are unique, and with them the Gram "
        "matrices of minimal factors (two-factor); features of a class coincide (class means)",
    )
    norm_w = sp.sqrt(lam_H / lam_W) * sp.sqrt(D) * z
    norm_h = sp.sqrt(lam_W / lam_H) * z / sp.sqrt(D)
    proof.equal(norm_w * norm_h, z**2, "|w_k|^2 |h_k|^2 = z_k^2")
    proof.equal(lam_W * norm_w, lam_H * D * norm_h, "balanced")
    proof.equal(
        pi / 2 * (1 - z) ** 2 + lam * sp.sqrt(D) * z, pi / 2 * (1 - z**2), "value of a class"
    )
    size = sp.Symbol("D", positive=True, integer=True)
    proof.assume(lam_W < sp.Rational(1, 10), lam_H < sp.Rational(1, 10))
    proof.tie(
        z.subs(D, size),
        [pi, size, lam_W, lam_H],
        lambda share, n, W, H: mse_ridge_logits((share,), (n,), (W * H) ** 0.5)[0],
        points(71, 6, (0.5, 0.9), (1, 9), (0.001, 0.05), (0.001, 0.05)),
        "solvers.balanced.mse_ridge_logits, a class that survives",
    )
    proof.tie(
        (1 - z**2) / 2 * pi + (1 - z.subs(pi, 1 - pi) ** 2) / 2 * (1 - pi),
        [pi, D, lam_W, lam_H],
        _two_classes,
        points(72, 6, (0.25, 0.75), (1, 1), (0.001, 0.05), (0.001, 0.05)),
        "ORTHOGONAL.predict(...).value, two classes, per class mean",
    )


def _two_classes(share: float, _: int, W: float, H: float) -> float:
    problem = Problem(
        K=2, d=2, n=(1, 1), loss=SquaredError(), reg=ClassMeanDecay(W, H),
        weights=(share, 1 - share),
    )  # fmt: skip
    value = ORTHOGONAL.predict(problem).value
    return math.nan if value is None else value


def _predicted(claim: Claim, bias: Callable[[float], Bias]) -> Callable[..., float]:
    def value(size: int, n: int, share: float, lam_b: float) -> float:
        strength = share / (size * n**0.5)
        problem = Problem(
            K=size, d=size, n=(n,) * size, loss=SquaredError(), bias=bias(lam_b),
            reg=WeightDecay(strength * 2, strength / 2),
        )  # fmt: skip
        found = claim.predict(problem).value
        return math.nan if found is None else found

    return value


def _part_of_the_contrasts(proof: Proof) -> IJ:
    # With lam sqrt(D) = c/K and Z = (1-c)P + ... the contrasts of -G D^(-1/2) are those of
    # (P - Z)/(K sqrt(D)).
    residual = (P - P * (1 - c)) * (1 / (K * sp.sqrt(D)))
    strength = proof.term("strength", c / (K * sp.sqrt(D)))  # lam
    proof.zero(residual - P * strength, "on zero-sum vectors, c < 1: lam, as Z is positive there")
    proof.equal(
        1 / (K * sp.sqrt(D)), strength / c, "c >= 1, Z = 0 there: at most lam, as it has to be"
    )
    return residual


@evidence(
    FREE_BIAS_ETF,
    EvidenceKind.SYMBOLIC,
    domain="all K >= 2, n, lam_W, lam_H > 0, ridge per sample or per class mean, d >= K-1",
    steps=("best bias", "subgradient", "unique", "value"),
)
def free_bias_optimum(proof: Proof) -> None:
    """|Z + b1' - I|^2/(2K) is least at b = (I - Z)1/K, where |(I - Z)P|^2/(2K) is left of it.

    What Z has outside of P on the right costs nuclear norm and does not enter: it is zero.
    """
    one = IJ(1, 0, K)
    Z = P * (1 - c)
    proof.equal((one - Z).row_sum / K, proof.term("bias", 1 / K), "b = 1/K for every c")
    proof.zero((one - Z) - IJ(0, 1, K) * (1 / K) - (one - Z) @ P, "I - Z - b1' = (I - Z)P")
    proof.zero(P @ P - P, "P is a projector: ZZ' - (ZP)(ZP)' = Z(I-P)Z' >= 0, so |ZP|_* < |Z|_* "
                          "unless Z = ZP; on those the risk is strictly convex")  # fmt: skip
    _part_of_the_contrasts(proof)
    risk = (P * c @ (P * c)).trace / (2 * K)
    nuclear = c / K * (K - 1) * (1 - c)
    value = (K - 1) / (2 * K) * (1 - (1 - c) ** 2)
    proof.equal(risk + nuclear, value, "risk and nuclear norm at the optimum")
    n = sp.Symbol("n", positive=True, integer=True)
    proof.assume(c < 1)
    proof.tie(
        value,
        [K, n, c, lam_b],
        _predicted(FREE_BIAS_ETF, lambda _: FreeBias()),
        points(73, 6, (2, 9), (1, 9), (0.1, 0.9), (1, 1)),
        "FREE_BIAS_ETF.predict(...).value",
    )


@evidence(
    BIAS_TRANSITION,
    EvidenceKind.SYMBOLIC,
    domain="all K >= 2, n, lam_W, lam_H, lam_b > 0, ridge per sample or per class mean, d >= K",
    steps=("best bias", "subgradient", "unique", "value", "ends"),
)
def penalised_bias_optimum(proof: Proof) -> None:
    """Z = (1-c)P + sJ/K and b = beta 1/K leave cP on the contrasts and s + beta - 1 along 1."""
    s, beta = sp.symbols("s beta", real=True)
    along = (s + beta - 1) ** 2 / (2 * K) + lam_b * beta**2 / (2 * K)
    best = proof.term("bias", (1 - s) / (1 + lam_b))
    proof.zero(sp.diff(along, beta).subs(beta, best), "beta = K b = (1 - s)/(1 + lam_b)")
    left = sp.factor(along.subs(beta, best))
    proof.equal(left, lam_b / (1 + lam_b) * (1 - s) ** 2 / (2 * K), "what the bias leaves")
    _part_of_the_contrasts(proof)
    pull = -sp.diff(left, s)
    inner = proof.term("s", 1 - c * (1 + lam_b) / lam_b)
    proof.equal(pull.subs(s, inner), c / K, "along 1, s > 0: lam sqrt(D) = c/K")
    proof.equal(
        c / K - pull.subs(s, 0),
        -lam_b / (K * (1 + lam_b)) * inner,
        "s = 0: the pull is at most lam sqrt(D) iff the formula gives no positive s",
    )
    proof.equal(sp.diff(left, s, 2), lam_b / (K * (1 + lam_b)), "strictly convex for lam_b > 0")
    edge = c / (1 - c)
    proof.zero(inner.subs(lam_b, edge), "s sets in at lam_b = c/(1-c): up to there an ETF")
    proof.limit(inner, lam_b, sp.oo, 1 - c, "and tends to 1 - c: W Hbar -> (1-c) I")
    value = (K - 1) / (2 * K) * (1 - (1 - c) ** 2) + left + c / K * s
    n, more = sp.Symbol("n", positive=True, integer=True), sp.Symbol("more", positive=True)
    proof.assume(c < 1)
    beyond = {lam_b: edge * (1 + more)}
    proof.tie(
        inner.subs(beyond),
        [c, more],
        lambda x, y: mse_bias_split(x, x / (1 - x) * (1 + y))[0],
        points(74, 6, (0.1, 0.9), (0.25, 4.0)),
        "solvers.balanced.mse_bias_split beyond the transition",
    )
    proof.tie(
        value.subs(s, inner).subs(beyond),
        [K, n, c, more],
        lambda size, m, x, y: _predicted(BIAS_TRANSITION, PenalisedBias)(
            size, m, x, x / (1 - x) * (1 + y)
        ),
        points(75, 6, (2, 9), (1, 9), (0.1, 0.9), (0.25, 4.0)),
        "BIAS_TRANSITION.predict(...).value beyond the transition",
    )
