"""Models whose regulariser bounds nothing: only Y = 0 is dual feasible, the loss's infimum.

Without a regulariser any nonzero Y is unbounded against ``W H``; the infimum of all losses here is
0. It is attained or approached when ``d >= K - 1`` (cross-entropy), ``d >= K`` (squared error);
below that the bound is valid and not tight.
"""

from __future__ import annotations

from ufm.certificates._dual import Bound, zero_bound
from ufm.certificates._means import Means


def infimum_bounds(means: Means) -> tuple[Bound, Bound]:
    """The infimum of the loss, as raw and as best bound.

    Args:
        means: Class-mean point.

    Returns:
        The bound, twice.
    """
    bound = zero_bound(means, "infimum")
    return bound, bound
