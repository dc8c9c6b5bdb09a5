"""The check that a matrix of target cosines is one: symmetric and positive semidefinite."""

from __future__ import annotations

import torch

from ufm._typing import Float, Tensor


def check_gram(S: Float[Tensor, "..."]) -> None:
    """Refuse what is no symmetric matrix of finite numbers.

    Args:
        S: Matrix.

    Raises:
        ValueError: If it is neither.
    """
    if S.ndim != 2 or S.shape[0] != S.shape[1] or len(S) < 2:
        raise ValueError(
            f"S must be a square matrix of at least 2 rows, got shape {tuple(S.shape)}"
        )
    if not torch.isfinite(S).all():
        raise ValueError("S must hold finite numbers, got NaN or infinity")
    skew = float((S - S.mT).abs().max())
    if skew > max(1e-12, 4 * torch.finfo(S.dtype).eps) * float(S.abs().max()):
        raise ValueError(f"S must be symmetric, got |S - S'| up to {skew:g}")


def check_psd(S: Float[Tensor, "K K"]) -> None:
    """Refuse a matrix with a negative eigenvalue.

    Args:
        S: Symmetric matrix.

    Raises:
        ValueError: If it is not positive semidefinite to rounding; the message shows the
            smallest eigenvalue.
    """
    check_gram(S)
    values = torch.linalg.eigvalsh(S)
    if values[0] < -spectral_rounding(values):
        raise ValueError(
            f"S must be positive semidefinite, its smallest eigenvalue is {float(values[0]):.6g}"
        )


def spectral_rounding(values: Float[Tensor, "K"]) -> float:
    """Size up to which a computed eigenvalue may be a rounding error: eigvalsh is backward stable.

    Args:
        values: Eigenvalues of a symmetric matrix.

    Returns:
        A few K eps times the largest of them.
    """
    return 4 * len(values) * torch.finfo(values.dtype).eps * float(values.abs().max())
