"""Scalars of the symmetric optima: how large the logits of a balanced model are. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

from ufm.counts import check_count, check_number


def ce_ridge_gap(K: int, kappa: float) -> float:
    r"""Gap ``a`` of the optimal logits ``a (I - J/K)`` of balanced cross-entropy with a ridge.

    :math:`a = \ln(1/\kappa - K + 1)`, or 0 if :math:`K\kappa \ge 1`: then ``W = 0`` and ``H = 0``.

    Args:
        K: Number of classes, >= 2.
        kappa: ``sqrt(lam_W lam_H n)`` for the ridge per sample, ``sqrt(lam_W lam_H)`` for the
            ridge per class mean; > 0.

    Returns:
        ``a >= 0``.

    References:
        Zhu et al. (2021) [zhu2021]_; the closed form is ours.

    >>> round(ce_ridge_gap(4, (5 * 0.004 * 0.009) ** 0.5), 10)
    4.2701952174
    """
    K, kappa = check_count("K", K, 2), check_number("kappa", kappa, strict=True)
    return math.log1p(max((1 - K * kappa) / kappa, 0.0))


def ce_balanced_value(K: int, a: float) -> float:
    r"""Cross-entropy of the logits ``a (I - J/K)``, :math:`\ln(1 + (K-1)e^{-a})`.

    Args:
        K: Number of classes, >= 2.
        a: Gap between own and other logit; ``K sqrt(E_W E_H) / (K - 1)`` for budgets.

    Returns:
        The value.

    >>> round(ce_balanced_value(4, 4 * 6**0.5 / 3), 10)
    0.1083859879
    """
    K = check_count("K", K, 2)
    return math.log1p((K - 1) * math.exp(-check_number("a", a)))


def mse_ridge_logits(pi: Sequence[float], D: Sequence[float], lam: float) -> tuple[float, ...]:
    r"""Diagonal of the optimal logits of squared error with a ridge and no bias, any profile.

    :math:`z_k = (1 - \lambda\sqrt{D_k}/\pi_k)_+`, with :math:`\lambda = \sqrt{\lambda_W\lambda_H}`;
    class ``k`` is lost iff it is zero. Ridge per sample, no loss weights:
    :math:`z_k = (1 - N\lambda/\sqrt{n_k})_+`.

    Args:
        pi: Shares of the risk.
        D: Samples that a class's feature penalty counts: ``n_k``, or 1 for class means.
        lam: ``sqrt(lam_W lam_H)``.

    Returns:
        The K diagonal entries; the others are zero.

    References:
        Dang et al. (2023) [dang2023]_; Tirer and Bruna (2022) [tirer2022]_ for equal sizes.
    """
    return tuple(max(1 - lam * math.sqrt(D_k) / p, 0.0) for p, D_k in zip(pi, D, strict=True))


def mse_budget_logits(pi: Sequence[float], tau: float) -> tuple[float, ...]:
    r"""Diagonal of the optimal logits of squared error with average budgets and no bias.

    :math:`z_k = (1 - \mu/\pi_k)_+` with the multiplier that makes them sum to ``min(tau, K)``.

    Args:
        pi: Shares of the risk.
        tau: Radius ``K sqrt(E_W E_H)``.

    Returns:
        The K diagonal entries; the others are zero.
    """
    ordered = sorted(pi, reverse=True)
    # With the r heaviest classes alive r - mu sum 1/pi = tau; the largest such mu is right.
    inverse = accumulate(1 / p for p in ordered)
    mu = max((r - tau) / total for r, total in enumerate(inverse, start=1))
    return tuple(max(1 - max(mu, 0.0) / p, 0.0) for p in pi)


def mse_bias_split(c: float, lam_b: float) -> tuple[float, float]:
    r"""Logits and bias of balanced squared error with a ridge and a penalised bias.

    The logits are :math:`(1-c)_+(I - J/K) + s J/K` with
    :math:`s = \max(0,\ 1 - c(1+\lambda_b)/\lambda_b)`, and :math:`b = (1-s)/(K(1+\lambda_b))`: a
    simplex ETF iff :math:`\lambda_b \le c/(1-c)`, an orthogonal frame for
    :math:`\lambda_b \to \infty`.

    Args:
        c: ``K sqrt(n lam_W lam_H)``.
        lam_b: Penalty of the bias, > 0.

    Returns:
        ``s`` and ``K b``.

    References:
        Zhou et al. (2022) [zhou2022mse]_ state the ETF; the transition is ours.
    """
    s = max(0.0, 1 - c * (1 + lam_b) / lam_b)
    return s, (1 - s) / (1 + lam_b)
