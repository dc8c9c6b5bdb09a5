"""Evidence for Liang and Davis (2023): the frame in closed form, and the flat tree."""

from __future__ import annotations

from typing import Any

import sympy as sp
import torch

from proofs_check._blocks import IJ
from proofs_check._harness import evidence
from proofs_check._proof import Proof, points
from proofs_check._trees import indicator, nodes, similarities, solved, symbolic_tree
from proofs_check.zhu2021 import AT_LEAST_TWO, K
from ufm.claims import EvidenceKind
from ufm.geometry import Exponential, node_frame, smallest_s
from ufm.geometry.similarity import Table
from ufm.hierarchy import Tree
from ufm.theory.liang2023 import CLOSED_FRAME, FLAT_ETF


s = sp.Symbol("s", real=True)


@evidence(
    CLOSED_FRAME,
    EvidenceKind.SYMBOLIC,
    domain="all trees, all K, all s >= s*; written out on [[0, 1], 2] and [[0, 1], [2, 3]]",
    steps=("unit vector", "Gram", "rank at s*"),
)
def frame_in_closed_form(proof: Proof) -> None:
    """BB' = M, with S = M + a 11' and a = (1-s)f(d_max) + s; B p = 1/sqrt(mu)."""
    mu, a = sp.Symbol("mu", positive=True), sp.Symbol("a", real=True)
    proof.equal(mu / proof.term("norm of p", mu), 1, "|p|^2 = 1'M^-1 (BB') M^-1 1/mu = 1")
    sigma = proof.term("sigma", sp.sqrt(1 + a * mu))
    shortening = IJ(1, sigma - 1, 1)  # J = p p' is a projector
    square = shortening @ shortening
    proof.equal(square.a, 1, "coefficient of BB' = M in WW'")
    proof.equal(square.b / mu, a, "coefficient of 11' in WW': B p p' B' = 11'/mu")
    proof.zero(
        sigma.subs(a, -1 / mu), "at s* 1 + a mu = 0: W'(M^-1 1) = sqrt(mu) sigma p = 0, rank K-1"
    )
    f, scaled = sp.symbols("f m_M", positive=True)  # m_M = 1'M_1^-1 1 of M_1 = M/(1-s)
    at_s = (1 + ((1 - s) * f + s) * scaled / (1 - s)).subs(
        s, -1 / ((scaled / (1 + f * scaled)) - 1)
    )
    proof.zero(at_s, "s* of the determinant lemma is where 1 + a mu vanishes")
    for shape in ([[0, 1], 2], [[0, 1], [2, 3]]):
        _written_out(proof, shape, sigma, (a, mu))
    f_1, f_2 = sp.symbols("f_1 f_2", positive=True)
    proof.assume(f_1 < 1, f_2 <= f_1, s < 1)
    proof.tie(
        (1 - s) * f_1 + s,
        [f_1, f_2, s],
        _gram_of_a_pair,
        points(34, 6, (0.5, 0.9), (0.1, 0.4), (0.0625, 0.75)),
        "node_frame: the cosine of a pair",
    )


def _written_out(proof: Proof, shape: Any, sigma: Any, symbols: tuple[Any, Any]) -> None:
    root = symbolic_tree(shape)
    size = len(root.leaves)
    below = [v for v in nodes(root) if v is not root]
    B = sp.Matrix.hstack(*(sp.sqrt(v.drop) * indicator(v, size) for v in below))
    M = (B * B.T).applyfunc(sp.expand)
    weights = solved(M, sp.ones(size, 1))
    mu = sp.cancel(sum(weights.flat()))
    outer = sigma.subs(dict(zip(symbols, (root.drop, mu), strict=True))) ** 2 - 1
    # W W' = B (I + (sigma^2 - 1) p p') B', and p p' = B' w w' B / mu.
    image = (M * weights).applyfunc(sp.cancel)
    gram = M + outer / mu * image * image.T
    proof.equal(gram.applyfunc(sp.cancel), similarities(root), f"WW' = F on the tree {shape}")


def _gram_of_a_pair(f_1: float, f_2: float, s: float) -> torch.Tensor:
    W = node_frame(Tree.from_nested([[0, 1], 2]), Table((1.0, f_1, f_2)), s=s)
    return W[0] @ W[1]


@evidence(
    FLAT_ETF,
    EvidenceKind.SYMBOLIC,
    domain="all K >= 2, all 0 <= f < 1",
    steps=("magnitude", "cosine", "not at -1/(K-1)"),
)
def flat_tree(proof: Proof) -> None:
    """F = (1-f) I + f J."""
    f = sp.Symbol("f", nonnegative=True)
    F = IJ(1 - f, f, K)
    magnitude = proof.term("magnitude", K / (1 + (K - 1) * f))
    proof.equal(magnitude * F.row_sum, K, "F 1 = (1 + (K-1) f) 1, so m = K/(1 + (K-1) f)")
    bound = -1 / (magnitude - 1)
    proof.equal(
        (1 - bound) * f + bound, -1 / (K - 1), "the cosine at s* is that of the simplex ETF"
    )
    early = -1 / (K - 1)
    cosine = proof.term("cosine at -1/(K-1)", (1 - early) * f + early)
    excess = sp.factor(cosine - early)
    proof.equal(excess, K * f / (K - 1), "at s = -1/(K-1) the cosine is larger by K f/(K-1)")
    positive = sp.Symbol("f_0", positive=True)
    proof.positive(excess.subs(AT_LEAST_TWO).subs(f, positive), "strictly, at finite gamma")
    gamma = sp.Symbol("gamma", positive=True)
    proof.tie(
        bound.subs(f, sp.exp(-gamma)),
        [K, gamma],
        lambda size, g: smallest_s(Tree.from_nested(list(range(size))), Exponential(g)),
        points(35, 8, (3, 12), (0.25, 6.0)),
        "smallest_s of flat trees",
    )
