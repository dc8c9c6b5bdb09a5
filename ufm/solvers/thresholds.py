r"""Thresholds of step imbalance under average budgets, in closed form and vectorised. NumPy only.

``K_A`` classes have the ratio ``R = pi_A / pi_B > 1`` to ``K_B`` others, cross-entropy, average
budgets of radius ``tau = K sqrt(E_W E_H)``. From :math:`R_0` on, the minority classes share one
classifier row and one feature mean; from :math:`R_1` on, those are zero.
"""

from __future__ import annotations

import numpy as np

from ufm.solvers._roots import Numbers, bracketed_roots, elementwise
from ufm.solvers._step_curves import (
    boundary_gap,
    boundary_log_ratio,
    boundary_radius,
    vanishing_log_ratio,
)


TAU_RANGE = (1e-100, 1e100)
R_RANGE = (1e-300, 1e300)


def log_R0(K_A: Numbers, K_B: Numbers, tau: Numbers) -> np.ndarray:
    r"""Logarithm of the ratio from which on the minority classes are merged.

    Parametric in the logit gap :math:`s > 0` of a merged minority sample: with
    :math:`x = e^s - 1`, :math:`\beta = K_B/K`, :math:`q = 1/(K_A + K_B e^s)`,
    :math:`r = \sqrt{1 + 2x + \beta x^2}` and
    :math:`e^L = r (1 + \beta x + \beta r)/(1 + \beta r^2)`,

    .. math:: a = K_B s r + K_A L, \qquad \tau = (K_A - 1)\,a + K_B s\,(1 + \beta x), \qquad
        R_0 = 1 + q\,r\,e^{-L}\,(e^a - 1) .

    Strictly increasing in ``tau``; :math:`\ln R_0 \approx \tau/(K_A(K-1))` for small ``tau`` and
    :math:`\sim \tau/(K_A - 1 + \sqrt\beta)` for large.

    Args:
        K_A: Majority classes, >= 1.
        K_B: Minority classes, >= 2.
        tau: Radius ``K sqrt(E_W E_H)``, in [1e-100, 1e100].

    Returns:
        ``ln R_0 > 0``, relative error about 1e-14, in the broadcast shape (0-d for numbers).

    Raises:
        ValueError: If an argument is out of its range.

    References:
        Our closed form of the threshold observed by Fang et al. (2021) [fang2021]_.

    >>> round(float(R0(5, 5, tau=10 * 5**0.5)), 7)
    12.1924471
    """
    check_counts(K_A, K_B, least_B=2)
    check_range("tau", tau, TAU_RANGE)
    return elementwise(_log_R0, K_A, K_B, tau)[0]


def R0(K_A: Numbers, K_B: Numbers, tau: Numbers) -> np.ndarray:
    """The ratio ``exp(log_R0)`` itself; infinite where that overflows.

    Args:
        K_A: Majority classes, >= 1.
        K_B: Minority classes, >= 2.
        tau: Radius ``K sqrt(E_W E_H)``.

    Returns:
        ``R_0 > 1``.
    """
    with np.errstate(over="ignore"):
        return np.asarray(np.exp(log_R0(K_A, K_B, tau)))


def tau0(K_A: Numbers, K_B: Numbers, R: Numbers) -> np.ndarray:
    """Inverse of `R0`: the minority classes are merged iff ``K sqrt(E_W E_H)`` is at most this.

    Args:
        K_A: Majority classes, >= 1.
        K_B: Minority classes, >= 2.
        R: Ratio, > 1.

    Returns:
        Radius ``tau`` with ``R0(K_A, K_B, tau) = R``.

    Raises:
        ValueError: If an argument is out of its range.
    """
    check_counts(K_A, K_B, least_B=2)
    check_ratio(R)
    return elementwise(_tau0, K_A, K_B, np.log(R))[0]


def log_R1(K_A: Numbers, K_B: Numbers, tau: Numbers) -> np.ndarray:
    r"""Logarithm of the ratio from which on the minority vectors are exactly zero.

    With :math:`c = \tau/(K_A(K_A-1))` and :math:`t = e^{-c}`,

    .. math:: R_1 = \sqrt{\tfrac{K_A}{K}}\,
        \frac{e^{(K_A-1)c} + (K_A-1)\,t + K_B}{\sqrt{(K_A t + K_B)^2 - K K_B}} ,

    finite iff :math:`\tau < K_A(K_A-1)\ln(1+\sqrt{K/K_B})`; otherwise, and for ``K_A = 1``,
    infinite.

    Args:
        K_A: Majority classes, >= 1.
        K_B: Minority classes, >= 1.
        tau: Radius ``K sqrt(E_W E_H)``, in [1e-100, 1e100].

    Returns:
        ``ln R_1 > 0``, ``inf`` where nothing vanishes, in the broadcast shape.

    Raises:
        ValueError: If an argument is out of its range.

    >>> [round(float(R1(7, 3, 10 * E_H**0.5)), 3) for E_H in (5, 10)]
    [5.705, 26.241]
    """
    check_counts(K_A, K_B, least_B=1)
    check_range("tau", tau, TAU_RANGE)
    return elementwise(_log_R1, K_A, K_B, tau)[0]


def R1(K_A: Numbers, K_B: Numbers, tau: Numbers) -> np.ndarray:
    """The ratio ``exp(log_R1)`` itself.

    Args:
        K_A: Majority classes, >= 1.
        K_B: Minority classes, >= 1.
        tau: Radius ``K sqrt(E_W E_H)``.

    Returns:
        ``R_1 > 1``, ``inf`` where nothing vanishes.
    """
    with np.errstate(over="ignore"):
        return np.asarray(np.exp(log_R1(K_A, K_B, tau)))


def tau1(K_A: Numbers, K_B: Numbers, R: Numbers) -> np.ndarray:
    """Inverse of `R1`: the minority vectors are zero iff ``K sqrt(E_W E_H)`` is at most this.

    Args:
        K_A: Majority classes, >= 1.
        K_B: Minority classes, >= 1.
        R: Ratio, > 1.

    Returns:
        Radius ``tau`` with ``R1(K_A, K_B, tau) = R``; 0 for ``K_A = 1``.

    Raises:
        ValueError: If an argument is out of its range.
    """
    check_counts(K_A, K_B, least_B=1)
    check_ratio(R)
    return elementwise(_tau1, K_A, K_B, np.log(R))[0]


def oversampling_threshold(K_A: Numbers, K_B: Numbers, tau: Numbers, *, R: Numbers) -> np.ndarray:
    """Loss weight of minority samples above which they are not merged, ``R / R_0``.

    A weight ``w`` on the minority samples makes the ratio ``R / w``, so ``w = R`` restores the
    simplex ETF and any ``w > R / R_0`` keeps the minority classes apart.

    Args:
        K_A: Majority classes, >= 1.
        K_B: Minority classes, >= 2.
        tau: Radius ``K sqrt(E_W E_H)``.
        R: Ratio of the class sizes, > 1.

    Returns:
        The weight; below 1 where nothing is merged without oversampling.

    References:
        Fang et al. (2021) [fang2021]_ propose the weights; the threshold is ours.
    """
    check_ratio(R)
    return np.asarray(np.exp(np.log(R) - log_R0(K_A, K_B, tau)))


def _log_R0(K_A: np.ndarray, K_B: np.ndarray, tau: np.ndarray) -> tuple[np.ndarray]:
    return (boundary_log_ratio(boundary_gap(tau, K_A, K_B), K_A, K_B),)


def _tau0(K_A: np.ndarray, K_B: np.ndarray, log_R: np.ndarray) -> tuple[np.ndarray]:
    # tau / (2 K_A (K_A + K_B)) < ln R_0 < 2 tau brackets the radius, hence s.
    low = np.log(boundary_gap(log_R / 2, K_A, K_B))
    high = np.log(boundary_gap(2 * K_A * (K_A + K_B) * log_R, K_A, K_B))

    def excess(v: np.ndarray, K_A: np.ndarray, K_B: np.ndarray, log_R: np.ndarray) -> np.ndarray:
        return np.log(boundary_log_ratio(np.exp(v), K_A, K_B) / log_R)

    s = np.exp(bracketed_roots(excess, low, high, K_A, K_B, log_R))
    return (boundary_radius(s, K_A, K_B)[0],)


def _log_R1(K_A: np.ndarray, K_B: np.ndarray, tau: np.ndarray) -> tuple[np.ndarray]:
    with np.errstate(divide="ignore"):
        return (vanishing_log_ratio(tau / (K_A * (K_A - 1)), K_A, K_B),)


def _tau1(K_A: np.ndarray, K_B: np.ndarray, log_R: np.ndarray) -> tuple[np.ndarray]:
    pole = np.log1p(np.sqrt((K_A + K_B) / K_B))
    high = np.log(pole)
    low = np.minimum(high, np.log(log_R)) - 40

    def excess(v: np.ndarray, K_A: np.ndarray, K_B: np.ndarray, log_R: np.ndarray) -> np.ndarray:
        return np.log(vanishing_log_ratio(np.exp(v), K_A, K_B) / log_R)

    c = np.exp(bracketed_roots(excess, low, high, K_A, K_B, log_R))
    return (K_A * (K_A - 1) * c,)


def check_counts(K_A: Numbers, K_B: Numbers, *, least_B: int) -> None:
    """Refuse numbers of classes that are not integers in range.

    Args:
        K_A: Majority classes, >= 1.
        K_B: Minority classes.
        least_B: Fewest minority classes.

    Raises:
        ValueError: If one is not.
    """
    for name, value, least in (("K_A", K_A, 1), ("K_B", K_B, least_B)):
        array = np.asarray(value, dtype=np.float64)
        good = (array >= least) & (array == np.floor(array)) & np.isfinite(array)
        if not good.all():
            bad = array[~good].flat[0]
            raise ValueError(f"{name} must be an integer of at least {least}, got {bad:g}")


def check_range(name: str, value: Numbers, limits: tuple[float, float]) -> None:
    """Refuse numbers outside an interval.

    Args:
        name: Argument name.
        value: Numbers.
        limits: Smallest and largest allowed.

    Raises:
        ValueError: If one is outside, or NaN.
    """
    array = np.asarray(value, dtype=np.float64)
    good = (array >= limits[0]) & (array <= limits[1])
    if not good.all():
        bad = array[~good].flat[0]
        raise ValueError(f"{name} must be in [{limits[0]:g}, {limits[1]:g}], got {bad:g}")


def check_ratio(R: Numbers) -> None:
    """Refuse ratios that are not finite and above one.

    Args:
        R: Ratios.

    Raises:
        ValueError: If one is not.
    """
    array = np.asarray(R, dtype=np.float64)
    good = (array > 1) & np.isfinite(array)
    if not good.all():
        raise ValueError(f"R must be finite and > 1, got {array[~good].flat[0]:g}")
