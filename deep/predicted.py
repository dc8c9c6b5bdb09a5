"""What the theory says that a recipe's network comes to: directions of class means, variability.

For a fixed frame these are the frame's own numbers; for a learned classifier those of the model
with the network's own class sizes and mean norms. Nothing here looks at the measured directions.
"""

from __future__ import annotations

from functools import cache, singledispatch

import torch

from deep.building import centers_of
from deep.methods import (
    CE,
    ETFCE,
    ETFDR,
    CalibratedTargets,
    Centers,
    CentersMSE,
    HierarchyMix,
    Method,
)
from deep.results import Stored
from deep.trees import tree
from ufm._typing import Float, Tensor
from ufm.certified import solve_certified
from ufm.geometry import (
    Exponential,
    Geometry,
    HAFrame,
    SimplexETF,
    cosines,
    frame,
    multicenter_frame,
)
from ufm.geometry.multicenter import Centers as CenterFrame
from ufm.geometry.specs import MultiCenter
from ufm.metrics import collapsed_sigma
from ufm.problem import AverageBudget, Problem


def sizes(stored: Stored) -> tuple[int, ...]:
    """Class sizes of the training images of a result.

    Args:
        stored: A result of few classes.

    Returns:
        One number a class.

    Raises:
        ValueError: If the result lists no confusion matrix (it has too many classes).
    """
    confusion = stored.final["train"].get("confusion")
    if confusion is None:
        raise ValueError(f"result must list its confusion matrix, {stored.recipe} does not")
    return tuple(map(sum, confusion))


def cosines_of(method: Method, stored: Stored) -> Float[Tensor, "K K"] | None:
    """Cosines of the class means at the predicted optimum.

    Args:
        method: The method.
        stored: Its result; only class sizes and, for cross-entropy with a learned classifier, mean
            squared norms are used.

    Returns:
        The cosines, float64, or None where there is no prediction.
    """
    return _cosines(method, stored)


@singledispatch
def _cosines(method: Method, stored: Stored) -> Float[Tensor, "K K"] | None:
    return None


@_cosines.register
def _(method: ETFDR | ETFCE, stored: Stored) -> Float[Tensor, "K K"]:
    K = len(sizes(stored))
    W = frame(SimplexETF(), K, K)
    return cosines(W @ W.mT)


@_cosines.register
def _(method: HierarchyMix, stored: Stored) -> Float[Tensor, "K K"]:
    return _similarity(method.tree, method.gamma)


@_cosines.register
def _(method: CalibratedTargets, stored: Stored) -> Float[Tensor, "K K"]:
    if not method.learnable:
        return _similarity(method.tree, method.gamma)
    # The fit of least nuclear norm is beta P S; its balanced factor H'H is beta (S P S)^(1/2).
    _, sigma, Vh = torch.linalg.svd(centred_similarity(method))
    return cosines(Vh.mT @ torch.diag(sigma) @ Vh)


@_cosines.register
def _(method: Centers | CentersMSE, stored: Stored) -> Float[Tensor, "K K"]:
    E = center_frame(method, sizes(stored)).direction
    return cosines(E @ E.mT)


@_cosines.register
def _(method: CE, stored: Stored) -> Float[Tensor, "K K"]:
    return cosines(model_of(stored).gram_H)


def model_of(stored: Stored) -> Geometry:
    """Certified optimum of the layer-peeled model with a network's class sizes and mean norms.

    Args:
        stored: Result of cross-entropy with a learned classifier.

    Returns:
        Geometry of the optimum.

    Raises:
        ArithmeticError: If the solution was not certified.
    """
    row = stored.final["train"]
    return _budget_optimum(sizes(stored), row["E_W"], row["E_H"])


def sigma_of(method: Centers | CentersMSE, n: tuple[int, ...]) -> float:
    """Published variability at exact collapse of a multi-center frame.

    Args:
        method: A multi-center method.
        n: Class sizes.

    Returns:
        The limit of sigma.
    """
    return float(collapsed_sigma(_centers(method, n), torch.tensor(n, dtype=torch.float64)))


def center_frame(method: Centers | CentersMSE, n: tuple[int, ...]) -> CenterFrame:
    """Class vectors and centers of a multi-center method.

    Args:
        method: The method.
        n: Class sizes.

    Returns:
        The frame, in the fewest dimensions.
    """
    return multicenter_frame(_centers(method, n))


def centred_similarity(method: CalibratedTargets) -> Float[Tensor, "K K"]:
    """Similarities of the targets' frame without the mean of each column, P S.

    Args:
        method: The method.

    Returns:
        The matrix.
    """
    S = _similarity(method.tree, method.gamma)
    return S - S.mean(0, keepdim=True)


def _centers(method: Centers | CentersMSE, n: tuple[int, ...]) -> MultiCenter:
    return MultiCenter(centers_of(method, n), theta=method.theta)


def _similarity(name: str, gamma: float) -> Float[Tensor, "K K"]:
    hierarchy = tree(name)
    W = frame(HAFrame(hierarchy, Exponential(gamma)), hierarchy.K, hierarchy.K)
    return cosines(W @ W.mT)


@cache
def _budget_optimum(n: tuple[int, ...], E_W: float, E_H: float) -> Geometry:
    problem = Problem(K=len(n), d=len(n), n=n, reg=AverageBudget(E_W=E_W, E_H=E_H))
    solution, certificate = solve_certified(problem)
    if not bool(certificate.passed.all()):
        raise ArithmeticError(f"model of sizes {n}, E = ({E_W:g}, {E_H:g}) was not certified")
    return solution[0].geometry
