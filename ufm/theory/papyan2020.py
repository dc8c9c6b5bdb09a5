"""Papyan, Han and Donoho (2020): the simplex ETF and the four properties of neural collapse."""

from __future__ import annotations

from ufm.claims import Claim, Kind, Prediction, Source, register
from ufm.geometry.specs import SimplexETF
from ufm.problem import Fixed, Problem
from ufm.theory._assumptions import (
    AVERAGE_BUDGET,
    BALANCED,
    CROSS_ENTROPY,
    ETF_FITS,
    FIXED_ETF,
    LEARNABLE,
    NO_BIAS,
)


SOURCE = Source("papyan2020", "2008.08186")
FRAME = "frames of K vectors in R^d"


def _etf_rows(claim: Claim, problem: Problem) -> Prediction:
    assert isinstance(problem.classifier, Fixed)
    assert isinstance(problem.classifier.frame, SimplexETF)
    norm2 = problem.classifier.frame.E_W
    return Prediction(
        claim,
        note=f"classifier rows have squared norm {norm2:g} and cosine -1/(K-1)",
        numbers={"cosine": -1 / (problem.K - 1), "norm2_W": norm2},
    )


ETF_GRAM = register(
    Claim(
        id="papyan2020.etf-gram",
        kind=Kind.PROPOSITION,
        statement="A simplex ETF has unit rows with pairwise cosine -1/(K-1), which sum to zero "
        "and span K-1 dimensions; it is a tight frame of its span.",
        formula=r"M M^\top = \tfrac{K}{K-1}\bigl(I_K - \tfrac1K 1 1^\top\bigr),\quad "
        r"M^\top 1 = 0,\quad (M^\top M)^2 = \tfrac{K}{K-1} M^\top M",
        source=SOURCE,
        assumptions=(FIXED_ETF, ETF_FITS),
        rule=_etf_rows,
        steps=("gram", "sum", "rank", "tight"),
    )
)

WELCH = register(
    Claim(
        id="papyan2020.simplex-bound",
        kind=Kind.FOLKLORE,
        statement="K unit vectors have a pair with cosine at least -1/(K-1), with equality for "
        "all pairs iff they form a simplex ETF; this is the Welch bound at d = K-1 with its sign.",
        formula=r"\max_{j\ne k}\langle u_j,u_k\rangle \ge -\tfrac1{K-1},\qquad "
        r"\sqrt{\tfrac{K-d}{d(K-1)}}\Big|_{d=K-1} = \tfrac1{K-1}",
        source=Source("welch1974", "10.1109/TIT.1974.1055219"),
        outside=FRAME,
        steps=("mean cosine", "equality", "Welch"),
        uses=("papyan2020.etf-gram",),
    )
)

_NC = (CROSS_ENTROPY, BALANCED, LEARNABLE, NO_BIAS, ETF_FITS, AVERAGE_BUDGET)


def _nc(name: str, statement: str, formula: str) -> Claim:
    return register(
        Claim(
            id=f"papyan2020.{name}",
            kind=Kind.EMPIRICAL,
            statement=statement,
            formula=formula,
            source=SOURCE,
            assumptions=_NC,
        )
    )


NC1 = _nc(
    "nc1",
    "Variability collapse: towards the end of training the features of a class converge to "
    "their mean. Here: at the optimum of the layer-peeled model, solved on samples.",
    r"\Sigma_W \Sigma_B^{+} \to 0",
)
NC2 = _nc(
    "nc2",
    "The centred class means converge to a simplex ETF. Here: at the optimum of the layer-peeled "
    "model, solved on samples.",
    r"\cos\angle(\mu_k-\mu_G,\ \mu_j-\mu_G) \to -\tfrac1{K-1},\quad "
    r"\|\mu_k-\mu_G\| - \|\mu_j-\mu_G\| \to 0",
)
NC3 = _nc(
    "nc3",
    "Self-duality: classifier rows and centred class means converge to each other up to "
    "scale. Here: at the optimum of the layer-peeled model, solved on samples.",
    r"\bigl\| W^\top/\|W\|_F - \dot M/\|\dot M\|_F \bigr\|_F \to 0",
)
NC4 = _nc(
    "nc4",
    "The classifier comes to decide by the nearest class mean. Here: at the optimum of the "
    "layer-peeled model, on its own samples.",
    r"\arg\max_k \langle w_k,h\rangle + b_k \to \arg\min_k \|h-\mu_k\|",
)

NC4_EQUIVALENCE = register(
    Claim(
        id="papyan2020.nc4-equivalence",
        kind=Kind.PROPOSITION,
        statement="If W is a positive multiple of the centred class means, these have equal norms "
        "and the bias is -W mu_G, the linear rule equals the nearest-class-mean rule at every "
        "point. Without the bias it need not.",
        formula=r"W = c\,\dot M^\top,\ b = -W\mu_G:\quad "
        r"\|x-\mu_k\|^2-\|x-\mu_j\|^2 = -\tfrac2c\,"
        r"\bigl[(Wx+b)_k-(Wx+b)_j\bigr]",
        source=SOURCE,
        outside="decision rules on R^d",
        steps=("distance difference",),
    )
)
