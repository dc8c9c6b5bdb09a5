r"""Fang, He, Long and Su (2021): the layer-peeled model, its convex form and its dual.

Convention: average budgets, :math:`\tau = K\sqrt{E_W E_H}`. Minority collapse and its thresholds
are in `fang2021_collapse`.
"""

from __future__ import annotations

import math

from ufm import theory
from ufm.claims import Assumption, Claim, Kind, Prediction, Provenance, Source, register
from ufm.problem import AverageBudget, Problem
from ufm.theory._assumptions import (
    AVERAGE_BUDGET,
    BALANCED,
    CROSS_ENTROPY,
    ETF_FITS,
    LEARNABLE,
    NO_BIAS,
)
from ufm.theory.zhu2021 import balanced_value


SOURCE = Source("fang2021", "2101.12699")
OURS = Source("fang2021", "2101.12699", Provenance.DERIVED)
MODEL = (CROSS_ENTROPY, AVERAGE_BUDGET, LEARNABLE, NO_BIAS)


def _balanced(claim: Claim, problem: Problem) -> Prediction:
    K, reg = problem.K, problem.reg
    assert isinstance(reg, AverageBudget)
    s = math.sqrt(reg.E_W * reg.E_H)
    return Prediction(
        claim,
        geometry=theory.etf_pair(K, norm2_W=reg.E_W, norm2_H=reg.E_H),
        value=balanced_value(K, K * s / (K - 1)),
        unique=True,
        note=f"aligned simplex ETFs of squared norms {reg.E_W:g} and {reg.E_H:g}",
        numbers={"cosine": -1 / (K - 1), "inner_product": s},
    )


NUCLEAR = register(
    Claim(
        id="fang2021.nuclear",
        kind=Kind.OURS,
        statement="Minimising out the diagonal blocks, the 2K x 2K semidefinite relaxation is the "
        "minimisation of the risk over a nuclear-norm ball of the logits; minimal factors use "
        "both budgets exactly.",
        formula=r"\exists\,X=\begin{pmatrix}X_{11}&Z^\top\\Z&X_{22}\end{pmatrix}\succeq0,\ "
        r"\operatorname{tr}X_{11}\le KE_H,\ \operatorname{tr}X_{22}\le KE_W \iff "
        r"\|Z\|_*\le\tau=K\sqrt{E_WE_H}",
        source=OURS,
        assumptions=MODEL,
        steps=("lower bound", "scaling", "completion", "factors"),
    )
)

DUAL = register(
    Claim(
        id="fang2021.dual",
        kind=Kind.OURS,
        statement="Every column-stochastic Q gives a rigorous lower bound of the layer-peeled "
        "optimum, and the gap of any feasible point to it is a sum of two non-negative terms.",
        formula=r"F^*\ge\sum_k\pi_k\mathrm{Ent}(q_k)-\tau\|(Q-I)\Pi\|_{op},\quad "
        r"\text{gap}=\sum_k\pi_k\mathrm{KL}(q'_k\|q_k)+"
        r"\bigl[\langle Y,Z\rangle+\tau\|Y\|_{op}\bigr]",
        source=OURS,
        assumptions=MODEL,
        steps=("conjugate", "gap formula", "slack", "multipliers"),
        uses=("fang2021.nuclear",),
    )
)

SDP = register(
    Claim(
        id="fang2021.sdp",
        kind=Kind.PROPOSITION,
        statement="The semidefinite relaxation is tight for p >= 2K: a global minimiser is read "
        "off the square root of its solution.",
        formula=r"[h_1,\dots,h_K,W^\top]=PX^{1/2},\quad P^\top P=I_{2K},\quad p\ge2K",
        source=SOURCE,
        assumptions=(*MODEL, Assumption("d >= 2K", lambda p: p.d >= 2 * p.K)),
        steps=("recovery",),
        uses=("fang2021.nuclear",),
    )
)

TIGHT_RANK = register(
    Claim(
        id="fang2021.tight-rank",
        kind=Kind.OURS,
        statement="The relaxation is tight for p >= rank(Z*), hence for p >= K-1: the optimal "
        "logits have zero column means, because centring strictly lowers the nuclear norm.",
        formula=r"1^\top Z^*=0,\quad \operatorname{rank}Z^*\le K-1,\quad "
        r"p\ge\operatorname{rank}Z^*\implies\text{tight}",
        source=OURS,
        assumptions=(*MODEL, ETF_FITS),
        steps=("centring", "rank", "shift"),
        uses=("fang2021.nuclear",),
    )
)

CLASS_MEANS = register(
    Claim(
        id="fang2021.class-means",
        kind=Kind.FOLKLORE,
        statement="In the layer-peeled model the features of a class coincide at every minimiser, "
        "for any class sizes: scatter takes from the budget of the class means, and more budget "
        "always lowers the optimal risk.",
        formula=r"\tfrac1{n_k}\sum_i\|h_{k,i}\|^2=\|\bar h_k\|^2+\tfrac1{n_k}\sum_i"
        r"\|h_{k,i}-\bar h_k\|^2,\quad\|W\bar H\|_*\le\tau\sqrt{1-\text{scatter}/E_H}",
        source=SOURCE,
        assumptions=(*MODEL, ETF_FITS),
        steps=("means", "slack", "strict"),
        uses=("zhu2021.class-means", "fang2021.nuclear", "fang2021.tight-rank"),
    )
)

BALANCED_ETF = register(
    Claim(
        id="fang2021.balanced",
        kind=Kind.THEOREM,
        statement="Balanced layer-peeled model with cross-entropy (stated for p >= K, true for "
        "p >= K-1): every global minimiser is a pair of aligned simplex ETFs that use both "
        "budgets.",
        formula=r"h_{k,i}=\sqrt{E_H/E_W}\,w_k,\quad \cos\angle(w_j,w_k)=-\tfrac1{K-1},\quad "
        r"F^*=\log\bigl(1+(K-1)e^{-K\sqrt{E_WE_H}/(K-1)}\bigr)",
        source=SOURCE,
        assumptions=(*MODEL, BALANCED, ETF_FITS),
        rule=_balanced,
        steps=("trace bound", "value", "attained", "only those"),
        uses=(
            "zhu2021.global-etf",
            "fang2021.nuclear",
            "fang2021.class-means",
            "zhu2021.two-factor",
            "papyan2020.etf-gram",
        ),
    )
)

SCALING = register(
    Claim(
        id="fang2021.scaling",
        kind=Kind.OURS,
        statement="Only the product E_W E_H matters for the logits: (W, H) -> (cW, H/c) maps one "
        "model to another, and the optimal factors share the singular values.",
        formula=r"W=(E_W/E_H)^{1/4}US^{1/2},\quad H=(E_H/E_W)^{1/4}S^{1/2}V^\top",
        source=OURS,
        assumptions=MODEL,
        steps=("norms",),
        uses=("fang2021.nuclear",),
    )
)

REFINED_GAP = register(
    Claim(
        id="fang2021.refined-gap",
        kind=Kind.OURS,
        statement="The dual matrix can be refined (its part on the solution's singular vectors "
        "set to -mu U V', the rest clipped at mu) so that the certified gap is of second order in "
        "the distance of the factors to an optimal pair (both budgets used, the trial rank that "
        "of the optimum), where the gradient itself gives a first-order gap.",
        formula=r"Y=-\mu U_rV_r^\top+\mathrm{clip}(P_U^\perp GP_V^\perp,\mu):\quad "
        r"\text{gap}=O(\varepsilon^2),\ \text{raw gap}=O(\varepsilon)",
        source=OURS,
        assumptions=(*MODEL, ETF_FITS),
        steps=("factor defect", "bracket", "divergence", "dual matrix", "raw gap"),
        uses=("fang2021.dual", "fang2021.scaling", "fang2021.tight-rank"),
    )
)

LANDSCAPE = register(
    Claim(
        id="fang2021.landscape",
        kind=Kind.OURS,
        statement="For p >= K-1 the layer-peeled model has no spurious local minima: a critical "
        "point that is not a global minimiser has a feasible direction of negative curvature "
        "(and descent from random starts ended at the global optimum wherever it was tried).",
        formula=r"p\ge K-1:\ \text{every local minimiser is global}",
        source=OURS,
        assumptions=(*MODEL, ETF_FITS),
        steps=("balance", "two by two", "gap", "full rank", "no multipliers"),
        uses=("fang2021.dual",),
    )
)

CONTRASTIVE = register(
    Claim(
        id="fang2021.contrastive",
        kind=Kind.THEOREM,
        statement="Balanced contrastive loss with an average budget on the features, p >= K-1: at "
        "every minimiser the features collapse to a simplex ETF of squared norm E_H.",
        formula=r"-\tfrac1n\sum_j\log\frac{e^{h_{ki}\cdot h_{kj}}}{\sum_{k',l}e^{h_{ki}\cdot "
        r"h_{k'l}}}:\quad \min = \log n+\log\bigl(1+(K-1)e^{-KE_H/(K-1)}\bigr)",
        source=SOURCE,
        outside="a contrastive loss on features alone",
        steps=("Jensen", "trace bound", "attained", "only those"),
        uses=("zhu2021.global-etf", "papyan2020.etf-gram"),
    )
)

LQ = register(
    Claim(
        id="fang2021.lq",
        kind=Kind.THEOREM,
        statement="With the feature budget measured by the q-th powers of an l_q norm and p = K "
        "(K other than 4), the class means are the columns of P[(a+b)I - b 11'] with "
        "a^q + (K-1) b^q = E_H and P a signed partial permutation.",
        formula=r"\tfrac1K\sum_k\tfrac1{n_k}\sum_i\|h_{k,i}\|_q^q\le E_H:\quad "
        r"[h_1,\dots,h_K]=P\,[(a+b)I-b\,11^\top]",
        source=SOURCE,
        outside="a layer-peeled model with an l_q feature budget",
        fails=True,
        repaired_by="fang2021.lq-bound",
    )
)
