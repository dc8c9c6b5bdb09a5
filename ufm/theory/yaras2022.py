"""Yaras et al. (2022): features and classifier rows on spheres, balanced classes."""

from __future__ import annotations

import math

from ufm import theory
from ufm.claims import Claim, Kind, Prediction, Source, register
from ufm.problem import Problem, Sphere, VectorBudget
from ufm.theory._assumptions import (
    BALANCED,
    CROSS_ENTROPY,
    ETF_FITS,
    FEATURE_BALL,
    LEARNABLE,
    NO_BIAS,
)
from ufm.theory.zhu2021 import balanced_value


SOURCE = Source("yaras2022", "2209.09211")


def _spheres(claim: Claim, problem: Problem) -> Prediction:
    K, reg = problem.K, problem.reg
    assert isinstance(reg, VectorBudget | Sphere)
    s = math.sqrt(reg.E_W * reg.E_H)
    return Prediction(
        claim,
        geometry=theory.etf_pair(K, norm2_W=reg.E_W, norm2_H=reg.E_H),
        value=balanced_value(K, K * s / (K - 1)),
        unique=True,
        note=f"aligned simplex ETFs of squared norms {reg.E_W:g} and {reg.E_H:g}",
        numbers={"inner_product": s},
    )


BALANCED_SPHERES = register(
    Claim(
        id="yaras2022.balanced-spheres",
        kind=Kind.THEOREM,
        statement="Balanced cross-entropy with every classifier row and every feature on spheres "
        "or in balls: every global minimiser is a pair of aligned simplex ETFs. (1/s is the "
        "temperature where both are normalised.)",
        formula=r"\|w_k\|^2\le E_W,\ \|h_{k,i}\|^2\le E_H:\quad h_{k,i}=\sqrt{E_H/E_W}\,w_k,\ "
        r"F^*=\log\bigl(1+(K-1)e^{-Ks/(K-1)}\bigr),\ s=\sqrt{E_WE_H}",
        source=SOURCE,
        assumptions=(CROSS_ENTROPY, BALANCED, LEARNABLE, NO_BIAS, FEATURE_BALL, ETF_FITS),
        rule=_spheres,
        steps=("average budgets", "attained"),
        uses=("fang2021.balanced",),
    )
)
