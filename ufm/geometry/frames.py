"""Frames as matrices: simplex ETF, orthogonal frame, and their alignment for plotting."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ufm._linalg import procrustes
from ufm._typing import Float, Tensor
from ufm.counts import check_count
from ufm.geometry.haframe import contrast_rows
from ufm.geometry.specs import (
    ExplicitFrame,
    Frame,
    HAFrame,
    MultiCenter,
    OrthogonalFrame,
    SimplexETF,
)


@dataclass(frozen=True, eq=False)
class FixedRows:
    """Rows that do not move, with the inner products that would be computed again each step.

    Attributes:
        W: Rows ``(K, d)``.
        gram: ``W W'``, ``(K, K)``.
    """

    W: Float[Tensor, "K d"]
    gram: Float[Tensor, "K K"]


def helmert(K: int) -> Float[Tensor, "K Km1"]:
    r"""Orthonormal basis of the zero-sum subspace of R^K, as columns (Helmert contrasts).

    Column ``j`` is :math:`(1, \dots, 1, -j, 0, \dots, 0)/\sqrt{j(j+1)}` with ``j`` ones.

    Args:
        K: Number of classes, at least 2.

    Returns:
        The K x (K - 1) matrix ``B`` with ``B' B = I`` and ``B B' = I - 11'/K``.
    """
    check_count("K", K, 2)
    j = torch.arange(1, K, dtype=torch.float64)
    k = torch.arange(K).unsqueeze(-1)
    column = torch.where(k < j, 1.0, torch.where(k == j, -j, 0.0))
    return column / (j * (j + 1)).sqrt()


def etf(K: int, d: int) -> Float[Tensor, "K d"]:
    r"""Rows of a simplex equiangular tight frame.

    Returns :math:`M` with :math:`M M^\top = \tfrac{K}{K-1}\,(I_K - \tfrac1K 1 1^\top)`: unit rows
    with pairwise cosine :math:`-1/(K-1)`, the smallest that K vectors can share.

    Args:
        K: Number of classes, at least 2.
        d: Ambient dimension, at least K - 1; columns beyond K - 1 are zero.

    Returns:
        The frame, deterministic.

    Raises:
        ValueError: If ``d < K - 1``; no such frame exists.

    References:
        Papyan, Han and Donoho (2020) [papyan2020]_, Definition of the simplex ETF.

    >>> M = etf(4, 3); (M @ M.T)[0, 1].item()
    -0.333...
    """
    return frame(SimplexETF(), K, d)


def orthogonal(K: int, d: int) -> Float[Tensor, "K d"]:
    """Rows of an orthonormal frame, the first K unit vectors of R^d.

    Args:
        K: Number of classes, at least 2.
        d: Ambient dimension, at least K.

    Returns:
        The frame.

    Raises:
        ValueError: If ``d < K``.

    >>> orthogonal(2, 3)
    tensor([[1., 0., 0.],
            [0., 1., 0.]], dtype=torch.float64)
    """
    return frame(OrthogonalFrame(), K, d)


def frame(spec: Frame, K: int, d: int) -> Float[Tensor, "K d"]:
    """Build the rows of a frame.

    Args:
        spec: What the frame is.
        K: Number of classes.
        d: Ambient dimension.

    Returns:
        The rows, float64.

    Raises:
        ValueError: If the frame does not exist for these K and d.
        TypeError: If ``spec`` is no known frame.
    """
    check_count("K", K, 2)
    check_count("d", d)
    spec.check(K, d)
    rows = torch.zeros(K, d, dtype=torch.float64)
    match spec:
        case SimplexETF(E_W=E_W):
            rows[:, : K - 1] = (E_W * K / (K - 1)) ** 0.5 * helmert(K)
        case OrthogonalFrame(E_W=E_W):
            rows[:, :K] = E_W**0.5 * torch.eye(K, dtype=torch.float64)
        case HAFrame(network=network, asymptote=s, E_W=E_W):
            rows = E_W**0.5 * contrast_rows(network, s, d)
        case MultiCenter(E_W=E_W):
            rows[:, :K] = E_W**0.5 * torch.eye(K, dtype=torch.float64)
        case ExplicitFrame(rows=given):
            rows = torch.tensor(given, dtype=torch.float64)
        case _:
            raise TypeError(f"spec must be a known frame, got {type(spec).__name__}")
    return rows


def align(W: Float[Tensor, "*b K d"], target: Float[Tensor, "K d"]) -> Float[Tensor, "*b d d"]:
    r"""Rotation bringing ``W`` closest to ``target``, :math:`\arg\min_{R^\top R=I}\|W R - T\|_F`.

    For plotting only: a solution is defined up to this rotation, so compare `Geometry` instead.

    Args:
        W: Rows to rotate.
        target: Rows to rotate them to.

    Returns:
        The rotation ``R``; plot ``W @ R`` and ``R.mT @ H``.
    """
    return procrustes(W, target)
