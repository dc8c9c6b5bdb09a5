r"""Tirer and Bruna (2022) and what extends it: squared error with ridges on W and H.

:math:`D = \operatorname{diag}(n_k)` for the ridge per sample, the identity per class mean;
:math:`\lambda = \sqrt{\lambda_W\lambda_H}`, :math:`P = I - 11^\top/K`.
"""

from __future__ import annotations

import math

from ufm import theory
from ufm.claims import Assumption, Claim, Kind, Prediction, Provenance, Source, register
from ufm.losses import SquaredError
from ufm.problem import ClassMeanDecay, FreeBias, PenalisedBias, Problem, WeightDecay
from ufm.theory._assumptions import BALANCED, ETF_FITS, FULL_WIDTH, LEARNABLE, NO_BIAS, RIDGE
from ufm.theory.zhu2021 import kappa


SQUARED_ERROR = Assumption("squared error", lambda p: isinstance(p.loss, SquaredError))
FREE_BIAS = Assumption("free bias", lambda p: isinstance(p.bias, FreeBias))
PENALISED_BIAS = Assumption(
    "penalised bias", lambda p: isinstance(p.bias, PenalisedBias) and p.bias.lam_b > 0
)
MODEL = (SQUARED_ERROR, LEARNABLE, RIDGE)


def _ratio(problem: Problem) -> float:
    reg = problem.reg
    assert isinstance(reg, WeightDecay | ClassMeanDecay)
    return math.sqrt(reg.lam_H / reg.lam_W)


def _counts(problem: Problem) -> tuple[int, ...]:
    return problem.n if isinstance(problem.reg, WeightDecay) else (1,) * problem.K


def _orthogonal(claim: Claim, problem: Problem) -> Prediction:
    reg, ratio, D = problem.reg, _ratio(problem), _counts(problem)
    assert isinstance(reg, WeightDecay | ClassMeanDecay)
    lam = math.sqrt(reg.lam_W) * math.sqrt(reg.lam_H)
    t = [lam * math.sqrt(D_k) / pi for pi, D_k in zip(problem.pi, D, strict=True)]
    z = [max(0.0, 1 - x) for x in t]
    lost = [k for k, x in enumerate(z) if x == 0]
    pairs = list(zip(z, map(math.sqrt, D), strict=True))
    return Prediction(
        claim,
        geometry=theory.diagonal_pair(
            [ratio * x * root for x, root in pairs], [x / root / ratio for x, root in pairs]
        ),
        value=sum(pi * (1 - x**2) / 2 for pi, x in zip(problem.pi, z, strict=True)),
        unique=True,
        note=f"orthogonal rows along the class means; classes that vanish: {lost or 'none'}",
        numbers={f"t_{k}": x for k, x in enumerate(t)},
    )


def _free_bias(claim: Claim, problem: Problem) -> Prediction:
    K = problem.K
    c = K * kappa(problem)
    left = max(0.0, 1 - c)
    ratio = _ratio(problem) * math.sqrt(_counts(problem)[0])
    norm2 = left * (K - 1) / K
    geometry = theory.etf_pair(K, norm2_W=ratio * norm2, norm2_H=norm2 / ratio)
    return Prediction(
        claim,
        geometry=geometry if left else theory.collapsed(K),
        value=(K - 1) / K * (1 - left**2) / 2,
        unique=True,
        note=f"W Hbar = {left:.10g} (I - J/K), b = 1/K",
        numbers={"c": c},
    )


def _transition(claim: Claim, problem: Problem) -> Prediction:
    assert isinstance(problem.bias, PenalisedBias)
    K, lam_b, D = problem.K, problem.bias.lam_b, float(_counts(problem)[0])
    c = K * kappa(problem)
    left, s = max(0.0, 1 - c), max(0.0, 1 - c * (1 + lam_b) / lam_b)
    geometry = theory.collapsed(K)
    if left:
        logits = left * theory.centring(K) + s / K
        geometry = theory.balanced_factors(logits, _ratio(problem), column_weights=(D,) * K)
    value = (K - 1) * (1 - left**2) + lam_b / (1 + lam_b) * (1 - s) ** 2 + 2 * c * s
    return Prediction(
        claim,
        geometry=geometry,
        value=value / (2 * K),
        unique=True,
        note="simplex ETF" if s == 0 else f"between the simplex ETF and orthogonal rows, s = {s:g}",
        numbers={"c": c, "s": s, "b": (1 - s) / (K * (1 + lam_b))},
    )


ORTHOGONAL = register(
    Claim(
        id="tirer2022.orthogonal-frame",
        kind=Kind.THEOREM,
        statement="Squared error with ridges and no bias, any class sizes: the optimal logits are "
        "diagonal, so rows and class means are orthogonal and aligned, with the norms below; class "
        "k vanishes iff pi_k <= lam sqrt(D_k), per sample n_k <= N^2 lam_W lam_H. Balanced classes "
        "give an orthogonal frame, whose centred means are a simplex ETF.",
        formula=r"W\bar H=\operatorname{diag}(z_k),\ z_k=\Bigl(1-\tfrac{\lambda\sqrt{D_k}}"
        r"{\pi_k}\Bigr)_+,\ \|w_k\|^2=\sqrt{\tfrac{\lambda_H}{\lambda_W}}\sqrt{D_k}\,z_k,\ "
        r"f^*=\sum_k\tfrac{\pi_k}2(1-z_k^2)",
        source=Source("dang2023", "2301.00437"),
        assumptions=(*MODEL, NO_BIAS, FULL_WIDTH),
        rule=_orthogonal,
        steps=("subgradient", "lost classes", "unique", "norms", "value"),
        uses=("zhu2021.two-factor", "zhu2021.class-means"),
    )
)

FREE_BIAS_ETF = register(
    Claim(
        id="tirer2022.free-bias",
        kind=Kind.THEOREM,
        statement="Balanced squared error with ridges and a free bias: the bias is 1/K and every "
        "global minimiser a pair of aligned simplex ETFs, or zero if c >= 1.",
        formula=r"W\bar H=(1-c)_+\bigl(I-\tfrac1K11^\top\bigr),\ c=K\sqrt{D\lambda_W\lambda_H},"
        r"\quad f^*=\tfrac{K-1}{2K}\bigl(1-(1-c)_+^2\bigr)",
        source=Source("tirer2022", "2202.08087"),
        assumptions=(*MODEL, BALANCED, FREE_BIAS, ETF_FITS),
        rule=_free_bias,
        steps=("best bias", "subgradient", "unique", "value"),
        uses=("zhu2021.two-factor", "zhu2021.class-means", "papyan2020.etf-gram"),
    )
)

BIAS_TRANSITION = register(
    Claim(
        id="tirer2022.bias-transition",
        kind=Kind.OURS,
        statement="Balanced squared error with ridges on W, H and the bias: for c < 1 a simplex "
        "ETF iff lam_b <= c/(1-c), and from there a path of frames of equal cosines to the "
        "orthogonal frame as lam_b grows; so a penalised bias alone does not give the ETF.",
        formula=r"W\bar H=(1-c)_+P+\tfrac sK11^\top,\quad s=\Bigl(1-c\,\tfrac{1+\lambda_b}"
        r"{\lambda_b}\Bigr)_+,\quad b=\tfrac{1-s}{K(1+\lambda_b)}1",
        source=Source("zhou2022mse", "2203.01238", Provenance.DERIVED),
        assumptions=(*MODEL, BALANCED, PENALISED_BIAS, FULL_WIDTH),
        rule=_transition,
        steps=("best bias", "subgradient", "unique", "value", "ends"),
        uses=("zhu2021.two-factor", "zhu2021.class-means"),
    )
)
