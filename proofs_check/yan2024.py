"""Evidence for Yan et al. (2024): the multi-center frame and problem P, for general f, n, K."""

from __future__ import annotations

import sympy as sp
import torch

from proofs_check._blocks import IJ
from proofs_check._harness import evidence
from proofs_check._proof import Proof, points
from ufm.claims import EvidenceKind
from ufm.geometry import (
    center_gain,
    center_mean_cos,
    class_mean_cos,
    etf,
    fixed_frame_optimum,
    learnable_frame_optimum,
    multicenter_frame,
)
from ufm.geometry.specs import MultiCenter
from ufm.losses import CenterSquaredError
from ufm.theory.yan2024 import (
    COR_37,
    DIAGONAL,
    FRAME,
    ORTHONORMALITY,
    REDUCTION,
    SURVIVAL,
    THM_33,
)


f, n, S = sp.symbols("f n S", positive=True)
theta = sp.Symbol("theta", positive=True)
sin, cos = sp.sin(theta), sp.cos(theta)
g = cos**2 + f * sin**2
cos_alpha = sp.sqrt(g / f)
lam_W, lam_H = sp.symbols("lambda_W lambda_H", positive=True)
x = sp.Symbol("x", real=True)
ANGLES = (0.05, 1.5)


def gram() -> IJ:
    """Gram matrix of a class's f centers."""
    return IJ(cos**2, sin**2, f)


def number(value: float) -> torch.Tensor:
    """A float64 scalar.

    Args:
        value: The number.

    Returns:
        The tensor.
    """
    return torch.tensor(value, dtype=torch.float64)


@evidence(
    FRAME,
    EvidenceKind.SYMBOLIC,
    domain="all f_k, all theta in (0, pi/2); unit norms",
    steps=("Gram", "spectrum", "angles"),
)
def frame_angles(proof: Proof) -> None:
    """Two centers of a class in the basis v_i, v_j, w; the mean center is C'1/f."""
    proof.assume(theta <= sp.pi / 2)
    sine = proof.term("sine", sin)
    first, second = sp.Matrix([cos, 0, sine]), sp.Matrix([0, cos, sine])
    proof.equal(first.dot(first), sp.Integer(1), "unit centers")
    proof.equal(first.dot(second), sin**2, "two centers of a class; other classes: 0")
    G = gram()
    gain, rest = IJ(g, 0, f), IJ(cos**2, 0, f)
    proof.equal(G.row_sum, proof.term("gain", g), "C C'1 = g 1")
    proof.zero((G - gain) @ (G - rest), "no eigenvalue but g and cos^2(theta)")
    proof.equal(g + (f - 1) * cos**2, f, "of multiplicity 1 and f - 1, by the trace")
    mean = sp.sqrt(f * G.row_sum) / f
    proof.equal(mean, cos_alpha, "|mean| = sqrt(1'G1)/f")
    proof.equal(G.row_sum / f / mean, cos_alpha, "cosine of a center to the mean")
    proof.equal(sin / mean, sp.sqrt(f) * sin / sp.sqrt(g), "cosine of w to the mean")
    grid = points(31, 8, (1, 30), ANGLES)
    for expression, function in (
        (cos_alpha, center_mean_cos),
        (sp.sqrt(f) * sin / sp.sqrt(g), class_mean_cos),
        (g, center_gain),
    ):
        proof.tie(
            expression, [f, theta], lambda a, t, F=function: F(number(float(a)), t), grid,
            f"geometry.{function.__name__}",
        )  # fmt: skip
    proof.tie(g, [f, theta], _largest_eigenvalue, grid, "multicenter_frame")


def _largest_eigenvalue(count: int, angle: float) -> torch.Tensor:
    own = multicenter_frame(MultiCenter((count, 1), angle)).centers[:count]
    return torch.linalg.eigvalsh(own @ own.mT)[-1]


@evidence(
    REDUCTION,
    EvidenceKind.SYMBOLIC,
    domain="all f_k, all theta in (0, pi/2), every feature",
    steps=("own centers", "other centers", "logits"),
)
def single_direction(proof: Proof) -> None:
    """In the span of a class's centers h = C'z, y = Ch = Gz; Y = 1'y = f <mean, h>, Q = y'y.

    Outside the span h meets none of these centers.
    """
    proof.assume(theta <= sp.pi / 2)
    G, J = gram(), IJ(0, 1, f)
    contrast = IJ(1, -1 / f, f)
    Y, Q = sp.symbols("Y Q", real=True)
    proof.equal(
        Q - 2 * Y + f, f * (1 - Y / f) ** 2 + (Q - Y**2 / f), "sum (y_j - 1)^2: mean and contrasts"
    )
    along = Y / f / proof.term("length", cos_alpha)
    proof.equal(1 - Y / f, 1 - cos_alpha * along, "<e, h> = <mean, h>/|mean|")
    perp = G - G @ J @ G * (1 / (f * g))
    proof.equal(along**2 * f * g, Y**2, "|h|^2 - <e, h>^2 = z'(G - GJG/(fg))z")
    penalty = proof.term("penalty", cos**2)
    proof.zero(G @ contrast @ G - perp * penalty, "contrasts: cos^2(theta) |h_perp|^2")
    proof.equal(Y**2 / f, g * along**2, "another class's centers: g <e, h>^2 beside the penalty")
    proof.equal(
        f * (1 - cos_alpha * x) ** 2,
        g * (x - 1 / cos_alpha) ** 2,
        "the same weight g in all rows: own target 1/cos(alpha), else 0",
    )
    counts, logits = sp.symbols("f_1 f_2", positive=True, integer=True), sp.symbols("z_1 z_2")
    gains = [g.subs(f, count) for count in counts]
    target = sp.sqrt(counts[0] / gains[0])
    loss = (gains[0] * (logits[0] - target) ** 2 + gains[1] * logits[1] ** 2) / 2
    grid = points(32, 6, (1, 9), (1, 9), ANGLES, (-1.0, 2.0), (-1.0, 2.0))
    symbols = [*counts, theta, *logits]
    proof.tie(loss, symbols, _loss_of_logits, grid, "CenterSquaredError, K = 2")
    proof.tie(loss, symbols, _loss_of_centers, grid, "all centers on z_1 e_1 + z_2 e_2")


def _loss_of_logits(f_1: int, f_2: int, angle: float, z_1: float, z_2: float) -> torch.Tensor:
    Z = torch.tensor([[z_1], [z_2]], dtype=torch.float64)
    return CenterSquaredError((f_1, f_2), angle).value(Z, torch.tensor([0]))[0]


def _loss_of_centers(f_1: int, f_2: int, angle: float, z_1: float, z_2: float) -> torch.Tensor:
    parts = multicenter_frame(MultiCenter((f_1, f_2), angle))
    h = torch.tensor([z_1, z_2], dtype=torch.float64) @ parts.direction
    return (parts.centers @ h - (parts.owner == 0).double()).square().sum() / 2


@evidence(
    DIAGONAL,
    EvidenceKind.SYMBOLIC,
    domain="all K, f_k, n_k, theta, lam_W, lam_H > 0, d >= K",
    steps=("strictly convex", "signs", "decoupling"),
)
def diagonal_logits(proof: Proof) -> None:
    """Z -> sZs with signs s keeps the nuclear norm (s is orthogonal) and the risk.

    The average over all signs is the diagonal part; a unique minimiser equals it. Likewise for
    permutations of a class's samples, so its features coincide.
    """
    z, mean = sp.Symbol("z", real=True), sp.Symbol("fbar", positive=True)
    risk = proof.term("risk", g * (z - 1 / cos_alpha) ** 2 / (2 * mean))
    proof.equal(sp.diff(risk, z, 2), g / mean, "curvature of every entry: strictly convex in Z")
    other = sp.Symbol("z_2", real=True)
    proof.equal(
        (risk + risk.subs(z, other)) / 2 - risk.subs(z, (z + other) / 2),
        g / (8 * mean) * (z - other) ** 2,
        "two samples of a class: their mean is better unless they agree",
    )
    minus = proof.term("sign", sp.Integer(-1), altered=sp.Integer(1))
    signs = [(s, t) for s in (1, minus) for t in (1, minus)]
    off = [s * t * z for s, t in signs]
    proof.zero(sum(off), "entries off the diagonal average to zero")
    proof.zero(sum(y**2 for y in off) / 4 - z**2, "their risk is even")
    proof.equal(sum(s * s * z for s, _ in signs) / 4, z, "the diagonal stays")
    a, b = sp.symbols("a b", real=True)
    D = sp.diag(proof.term("column", sp.sqrt(n)), sp.sqrt(S))
    X = sp.diag(a, b) * D
    proof.equal(X * X.T, sp.diag(n * a**2, S * b**2), "|diag(z) D^(1/2)|_* = sum sqrt(n_k)|z_k|")


@evidence(
    SURVIVAL,
    EvidenceKind.SYMBOLIC,
    domain="all K, f_k, n_k, theta, lam_W, lam_H > 0, d >= K; class by class",
    steps=("soft threshold", "norms", "value", "threshold"),
)
def class_by_class(proof: Proof) -> None:
    """One class: minimise n g (z - 1/c)^2/(2S) + lam sqrt(n) |z|; z < 0 is worse than -z."""
    proof.assume(theta <= sp.pi / 2)
    z = sp.Symbol("z", positive=True)
    cost = n * g * (z - 1 / cos_alpha) ** 2 / (2 * S) + sp.sqrt(lam_W * lam_H * n) * z
    t = proof.term("t", S * sp.sqrt(lam_W * lam_H / n) / (f * cos_alpha))
    best = (1 - t) / cos_alpha
    proof.zero(sp.diff(cost, z).subs(z, best), "stationary at z = (1 - t)/c")
    proof.equal(
        sp.diff(cost, z).subs(z, 0),
        n * g / (S * cos_alpha) * (t - 1),
        "the slope at zero has the sign of t - 1: z = 0 iff t >= 1",
    )
    proof.equal(
        t**2 * n * f * g, S**2 * lam_W * lam_H, "t < 1 iff n f g > S^2 lam_W lam_H, for this class"
    )
    q = proof.term("q", sp.sqrt(lam_W / (n * lam_H)))
    w2 = (1 - t) / (q * cos_alpha)
    proof.equal(w2 * q, best, "|w||h| = z with |h| = q|w|")
    proof.equal(lam_W * w2, n * lam_H * q**2 * w2, "balanced, as minimal factors are")
    printed = (-S * lam_W / (f * n) + q * cos_alpha) / (q**2 * cos_alpha**2)
    proof.equal(w2, printed, "the paper's formula")
    value = n * f / (2 * S) * (1 - (1 - t) ** 2)
    proof.equal(cost.subs(z, best), value, "value of a class that survives")
    proof.equal(cost.subs(z, 0), n * f / (2 * S), "of one that does not; their sum is 1/2")
    proof.positive(
        (n * f / (2 * S) - value) / (1 - t) ** 2, "each survivor lowers it: zero is not optimal"
    )
    counts = sp.symbols("f n", positive=True, integer=True)
    two = (2 * value).subs(S, 2 * f * n).subs(dict(zip((f, n), counts, strict=True)))
    proof.tie(
        two,
        [*counts, theta, lam_W, lam_H],
        lambda a, b, angle, W, H: (
            learnable_frame_optimum(_pair(a), _pair(b), theta=angle, lam_W=W, lam_H=H).value
        ),
        points(33, 8, (1, 6), (1, 9), (0.25, 1.5), (0.001, 0.02), (0.001, 0.02)),
        "geometry.learnable_frame_optimum, two equal classes",
    )


def _pair(value: float) -> torch.Tensor:
    return torch.tensor([value, value], dtype=torch.float64)


@evidence(
    THM_33,
    EvidenceKind.SYMBOLIC,
    domain="all K, n, f, theta, lam_W, lam_H > 0",
    steps=("condition", "norms"),
)
def balanced_case(proof: Proof) -> None:
    """S = K f n in the class-by-class statement."""
    K = sp.Symbol("K", positive=True)
    total = proof.term("S", K * f * n)
    t = (S * sp.sqrt(lam_W * lam_H / n) / (f * cos_alpha)).subs(S, total)
    proof.equal(
        t * cos_alpha, K * sp.sqrt(n * lam_H * lam_W), "t <= 1 iff K sqrt(n lam lam) <= cos(alpha)"
    )
    q = sp.sqrt(lam_W / (n * lam_H))
    printed = (-K * lam_W + q * cos_alpha) / (q**2 * cos_alpha**2)
    proof.equal((1 - t) / (q * cos_alpha), printed, "|w|^2 as printed")
    proof.equal(n * lam_H * q**2, lam_W, "lam_W |w|^2 = n lam_H |h|^2")


@evidence(
    COR_37,
    EvidenceKind.SYMBOLIC,
    domain="all K, f_k, n_k, theta, lam_H > 0; a sample of class k",
    steps=("stationarity", "strictly convex", "value", "peak"),
)
def fixed_frame(proof: Proof) -> None:
    """Along e: f(1 - c x)^2/(2S) + lam x^2/2. All other directions have a quadratic cost only."""
    proof.assume(theta <= sp.pi / 2)
    own = f * (1 - cos_alpha * x) ** 2 / (2 * S) + lam_H * x**2 / 2
    length = proof.term("length", sp.sqrt(f * g) / (g + lam_H * S))
    proof.zero(sp.diff(own, x).subs(x, length), "stationary")
    proof.equal(length, f * cos_alpha / (f * cos_alpha**2 + lam_H * S), "as printed")
    proof.equal(sp.diff(own, x, 2), g / S + lam_H, "curvature along e")
    gain, square = sp.symbols("g_l c2", positive=True)
    for weight, where in (
        (gain, "along another class's e_l"), (square, "along h_perp, c2 = cos^2(theta)")
    ):  # fmt: skip
        cost = weight * x**2 / (2 * S) + lam_H * x**2 / 2
        proof.equal(sp.diff(cost, x, 2), lam_H + weight / S, where)
    proof.equal(
        n * own.subs(x, length),
        n * f * lam_H / (2 * (g + lam_H * S)),
        "cost of a class's n features",
    )
    c, strength = sp.symbols("c L", positive=True)
    slope = sp.diff(f * c / (f * c**2 + strength), c)
    peak = proof.term("peak", sp.sqrt(strength / f))
    proof.equal(
        slope * (f * c**2 + strength) ** 2,
        f**2 * (peak + c) * (peak - c),
        "with L = lam_H S: rises up to c = sqrt(L/f), falls from there; below 1 iff L < f",
    )
    counts = sp.symbols("f n", positive=True, integer=True)
    value = n * f * lam_H / (g + lam_H * 2 * f * n)
    proof.tie(
        value.subs(dict(zip((f, n), counts, strict=True))),
        [*counts, theta, lam_H],
        lambda a, b, angle, lam: (
            fixed_frame_optimum(_pair(a), _pair(b), theta=angle, lam_H=lam).value
        ),
        points(34, 8, (1, 9), (1, 50), ANGLES, (0.001, 2.0)),
        "geometry.fixed_frame_optimum, two equal classes",
    )


@evidence(
    ORTHONORMALITY,
    EvidenceKind.SYMBOLIC,
    domain="all K >= 3, f_k, theta in (0, pi/2]; K = 2 for theta < pi/2",
    steps=("other centers", "own centers", "right angle"),
)
def leaves_the_mean(proof: Proof) -> None:
    """Gradient of P at x times the mean center of k, by inner products.

    A multiple of the mean center, as own centers and ridge give, is orthogonal to every v of
    another class l, and to w_i - w_m for other classes i, m.
    """
    proof.assume(theta <= sp.pi / 2)
    K, odds = sp.symbols("K y", positive=True)  # K stands for K - 1; y = 1/tan^2(theta)
    cosine = proof.term("cosine of class vectors", -1 / K, altered=sp.Integer(0))
    sine, cosine_theta = 1 / sp.sqrt(1 + odds), sp.sqrt(odds / (1 + odds))
    proof.equal(sine**2 + cosine_theta**2, sp.Integer(1), "sine and cosine of theta")
    score = x * sine**2 * cosine
    along_v = score * cosine_theta
    proof.positive(-along_v / x, "<gradient, v_j^(l)> = sum_i <w_i, x mean_k><w_i, v_j> is not 0")
    proof.equal(
        sp.diff(f * (1 - cos_alpha**2 * x) ** 2 / 2, x).subs(x, 0), -g, "nor is x = 0 critical"
    )
    f_i, f_m = sp.symbols("f_i f_m", positive=True)
    others = f_i * (x * cosine) * (1 - cosine) - f_m * (x * cosine) * (1 - cosine)
    proof.equal(
        others / x,
        -(f_i - f_m) * (1 + 1 / K) / K,
        "theta = pi/2: along w_i - w_m, zero only for equal f; then sum_l w_l = -w_k",
    )
    grid = points(35, 6, (2, 6), (0.25, 1.5), (0.5, 2.0))
    proof.tie(along_v.subs(odds, 1 / sp.tan(theta) ** 2).subs(K, K - 1),
        [K, theta, x], _gradient_along_v, grid, "gradient on the frame")  # fmt: skip


def etf_centers(K: int, count: int, angle: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Centers around class vectors that are a simplex ETF.

    Args:
        K: Number of classes.
        count: Centers a class.
        angle: Their angle.

    Returns:
        Class vectors ``(K, d)`` and centers ``(K, count, d)``.
    """
    V = torch.eye(K + K * count, dtype=torch.float64)[K:].reshape(K, count, -1)
    W = torch.nn.functional.pad(etf(K, K), (0, K * count))
    return W, number(angle).cos() * V + number(angle).sin() * W.unsqueeze(1)


def _gradient_along_v(K: int, angle: float, scale: float) -> torch.Tensor:
    _, centers = etf_centers(K, 2, angle)
    h = scale * centers[0].mean(0)
    target = torch.zeros(K, 2, dtype=torch.float64)
    target[0] = 1.0
    gradient = torch.einsum("kjd,kj->d", centers, centers @ h - target)
    return gradient[K + 2]  # the first v of class 1
