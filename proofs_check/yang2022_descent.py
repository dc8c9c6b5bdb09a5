"""Numeric evidence for Yang et al. (2022): gradient descent on the feature sphere, step by step."""

from __future__ import annotations

import math

import torch

from proofs_check._harness import Measurement, evidence
from proofs_check.yang2022 import curvature_in_span, curvature_outside
from ufm.claims import EvidenceKind
from ufm.geometry import etf
from ufm.losses import CrossEntropy, DotRegression
from ufm.theory.yang2022 import CE_RATE, DR_FASTER, DR_QUARTIC, DR_REGIMES


def angle_after(
    K: int, E: float, loss: CrossEntropy | DotRegression, *, steps: int, seed: int = 0
) -> float:
    """Angle to the optimum after Riemannian gradient descent from an angle of 1.2.

    Each loss with the inverse of its largest curvature as step: ``2(K-1)/(K E)`` for
    cross-entropy and ``sqrt(E_H/E_W) = 1`` for dot regression.

    Args:
        K: Number of classes, d = K.
        E: Both budgets.
        loss: The loss.
        steps: Number of steps.
        seed: Of the random tangent direction of the start.

    Returns:
        The angle in radians.
    """
    W = E**0.5 * etf(K, K)
    target = W[0] / W[0].norm()
    generator = torch.Generator().manual_seed(seed)
    tangent = torch.randn(K, generator=generator, dtype=torch.float64)
    tangent = tangent - (tangent @ target) * target
    h = E**0.5 * (math.cos(1.2) * target + math.sin(1.2) * tangent / tangent.norm())
    eta = 2 * (K - 1) / (K * E) if isinstance(loss, CrossEntropy) else 1.0
    label = torch.tensor([0])
    for _ in range(steps):
        gradient = W.mT @ loss.grad((W @ h).unsqueeze(-1), label).squeeze(-1)
        h = h - eta * (gradient - (gradient @ h / E) * h)
        h = h * (E**0.5 / h.norm())
    return 2 * math.asin(min(1.0, float((h / E**0.5 - target).norm()) / 2))


@evidence(
    CE_RATE,
    EvidenceKind.NUMERIC,
    domain="K = 10, E = 1 and 5; K = 100, E = 1: measured contraction of gradient descent",
)
def measured_linear_rate(measure: Measurement) -> None:
    """The slowest direction contracts by |1 - eta * curvature| a step."""
    for classes, E, early, late in ((10, 1.0, 30, 40), (10, 5.0, 800, 900), (100, 1.0, 250, 260)):
        eta = 2 * (classes - 1) / (classes * E)
        ratio = angle_after(classes, E, CrossEntropy(), steps=late) / angle_after(
            classes, E, CrossEntropy(), steps=early
        )
        factors = (
            abs(1 - eta * curvature(classes, E, E))
            for curvature in (curvature_in_span, curvature_outside)
        )
        predicted = max(factors) ** (late - early)
        measure.below(f"relative error, K = {classes}, E = {E:g}", abs(ratio / predicted - 1), 1e-3)


@evidence(
    DR_QUARTIC,
    EvidenceKind.NUMERIC,
    domain="K = 10, E = 1, eta = 1, t = 4000 steps of gradient descent",
)
def measured_sublinear_rate(measure: Measurement) -> None:
    """theta_t sqrt(eta' t) tends to one."""
    angle = angle_after(10, 1.0, DotRegression(1.0), steps=4000)
    measure.record("theta sqrt(eta' t)", angle * 4000**0.5)
    measure.below("distance from one", abs(angle * 4000**0.5 - 1), 2e-3)


@evidence(
    DR_REGIMES,
    EvidenceKind.NUMERIC,
    domain="from 1.2 rad, each loss with its inverse curvature as step: 4000 steps, K = 10, "
    "E_W = E_H = 1 and 20; 1, 3, 10, ..., 1000 steps, K = 3, 10, 100, E_W = E_H = 1",
)
def regimes(measure: Measurement) -> None:
    """Cross-entropy is ahead before it saturates, dot regression after."""
    for steps in (1, 3, 10, 30, 100, 300, 1000):
        dr = angle_after(10, 1.0, DotRegression(1.0), steps=steps)
        for classes in (3, 10, 100):
            ce = angle_after(classes, 1.0, CrossEntropy(), steps=steps)
            measure.below("CE over DR, E = 1, 1 to 1000 steps", ce / dr, 1.0)
    for E in (1.0, 20.0):
        ce = angle_after(10, E, CrossEntropy(), steps=4000)
        dr = angle_after(10, E, DotRegression(E), steps=4000)
        measure.record(f"CE, E = {E:g}", ce)
        measure.record(f"DR, E = {E:g}", dr)
        measure.true("CE ahead at E = 1, DR ahead at E = 20", (ce < dr) == (E == 1.0))


@evidence(
    DR_FASTER,
    EvidenceKind.COUNTEREXAMPLE,
    domain="K = 10, E_W = E_H = 1, the setting of the released code; 4000 steps from 1.2 rad",
)
def slower_and_sublinear(measure: Measurement) -> None:
    """Cross-entropy is at rounding level; dot regression halves its angle in 4 times the steps."""
    quarter, full = (angle_after(10, 1.0, DotRegression(1.0), steps=t) for t in (1000, 4000))
    measure.below("CE angle", angle_after(10, 1.0, CrossEntropy(), steps=4000), 1e-12)
    measure.above("DR angle", full, 1e-2)
    measure.below("|DR ratio 4t/t - 1/2|", abs(full / quarter - 0.5), 1e-2)
