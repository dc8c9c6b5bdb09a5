r"""Average budgets: ``|Z|_* <= tau = K sqrt(E_W E_H)``, so ``D(Y) = -F*(Y) - tau |Y|_op``.

``|WH|_* <= |W|_F |H|_F <= tau`` for any feasible point and any d, hence the bound is valid for
every d; it is attained for ``d >= rank(Z*)``, in particular ``d >= K - 1``.
"""

from __future__ import annotations

import torch

from ufm.certificates._dual import Bound, Gauge
from ufm.certificates._means import Means
from ufm.certificates._spectral import raw_bound, refined_bound


def average_gauge(means: Means) -> Gauge:
    """The plain operator norm at the price tau, with uniform multipliers.

    ``alpha = sqrt(E_W/E_H)`` and ``beta = sqrt(E_H/E_W)`` have product one, so the norm is
    ``|Y|_op`` and the price ``(E_W K beta + E_H K alpha)/2 = K sqrt(E_W E_H)``.

    Args:
        means: Class-mean point of a budgeted model, average or per vector (whose feasible set lies
            inside that of the average budgets).

    Returns:
        The gauge.
    """
    objective = means.objective
    alpha = (objective.E_W / objective.E_H).sqrt().unsqueeze(-1).expand_as(objective.c)
    price = objective.K * (objective.E_W * objective.E_H).sqrt()
    return Gauge(alpha, 1 / alpha, price, torch.full_like(price, torch.inf))


def average_bounds(means: Means) -> tuple[Bound, Bound]:
    """Raw and best bound.

    Args:
        means: Class-mean point.

    Returns:
        The raw bound and the best one.
    """
    gauge = average_gauge(means)
    raw = raw_bound(means, gauge)
    return raw, refined_bound(means, gauge, raw)
