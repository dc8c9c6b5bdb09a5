"""Evidence for Papyan, Han and Donoho (2020): frames and decision rules."""

from __future__ import annotations

import sympy as sp

from proofs_check._blocks import IJ
from proofs_check._harness import evidence
from proofs_check._proof import Proof, points
from ufm.claims import EvidenceKind
from ufm.geometry import etf
from ufm.theory.papyan2020 import ETF_GRAM, NC4_EQUIVALENCE, WELCH


K = sp.Symbol("K", positive=True, integer=True)


@evidence(
    ETF_GRAM,
    EvidenceKind.SYMBOLIC,
    domain="all K >= 2",
    steps=("gram", "sum", "rank", "tight"),
)
def gram_identity(proof: Proof) -> None:
    """M = sqrt(K/(K-1)) (I - J/K) U' with U'U = I; all products are in the algebra of I and J."""
    scale = proof.term("scale", K / (K - 1))
    P = IJ(sp.Integer(1), proof.term("centring", -1 / K), K)
    proof.zero(P @ P - P, "I - J/K is a projector")
    gram = P * scale
    proof.equal(gram.a + gram.b, 1, "rows are unit vectors")
    proof.equal(gram.b, -1 / (K - 1), "pairwise inner products")
    proof.zero(gram.row_sum, "|sum of the rows|^2 / K = 0, so the rows sum to zero")
    proof.equal(P.trace, K - 1, "rank of the projector is its trace")
    proof.zero(gram @ gram - gram * scale, "gram^2 = K/(K-1) gram, so the frame is tight")
    proof.tie(
        gram.b, [K], lambda k: (etf(k, k) @ etf(k, k).T)[0, 1], points(1, 5, (2, 40)), "etf(K, K)"
    )


@evidence(
    WELCH,
    EvidenceKind.SYMBOLIC,
    domain="all K >= 2, all d",
    steps=("mean cosine", "equality", "Welch"),
)
def simplex_bound(proof: Proof) -> None:
    """|sum u_k|^2 = K + K(K-1) mean cosine >= 0, and the largest cosine is at least the mean."""
    cosine, d = sp.Symbol("c", real=True), sp.Symbol("d", positive=True)
    square = K + proof.term("pairs", K * (K - 1)) * cosine
    bound = sp.solve(square, cosine)[0]
    proof.equal(bound, -1 / (K - 1), "the mean cosine is least where the sum vanishes")
    proof.equal(sp.diff(square, cosine), K * (K - 1), "and the sum's square increases in it")
    gram = IJ(1 - bound, bound, K)
    proof.zero(
        gram - IJ(sp.Integer(1), -1 / K, K) * (K / (K - 1)),
        "equality for all pairs is the Gram matrix of the simplex ETF",
    )
    welch = sp.sqrt((K - d) / (d * (K - 1))).subs(d, K - 1)
    proof.equal(welch**2, bound**2, "the Welch bound at d = K - 1")


@evidence(
    NC4_EQUIVALENCE,
    EvidenceKind.SYMBOLIC,
    domain="all K >= 2, all d; inner products as symbols",
    steps=("distance difference",),
)
def nearest_mean_rule(proof: Proof) -> None:
    """With u = x - mu_G, m_k the centred mean: |u - m_k|^2 - |u - m_j|^2 is linear in u."""
    uu, norm2 = sp.symbols("uu r2", positive=True)
    um_k, um_j, c = (
        sp.Symbol("um_k", real=True),
        sp.Symbol("um_j", real=True),
        sp.Symbol("c", positive=True),
    )
    distance_k = uu - 2 * um_k + norm2
    distance_j = uu - 2 * um_j + proof.term("norm", norm2)
    logit_k, logit_j = proof.term("scale", c) * um_k, proof.term("scale", c) * um_j
    proof.equal(
        distance_k - distance_j,
        -2 / c * (logit_k - logit_j),
        "the nearest mean has the largest logit (Wx + b)_k = c <m_k, x - mu_G>",
    )
