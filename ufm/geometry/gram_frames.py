"""Frames from a matrix of target cosines: Cholesky and eigenvectors, s* and the published search.

For matrices that come from no tree, and as independent routes to what `haframe` writes down.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.linalg import get_lapack_funcs

from ufm._typing import Float, Tensor
from ufm.counts import check_count
from ufm.geometry.psd import check_gram, check_psd, spectral_rounding


def similarity_of_distances(
    D: Float[Tensor, "K K"], f: Callable[[Tensor], Tensor], *, s: float = 0.0
) -> Float[Tensor, "K K"]:
    r"""Target cosines from any distances, :math:`S_{ij} = (1-s)\,f(D_{ij}/\max D) + s`.

    Args:
        D: Distances; if they are no ultrametric, S need not be positive semidefinite.
        f: Similarity map of relative distances in [0, 1], elementwise, with f(0) = 1.
        s: Asymptote.

    Returns:
        S.
    """
    return (1 - s) * f(D / D.max()) + s


def cholesky_frame(S: Float[Tensor, "K K"], *, d: int | None = None) -> Float[Tensor, "K d"]:
    """Rows with Gram matrix S by Cholesky with pivoting, which singular S needs.

    At s* the rounding errors of S itself leave a last pivot of up to about K^2 eps, which may pass
    for a K-th dimension. It is kept for the sake of the Gram matrix unless ``d`` leaves it out.

    Args:
        S: Target cosines.
        d: Ambient dimension, at least the rank; columns beyond it are zero. By default the number
            of pivots above K eps.

    Returns:
        The rows, lower triangular up to the order of the classes.

    Raises:
        ValueError: If S is not symmetric positive semidefinite (the message shows the smallest
            eigenvalue) or ``d`` is below the rank.

    References:
        Higham (2002), Accuracy and Stability of Numerical Algorithms, 10.3 [higham2002]_.
    """
    check_gram(S)
    tolerance = _tolerance(S)
    dense = S.double().numpy()
    (pstrf,) = get_lapack_funcs(("pstrf",), (dense,))
    factor, pivot, rank, _ = pstrf(dense, tol=tolerance, lower=1)
    rows = np.zeros((len(S), rank))
    rows[pivot - 1] = np.tril(factor)[:, :rank]
    W = torch.from_numpy(rows)
    # What pivoting leaves over is within the tolerance iff there was no negative eigenvalue.
    if float((W @ W.mT - S).abs().max()) > 2 * tolerance:
        check_psd(S)
    if d is not None and check_count("d", d) < rank:
        left_out = float(W[:, d:].square().sum(-1).max())
        W = W[:, :d] if left_out <= len(S) * tolerance else W
    return _pad(W, d)


def eigh_frame(S: Float[Tensor, "K K"], *, d: int | None = None) -> Float[Tensor, "K d"]:
    """Rows with Gram matrix S by eigenvectors, the published construction.

    Args:
        S: Target cosines.
        d: Ambient dimension, at least the numerical rank; columns beyond it are zero. By default
            the rank.

    Returns:
        The rows; orthogonal columns in order of falling eigenvalues.

    Raises:
        ValueError: If S is not symmetric positive semidefinite (the message shows the smallest
            eigenvalue) or ``d`` is below the rank.

    References:
        Liang and Davis (2023) [liang2023]_.
    """
    check_psd(S)
    values, vectors = torch.linalg.eigh(S)
    keep = values > spectral_rounding(values)
    return _pad((vectors * values.clamp(min=0).sqrt())[:, keep].flip(-1), d)


def smallest_s_of_matrix(F: Float[Tensor, "K K"]) -> float:
    r"""Most negative s for which (1-s)F + s 11' is positive semidefinite.

    :math:`s^* = -1/(m-1)` with :math:`m = \mathbf 1^\top F^{-1}\mathbf 1`, by a dense solve.

    Args:
        F: Positive definite similarities with unit diagonal.

    Returns:
        s*.

    Raises:
        ValueError: If F is singular or has a negative eigenvalue.
    """
    check_psd(F)
    L, info = torch.linalg.cholesky_ex(F)
    if int(info) != 0:
        raise ValueError("F must be positive definite, got a singular matrix (equal classes)")
    half = torch.linalg.solve_triangular(L, F.new_ones(len(F), 1), upper=False)
    return -1 / (float(half.square().sum()) - 1)


def grid_search_s(F: Float[Tensor, "K K"], *, points: int = 100) -> float:
    """The published search for s: 100 eigendecompositions, for comparison with `smallest_s` only.

    Tries equally spaced values from -1/(K-1) down to -1 and keeps the smallest for which no
    eigenvalue is below -1e-6. Its step of about 0.01 does not shrink with s*.

    Args:
        F: Similarities with unit diagonal.
        points: Number of values tried.

    Returns:
        The smallest feasible value tried, infinity if there is none.

    References:
        Released code of Liang and Davis (2023) [liang2023]_.
    """
    check_gram(F)
    best = float("inf")
    for s in np.linspace(-1 / (len(F) - 1), -1, points).tolist():
        if torch.linalg.eigvalsh((1 - s) * F + s)[0] > -1e-6:
            best = min(best, s)
    return best


def _tolerance(S: Float[Tensor, "K K"]) -> float:
    return len(S) * torch.finfo(torch.float64).eps * float(S.diagonal().max())


def _pad(W: Float[Tensor, "K r"], d: int | None) -> Float[Tensor, "K d"]:
    rank = W.shape[-1]
    if d is not None and check_count("d", d) < rank:
        raise ValueError(f"d must be at least the frame's rank {rank}, got {d}")
    return torch.nn.functional.pad(W, (0, 0 if d is None else d - rank))
