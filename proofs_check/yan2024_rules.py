"""Evidence for Yan et al. (2024): decision rules at hard samples, and numbers of centers."""

from __future__ import annotations

import sympy as sp
import torch

from proofs_check._blocks import IJ
from proofs_check._harness import evidence
from proofs_check._proof import Proof, points
from proofs_check.yan2024 import cos, cos_alpha, f, g, sin, theta
from proofs_check.yan2024_losses import FREE
from ufm._typing import Tensor
from ufm.claims import EvidenceKind
from ufm.geometry import multicenter_frame
from ufm.geometry.specs import MultiCenter
from ufm.heads import class_scores
from ufm.theory.yan2024_rules import (
    CLASS_AVERAGE,
    COUNTS_SMALL_END,
    FEWER_CENTERS,
    GCR_MARGIN,
    PROP_31,
    RCR_SCALE,
)


K, F = sp.symbols("K F", positive=True)
f_k, f_other = sp.symbols("f_k f_l", positive=True)
margin, m = sp.symbols("x m", real=True)
gap = 1 / f_other - 1 / f_k


def bound(median: sp.Expr) -> sp.Expr:
    """Margin of RCR at which GCR prefers either class with probability 1/2.

    Args:
        median: Median of the difference of best v-scores of the noise.

    Returns:
        The margin.
    """
    return (cos**2 / K * gap - cos * median) / sin


@evidence(
    PROP_31,
    EvidenceKind.SYMBOLIC,
    domain="all K, f_k, p_k, isotropic noise of any variance",
    steps=("exchangeable", "success", "Chebyshev", "order"),
)
def hard_samples(proof: Proof) -> None:
    """All F vectors score alike at the mean; isotropic noise adds exchangeable scores.

    So each vector is the best with probability 1/F, and class k owns f_k of them.
    """
    offset = IJ(1, 0, F) @ IJ(0, proof.term("mean", 1 / F), F)
    proof.equal(offset.b, 1 / F, "<w_j, mean> = 1/F for every j")
    proof.equal(f_k * offset.b, f_k / F, "class k is chosen with probability f_k/F")
    proof.equal(
        f_k / F / (f_k / F + f_other / F), f_k / (f_k + f_other), "before l, with f_k/(f_k + f_l)"
    )
    proof.equal((f_k / F).subs({f_k: 1, F: K}), 1 / K, "RCR: K vectors, one a class")
    a_i, a_j, b_i, b_j = sp.symbols("f_i f_j p_i p_j")
    C, B = sp.symbols("C B", real=True)  # sums over k of f_k p_k and of p_k; that of f_k is F
    pairs = sp.Poly(sp.expand((a_i - a_j) * (b_i - b_j)), a_i, a_j, b_i, b_j)
    double = {a_i * b_i: K * C, a_j * b_j: K * C, a_i * b_j: F * B, a_j * b_i: F * B}
    total = sum(pairs.coeff_monomial(term) * value for term, value in double.items())
    excess = C / F - B / proof.term("classes", K)
    proof.equal(
        total / (2 * K * F), excess, "P_GCR - 1/K = sum_{i,j} (f_i - f_j)(p_i - p_j)/(2KF), B = 1"
    )
    s, t = sp.symbols("s t", nonnegative=True)
    product = ((a_i - a_j) * (b_i - b_j)).subs({a_i: a_j + s, b_i: b_j + t})
    proof.positive(product, "each term, f and p in the same order", strict=False)


@evidence(
    CLASS_AVERAGE,
    EvidenceKind.SYMBOLIC,
    domain="all K, f_k >= 1, p_k",
    steps=("average", "maximiser"),
)
def average_over_classes(proof: Proof) -> None:
    """Sum_k f_k = F; P is the sum of the p_k, M their maximum."""
    total, spare, short, p = sp.symbols("P s t p", nonnegative=True)
    M = sp.Symbol("M", positive=True)
    proof.equal(proof.term("sum of f", F) / (K * F), 1 / K, "(1/K) sum_k f_k/F")
    weight = proof.term("spare", spare, altered=-spare)
    proof.equal(
        (1 + spare) * M - (M + weight * M),
        sp.Integer(0),
        "all spare centers on the class of M: attained",
    )
    worse = p + spare * (p + short) - (1 + spare) * p
    proof.equal(worse, spare * short, "another class with 1 + s centers, p = M - t, loses s t")
    proof.positive(worse, "so nothing exceeds P + (F - K) M", strict=False)
    proof.equal((total + (F - K) * M).subs(F, K), total, "no spare centers: P/K, that is 1/K")


@evidence(
    GCR_MARGIN,
    EvidenceKind.SYMBOLIC,
    domain="all K, f_k > f_l, theta in (0, pi/2), isotropic Gaussian noise",
    steps=("mean", "scores", "bound"),
)
def margin_of_gcr(proof: Proof) -> None:
    """Samples z = mu + p, mu the mean of the K mean centers; gamma the difference of best <v, p>.

    It does not depend on the margin: noise along the v and along the w is independent.
    """
    proof.assume(theta <= sp.pi / 2)
    mean_center = sp.Matrix([cos / f_k, sin])  # in one of the f_k vectors v_j, and in w
    along_v = (mean_center / K)[0]
    proof.equal(along_v, cos / (K * f_k), "<v_j, mu>")
    proof.zero((mean_center / K)[1] - sin / K, "<w_k, mu> is the same for all classes")
    gamma = sp.Symbol("gamma", real=True)
    mean_term = proof.term("mean term", along_v - along_v.subs(f_k, f_other))
    scores = cos * (mean_term + gamma) + sin * margin
    proof.equal(
        scores,
        cos * (gamma - m) + sin * (margin - bound(m)),
        "difference of best center scores: positive with probability > 1/2 iff above the bound",
    )
    noise = sp.symbols("p_1:6", real=True)
    best = sp.Max(noise[0], noise[1]) - noise[2]
    tied = scores.subs({gamma: best, margin: noise[3] - noise[4], K: 2, f_k: 2, f_other: 1})
    grid = points(41, 6, (0.05, 1.5), *[(-1.0, 1.0)] * 5)
    proof.tie(tied, [theta, *noise], _score_difference, grid, "class_scores('general'), f = (2, 1)")


def _score_difference(angle: float, *noise: float) -> Tensor:
    parts = multicenter_frame(MultiCenter((2, 1), angle))
    p = torch.tensor([noise[3], noise[4], *noise[:3]], dtype=torch.float64)
    scores = class_scores((parts.mean.mean(0) + p).unsqueeze(0), parts, rule="general")[0]
    return scores[0] - scores[1]


@evidence(
    FEWER_CENTERS,
    EvidenceKind.SYMBOLIC,
    domain="all K, f_k > f_l, theta in (0, pi/2); margin 0, noise of variance s",
    steps=("small noise", "crossing"),
)
def fewer_centers_first(proof: Proof) -> None:
    """The median scales: m = sqrt(s) m_1, with m_1 > 0 since the larger group wins more often."""
    variance, unit, more = sp.symbols("s m_1 e", positive=True)
    proof.equal(
        f_k / (f_k + f_other) - sp.Rational(1, 2),
        (f_k - f_other) / (2 * (f_k + f_other)),
        "P(gamma > 0) = f_k/(f_k + f_l) > 1/2, so m_1 > 0",
    )
    small = sp.limit(bound(sp.sqrt(variance) * unit), variance, 0, "+")
    proof.equal(small, cos**2 / (K * sin) * gap, "bound on the margin as s -> 0")
    proof.positive(
        (small * sin / cos**2).subs(f_k, f_other + more), "positive: at margin 0 GCR prefers l"
    )
    root = proof.term("root of s*", cos * gap / (K * unit))
    proof.zero(bound(root * unit), "the bound is zero at s*")
    proof.equal(sp.diff(bound(m), m), -cos / sin, "and falls with m: above s* GCR prefers k")


@evidence(
    RCR_SCALE,
    EvidenceKind.SYMBOLIC,
    domain="all K, f_k, theta in [0, pi/2]; features in the span of the mean centers",
    steps=("score", "increasing", "limits"),
)
def logit_scale(proof: Proof) -> None:
    """<w_k, e_l> = 0 for l != k; <w_k, e_k> = <w_k, mean center>/cos(alpha)."""
    proof.assume(theta <= sp.pi / 2)
    mean_center = sp.Matrix([cos / f, proof.term("sine", sin)])
    scale = mean_center[1] / cos_alpha
    proof.equal(scale, sp.sqrt(f) * sin / sp.sqrt(g), "cos(rho), the factor of class k's score")
    square = f * sin**2 / g
    proof.equal(sp.diff(square, f), sin**2 * cos**2 / g**2, "cos^2(rho) rises with f")
    proof.positive(sp.diff(square, f).subs(FREE), "strictly for theta in (0, pi/2)")
    proof.equal(scale.subs(theta, sp.pi / 2), sp.Integer(1), "theta = pi/2: no skew")
    proof.equal(scale.subs(theta, 0), sp.Integer(0), "theta = 0: scores carry nothing")
    count = sp.Symbol("f", positive=True, integer=True)
    size = sp.Symbol("x", positive=True)
    proof.tie(
        (size * scale).subs(f, count), [count, theta, size], _regular_score,
        points(42, 6, (1, 30), (0.05, 1.5), (0.25, 3.0)), "class_scores('regular') at x e_k",
    )  # fmt: skip


def _regular_score(count: int, angle: float, size: float) -> Tensor:
    parts = multicenter_frame(MultiCenter((count, 1), angle))
    return class_scores(size * parts.direction[:1], parts, rule="regular")[0, 0]


@evidence(
    COUNTS_SMALL_END,
    EvidenceKind.SYMBOLIC,
    domain="all K, n_k, f >= 1 with f K an integer; balanced: f an integer",
    steps=("deficit", "monotone", "balanced"),
)
def small_end(proof: Proof) -> None:
    """x_k = (f-1)K n_k/N = i_k + r_k with i_k = floor(x_k), 0 <= r_k < 1; I and R their sums."""
    mean, size, N, R = sp.symbols("f n_k N R", positive=True)
    x = (mean - 1) * K * size / N
    over = sp.Symbol("over", nonnegative=True)
    proof.positive(x.subs(mean, 1 + over), "x >= 0 for f >= 1: a center each", strict=False)
    total = proof.term("sum of x", x.subs(size, N))
    floors = total - R
    proof.equal(
        mean * K - (floors + K), R, "D = R, a sum of K numbers in [0, 1): an integer below K"
    )
    whole, step = sp.symbols("i s", nonnegative=True, integer=True)
    rest, room = sp.Symbol("r", nonnegative=True), sp.Symbol("u", positive=True)
    larger, smaller = whole + 1 + step + rest, whole + 1 - room
    proof.equal(
        larger - smaller,
        step + rest + room,
        "floors keep the order: a larger floor is of a larger x, by a positive amount; the added "
        "[k > K - D] rises with k too",
    )
    proof.equal(x.subs(size, N / K) + 1, mean, "balanced: x = f - 1 for all, f each, D = 0")
