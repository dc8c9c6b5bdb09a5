"""Statements: one module per paper; each claim with its hypotheses and its prediction.

Importing this package registers every claim and stays torch-free; tensors are made when a
prediction is asked for. Evidence points here, never back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ufm._lazy import attach
from ufm.claims import Prediction, registry
from ufm.problem import Problem


if TYPE_CHECKING:
    from ufm.theory.geometries import balanced_factors as balanced_factors
    from ufm.theory.geometries import centring as centring
    from ufm.theory.geometries import collapsed as collapsed
    from ufm.theory.geometries import etf_pair as etf_pair
    from ufm.theory.geometries import majority_etf_pair as majority_etf_pair
    from ufm.theory.geometries import two_angle_pair as two_angle_pair

__getattr__, __dir__, _ = attach(
    __name__,
    dict.fromkeys(
        (
            "balanced_factors",
            "centring",
            "collapsed",
            "etf_pair",
            "majority_etf_pair",
            "two_angle_pair",
        ),
        ".geometries",
    ),
)
__all__ = [
    "balanced_factors",
    "centring",
    "collapsed",
    "etf_pair",
    "majority_etf_pair",
    "predict",
    "two_angle_pair",
]


def predict(problem: Problem) -> list[Prediction]:
    """Every registered theorem whose hypotheses hold here and that predicts something.

    Statements that fail in the form registered are left out.

    Args:
        problem: The model.

    Returns:
        Predictions in the order of the registry; empty if nothing is known.

    >>> from ufm.problem import AverageBudget
    >>> problem = Problem(K=4, d=3, n=(5,) * 4, reg=AverageBudget(E_W=3, E_H=2))
    >>> [(p.claim.id, round(p.value, 10)) for p in predict(problem) if p.value]
    [('fang2021.balanced', 0.1083859879)]
    """
    return [
        claim.predict(problem)
        for claim in registry().values()
        if claim.rule is not None and not claim.fails and claim.applies(problem)
    ]


# Last, because the statements use the lazy names above; in the order of the papers' years.
from ufm.theory import papyan2020, zhu2021, fang2021, fang2021_collapse, yang2022, hong2024  # noqa: E402, F401, I001
