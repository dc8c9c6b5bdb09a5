r"""Minority collapse in the layer-peeled model: Fang et al. (2021) and its thresholds.

Step profile: K_A classes of share :math:`\pi_A`, K_B of share :math:`\pi_B`,
:math:`R = \pi_A/\pi_B > 1`; :math:`\mu = \|\nabla F(Z^*)\|_{op}`; :math:`\tau = K\sqrt{E_WE_H}`.
The exact curves are computed by `ufm.solvers`; the statements are here.
"""

from __future__ import annotations

import math

from ufm import solvers, theory
from ufm.claims import Assumption, Claim, Kind, Prediction, Provenance, Source, register
from ufm.problem import AverageBudget, Problem
from ufm.theory._assumptions import (
    EQUAL_GROUP,
    ETF_FITS,
    FULL_WIDTH,
    SINGLE_MAJORITY,
    STEP,
    STEP_ANY,
    UNEQUAL,
    step_profile,
)
from ufm.theory.fang2021 import MODEL


OURS = Source("fang2021", "2101.12699", Provenance.DERIVED)


def _step(problem: Problem) -> tuple[int, int, float]:
    profile = step_profile(problem)
    assert profile is not None
    return profile[0], problem.K - profile[0], profile[1]


def _ratio(problem: Problem) -> float:
    assert isinstance(problem.reg, AverageBudget)
    return math.sqrt(problem.reg.E_W / problem.reg.E_H)


def _radius(problem: Problem) -> float:
    # Beyond these radii R_0 and R_1 are 1 or infinite in float64, as they are at the ends.
    least, most = solvers.TAU_RANGE
    return min(max(problem.radius, least), most)


def _unsolved(claim: Claim, problem: Problem) -> Prediction | None:
    _, _, R = _step(problem)
    if problem.radius == _radius(problem) and solvers.R_RANGE[1] >= R:
        return None
    return Prediction(
        claim, note=f"tau = {problem.radius:g}, R = {R:g}: beyond the range of the exact solver"
    )


def threshold(problem: Problem) -> float:
    """Ratio ``R_0`` from which the minority classes of a step profile are merged.

    Args:
        problem: Average budgets, step profile with K_B >= 2.

    Returns:
        ``R_0``; infinite where it overflows.
    """
    K_A, K_B, _ = _step(problem)
    return float(solvers.R0(K_A, K_B, _radius(problem)))


def _thresholds(claim: Claim, problem: Problem) -> Prediction:
    _, _, R = _step(problem)
    R_0 = threshold(problem)
    merged = "are merged" if R >= R_0 else "are distinct"
    return Prediction(
        claim,
        note=f"R_0 = {R_0:.10g}; at R = {R:.10g} the minority classes {merged}",
        numbers={"R_0": R_0, "R": R, "merged": float(R >= R_0)},
    )


THM5 = register(
    Claim(
        id="fang2021.thm5",
        kind=Kind.THEOREM,
        statement="Step imbalance with p >= K and n_A/n_B to infinity, K_A and K_B fixed: the "
        "minority classifier rows of any minimiser merge in the limit.",
        formula=r"n_A/n_B\to\infty\implies w_k-w_{k'}\to0\quad(K_A<k<k'\le K)",
        source=Source("fang2021", "2101.12699", Provenance.PRINTED, "Theorem 5"),
        assumptions=(*MODEL, STEP_ANY, FULL_WIDTH),
        steps=("limit",),
        uses=("fang2021.finite-threshold",),
    )
)

FINDING2 = register(
    Claim(
        id="fang2021.finding2",
        kind=Kind.EMPIRICAL,
        statement="The minority classes merge exactly once the imbalance is large enough, at a "
        "finite R_0 that the paper observes without a formula.",
        formula=r"\exists R_0<\infty:\ R\ge R_0\implies w_k=w_{k'}",
        source=Source("fang2021", "2101.12699", Provenance.PRINTED, "Finding 2"),
        assumptions=(*MODEL, STEP_ANY, FULL_WIDTH),
        steps=("finite",),
        uses=("fang2021.finite-threshold",),
    )
)

COLLAPSE = register(
    Claim(
        id="fang2021.collapse",
        kind=Kind.OURS,
        statement="Classes of equal size and share pi_B have equal rows and equal features at "
        "the optimum iff pi_B <= mu, the operator norm of the risk gradient; this holds group by "
        "group for any profile.",
        formula=r"w_k=w_{k'},\ h_k=h_{k'}\iff\pi_B\le\mu=\|\nabla F(Z^*)\|_{op}",
        source=OURS,
        assumptions=(*MODEL, EQUAL_GROUP, ETF_FITS),
        steps=("block", "contrast gradient", "strict"),
        uses=("fang2021.tight-rank", "fang2021.dual"),
    )
)

FINITE = register(
    Claim(
        id="fang2021.finite-threshold",
        kind=Kind.OURS,
        statement="An explicit imbalance from which every group of equal classes is merged, for "
        "any profile: mu is at least pi_max times the largest class's miss probability, which the "
        "budget bounds below.",
        formula=r"\pi_B\le\pi_{\max}\frac{K-1}{K-1+e^{\sqrt2\tau}}\implies\text{merged},\qquad "
        r"R_0\le1+\tfrac{e^{\sqrt2\tau}}{K-1}",
        source=OURS,
        assumptions=(*MODEL, EQUAL_GROUP, ETF_FITS),
        steps=("entry bound", "logit bound", "miss bound"),
        uses=("fang2021.collapse",),
    )
)

R0_CLOSED = register(
    Claim(
        id="fang2021.r0",
        kind=Kind.OURS,
        statement="Closed threshold of minority collapse for K_A, K_B >= 2, parametric in the "
        "probability q in (0, 1/K) that a collapsed minority sample gives each majority class: "
        "the minority classes merge iff R >= R_0.",
        formula=r"y=\ln\tfrac{1-K_Aq}{K_Bq},\ m=\sqrt{\tfrac{1/K-K_Aq^2}{K_B}},\ "
        r"o=\tfrac{1-K_Bm}{K_A},\ a=\tfrac{K_Bym}q-K_A\ln\tfrac om,\quad "
        r"\tau=(K_A-1)a+\tfrac{K_By}{Kq},\quad R_0=1+o(e^a-1)",
        source=OURS,
        assumptions=(*MODEL, STEP, ETF_FITS),
        rule=_thresholds,
        steps=(
            "singular values",
            "gradient blocks",
            "alignment",
            "probabilities",
            "radius",
            "ratio",
            "not vanished",
        ),
        uses=("fang2021.collapse", "fang2021.r0-monotone", "fang2021.finite-threshold"),
    )
)

R0_SINGLE = register(
    Claim(
        id="fang2021.r0-single",
        kind=Kind.OURS,
        statement="Closed threshold for one majority class (K_A = 1, K_B >= 2).",
        formula=r"\tau=\tfrac{K_By}{Kq},\qquad R_0=m\bigl(e^{K_Bym/q}+K_B\bigr)",
        source=OURS,
        assumptions=(*MODEL, SINGLE_MAJORITY, ETF_FITS),
        rule=_thresholds,
        steps=("gradient blocks", "alignment", "radius", "ratio", "radius falls"),
        uses=("fang2021.collapse", "fang2021.finite-threshold"),
    )
)

R0_MONOTONE = register(
    Claim(
        id="fang2021.r0-monotone",
        kind=Kind.OURS,
        statement="Along the parameter q both tau and R_0 strictly decrease, so R_0 is a strictly "
        "increasing function of E_W E_H alone, with one boundary point for each tau.",
        formula=r"\frac{d\tau}{dq}<0,\quad\frac{d\ln(R_0-1)}{dq}\le\frac{(1-K_A)o'}o+"
        r"\frac{K_Am'}m<0",
        source=OURS,
        assumptions=(*MODEL, STEP, ETF_FITS),
        steps=("m falls", "o rises", "y falls", "tau falls", "ratio falls"),
    )
)

R0_LIMITS = register(
    Claim(
        id="fang2021.r0-limits",
        kind=Kind.OURS,
        statement="Any R > 1 collapses if the energy is small enough; for large energy R_0 grows "
        "exponentially in sqrt(E_W E_H).",
        formula=r"R_0=1+\frac{\tau}{K_A(K-1)}+\dots\ (\tau\to0),\qquad "
        r"\frac{\ln R_0}{\tau}\to\frac1{K_A-1+\sqrt{K_B/K}}\ (\tau\to\infty)",
        source=OURS,
        assumptions=(*MODEL, STEP, ETF_FITS),
        steps=("small", "large"),
    )
)

OVERSAMPLING = register(
    Claim(
        id="fang2021.oversampling",
        kind=Kind.PROPOSITION,
        statement="Weighing (or repeating) minority samples w_r times gives the same model as "
        "w_r n_B minority samples, hence the same semidefinite programme.",
        formula=r"\frac{w_rn_B}{K_An_A+w_rK_Bn_B}=\pi_B(w_rn_B)",
        source=Source("fang2021", "2101.12699"),
        assumptions=(*MODEL, STEP_ANY),
        steps=("shares",),
    )
)

OVERSAMPLING_R0 = register(
    Claim(
        id="fang2021.oversampling-threshold",
        kind=Kind.OURS,
        statement="Oversampling keeps the minority classes apart iff w_r > R/R_0, and restores the "
        "exact ETF at w_r = R. Beyond, the groups change roles: of two or more former majority "
        "classes all merge iff w_r/R reaches the R_0 of K_B majority and K_A minority classes.",
        formula=r"R/w_r<R_0(K_A,K_B)\iff w_r>R/R_0(K_A,K_B),\qquad "
        r"w_r\ge R\,R_0(K_B,K_A)\iff\text{the former majority is merged}",
        source=OURS,
        assumptions=(*MODEL, STEP_ANY, ETF_FITS),
        steps=("effective ratio", "roles"),
        uses=("fang2021.oversampling", "fang2021.r0", "fang2021.r0-single"),
    )
)

RANK_DROP = register(
    Claim(
        id="fang2021.rank-drop",
        kind=Kind.CONJECTURE,
        statement="When all class shares differ nothing merges exactly, but the rank drops: it is "
        "the number of classes with pi_k > mu, or one less.",
        formula=r"\operatorname{rank}Z^*\in\{\#\{\pi_k>\mu\}-1,\ \#\{\pi_k>\mu\}\}",
        source=OURS,
        assumptions=(*MODEL, UNEQUAL, ETF_FITS),
    )
)

LOST_CLASSES = register(
    Claim(
        id="fang2021.lost-classes",
        kind=Kind.CONJECTURE,
        statement="When all class shares differ, the optimum classifies the classes with pi_k > mu "
        "rightly and loses those with pi_k <= mu, save at most the heaviest of them: it gets their "
        "own training data wrong.",
        formula=r"\pi_k>\mu\implies\arg\max_j z^*_{jk}=k,\qquad "
        r"\#\{k:\pi_k\le\mu,\ \arg\max_j z^*_{jk}=k\}\le1",
        source=OURS,
        assumptions=(*MODEL, UNEQUAL, ETF_FITS),
    )
)


def _step_optimum(claim: Claim, problem: Problem) -> Prediction:
    if (unsolved := _unsolved(claim, problem)) is not None:
        return unsolved
    K_A, K_B, R = _step(problem)
    optimum = solvers.step_optimum(K_A, K_B, R=R, tau=problem.radius)
    return Prediction(
        claim,
        geometry=theory.balanced_factors(optimum.Z(), _ratio(problem)),
        value=float(optimum.value),
        unique=True,
        note=f"{optimum.phase} phase",
        numbers={"mu": float(optimum.mu), "pi_B": float(optimum.pi_B)},
    )


STEP_OPTIMUM = register(
    Claim(
        id="fang2021.step",
        kind=Kind.OURS,
        statement="The exact global minimiser under step imbalance below the vanishing threshold "
        "R_1 (from there on it is that of fang2021.r1): explicit in the multiplier mu and the "
        "probability q that a minority sample gives each majority class, which two scalar "
        "equations fix (here normalised to pi_B = 1, pi_A = R).",
        formula=r"m=\sqrt{\tfrac{\mu^2/K-K_Aq^2}{K_B}},\ o=\tfrac{\mu-K_Bm}{K_A},\ "
        r"R=o(e^a-1)+\mu,\ \tau=(K_A-1)a+(K_B-1)e+|c|\mu/q,\quad e>0\iff\mu<1",
        source=OURS,
        assumptions=(*MODEL, STEP, ETF_FITS),
        rule=_step_optimum,
        steps=("singular values", "gradient blocks", "full phase", "alignment", "ratio", "radius"),
        uses=("fang2021.collapse", "fang2021.tight-rank", "fang2021.r1"),
    )
)


def _has_vanished(problem: Problem) -> bool:
    if not all(a.holds(problem) for a in (*MODEL, STEP)):
        return False
    K_A, K_B, R = _step(problem)
    return float(solvers.R1(K_A, K_B, _radius(problem))) <= R


def _vanished(claim: Claim, problem: Problem) -> Prediction:
    K_A, K_B, R = _step(problem)
    K, reg = problem.K, problem.reg
    assert isinstance(reg, AverageBudget)
    a = problem.radius / (K_A - 1)
    majority = math.log1p((K_A - 1) * math.exp(-a) + K_B * math.exp(-a * (K_A - 1) / K_A))
    value = (R * K_A * majority + K_B * math.log(K)) / (R * K_A + K_B)
    return Prediction(
        claim,
        geometry=theory.majority_etf_pair(
            K_A, K_B, norm2_W=K * reg.E_W / K_A, norm2_H=K * reg.E_H / K_A
        ),
        value=value,
        unique=True,
        note="minority vectors are zero; the majority classes form a K_A-ETF",
        numbers={"R_1": float(solvers.R1(K_A, K_B, _radius(problem)))},
    )


R1_CLOSED = register(
    Claim(
        id="fang2021.r1",
        kind=Kind.OURS,
        statement="From a second threshold R_1 >= R_0 on the minority rows and features are "
        "exactly zero and the majority classes form a K_A-ETF with all of the budget; R_1 is "
        "finite iff the energy is below a bound.",
        formula=r"R_1=\sqrt{\tfrac{K_A}K}\,\frac{e^{a(K_A-1)/K_A}+(K_A-1)t+K_B}"
        r"{\sqrt{(K_At+K_B)^2-KK_B}},\ a=\tfrac\tau{K_A-1},\ t=e^{-a/K_A};\quad "
        r"R_1<\infty\iff\tau<K_A(K_A-1)\ln\bigl(1+\sqrt{K/K_B}\bigr)",
        source=OURS,
        assumptions=(*MODEL, STEP, ETF_FITS, Assumption("R >= R_1", _has_vanished)),
        rule=_vanished,
        steps=("gradient blocks", "threshold", "finite", "after R_0"),
        uses=("fang2021.collapse",),
    )
)
