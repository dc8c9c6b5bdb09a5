"""Evidence for Hong and Ling (2024): merging and vanishing under ridges."""

from __future__ import annotations

import sympy as sp

from proofs_check._harness import evidence
from proofs_check._proof import Proof, points
from proofs_check.fang2021_collapse import K_A, K_B, K, gradient_block, mixed_value
from ufm import solvers
from ufm.claims import Claim, EvidenceKind
from ufm.problem import ClassMeanDecay, Problem, WeightDecay
from ufm.theory.hong2024 import MEAN_THRESHOLD, SAMPLE_THRESHOLD, TOTAL_COLLAPSE


@evidence(
    SAMPLE_THRESHOLD,
    EvidenceKind.SYMBOLIC,
    domain="all n_k, any profile around the group; no, free or penalised bias",
    steps=("contrast gradient", "strict"),
)
@evidence(
    MEAN_THRESHOLD,
    EvidenceKind.SYMBOLIC,
    domain="all n_k, any profile around the group; no, free or penalised bias",
    steps=("contrast gradient", "strict"),
)
def merging_thresholds(proof: Proof) -> None:
    """Contrasts x of the group (sum x = 0): merged means Qx = 0, so |G D^(-1/2) x| = pi_B/sqrt(D).

    Optimality needs that at most lam. Conversely told-apart classes have the singular value
    pi_B (1 - q_t + q_o)/sqrt(D) < pi_B/sqrt(D), and it equals lam.
    """
    share, D, n_B, N = sp.symbols("pi_B D n_B N", positive=True)
    q_t, q_o, gap = sp.symbols("q_t q_o e", positive=True)
    level = share * (1 - q_t + q_o) / proof.term("column weight", sp.sqrt(D))
    merged = level.subs(q_t, q_o)
    proof.equal(merged, share / sp.sqrt(D), "merged: pi_B/sqrt(D)")
    proof.equal(merged.subs({share: n_B / N, D: n_B}), sp.sqrt(n_B) / N, "per sample: sqrt(n_B)/N")
    proof.equal(merged.subs(D, 1), share, "per class mean: pi_B")
    proof.equal(
        merged - level.subs(q_t, q_o * sp.exp(gap)),
        share * q_o * (sp.exp(gap) - 1) / sp.sqrt(D),
        "told apart by a gap e > 0: less, since exp(e) > 1",
    )
    sizes = sp.symbols("n_B N", positive=True, integer=True)
    proof.assume(sizes[1] > 2 * sizes[0])
    proof.tie(
        sp.sqrt(sizes[0]) / sizes[1],
        list(sizes),
        lambda n, N: _predicted_threshold(SAMPLE_THRESHOLD, n, N),
        points(79, 5, (1, 20), (60, 200)),
        "SAMPLE_THRESHOLD.predict(...): two classes of n_B samples beside one",
    )
    proof.tie(
        sizes[0] / sizes[1],
        list(sizes),
        lambda n, N: _predicted_threshold(MEAN_THRESHOLD, n, N),
        points(80, 5, (1, 20), (60, 200)),
        "MEAN_THRESHOLD.predict(...), likewise",
    )


def _predicted_threshold(claim: Claim, n: int, N: int) -> float:
    reg = WeightDecay() if claim is SAMPLE_THRESHOLD else ClassMeanDecay()
    problem = Problem(K=3, d=3, n=(N - 2 * n, n, n), reg=reg)
    return next(iter(claim.predict(problem).numbers.values()))


@evidence(
    TOTAL_COLLAPSE,
    EvidenceKind.SYMBOLIC,
    domain="all profiles for the criterion; its value written out for step profiles, K_A >= 2",
    steps=("gradient at zero",),
)
def vanishing_strength(proof: Proof) -> None:
    """At zero every softmax is uniform, and the origin is critical: the spectral criterion."""
    x_A, x_B = sp.symbols("x_A x_B", positive=True)  # pi_k / sqrt(D_k)
    uniform = (proof.term("uniform", 1 / K),) * 3
    G = gradient_block(x_A, x_B, uniform, uniform)
    proof.zero(sp.Matrix(G.column_sums), "columns of -G D^(-1/2) are centred")
    proof.equal(G.a, x_A, "majority contrasts")
    proof.equal(G.e, x_B, "minority contrasts")
    proof.equal(
        mixed_value(G.c, G.d),
        (K_B * x_A**2 + K_A * x_B**2) / K,
        "the mixed direction lies between them, so the norm is the larger of x_A, x_B",
    )
    proof.assume(K_A >= 2)
    proof.tie(
        x_A,
        [K_A, K_B, x_A],
        lambda A, B, x: (
            solvers.ridge_vanishing([x / (A * x + B)] * A + [1 / (A * x + B)] * B, 1.0)
            * (A * x + B)
        ),
        points(11, 6, (2, 8), (2, 8), (1.0, 9.0)),
        "solvers.ridge_vanishing",
    )
