r"""Dot regression with a learnable classifier: the dual optimum in closed form.

Its conjugate is finite on diagonal ``Y = -diag(y)`` only (class k's column supported on its label),
so the dual problem has K unknowns ``y_k = pi_k v_k``,

.. math:: \max_v\ \sum_k s\,\pi_k\,(v_k - v_k^2/2) - \frac{y_k^2}{2\lambda_b}
    - \text{support}(y),

with support 0 under ``y_k <= lam sqrt(D_k)`` for a ridge, ``tau max_k y_k`` for average budgets and
``sqrt(E_W E_H) sum_k y_k`` for budgets per vector. It does not depend on the point at all.
"""

from __future__ import annotations

import torch

from ufm._typing import Float, Tensor
from ufm.certificates._dual import Bound, Gauge, weigh, zero_bound
from ufm.certificates._means import Means
from ufm.certificates.average import average_gauge
from ufm.certificates.ridge import ridge_gauge
from ufm.losses import DotRegression
from ufm.problem import AverageBudget, FreeBias, PenalisedBias, Sphere, VectorBudget


def dot_bounds(means: Means) -> tuple[Bound, Bound]:
    """Raw bound from the point's gradient, and the best bound there is.

    A free bias demands ``Y 1 = 0``, hence Y = 0: the loss can then vanish with W = 0.

    Args:
        means: Class-mean point of a dot-regression model with a ridge or budgets.

    Returns:
        The raw bound and the best one.
    """
    objective = means.objective
    if isinstance(objective.template.bias, FreeBias):
        bound = zero_bound(means, "infimum")
        return bound, bound
    # The largest share that the risk and a penalised bias would choose by themselves.
    free = torch.ones_like(objective.c)
    if isinstance(objective.template.bias, PenalisedBias):
        free = 1 / (1 + objective.c / (_target(means) * objective.lam_b).unsqueeze(-1))
    match objective.template.reg:
        case AverageBudget():
            gauge = average_gauge(means)
            v = _share_average(means, gauge.price, free)
        case VectorBudget() | Sphere():
            gauge, v = _share_vector(means, free)
        case _:
            gauge = ridge_gauge(means)
            cap = gauge.limit.unsqueeze(-1) * gauge.alpha.sqrt() / objective.c
            v = torch.minimum(free, cap)
    raw = weigh(means, gauge, means.G, "raw")
    return raw, raw.best(weigh(means, gauge, torch.diag_embed(-objective.c * v), "dot"))


def _target(means: Means) -> Float[Tensor, "B"]:
    loss = means.objective.loss
    if not isinstance(loss, DotRegression):
        raise TypeError(f"loss must be DotRegression, got {type(loss).__name__}")
    return torch.full_like(means.risk, loss.s)


def _share_average(
    means: Means, tau: Float[Tensor, "B"], free: Float[Tensor, "B K"]
) -> Float[Tensor, "B K"]:
    # Stationarity in t = max y: sum_k s max(0, 1 - t/e_k) = tau with e = pi free. The left side is
    # the largest of its partial sums over the j largest e, so t is the largest of their roots.
    e = means.objective.c * free
    ordered = e.sort(-1, descending=True).values
    count = torch.arange(1, e.shape[-1] + 1, dtype=e.dtype, device=e.device)
    roots = (count - (tau / _target(means)).unsqueeze(-1)) / (1 / ordered).cumsum(-1)
    t = roots.amax(-1, keepdim=True).clamp(min=0)
    return torch.minimum(free, t / means.objective.c)


def _share_vector(means: Means, free: Float[Tensor, "B K"]) -> tuple[Gauge, Float[Tensor, "B K"]]:
    objective = means.objective
    reach = (objective.E_W * objective.E_H).sqrt()
    v = free * (1 - reach / _target(means)).clamp(min=0).unsqueeze(-1)
    # alpha beta = y^2/4 makes |B^{-1/2} Y A^{-1/2}|_op = 2; with v = 0 any multipliers do.
    half = torch.where(v > 0, objective.c * v / 2, torch.ones_like(v))
    ratio = (objective.E_W / objective.E_H).sqrt().unsqueeze(-1)
    alpha, beta = half * ratio, half / ratio
    price = (objective.E_W * beta.sum(-1) + objective.E_H * alpha.sum(-1)) / 2
    return Gauge(alpha, beta, price, torch.full_like(price, torch.inf)), v
