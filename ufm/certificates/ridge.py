r"""Ridge: ``lam_W/2 |W|^2 + lam_H/2 sum_k D_k |h_k|^2 >= lam |Z D^{1/2}|_*``.

Here ``lam = sqrt(lam_W lam_H)``. Y is dual feasible iff ``|Y D^{-1/2}|_op <= lam``; then
``D(Y) = -F*(Y)``. D is ``diag(n_k)`` for a ridge per sample and the identity for a ridge per class
mean. With ``lam = 0`` only Y = 0 is feasible and the bound is the loss's infimum.
"""

from __future__ import annotations

import torch

from ufm.certificates._dual import Bound, Gauge
from ufm.certificates._means import Means
from ufm.certificates._spectral import raw_bound, refined_bound
from ufm.problem import WeightDecay


def ridge_gauge(means: Means) -> Gauge:
    """The norm ``|Y D^{-1/2}|_op`` with the limit ``sqrt(lam_W lam_H)``.

    Args:
        means: Class-mean point of a ridge model.

    Returns:
        The gauge.
    """
    objective = means.objective
    per_sample = isinstance(objective.template.reg, WeightDecay)
    D = objective.m if per_sample else objective.u
    lam_H = (objective.p / D)[..., 0]
    lam = (objective.lam_W * lam_H).sqrt()
    return Gauge(D, torch.ones_like(D), torch.zeros_like(lam), lam)


def ridge_bounds(means: Means) -> tuple[Bound, Bound]:
    """Raw and best bound.

    Args:
        means: Class-mean point.

    Returns:
        The raw bound and the best one.
    """
    gauge = ridge_gauge(means)
    raw = raw_bound(means, gauge)
    return raw, refined_bound(means, gauge, raw)
