"""The check that a matrix of target cosines is one: symmetric and positive semidefinite."""

from __future__ import annotations

import torch

from ufm._typing import Float, Tensor


def check_gram(S: Float[Tensor, "K K"]) -> None:
    """Refuse what is no symmetric matrix of finite numbers.

    Args:
        S: Matrix.

    Raises:
        ValueError: If it is neither.
    """
    if not torch.isfinite(S).all():
        raise ValueError("S must hold finite numbers, got NaN or infinity")
    skew = float((S - S.mT).abs().max())
    if skew > 1e-12 * float(S.abs().max()):
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
    # eigvalsh is backward stable: errors of a few K eps |S|.
    if values[0] < -4 * len(S) * torch.finfo(S.dtype).eps * values.abs().max():
        raise ValueError(
            f"S must be positive semidefinite, its smallest eigenvalue is {float(values[0]):.6g}"
        )
