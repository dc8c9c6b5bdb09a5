"""The optimum of the model that a network's method states, measured as the network is.

A learned classifier has a layer-peeled model with the network's own class sizes and mean squared
norms, solved and certified, with a free bias where the network has one. On a fixed frame each class
is alone; its feature has the length that the loss wants, or the network's mean length where it
wants ever longer ones. No direction of the network's class means is looked at.
"""

from __future__ import annotations

import math
from functools import cache, singledispatch

import torch

from deep.building import build, centers_of
from deep.collapse import Classifier, Collapse, collapse, unit
from deep.frame_fit import predict_on_frame
from deep.methods import (
    ARB,
    CE,
    ETFCE,
    ETFDR,
    LDAMDRW,
    RBL,
    CalibratedTargets,
    Centers,
    CentersMSE,
    ClassWeightedCE,
    HierarchyMix,
    LogitAdjustedCE,
    Method,
    NearestETF,
)
from deep.predicted import center_frame, centred_similarity, sizes
from deep.recipes import find
from deep.results import Stored
from ufm._typing import Float, Tensor
from ufm.certified import solve_certified
from ufm.geometry.multicenter import Centers as CenterFrame
from ufm.losses import FeatureLoss, LogitAdjusted, Loss
from ufm.problem import (
    AverageBudget,
    Bias,
    FreeBias,
    NoBias,
    Problem,
    Regulariser,
    VectorBudget,
)


def network_of(stored: Stored) -> Collapse:
    """Rows and class means of a network, up to a rotation, from its stored Gram matrices.

    Args:
        stored: A result of few classes.

    Returns:
        The measures, without variation within classes, and angles to the rows.

    Raises:
        ValueError: If the result lists no Gram matrices (it has too many classes).
    """
    row = stored.final["train"]
    if "Z" not in row:
        raise ValueError(f"result must list its Gram matrices, {stored.recipe} does not")
    W, M, Z = (torch.tensor(row[name], dtype=torch.float64) for name in ("gram_W", "gram_H", "Z"))
    joint = torch.cat([torch.cat([W, Z], 1), torch.cat([Z.mT, M], 1)])
    values, vectors = torch.linalg.eigh((joint + joint.mT) / 2)
    points = (vectors * values.clamp(min=0).sqrt()).contiguous()
    return _measured(points[: len(W)], points[len(W) :])


def optimum_of(stored: Stored) -> Collapse | None:
    """Rows and class means at the optimum of the model.

    Args:
        stored: A result of few classes.

    Returns:
        The measures, NC1 being zero, or None where there is no model of the method.

    Raises:
        ArithmeticError: If a layer-peeled model was not certified.
    """
    return _optimum(find(stored.recipe).method, stored)


def final_loss(stored: Stored) -> Loss | FeatureLoss:
    """The loss that a network ended with.

    Args:
        stored: A result of few classes.

    Returns:
        That of the last epoch.
    """
    recipe = find(stored.recipe)
    built = build(recipe.method, width=recipe.network.width, n=sizes(stored))
    return built.loss_at(recipe.epochs - 1, recipe.epochs)


@singledispatch
def _optimum(method: Method, stored: Stored) -> Collapse | None:
    return None


@_optimum.register
def _(method: CE | ClassWeightedCE | LogitAdjustedCE, stored: Stored) -> Collapse:
    n = sizes(stored)
    if find(stored.recipe).sampling == "class-balanced":
        # Every class is drawn as often as every other.
        n = (1,) * len(n)
    return _peeled(n, _softmax_loss(stored), _budgets(stored), FreeBias())


@_optimum.register
def _(method: ARB, stored: Stored) -> Collapse:
    # With the counts of batches it is this on average; its classifier has no bias.
    n = sizes(stored)
    return _peeled(n, LogitAdjusted(n), _budgets(stored), NoBias())


@_optimum.register
def _(method: LDAMDRW, stored: Stored) -> Collapse:
    # Rows and features are unit vectors, whatever the measured features in front of that.
    return _peeled(sizes(stored), _softmax_loss(stored), VectorBudget(1.0, 1.0), NoBias())


@_optimum.register
def _(method: ETFDR | ETFCE | NearestETF, stored: Stored) -> Collapse:
    return _on_rows(stored, length(stored))


@_optimum.register
def _(method: HierarchyMix, stored: Stored) -> Collapse:
    # The loss wants long features: on the sphere of the measured length.
    start = _on_rows(stored, length(stored))
    return _measured(start.classifier.W, predict_on_frame(start, final_loss(stored)).features)


@_optimum.register
def _(method: RBL, stored: Stored) -> Collapse:
    # All pairs of rows are alike, so by symmetry cross-entropy wants the centred rows.
    W = network_of(stored).classifier.W
    return _measured(W, length(stored) * unit(W - W.mean(0)))


@_optimum.register
def _(method: CalibratedTargets, stored: Stored) -> Collapse:
    if not method.learnable:
        return _on_rows(stored, method.beta)
    # The exact fit of least norms; the network's own norms leave room around it.
    U, s, Vh = torch.linalg.svd(method.beta * centred_similarity(method))
    root = s.clamp(min=0).sqrt()
    return _measured(U * root, Vh.mT * root)


@_optimum.register
def _(method: Centers, stored: Stored) -> Collapse:
    frame = center_frame(method, sizes(stored))
    return _measured(frame.W, length(stored) * frame.direction, frame)


@_optimum.register
def _(method: CentersMSE, stored: Stored) -> Collapse:
    n = sizes(stored)
    frame, f = center_frame(method, n), torch.tensor(centers_of(method, n), dtype=torch.float64)
    mean_centers = float((f * torch.tensor(n)).sum() / sum(n))
    g = math.cos(method.theta) ** 2 + f * math.sin(method.theta) ** 2
    # Corollary 3.7 with the ridge of a sample's feature.
    radius = (f * g).sqrt() / (g + method.lam * mean_centers)
    return _measured(frame.W, radius.unsqueeze(-1) * frame.direction, frame)


def length(stored: Stored) -> float:
    """Root mean square length of a network's class means.

    Args:
        stored: A result of few classes.

    Returns:
        The length.
    """
    return float(torch.tensor(stored.final["train"]["gram_H"]).diagonal().mean().sqrt())


def _softmax_loss(stored: Stored) -> Loss:
    loss = final_loss(stored)
    if not isinstance(loss, Loss):
        raise TypeError(f"{stored.recipe} must have a loss on logits, got {loss}")
    return loss


def _budgets(stored: Stored) -> AverageBudget:
    row = stored.final["train"]
    return AverageBudget(row["E_W"], row["E_H"])


def _on_rows(stored: Stored, radius: float) -> Collapse:
    W = network_of(stored).classifier.W
    return _measured(W, radius * unit(W))


@cache
def _peeled(n: tuple[int, ...], loss: Loss, reg: Regulariser, bias: Bias) -> Collapse:
    problem = Problem(K=len(n), d=len(n), n=n, loss=loss, reg=reg, bias=bias)
    solution, certificate = solve_certified(problem)
    if not bool(certificate.passed.all()):
        raise ArithmeticError(f"model of sizes {n}, {loss}, {reg} was not certified")
    best = solution[0]
    return _measured(best.W, best.H.mT)


def _measured(
    W: Float[Tensor, "K d"], M: Float[Tensor, "K d"], frame: CenterFrame | None = None
) -> Collapse:
    columns = (M, torch.arange(len(M)))
    classifier = Classifier.of(W)
    if frame is not None:
        classifier = Classifier(classifier.W, classifier.b, frame.direction, frame)
    return collapse(lambda: iter([columns]), classifier)
