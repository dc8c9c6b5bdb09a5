"""Gram triples and margins of models with a hierarchy-aware frame or its targets. Imports torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.optimize import nnls

from ufm._linalg import centre_columns, nuclear_norm
from ufm._typing import Float, Tensor
from ufm.geometry.frames import frame
from ufm.geometry.gram import Geometry
from ufm.geometry.specs import Frame, HAFrame
from ufm.hierarchy.distances import distance_matrix
from ufm.losses import SoftTargets
from ufm.theory.geometries import balanced_factors
from ufm.theory.tree_levels import Levels


def target_cosines(loss: SoftTargets) -> Float[Tensor, "K K"]:
    """Target cosines S of calibrated soft targets, float64.

    Args:
        loss: The loss.

    Returns:
        S.
    """
    return loss.cosines(torch.zeros((), dtype=torch.float64))


def calibrated_features(loss: SoftTargets, E_W: float) -> Geometry:
    r"""Geometry of :math:`h_y = \beta w_y/E_W` on a frame with rows of squared norm ``E_W``.

    Args:
        loss: Targets of the frame.
        E_W: Squared norm of the rows.

    Returns:
        The geometry; logits ``beta S``.
    """
    return features_along_rows(loss, E_W, (loss.beta,) * loss.frame.tree.K)


def features_along_rows(loss: SoftTargets, E_W: float, scales: Sequence[float]) -> Geometry:
    r"""Geometry of features along the rows of the targets' frame, of given logit scales.

    Args:
        loss: Targets of the frame.
        E_W: Squared norm of the rows.
        scales: Product of the norms of row and feature for each class.

    Returns:
        The geometry; column k of the logits is ``scales[k]`` times that of S.
    """
    S, a = target_cosines(loss), torch.tensor(scales, dtype=torch.float64)
    within = torch.zeros((), dtype=torch.float64)
    return Geometry(E_W * S, a.unsqueeze(-1) * a / E_W * S, a * S, within)


def smallest_radius(loss: SoftTargets) -> float:
    r"""Smallest nuclear norm of logits that fit the targets exactly, :math:`\beta\|P S\|_*`.

    Args:
        loss: The targets.

    Returns:
        The norm; ``beta K`` for a symmetric tree at s*.
    """
    return loss.beta * float(nuclear_norm(centre_columns(target_cosines(loss))))


def smallest_fit(
    loss: SoftTargets, ratio: float, *, column_weights: tuple[float, ...] | None = None
) -> Geometry:
    r"""Factors of least norm among those that fit the targets exactly: of :math:`\beta P S`.

    :math:`W W^\top = c\,\beta\,(P S D S P)^{1/2}`.

    Args:
        loss: The targets.
        ratio: ``c``, see `balanced_factors`.
        column_weights: Diagonal of ``D``; ones by default.

    Returns:
        The geometry.
    """
    logits = loss.beta * centre_columns(target_cosines(loss))
    return balanced_factors(logits, ratio, column_weights=column_weights)


def level_matrix(spec: HAFrame, levels: Levels, entries: Sequence[float]) -> Float[Tensor, "K K"]:
    """The matrix with given entries by level of the lowest common ancestor.

    Args:
        spec: Frame on a symmetric tree.
        levels: Its levels.
        entries: One number a level.

    Returns:
        The matrix.
    """
    by_label = np.zeros(levels.labels[-1] + 1)
    by_label[list(levels.labels)] = entries
    return torch.from_numpy(by_label[distance_matrix(spec.tree, spec.convention)])


def frame_value(spec: Frame, K: int, d: int, *, radius: float, pi: Sequence[float]) -> float:
    """Cross-entropy of features of one length along the rows of a frame.

    Args:
        spec: The frame.
        K: Number of classes.
        d: Feature dimension.
        radius: Length of the features.
        pi: Share of each class.

    Returns:
        The value of the risk.
    """
    W = frame(spec, K, d)
    Z = radius * (W @ W.mT) / W.norm(dim=-1)
    losses = Z.logsumexp(0) - Z.diagonal()
    return float(losses @ torch.tensor(pi, dtype=torch.float64))


def max_margin(W: Float[Tensor, "K d"]) -> tuple[Float[Tensor, "K d"], Float[Tensor, "K"]]:
    r"""Directions of largest margin, :math:`\max_{\|u\|=1}\min_{c\ne y}\langle w_y-w_c,u\rangle`.

    The direction is that of the point of least norm in the convex hull of the differences, and the
    margin its norm; the point is found by non-negative least squares with the row of ones
    appended (an exact active-set method).

    Args:
        W: Rows of a classifier.

    Returns:
        Unit directions, one a row, and margins; direction and margin 0 for a class that is not
        linearly separable from the others.
    """
    K, d = W.shape
    directions, margins = torch.zeros_like(W), W.new_zeros(K)
    for y in range(K):
        differences = (W[y] - torch.cat([W[:y], W[y + 1 :]])).mT.numpy()
        stacked = np.vstack([differences, np.ones((1, K - 1))])
        weights, _ = nnls(stacked, np.eye(d + 1)[d])
        point = torch.from_numpy(differences @ (weights / weights.sum()))
        length = point.norm()
        if float(length) > 1e-12:
            directions[y], margins[y] = point / length, length
    return directions, margins


def row_margin(spec: Frame, K: int, d: int) -> float:
    """Smallest margin of the rows themselves; no direction of largest margin has less.

    Args:
        spec: Frame with distinct rows of equal length.
        K: Number of classes.
        d: Feature dimension.

    Returns:
        The margin of a row's direction, > 0.
    """
    W = frame(spec, K, d)
    gram = (W @ W.mT).fill_diagonal_(-torch.inf)
    norm2 = float(W[0].square().sum())
    return (norm2 - float(gram.max())) / norm2**0.5
