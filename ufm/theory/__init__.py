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
    from ufm.theory.geometries import center_optimum as center_optimum
    from ufm.theory.geometries import centring as centring
    from ufm.theory.geometries import collapsed as collapsed
    from ufm.theory.geometries import diagonal_pair as diagonal_pair
    from ufm.theory.geometries import etf_pair as etf_pair
    from ufm.theory.geometries import majority_etf_pair as majority_etf_pair
    from ufm.theory.geometries import two_angle_pair as two_angle_pair
    from ufm.theory.tree_geometries import calibrated_features as calibrated_features
    from ufm.theory.tree_geometries import features_along_rows as features_along_rows
    from ufm.theory.tree_geometries import frame_value as frame_value
    from ufm.theory.tree_geometries import level_matrix as level_matrix
    from ufm.theory.tree_geometries import max_margin as max_margin
    from ufm.theory.tree_geometries import row_margin as row_margin
    from ufm.theory.tree_geometries import smallest_fit as smallest_fit
    from ufm.theory.tree_geometries import smallest_radius as smallest_radius

_EXPORTS: dict[str, str] = {
    **dict.fromkeys(
        (
            "balanced_factors",
            "center_optimum",
            "centring",
            "collapsed",
            "diagonal_pair",
            "etf_pair",
            "majority_etf_pair",
            "two_angle_pair",
        ),
        ".geometries",
    ),
    **dict.fromkeys(
        (
            "calibrated_features",
            "features_along_rows",
            "frame_value",
            "level_matrix",
            "max_margin",
            "row_margin",
            "row_margin",
            "smallest_fit",
            "smallest_radius",
        ),
        ".tree_geometries",
    ),
}
__getattr__, __dir__, _ = attach(__name__, _EXPORTS)
__all__ = [
    "balanced_factors",
    "calibrated_features",
    "center_optimum",
    "centring",
    "collapsed",
    "diagonal_pair",
    "etf_pair",
    "features_along_rows",
    "frame_value",
    "level_matrix",
    "majority_etf_pair",
    "max_margin",
    "predict",
    "row_margin",
    "smallest_fit",
    "smallest_radius",
    "two_angle_pair",
]


def predict(problem: Problem) -> list[Prediction]:
    """Every registered theorem whose hypotheses hold here and that predicts something.

    Statements that fail in the form registered are left out.

    Args:
        problem: The model.

    Returns:
        Predictions in the order of the registry; empty if nothing is known.

    Raises:
        ValueError: If it is no problem.

    >>> from ufm.problem import AverageBudget
    >>> problem = Problem(K=4, d=3, n=(5,) * 4, reg=AverageBudget(E_W=3, E_H=2))
    >>> [(p.claim.id, round(p.value, 10)) for p in predict(problem) if p.value]
    [('fang2021.balanced', 0.1083859879)]
    """
    if not isinstance(problem, Problem):
        raise ValueError(f"problem must be a ufm.Problem, got a {type(problem).__name__}")
    return [
        claim.predict(problem)
        for claim in registry().values()
        if claim.rule is not None and not claim.fails and claim.applies(problem)
    ]


# Last, because the statements use the lazy names above; in the order of the papers' years.
from ufm.theory import papyan2020, zhu2021, fang2021, fang2021_lq, fang2021_collapse  # noqa: E402, F401, I001
from ufm.theory import yang2022, tirer2022, yaras2022, hong2024  # noqa: E402, F401
from ufm.theory import liang2023, liang2023_features, liang2023_targets, liang2023_shrunk  # noqa: E402, F401
from ufm.theory import yan2024, yan2024_losses, yan2024_rules, markou2024  # noqa: E402, F401
