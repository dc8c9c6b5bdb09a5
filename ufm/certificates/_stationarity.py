r"""KKT residuals: how far a feasible point is from being stationary.

The multiplier of a budget ``|x|^2 <= E`` is taken as ``nu = max(0, -<g, x>/E)`` (either sign on a
sphere), so that the residual ``g + nu x`` vanishes iff the KKT conditions hold, complementarity
included: inside the ball ``g = -nu x`` would leave ``nu (1 - |x|^2/E) x``.
"""

from __future__ import annotations

import torch

from ufm._typing import Float, Tensor
from ufm.objective import Objective, Point
from ufm.problem import AverageBudget, Sphere, WeightDecay


def kkt_residual(objective: Objective, x: Point) -> Point:
    """Gradient plus multipliers times the point.

    Args:
        objective: Objective on the point's columns.
        x: Feasible point.

    Returns:
        Residual of every variable.
    """
    _, g = objective.value_and_grad(x)
    if not objective.template.is_budgeted:
        return g
    E_W, E_H = objective.E_W[..., None, None], objective.E_H[..., None, None]
    average = isinstance(objective.template.reg, AverageBudget)
    W, H = -g.W * x.W, -g.H * x.H
    if average:
        nu_W = W.sum((-2, -1), keepdim=True) / (objective.K * E_W)
        # The budget weighs column j by u_j: its gradient is u_j h_j.
        nu_H = H.sum((-2, -1), keepdim=True) / (objective.K * E_H) * objective.u.unsqueeze(-2)
    else:
        nu_W, nu_H = W.sum(-1, keepdim=True) / E_W, H.sum(-2, keepdim=True) / E_H
    if not isinstance(objective.template.reg, Sphere):
        nu_W, nu_H = nu_W.clamp(min=0), nu_H.clamp(min=0)
    W = g.W + nu_W * x.W if objective.template.is_learnable else g.W
    return Point(W, g.H + nu_H * x.H, g.b)


def stationarity(
    objective: Objective, residual: Point, G: Float[Tensor, "B K K"]
) -> Float[Tensor, "B"]:
    """Residual norm in balanced coordinates over the square root of the curvature it meets.

    ``W = t W'``, ``H = H'/t`` with ``t^4 = E_W/E_H`` (or ``lam_H/lam_W``) makes both factors
    equally dear; samples are measured as their share of the class mean. The curvature is the ridge
    ``sqrt(lam_W lam_H)`` (``lam_H`` with a fixed classifier), or else ``|G|_F/sqrt(K)``, which
    stands for a budget's multiplier. Invariant under ``(cW, H/c)`` with the strengths to match.

    Args:
        objective: Objective on the point's columns.
        residual: From `kkt_residual`.
        G: Gradient of the risk in the class-mean logits.

    Returns:
        Its square has the unit of the objective; 0 where the residual is.
    """
    per_sample = isinstance(objective.template.reg, WeightDecay)
    share = objective.m if per_sample else objective.u
    lam_H = (objective.p / share)[..., 0]
    one = torch.ones_like(lam_H)
    if objective.template.is_learnable:
        budgeted = objective.template.is_budgeted
        fourth = objective.E_W / objective.E_H if budgeted else lam_H / objective.lam_W
        t = torch.where(fourth.isfinite() & (fourth > 0), fourth, one) ** 0.25
        lam = (objective.lam_W * lam_H).sqrt()
    else:
        t, lam = one, lam_H
    square = (
        (t * torch.linalg.matrix_norm(residual.W)).square()
        + (residual.H.square().sum(-2) / share).sum(-1) / t.square()
        + residual.b.square().sum(-1)
    )
    curvature = torch.where(lam > 0, lam, torch.linalg.matrix_norm(G) / objective.K**0.5)
    return torch.where(square == 0, 0.0, (square / curvature).sqrt())
