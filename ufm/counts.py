"""Class-size profiles: how many samples each class has, and how much each class weighs.

Torch-free. ``rho`` is always ``n_max / n_min >= 1``; papers also write its inverse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real


def check_count(name: str, value: object, minimum: int = 1) -> int:
    """Return ``value`` as an int of at least ``minimum``.

    Args:
        name: Argument name for the error message.
        value: What the caller passed.
        minimum: Smallest value allowed.

    Returns:
        The integer.

    Raises:
        ValueError: If ``value`` is not an integer or is below ``minimum``.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < minimum:
        raise ValueError(f"{name} must be an integer of at least {minimum}, got {value!r}")
    return int(value)


def check_number(name: str, value: object, minimum: float = 0.0, *, strict: bool = False) -> float:
    """Return ``value`` as a finite float that is ``>= minimum`` (``> minimum`` if ``strict``).

    Args:
        name: Argument name for the error message.
        value: What the caller passed.
        minimum: Lower limit.
        strict: Whether the limit itself is refused.

    Returns:
        The float.

    Raises:
        ValueError: If ``value`` is not a finite number in the range.
    """
    requirement = "a finite number"
    if minimum > -math.inf:
        requirement += f" {'>' if strict else '>='} {minimum:g}"
    number = math.nan
    if isinstance(value, Real) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:  # an int beyond float64
            number = math.inf
    if not math.isfinite(number) or number < minimum or (strict and number == minimum):
        raise ValueError(f"{name} must be {requirement}, got {value!r}")
    return number


def check_sizes(n: Sequence[int], K: int) -> tuple[int, ...]:
    """Return class sizes as a tuple of K positive ints.

    Args:
        n: Class sizes, a sequence, array or tensor.
        K: Number of classes.

    Returns:
        The sizes.

    Raises:
        ValueError: If the length differs from K or a size is not a positive integer.
    """
    try:
        # Of arrays and tensors, such as torch.bincount(y), the numbers.
        sizes = None if isinstance(n, str) else tuple(getattr(n, "tolist", lambda: n)())
    except TypeError:
        sizes = None
    if sizes is None:
        raise ValueError(f"n must be a sequence of K={K} class sizes, got {n!r}")
    n = sizes
    if len(n) != K:
        raise ValueError(f"n must have K={K} entries, got {len(n)}")
    return tuple(check_count(f"n[{k}]", size) for k, size in enumerate(n))


def balanced_sizes(*, K: int, n: int) -> tuple[int, ...]:
    """K classes of ``n`` samples each.

    Args:
        K: Number of classes, at least 2.
        n: Samples a class, at least 1.

    Returns:
        Class sizes.

    >>> balanced_sizes(K=3, n=5)
    (5, 5, 5)
    """
    return (check_count("n", n),) * check_count("K", K, 2)


def step_sizes(*, K: int, K_A: int, n_max: int, rho: float) -> tuple[int, ...]:
    """Step imbalance: ``K_A`` majority classes of ``n_max``, the others of ``int(n_max / rho)``.

    Args:
        K: Number of classes, at least 2.
        K_A: Number of majority classes, ``1 <= K_A <= K``; they come first.
        n_max: Majority size.
        rho: Imbalance ``n_max / n_min >= 1``.

    Returns:
        Class sizes.

    Raises:
        ValueError: If an argument is out of range or a minority class would be empty.

    References:
        Buda, Maki and Mazurowski (2018) [buda2018]_, step imbalance.

    >>> step_sizes(K=4, K_A=2, n_max=500, rho=10)
    (500, 500, 50, 50)
    """
    K, n_max = check_count("K", K, 2), check_count("n_max", n_max)
    K_A, rho = check_count("K_A", K_A), check_number("rho", rho, 1.0)
    if K_A > K:
        raise ValueError(f"K_A must be at most K={K}, got {K_A}")
    n_min = _floor(n_max / rho)
    if n_min < 1:
        raise ValueError(f"rho must leave each class a sample (n_max={n_max}), got {rho:g}")
    return (n_max,) * K_A + (n_min,) * (K - K_A)


def exponential_sizes(*, K: int, n_max: int, rho: float) -> tuple[int, ...]:
    r"""Exponential long tail, :math:`n_k = \lfloor n_{\max}\,\rho^{-k/(K-1)} \rfloor`.

    The floor is the field's rounding (LDAM's released code and its descendants).

    Args:
        K: Number of classes, at least 2.
        n_max: Size of the largest class.
        rho: Imbalance ``n_max / n_min >= 1``.

    Returns:
        Class sizes, largest first.

    Raises:
        ValueError: If an argument is out of range or the smallest class would be empty.

    References:
        Cui et al. (2019) [cui2019]_; Cao et al. (2019) [cao2019]_.

    >>> exponential_sizes(K=10, n_max=5000, rho=100)
    (5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50)
    """
    K, n_max, rho = check_count("K", K, 2), check_count("n_max", n_max), check_number("rho", rho, 1)
    n = tuple(_floor(n_max * rho ** (-k / (K - 1))) for k in range(K))
    if n[-1] < 1:
        raise ValueError(f"rho must leave each class a sample (n_max={n_max}), got {rho:g}")
    return n


def cifar10_lt_sizes(rho: float) -> tuple[int, ...]:
    """Class sizes of CIFAR-10-LT at imbalance ``rho`` (n_max = 5000).

    Args:
        rho: Imbalance, at least 1; papers use 10, 50, 100 and 200.

    Returns:
        The 10 class sizes.

    >>> sum(cifar10_lt_sizes(100))
    12406
    """
    return exponential_sizes(K=10, n_max=5000, rho=rho)


def cifar100_lt_sizes(rho: float) -> tuple[int, ...]:
    """Class sizes of CIFAR-100-LT at imbalance ``rho`` (n_max = 500).

    Args:
        rho: Imbalance, at least 1; papers use 10, 50, 100 and 200.

    Returns:
        The 100 class sizes.

    >>> sum(cifar100_lt_sizes(100))
    10847
    """
    return exponential_sizes(K=100, n_max=500, rho=rho)


def step_weights(*, K: int, K_A: int, R: float) -> tuple[float, ...]:
    """Loss weights R for the first ``K_A`` classes and 1 for the others.

    With ``n = (1,) * K`` they state the step profile of any *real* ratio ``R``, which is what a
    sweep over R needs: class sizes are integers, loss weights are not.

    Args:
        K: Number of classes.
        K_A: Number of majority classes.
        R: Ratio ``pi_A / pi_B``, finite and positive.

    Returns:
        The K weights.

    Raises:
        ValueError: If an argument is out of range.

    >>> step_weights(K=3, K_A=1, R=2.5)
    (2.5, 1.0, 1.0)
    """
    K, K_A = check_count("K", K, 2), check_count("K_A", K_A)
    if K_A > K:
        raise ValueError(f"K_A must be at most K={K}, got {K_A}")
    return (check_number("R", R, strict=True),) * K_A + (1.0,) * (K - K_A)


def _floor(x: float) -> int:
    # 500 * 10 ** -1 style products land a rounding error below the integer they stand for.
    nearest = round(x)
    return nearest if abs(x - nearest) < 1e-9 * max(1.0, abs(x)) else math.floor(x)
