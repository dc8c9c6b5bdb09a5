"""How many centers each class of a multi-center frame gets. Exact integer arithmetic, torch-free.

Rare classes get more centers. ``f`` is the mean number of centers a class, f K their total.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

from ufm.counts import check_count, check_number, check_sizes


def check_centers(f: Sequence[int]) -> tuple[int, ...]:
    """Return numbers of centers as a tuple of positive ints, at least two classes.

    Args:
        f: Centers of each class.

    Returns:
        The numbers.

    Raises:
        ValueError: If one is below 1 or not an integer, or there are fewer than two.
    """
    if isinstance(f, str) or not hasattr(f, "__len__") or len(f) < 2:
        raise ValueError(f"f must be a sequence of at least 2 numbers of centers, got {f!r}")
    return tuple(check_count(f"f[{k}]", value) for k, value in enumerate(f))


def class_aware_centers(
    n: Sequence[int], f: float, *, end: Literal["small", "large"] = "small"
) -> tuple[int, ...]:
    r"""The published rule: the class-size profile reversed, rounded down and topped up.

    With classes sorted from the largest (ties as given):
    :math:`a_k = \lfloor (f-1) K n_k / N \rfloor + 1`, :math:`f_k = a_{K+1-k}`, and the missing
    :math:`fK - \sum_k a_k \le K-1` centers go one each to the classes from one end. Balanced data
    gives f everywhere. Reversing inverts the ratios of an exponential profile only; equal classes
    in the middle of another profile can get different numbers.

    Args:
        n: Class sizes, in any order.
        f: Mean number of centers, at least 1; f K must be an integer.
        end: ``small`` tops up the smallest classes first, as in the paper's worked example, which
            keeps f_k rising towards the rare classes. ``large`` tops up the largest first, as the
            paper's steps read literally ("sorted in descending order", "from the left").

    Returns:
        Centers of each class, in the order of ``n``; at least 1, with sum f K.

    Raises:
        ValueError: If a size is not a positive integer, or the sum cannot be met.

    References:
        Yan et al. (2024) [yan2024]_, Section 3.5.

    >>> class_aware_centers((3, 3, 1), 3), class_aware_centers((3, 3, 1), 3, end="large")
    ((1, 4, 4), (2, 4, 3))
    """
    n = _check_n(n)
    K, N, total = len(n), sum(n), _total(n, f)
    if end not in ("small", "large"):
        raise ValueError(f"end must be 'small' or 'large', got {end!r}")
    order = sorted(range(K), key=lambda k: -n[k])  # stable: ties as given
    centers = [(total - K) * n[k] // N + 1 for k in reversed(order)]
    missing = total - sum(centers)
    ranks = range(K - missing, K) if end == "small" else range(missing)
    for rank in ranks:
        centers[rank] += 1
    return _in_class_order(order, centers)


def proportional_centers(n: Sequence[int], f: float) -> tuple[int, ...]:
    r"""Centers in proportion to :math:`1/n_k`, so that :math:`f_k n_k` is about constant.

    Classes whose share of the total is below one get one center; the others divide the rest in
    proportion, rounded by largest remainders (ties to the rarer, then the later class). The aim of
    the published rule, met for any profile.

    Args:
        n: Class sizes, in any order.
        f: Mean number of centers, at least 1; f K must be an integer.

    Returns:
        Centers of each class; at least 1, with sum f K, never more for a larger class.

    Raises:
        ValueError: If a size is not a positive integer, or the sum cannot be met.

    >>> proportional_centers((300, 100, 50), 4)
    (1, 4, 7)
    """
    n = _check_n(n)
    K, rest = len(n), _total(n, f)
    order = sorted(range(K), key=lambda k: -n[k])
    start, weight = 0, sum(Fraction(1, size) for size in n)
    while rest < n[order[start]] * weight:  # the largest class's share, rest / (n weight), is < 1
        weight -= Fraction(1, n[order[start]])
        start, rest = start + 1, rest - 1
    shares = [rest / (n[k] * weight) for k in order[start:]]
    centers = [1] * start + [int(share) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda j: (shares[j] % 1, j), reverse=True)
    for j in by_remainder[: rest - sum(centers[start:])]:
        centers[start + j] += 1
    return _in_class_order(order, centers)


def _check_n(n: Sequence[int]) -> tuple[int, ...]:
    n = check_sizes(n, len(n) if hasattr(n, "__len__") else 0)
    if len(n) < 2:
        raise ValueError(f"n must have at least 2 entries, got {len(n)}")
    return n


def _total(n: tuple[int, ...], f: float) -> int:
    K = len(n)
    total = check_number("f", f, 1) * K
    if abs(total - round(total)) > 1e-9 * K:
        raise ValueError(f"f must make f K an integer (K={K}), got {f!r}")
    return round(total)


def _in_class_order(order: list[int], centers: list[int]) -> tuple[int, ...]:
    found = [0] * len(order)
    for k, count in zip(order, centers, strict=True):
        found[k] = count
    return tuple(found)
