r"""Calibrated soft targets: a loss whose optimum is the hierarchy-aware frame. Ours.

:math:`t_y = \mathrm{softmax}(\beta S_y)`, see `ufm.losses.SoftTargets`;
:math:`P = I - 11^\top/K`.
"""

from __future__ import annotations

import math

from ufm import theory
from ufm.claims import Assumption, Claim, Kind, Prediction, register
from ufm.geometry.specs import HAFrame
from ufm.losses import SoftTargets
from ufm.problem import (
    AverageBudget,
    ClassMeanDecay,
    NoReg,
    Problem,
    Sphere,
    VectorBudget,
    WeightDecay,
)
from ufm.theory._assumptions import (
    AVERAGE_BUDGET,
    BALANCED,
    ETF_FITS,
    LEARNABLE,
    NO_BIAS,
    RIDGE,
)
from ufm.theory.liang2023 import OURS, fixed_frame
from ufm.theory.tree_levels import Levels
from ufm.theory.zhu2021 import kappa


# Radii this close, relatively, are one radius: both are computed in float64.
SAME = 1e-12


def _loss(problem: Problem) -> SoftTargets:
    assert isinstance(problem.loss, SoftTargets)
    return problem.loss


def _same_frame(one: HAFrame, other: HAFrame) -> bool:
    numbers = [(f.tree, f.similarity, f.convention, f.asymptote) for f in (one, other)]
    return numbers[0] == numbers[1]


def _is_target_frame(problem: Problem) -> bool:
    frame = fixed_frame(problem)
    loss = problem.loss
    return frame is not None and isinstance(loss, SoftTargets) and _same_frame(frame, loss.frame)


def _length_fits(problem: Problem) -> bool:
    frame, reg = fixed_frame(problem), problem.reg
    if frame is None or not isinstance(problem.loss, SoftTargets):
        return False
    norm2 = problem.loss.beta**2 / frame.E_W
    match reg:
        case NoReg():
            return True
        case VectorBudget(E_H=E_H) | AverageBudget(E_H=E_H):
            return norm2 <= E_H * (1 + SAME)
        case Sphere(E_H=E_H):
            return abs(norm2 / E_H - 1) <= SAME
    return False


def _radius_fits(problem: Problem) -> bool:
    if not (isinstance(problem.loss, SoftTargets) and isinstance(problem.reg, AverageBudget)):
        return False
    return theory.smallest_radius(problem.loss) <= problem.radius * (1 + SAME)


def _is_symmetric(problem: Problem) -> bool:
    loss = problem.loss
    return isinstance(loss, SoftTargets) and Levels.of(loss.frame) is not None


SOFT_TARGETS = Assumption("calibrated soft targets", lambda p: isinstance(p.loss, SoftTargets))
TARGET_FRAME = Assumption("classifier fixed to the frame of the targets", _is_target_frame)
LENGTH_FITS = Assumption("features may have the norm beta/sqrt(E_W)", _length_fits)
RADIUS_FITS = Assumption("radius at least that of the exact fit", _radius_fits)
SYMMETRIC = Assumption("nodes of one depth have equally many children", _is_symmetric)


def _fixed(claim: Claim, problem: Problem) -> Prediction:
    loss, frame = _loss(problem), fixed_frame(problem)
    assert frame is not None
    tight = isinstance(problem.reg, Sphere) or (
        isinstance(problem.reg, VectorBudget)
        and loss.beta**2 / frame.E_W >= problem.reg.E_H * (1 - SAME)
    )
    singular = frame.asymptote == frame.network.s_min
    return Prediction(
        claim,
        geometry=theory.calibrated_features(loss, frame.E_W),
        value=0.0,
        # Otherwise features may move along the null space of W, or shift all logits alike.
        unique=singular and (problem.d == frame.rank or tight),
        note="every feature is beta/E_W times its class's row, whatever the class sizes",
        numbers={"norm": loss.beta / math.sqrt(frame.E_W)},
    )


def _emerges(claim: Claim, problem: Problem) -> Prediction:
    loss, reg = _loss(problem), problem.reg
    assert isinstance(reg, AverageBudget)
    smallest = theory.smallest_radius(loss)
    ratio = math.sqrt(reg.E_W / reg.E_H)
    scale = smallest / problem.radius
    return Prediction(
        claim,
        geometry=theory.smallest_fit(loss, ratio),
        value=0.0,
        unique=scale >= 1 - SAME,
        note=f"exact fit, the only one at the radius {smallest:.10g}",
        numbers={"radius": smallest},
        # Slack in the radius lets the factors leave their balance by its root.
        growth=4,
    )


def _ridge(claim: Claim, problem: Problem) -> Prediction:
    loss, reg = _loss(problem), problem.reg
    levels = Levels.of(loss.frame)
    assert levels is not None
    assert isinstance(reg, WeightDecay | ClassMeanDecay)
    k = kappa(problem)
    targets = levels.targets(loss.beta)
    spectrum = levels.spectrum(targets)
    kept = [max(0.0, theta - problem.K * k) for theta in spectrum]
    probabilities = levels.probabilities(kept)
    logits = levels.centred_logits(probabilities)
    D = problem.n[0] if isinstance(reg, WeightDecay) else 1
    numbers = {f"threshold_{i}": x / problem.K for i, x in enumerate(spectrum, start=1)}
    geometry = theory.collapsed(problem.K)
    if any(kept):
        geometry = theory.balanced_factors(
            theory.level_matrix(loss.frame, levels, logits),
            math.sqrt(reg.lam_H / reg.lam_W),
            column_weights=(float(D),) * problem.K,
        )
    return Prediction(
        claim,
        geometry=geometry,
        value=levels.divergence(targets, probabilities) + k * problem.K * logits[0],
        unique=True,
        note=f"{sum(x > 0 for x in kept)} of {len(kept)} levels of the hierarchy survive",
        numbers=numbers | {"kappa": k},
    )


def _deviation(claim: Claim, problem: Problem) -> Prediction:
    reg = problem.reg
    assert isinstance(reg, WeightDecay | ClassMeanDecay)
    D = problem.n if isinstance(reg, WeightDecay) else (1,) * problem.K
    lam = math.sqrt(reg.lam_W) * math.sqrt(reg.lam_H)
    bounds = [lam * math.sqrt(D_k) / pi for D_k, pi in zip(D, problem.pi, strict=True)]
    return Prediction(
        claim,
        note=f"probabilities within {max(bounds):.6g} of their targets",
        numbers={f"bound_{k}": bound for k, bound in enumerate(bounds)},
    )


FIXED_TARGETS = register(
    Claim(
        id="liang2023.calibrated-fixed",
        kind=Kind.OURS,
        statement="Calibrated soft targets with the classifier fixed to their frame: the value is "
        "zero and each feature beta times its class's row, for every tree and all class sizes, at "
        "a finite norm. At s* and d = K-1 it is the only minimiser.",
        formula=r"\mathrm{KL}(\mathrm{softmax}(\beta S_y)\,\|\,\mathrm{softmax}(Wh))=0\iff "
        r"Wh=\beta Ww_y+c1\iff h=\beta w_y\ (1\notin\operatorname{range}W)",
        source=OURS,
        assumptions=(SOFT_TARGETS, TARGET_FRAME, LENGTH_FITS, NO_BIAS),
        rule=_fixed,
        steps=("Gibbs", "equality", "no shift"),
        uses=("liang2023.smallest-s",),
    )
)

EMERGING_FRAME = register(
    Claim(
        id="liang2023.calibrated-emerges",
        kind=Kind.OURS,
        statement="With a learnable classifier the exact fit of least nuclear norm is the centred "
        "beta P S alone. At s* its rows have the Gram matrix beta S iff S 1 = 0, as on symmetric "
        "trees: the frame emerges and need not be imposed. Otherwise they have neither that nor "
        "beta P S P.",
        formula=r"\min_c\|\beta S+1c^\top\|_*=\beta\|PS\|_*,\quad WW^\top=\beta(PSSP)^{1/2}\ "
        r"(=\beta S\iff S1=0,\ =\beta PSP\iff PS1=0)",
        source=OURS,
        assumptions=(SOFT_TARGETS, AVERAGE_BUDGET, LEARNABLE, NO_BIAS, ETF_FITS, RADIUS_FITS),
        rule=_emerges,
        steps=("exact fits", "centring", "factors", "symmetric", "only then"),
        uses=("zhu2021.two-factor", "liang2023.smallest-s"),
    )
)

RIDGE_SPECTRUM = register(
    Claim(
        id="liang2023.calibrated-ridge",
        kind=Kind.OURS,
        statement="Learnable classifier, ridges, equal class sizes, symmetric tree: the optimal "
        "probabilities are the targets with the eigenvalue of every level of the tree reduced by "
        "K kappa, and cut at zero. Level l survives iff K kappa < theta_l, so coarse levels emerge "
        "first; classes below the finest survivors are merged.",
        formula=r"Q=\tfrac1K11^\top+\sum_l(\theta_l-K\kappa)_+E_l,\quad Z=P\log Q,\quad "
        r"\kappa=\sqrt{D\lambda_W\lambda_H},\quad \theta_{l+1}-\theta_l=n_l(t_l-t_{l+1})\ge0",
        source=OURS,
        assumptions=(SOFT_TARGETS, BALANCED, LEARNABLE, RIDGE, NO_BIAS, ETF_FITS, SYMMETRIC),
        rule=_ridge,
        steps=("spectrum", "order", "probabilities", "signs", "optimality", "thresholds"),
        uses=("zhu2021.two-factor", "zhu2021.spectral-certificate"),
    )
)

IMBALANCE = register(
    Claim(
        id="liang2023.calibrated-imbalance",
        kind=Kind.OURS,
        statement="Learnable classifier, ridges, any tree, any class sizes: the probabilities of "
        "class k are within lam sqrt(D_k)/pi_k of its targets (N lam/n_k with D = 1 per mean, "
        "N lam/sqrt(n_k) with D = n per sample). In the limit a ridge per class mean does not see "
        "the sizes, a ridge per sample does.",
        formula=r"\|q_k-t_k\|\le\lambda\tfrac{\sqrt{D_k}}{\pi_k},\ \lambda=\sqrt{\lambda_W"
        r"\lambda_H};\quad \lambda\to0:\ WW^\top\propto\beta(PSDSP)^{1/2}",
        source=OURS,
        assumptions=(SOFT_TARGETS, LEARNABLE, RIDGE, NO_BIAS, ETF_FITS),
        rule=_deviation,
        steps=("deviation", "bound", "limit"),
        uses=("zhu2021.two-factor", "zhu2021.spectral-certificate", "liang2023.calibrated-emerges"),
    )
)
