"""Softmax pieces that several losses share. Torch-free: tensor methods only."""

from __future__ import annotations

from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from torch import Tensor

# Below this relative deviation t the direct form of (1 + t) log(1 + t) - t loses digits.
SMALL_DEVIATION = 1e-2


def covariance_product(Z: Tensor, V: Tensor) -> Tensor:
    r"""``(diag(q) - q q') v`` of each column, the Hessian product of :math:`\log\sum_j e^{z_j}`.

    Args:
        Z: Logits ``(*b, K, M)``, ``q = softmax(z)``.
        V: Directions ``(*b, K, M)``.

    Returns:
        Products ``(*b, K, M)``.
    """
    Q = Z.softmax(-2)
    return Q * (V - (Q * V).sum(-2, keepdim=True))


def divergence_of_change(Z: Tensor, change: Tensor) -> Tensor:
    r"""Kullback-Leibler divergence :math:`\mathrm{KL}(q + c\,\|\,q)` of each column.

    Resolves changes far below the rounding error of ``q``, which the direct form loses.

    Args:
        Z: Logits ``(*b, K, M)``, ``q = softmax(z)``.
        change: Columns c ``(*b, K, M)`` that sum to zero, with ``q + c >= 0``.

    Returns:
        Divergences ``(*b, M)``.
    """
    log_Q = Z.log_softmax(-2)
    Q = log_Q.exp()
    t = change / Q.clamp(min=1e-300)
    # Horner form of (1 + t) log(1 + t) - t = sum_{k >= 2} (-t)^k / (k (k - 1)).
    series = 1 / 56 - t / 72
    for k in (7, 6, 5, 4, 3, 2):
        series = 1 / (k * (k - 1)) - t * series
    direct_Q = (Q + change).clamp(min=0)
    direct = direct_Q.xlogy(direct_Q) - direct_Q * log_Q - change
    small = t.abs() < SMALL_DEVIATION
    return (Q * t * t * series).where(small, direct).sum(-2)
