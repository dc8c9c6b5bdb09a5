"""Evidence for Yang et al. (2022): fixed frames, dot regression, per-vector budgets."""

from __future__ import annotations

import math
from typing import Any

import sympy as sp
import torch

from proofs_check._harness import evidence
from proofs_check._proof import Proof, points
from proofs_check.zhu2021 import K, a, symmetric_loss, tangent
from ufm.claims import EvidenceKind
from ufm.geometry import SimplexETF, etf
from ufm.losses import BatchDotRegression, CrossEntropy, DotRegression
from ufm.objective import Objective, Point
from ufm.problem import Fixed, Problem, Sphere
from ufm.theory.yang2022 import (
    CE_RATE,
    CODE_WEIGHTS,
    DR_MINIMISER,
    DR_QUARTIC,
    FIXED_ETF_CE,
    GRADIENTS,
    VECTOR_DUAL,
)


E_W, E_H = sp.symbols("E_W E_H", positive=True)
s = sp.sqrt(E_W * E_H)
p_1 = 1 / (1 + (K - 1) * sp.exp(-K * s / (K - 1)))
p_o = (1 - p_1) / (K - 1)


def fixed_frame(K: int, E_W: float, E_H: float, loss: CrossEntropy | DotRegression) -> Problem:
    """A model with the classifier fixed to an ETF and features on spheres.

    Args:
        K: Number of classes; d = K.
        E_W: Squared norm of the rows.
        E_H: Squared norm of the features.
        loss: The loss.

    Returns:
        The problem.
    """
    return Problem(
        K=K, d=K, n=(1,) * K, loss=loss, reg=Sphere(E_W=E_W, E_H=E_H),
        classifier=Fixed(SimplexETF(E_W)),
    )  # fmt: skip


@evidence(
    FIXED_ETF_CE,
    EvidenceKind.SYMBOLIC,
    domain="all K >= 2, all n_k, E_W, E_H; the problem separates over samples",
    steps=("stationarity", "lower bound", "equality"),
)
def fixed_frame_optimum(proof: Proof) -> None:
    """Rows of the ETF sum to zero: sum_{j != k} w_j = -w_k and likewise for the logits."""
    p_k, own = sp.symbols("p_k w", real=True)
    p = (1 - p_k) / (K - 1)
    others = -proof.term("sum of the other rows", own)
    proof.equal(
        (1 - p_k) * own - p * others,
        K / (K - 1) * (1 - p_k) * own,
        "-gradient is a positive multiple of w_k at the symmetric point: KKT on the ball",
    )
    z = sp.Symbol("z_k", real=True)
    differences = -z - (K - 1) * z
    proof.equal(differences, -K * z, "sum_j (z_j - z_k) = -K z_k >= -K s by Cauchy-Schwarz")
    scale = proof.term("scale", K * s / (K - 1))
    proof.equal(
        tangent(a, -K * s).subs(a, scale),
        symmetric_loss(K * s / (K - 1)),
        "tangent inequality at a = Ks/(K-1)",
    )
    proof.equal(-s / (K - 1) - s, -scale, "h = sqrt(E_H/E_W) w_k has these differences: equality")
    inner, norm2 = sp.symbols("wh hh", real=True)
    ratio = proof.term("ratio", sp.sqrt(E_H / E_W))
    proof.equal(
        2 * ratio * (s - inner),
        (norm2 - 2 * ratio * inner + ratio**2 * E_W) + (E_H - norm2),
        "s - w_k.h is |h - sqrt(E_H/E_W) w_k|^2 + (E_H - |h|^2) but for a factor: zero, as "
        "equality asks, only at this h: the minimiser is unique",
    )
    proof.tie(
        symmetric_loss(K * s / (K - 1)),
        [K, E_W, E_H],
        _predicted_value,
        points(24, 6, (2, 20), (0.1, 4.0), (0.1, 4.0)),
        "FIXED_ETF_CE.predict(...).value",
    )


def _predicted_value(K: int, E_W: float, E_H: float) -> float:
    value = FIXED_ETF_CE.predict(fixed_frame(K, E_W, E_H, CrossEntropy())).value
    return math.nan if value is None else value


@evidence(
    DR_MINIMISER,
    EvidenceKind.SYMBOLIC,
    domain="all K, n_k, E_W, E_H, any frame of equal norms",
    steps=("Cauchy-Schwarz",),
)
def dot_regression_zero(proof: Proof) -> None:
    """Where the square vanishes the distance to the frame vector is |h|^2 - E_H <= 0."""
    inner, norm2 = sp.symbols("wh hh", real=True)
    ratio = proof.term("ratio", sp.sqrt(E_H / E_W))
    distance = norm2 - 2 * ratio * inner + ratio**2 * E_W
    proof.equal(distance.subs(inner, s), norm2 - E_H, "|h - sqrt(E_H/E_W) w|^2 where w.h = s")


@evidence(
    GRADIENTS,
    EvidenceKind.SYMBOLIC,
    domain="all K, d, n_k; any W",
    steps=("feature", "classifier", "dot regression"),
)
def gradient_split(proof: Proof) -> None:
    """One logit enters log(e^{z_j} + rest) alone; z_j = w_j.h is linear in w_j and in h."""
    z_j, rest = sp.Symbol("z_j", real=True), sp.Symbol("rest", positive=True)
    p_j = sp.exp(z_j) / (sp.exp(z_j) + rest)
    proof.equal(
        sp.diff(sp.log(sp.exp(z_j) + rest), z_j), proof.term("softmax", p_j), "d lse/dz_j = p_j"
    )
    proof.equal(
        -sp.diff(sp.log(sp.exp(z_j) + rest) - z_j, z_j), 1 - p_j, "label: 1 - p_k, the pull"
    )
    w, own, other, rest_2 = sp.symbols("w h_own h_other rest_2", positive=True)
    n_k, total = sp.symbols("n_k N", positive=True)
    risk = n_k * (sp.log(sp.exp(w * own) + rest) - w * own)
    risk += (total - n_k) * sp.log(sp.exp(w * other) + rest_2)
    pull = n_k * rest / (sp.exp(w * own) + rest) * own  # 1 - p_k = rest / sum
    push = sp.exp(w * other) / (sp.exp(w * other) + rest_2) * other
    proof.equal(
        -sp.diff(risk, w),
        pull - proof.term("pushing samples", total - n_k) * push,
        "w_k, per coordinate: n_k terms of pull, N - n_k of push",
    )
    cosine, length = sp.Symbol("cos", real=True), sp.Symbol("s", positive=True)
    loss = (z_j - length) ** 2 / (2 * length)
    proof.equal(
        -sp.diff(loss, z_j).subs(z_j, length * cosine), 1 - cosine, "dot regression: pure pull"
    )
    proof.tie(
        -sp.diff(loss, z_j),
        [z_j, length],
        lambda z, target: (
            -DotRegression(target).grad(
                torch.tensor([[z], [0.0]], dtype=torch.float64), torch.tensor([0])
            )[0, 0]
        ),
        points(9, 6, (-2.0, 2.0), (0.5, 3.0)),
        "DotRegression.grad",
    )


@evidence(
    CODE_WEIGHTS,
    EvidenceKind.SYMBOLIC,
    domain="all counts n_k >= 1, gamma > 0; features normalised",
    steps=("code gradient", "printed gradient"),
)
def class_balanced_code(proof: Proof) -> None:
    """Gradients in the unit feature, coefficient of the unit frame vector m_k."""
    cosine, L = sp.Symbol("cos", real=True), sp.Symbol("L", positive=True)
    count, gamma = sp.symbols("n_k gamma", positive=True)
    inner = L * cosine
    code = sp.diff((inner - L) ** 2 / 2, cosine)
    proof.equal(code, -(proof.term("length", L) ** 2) * (1 - cosine), "code: (dot - L)^2/2")
    printed = sp.diff((inner - L) ** 2 / (2 * L), cosine)
    proof.equal(printed, -L * (1 - cosine), "printed: (dot - s)^2/(2s) with s = L")
    length = sp.sqrt(gamma / count)
    proof.equal(count * length**2, gamma, "total weight of a class present: gamma, for every count")
    proof.equal(count * length, sp.sqrt(gamma * count), "printed: square-root balancing")
    own, other = sp.symbols("n_1 n_2", positive=True, integer=True)
    weight: Any = {L: sp.sqrt((own + other) / (2 * own))}  # gamma = B/2 with two classes present
    proof.assume(cosine >= -1, cosine <= 1)
    grid = points(25, 5, (1, 9), (1, 9), (-1.0, 1.0))
    for name, expression in (("released", code), ("paper", printed)):
        proof.tie(
            own * expression.subs(weight),
            [own, other, cosine],
            lambda n, m, c, name=name: n * _coefficient(n, m, c, name),
            grid,
            f"BatchDotRegression({name!r}): the pull of a class's samples along its vector",
        )


def _coefficient(own: int, other: int, cosine: float, normalisation: str) -> torch.Tensor:
    frame = torch.eye(2, dtype=torch.float64)
    h = torch.tensor([[cosine, (1 - cosine**2) ** 0.5]], dtype=torch.float64)
    H = h.repeat(own + other, 1).requires_grad_()
    y = torch.tensor([0] * own + [1] * other)
    loss = BatchDotRegression("released" if normalisation == "released" else "paper")
    return torch.autograd.grad(loss.value(H, frame, y)[0], H)[0][0, 0]


@evidence(
    CE_RATE,
    EvidenceKind.SYMBOLIC,
    domain="all K >= 2, E_W, E_H; at the optimum",
    steps=("curvature", "in span", "outside span"),
)
def sphere_hessian(proof: Proof) -> None:
    """Tangent t at h: t'W'(diag p - pp')W t - (grad.h/|h|^2)|t|^2, x_j = w_j.t, x_k = 0."""
    curvature = proof.term("curvature", K / (K - 1) * (1 - p_1) * sp.sqrt(E_W / E_H))
    proof.equal(
        K / (K - 1) * (1 - p_1) * s / E_H, curvature, "-grad.h/E_H with -grad = K/(K-1)(1-p_1)w_k"
    )
    square, total = sp.symbols("X2 X1", real=True)
    form = p_o * square - (p_o * total) ** 2
    proof.equal(form.subs(total, 0), p_o * square, "sum_j x_j = 0, so the rank-one part vanishes")
    in_span = curvature + p_o * E_W * K / (K - 1)
    proof.equal(
        in_span,
        K / (K - 1) * ((1 - p_1) * sp.sqrt(E_W / E_H) + E_W * p_o),
        "in the span sum x_j^2 = E_W K/(K-1) |t|^2 by tightness; outside it x = 0",
    )
    grid = points(10, 6, (3, 9), (0.5, 3.0), (0.5, 3.0))
    proof.tie(in_span, [K, E_W, E_H], curvature_in_span, grid, "Objective.hvp, in span")
    proof.tie(curvature, [K, E_W, E_H], curvature_outside, grid, "Objective.hvp, outside")


def curvature_in_span(K: int, E_W: float, E_H: float) -> float:
    """Curvature of cross-entropy on the feature sphere at its optimum, in the span of the frame.

    Args:
        K: Number of classes; d = K.
        E_W: Squared norm of the rows.
        E_H: Squared norm of the features.

    Returns:
        The second derivative along a unit tangent, as the package computes it.
    """
    frame = etf(K, K)
    return _sphere_curvature(K, E_W, E_H, frame[1] - frame[2])


def curvature_outside(K: int, E_W: float, E_H: float) -> float:
    """Curvature of cross-entropy on the feature sphere at its optimum, outside its span.

    Args:
        K: Number of classes; d = K.
        E_W: Squared norm of the rows.
        E_H: Squared norm of the features.

    Returns:
        The second derivative along a unit tangent, as the package computes it.
    """
    return _sphere_curvature(K, E_W, E_H, torch.eye(K, dtype=torch.float64)[K - 1])


def _sphere_curvature(K: int, E_W: float, E_H: float, tangent: torch.Tensor) -> float:
    objective = Objective.stack([fixed_frame(K, E_W, E_H, CrossEntropy())], K)
    frame = etf(K, K)
    x = Point(E_W**0.5 * frame[None], E_H**0.5 * frame.mT[None], torch.zeros(1, K).double())
    unit = torch.zeros_like(x.H)
    unit[0, :, 0] = tangent / tangent.norm()
    direction = Point(torch.zeros_like(x.W), unit, torch.zeros_like(x.b))
    second = (objective.hvp(x, direction).H * unit).sum()
    radial = (objective.value_and_grad(x)[1].H[0, :, 0] * x.H[0, :, 0]).sum() / E_H
    return float(K * (second - radial))


@evidence(
    DR_QUARTIC,
    EvidenceKind.SYMBOLIC,
    domain="all E_W, E_H, eta; the flow of the leading term, and descent as theta -> 0",
    steps=("quartic", "flow", "descent"),
)
def quartic_minimum(proof: Proof) -> None:
    """On the sphere w.h = s cos(theta): the loss is s (1 - cos theta)^2 / 2."""
    theta, target = sp.Symbol("theta", real=True), sp.Symbol("s", positive=True)
    loss = target * (1 - sp.cos(theta)) ** 2 / 2
    leading = proof.term("leading", target / 8 * theta**4)
    proof.equal(
        sp.series(loss, theta, 0, 6).removeO(), leading, "no term below the fourth: zero Hessian"
    )
    t, eta, start = sp.symbols("t eta theta_0", positive=True)
    rate = proof.term("rate", eta * sp.sqrt(E_W / E_H))
    flow = -eta / E_H * sp.diff(leading.subs(target, s), theta)
    solution = 1 / sp.sqrt(rate * t + start**-2)
    proof.equal(
        sp.diff(solution, t),
        flow.subs(theta, solution),
        "theta = (eta sqrt(E_W/E_H) t + theta_0^-2)^(-1/2) solves theta' = -(eta/E_H) L'(theta)",
    )
    proof.equal(solution.subs(t, 0), start, "from theta_0")
    # One step along the tangent and back to the sphere: theta decreases by this angle.
    turn = sp.atan(eta / E_H * sp.diff(loss, theta))
    cubic = eta * target / (2 * E_H)
    proof.equal(sp.series(turn, theta, 0, 5).removeO(), cubic * theta**3, "a step of descent")
    gain = (theta - cubic * theta**3) ** -2 - theta**-2
    proof.limit(
        gain.subs(target, s), theta, 0, rate, "theta^-2 gains eta' a step, so theta_t^-2/t -> eta'"
    )
    proof.tie(
        loss,
        [theta, target],
        lambda angle, length: DotRegression(length).value(
            torch.tensor([[length * math.cos(angle)], [0.0]], dtype=torch.float64),
            torch.tensor([0]),
        )[0],
        points(26, 6, (0.25, 3.0), (0.5, 4.0)),
        "DotRegression.value on the sphere",
    )


@evidence(
    VECTOR_DUAL,
    EvidenceKind.SYMBOLIC,
    domain="all K, class shares, E_W, E_H, positive multipliers",
    steps=("bound", "stationary multipliers"),
)
def per_vector_bound(proof: Proof) -> None:
    """|<M, B^(1/2) W H A^(1/2)>| <= |M| |B^(1/2) W|_F |H A^(1/2)|_F <= E_W tr B + E_H tr A."""
    x, y = sp.symbols("x y", nonnegative=True)
    norm = proof.term("norm bound", sp.Integer(2))
    proof.equal(x**2 + y**2 - norm * x * y, (x - y) ** 2, "|M| = 2, x = |B^(1/2)W|, y = |HA^(1/2)|")
    multiplier, length, budget = sp.symbols("beta w E", positive=True)
    pull = sp.diff(multiplier * (length**2 - budget), length)
    found = proof.term("projection", pull * length / (2 * budget))
    proof.equal(
        found.subs(length, sp.sqrt(budget)),
        multiplier,
        "-(GH')_k = 2 beta_k w_k with |w_k|^2 = E_W gives beta_k; likewise alpha_k",
    )
