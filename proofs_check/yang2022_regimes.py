"""Proof of who is ahead when: cross-entropy and dot regression on the feature sphere."""

from __future__ import annotations

import math

import sympy as sp
import torch

from proofs_check._blocks import IJ
from proofs_check._harness import evidence
from proofs_check._proof import Proof, points
from proofs_check.zhu2021 import K
from ufm.claims import EvidenceKind
from ufm.geometry import etf
from ufm.losses import DotRegression
from ufm.theory.yang2022 import DR_REGIMES


E_W, E_H = sp.symbols("E_W E_H", positive=True)
s = sp.sqrt(E_W * E_H)


@evidence(
    DR_REGIMES,
    EvidenceKind.SYMBOLIC,
    domain="all K >= 2, E_W, E_H, starts in (0, pi) from which cross-entropy converges; each loss "
    "with its inverse curvature as step",
    steps=("eventually", "scale-free", "saturated"),
)
def who_is_ahead(proof: Proof) -> None:
    """The steps are sqrt(E_H/E_W) for dot regression and 2(K-1)/(K E_W) for cross-entropy."""
    t, c = sp.symbols("t c", positive=True)
    linear = proof.term("linear rate", sp.exp(-c * t), sp.exp(-c * t) + 1 / sp.sqrt(t))
    proof.limit(
        linear * sp.sqrt(t), t, sp.oo, 0,
        "linear against sublinear: angle of cross-entropy over that of dot regression vanishes "
        "at every s, with e^{-c} < 1 its contraction near the optimum and (eta' t)^(-1/2)",
    )  # fmt: skip
    _course_of_dot_regression(proof)
    _step_of_cross_entropy(proof)


def _course_of_dot_regression(proof: Proof) -> None:
    theta = sp.Symbol("theta", positive=True)
    loss = s * (1 - sp.cos(theta)) ** 2 / 2
    eta = proof.term("step", sp.sqrt(E_H / E_W))
    turn = (1 - sp.cos(theta)) * sp.sin(theta)
    proof.equal(
        eta / E_H * sp.diff(loss, theta), turn, "tangent of the turn: free of K, E_W and E_H"
    )
    half = sp.Symbol("h", positive=True)  # tan(theta/2): theta in (0, pi)
    sine, cosine = 2 * half / (1 + half**2), (1 - half**2) / (1 + half**2)
    proof.equal(sine**2 + cosine**2, 1, "sine and cosine by the half angle")
    proof.equal(
        (1 - cosine) * sine,
        4 * half**3 / (1 + half**2) ** 2,
        "positive in (0, pi): the angle falls",
    )
    x = sp.Symbol("x", real=True)
    proof.equal(
        1 - x + x**2,
        (x - sp.Rational(1, 2)) ** 2 + sp.Rational(3, 4),
        "tan(theta) - turn = sin(theta) (1 - x + x^2)/x, x = cos(theta) > 0: it stays positive; "
        "from beyond pi/2 one turn is less than pi/2. So it tends to the only fixed point, 0",
    )
    proof.assume(theta < sp.pi)
    proof.tie(
        theta - sp.atan(turn),
        [theta],
        _one_step,
        points(13, 6, (0.1, 3.0)),
        "one step of Riemannian descent on DotRegression, K = 4, E_W = 2, E_H = 3",
    )


def _one_step(theta: float) -> float:
    W = 2**0.5 * etf(4, 4)
    target, tangent = W[0] / W[0].norm(), W[1] - W[2]
    h = math.cos(theta) * target + math.sin(theta) * tangent / tangent.norm()
    h = 3**0.5 * h
    gradient = W.mT @ DotRegression(6**0.5).grad((W @ h).unsqueeze(-1), torch.tensor([0]))[:, 0]
    h = h - (3 / 2) ** 0.5 * (gradient - (gradient @ h / 3) * h)
    return 2 * math.asin(float((h / h.norm() - target).norm()) / 2)


def _step_of_cross_entropy(proof: Proof) -> None:
    frame = IJ(K / (K - 1), -1 / (K - 1), K)
    proof.zero(
        frame @ frame - frame * proof.term("tightness", K / (K - 1)),
        "|W'(e_y - p)|^2 = E_W K/(K-1) |e_y - p|^2, the entries of e_y - p summing to zero",
    )
    own, other, largest, least = sp.symbols("x y M m", real=True)
    proof.equal(
        (own + other) ** 2 - own**2 - other**2,
        2 * own * other,
        "sum_c p_c^2 <= (sum_c p_c)^2 over the other classes: |e_y - p|^2 <= 2 (1 - p_y)^2 <= 2",
    )
    proof.equal(
        2 * (largest**2 + least**2) - (largest - least) ** 2,
        (largest + least) ** 2,
        "variance of x under p <= (M - m)^2/4 <= |x|^2/2: curvature at most E_W K/(2(K-1))",
    )
    eta = 2 * (K - 1) / (K * E_W)
    turn = eta * sp.sqrt(2 * K / (K - 1) * E_W) / sp.sqrt(E_H)
    bound = 2 * sp.sqrt(2) * sp.sqrt((K - 1) / K) / s
    proof.equal(turn, bound, "so a step turns the feature by less than eta |gradient|/sqrt(E_H)")
    t, start, length = sp.symbols("t theta_0 s", positive=True)
    left = start - t * bound.subs(E_W, length**2 / E_H)
    proof.limit(
        left, length, sp.oo, start,
        "after t steps cross-entropy is left at this angle at least: at its start as s grows, "
        "while dot regression has moved on",
    )  # fmt: skip
