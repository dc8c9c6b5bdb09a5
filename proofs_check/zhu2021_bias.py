"""Evidence for Zhu et al. (2021): rigorous gaps of the ridge model with a bias."""

from __future__ import annotations

from typing import Any

import sympy as sp
import torch

from proofs_check._harness import evidence
from proofs_check._proof import Proof, points
from proofs_check.zhu2021 import K
from ufm import certify
from ufm.claims import EvidenceKind
from ufm.problem import ClassMeanDecay, PenalisedBias, Problem
from ufm.solution import Solution
from ufm.theory.zhu2021 import BIAS_GAP


lam_b = sp.Symbol("lambda_b", positive=True)


@evidence(
    BIAS_GAP,
    EvidenceKind.SYMBOLIC,
    domain="all K >= 2, class shares, ridges, lam_b > 0",
    steps=("pairing", "free", "penalised", "shares"),
)
def gap_with_bias(proof: Proof) -> None:
    """The logits are Z + b1'; Fenchel's inequality with its defect, summed over the columns.

    A free bias with Y1 != 0 would make the bound -oo; with Y1 = 0 it drops out.
    """
    Y, one = sp.MatrixSymbol("Y", K, K), sp.MatrixSymbol("one", K, 1)
    Z, b = sp.MatrixSymbol("Z", K, K), sp.MatrixSymbol("b", K, 1)
    shift = proof.term("shift", b * one.T, 2 * b * one.T)
    proof.zero(
        Y.T * (Z + shift) - Y.T * Z - (Y.T * b) * one.T,
        "trace: <Y, Z + b1'> = <Y, Z> + (Y1)'b; with a free bias Y1 = 0 and it is <Y, Z>",
    )
    pull, bias = sp.symbols("y b", real=True)  # an entry of Y1 and of b
    square = proof.term("square", pull**2 / (2 * lam_b))
    proof.equal(
        pull * bias + lam_b / 2 * bias**2 + square,
        (pull + lam_b * bias) ** 2 / (2 * lam_b),
        "an entry of (Y1)'b + lam_b |b|^2/2 is least at b = -Y1/lam_b: there -|Y1|^2/(2 lam_b)",
    )
    risk, entropy, YZ, Yb, nuclear, ridge, lost = sp.symbols("F Ent YZ Yb nu ridge lost", real=True)
    proof.equal(
        (risk + nuclear + ridge) - (entropy - lost),
        (risk - entropy - (YZ + Yb)) + (YZ + nuclear) + (Yb + ridge + lost),
        "the gap: summed divergence, <Y,Z> + lam |ZD^(1/2)|_*, and that square",
    )
    pi_j, pi_k, t, entry = sp.symbols("pi_j pi_k t y_jk")
    sums = sp.Symbol("total", positive=True)  # sum of the shares
    column = (sums - 1) * pi_k  # sum over j of (pi_j - delta_jk) pi_k
    row = pi_j * (sums - 1)
    proof.zero(column.subs(sums, 1), "Q_0 = pi 1': the columns of Y_0 = (Q_0 - I)Pi sum to zero")
    proof.zero(row.subs(sums, 1), "and Y_0 1 = pi - pi = 0: both constraints hold")
    mixed = (1 - t) * entry + t * (pi_j * pi_k)
    proof.equal(mixed.subs(t, 1), pi_j * pi_k, "blended far enough Q' is positive")
    share, other = sp.Symbol("pi_1", positive=True), sp.Symbol("pi_2", positive=True)
    rest: Any = {other: (1 - share) / (K - 1)}
    uniform = ((share - 1 / K) ** 2 + (K - 1) * (other - 1 / K) ** 2).subs(rest)
    proof.assume(share < 1)
    proof.tie(
        uniform / (2 * lam_b),
        [K, share, lam_b],
        _raw_gap_at_zero,
        points(78, 6, (2, 9), (0.5, 0.9), (0.25, 4.0)),
        "certify: the raw gap at zero under a strong ridge, where Y1 = 1/K - pi",
    )


def _raw_gap_at_zero(K: int, share: float, lam_b: float) -> torch.Tensor:
    weights = (share,) + ((1 - share) / (K - 1),) * (K - 1)
    problem = Problem(
        K=K, d=K, n=(1,) * K, weights=weights, reg=ClassMeanDecay(2.0, 2.0),
        bias=PenalisedBias(lam_b),
    )  # fmt: skip
    zero = torch.zeros(K, K, dtype=torch.float64)
    return certify(Solution.from_arrays(problem, zero, zero), engine="tensors").raw_gap
