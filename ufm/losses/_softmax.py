"""Softmax pieces that several losses share. Torch-free: tensor methods only."""

from __future__ import annotations

from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from torch import Tensor

# Below this relative deviation t the direct form of (1 + t) log(1 + t) - t loses digits.
SMALL_DEVIATION = 1e-2
# Beyond this distance from the target logits the direct form is as good, and e^x may overflow.
FAR = 50.0


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


def divergence_from_targets(Z: Tensor, log_T: Tensor) -> Tensor:
    r"""Divergence :math:`\mathrm{KL}(t\,\|\,q)` of each column.

    With :math:`\delta = z - \log t` centred to :math:`\langle t, \delta\rangle = 0` it is
    :math:`\log(1 + \sum_j t_j (e^{\delta_j} - 1 - \delta_j))`, a sum of non-negative terms: it
    keeps its digits however small it is.

    Args:
        Z: Logits ``(*b, K, M)``, ``q = softmax(z)``.
        log_T: Logarithms of the targets, broadcastable to Z.

    Returns:
        Divergences ``(*b, M)``.
    """
    return _centred_divergence(Z, log_T)[0].squeeze(-2)


def divergence_and_grad(Z: Tensor, log_T: Tensor) -> tuple[Tensor, Tensor]:
    r"""`divergence_from_targets` and its gradient :math:`q - t`, as precise.

    Args:
        Z: Logits ``(*b, K, M)``, ``q = softmax(z)``.
        log_T: Logarithms of the targets, broadcastable to Z.

    Returns:
        Divergences ``(*b, M)`` and gradients ``(*b, K, M)``.
    """
    value, delta, near = _centred_divergence(Z, log_T)
    T = log_T.exp()
    ratio = delta - value  # log(q / t)
    small = near & (ratio.abs() < 1)
    grad = (T * ratio.clamp(-1, 1).expm1()).where(small, Z.softmax(-2) - T)
    return value.squeeze(-2), grad


def _centred_divergence(Z: Tensor, log_T: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    # Value, centred logits relative to the targets, and whether these were in the series' range.
    T = log_T.exp()
    delta = Z - log_T
    delta = delta - (T * delta).sum(-2, keepdim=True)
    value = (T * _exp_excess(delta.clamp(-FAR, FAR))).sum(-2, keepdim=True).log1p()
    near = delta.abs().amax(-2, keepdim=True) < FAR
    direct = (T * (log_T - Z.log_softmax(-2))).sum(-2, keepdim=True)
    return value.where(near, direct), delta, near


def _exp_excess(x: Tensor) -> Tensor:
    # e^x - 1 - x; below a tenth by its series, x^2/2 (1 + x/3 (1 + x/4 (1 + ...))).
    small = x.clamp(-0.1, 0.1)
    series = 1 + small / 12
    for k in (11, 10, 9, 8, 7, 6, 5, 4, 3):
        series = 1 + small / k * series
    return (small * small / 2 * series).where(x.abs() < 0.1, x.expm1() - x)
