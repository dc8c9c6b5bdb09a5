"""Hong and Ling (2024): imbalanced cross-entropy with ridges, and its minority threshold."""

from __future__ import annotations

import math

from ufm import solvers, theory
from ufm.claims import Assumption, Claim, Kind, Prediction, Provenance, Source, register
from ufm.problem import ClassMeanDecay, Problem, WeightDecay
from ufm.theory._assumptions import (
    CROSS_ENTROPY,
    EQUAL_GROUP,
    ETF_FITS,
    LEARNABLE,
    MEAN_RIDGE,
    NO_BIAS,
    RIDGE,
    SAMPLE_RIDGE,
    SAMPLE_WEIGHTS_ONE,
    equal_groups,
)


SOURCE = Source("hong2024", "2309.09725")
OURS = Source("hong2024", "2309.09725", Provenance.DERIVED)
MODEL = (CROSS_ENTROPY, LEARNABLE, NO_BIAS, ETF_FITS)


def strength(problem: Problem) -> float:
    r"""The nuclear-norm strength :math:`\lambda = \sqrt{\lambda_W\lambda_H}` of a ridge model.

    Args:
        problem: Model with a ridge.

    Returns:
        The strength.
    """
    assert isinstance(problem.reg, WeightDecay | ClassMeanDecay)
    return math.sqrt(problem.reg.lam_W) * math.sqrt(problem.reg.lam_H)


def _said(lam: float, what: str, merged: list[str]) -> str:
    if not merged:
        return f"no group of equal classes is merged at lambda = {lam:.6g}"
    return f"merged at lambda = {lam:.6g}: the classes of {what} {', '.join(merged)}"


def _sample_merging(claim: Claim, problem: Problem) -> Prediction:
    lam = strength(problem)
    sizes = {round(pi * problem.N): math.sqrt(pi / problem.N) for pi in equal_groups(problem)}
    merged = [str(size) for size, level in sizes.items() if level <= lam]
    return Prediction(
        claim,
        note=_said(lam, "size", merged),
        numbers={f"threshold_{size}": level for size, level in sizes.items()},
    )


def _mean_merging(claim: Claim, problem: Problem) -> Prediction:
    lam, shares = strength(problem), sorted(equal_groups(problem))
    merged = [f"{pi:.6g}" for pi in shares if pi <= lam]
    return Prediction(
        claim,
        note=_said(lam, "share", merged),
        numbers={f"threshold_{i}": pi for i, pi in enumerate(shares)},
    )


SAMPLE_THRESHOLD = register(
    Claim(
        id="hong2024.minority-threshold",
        kind=Kind.THEOREM,
        statement="Cross-entropy with ridges per sample: classes of one size n_B have equal rows "
        "and equal features iff sqrt(n_B) <= N sqrt(lam_W lam_H). (Stated for the smallest size; "
        "it holds group by group.)",
        formula=r"w_k=w_{k'},\ h_k=h_{k'}\iff\frac{\sqrt{n_B}}N\le\sqrt{\lambda_W\lambda_H}",
        source=SOURCE,
        assumptions=(*MODEL, SAMPLE_RIDGE, SAMPLE_WEIGHTS_ONE, EQUAL_GROUP),
        rule=_sample_merging,
        steps=("contrast gradient", "strict"),
        uses=("zhu2021.spectral-certificate",),
    )
)

MEAN_THRESHOLD = register(
    Claim(
        id="hong2024.class-mean-threshold",
        kind=Kind.OURS,
        statement="With ridges per class mean, classes of one size and share pi_B merge iff "
        "pi_B <= sqrt(lam_W lam_H).",
        formula=r"w_k=w_{k'},\ h_k=h_{k'}\iff\pi_B\le\sqrt{\lambda_W\lambda_H}",
        source=OURS,
        assumptions=(*MODEL, MEAN_RIDGE, EQUAL_GROUP),
        rule=_mean_merging,
        steps=("contrast gradient", "strict"),
        uses=("zhu2021.spectral-certificate",),
    )
)


def vanishing(problem: Problem) -> float:
    """Strength from which on everything is zero.

    Args:
        problem: Cross-entropy with ridges, without bias.

    Returns:
        The threshold of ``sqrt(lam_W lam_H)``.
    """
    counts = problem.n if isinstance(problem.reg, WeightDecay) else (1,) * problem.K
    return float(solvers.ridge_vanishing(problem.pi, counts))


def _is_strong(problem: Problem) -> bool:
    return RIDGE.holds(problem) and strength(problem) >= vanishing(problem)


def _total_collapse(claim: Claim, problem: Problem) -> Prediction:
    return Prediction(
        claim,
        geometry=theory.collapsed(problem.K),
        value=math.log(problem.K),
        unique=True,
        note="everything is zero",
        numbers={"threshold": vanishing(problem), "lambda": strength(problem)},
    )


TOTAL_COLLAPSE = register(
    Claim(
        id="hong2024.total-collapse",
        kind=Kind.OURS,
        statement="Everything is zero iff the strength is at least the operator norm of the "
        "scaled risk gradient at zero, for any class sizes.",
        formula=r"W=H=0\iff\|(I-\tfrac1KJ)\Pi D^{-1/2}\|_{op}\le\sqrt{\lambda_W\lambda_H}",
        source=OURS,
        assumptions=(*MODEL, RIDGE, Assumption("strength at least the threshold", _is_strong)),
        rule=_total_collapse,
        steps=("gradient at zero",),
        uses=("zhu2021.spectral-certificate",),
    )
)
