"""Calibrated soft targets that a budget or a ridge keeps from being fitted exactly. Ours."""

from __future__ import annotations

import math
from collections.abc import Callable

from ufm import theory
from ufm.claims import Assumption, Claim, Kind, Prediction, register
from ufm.geometry.specs import HAFrame
from ufm.losses import SoftTargets
from ufm.problem import AverageBudget, ClassMeanDecay, Problem, WeightDecay
from ufm.theory._assumptions import AVERAGE_BUDGET, ETF_FITS, LEARNABLE, NO_BIAS
from ufm.theory.liang2023 import OURS, fixed_frame, is_simplex
from ufm.theory.liang2023_targets import SOFT_TARGETS, SYMMETRIC, TARGET_FRAME
from ufm.theory.tree_levels import Levels


def falling_root(f: Callable[[float], float], lo: float, hi: float) -> float:
    """Zero of a non-increasing function by bisection, to the last digit.

    Args:
        f: Function, >= 0 at ``lo`` and <= 0 at ``hi``.
        lo: Lower end.
        hi: Upper end.

    Returns:
        The zero.
    """
    while lo < (middle := (lo + hi) / 2) < hi:
        lo, hi = (middle, hi) if f(middle) > 0 else (lo, middle)
    return lo


def shrunk(levels: Levels, beta: float, cut: float) -> tuple[float, ...]:
    """Probabilities whose spectrum is that of the targets, reduced and cut at zero.

    Args:
        levels: Symmetric tree.
        beta: Norm aimed at.
        cut: What every eigenvalue loses.

    Returns:
        Probabilities by level.
    """
    spectrum = levels.spectrum(levels.targets(beta))
    return levels.probabilities([max(0.0, theta - cut) for theta in spectrum])


def _is_short(problem: Problem) -> bool:
    if not (SOFT_TARGETS.holds(problem) and AVERAGE_BUDGET.holds(problem)):
        return False
    assert isinstance(problem.loss, SoftTargets)
    return problem.radius < theory.smallest_radius(problem.loss)


def _levels(problem: Problem) -> tuple[SoftTargets, Levels]:
    assert isinstance(problem.loss, SoftTargets)
    levels = Levels.of(problem.loss.frame)
    assert levels is not None
    return problem.loss, levels


def _budget(claim: Claim, problem: Problem) -> Prediction:
    (loss, levels), reg, K = _levels(problem), problem.reg, problem.K
    assert isinstance(reg, AverageBudget)
    targets = levels.targets(loss.beta)

    def excess(cut: float) -> float:
        # The trace of the logits is their nuclear norm.
        return K * levels.centred_logits(shrunk(levels, loss.beta, cut))[0] - problem.radius

    cut = falling_root(excess, 0.0, levels.spectrum(targets)[-1])
    probabilities = shrunk(levels, loss.beta, cut)
    logits = theory.level_matrix(loss.frame, levels, levels.centred_logits(probabilities))
    return Prediction(
        claim,
        geometry=theory.balanced_factors(logits, math.sqrt(reg.E_W / reg.E_H)),
        value=levels.divergence(targets, probabilities),
        unique=True,
        note=f"as with ridges of strength {cut / K:.10g}",
        numbers={"kappa": cut / K},
    )


def _simplex_targets(problem: Problem) -> bool:
    frame = fixed_frame(problem)
    return frame is not None and is_simplex(frame)


def _has_feature_ridge(problem: Problem) -> bool:
    reg = problem.reg
    return isinstance(reg, WeightDecay | ClassMeanDecay) and reg.lam_H > 0


def _fixed_ridge(claim: Claim, problem: Problem) -> Prediction:
    frame, reg, loss, K = fixed_frame(problem), problem.reg, problem.loss, problem.K
    assert isinstance(frame, HAFrame)
    assert isinstance(loss, SoftTargets)
    assert isinstance(reg, WeightDecay | ClassMeanDecay)
    if not is_simplex(frame):
        return Prediction(claim, note="the features are not along the rows of the frame")
    stretch = K / (K - 1)

    def wrong(a: float) -> float:
        odds = (K - 1) * math.exp(-a * stretch)
        return odds / (1 + odds)

    target, D = wrong(loss.beta), problem.n if isinstance(reg, WeightDecay) else (1,) * K
    scales, value = [], 0.0
    for pi, weight in zip(problem.pi, D, strict=True):
        ridge = reg.lam_H * weight / (pi * frame.E_W)
        a = falling_root(
            lambda a, ridge=ridge: stretch * (wrong(a) - target) - ridge * a, 0.0, loss.beta
        )
        divergence = (1 - target) * (math.log1p(-target) - math.log1p(-wrong(a)))
        if target > 0:
            divergence += target * math.log(target / wrong(a))
        value += pi * (divergence + ridge * a**2 / 2)
        scales.append(a)
    return Prediction(
        claim,
        geometry=theory.features_along_rows(loss, frame.E_W, scales),
        value=value,
        unique=True,
        note="features along the rows of the frame, shortened",
        numbers={f"scale_{k}": a for k, a in enumerate(scales)},
    )


SHORT_RADIUS = Assumption("radius below that of the exact fit", _is_short)
EQUAL_SHARES = Assumption("equal shares of the risk", lambda p: len(set(p.pi)) == 1)
FEATURE_RIDGE = Assumption("ridge on H", _has_feature_ridge)

BUDGET_SPECTRUM = register(
    Claim(
        id="liang2023.calibrated-budget",
        kind=Kind.OURS,
        statement="Average budgets too small for the exact fit, learnable classifier, equal "
        "shares, symmetric tree: the optimum is that of the ridge model whose strength makes the "
        "nuclear norm of the logits equal to the radius; coarse levels are learnt first as the "
        "budgets grow.",
        formula=r"Q=\tfrac1K11^\top+\sum_l(\theta_l-K\kappa)_+E_l,\quad "
        r"\operatorname{tr}P\log Q=K\sqrt{E_WE_H}",
        source=OURS,
        assumptions=(
            SOFT_TARGETS, AVERAGE_BUDGET, LEARNABLE, NO_BIAS, ETF_FITS, SYMMETRIC, EQUAL_SHARES,
            SHORT_RADIUS,
        ),
        rule=_budget,
        steps=("multiplier", "monotone", "ends"),
        uses=("fang2021.nuclear", "liang2023.calibrated-ridge"),
    )
)  # fmt: skip

FIXED_RIDGE = register(
    Claim(
        id="liang2023.calibrated-fixed-ridge",
        kind=Kind.OURS,
        statement="Calibrated soft targets, classifier fixed to their frame, ridge on the "
        "features: on a flat tree at s* the features keep their rows' directions and are "
        "shortened. On symmetric trees at s* with three cosines or more below one the ridge always "
        "turns them.",
        formula=r"\tfrac K{K-1}(t_{yy}-q_{yy}(a))=\tfrac{\lambda_HD_y}{\pi_yE_W}a;\quad "
        r"q_c-t_c=\text{const}\ (c\ne y)\ \text{for at most two cosines}",
        source=OURS,
        assumptions=(
            SOFT_TARGETS, TARGET_FRAME, FEATURE_RIDGE, NO_BIAS,
            Assumption(
                "simplex ETF, or a symmetric tree of three levels at s*",
                lambda p: _simplex_targets(p) or _has_three_levels(p),
            ),
        ),
        rule=_fixed_ridge,
        steps=("flat", "stationarity", "two cosines"),
        uses=("liang2023.calibrated-fixed", "liang2023.flat-etf"),
    )
)  # fmt: skip


def _has_three_levels(problem: Problem) -> bool:
    frame = fixed_frame(problem)
    if frame is None or frame.asymptote != frame.network.s_min:
        return False
    levels = Levels.of(frame)
    return levels is not None and len(set(levels.cosines)) > 3
