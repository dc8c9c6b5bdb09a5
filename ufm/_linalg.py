"""Linear algebra the package shares: Procrustes, square roots, centring, spectral norms."""

from __future__ import annotations

import torch

from ufm._typing import Float, Tensor


def product(A: Float[Tensor, "*a m k"], B: Float[Tensor, "*b k n"]) -> Float[Tensor, "*c m n"]:
    """``A @ B``, to the same last bit for an instance alone and in a batch.

    The last bits of a BLAS product depend on whether its arrays start at a multiple of 16 bytes,
    which in a batch of matrices with an odd number of entries every other one does not. An odd
    number of rows or columns is made even by zeros, which are cut off again.

    Args:
        A: Left factor.
        B: Right factor.

    Returns:
        The product.
    """
    m, n = A.shape[-2], B.shape[-1]
    if m % 2:
        A = torch.nn.functional.pad(A, (0, 0, 0, 1))
    if n % 2:
        B = torch.nn.functional.pad(B, (0, 1))
    return (A @ B)[..., :m, :n]


def procrustes(A: Float[Tensor, "*b m d"], B: Float[Tensor, "m d"]) -> Float[Tensor, "*b d d"]:
    """Orthogonal ``R`` minimising ``|A R - B|_F``, from the SVD of ``A' B``.

    Args:
        A: Rows to rotate.
        B: Target rows.

    Returns:
        ``R``.
    """
    U, _, Vh = torch.linalg.svd(A.mT @ B)
    return U @ Vh


def psd_sqrt(A: Float[Tensor, "*b m m"]) -> Float[Tensor, "*b m m"]:
    """Symmetric square root of a positive semidefinite matrix; negative rounding is set to zero.

    Args:
        A: Symmetric matrix.

    Returns:
        Its square root.
    """
    values, vectors = torch.linalg.eigh((A + A.mT) / 2)
    return (vectors * values.clamp(min=0).sqrt().unsqueeze(-2)) @ vectors.mT


def centre_columns(A: Float[Tensor, "*b K M"]) -> Float[Tensor, "*b K M"]:
    """Subtract each column's mean.

    Args:
        A: Matrix.

    Returns:
        ``(I - 11'/K) A``.
    """
    return A - A.mean(-2, keepdim=True)


def inner(A: Float[Tensor, "*b K M"], B: Float[Tensor, "*b K M"]) -> Float[Tensor, "*b"]:
    """Frobenius inner product.

    Args:
        A: Matrix.
        B: Matrix of the same shape.

    Returns:
        ``<A, B>``.
    """
    return (A * B).sum((-2, -1))


def op_norm(A: Float[Tensor, "*b K M"]) -> Float[Tensor, "*b"]:
    """Spectral norm.

    Args:
        A: Matrix.

    Returns:
        Largest singular value.
    """
    return torch.linalg.matrix_norm(A, 2)


def nuclear_norm(A: Float[Tensor, "*b K M"]) -> Float[Tensor, "*b"]:
    """Nuclear norm.

    Args:
        A: Matrix.

    Returns:
        Sum of singular values.
    """
    return torch.linalg.svdvals(A).sum(-1)
