r"""Zhu et al. (2021): cross-entropy with ridges on W and H, balanced; and what extends it.

Both ridges are covered: with :math:`D = n` for the ridge per sample and :math:`D = 1` for the
ridge per class mean, :math:`\kappa = \sqrt{D \lambda_W \lambda_H}`.
"""

from __future__ import annotations

import math

from ufm import theory
from ufm.claims import Assumption, Claim, Kind, Prediction, Provenance, Source, register
from ufm.problem import ClassMeanDecay, Problem, WeightDecay
from ufm.theory._assumptions import (
    BALANCED,
    CROSS_ENTROPY,
    ETF_FITS,
    FULL_WIDTH,
    LEARNABLE,
    NO_BIAS,
    RIDGE,
)


SOURCE = Source("zhu2021", "2105.02375")
OURS = Source("zhu2021", "2105.02375", Provenance.DERIVED)
FACTORS = Source("zhu2021", "2105.02375", Provenance.QUOTED)


def kappa(problem: Problem) -> float:
    r"""Strength of the nuclear norm on the logits of a balanced ridge model.

    :math:`\kappa = \sqrt{D\lambda_W\lambda_H}` with D = n (per sample) or 1 (per class mean).

    Args:
        problem: Balanced model with a ridge.

    Returns:
        The strength.
    """
    reg = problem.reg
    assert isinstance(reg, WeightDecay | ClassMeanDecay)
    D = problem.n[0] if isinstance(reg, WeightDecay) else 1
    # Root by root, because the product may underflow.
    return math.sqrt(D) * math.sqrt(reg.lam_W) * math.sqrt(reg.lam_H)


def balanced_value(K: int, a: float) -> float:
    r"""Cross-entropy of the logits ``a P``: :math:`\log(1 + (K-1) e^{-a})`.

    Args:
        K: Number of classes.
        a: Scale.

    Returns:
        Loss in nats.
    """
    return math.log1p((K - 1) * math.exp(-a))


BELOW = Assumption(
    "K kappa < 1", lambda p: BALANCED.holds(p) and RIDGE.holds(p) and p.K * kappa(p) < 1
)
ABOVE = Assumption(
    "K kappa >= 1", lambda p: BALANCED.holds(p) and RIDGE.holds(p) and p.K * kappa(p) >= 1
)

TANGENT = register(
    Claim(
        id="zhu2021.tangent",
        kind=Kind.LEMMA,
        statement="The cross-entropy of a column lies above its tangent plane at the symmetric "
        "point, with equality only there.",
        formula=r"\log\Bigl(1+\sum_{j\ne k} e^{s_j}\Bigr) \ge \log(1+(K-1)e^{-a}) + "
        r"\frac{\sum_j (s_j+a)}{e^a+K-1},\quad s_j = z_j-z_k",
        source=SOURCE,
        assumptions=(CROSS_ENTROPY,),
        steps=("contact", "slope", "convex"),
    )
)

TWO_FACTOR = register(
    Claim(
        id="zhu2021.two-factor",
        kind=Kind.FOLKLORE,
        statement="Two ridges on factors of Z with at least rank(Z) columns are a nuclear norm on "
        "Z D^(1/2), attained by balanced factors, whose Gram matrices Z determines; D = diag(n_k) "
        "for the ridge per sample, the identity per class mean.",
        formula=r"\min_{WH=Z} \tfrac{\lambda_W}2\|W\|_F^2+\tfrac{\lambda_H}2\sum_kD_k\|h_k\|^2 = "
        r"\sqrt{\lambda_W\lambda_H}\,\|ZD^{1/2}\|_*,\quad "
        r"\lambda_W W^\top W=\lambda_H HDH^\top",
        source=SOURCE,
        assumptions=(RIDGE, LEARNABLE),
        steps=("column weights", "lower bound", "attained", "balance", "only those"),
    )
)

CLASS_MEANS = register(
    Claim(
        id="zhu2021.class-means",
        kind=Kind.FOLKLORE,
        statement="For a loss convex in the logits, replacing every feature by its class mean "
        "never increases the objective and strictly lowers a positive ridge: every minimiser has "
        "collapsed classes, for any class sizes.",
        formula=r"\tfrac1{n_k}\sum_i \ell(Wh_{k,i},k)\ge\ell(W\bar h_k,k),\quad "
        r"\sum_i\|h_{k,i}\|^2 = n_k\|\bar h_k\|^2+\sum_i\|h_{k,i}-\bar h_k\|^2",
        source=SOURCE,
        assumptions=(CROSS_ENTROPY, RIDGE),
        steps=("Jensen", "variance split"),
    )
)


def _global_etf(claim: Claim, problem: Problem) -> Prediction:
    K, k = problem.K, kappa(problem)
    reg = problem.reg
    assert isinstance(reg, WeightDecay | ClassMeanDecay)
    a = math.log1p(-(K - 1) * k) - math.log(k)
    D = problem.n[0] if isinstance(reg, WeightDecay) else 1
    ratio = math.sqrt(D * reg.lam_H / reg.lam_W)
    norm2 = a * (K - 1) / K
    return Prediction(
        claim,
        geometry=theory.etf_pair(K, norm2_W=ratio * norm2, norm2_H=norm2 / ratio),
        value=balanced_value(K, a) + k * (K - 1) * a,
        unique=True,
        note=f"W Hbar = a (I - J/K) with a = {a:.10g}",
        numbers={"a": a, "kappa": k},
    )


GLOBAL_ETF = register(
    Claim(
        id="zhu2021.global-etf",
        kind=Kind.THEOREM,
        statement="Balanced cross-entropy with ridges, without bias or with a free or penalised "
        "one: every global minimiser is a pair of aligned simplex ETFs and a constant bias, with "
        "the scale a in closed form (the form of a is ours).",
        formula=r"W\bar H = a\bigl(I-\tfrac1K 11^\top\bigr),\ a=\log(1/\kappa-K+1),\quad "
        r"f^* = \log(1+(K-1)e^{-a})+\kappa(K-1)a",
        source=SOURCE,
        assumptions=(CROSS_ENTROPY, BALANCED, LEARNABLE, RIDGE, BELOW, ETF_FITS),
        rule=_global_etf,
        steps=("lower bound", "bias", "scale", "attained", "only those"),
        uses=("zhu2021.tangent", "zhu2021.two-factor", "zhu2021.class-means"),
    )
)


def _zero(claim: Claim, problem: Problem) -> Prediction:
    return Prediction(
        claim,
        geometry=theory.collapsed(problem.K),
        value=math.log(problem.K),
        unique=True,
        note=f"everything is zero, K kappa = {problem.K * kappa(problem):.10g} >= 1",
        numbers={"kappa": kappa(problem)},
    )


THRESHOLD = register(
    Claim(
        id="zhu2021.threshold",
        kind=Kind.OURS,
        statement="If K kappa >= 1 the only minimiser of the balanced ridge model is zero, at any "
        "d (a free bias is constant); so the ETF exists exactly below K kappa = 1.",
        formula=r"K\kappa\ge1 \implies W=0,\ H=0,\ f^*=\log K",
        source=OURS,
        assumptions=(CROSS_ENTROPY, BALANCED, LEARNABLE, RIDGE, ABOVE),
        rule=_zero,
        steps=("lower bound", "scale at threshold", "only zero"),
        uses=("zhu2021.global-etf",),
    )
)

SPECTRAL = register(
    Claim(
        id="zhu2021.spectral-certificate",
        kind=Kind.FOLKLORE,
        statement="A critical point of the ridge model is a global minimiser iff the risk gradient "
        "G in the logits satisfies |G D^(-1/2)|_op <= sqrt(lam_W lam_H).",
        formula=r"\|G D^{-1/2}\|_{op}\le\lambda:\quad F(Z')+\lambda\|Z'D^{1/2}\|_* \ge "
        r"F(Z)+\lambda\|ZD^{1/2}\|_*\ \ \forall Z'",
        source=SOURCE,
        assumptions=(CROSS_ENTROPY, RIDGE, LEARNABLE, NO_BIAS, ETF_FITS),
        steps=("critical balance", "critical inner product", "subgradient", "tight"),
        uses=("zhu2021.two-factor",),
    )
)

GAP = register(
    Claim(
        id="zhu2021.ridge-gap",
        kind=Kind.OURS,
        statement="Every column-stochastic Q' whose dual matrix Y = (Q'-I)Pi satisfies "
        "|Y D^(-1/2)|_op <= lam gives a rigorous lower bound, and any Q can be shrunk towards I "
        "until it does; the gap is a sum of two non-negative terms.",
        formula=r"f(Z)-\sum_k\pi_k\mathrm{Ent}(q'_k) = \sum_k\pi_k\mathrm{KL}(q'_k\|q_k) + "
        r"\bigl[\langle Y,Z\rangle+\lambda\|ZD^{1/2}\|_*\bigr]",
        source=OURS,
        assumptions=(CROSS_ENTROPY, RIDGE, LEARNABLE, NO_BIAS),
        steps=("conjugate", "gap formula", "shrinking"),
        uses=("zhu2021.two-factor",),
    )
)

BIAS_GAP = register(
    Claim(
        id="zhu2021.bias-gap",
        kind=Kind.OURS,
        statement="With a bias the same dual matrices certify the ridge model: a free bias asks "
        "for Y 1 = 0 too, a penalised one lowers the bound by |Y 1|^2/(2 lam_b) and adds a third "
        "non-negative term to the gap. Blending Q' with the shares, which satisfy every "
        "constraint, makes negative entries feasible.",
        formula=r"f-\sum_k\pi_k\mathrm{Ent}(q'_k)+\tfrac{\|Y1\|^2}{2\lambda_b}="
        r"\sum_k\pi_k\mathrm{KL}(q'_k\|q_k)+[\langle Y,Z\rangle+\lambda\|ZD^{1/2}\|_*]+"
        r"\tfrac{\|Y1+\lambda_bb\|^2}{2\lambda_b}",
        source=OURS,
        assumptions=(CROSS_ENTROPY, RIDGE, LEARNABLE, Assumption("bias", lambda p: p.has_bias)),
        steps=("pairing", "free", "penalised", "shares"),
        uses=("zhu2021.ridge-gap",),
    )
)

REFINED_RIDGE_GAP = register(
    Claim(
        id="zhu2021.refined-gap",
        kind=Kind.OURS,
        statement="The dual matrix of the ridge model can be refined like that of the layer-peeled "
        "model (its part on the singular vectors of Z D^(1/2) set to -lam U V', the rest clipped "
        "at lam): the certified gap is of second order in the distance of the factors to an "
        "optimal pair (the trial rank that of the optimum).",
        formula=r"YD^{-1/2}=-\lambda U_rV_r^\top+\mathrm{clip}(P_U^\perp GD^{-1/2}P_V^\perp,"
        r"\lambda):\quad\text{gap}=O(\varepsilon^2)",
        source=OURS,
        assumptions=(CROSS_ENTROPY, RIDGE, LEARNABLE, NO_BIAS, ETF_FITS),
        steps=("factor defect", "bracket", "divergence", "dual matrix"),
        uses=("zhu2021.ridge-gap", "zhu2021.two-factor", "fang2021.refined-gap"),
    )
)

STRICT_SADDLE = register(
    Claim(
        id="zhu2021.strict-saddle",
        kind=Kind.THEOREM,
        statement="Every critical point of the ridge model that is not a global minimiser has a "
        "direction of negative curvature; for d >= K, because the rows of W sum to zero there.",
        formula=r"\text{(features scaled by }D^{1/2})\quad "
        r"\lambda_{\min} \le \tfrac{\lambda_W+\lambda_H}2-"
        r"\sqrt{\bigl(\tfrac{\lambda_W-\lambda_H}2\bigr)^2+\|G\|_{op}^2} < 0 \iff "
        r"\|G\|_{op}>\sqrt{\lambda_W\lambda_H}",
        source=SOURCE,
        assumptions=(CROSS_ENTROPY, RIDGE, LEARNABLE, NO_BIAS, FULL_WIDTH),
        steps=("null direction", "two by two", "sign"),
        uses=("zhu2021.spectral-certificate",),
    )
)

NARROW_SADDLE = register(
    Claim(
        id="zhu2021.narrow-saddle",
        kind=Kind.OURS,
        statement="The strict-saddle property holds for d = K-1 too: a critical point of the ridge "
        "model has either a null direction, or the full rank K-1, and then it is a global "
        "minimiser. (The features scaled by D^(1/2), so that their ridge is isotropic.)",
        formula=r"\operatorname{rank}W=K-1\implies GG^\top=\lambda_W\lambda_H"
        r"\bigl(I-\tfrac1K11^\top\bigr)\implies\|G\|_{op}=\sqrt{\lambda_W\lambda_H}",
        source=OURS,
        assumptions=(CROSS_ENTROPY, RIDGE, LEARNABLE, NO_BIAS, ETF_FITS),
        steps=("balance", "centring", "full rank"),
        uses=("zhu2021.spectral-certificate", "zhu2021.strict-saddle"),
    )
)

LOW_DIMENSION = register(
    Claim(
        id="zhu2021.low-dimension",
        kind=Kind.OURS,
        statement="d = K-1 suffices for the global ETF; at d = K-2 the optimum is strictly worse.",
        formula=r"\operatorname{rank}(I-\tfrac1K11^\top)=K-1",
        source=OURS,
        assumptions=(
            CROSS_ENTROPY,
            BALANCED,
            LEARNABLE,
            RIDGE,
            BELOW,
            Assumption("d = K - 1", lambda p: p.d == p.K - 1),
        ),
        rule=_global_etf,
        steps=("rank",),
        uses=("zhu2021.global-etf", "papyan2020.etf-gram"),
    )
)
