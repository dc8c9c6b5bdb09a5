r"""Yan et al. (2024): neural collapse to multiple centers; the frame and problem P.

Convention: :math:`S=\sum_kf_kn_k`, :math:`g_k=\cos^2\theta+f_k\sin^2\theta`,
:math:`\cos\alpha_k=\sqrt{g_k/f_k}`. A `ufm.Problem` states P on the K logits of the unit mean
centers e_k (`ufm.losses.CenterSquaredError`); that this is P is the claim ``reduction``. The cosine
loss is in `yan2024_losses`, decision rules and center counts in `yan2024_rules`.
"""

from __future__ import annotations

import math

from ufm import theory
from ufm.claims import Claim, Kind, Prediction, Provenance, Source, register
from ufm.losses import CenterSquaredError
from ufm.problem import Problem, WeightDecay
from ufm.theory._assumptions import (
    BALANCED,
    EQUAL_CENTERS,
    FEATURE_RIDGE,
    FULL_WIDTH,
    LEARNABLE,
    NO_BIAS,
    ORTHONORMAL_ROWS,
    PROBLEM_P,
    SAMPLE_RIDGE,
)


WHERE = "openreview:RJEC9fZ9Ma"
OURS = Source("yan2024", WHERE, Provenance.DERIVED)
MODEL = (PROBLEM_P, SAMPLE_RIDGE, LEARNABLE, NO_BIAS, FULL_WIDTH)
FIXED_MODEL = (PROBLEM_P, FEATURE_RIDGE, ORTHONORMAL_ROWS, NO_BIAS)


def printed(number: str) -> Source:
    """The paper's own text.

    Args:
        number: Its number, or section, of the statement.

    Returns:
        The source.
    """
    return Source("yan2024", WHERE, Provenance.PRINTED, number)


def survival_numbers(problem: Problem) -> dict[str, float]:
    r"""Threshold :math:`S^2\lambda_W\lambda_H` and each class's index :math:`n_kf_kg_k`.

    Args:
        problem: Problem P with a learnable frame.

    Returns:
        ``threshold``, and ``index_k`` by class.
    """
    loss, reg = problem.loss, problem.reg
    assert isinstance(loss, CenterSquaredError)
    assert isinstance(reg, WeightDecay)
    cos2, sin2 = math.cos(loss.theta) ** 2, math.sin(loss.theta) ** 2
    pairs = list(zip(loss.f, problem.n, strict=True))
    S = sum(f * n for f, n in pairs)
    index = {f"index_{k}": n * f * (cos2 + f * sin2) for k, (f, n) in enumerate(pairs)}
    return {"threshold": S**2 * reg.lam_W * reg.lam_H, **index}


def _predicted(claim: Claim, problem: Problem, note: str, numbers: dict[str, float]) -> Prediction:
    loss, reg = problem.loss, problem.reg
    assert isinstance(loss, CenterSquaredError)
    assert isinstance(reg, WeightDecay)
    lam_W = reg.lam_W if problem.is_learnable else None
    optimum = theory.center_optimum(
        loss.f, problem.n, theta=loss.theta, lam_H=reg.lam_H, lam_W=lam_W
    )
    norms = (optimum.w_norm, optimum.h_norm)
    return Prediction(
        claim,
        geometry=theory.diagonal_pair(*(norm.square().tolist() for norm in norms)),
        value=float(optimum.value),
        unique=True,
        note=note,
        numbers=numbers,
    )


def _survival(claim: Claim, problem: Problem) -> Prediction:
    numbers = survival_numbers(problem)
    lost = [k for k in range(problem.K) if numbers[f"index_{k}"] <= numbers["threshold"]]
    note = f"orthogonal rows along the class means; classes that vanish: {lost or 'none'}"
    return _predicted(claim, problem, note, numbers)


def _fixed(claim: Claim, problem: Problem) -> Prediction:
    return _predicted(claim, problem, "every feature lies along its class's row; no threshold", {})


FRAME = register(
    Claim(
        id="yan2024.frame",
        kind=Kind.OURS,
        statement="Unit centers of one class have inner product sin^2(theta), of two classes 0. "
        "The Gram matrix of a class has the eigenvalue g_k along the mean center and cos^2(theta) "
        "f_k - 1 times; a center and the class vector make the angles alpha_k and rho_k with the "
        "mean. The frame needs d = sum f_k + K dimensions, not one more.",
        formula=r"g_k=\cos^2\theta+f_k\sin^2\theta,\quad\cos\alpha_k=\|\bar w^{(k)}\|="
        r"\sqrt{g_k/f_k},\quad\cos\rho_k=\sqrt{f_k}\sin\theta/\sqrt{g_k}",
        source=OURS,
        outside="the multi-center frame",
        steps=("Gram", "spectrum", "angles"),
    )
)

REDUCTION = register(
    Claim(
        id="yan2024.reduction",
        kind=Kind.OURS,
        statement="Many centers are one direction a class: with e the unit mean center, regression "
        "on f_k centers is regression on e with weight f_k and target 1/cos(alpha_k), plus a "
        "penalty on the part of the feature in the span of the centers orthogonal to e, which is "
        "zero at every minimiser. So P is a model of K logits.",
        formula=r"\sum_{j\le f_k}(\langle w_j,h\rangle-1)^2=f_k(1-\cos\alpha_k\langle e,h\rangle)^2"
        r"+\cos^2\theta\,\|h_\perp\|^2",
        source=OURS,
        assumptions=(PROBLEM_P,),
        steps=("own centers", "other centers", "logits"),
        uses=("yan2024.frame",),
    )
)

DIAGONAL = register(
    Claim(
        id="yan2024.diagonal",
        kind=Kind.OURS,
        statement="P on the K logits with free rows is convex in the logits, strictly, and "
        "invariant under changes of sign of a class's row and column, so its optimal logits are "
        "unique and diagonal: orthogonality of the rows, which the frame asks for, comes out by "
        "itself and the classes decouple.",
        formula=r"\min_Z\ \tfrac1{2S}\sum_{k,l}n_lg_k(z_{kl}-\delta_{kl}/\cos\alpha_k)^2+"
        r"\sqrt{\lambda_W\lambda_H}\,\|ZD^{1/2}\|_*\implies Z^*=\operatorname{diag}(z_k)",
        source=OURS,
        assumptions=MODEL,
        steps=("strictly convex", "signs", "decoupling"),
        uses=("zhu2021.two-factor", "yan2024.reduction"),
    )
)

SURVIVAL = register(
    Claim(
        id="yan2024.survival",
        kind=Kind.OURS,
        statement="P with a learnable frame, any n_k and f_k: class k has nonzero vectors iff "
        "n_k f_k g_k exceeds S^2 lam_W lam_H, whatever the other classes do, and the norms of the "
        "paper. Rare classes vanish one by one; more centers postpone it.",
        formula=r"\|w_k\|^2=\tfrac{\max(0,1-t_k)}{q_k\cos\alpha_k},\ \|h_k\|=q_k\|w_k\|,\ "
        r"q_k^2=\tfrac{\lambda_W}{n_k\lambda_H},\ t_k^2=\tfrac{S^2\lambda_W\lambda_H}{n_kf_kg_k},"
        r"\quad P^*=\sum_k\tfrac{n_kf_k}{2S}[1-\max(0,1-t_k)^2]",
        source=OURS,
        assumptions=MODEL,
        rule=_survival,
        steps=("soft threshold", "norms", "value", "threshold"),
        uses=("yan2024.diagonal",),
    )
)

THM_33 = register(
    Claim(
        id="yan2024.thm33",
        kind=Kind.THEOREM,
        statement="P with balanced classes, f centers each and a learnable frame: if K sqrt(n "
        "lam_H lam_W) <= cos(alpha), features collapse to their mean center's direction with the "
        "norms below, different classes are orthogonal and W and H balanced; otherwise everything "
        "is zero.",
        formula=r"\|w\|^2=\frac{-K\lambda_W+\sqrt{\lambda_W/(n\lambda_H)}\cos\alpha}"
        r"{\frac{\lambda_W}{n\lambda_H}\cos^2\alpha},\quad\lambda_W\|w\|^2=n\lambda_H\|h\|^2",
        source=printed("Theorem 3.3"),
        assumptions=(*MODEL, BALANCED, EQUAL_CENTERS),
        rule=_survival,
        steps=("condition", "norms"),
        uses=("yan2024.survival",),
    )
)

THM_34 = register(
    Claim(
        id="yan2024.thm34",
        kind=Kind.THEOREM,
        statement="P with any class sizes and numbers of centers and a learnable frame: if "
        "cos(alpha_k) exceeds (S/f_k) sqrt(lam_H lam_W/n_k) for all k, the norms below; otherwise "
        "the solution is zero.",
        formula=r"\|w_k\|^2=\frac{-S\lambda_W/(f_kn_k)+\sqrt{\lambda_W/(n_k\lambda_H)}\cos\alpha_k}"
        r"{\frac{\lambda_W}{n_k\lambda_H}\cos^2\alpha_k}\ \text{for all }k,\text{ or }W=H=0",
        source=printed("Theorem 3.4"),
        assumptions=MODEL,
        fails=True,
        repaired_by="yan2024.survival",
    )
)

COR_37 = register(
    Claim(
        id="yan2024.cor37",
        kind=Kind.PROPOSITION,
        statement="P over the features of a fixed unit frame is strictly convex: for every ridge "
        "the unique minimiser has features along their class's mean center, with the length below, "
        "which as a function of cos(alpha_k) peaks at sqrt(lam_H S/f_k) when lam_H S < f_k.",
        formula=r"\|h_k\|=\frac{f_k\cos\alpha_k}{f_k\cos^2\alpha_k+\lambda_HS}="
        r"\frac{\sqrt{f_kg_k}}{g_k+\lambda_HS},\quad "
        r"P^*=\sum_k\frac{n_kf_k\lambda_H}{2(g_k+\lambda_HS)}",
        source=printed("Corollary 3.7"),
        assumptions=FIXED_MODEL,
        rule=_fixed,
        steps=("stationarity", "strictly convex", "value", "peak"),
        uses=("yan2024.reduction",),
    )
)

ORTHONORMALITY = register(
    Claim(
        id="yan2024.orthonormality",
        kind=Kind.OURS,
        statement="The theorems on P need orthonormal class vectors: with a simplex ETF in their "
        "place no multiple of the mean center is a critical point for 0 < theta < pi/2, nor at "
        "pi/2 unless the other classes have equally many centers. The cosine loss sees own centers "
        "only and keeps its minimiser.",
        formula=r"\langle w_i,w_l\rangle=-\tfrac1{K-1}:\quad\langle\nabla P(x\bar w^{(k)}),"
        r"v_j^{(l)}\rangle\propto-\tfrac{x}{K-1}\sin^2\theta\cos\theta\ne0",
        source=OURS,
        outside="problem P with class vectors that are a simplex ETF",
        steps=("other centers", "own centers", "right angle"),
    )
)
