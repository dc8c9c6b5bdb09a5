r"""Step imbalance under per-vector budgets, collapsed state: two angles. NumPy only.

With ``|w_k|^2 <= E_W`` and ``|h_k|^2 <= E_H`` every vector keeps its full norm. When the minority
classes are merged, all their vectors lie along one unit vector ``g``, and those of the majority
classes at the angles :math:`\varphi_W, \varphi_H` to it, their parts orthogonal to ``g`` forming a
simplex ETF. With :math:`s = \sqrt{E_W E_H}` the logits are, for a majority sample,
:math:`s(\sin\varphi_W\sin\varphi_H + \cos\varphi_W\cos\varphi_H)` (own),
:math:`s(-\sin\varphi_W\sin\varphi_H/(K_A-1) + \cos\varphi_W\cos\varphi_H)` (other),
:math:`s\cos\varphi_H` (minority), and for a minority sample :math:`s\cos\varphi_W` and ``s``.

Stationarity leaves one parameter, :math:`\theta = \cot(\varphi_W/2) \in [0, 1]`: with
:math:`f = K_B p_m/(K_A p_o + K_B p_m)` it reads :math:`-\cot\varphi_H = f/\theta` and
:math:`R\,p_m\,\omega = q_m`, where :math:`\omega = (1 - \theta^2 - 2f^2)/(2f\sqrt{\theta^2+f^2})`.
At ``theta = 0`` the majority classes are merged as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ufm.solvers._roots import Numbers, bracketed_roots, elementwise
from ufm.solvers.thresholds import R_RANGE, check_counts, check_range


# The squares of probabilities of the order exp(-2 s) must stay representable.
S_RANGE = (1e-100, 150.0)


@dataclass(frozen=True, eq=False)
class TwoAngleState:
    r"""Best states with merged minority classes; fields have the arguments' broadcast shape.

    Attributes:
        cos_W: :math:`\cos\varphi_W`, majority rows to the minority row.
        cos_H: :math:`\cos\varphi_H`, majority features to the minority feature.
        sin_W: :math:`\sin\varphi_W`.
        sin_H: :math:`\sin\varphi_H`.
        value: Risk of the state, with ``sum pi = 1``.
        criterion: :math:`K_A^2 q_m (1-\cos\varphi_W)(q_m - R p_m\cos\varphi_H)`; the state is the
            global minimum iff it is at least 1.
    """

    cos_W: np.ndarray
    cos_H: np.ndarray
    sin_W: np.ndarray
    sin_H: np.ndarray
    value: np.ndarray
    criterion: np.ndarray


class Arc(NamedTuple):
    """Stationary states at one ``theta``; probabilities in logarithms.

    Attributes:
        f: ``K_B p_m / (K_A p_o + K_B p_m)``.
        norm: ``sqrt(theta^2 + f^2)``.
        omega: ``q_m / (R p_m)``.
        log_q: ``ln q_m``.
        log_p: ``ln p_m``.
        log_rho: ``ln(p_m / p_o)``.
        gain: ``ln(p_t / p_o)``.
        lead: ``ln(q_t / q_m)``.
    """

    f: np.ndarray
    norm: np.ndarray
    omega: np.ndarray
    log_q: np.ndarray
    log_p: np.ndarray
    log_rho: np.ndarray
    gain: np.ndarray
    lead: np.ndarray

    def log_kappa(self, theta: np.ndarray, K_A: np.ndarray) -> np.ndarray:
        """Logarithm of ``K_A^2 q_m^2 (1 - cos phi_W)``, the minority samples' criterion.

        Args:
            theta: Parameter of the arc.
            K_A: Majority classes.

        Returns:
            The logarithm.
        """
        return np.log(2 * K_A**2 / (1 + theta * theta)) + 2 * self.log_q


def two_angle_state(K_A: Numbers, K_B: Numbers, *, R: Numbers, s: Numbers) -> TwoAngleState:
    """Minimise the risk over the two angles.

    Args:
        K_A: Majority classes, >= 1.
        K_B: Minority classes, >= 2.
        R: Ratio ``pi_A / pi_B``, in [1e-300, 1e300].
        s: ``sqrt(E_W E_H)``, in [1e-100, 150].

    Returns:
        The states; optimal for the model where ``criterion >= 1``.

    Raises:
        ValueError: If an argument is out of its range.

    References:
        Ours; the model is that of Yang et al. (2022) [yang2022]_ with a learnable classifier.
    """
    check_counts(K_A, K_B, least_B=2)
    check_range("R", R, R_RANGE)
    check_range("s", s, S_RANGE)
    return TwoAngleState(*elementwise(_state, K_A, K_B, np.log(R), s))


def vector_log_R0(K_A: Numbers, K_B: Numbers, s: Numbers) -> np.ndarray:
    """Logarithm of the ratio from which on per-vector budgets merge the minority classes.

    Args:
        K_A: Majority classes, >= 1.
        K_B: Minority classes, >= 2.
        s: ``sqrt(E_W E_H)``, in [1e-100, 150].

    Returns:
        ``ln R_0`` in the broadcast shape.

    Raises:
        ValueError: If an argument is out of its range.

    References:
        Ours, for the constraints of Yang et al. (2022) [yang2022]_.
    """
    check_counts(K_A, K_B, least_B=2)
    check_range("s", s, S_RANGE)
    return elementwise(_log_R0, K_A, K_B, s)[0]


def vector_R0(K_A: Numbers, K_B: Numbers, s: Numbers) -> np.ndarray:
    """The ratio ``exp(vector_log_R0)`` itself.

    Args:
        K_A: Majority classes, >= 1.
        K_B: Minority classes, >= 2.
        s: ``sqrt(E_W E_H)``.

    Returns:
        ``R_0``; infinite where it overflows.

    >>> round(float(vector_R0(3, 2, 1.0)), 4)
    15.1706
    """
    with np.errstate(over="ignore"):
        return np.asarray(np.exp(vector_log_R0(K_A, K_B, s)))


def _arc(theta: np.ndarray, K_A: np.ndarray, K_B: np.ndarray, s: np.ndarray) -> Arc:
    square = theta * theta
    lead = 2 * s / (1 + square)
    spread = np.where(theta > 0, square / np.maximum(K_A - 1, 1), 0.0)
    offset = np.log(K_B / K_A)

    def excess(
        logit: np.ndarray,
        offset: np.ndarray,
        square: np.ndarray,
        lead: np.ndarray,
        spread: np.ndarray,
    ) -> np.ndarray:
        # ln(p_m / p_o) decreases in f, so that this has one root.
        f = _expit(logit)
        return logit - offset - lead * (spread - f) / np.sqrt(square + f * f)

    low, high = offset - 2 * s - 1, offset + s + 1
    logit = bracketed_roots(excess, low, high, offset, square, lead, spread)
    f = _expit(logit)
    norm = np.sqrt(square + f * f)
    log_rho, gain = logit - offset, lead * (square + spread) / norm
    with np.errstate(divide="ignore"):
        others = np.logaddexp(np.log(K_A - 1), gain) - log_rho
    return Arc(
        f=f,
        norm=norm,
        omega=(1 - square - 2 * f * f) / (2 * f * norm),
        log_q=-np.logaddexp(np.log(K_A), np.log(K_B) + lead),
        log_p=-np.logaddexp(np.log(K_B), others),
        log_rho=log_rho,
        gain=gain,
        lead=lead,
    )


def _expit(x: np.ndarray) -> np.ndarray:
    return np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))


def _theta(K_A: np.ndarray, K_B: np.ndarray, log_R: np.ndarray, s: np.ndarray) -> np.ndarray:
    # 0 where the best state merges the majority classes too.
    def excess(
        theta: np.ndarray, K_A: np.ndarray, K_B: np.ndarray, log_R: np.ndarray, s: np.ndarray
    ) -> np.ndarray:
        arc = _arc(theta, K_A, K_B, s)
        D = log_R + arc.log_p - arc.log_q
        return arc.omega * np.exp(np.minimum(D, 0)) - np.exp(np.minimum(-D, 0))

    zero = np.zeros_like(s)
    edge = (K_A == 1) | (excess(zero, K_A, K_B, log_R, s) <= 0)
    return bracketed_roots(excess, zero, np.where(edge, 0.0, 1.0), K_A, K_B, log_R, s)


def _log_R0(K_A: np.ndarray, K_B: np.ndarray, s: np.ndarray) -> tuple[np.ndarray]:
    def excess(theta: np.ndarray, K_A: np.ndarray, K_B: np.ndarray, s: np.ndarray) -> np.ndarray:
        arc = _arc(theta, K_A, K_B, s)
        return np.exp(arc.log_kappa(theta, K_A)) * (arc.omega + arc.f / arc.norm) - arc.omega

    # From R = 1, where the ETF is optimal, to R = infinity the criterion crosses 1 once. (Below
    # R = 1 it may again: with K_A > .7 K and little energy, everything far from group A merges.)
    low = _theta(K_A, K_B, np.zeros_like(s), s)
    edge = (low == 0) & ((K_A == 1) | (excess(low, K_A, K_B, s) >= 0))
    theta = bracketed_roots(excess, low, np.where(edge, low, 1.0), K_A, K_B, s)
    arc = _arc(theta, K_A, K_B, s)
    log_kappa = arc.log_kappa(theta, K_A)
    # Where the criterion is 1, omega = kappa (f / norm) / (1 - kappa): no cancellation.
    inside = arc.log_q - log_kappa - np.log(arc.f / arc.norm)
    on_edge = -np.log(2 * K_A**2) - arc.log_q
    return (np.where(edge, on_edge, inside) + np.log1p(-np.exp(log_kappa)) - arc.log_p,)


def _state(
    K_A: np.ndarray, K_B: np.ndarray, log_R: np.ndarray, s: np.ndarray
) -> tuple[np.ndarray, ...]:
    theta = _theta(K_A, K_B, log_R, s)
    arc = _arc(theta, K_A, K_B, s)
    square, R = theta * theta, np.exp(log_R)
    cos_H = -arc.f / arc.norm
    mixed = np.exp(np.minimum(arc.log_q + log_R + arc.log_p, 700.0))
    criterion = np.exp(arc.log_kappa(theta, K_A)) - K_A**2 * 2 / (1 + square) * cos_H * mixed
    loss_A = np.log1p((K_A - 1 + K_B * np.exp(arc.log_rho)) * np.exp(-arc.gain))
    loss_B = np.log(K_B + K_A * np.exp(-arc.lead))
    value = (R * K_A * loss_A + K_B * loss_B) / (R * K_A + K_B)
    cos_W, sin_W = (square - 1) / (square + 1), 2 * theta / (square + 1)
    return cos_W, cos_H, sin_W, theta / arc.norm, value, criterion
