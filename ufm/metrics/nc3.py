"""NC3, duality of the classifier ``W`` (rows) and the centred class means."""

from __future__ import annotations

import torch

from ufm._typing import Float, Tensor
from ufm.metrics.moments import Moments
from ufm.metrics.nc2 import structure_err


def nc3_dual_err(W: Float[Tensor, "*b K d"], m: Moments) -> Float[Tensor, "*b"]:
    r"""Distance of the class-mean logits from a simplex ETF's.

    :math:`\left\|\frac{W \bar M^\top}{\|W \bar M^\top\|_F}
    - \frac{1}{\sqrt{K-1}}(I - \frac1K 11^\top)\right\|_F`, rows of M the centred class means.
    Zero needs an ETF as well as duality: a self-dual pair of another geometry is not zero here;
    `nc3_self_dual` is duality alone.

    Args:
        W: Classifier rows.
        m: Moments.

    Returns:
        The distance, in [0, 2].

    References:
        Zhu et al. (2021) [zhu2021]_; Kothapalli (2023) [kothapalli2023]_.
    """
    return structure_err(W, m.centred)


def nc3_self_dual(W: Float[Tensor, "*b K d"], m: Moments) -> Float[Tensor, "*b"]:
    r"""Self-duality, :math:`\left\|\frac{W}{\|W\|_F} - \frac{\bar M}{\|\bar M\|_F}\right\|_F`.

    Args:
        W: Classifier rows.
        m: Moments.

    Returns:
        The distance, in [0, 2]; 0 iff W is a positive multiple of the centred class means.

    References:
        Papyan, Han and Donoho (2020) [papyan2020]_.
    """
    W, M = W / W.abs().amax((-2, -1), keepdim=True), m.centred
    difference = W / torch.linalg.matrix_norm(W, keepdim=True)
    difference = difference - M / torch.linalg.matrix_norm(M, keepdim=True)
    return torch.linalg.matrix_norm(difference)


def nc3u_uni_dual(W: Float[Tensor, "*b K d"], m: Moments) -> Float[Tensor, "*b"]:
    r"""Uniform duality, the variance over classes of :math:`\langle w_k, \mu_k - \mu_G\rangle`.

    Divisor K - 1. Not scale-free: it carries the fourth power of the vectors' unit.

    Args:
        W: Classifier rows.
        m: Moments.

    Returns:
        The variance, >= 0; 0 iff every class has the same product.

    References:
        Wu and Papyan (2024) [wu2024]_, UNC3.
    """
    return (W * m.centred).sum(-1).var(-1)
