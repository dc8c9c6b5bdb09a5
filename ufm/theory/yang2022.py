"""Yang et al. (2022): a classifier fixed to a simplex ETF, and dot regression.

Convention: per-vector norms, unlike the average norms of Fang et al.
"""

from __future__ import annotations

import math

from ufm import solvers, theory
from ufm.claims import Claim, Kind, Prediction, Provenance, Source, register
from ufm.geometry.specs import SimplexETF
from ufm.problem import Fixed, Problem, Sphere, VectorBudget
from ufm.theory._assumptions import (
    CROSS_ENTROPY,
    DOT_REGRESSION,
    FEATURE_BALL,
    FIXED_ETF,
    FULL_WIDTH,
    LEARNABLE,
    NO_BIAS,
    STEP,
    VECTOR_BUDGET,
    step_profile,
)
from ufm.theory.zhu2021 import balanced_value


SOURCE = Source("yang2022", "2203.09081")
OURS = Source("yang2022", "2203.09081", Provenance.DERIVED)
SPHERE_GD = "gradient descent on the feature sphere with a fixed ETF"


def _budgets(problem: Problem) -> tuple[float, float]:
    classifier, reg = problem.classifier, problem.reg
    assert isinstance(classifier, Fixed)
    assert isinstance(classifier.frame, SimplexETF)
    assert isinstance(reg, VectorBudget | Sphere)
    return classifier.frame.E_W, reg.E_H


def _fixed_etf(claim: Claim, problem: Problem) -> Prediction:
    E_W, E_H = _budgets(problem)
    K, s = problem.K, math.sqrt(E_W * E_H)
    return Prediction(
        claim,
        geometry=theory.etf_pair(K, norm2_W=E_W, norm2_H=E_H),
        value=balanced_value(K, K * s / (K - 1)),
        unique=True,
        note="every feature is its class's frame vector, whatever the class sizes",
        numbers={"inner_product": s},
    )


def _dot_regression(claim: Claim, problem: Problem) -> Prediction:
    E_W, E_H = _budgets(problem)
    return Prediction(
        claim,
        geometry=theory.etf_pair(problem.K, norm2_W=E_W, norm2_H=E_H),
        value=0.0,
        unique=True,
        note="every feature is its class's frame vector; the minimum is quartic",
        numbers={"inner_product": math.sqrt(E_W * E_H)},
        growth=4,
    )


FIXED_ETF_CE = register(
    Claim(
        id="yang2022.fixed-etf-ce",
        kind=Kind.THEOREM,
        statement="With the classifier fixed to a simplex ETF and features in balls, "
        "cross-entropy has one global minimiser for all class sizes: each feature is its class's "
        "frame vector. The value does not depend on the class sizes.",
        formula=r"h_{k,i}=\sqrt{E_H/E_W}\,w_k,\quad "
        r"F^*=\log\bigl(1+(K-1)e^{-K\sqrt{E_WE_H}/(K-1)}\bigr)",
        source=SOURCE,
        assumptions=(CROSS_ENTROPY, FIXED_ETF, FEATURE_BALL, NO_BIAS),
        rule=_fixed_etf,
        steps=("stationarity", "lower bound", "equality"),
        uses=("zhu2021.tangent", "papyan2020.etf-gram"),
    )
)

DR_MINIMISER = register(
    Claim(
        id="yang2022.dr-minimiser",
        kind=Kind.THEOREM,
        statement="Dot regression with a fixed simplex ETF has the same unique minimiser, with "
        "value zero, for all class sizes.",
        formula=r"\frac{(w_k^\top h-s)^2}{2s}=0\iff h=\sqrt{E_H/E_W}\,w_k\quad(\|h\|^2\le E_H,\ "
        r"s=\sqrt{E_WE_H})",
        source=SOURCE,
        assumptions=(DOT_REGRESSION, FIXED_ETF, FEATURE_BALL, NO_BIAS),
        rule=_dot_regression,
        steps=("Cauchy-Schwarz",),
    )
)

GRADIENTS = register(
    Claim(
        id="yang2022.gradients",
        kind=Kind.PROPOSITION,
        statement="The gradients of cross-entropy split into a pull towards the own class and a "
        "push from the others; class sizes enter the classifier's gradient (n_k terms of pull, "
        "N - n_k of push) and the feature's only through W. Dot regression on the sphere is a "
        "pure pull.",
        formula=r"-\partial_h\ell=(1-p_k)w_k-\sum_{j\ne k}p_jw_j,\quad "
        r"-\partial_h\ell_{DR}=(1-\cos\angle(h,w_k))\,w_k",
        source=SOURCE,
        assumptions=(CROSS_ENTROPY,),
        steps=("feature", "classifier", "dot regression"),
    )
)

CODE_WEIGHTS = register(
    Claim(
        id="yang2022.code-weights",
        kind=Kind.OURS,
        statement="The released code divides by sqrt(E_H) alone and sets the target length "
        "L_k = sqrt(gamma/count_k), so every class present in a batch gets the same total "
        "weight gamma; the printed formula would give the weight count_k L_k.",
        formula=r"n_kL_k^2=\gamma\ \text{(code)},\qquad n_kL_k=\sqrt{\gamma n_k}\ \text{(printed)}",
        source=OURS,
        outside="the training loss of the released code",
        steps=("code gradient", "printed gradient"),
    )
)

CE_RATE = register(
    Claim(
        id="yang2022.ce-rate",
        kind=Kind.OURS,
        statement="On the feature sphere cross-entropy with a fixed ETF is locally strongly "
        "convex, so gradient descent converges linearly; the rate degrades like exp(-Ks/(K-1)).",
        formula=r"\nabla^2=\tfrac K{K-1}\bigl[(1-p_1)\sqrt{E_W/E_H}+E_Wp_o\bigr]\ "
        r"(\text{in span}),\quad \tfrac K{K-1}(1-p_1)\sqrt{E_W/E_H}\ (\text{outside})",
        source=OURS,
        outside=SPHERE_GD,
        steps=("curvature", "in span", "outside span"),
        uses=("papyan2020.etf-gram",),
    )
)

DR_QUARTIC = register(
    Claim(
        id="yang2022.dr-quartic",
        kind=Kind.OURS,
        statement="Dot regression on the feature sphere has a quartic minimum with zero Hessian, "
        "so gradient descent is sublinear: theta_t ~ 1/sqrt(eta sqrt(E_W/E_H) t).",
        formula=r"L=\tfrac s8\theta^4+O(\theta^6),\qquad \theta_t\sim "
        r"\bigl(\eta\sqrt{E_W/E_H}\;t\bigr)^{-1/2}",
        source=OURS,
        outside=SPHERE_GD,
        steps=("quartic", "flow", "descent"),
    )
)

DR_REGIMES = register(
    Claim(
        id="yang2022.dr-regimes",
        kind=Kind.OURS,
        statement="At every s cross-entropy (linear) is ahead of dot regression (sublinear) from "
        "some step on; after any given number of steps dot regression, whose course does not "
        "depend on K, E_W, E_H, is ahead once s is large, where cross-entropy has saturated: a "
        "step turns its feature by O(1/s). At E_W = E_H = 1, the setting of the released code, "
        "cross-entropy was ahead wherever it was measured: after 1 to 1000 steps, K = 3 to 100.",
        formula=r"\frac{\theta^{CE}_t}{\theta^{DR}_t}\to0\ (t\to\infty),\qquad \theta^{CE}_t\ge"
        r"\theta_0-2\sqrt{\tfrac{2(K-1)}K}\,\tfrac ts,\quad\theta^{DR}_{t+1}=\theta^{DR}_t-"
        r"\arctan[(1-\cos\theta^{DR}_t)\sin\theta^{DR}_t]",
        source=OURS,
        outside=SPHERE_GD,
        steps=("eventually", "scale-free", "saturated"),
        uses=("yang2022.ce-rate", "yang2022.dr-quartic"),
    )
)

DR_FASTER = register(
    Claim(
        id="yang2022.dr-faster",
        kind=Kind.FOLKLORE,
        statement="Dot regression converges faster than cross-entropy with a fixed ETF, and "
        "linearly.",
        formula=r"\theta^{DR}_t\le C\rho^t,\ \rho<1,\quad\theta^{DR}_t\le\theta^{CE}_t",
        source=SOURCE,
        outside=SPHERE_GD,
        fails=True,
        repaired_by="yang2022.dr-regimes",
    )
)

VECTOR_DUAL = register(
    Claim(
        id="yang2022.vector-dual",
        kind=Kind.OURS,
        statement="With per-vector budgets and a learnable classifier every positive pair of "
        "multipliers, rescaled, gives a rigorous lower bound.",
        formula=r"\|B^{-1/2}YA^{-1/2}\|_{op}\le2:\quad F^*\ge\sum_k\pi_k\mathrm{Ent}(q_k)"
        r"-E_W\operatorname{tr}B-E_H\operatorname{tr}A",
        source=OURS,
        assumptions=(CROSS_ENTROPY, VECTOR_BUDGET, LEARNABLE, NO_BIAS),
        steps=("bound", "stationary multipliers"),
        uses=("fang2021.dual",),
    )
)


def _two_angle(claim: Claim, problem: Problem) -> Prediction:
    profile, reg = step_profile(problem), problem.reg
    assert profile is not None
    assert isinstance(reg, VectorBudget)
    K_A, R = profile
    K_B, s = problem.K - K_A, math.sqrt(reg.E_W * reg.E_H)
    if not solvers.S_RANGE[0] <= s <= solvers.S_RANGE[1] or solvers.R_RANGE[1] < R:
        return Prediction(claim, note=f"s = {s:g}, R = {R:g}: beyond the range of the solver")
    R_0 = float(solvers.vector_R0(K_A, K_B, s))
    numbers = {"R_0": R_0, "R": R, "merged": float(R >= R_0)}
    if R < R_0:
        note = f"R_0 = {R_0:.10g}; at R = {R:.10g} the minority classes are distinct"
        return Prediction(claim, note=note, numbers=numbers)
    state = solvers.two_angle_state(K_A, K_B, R=R, s=s)
    return Prediction(
        claim,
        geometry=theory.two_angle_pair(
            K_A,
            K_B,
            E_W=reg.E_W,
            E_H=reg.E_H,
            W=(float(state.cos_W), float(state.sin_W)),
            H=(float(state.cos_H), float(state.sin_H)),
        ),
        value=float(state.value),
        unique=True,
        note=f"R_0 = {R_0:.10g}; at R = {R:.10g} the minority classes are merged",
        numbers=numbers,
    )


TWO_ANGLE = register(
    Claim(
        id="yang2022.two-angle",
        kind=Kind.OURS,
        statement="Per-vector budgets, learnable classifier, step imbalance: the merged state has "
        "two angles (majority rows and features to the common minority direction) that minimise "
        "an explicit loss, and it is optimal iff a product of its probabilities reaches one.",
        formula=r"K_A^2\,q_m(1-\cos\varphi_w)(q_m-R\,p_m\cos\varphi_h)\ge1",
        source=OURS,
        assumptions=(CROSS_ENTROPY, VECTOR_BUDGET, LEARNABLE, NO_BIAS, STEP, FULL_WIDTH),
        rule=_two_angle,
        steps=("two angles suffice", "alpha", "beta", "contrast", "other blocks"),
        uses=("yang2022.vector-dual",),
    )
)
