r"""Liang and Davis (2023): features under a fixed hierarchy-aware frame and their losses.

Whether the minimiser of each loss is the frame: of the alignment loss yes, of cross-entropy only
where the frame is the simplex ETF, of the mix only in the limit of long features.
"""

from __future__ import annotations

import math

from ufm import theory
from ufm.claims import Assumption, Claim, Kind, Prediction, register
from ufm.geometry.specs import HAFrame, MultiCenter, OrthogonalFrame, SimplexETF
from ufm.problem import Fixed, Problem, Sphere, VectorBudget
from ufm.theory._assumptions import CROSS_ENTROPY, FEATURE_BALL, NO_BIAS
from ufm.theory.liang2023 import FIXED_HAFRAME, OURS, SOURCE, all_distinct, fixed_frame, is_simplex
from ufm.theory.zhu2021 import balanced_value


SPHERE_MIX = "cross-entropy and alignment mixed, features on a sphere, fixed frame"
MODEL = (CROSS_ENTROPY, FIXED_HAFRAME, FEATURE_BALL, NO_BIAS)


def _has_equal_rows(problem: Problem) -> bool:
    frame = problem.classifier.frame if isinstance(problem.classifier, Fixed) else None
    if isinstance(frame, HAFrame):
        return all_distinct(frame)
    return isinstance(frame, SimplexETF | OrthogonalFrame | MultiCenter)


EQUAL_ROWS = Assumption("classifier fixed to distinct rows of equal length", _has_equal_rows)


def _cross_entropy(claim: Claim, problem: Problem) -> Prediction:
    frame, reg = fixed_frame(problem), problem.reg
    assert frame is not None
    assert isinstance(reg, VectorBudget | Sphere)
    K, s = problem.K, math.sqrt(frame.E_W * reg.E_H)
    if is_simplex(frame):
        return Prediction(
            claim,
            geometry=theory.etf_pair(K, norm2_W=frame.E_W, norm2_H=reg.E_H),
            value=balanced_value(K, K * s / (K - 1)),
            unique=True,
            note="the frame is the simplex ETF, and the optimum is the frame",
        )
    value = theory.frame_value(frame, K, problem.d, radius=math.sqrt(reg.E_H), pi=problem.pi)
    note = f"features collapse, but not onto the frame, whose value {value:.10g} is not optimal"
    return Prediction(claim, note=note, numbers={"value_of_the_frame": value})


def _max_margin(claim: Claim, problem: Problem) -> Prediction:
    classifier, reg = problem.classifier, problem.reg
    assert isinstance(classifier, Fixed)
    assert isinstance(reg, VectorBudget | Sphere)
    # The margin of the rows bounds the largest one from below, without a programme a class.
    margin = theory.row_margin(classifier.frame, problem.K, problem.d)
    chord = math.sqrt(4 * math.log(problem.K - 1) / (math.sqrt(reg.E_H) * margin))
    note = f"directions within a chord of {chord:.6g} of those of largest margin"
    if chord >= 2:
        note = "the radius is too small for the bound to say anything"
    return Prediction(claim, note=note, numbers={"margin_of_the_rows": margin, "chord": chord})


ALIGNMENT = register(
    Claim(
        id="liang2023.alignment",
        kind=Kind.OURS,
        statement="The alignment loss alone is zero exactly where each feature has the direction "
        "of its class's row, at any length. Where the features have more dimensions than the "
        "frame (d = K at s*) the minimum is quartic outside the frame's span.",
        formula=r"\sum_c(\cos(w_c,h)-S_{yc})^2=\|W(u-w_y)\|^2,\ u=\tfrac h{\|h\|};\quad "
        r"u=\sqrt{1-\epsilon^2}\,w_y+\epsilon n,\ Wn=0:\ "
        r"\tfrac{\epsilon^4}4\|S_y\|^2+O(\epsilon^6)",
        source=OURS,
        outside="alignment loss on features, fixed frame",
        steps=("norm", "zero", "quartic"),
    )
)

CE_FRAME = register(
    Claim(
        id="liang2023.ce-frame",
        kind=Kind.OURS,
        statement="Cross-entropy with a fixed hierarchy-aware frame, features in balls: one "
        "minimiser a class (so features collapse, whatever the class sizes). It is the frame iff "
        "the softmax tail of every row is proportional to the null vector of S: iff the frame is "
        "the simplex ETF, at any radius.",
        formula=r"h_y=\rho w_y\iff \exists\kappa:\ e^{\rho S_{yc}}=\kappa z_c\ \forall c\ne y,\ "
        r"Sz=0",
        source=OURS,
        assumptions=MODEL,
        rule=_cross_entropy,
        steps=("unique", "stationarity", "positive definite", "flat", "two clusters", "nested"),
        uses=("liang2023.smallest-s", "liang2023.flat-etf"),
    )
)

CE_COLLAPSE = register(
    Claim(
        id="liang2023.ce-collapse",
        kind=Kind.FOLKLORE,
        statement="The hierarchy-aware frame is to cross-entropy what the simplex ETF is: with the "
        "classifier fixed to it, features that minimise cross-entropy within a norm have the "
        "directions of their classes' rows.",
        formula=r"h_{k,i}=\rho\,w_k",
        source=SOURCE,
        assumptions=MODEL,
        fails=True,
        repaired_by="liang2023.ce-frame",
    )
)

MIX_LIMIT = register(
    Claim(
        id="liang2023.mix-limit",
        kind=Kind.OURS,
        statement="The mix of cross-entropy and alignment has its minimiser on the sphere of "
        "radius rho at a distance from the frame that vanishes exponentially in rho, and, unless "
        "the frame is the simplex ETF, at no finite rho on the frame.",
        formula=r"\|W(u-w_y)\|^2\le\tfrac{1-\alpha}\alpha(K-1)e^{-\rho\mu_y},\quad "
        r"\mu_y=\min_{c\ne y}(1-S_{yc})",
        source=OURS,
        outside=SPHERE_MIX,
        steps=("residual", "bound", "limit"),
        uses=("liang2023.ce-frame", "liang2023.alignment"),
    )
)

MIX_COLLAPSE = register(
    Claim(
        id="liang2023.mix-collapse",
        kind=Kind.FOLKLORE,
        statement="Trained with cross-entropy and the alignment loss, features collapse onto the "
        "frame: read as a statement on the minimisers at a finite norm of the features, or with "
        "weight decay.",
        formula=r"\frac{h_{k,i}}{\|h_{k,i}\|}=w_k",
        source=SOURCE,
        outside=SPHERE_MIX,
        fails=True,
        repaired_by="liang2023.mix-limit",
    )
)

MAX_MARGIN = register(
    Claim(
        id="liang2023.max-margin",
        kind=Kind.OURS,
        statement="Under cross-entropy alone, with any fixed separable classifier, the direction "
        "of the minimiser in a ball tends to the direction of largest margin as the radius grows, "
        "at the rate of one over the square root of the radius at least.",
        formula=r"\|u_\rho-u^*\|^2\le\frac{4\log(K-1)}{\rho\,\gamma^*},\quad "
        r"\gamma^*=\max_{\|u\|=1}\min_{c\ne y}\langle w_y-w_c,u\rangle",
        source=OURS,
        assumptions=(CROSS_ENTROPY, EQUAL_ROWS, FEATURE_BALL, NO_BIAS),
        rule=_max_margin,
        steps=("sandwich", "margin", "direction"),
    )
)
