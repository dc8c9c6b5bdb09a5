r"""Per-vector budgets ``|w_k|^2 <= E_W``, ``|h_k|^2 <= E_H``, and spheres by their ball relaxation.

For any multipliers ``alpha, beta > 0``

.. math:: -\langle Y, WH\rangle \le \tfrac12\|B^{-1/2} Y A^{-1/2}\|_{op}\,
    \bigl(E_W \textstyle\sum\beta + E_H \sum\alpha\bigr),

a minimum of functions whose value at the optimum's multipliers is stationary: an O(e) error in
them costs O(e^2). They are read off the point, ``alpha_k = -g_k.z_k/(2 E_H)`` and likewise by rows.
Uniform multipliers give the average-budget bound, which covers far-off points.
"""

from __future__ import annotations

import torch

from ufm._typing import Float, Tensor
from ufm.certificates._dual import Bound, Gauge
from ufm.certificates._means import Means
from ufm.certificates._spectral import raw_bound, refined_bound
from ufm.certificates.average import average_gauge


# A multiplier must be positive; one that is not is replaced by this share of the largest.
FLOOR = 1e-3
# Uniform multipliers are tried above this gap, relative to max(1, F).
FAR_OFF = 1e-10


def vector_gauge(means: Means) -> Gauge:
    """The norm rescaled by the multipliers that the point suggests.

    Args:
        means: Class-mean point of a model with budgets per vector.

    Returns:
        The gauge.
    """
    objective = means.objective
    pull = -means.G * means.Z
    alpha = _positive(pull.sum(-2) / (2 * objective.E_H.unsqueeze(-1)))
    beta = _positive(pull.sum(-1) / (2 * objective.E_W.unsqueeze(-1)))
    price = (objective.E_W * beta.sum(-1) + objective.E_H * alpha.sum(-1)) / 2
    return Gauge(alpha, beta, price, torch.full_like(price, torch.inf))


def vector_bounds(means: Means) -> tuple[Bound, Bound]:
    """Raw and best bound, with the point's multipliers and with uniform ones.

    Args:
        means: Class-mean point.

    Returns:
        The raw bound and the best one.
    """
    gauge, uniform = vector_gauge(means), average_gauge(means)
    own, coarse = raw_bound(means, gauge), raw_bound(means, uniform)
    best = refined_bound(means, gauge, own)
    far = (best.gap > FAR_OFF * means.risk.clamp(min=1)).nonzero().squeeze(-1)
    if far.numel():
        sub, flat = means.select(far), uniform.select(far)
        best = best.best_at(far, refined_bound(sub, flat, coarse.select(far)))
    return own.best(coarse), best


def _positive(multipliers: Float[Tensor, "B K"]) -> Float[Tensor, "B K"]:
    top = multipliers.amax(-1, keepdim=True)
    top = torch.where(top > 0, top, torch.ones_like(top))
    return torch.where(multipliers > 0, multipliers, FLOOR * top)
