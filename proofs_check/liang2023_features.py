"""Evidence for Liang and Davis (2023): minimisers under a fixed frame, by algebra."""

from __future__ import annotations

import math

import sympy as sp
import torch

from proofs_check._blocks import IJ
from proofs_check._harness import evidence
from proofs_check._proof import Proof, points
from proofs_check.zhu2021 import AT_LEAST_TWO, K, k2
from ufm import theory
from ufm.claims import EvidenceKind
from ufm.geometry import Exponential, HAFrame, SimplexETF, frame
from ufm.geometry.similarity import Table
from ufm.hierarchy import Tree
from ufm.losses import CosineAlignment, HAFrameMix
from ufm.problem import Fixed, Problem, VectorBudget
from ufm.theory.liang2023_features import ALIGNMENT, CE_FRAME, MAX_MARGIN, MIX_LIMIT


rho = sp.Symbol("rho", positive=True)


@evidence(
    ALIGNMENT,
    EvidenceKind.SYMBOLIC,
    domain="all frames of unit rows, all K and d; the norm term by term, written out for K = d = 3",
    steps=("norm", "zero", "quartic"),
)
def alignment_loss(proof: Proof) -> None:
    """The cosine of w_c and h is w_c.u with u = h/|h|."""
    W = sp.Matrix(3, 3, sp.symbols("w0:9", real=True))
    u = sp.Matrix(sp.symbols("u0:3", real=True))
    target = proof.term("target", W * W.row(1).T)
    terms = sum((W.row(c).dot(u) - target[c]) ** 2 for c in range(3))
    image = W * (u - W.row(1).T)
    proof.equal(terms, image.dot(image), "the sum over the classes is |W(u - w_y)|^2")
    outside, norm2 = sp.symbols("nn ww", nonnegative=True)
    inner = proof.term("inner product", sp.Integer(0), sp.Rational(1, 3))
    length = norm2 + 2 * inner + outside
    proof.equal(
        length.subs(norm2, 1) - 1, outside, "u = w_y + n with Wn = 0 has |u|^2 - 1 = |n|^2: n = 0"
    )
    e, row = sp.symbols("epsilon Sy2", positive=True)
    along = sp.sqrt(1 - e**2)
    valley = (along - 1) ** 2 * row
    leading = proof.term("leading", e**4 / 4 * row)
    proof.equal(sp.series(valley, e, 0, 6).removeO(), leading, "no term below the fourth")
    tree = HAFrame(Tree.from_nested([[0, 1], 2]), Table((1.0, 0.5, 0.25)), s=None)
    W_0 = torch.nn.functional.pad(frame(tree, 3, 2), (0, 1))
    size = float((W_0 @ W_0[0]).square().sum())
    proof.assume(e < 1)
    proof.tie(
        valley.subs(row, sp.Symbol("row", positive=True)),
        [e, sp.Symbol("row", positive=True)],
        lambda x, scale: scale / size * _in_the_valley(W_0, x),
        points(41, 6, (0.1, 0.9), (0.5, 2.0)),
        "CosineAlignment in one dimension more than the frame",
    )


def _in_the_valley(W: torch.Tensor, epsilon: float) -> float:
    outside = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    h = (1 - epsilon**2) ** 0.5 * W[:1] + epsilon * outside
    return float(CosineAlignment().value(h, W, torch.tensor([0]))[0])


@evidence(
    CE_FRAME,
    EvidenceKind.SYMBOLIC,
    domain="all K, all radii; any frame of distinct unit rows for the first three steps",
    steps=("unique", "stationarity", "positive definite", "flat"),
)
def cross_entropy_optimum(proof: Proof) -> None:
    """-gradient = W'(e_y - p). KKT on the ball: it is a multiple lambda >= 0 of h = rho w_y."""
    p_c, gap = sp.symbols("p_c gap", positive=True)  # gap = 1 - S_yc
    cosine = proof.term("cosine", 1 - gap, 1 + gap)
    proof.positive(
        p_c * (1 - cosine), "-gradient.w_y = sum_c p_c (w_y - w_c).w_y > 0: no gradient vanishes"
    )
    x, y, inner = sp.symbols("hh hh' hh''", real=True)
    middle = (x + 2 * inner + y) / 4
    proof.equal(
        middle.subs({x: rho**2, y: rho**2}),
        rho**2 - (2 * rho**2 - 2 * inner) / 4,
        "so minimisers have norm rho, and the middle of two would be one inside: only one",
    )
    p_y, z_y, z_c, kappa = sp.symbols("p_y z_y z_c kappa", positive=True)
    multiplier = proof.term("multiplier", 1 - p_y + kappa * z_y)
    proof.zero(
        (1 - p_y) - multiplier + kappa * z_y, "tail p_c = kappa z_c: entry y of e_y - p - lam e_y"
    )
    proof.zero(
        (-kappa * z_c) + kappa * z_c, "the others: it is -kappa z, which W' maps to 0 (and only z)"
    )
    other = sp.exp(-rho * gap) / (1 + sp.exp(-rho * gap))
    proof.positive(other, "S positive definite: e_y - p = lam e_y needs p_c = 0, but p_c > 0")
    S = IJ(K / (K - 1), -1 / (K - 1), K)
    proof.zero(S.row_sum, "the simplex ETF has the null vector of ones")
    p_o = (1 - p_y) / (K - 1)
    pull = IJ(1 - p_y + p_o, -p_o, K) @ S  # columns e_y - p_y e_y - p_o (1 - e_y), times W W'
    proof.zero(
        pull - S * (K / (K - 1) * (1 - p_y)),
        "and equal tails p_o: W W'(e_y - p) is a positive multiple of W w_y, at every radius",
    )
    value = sp.log(1 + (K - 1) * sp.exp(-rho * (1 - S.b)))
    proof.tie(
        value,
        [K, rho],
        _predicted_flat_value,
        points(42, 6, (3, 9), (0.5, 4.0)),
        "the prediction for flat trees",
    )


def _predicted_flat_value(K: int, rho: float) -> float:
    spec = HAFrame(Tree.from_nested(list(range(K))), Exponential(1.5))
    problem = Problem(
        K=K, d=K - 1, n=(1,) * K, reg=VectorBudget(1.0, rho**2), classifier=Fixed(spec)
    )
    value = CE_FRAME.predict(problem).value
    return math.nan if value is None else value


@evidence(
    CE_FRAME,
    EvidenceKind.SYMBOLIC,
    domain="all trees of K >= 3 with two different cosines, at s*; nodes of equal f merged",
    steps=("two clusters", "nested"),
)
def never_on_other_trees(proof: Proof) -> None:
    """If rho w_y were optimal for all y: log z_a - log z_b = rho (S_ya - S_yb) for a, b != y.

    Either two nodes with several classes lie side by side, or those nodes form a chain.
    """
    near_i, near_k = sp.symbols("a b", positive=True)  # S_ij - S_ik', S_kk' - S_kj
    first = rho * near_i
    second = rho * near_k
    proof.positive(
        proof.term("sum of the two", first + second, first * 0),
        "{i, j}, {k, k'} in two clusters: y = i gives log z_j - log z_k' > 0, y = k minus that > 0",
    )
    n_u = 2 + k2
    f_u, f_v, drop, z_j, z_k, rest = sp.symbols("f_u f_v c z_j z_k rest", positive=True)
    # Rows j and k of F z = 1, both less f_v times the sum of z below v; rest is the same for both.
    row_j = (1 - f_u) * z_j + (f_u - f_v) * n_u * z_j + rest
    row_k = (1 - f_v) * z_k + rest
    ratio = proof.term("ratio", (1 - f_v) / (1 - f_u + n_u * (f_u - f_v)))
    proof.zero(row_j.subs(z_j, ratio * z_k) - row_k, "j in the lowest node u, k a class at v above")
    room = sp.Symbol("room", nonnegative=True)  # 1 - f_u
    shaped = ratio.subs(f_v, f_u - drop).subs(f_u, 1 - room)
    proof.positive(
        sp.cancel(1 - shaped) * (room + n_u * drop) / (n_u - 1),
        "z_j < z_k, while y = i in u gives log z_j - log z_k = rho (S_ij - S_ik) > 0",
    )


@evidence(
    MIX_LIMIT,
    EvidenceKind.SYMBOLIC,
    domain="all frames of distinct unit rows, all K, 0 < alpha < 1, all radii",
    steps=("residual", "bound", "limit"),
)
def mix_of_losses(proof: Proof) -> None:
    """L(u) = (1-alpha) CE(rho W u) + alpha |W(u - w_y)|^2 on unit vectors u."""
    alpha, share = sp.symbols("alpha share", positive=True)  # share = 1 - alpha
    t, slope, bend, curve = sp.symbols("t slope bend curve", real=True)
    tangent = share * (slope * t + bend * t**2) + proof.term("alignment", alpha * curve * t**2, t)
    proof.equal(
        sp.diff(tangent, t).subs(t, 0),
        share * slope,
        "along any curve through w_y the square adds nothing: stationary only if CE is",
    )
    x = sp.Symbol("x", positive=True)
    above = x - sp.log(1 + x)
    proof.zero(above.subs(x, 0), "log(1 + x) = x at 0")
    proof.equal(sp.diff(above, x), x / (1 + x), "and below it after: log(1 + x) <= x")
    mu, more = sp.Symbol("mu", positive=True), sp.Symbol("e", nonnegative=True)
    largest = proof.term("largest term", sp.exp(-rho * mu), sp.exp(-2 * rho * mu))
    ratio = largest / sp.exp(-rho * (mu + more))
    proof.equal(sp.log(ratio), rho * more, "each of the K-1 terms is at most exp(-rho mu_y)")
    total = share * (K - 1) * largest
    proof.equal(
        total / alpha,
        share / alpha * (K - 1) * sp.exp(-rho * mu),
        "alpha |W(u - w_y)|^2 <= L(u) <= L(w_y) = (1-alpha) CE(rho W w_y) <= this",
    )
    proof.limit(total.subs(AT_LEAST_TWO), rho, sp.oo, 0, "which vanishes as rho grows (K = 2 + k)")
    a = sp.Symbol("a", positive=True)
    flat = (1 - a) * sp.log(1 + (K - 1) * sp.exp(-rho * K / (K - 1)))
    proof.assume(a < 1)
    proof.tie(
        flat,
        [K, rho, a],
        _mix_at_the_frame,
        points(43, 6, (3, 7), (0.5, 4.0), (0.125, 0.875)),
        "HAFrameMix at the frame of a flat tree",
    )


def _mix_at_the_frame(K: int, rho: float, alpha: float) -> torch.Tensor:
    W = frame(SimplexETF(), K, K - 1)
    return HAFrameMix(alpha).value(rho * W[:1], W, torch.tensor([0]))[0]


@evidence(
    MAX_MARGIN,
    EvidenceKind.SYMBOLIC,
    domain="all separable classifiers, all K >= 2, all radii",
    steps=("sandwich", "margin", "direction"),
)
def margin_limit(proof: Proof) -> None:
    """g(u) = min_c (w_y - w_c).u is concave and positively homogeneous; best is g* at u*."""
    g, best, more = sp.symbols("g g_* e", positive=True)
    worst = sp.exp(-rho * g)
    proof.equal(
        sp.log(worst / sp.exp(-rho * (g + more))),
        rho * more,
        "log(1 + exp(-rho g)) <= CE <= log(1 + (K-1) exp(-rho g)): one to K-1 terms up to that",
    )
    # CE(u_rho) <= CE(u*): exp(-rho g) <= (K-1) exp(-rho g*).
    others = (K - 1).subs(AT_LEAST_TWO)  # 1 + k
    least = proof.term("least margin", best - sp.log(others) / rho)
    proof.equal(
        sp.expand_log(sp.log(sp.exp(-rho * best) * others)),
        -rho * least,
        "so g(u_rho) >= g* - log(K-1)/rho (K - 1 = 1 + k)",
    )
    chord2, defect = sp.symbols("delta2 eps", positive=True)
    middle2 = 1 - proof.term("chord", chord2 / 4)
    proof.equal(
        middle2,
        (2 + 2 * (1 - chord2 / 2)) / 4,
        "|(u + u*)/2|^2 for unit vectors at the chord delta",
    )
    # |middle| g* >= g(middle) >= (g(u) + g*)/2 >= g* (1 - eps), eps = log(K-1)/(2 rho g*)
    found = sp.solve(sp.Eq(1 - chord2 / 4, (1 - defect) ** 2), chord2)[0]
    proof.equal(8 * defect - found, 4 * defect**2, "delta^2 <= 4(1 - (1-eps)^2) <= 8 eps")
    proof.equal(
        8 * (best - least) / (2 * best), 4 * sp.log(others) / (rho * best), "which is the bound"
    )


@evidence(
    MAX_MARGIN,
    EvidenceKind.SYMBOLIC,
    domain="the tree [[0, 1], [2, 3]] at s*, all cosines a > -1/3 of a pair",
)
def margin_of_two_pairs(proof: Proof) -> None:
    """The others have the cosine b = -(1+a)/2; by symmetry the hull is a segment."""
    a, t = sp.symbols("a t", real=True)
    b = proof.term("far cosine", -(1 + a) / 2)
    proof.zero(1 + a + 2 * b, "S 1 = 0 at s*")
    pair2, own = 2 - 2 * a, 1 - a  # |w_0 - w_1|^2 and (w_0 - w_1).w_0
    centre2 = 1 - 2 * b + (1 + a) / 2  # |w_0 - (w_2 + w_3)/2|^2
    inner = 1 - b - a + b  # their inner product
    square = t**2 * pair2 + 2 * t * (1 - t) * inner + (1 - t) ** 2 * centre2
    best = 1 - 2 * (1 - a) / (5 + 3 * a)
    proof.zero(sp.diff(square, t).subs(t, best), "nearest point of the segment to the origin")
    margin = sp.sqrt(square.subs(t, best))
    cosine = (best * own + (1 - best) * (1 - b)) / margin
    proof.equal(cosine.subs(a, -sp.Rational(1, 3)), 1, "flat: the frame itself")
    over = sp.Symbol("over", positive=True)
    excess = sp.factor(sp.cancel((1 - cosine**2).subs(a, over - sp.Rational(1, 3))))
    proof.positive(excess, "1 - cos^2 of the angle, at any other a: a positive angle")
    f_1, f_2 = sp.symbols("f_1 f_2", positive=True)
    fall = (1 + f_1 + 2 * f_2) / (3 - f_1 - 2 * f_2)  # -s*
    pair = (1 + fall) * f_1 - fall
    proof.assume(f_1 < 1, f_2 < f_1)
    for name, expression, entry in (("margin", margin, 0), ("cosine to the row", cosine, 1)):
        proof.tie(
            expression.subs(a, pair),
            [f_1, f_2],
            lambda x, y, entry=entry: _largest_margin(x, y)[entry],
            points(44, 6, (0.5, 0.9), (0.0625, 0.4)),
            f"theory.max_margin: {name}",
        )


def _largest_margin(f_1: float, f_2: float) -> tuple[float, float]:
    spec = HAFrame(Tree.from_nested([[0, 1], [2, 3]]), Table((1.0, f_1, f_2)))
    W = frame(spec, 4, 3)
    directions, margins = theory.max_margin(W)
    return float(margins[0]), float(directions[0] @ W[0])
