"""Evidence for Yan et al. (2024): the cosine loss, its gradient, collapse curves, ARB."""

from __future__ import annotations

import math

import sympy as sp
import torch

from proofs_check._blocks import IJ
from proofs_check._harness import evidence
from proofs_check._proof import Proof, points
from proofs_check.yan2024 import cos, cos_alpha, f, g, gram, sin, theta
from ufm._typing import Tensor
from ufm.claims import EvidenceKind
from ufm.geometry import Centers, multicenter_frame
from ufm.geometry.specs import MultiCenter
from ufm.losses import AttractionRepulsion, CosineRegression, LogitAdjusted
from ufm.metrics import collapsed_sigma
from ufm.theory.yan2024_losses import ARB, COSINE_MINIMISER, GRADIENT, VARIABILITY, WEIGHTING


# f = 1 + extra >= 1, and y = 1/tan^2(theta): signs for theta in (0, pi/2) follow from y > 0.
extra = sp.Symbol("m", nonnegative=True)
y = sp.Symbol("y", positive=True)
FREE = {f: 1 + extra, sp.sin(theta): 1 / sp.sqrt(1 + y), sp.cos(theta): sp.sqrt(y / (1 + y))}


def own_centers(count: int, angle: float, spare: int = 2) -> tuple[Centers, Tensor]:
    """A frame of one class of interest and one other.

    Args:
        count: Centers of the first class; the other has one.
        angle: Their angle.
        spare: Dimensions outside the frame.

    Returns:
        The frame and a label tensor of the first class.
    """
    spec = MultiCenter((count, 1), angle)
    return multicenter_frame(spec, spec.d_min + spare), torch.tensor([0])


@evidence(
    COSINE_MINIMISER,
    EvidenceKind.SYMBOLIC,
    domain="all f >= 1, theta in [0, pi/2), d, beta, lambda > 0; non-degenerate for f > 1",
    steps=("two numbers", "critical points", "Hessian", "norm"),
)
def critical_directions(proof: Proof) -> None:
    """Unit u = a e + b (in span) + r (outside): loss F = f(1 - a c)^2 + cos^2(theta) b^2.

    Critical on the sphere: dF/da = 2 nu a, dF/db = 2 nu b, dF/dr = 2 nu r = 0. The Riemannian
    Hessian at u is the Euclidean one minus 2 nu.
    """
    proof.assume(theta <= sp.pi / 2)
    a, b = sp.symbols("a b", real=True)
    F = f * (1 - a * cos_alpha) ** 2 + proof.term("penalty", cos**2) * b**2
    proof.equal(sp.diff(F, a), -2 * f * cos_alpha * (1 - a * cos_alpha), "only a and b enter")
    in_span = (sp.diff(F, a) / 2 - cos**2 * a).subs(a, cos_alpha / sin**2)
    proof.equal(sp.diff(F, b), 2 * cos**2 * b, "b != 0 forces nu = cos^2(theta)")
    proof.zero(in_span, "and then a = c/sin^2(theta)")
    proof.zero(sp.diff(F, a).subs(a, 1 / cos_alpha), "r != 0 forces nu = 0 and then a = 1/c")
    proof.equal(
        g / f - sin**4, cos**2 * (1 / f + sin**2), "c^2 - sin^4(theta) > 0, so a > 1: no such point"
    )
    proof.equal(
        1 - g / f,
        (f - 1) * cos**2 / f,
        "1 - c^2: c <= 1, c < 1 iff f > 1: a >= 1, and a = 1 has r = 0",
    )
    proof.equal(
        (sp.diff(F, a) / 2 - cos**2 * a).subs(theta, 0),
        -sp.sqrt(f),
        "theta = 0: the first equation of b != 0 has no solution at all",
    )
    for sign in (1, -1):
        multiplier = sp.Rational(1, 2 * sign) * sp.diff(F, a).subs(a, sign)
        proof.equal(
            sp.diff(F, b, 2) - 2 * multiplier,
            2 * f * (sign * cos_alpha - sin**2),
            f"Hessian at {sign:+d}e, in span",
        )
        proof.equal(
            -2 * multiplier,
            2 * f * cos_alpha * (sign - cos_alpha),
            f"Hessian at {sign:+d}e, outside: at e positive for f > 1",
        )
    angle = sp.Symbol("phi", real=True)
    proof.equal(
        sp.series((1 - sp.cos(angle)) ** 2, angle, 0, 6).removeO(),
        proof.term("leading", angle**4 / 4),
        "f = 1, where c = 1 and nothing is in span: a quartic minimum",
    )
    _norm_term(proof)


def _norm_term(proof: Proof) -> None:
    length, lam = sp.symbols("r lambda", positive=True)
    norm_term = lam * (length - proof.term("radius", sp.Integer(1))) ** 2
    proof.zero(sp.diff(norm_term, length).subs(length, 1), "the norm term alone sees |h|: |h| = 1")
    count = sp.Symbol("f", positive=True, integer=True)
    value = cos_alpha * f * (1 - cos_alpha) ** 2 + lam * (length - 1) ** 2
    proof.tie(
        value.subs(f, count), [count, theta, length, lam], _loss_at_mean,
        points(36, 8, (1, 20), (0.05, 1.5), (0.25, 4.0), (0.01, 2.0)), "CosineRegression.value",
    )  # fmt: skip


def _loss_at_mean(count: int, angle: float, length: float, lam: float) -> Tensor:
    parts, label = own_centers(count, angle)
    return CosineRegression(lam=lam).value(length * parts.direction[:1], parts, label)[0]


@evidence(
    GRADIENT,
    EvidenceKind.SYMBOLIC,
    domain="all w, h != 0; in their plane, which contains the gradient",
    steps=("gradient", "tangential", "printed"),
)
def tangential_gradient(proof: Proof) -> None:
    """Coordinates w = (1, 0), h = (p, q); the cosine is a = p/|h|."""
    p, q = sp.symbols("p q", real=True)
    h, w = sp.Matrix([p, q]), sp.Matrix([1, 0])
    r = sp.sqrt(p**2 + q**2)
    a = p / r
    gradient = sp.Matrix([sp.diff((a - 1) ** 2, v) for v in (p, q)])
    scale = proof.term("scale", 1 / r)
    formula = -2 * (1 - a) * scale * (w - a * h / r)
    proof.zero(gradient - formula, "-(2(1-a)/|h|)(w - a h/|h|)")
    proof.zero(gradient.dot(h), "no radial part: descent turns h and keeps |h| to first order")
    printed = -2 * (1 - a) / r**2 * (w - a * h)
    proof.equal(
        (formula - printed).dot(h),
        2 * (1 - a) * a * (1 / r - 1),
        "the printed form has a radial part unless |h| = 1",
    )
    proof.equal(
        (formula - printed).dot(sp.Matrix([-q, p])),
        2 * (1 - a) * q * (1 / r - 1 / r**2),
        "and another length of its tangential part",
    )
    proof.tie(
        formula[0], [p, q], _first_component, points(37, 6, (0.25, 2.0), (0.25, 2.0)),
        "autograd through CosineRegression, f = 1",
    )  # fmt: skip


def _first_component(p: float, q: float) -> Tensor:
    parts, label = own_centers(1, math.pi / 2)
    h = torch.zeros(1, parts.W.shape[1], dtype=torch.float64)
    h[0, 0], h[0, -1] = p, q
    h.requires_grad_()
    value = CosineRegression("one", lam=0.0).value(h, parts, label)[0]
    return torch.autograd.grad(value, h)[0][0, 0]


@evidence(
    WEIGHTING,
    EvidenceKind.SYMBOLIC,
    domain="all f >= 1, theta in (0, pi/2]; unit feature orthogonal to its class's centers",
    steps=("unweighted", "weighted", "less"),
)
def pull_of_a_class(proof: Proof) -> None:
    """All cosines a_j = 0: the gradient is -2 sum_j w_j, of squared norm 4 * 1'G1."""
    proof.assume(theta <= sp.pi / 2)
    square = 4 * f * gram().row_sum
    pull = proof.term("pull", 2 * sp.sqrt(f * g))
    proof.equal(pull**2, square, "2 sqrt(f g)")
    proof.equal(cos_alpha * pull, 2 * g, "times cos(alpha): 2 g, linear in f")
    proof.equal(f - g, (f - 1) * cos**2, "g <= f, so the weight never adds")
    count = sp.Symbol("f", positive=True, integer=True)
    grid = points(38, 6, (1, 40), (0.05, 1.5))
    for weighting, expression in (("one", 2 * sp.sqrt(f * g)), ("cos_alpha", 2 * g)):
        proof.tie(
            expression.subs(f, count),
            [count, theta],
            lambda a, t, w=weighting: _pull(a, t, w),
            grid,
            f"autograd through CosineRegression({weighting!r})",
        )


def _pull(count: int, angle: float, weighting: str) -> Tensor:
    parts, label = own_centers(count, angle)
    h = torch.zeros(1, parts.W.shape[1], dtype=torch.float64)
    h[0, -1] = 1.0
    h.requires_grad_()
    loss = CosineRegression("one" if weighting == "one" else "cos_alpha", lam=0.0)
    return torch.autograd.grad(loss.value(h, parts, label)[0], h)[0].norm()


@evidence(
    VARIABILITY,
    EvidenceKind.SYMBOLIC,
    domain="all f_k, n_k, theta in (0, pi/2); at exact collapse",
    steps=("limit", "positive", "nearest center"),
)
def variability_at_collapse(proof: Proof) -> None:
    """A sample at e_k adds 1 - <e_k, w_k>; <e, w> = <C'1/f, w>/|mean|, <w_j, w> = sin(theta)."""
    proof.assume(theta <= sp.pi / 2)
    score = proof.term("score", sin) / cos_alpha
    proof.equal(score, sp.sqrt(f) * sin / sp.sqrt(g), "cos(rho)")
    proof.equal(1 - f * sin**2 / g, cos**2 / g, "1 - cos^2(rho)")
    proof.positive((cos**2 / g).subs(FREE), "is positive: sigma does not vanish")
    ones = IJ(0, 1, f)
    proof.equal((gram() @ ones).b / f / cos_alpha, cos_alpha, "<w_j, e> = cos(alpha)")
    inner = sp.Symbol("inner", real=True)
    distance = proof.term("two", sp.Integer(2)) - 2 * inner
    unit = sp.Matrix([1, 0]) - sp.Matrix([inner, sp.sqrt(1 - inner**2)])
    proof.equal(unit.dot(unit), distance, "|w_j - e|^2 of unit vectors is 2 - 2<w_j, e>")
    counts = sp.symbols("f_1 f_2", positive=True, integer=True)
    sizes = sp.symbols("n_1 n_2", positive=True, integer=True)
    cosines = [sp.sqrt(a) * sin / sp.sqrt(g.subs(f, a)) for a in counts]
    sigma = sum(b * (1 - r) for b, r in zip(sizes, cosines, strict=True)) / sum(sizes)
    proof.tie(
        sigma,
        [*counts, *sizes, theta],
        lambda a, b, n_1, n_2, t: collapsed_sigma(
            MultiCenter((a, b), t), torch.tensor([n_1, n_2], dtype=torch.float64)
        ),
        points(39, 6, (1, 20), (1, 20), (1, 99), (1, 99), (0.05, 1.5)),
        "metrics.collapsed_sigma, K = 2",
    )


@evidence(
    ARB,
    EvidenceKind.SYMBOLIC,
    domain="all K, n_k; logits within the clamp of the released code",
    steps=("identity", "shift"),
)
def balanced_softmax(proof: Proof) -> None:
    """The other classes enter by the sum over j != y of n_j e^{z_j}, here ``rest``."""
    z = sp.Symbol("z", real=True)
    rest, count, total = sp.symbols("rest n_y N", positive=True)
    arb = -sp.log(sp.exp(z) / (sp.exp(z) + rest / count))
    adjusted = z + proof.term("prior", sp.log(count))
    softmax = sp.log(sp.exp(z) * count + rest) - adjusted
    proof.equal(arb, softmax, "cross-entropy of z + log n")
    shifted = sp.log((sp.exp(z) * count + rest) / total) - (z + sp.log(count / total))
    proof.equal(shifted, softmax, "log pi for log n shifts all logits alike")
    sizes = sp.symbols("n_1:4", positive=True, integer=True)
    logits = sp.symbols("z_1:4", real=True)
    full = sp.log(sum(n * sp.exp(v) for n, v in zip(sizes, logits, strict=True)))
    full -= logits[0] + sp.log(sizes[0])
    grid = points(40, 6, *[(1, 500)] * 3, *[(-3.0, 3.0)] * 3)
    proof.tie(full, [*sizes, *logits], _repulsion, grid, "AttractionRepulsion, K = 3")
    proof.tie(full, [*sizes, *logits], _adjustment, grid, "LogitAdjusted(tau=1), K = 3")


def _repulsion(*values: float) -> Tensor:
    sizes, z = tuple(int(v) for v in values[:3]), torch.tensor([values[3:]], dtype=torch.float64)
    frame = torch.eye(3, dtype=torch.float64)
    return AttractionRepulsion(sizes).value(z, frame, torch.tensor([0]))[0]


def _adjustment(*values: float) -> Tensor:
    sizes, z = tuple(int(v) for v in values[:3]), torch.tensor([values[3:]], dtype=torch.float64)
    return LogitAdjusted(sizes).value(z.mT, torch.tensor([0]))[0]
