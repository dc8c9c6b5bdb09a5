"""Schedules of a weight along training: pure functions of progress, from 0 to 1.

Each returns a factor in [0, 1]; multiply it with the weight, or with another factor.
"""

from __future__ import annotations

import math

from ufm.counts import check_count, check_number


def constant(progress: float) -> float:
    """No schedule.

    Args:
        progress: Share of the training done, in [0, 1].

    Returns:
        1.
    """
    _check(progress)
    return 1.0


def linear_rise(progress: float) -> float:
    """From 0 to 1, ``epoch / epochs``.

    Args:
        progress: Share of the training done, in [0, 1].

    Returns:
        The progress.
    """
    return _check(progress)


def linear_fall(progress: float) -> float:
    """From 1 to 0.

    Args:
        progress: Share of the training done, in [0, 1].

    Returns:
        ``1 - progress``.
    """
    return 1 - _check(progress)


def cosine(progress: float, *, cycles: int = 1) -> float:
    r"""Raised cosine, :math:`\tfrac12(1 + \cos(2\pi c\,t))`: 1 at the start and after each cycle.

    Args:
        progress: Share t of the training done, in [0, 1].
        cycles: Number c of cycles, at least 1.

    Returns:
        The factor.

    >>> [round(cosine(t / 4), 3) for t in range(5)]
    [1.0, 0.5, 0.0, 0.5, 1.0]
    """
    return (1 + math.cos(2 * math.pi * check_count("cycles", cycles) * _check(progress))) / 2


def deferred(progress: float, *, start: float = 0.8) -> float:
    """0 before a share of the training, 1 from there on (deferred re-weighting).

    Args:
        progress: Share of the training done, ``epoch / epochs``, in [0, 1].
        start: Where it begins, in [0, 1]; published: epoch 160 of 200.

    Returns:
        0 or 1.

    References:
        Cao et al. (2019) [cao2019]_.

    >>> [deferred(epoch / 200) for epoch in (0, 159, 160)]
    [0.0, 0.0, 1.0]
    """
    return float(_check(progress) >= _check(start, name="start"))


def _check(progress: float, *, name: str = "progress") -> float:
    progress = check_number(name, progress)
    if progress > 1:
        raise ValueError(f"{name} must be in [0, 1], got {progress!r}")
    return progress
