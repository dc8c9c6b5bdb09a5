r"""Closed optima of the multi-center models: norms, values, and which classes survive.

Problem P regresses features on all centers, with :math:`S = \sum_k f_k n_k`,

.. math:: \min\ \tfrac{1}{2S}\|W H - Y\|_F^2 + \tfrac{\lambda_W}{2}\sum_k\|w_k\|^2
    + \tfrac{\lambda_H}{2}\|H\|_F^2

over the features and either a fixed unit frame or the lengths :math:`\|w_k\|` too (equal lengths
within a class). Both decouple over classes along the mean directions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ufm._typing import Bool, Float, Tensor
from ufm.geometry.multicenter import center_gain, center_mean_cos


@dataclass(frozen=True, eq=False)
class MultiCenterOptimum:
    r"""Global minimum of problem P.

    Attributes:
        h_norm: Length of class k's features, all equal and along its mean direction ``(*b, K)``.
        w_norm: Length of class k's vectors ``(*b, K)``.
        survives: Whether class k's vectors are nonzero ``(*b, K)``.
        value: Optimal value ``(*b)``.
    """

    h_norm: Float[Tensor, "*b K"]
    w_norm: Float[Tensor, "*b K"]
    survives: Bool[Tensor, "*b K"]
    value: Float[Tensor, "*b"]


def fixed_frame_optimum(
    f: Float[Tensor, "*b K"],
    n: Float[Tensor, "*b K"],
    *,
    theta: float,
    lam_H: Float[Tensor, "*c"] | float,
) -> MultiCenterOptimum:
    r"""Optimum of P over the features of a fixed unit frame; unique, with no threshold.

    :math:`\|h_k\| = \sqrt{f_k g_k}/(g_k + \lambda_H S)` and the value
    :math:`\sum_k n_k f_k \lambda_H / (2(g_k + \lambda_H S))`, without the constant ridge on W.

    Args:
        f: Centers of each class.
        n: Class sizes.
        theta: Angle of the centers, in [0, pi/2].
        lam_H: Ridge on the features, >= 0.

    Returns:
        The optimum.

    References:
        Yan et al. (2024) [yan2024]_, Corollary 3.7; closed value ours.
    """
    g, lam = center_gain(f, theta), _like(f, lam_H)
    ridge = lam * _center_count(f, n)
    value = (n * f * lam / (2 * (g + ridge))).sum(-1)
    one = torch.ones_like(value.unsqueeze(-1) * f)
    return MultiCenterOptimum((f * g).sqrt() / (g + ridge), one, one > 0, value)


def learnable_frame_optimum(
    f: Float[Tensor, "*b K"],
    n: Float[Tensor, "*b K"],
    *,
    theta: float,
    lam_W: Float[Tensor, "*c"] | float,
    lam_H: Float[Tensor, "*c"] | float,
) -> MultiCenterOptimum:
    r"""Optimum of P over features and frame.

    With :math:`\cos^2\alpha_k = g_k/f_k` and :math:`q_k = \sqrt{\lambda_W/(n_k\lambda_H)}`,

    .. math:: \|w_k\|^2 = \frac{\max\bigl(0,\ q_k\cos\alpha_k - S\lambda_W/(f_k n_k)\bigr)}
        {q_k^2\cos^2\alpha_k}, \qquad \|h_k\|^2 = q_k^2\,\|w_k\|^2.

    Class k survives iff `survival_index` :math:`n_k f_k g_k > S^2\lambda_W\lambda_H`, whatever the
    others do; the value is :math:`\sum_k \frac{n_k f_k}{2S}\,[1 - \max(0, 1 - t_k)^2]` with
    :math:`t_k^2` the ratio of threshold to index. Where a class dies this is an infimum: the
    definition of the frame asks for positive lengths.

    Args:
        f: Centers of each class.
        n: Class sizes.
        theta: Angle of the centers, in [0, pi/2].
        lam_W: Ridge on the class vectors, > 0.
        lam_H: Ridge on the features, > 0.

    Returns:
        The optimum.

    References:
        Yan et al. (2024) [yan2024]_, Theorems 3.3 and 3.4, which let all classes vanish when one
        does; the threshold of each class by itself and the value are ours.
    """
    lam_W, lam_H = _like(f, lam_W), _like(f, lam_H)
    S, c = _center_count(f, n), center_mean_cos(f, theta)
    t = (survival_threshold(f, n, lam_W=lam_W, lam_H=lam_H) / survival_index(f, n, theta)).sqrt()
    left = (1 - t).clamp(min=0)
    q = (lam_W / (n * lam_H)).sqrt()
    w2 = left / (q * c)
    value = (n * f / (2 * S) * (1 - left.square())).sum(-1)
    return MultiCenterOptimum(q * w2.sqrt(), w2.sqrt(), left > 0, value)


def survival_index(
    f: Float[Tensor, "*b K"], n: Float[Tensor, "*b K"], theta: float
) -> Float[Tensor, "*b K"]:
    """Index ``n_k f_k g_k`` of each class: the larger, the longer it survives the ridge.

    Args:
        f: Centers of each class.
        n: Class sizes.
        theta: Angle of the centers.

    Returns:
        The indices.
    """
    return n * f * center_gain(f, theta)


def survival_threshold(
    f: Float[Tensor, "*b K"],
    n: Float[Tensor, "*b K"],
    *,
    lam_W: Float[Tensor, "*c"] | float,
    lam_H: Float[Tensor, "*c"] | float,
) -> Float[Tensor, "..."]:
    r"""Threshold :math:`S^2\lambda_W\lambda_H` that the index of a surviving class exceeds.

    Args:
        f: Centers of each class.
        n: Class sizes.
        lam_W: Ridge on the class vectors.
        lam_H: Ridge on the features.

    Returns:
        The threshold ``(*b, 1)``.
    """
    return _center_count(f, n).square() * lam_W * lam_H


def cosine_residual(f: Float[Tensor, "*b K"], theta: float) -> Float[Tensor, "*b K"]:
    r"""Least cosine regression loss of a sample of class k, :math:`f_k(1-\cos\alpha_k)^2`.

    Attained at the class's mean direction only (theta < pi/2). It is not 0 for f_k > 1 and grows
    with f_k: loss values do not compare across numbers of centers.

    Args:
        f: Centers of each class.
        theta: Angle of the centers, in [0, pi/2].

    Returns:
        The residuals.
    """
    return f * (1 - center_mean_cos(f, theta)).square()


def _center_count(f: Float[Tensor, "*b K"], n: Float[Tensor, "*b K"]) -> Float[Tensor, "*b 1"]:
    return (f * n).sum(-1, keepdim=True)


def _like(f: Tensor, lam: Tensor | float) -> Float[Tensor, "*b 1"]:
    # as_tensor alone would round a Python float to float32.
    return torch.as_tensor(lam, dtype=f.dtype, device=f.device).unsqueeze(-1)
