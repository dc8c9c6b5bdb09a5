"""Evidence for calibrated soft targets: the loss whose optimum is the frame, by algebra."""

from __future__ import annotations

import math

import sympy as sp
import torch

from proofs_check._blocks import IJ
from proofs_check._harness import evidence
from proofs_check._proof import Proof, points
from proofs_check._trees import indicator, nodes, symbolic_tree, symmetric_nested
from proofs_check.zhu2021 import K
from ufm.claims import EvidenceKind
from ufm.geometry import Exponential, HAFrame, frame
from ufm.geometry.similarity import Table
from ufm.hierarchy import Tree
from ufm.losses import SoftTargets
from ufm.problem import ClassMeanDecay, Problem
from ufm.theory.liang2023_targets import EMERGING_FRAME, FIXED_TARGETS, IMBALANCE, RIDGE_SPECTRUM


kappa, lam, beta = sp.symbols("kappa lambda beta", positive=True)
P = IJ(1, -1 / K, K)


@evidence(
    FIXED_TARGETS,
    EvidenceKind.SYMBOLIC,
    domain="all trees, all K, n_k, beta; at s* for uniqueness",
    steps=("Gibbs", "equality", "no shift"),
)
def exact_fit_of_fixed_rows(proof: Proof) -> None:
    """KL(t||q) = sum t (r - 1 - log r), r = q/t, because sum t r = sum q = 1 = sum t."""
    r, over = sp.symbols("r over", positive=True)
    term = r - 1 - proof.term("logarithm", sp.log(r))
    proof.zero(term.subs(r, 1), "a term vanishes at q = t")
    slope = sp.diff(term, r)
    proof.positive(slope.subs(r, 1 + over), "it rises above r = 1")
    proof.positive(-slope.subs(r, 1 / (1 + over)), "and falls below: no other zero, KL >= 0")
    t_i, t_j, shift = sp.symbols("t_i t_j c", real=True)
    odds = sp.log(sp.exp(t_i + shift) / sp.exp(t_j + shift))
    proof.equal(
        sp.expand_log(odds, force=True), t_i - t_j, "q = t iff the logits differ by a shift c1"
    )
    m, s = sp.symbols("m s", real=True)
    image = (1 - s) + s * m  # S F^-1 1 = image 1
    star = proof.term("s*", -1 / (m - 1))
    proof.zero(image.subs(s, star), "S z = 0 for z = F^-1 1 at s*, so W'z = 0")
    excess = sp.Symbol("e", positive=True)
    proof.positive(
        sp.Integer(1) * m.subs(m, 1 + excess),
        "1'z = m > 0: if Wa = 1 then 0 = z'Wa = m; so c = 0 and W(h - beta w_y) = 0, W injective",
    )
    x = sp.Symbol("x", positive=True)
    cosines = [sp.Integer(1), -sp.Rational(1, 2), -sp.Rational(1, 2)]
    log_q = [x * c - sp.log(sum(sp.exp(x * d) for d in cosines)) for c in cosines]
    log_t = [beta * c - sp.log(sum(sp.exp(beta * d) for d in cosines)) for c in cosines]
    divergence = sum(sp.exp(a) * (a - b) for a, b in zip(log_t, log_q, strict=True))
    proof.tie(
        divergence,
        [x, beta],
        _divergence_along_the_row,
        points(51, 8, (0.25, 4.0), (0.25, 4.0)),
        "SoftTargets along the row of a flat tree, K = 3",
    )


def _divergence_along_the_row(x: float, beta: float) -> torch.Tensor:
    spec = HAFrame(Tree.from_nested([0, 1, 2]), Exponential(1.0))
    W = frame(spec, 3, 2)
    return SoftTargets(spec, beta).value(x * (W @ W[:1].mT), torch.tensor([0]))[0]


@evidence(
    EMERGING_FRAME,
    EvidenceKind.SYMBOLIC,
    domain="all trees, all K, beta; symmetric: every tree whose F has equal row sums",
    steps=("exact fits", "centring", "factors", "symmetric", "only then"),
)
def smallest_exact_fit(proof: Proof) -> None:
    """Z = beta S + 1 c' fits exactly; column means v: Z = P Z + 1 v'."""
    z_i, z_j, shift = sp.symbols("z_i z_j c", real=True)
    proof.equal((z_i + shift) - (z_j + shift), z_i - z_j, "KL = 0 leaves one shift a column free")
    ones = IJ(0, 1, K)
    proof.zero(P @ ones, "P 1 = 0: the shifts drop out of P Z = beta P S")
    proof.zero(
        P @ P - proof.term("projector", P), "Z'Z = (PZ)'(PZ) + K v v', since P is a projector"
    )
    value, more = sp.Symbol("sigma2", nonnegative=True), sp.Symbol("e", positive=True)
    root = proof.term("root", sp.sqrt(value + more), sp.sqrt(value))
    gain = root - sp.sqrt(value)
    proof.positive(
        sp.simplify(gain * (sp.sqrt(value + more) + sp.sqrt(value))),
        "eigenvalues of Z'Z are no smaller, one is larger: |Z|_* > |PZ|_* unless v = 0",
    )
    U, ratio = sp.symbols("sigma c_W", positive=True)
    proof.equal(ratio * U, ratio * sp.sqrt(U**2), "rows of balanced factors: W W' = c (Z Z')^(1/2)")
    r, s = sp.Symbol("r", positive=True), sp.Symbol("s", real=True)
    magnitude = K / r
    row_sum = (1 - s) * r + s * K
    proof.zero(
        row_sum.subs(s, -1 / (proof.term("magnitude", magnitude) - 1)),
        "F 1 = r 1 gives m = K/r and S 1 = 0 at s*: PS = S, and (S S)^(1/2) = S",
    )
    _only_then(proof)


def _only_then(proof: Proof) -> None:
    """(PSSP)^(1/2) is S or PSP only if their squares agree."""
    size = sp.Symbol("K", positive=True, integer=True)
    S, one = sp.MatrixSymbol("S", size, size), sp.MatrixSymbol("one", size, 1)
    share = proof.term("share", 1 / size, 2 / size)
    centring = sp.Identity(size) - share * one * one.T
    proof.zero(
        centring * one - one + one * (one.T * one) / size,
        "P1 = 0 since 1'1 = K: 1'(SS - PSSP)1 = |S1|^2, so that S1 = 0",
    )
    proof.zero(
        centring * S * S * centring
        - centring * S * centring * S * centring
        - (centring * S * one) * (one.T * S * centring) / size,
        "trace, with PP = P: tr(PSSP - (PSP)^2) = |PS1|^2/K: PS1 = 0, that is S1 = r 1",
    )
    r, m = sp.symbols("r m", positive=True)
    proof.positive(r * m, "at s* r = 0 then: 0 = z'S1 = r 1'z with the null vector z, 1'z = m > 0")


@evidence(
    RIDGE_SPECTRUM,
    EvidenceKind.SYMBOLIC,
    domain="all symmetric trees, all K, beta, kappa; the spectrum written out on three trees",
    steps=("spectrum", "order", "probabilities", "signs", "optimality", "thresholds"),
)
def soft_thresholded_spectrum(proof: Proof) -> None:
    """M = sum_l (m_l - m_{l+1}) B_l + m_L J with B_l the blocks of ones below level l.

    On the contrasts of level l a block matrix B_j is n_j for j < l and 0 from l on.
    """
    _spectrum(proof)
    n, t_l, fall = sp.symbols("n t_next fall", positive=True)
    proof.positive(
        n * ((t_l + fall) - t_l), "theta_{l+1} - theta_l > 0 where targets fall: coarse is larger"
    )
    theta, rise, cut = sp.symbols("theta rise K_kappa", positive=True)
    size = sp.Symbol("K", positive=True)
    shrunk = proof.term("shrunk", theta - cut)
    upper = theta + rise - cut
    proof.equal((upper - shrunk) / n, rise / n, "two surviving levels: q falls as t does")
    first = sp.Symbol("first", positive=True)  # the coarsest cut level has theta <= K kappa
    proof.positive(first / n, "at the finest survivor q falls by (theta - K kappa)_+/n, below it 0")
    far = proof.term("far probability", (1 - theta) / size)
    target_far = sp.Symbol("t_L", positive=True)
    proof.equal(
        size * far + theta, 1, "a column sums to theta_L + K m_L = 1; so t_L = (1 - theta_L)/K > 0"
    )
    inner = far.subs(theta, 1 - size * target_far - cut)
    proof.positive(inner, "and q_L = t_L + kappa > 0: probabilities")
    q = sp.Symbol("q", positive=True)
    proof.positive(
        sp.log(1 + fall / q), "Z = P log Q: zeta_{l+1} - zeta_l = n_l log(q_l/q_{l+1}) >= 0"
    )
    proof.equal((theta - shrunk) / size, cut / size, "on survivors -G = (T-Q)/K has kappa")
    below, missing = sp.Symbol("theta_below", positive=True), sp.Symbol("missing", nonnegative=True)
    proof.positive(
        (cut - below).subs(cut, below + missing),
        "on cut levels theta_l/K <= kappa: a subgradient of kappa |Z|_*",
        strict=False,
    )
    _limits(proof, shrunk, theta, cut)


def _spectrum(proof: Proof) -> None:
    first = proof.term("first size", sp.Integer(1), sp.Integer(2))
    for arities in ((2, 2), (3, 2), (2, 2, 2)):
        root = symbolic_tree(symmetric_nested(arities))
        K = len(root.leaves)
        inner = [v for v in nodes(root) if v.children]
        sizes = sorted({1} | {len(v.leaves) for v in inner})
        entries = sp.symbols(f"m_0:{len(sizes)}", real=True)

        def entry(i: int, j: int, inner=inner, sizes=sizes, entries=entries) -> sp.Symbol:
            common = [len(v.leaves) for v in inner if {i, j} <= set(v.leaves)][-1]
            return entries[0] if i == j else entries[sizes.index(common)]

        M, theta = sp.Matrix(K, K, entry), sp.Integer(0)
        for level in range(1, len(sizes)):
            n = first if level == 1 else sizes[level - 1]
            theta += n * (entries[level - 1] - entries[level])
            node = next(v for v in inner if len(v.leaves) == sizes[level])
            x = indicator(node.children[0], K) - indicator(node.children[1], K)
            proof.equal(M * x, theta * x, f"contrasts of level {level}, arities {arities}")


def _limits(proof: Proof, shrunk: sp.Expr, theta: sp.Symbol, cut: sp.Symbol) -> None:
    at_threshold = shrunk.subs(cut, theta)
    proof.zero(at_threshold, "a level vanishes exactly at K kappa = theta_l")
    one = shrunk.subs({theta: 1, cut: K * kappa})
    far, near = (1 - one) / K, (1 - one) / K + one
    proof.equal(
        near / far, 1 / kappa - K + 1, "flat tree, beta -> oo (T = I): the scale of the ridge ETF"
    )
    b, k = sp.symbols("beta kappa", positive=True)
    f_1, f_2 = sp.Rational(3, 4), sp.Rational(1, 4)
    fall = (1 + f_1 + 2 * f_2) / (3 - f_1 - 2 * f_2)
    weights = [sp.exp(b * ((1 + fall) * f - fall)) for f in (1, f_1, f_2)]
    total = weights[0] + weights[1] + 2 * weights[2]
    t = [w / total for w in weights]
    q_2 = t[2] + k
    q_1 = q_2 + (t[1] - t[2])
    q_0 = q_1 + (t[0] - t[1]) - 4 * k
    mean = (sp.log(q_0) + sp.log(q_1) + 2 * sp.log(q_2)) / 4
    proof.tie(
        sp.log(q_0) - mean,
        [b, k],
        _predicted_logit,
        points(52, 6, (1.0, 3.0), (0.001, 0.01)),
        "the prediction on [[0, 1], [2, 3]], both levels surviving",
    )


def _predicted_logit(beta: float, kappa: float) -> float:
    spec = HAFrame(Tree.from_nested([[0, 1], [2, 3]]), Table((1.0, 0.75, 0.25)))
    problem = Problem(
        K=4, d=3, n=(1,) * 4, loss=SoftTargets(spec, beta), reg=ClassMeanDecay(kappa, kappa)
    )
    geometry = RIDGE_SPECTRUM.predict(problem).geometry
    return math.nan if geometry is None else float(geometry.Z[0, 0])


@evidence(
    IMBALANCE,
    EvidenceKind.SYMBOLIC,
    domain="all trees, all K, n_k, lambda; the limit by compactness",
    steps=("deviation", "bound", "limit"),
)
def class_sizes(proof: Proof) -> None:
    """At a minimiser |G D^(-1/2)|_op <= lam, and G_k = pi_k (q_k - t_k)."""
    z, target, rest = sp.symbols("z t rest", positive=True)
    softmax = sp.exp(z) / (sp.exp(z) + rest)
    proof.equal(
        sp.diff(sp.log(sp.exp(z) + rest) - target * z, z),
        softmax - proof.term("target", target),
        "an entry of the gradient: q - t",
    )
    share, weight, length, n, N = sp.symbols("pi D |q-t| n N", positive=True)
    column = share * length / proof.term("column weight", sp.sqrt(weight))
    bound = lam * sp.sqrt(weight) / share
    proof.equal(column.subs(length, bound), lam, "a column is no longer than the operator norm")
    proof.equal(bound.subs({weight: n, share: n / N}), lam * N / sp.sqrt(n), "per sample")
    proof.equal(bound.subs({weight: 1, share: n / N}), lam * N / n, "per class mean")
    risk, norm, least = sp.symbols("F norm least", nonnegative=True)
    spare = lam * least - (risk + lam * norm)  # >= 0: an exact fit of nuclear norm `least` competes
    proof.equal(
        (spare + risk) / lam + norm,
        proof.term("least norm", least),
        "so norm <= least and F <= lam least: limits are exact fits of least norm, only one",
    )
    root = sp.Symbol("sqrtD", positive=True)
    v, centred = sp.symbols("v z", real=True)
    proof.equal(
        (root * centred) ** 2 + K * (root * v) ** 2,
        root**2 * (centred**2 + K * v**2),
        "centring lowers |Z D^(1/2)|_* too: the fit is beta P S, its factors those of beta P S D",
    )
