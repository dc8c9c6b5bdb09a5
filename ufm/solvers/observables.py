"""What is recorded along a run: objective, gradient, norms, balancedness, margin and NC1 to NC3."""

from __future__ import annotations

import torch

from ufm._typing import Float, Tensor
from ufm.losses._base import add_at_label, pick
from ufm.manifold import flatten, gradient
from ufm.metrics.moments import Moments
from ufm.metrics.nc1 import nc1_quot, nc1_share
from ufm.metrics.nc2 import etf_err
from ufm.metrics.nc3 import nc3_dual_err, nc3_self_dual
from ufm.objective import Objective, Point


def observe(objective: Objective, x: Point) -> dict[str, Float[Tensor, "B"]]:
    r"""Observables of each instance.

    ``value`` and ``risk``: objective with and without penalty. ``grad_norm``: Riemannian.
    ``norm_W``, ``norm_H``, ``norm_b``: Frobenius. ``balancedness``:
    :math:`\|W^\top W - H H^\top\|_F`, constant along an unregularised flow. ``margin``:
    :math:`\min_j (z_{y_j} - \max_{c \ne y_j} z_c)`. ``angle``: the largest angle of a feature to
    its classifier row, in radians. ``nc1_share``, ``nc1_quot``, ``nc2_etf_err``, ``nc3_dual_err``,
    ``nc3_self_dual``: as in `ufm.metrics`, every class counted once; NaN where all class means
    coincide. Norms are over samples, also where a column stands for several.

    Args:
        objective: Batch of B problems.
        x: Points.

    Returns:
        Name to values.
    """
    risk, margin = risk_and_margin(objective, x)
    H = x.H * objective.m.sqrt().unsqueeze(-2)
    moments = Moments.of_columns(x.H, objective.y, objective.K)
    return {
        "value": risk + objective.penalty(x),
        "risk": risk,
        "grad_norm": torch.linalg.vector_norm(flatten(objective, gradient(objective, x)), dim=-1),
        "norm_W": torch.linalg.matrix_norm(x.W),
        "norm_H": torch.linalg.matrix_norm(H),
        "norm_b": torch.linalg.vector_norm(x.b, dim=-1),
        "balancedness": torch.linalg.matrix_norm(x.W.mT @ x.W - H @ H.mT),
        "margin": margin,
        "angle": largest_angle(objective, x),
        "nc1_share": nc1_share(moments),
        "nc1_quot": nc1_quot(moments),
        "nc2_etf_err": etf_err(moments.centred),
        "nc3_dual_err": nc3_dual_err(x.W, moments),
        "nc3_self_dual": nc3_self_dual(x.W, moments),
    }


def risk_and_margin(
    objective: Objective, x: Point
) -> tuple[Float[Tensor, "B"], Float[Tensor, "B"]]:
    """Risk, and the smallest lead of a label's logit over the others, in blocks of columns.

    Args:
        objective: Batch of B problems.
        x: Points.

    Returns:
        Both, one number an instance.
    """
    risk, margin = torch.zeros_like(objective.lam_W), torch.full_like(objective.lam_W, torch.inf)
    for part in objective.blocks():
        some = objective.columns(part)
        Z = some.logits(x._replace(H=x.H[..., part]))
        others = add_at_label(Z, some.y, -float("inf")).amax(-2)
        risk = risk + some.risk(Z)
        # minimum, unlike clamp, passes NaN on.
        margin = margin.minimum((pick(Z, some.y) - others).amin(-1))
    return risk, margin


def largest_angle(objective: Objective, x: Point) -> Float[Tensor, "B"]:
    """Largest angle between a feature and the classifier row of its label.

    Args:
        objective: Batch of B problems.
        x: Points.

    Returns:
        Angles in radians; NaN where a vector is zero.
    """
    # From the chord of the unit vectors: the arc cosine would lose half the digits of small angles.
    w = x.W.mT[..., objective.y]
    unit_w = w / torch.linalg.vector_norm(w, dim=-2, keepdim=True)
    unit_h = x.H / torch.linalg.vector_norm(x.H, dim=-2, keepdim=True)
    chord = torch.linalg.vector_norm(unit_h - unit_w, dim=-2).amax(-1)
    return 2 * (chord / 2).clamp(max=1).asin()
