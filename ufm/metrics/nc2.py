r"""NC2, the geometry of vectors ``V`` as rows: centred class means, raw ones, or the classifier.

Everything but `of_err` and `etf_err` looks at norms or angles alone. Nothing changes under
rotation, scale or permutation. Vectors that are all zero (or NaN, as `Moments.centred` is where
class means coincide) give NaN.
"""

from __future__ import annotations

import torch

from ufm._typing import Float, Tensor
from ufm.geometry.gram import cosines


def equinorm(V: Float[Tensor, "*b K d"]) -> Float[Tensor, "*b"]:
    r"""Spread of the norms, :math:`\operatorname{std}_k\|v_k\| / \operatorname{mean}_k\|v_k\|`.

    Args:
        V: Vectors as rows.

    Returns:
        The coefficient of variation (divisor K), >= 0; 0 iff all norms are equal.

    References:
        Papyan, Han and Donoho (2020) [papyan2020]_.
    """
    norm = torch.linalg.vector_norm(V / V.abs().amax((-2, -1), keepdim=True), dim=-1)
    return norm.std(-1, correction=0) / norm.mean(-1)


def equiangle(V: Float[Tensor, "*b K d"]) -> Float[Tensor, "*b"]:
    r"""Spread of the angles, :math:`\operatorname{std}_{k\ne l}\cos(v_k, v_l)`.

    Args:
        V: Vectors as rows.

    Returns:
        The standard deviation over pairs, >= 0; NaN where a vector vanishes; 0 for K = 2.

    References:
        Papyan, Han and Donoho (2020) [papyan2020]_.
    """
    return _pair_cosines(V).std(-1, correction=0)


def maxangle(V: Float[Tensor, "*b K d"]) -> Float[Tensor, "*b"]:
    r"""Distance from maximal angles, :math:`\operatorname{mean}_{k\ne l}|\cos + \frac1{K-1}|`.

    The absolute value matters: the signed mean is identically zero for centred vectors of equal
    norm, whatever their angles.

    Args:
        V: Vectors as rows.

    Returns:
        The mean over pairs, >= 0; 0 iff the directions are a simplex ETF's; NaN where a vector
        vanishes.

    References:
        Papyan, Han and Donoho (2020) [papyan2020]_.

    >>> e = torch.eye(2, dtype=torch.float64)
    >>> round(maxangle(torch.cat([e, -e])).item(), 4)
    0.4444
    """
    return (_pair_cosines(V) + 1 / (V.shape[-2] - 1)).abs().mean(-1)


def etf_err(V: Float[Tensor, "*b K d"]) -> Float[Tensor, "*b"]:
    r"""Distance of the Gram matrix from a simplex ETF's, norms and angles in one.

    :math:`\left\|\frac{VV^\top}{\|VV^\top\|_F}
    - \frac{1}{\sqrt{K-1}}(I - \frac1K 11^\top)\right\|_F`.

    Of centred class means it cannot tell an orthogonal frame from an ETF (centring turns the one
    into the other); of raw ones it can.

    Args:
        V: Vectors as rows.

    Returns:
        The distance, in [0, sqrt 2]; 0 iff V is a multiple of a simplex ETF.

    References:
        Zhu et al. (2021) [zhu2021]_; Kothapalli (2023) [kothapalli2023]_.
    """
    return structure_err(V, V)


def of_err(V: Float[Tensor, "*b K d"]) -> Float[Tensor, "*b"]:
    r"""Distance of the Gram matrix from an orthogonal frame's.

    :math:`\left\|\frac{VV^\top}{\|VV^\top\|_F} - \frac{1}{\sqrt K} I\right\|_F`; an ETF has
    :math:`\sqrt{2 - 2\sqrt{1 - 1/K}}`.

    Args:
        V: Vectors as rows, not centred.

    Returns:
        The distance, in [0, sqrt 2); 0 iff V is a multiple of an orthonormal frame.

    References:
        Tirer and Bruna (2022) [tirer2022]_: bias-free squared error collapses to this frame.
    """
    K = V.shape[-2]
    identity = torch.eye(K, dtype=V.dtype, device=V.device)
    return torch.linalg.matrix_norm(_unit_product(V, V) - identity / K**0.5)


def structure_err(A: Float[Tensor, "*b K d"], B: Float[Tensor, "*b K d"]) -> Float[Tensor, "*b"]:
    r"""Distance of :math:`A B^\top`, normalised, from the normalised Gram matrix of an ETF.

    Args:
        A: Vectors as rows.
        B: Vectors as rows.

    Returns:
        The distance, in [0, 2].
    """
    K = A.shape[-2]
    target = torch.eye(K, dtype=A.dtype, device=A.device) - 1 / K
    return torch.linalg.matrix_norm(_unit_product(A, B) - target / (K - 1) ** 0.5)


def _unit_product(A: Tensor, B: Tensor) -> Tensor:
    # Scaled first, so that the product of tiny or huge entries stays in range.
    A, B = (V / V.abs().amax((-2, -1), keepdim=True) for V in (A, B))
    product = A @ B.mT
    return product / torch.linalg.matrix_norm(product, keepdim=True)


def _pair_cosines(V: Float[Tensor, "*b K d"]) -> Float[Tensor, "*b P"]:
    K = V.shape[-2]
    i, j = torch.triu_indices(K, K, 1, device=V.device)
    V = V / V.abs().amax((-2, -1), keepdim=True)
    return cosines(V @ V.mT)[..., i, j]
