"""Batched truncated conjugate gradients in a trust region (Steihaug's method)."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ufm._typing import Bool, Float, Tensor


# A direction to the boundary whose curvature is below this share of the largest seen is left: near
# a valley of minimisers the Hessian along it is of the size of the gradient and of either sign, and
# a long step along it would leave the valley and lose the step found so far.
FLAT = 1e-7


def steihaug(
    hessian: Callable[[Tensor], Tensor],
    grad: Float[Tensor, "B P"],
    *,
    radius: Float[Tensor, "B"],
    tolerance: Float[Tensor, "B"],
    active: Bool[Tensor, "B"],
    max_cg: int,
) -> tuple[Float[Tensor, "B P"], Float[Tensor, "B"]]:
    r"""Minimise :math:`\langle g, p\rangle + \tfrac12\langle p, Hp\rangle` for ``|p| <= radius``.

    An instance stops when its residual is below the tolerance, at a direction of negative
    curvature or at the radius (then on the boundary), or at a flat direction (then before it).
    Instances do not influence each other.

    Args:
        hessian: Symmetric operator on ``(B, P)``.
        grad: Gradient g.
        radius: Trust-region radii.
        tolerance: Residual norms to reach.
        active: Instances to work on; the others get a zero step.
        max_cg: Limit of Hessian products.

    Returns:
        The steps and their predicted decrease, >= 0.

    References:
        Steihaug (1983) [steihaug1983]_.
    """
    p, Hp = torch.zeros_like(grad), torch.zeros_like(grad)
    r, d = grad, -grad
    rr = r.square().sum(-1)
    top, moved = torch.zeros_like(rr), torch.zeros_like(active)
    going = active & (rr.sqrt() > tolerance)
    for _ in range(max_cg):
        if not bool(going.any()):
            break
        Hd = hessian(d)
        dHd = (d * Hd).sum(-1)
        dd = d.square().sum(-1)
        top = top.maximum((Hd.square().sum(-1) / dd).sqrt())
        alpha = rr / dHd
        outside = ~(dHd > 0) | ~(_norm(p + alpha.unsqueeze(-1) * d) < radius)
        going = going & ~(outside & moved & (dHd.abs() <= FLAT * top * dd))
        alpha = torch.where(outside, _to_boundary(p, d, radius), alpha)
        step = torch.where(going, alpha, 0.0).unsqueeze(-1)
        p, Hp = torch.addcmul(p, step, d), torch.addcmul(Hp, step, Hd)
        r = torch.addcmul(r, step, Hd)
        new = r.square().sum(-1)
        moved = moved | going
        going = going & ~outside & (new.sqrt() > tolerance)
        d = torch.where(going.unsqueeze(-1), (new / rr).unsqueeze(-1) * d - r, d)
        rr = torch.where(going, new, rr)
    return p, -(grad * p).sum(-1) - (p * Hp).sum(-1) / 2


def _to_boundary(
    p: Float[Tensor, "B P"], d: Float[Tensor, "B P"], radius: Float[Tensor, "B"]
) -> Float[Tensor, "B"]:
    # Positive root t of |p + t d| = radius.
    dd, pd = d.square().sum(-1), (p * d).sum(-1)
    left = (radius.square() - p.square().sum(-1)).clamp(min=0)
    root = (pd.square() + dd * left).sqrt()
    return torch.where(pd > 0, left / (pd + root), (root - pd) / dd)


def _norm(v: Float[Tensor, "B P"]) -> Float[Tensor, "B"]:
    return v.square().sum(-1).sqrt()
