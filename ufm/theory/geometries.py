"""Gram triples that theorems predict, built from numbers. Imports torch; the statements do not."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from numpy.typing import ArrayLike

from ufm._typing import Float, Tensor
from ufm.geometry.frames import etf
from ufm.geometry.gram import Geometry
from ufm.geometry.multicenter_optimum import (
    MultiCenterOptimum,
    fixed_frame_optimum,
    learnable_frame_optimum,
)


Angle = tuple[float, float]


def centring(K: int) -> Float[Tensor, "K K"]:
    """The projector ``I - 11'/K``.

    Args:
        K: Number of classes.

    Returns:
        The matrix.
    """
    return torch.eye(K, dtype=torch.float64) - 1 / K


def etf_pair(K: int, *, norm2_W: float, norm2_H: float) -> Geometry:
    r"""Aligned simplex ETFs: rows of squared norm ``norm2_W``, means of ``norm2_H``.

    ``gram_W = norm2_W K/(K-1) P``, ``gram_H`` likewise and
    ``Z = sqrt(norm2_W norm2_H) K/(K-1) P`` with ``P = I - 11'/K``.

    Args:
        K: Number of classes.
        norm2_W: Squared norm of a classifier row.
        norm2_H: Squared norm of a class mean.

    Returns:
        The geometry, float64.
    """
    frame = K / (K - 1) * centring(K)
    within = torch.zeros((), dtype=torch.float64)
    return Geometry(norm2_W * frame, norm2_H * frame, (norm2_W * norm2_H) ** 0.5 * frame, within)


def majority_etf_pair(K_A: int, K_B: int, *, norm2_W: float, norm2_H: float) -> Geometry:
    """`etf_pair` of the first K_A classes; the vectors of the last K_B are zero.

    Args:
        K_A: Majority classes, at least 2.
        K_B: Minority classes.
        norm2_W: Squared norm of a majority row.
        norm2_H: Squared norm of a majority mean.

    Returns:
        The geometry of K_A + K_B classes.
    """
    pair = etf_pair(K_A, norm2_W=norm2_W, norm2_H=norm2_H)

    def padded(gram: Float[Tensor, "K_A K_A"]) -> Float[Tensor, "K K"]:
        return torch.nn.functional.pad(gram, (0, K_B, 0, K_B))

    return Geometry(padded(pair.gram_W), padded(pair.gram_H), padded(pair.Z), pair.within)


def balanced_factors(
    Z: ArrayLike, ratio: float, *, column_weights: tuple[float, ...] | None = None
) -> Geometry:
    r"""Geometry of the minimal factors of given logits.

    With ``X = Z D^{1/2} = U S V'`` the factors ``W = c^{1/2} U S^{1/2}`` and
    ``H D^{1/2} = c^{-1/2} S^{1/2} V'`` minimise ``|W|^2/c + c |H D^{1/2}|^2``, so that
    ``gram_W = c (X X')^{1/2}`` and ``gram_H = D^{-1/2} (X'X)^{1/2} D^{-1/2} / c``.

    Args:
        Z: Logits of the class means ``(K, K)``.
        ratio: ``c``, which is sqrt(E_W/E_H) for average budgets and sqrt(lam_H/lam_W) for ridges.
        column_weights: Diagonal of ``D``: class sizes for the ridge per sample, ones (the
            default) otherwise.

    Returns:
        The geometry.
    """
    logits = torch.as_tensor(Z, dtype=torch.float64)
    weights = column_weights or (1.0,) * logits.shape[-1]
    root = torch.tensor(weights, dtype=torch.float64).sqrt()
    # Not the root of X X': squaring would leave 1e-8 of noise where a singular value is zero.
    U, S, Vh = torch.linalg.svd(logits * root)
    gram_H = (Vh.mT * S) @ Vh / (ratio * root.unsqueeze(-1) * root)
    return Geometry(ratio * (U * S) @ U.mT, gram_H, logits, torch.zeros((), dtype=torch.float64))


def collapsed(K: int) -> Geometry:
    """Everything zero: the minimiser when the penalty is too strong.

    Args:
        K: Number of classes.

    Returns:
        The geometry.
    """
    zero = torch.zeros(K, K, dtype=torch.float64)
    return Geometry(zero, zero, zero, torch.zeros((), dtype=torch.float64))


def two_angle_pair(K_A: int, K_B: int, *, E_W: float, E_H: float, W: Angle, H: Angle) -> Geometry:
    """Merged state under per-vector budgets.

    Minority vectors lie along one unit vector ``g``; majority vectors are ``sin m_k + cos g`` with
    a simplex ETF ``m_k`` orthogonal to ``g``, all of full norm.

    Args:
        K_A: Majority classes, at least 2.
        K_B: Minority classes.
        E_W: Squared norm of the rows.
        E_H: Squared norm of the features.
        W: ``(cos, sin)`` of the majority rows' angle to ``g``.
        H: ``(cos, sin)`` of the majority features' angle to ``g``.

    Returns:
        The geometry.
    """

    def rows(norm2: float, angle: Angle) -> Float[Tensor, "K d"]:
        vectors = torch.zeros(K_A + K_B, K_A + 1, dtype=torch.float64)
        vectors[:, 0], vectors[:K_A, 0] = 1.0, angle[0]
        vectors[:K_A, 1:] = angle[1] * etf(K_A, K_A)
        return norm2**0.5 * vectors

    return Geometry.of(rows(E_W, W), rows(E_H, H).mT, torch.arange(K_A + K_B))


def diagonal_pair(norm2_W: Sequence[float], norm2_H: Sequence[float]) -> Geometry:
    """Orthogonal rows, each along its class's mean.

    Args:
        norm2_W: Squared norm of each row.
        norm2_H: Squared norm of each class mean.

    Returns:
        The geometry: all three Gram matrices diagonal.
    """
    W, H = (torch.tensor(norm2, dtype=torch.float64) for norm2 in (norm2_W, norm2_H))
    zero = torch.zeros((), dtype=torch.float64)
    return Geometry(W.diag(), H.diag(), (W * H).sqrt().diag(), zero)


def center_optimum(
    f: Sequence[int],
    n: Sequence[int],
    *,
    theta: float,
    lam_H: float,
    lam_W: float | None = None,
) -> MultiCenterOptimum:
    """Closed optimum of problem P of a multi-center frame, from plain numbers.

    Args:
        f: Centers of each class.
        n: Class sizes.
        theta: Angle of the centers.
        lam_H: Ridge on the features.
        lam_W: Ridge on the class vectors; None if the frame is fixed, with unit vectors.

    Returns:
        The optimum.
    """
    centers, sizes = (torch.tensor(x, dtype=torch.float64) for x in (f, n))
    if lam_W is None:
        return fixed_frame_optimum(centers, sizes, theta=theta, lam_H=lam_H)
    return learnable_frame_optimum(centers, sizes, theta=theta, lam_W=lam_W, lam_H=lam_H)
