"""Evidence for Yaras et al. (2022): spheres and balls are inside of the average budgets."""

from __future__ import annotations

import math

import sympy as sp

from proofs_check._blocks import IJ
from proofs_check._harness import evidence
from proofs_check._proof import Proof, points
from proofs_check.zhu2021 import K, symmetric_loss
from ufm.claims import EvidenceKind
from ufm.problem import Problem, Sphere
from ufm.theory.yaras2022 import BALANCED_SPHERES


E_W, E_H = sp.symbols("E_W E_H", positive=True)


@evidence(
    BALANCED_SPHERES,
    EvidenceKind.SYMBOLIC,
    domain="all K >= 2, all n, E_W, E_H, d >= K-1",
    steps=("average budgets", "attained"),
)
def spheres_inside_budgets(proof: Proof) -> None:
    """Every feasible point satisfies the average budgets; their minimisers have equal norms."""
    short = sp.Symbol("short", nonnegative=True)
    mean = K * (E_W - proof.term("shortfall", short)) / K
    proof.equal(E_W - mean, short, "norms of at most E_W have a mean of at most E_W; likewise E_H")
    s = sp.sqrt(E_W * E_H)
    gram = IJ(K / (K - 1), -1 / (K - 1), K) * proof.term("scale", E_W)
    proof.equal(gram.a + gram.b, E_W, "every row of the optimal ETF is on its sphere")
    gram_H = IJ(K / (K - 1), -1 / (K - 1), K) * E_H
    proof.equal(gram_H.a + gram_H.b, E_H, "every feature too: the optima are the same")
    proof.tie(
        symmetric_loss(K * s / (K - 1)),
        [K, E_W, E_H],
        _value,
        points(76, 6, (2, 20), (0.1, 4.0), (0.1, 4.0)),
        "BALANCED_SPHERES.predict(...).value",
    )


def _value(size: int, E_W: float, E_H: float) -> float:
    problem = Problem(K=size, d=size, n=(1,) * size, reg=Sphere(E_W, E_H))
    value = BALANCED_SPHERES.predict(problem).value
    return math.nan if value is None else value
