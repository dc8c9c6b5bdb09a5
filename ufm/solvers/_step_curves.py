r"""The two curves on which the step solutions of one radius lie, one parameter each. NumPy only.

A minority sample gives a majority class the probability ``q_m``, another minority class ``q_o``
and its own ``q_t``; a majority sample ``p_m`` (a minority class), ``p_o``, ``p_t``. Two groups of
equal classes, ``beta = K_B / K``, ``pi_A / pi_B = R``. With the ratio :math:`r = R p_m / q_m` and
:math:`L = \ln(p_m/p_o)`, optimality makes everything explicit in

* :math:`s = \ln(q_o/q_m) \in [0, s_0]` where the minority classes are told apart (`full_curve`);
  there the radius is *linear* in their logit gap ``e``, so ``e`` is explicit too;
* :math:`v = \ln r` where they are merged (`merged_curve`).

Each quantity is a sum of terms of one sign, so that small and huge radii keep their digits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


# Above this exponent the ratio is carried in log form.
LARGE = 300.0


class Boundary(NamedTuple):
    """Quantities that depend on ``s`` alone.

    Attributes:
        x: ``e^s - 1``.
        r: ``R p_m / q_m``.
        gain: ``r - 1``.
        L: ``ln(p_m / p_o)``.
    """

    x: np.ndarray
    r: np.ndarray
    gain: np.ndarray
    L: np.ndarray


class Blocks(NamedTuple):
    """A step solution: ``Z = [[a I + b J, c J], [d J, e I + f J]]`` with all-one blocks ``J``.

    Attributes:
        log_R: Logarithm of the ratio that the solution belongs to.
        a: Majority gap.
        c: Majority logit of a minority sample.
        d: Minority logit of a majority sample.
        e: Minority gap.
        mu: Multiplier ``|G|_op / pi_B``.
    """

    log_R: np.ndarray
    a: np.ndarray
    c: np.ndarray
    d: np.ndarray
    e: np.ndarray
    mu: np.ndarray


def boundary(s: np.ndarray, beta: np.ndarray) -> Boundary:
    r"""Evaluate :math:`r = \sqrt{1 + 2x + \beta x^2}` and its companions.

    Args:
        s: ``ln(q_o/q_m) >= 0``.
        beta: Share of minority classes.

    Returns:
        The quantities.
    """
    x = np.expm1(s)
    bx = beta * x
    square = x * (2 + bx)
    r = np.sqrt(1 + square)
    gain = square / (1 + r)
    L = np.log1p((gain * (1 + bx) + bx) / (1 + beta * (1 + square)))
    return Boundary(x, r, gain, L)


def boundary_radius(
    s: np.ndarray, K_A: np.ndarray, K_B: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    r"""Radius of the marginal solution (``e = 0``, multiplier equal to ``pi_B``), and its slope.

    .. math:: \tau = (K_A - 1)(K_B s r + K_A L) + K_B s (1 + \beta x)

    Args:
        s: ``ln(q_o/q_m)``.
        K_A: Majority classes.
        K_B: Minority classes.

    Returns:
        ``tau`` and ``d tau / d s``.
    """
    beta = K_B / (K_A + K_B)
    x, r, _, L = boundary(s, beta)
    e, bx = 1 + x, beta * x
    slope_r = e * (1 + bx) / r
    slope_L = slope_r / r + beta * (
        (e + slope_r) / (1 + bx + beta * r) - 2 * r * slope_r / (1 + beta * r * r)
    )
    value = (K_A - 1) * (K_B * s * r + K_A * L) + K_B * s * (1 + bx)
    slope = (K_A - 1) * (K_B * (r + s * slope_r) + K_A * slope_L) + K_B * (1 + bx + beta * s * e)
    return value, slope


def boundary_gap(tau: np.ndarray, K_A: np.ndarray, K_B: np.ndarray) -> np.ndarray:
    """Inverse of `boundary_radius`: the ``s_0`` of a radius.

    Newton on ``ln tau`` as a function of ``ln s``, which is increasing and convex, so that the
    iteration converges from anywhere.

    Args:
        tau: Radius.
        K_A: Majority classes.
        K_B: Minority classes.

    Returns:
        ``s_0``.
    """
    beta = K_B / (K_A + K_B)
    ell = np.log1p(tau / (K_B * ((K_A - 1) * np.sqrt(beta) + beta)))
    # Large radii: Lambert W within a few per cent. Small radii: the linear limit.
    s = np.minimum(ell * (1 - np.log1p(ell) / (2 + ell)), tau / (K_A * (K_A + K_B - 1)))
    for _ in range(60):
        value, slope = boundary_radius(s, K_A, K_B)
        step = np.log(value / tau) * value / (s * slope)
        s = s * np.exp(-step)
        if np.abs(step).max(initial=0.0) < 1e-9:  # squared by the step just taken
            break
    return s


def boundary_log_ratio(s: np.ndarray, K_A: np.ndarray, K_B: np.ndarray) -> np.ndarray:
    """``ln R`` of the marginal solution, ``R = 1 + o (e^a - 1)`` with ``o = R p_o``.

    Args:
        s: ``ln(q_o/q_m)``.
        K_A: Majority classes.
        K_B: Minority classes.

    Returns:
        ``ln R_0``.
    """
    x, r, _, L = boundary(s, K_B / (K_A + K_B))
    a = K_B * s * r + K_A * L
    log_o = np.log(r) - L - np.log(K_A + K_B * (1 + x))
    small = np.log1p(np.exp(log_o) * np.expm1(np.minimum(a, LARGE)))
    large = a + log_o + np.log1p(np.expm1(-log_o) * np.exp(-a))
    return np.where(a < LARGE, small, large)


def full_curve(s: np.ndarray, tau: np.ndarray, K_A: np.ndarray, K_B: np.ndarray) -> Blocks:
    """Solutions that tell the minority classes apart, ``0 <= s <= s_0``; ``K_B >= 2``.

    Args:
        s: ``ln(q_o/q_m)``; 0 is the balanced solution.
        tau: Radius.
        K_A: Majority classes.
        K_B: Minority classes.

    Returns:
        Blocks; ``log_R`` increases from 0 at ``s = 0`` to ``ln R_0`` at ``s_0``.
    """
    K = K_A + K_B
    beta = K_B / K
    x, r, gain, L = boundary(s, beta)
    bx, growth = beta * x, 1 + x
    rest = tau - (K_A - 1) * (K_B * s * r + K_A * L) - K_B * s * (1 + bx)
    e = np.maximum(rest, 0) / ((K_A - 1) * r + K_B + bx)
    extra = gain * e + K_B * s * r + K_A * L  # a - e
    p = beta * x * x / (growth + r)  # R p_o / q_m - 1
    M, E = K_A + K_B * growth, np.exp(-e)
    total = growth + (M - growth) * E
    clipped = np.minimum(extra, LARGE)
    excess = p * (np.exp(clipped) - E) + growth * np.expm1(clipped - s) + E * x
    large = extra + np.log((1 + p + (M - 1 - p) * np.exp(-e - extra)) / total)
    log_R = np.where(extra < LARGE, np.log1p(excess / total), large)
    c = -(e + K_B * s) / K
    return Blocks(log_R, e + extra, c, c * r, e, M * E / total)


def merged_curve(v: np.ndarray, tau: np.ndarray, K_A: np.ndarray, K_B: np.ndarray) -> Blocks:
    """Solutions with one logit for all minority classes (``e = 0``), ``v = ln r >= 0``.

    Args:
        v: ``ln(R p_m / q_m)``; 0 is the balanced solution if ``K_B = 1``.
        tau: Radius.
        K_A: Majority classes.
        K_B: Minority classes.

    Returns:
        Blocks; ``log_R`` increases with ``v``.
    """
    K = K_A + K_B
    rho, drop = np.exp(-v), -np.expm1(-2 * v)
    m = np.sqrt(K * (K_A * rho * rho + K_B))
    sigma = -K * drop / (m + K)  # e^{-L} - 1
    L = -np.log1p(sigma)
    z = np.maximum(tau - K_A * (K_A - 1) * L, 0) / (K_B * (K_A - 1 + m / K))
    y = z * rho
    delta = (K_B - 1) * z - z * np.expm1(-v) + (K_A - 1) * L  # a - L - y
    decay = np.exp(-y)
    total = K_B + K_A * decay
    excess = (
        np.expm1(np.minimum(delta, LARGE)) + (K_B - 1) * np.expm1(-y) + (K_A - 1) * sigma * decay
    )
    large = delta + np.log((1 + (m - 1 - sigma) * np.exp(-delta - y)) / total)
    log_R = v + np.where(delta < LARGE, np.log1p(excess / total), large)
    mu = np.exp(np.log(m) + v - y - np.log(total))
    return Blocks(log_R, K_B * z + K_A * L, -K_B * y / K, -K_B * z / K, np.zeros_like(v), mu)


def vanishing_v(c: np.ndarray, K_A: np.ndarray, K_B: np.ndarray) -> np.ndarray:
    """End of the merged curve, where the minority vectors reach zero.

    Args:
        c: ``tau / (K_A (K_A - 1))``; infinite for ``K_A = 1``.
        K_A: Majority classes.
        K_B: Minority classes.

    Returns:
        ``v_1``; infinite if they never do.
    """
    root = np.sqrt(K_B / (K_A + K_B))
    pole = np.log1p(1 / root)
    sigma = np.expm1(-np.minimum(c, pole))
    # r^-2 = (1 + sigma (1 + root)) (1 + sigma (1 - root)); the first factor is zero at the pole.
    with np.errstate(divide="ignore"):
        far = np.log1p(np.maximum(sigma * (1 + root), -1))
        near = np.log(root * np.expm1(np.maximum(pole - c, 0)))
    return -(np.where(c < pole / 2, far, near) + np.log1p(sigma * (1 - root))) / 2


def vanishing_log_ratio(c: np.ndarray, K_A: np.ndarray, K_B: np.ndarray) -> np.ndarray:
    """``ln R_1``, the ratio at the end of the merged curve.

    Args:
        c: ``tau / (K_A (K_A - 1))``; infinite for ``K_A = 1``.
        K_A: Majority classes.
        K_B: Minority classes.

    Returns:
        ``ln R_1``; infinite if the minority vectors never vanish.
    """
    K = K_A + K_B
    finite = np.minimum(c, np.log1p(np.sqrt(K / K_B)))
    sigma, power = np.expm1(-finite), (K_A - 1) * finite
    small = np.log1p((np.expm1(np.minimum(power, LARGE)) + (K_A - 1) * sigma) / K)
    large = np.logaddexp(power, np.log((K_A - 1) * (1 + sigma) + K_B)) - np.log(K)
    return np.where(power < LARGE, small, large) + vanishing_v(c, K_A, K_B)
