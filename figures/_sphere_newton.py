"""Newton's method on spheres for losses of features, and what convexity proves about its end."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ufm._typing import Float, Tensor


Value = Callable[[Tensor], Tensor]
HALVINGS = 40


def minimise(
    value: Value, H: Float[Tensor, "B d"], *, steps: int, tol: float
) -> Float[Tensor, "B d"]:
    """Minimise a sum of functions of one row each, every row keeping its length.

    Args:
        value: From rows to one number each.
        H: Start.
        steps: Largest number of steps.
        tol: Stop when no row turns by more, in radians.

    Returns:
        Rows of the same lengths.
    """
    for _ in range(steps):
        step = newton_direction(H, *slopes(value, H))
        H = _descend(value, H, step)
        if float((step.norm(dim=-1) / H.norm(dim=-1)).amax()) < tol:
            break
    return H


def slopes(
    value: Value, H: Float[Tensor, "B d"]
) -> tuple[Float[Tensor, "B d"], Float[Tensor, "B d d"]]:
    """Gradient and Hessian of each row's function.

    Args:
        value: From rows to one number each.
        H: Rows.

    Returns:
        Gradients and Hessians.
    """
    H = H.detach().requires_grad_()
    (g,) = torch.autograd.grad(value(H).sum(), H, create_graph=True)
    columns = [
        torch.autograd.grad(part.sum(), H, retain_graph=True)[0] for part in g.unbind(dim=-1)
    ]
    return g.detach(), torch.stack(columns, -1)


def newton_direction(
    H: Float[Tensor, "B d"], g: Float[Tensor, "B d"], hessian: Float[Tensor, "B d d"]
) -> Float[Tensor, "B d"]:
    r"""Riemannian Newton direction, with the absolute values of the curvatures.

    On :math:`\|h\| = \rho` the Hessian is :math:`P(\nabla^2 f - \langle\nabla f, h\rangle/\rho^2)P`
    with P the projection onto the tangent space.

    Args:
        H: Rows.
        g: Their gradients.
        hessian: Their Hessians.

    Returns:
        Tangent rows.
    """
    identity = torch.eye(H.shape[-1], dtype=H.dtype)
    square = H.square().sum(-1)[:, None, None]
    P = identity - H[:, :, None] * H[:, None, :] / square
    bent = hessian - (g * H).sum(-1)[:, None, None] / square * identity
    values, vectors = torch.linalg.eigh(P @ bent @ P + (identity - P))
    inside = vectors.mT @ P @ g[:, :, None] / values.abs().clamp(min=1e-14)[:, :, None]
    return -(P @ vectors @ inside)[..., 0]


def ball_gap(g: Float[Tensor, "B d"], H: Float[Tensor, "B d"]) -> Float[Tensor, "B"]:
    r"""Frank-Wolfe gap :math:`\langle g, h\rangle + \rho\|g\|` at :math:`\|h\| = \rho`.

    For the gradient g of a *convex* function it bounds the excess of h over the least value in the
    ball of radius :math:`\rho`, hence on its sphere.

    Args:
        g: Gradients.
        H: Rows.

    Returns:
        Gaps, >= 0 up to rounding.
    """
    return (g * H).sum(-1) + H.norm(dim=-1) * g.norm(dim=-1)


def _descend(value: Value, H: Tensor, step: Tensor) -> Tensor:
    start, length = value(H), torch.ones_like(H[:, :1])
    radius, moved = H.norm(dim=-1, keepdim=True), H
    for _ in range(HALVINGS):
        moved = radius * torch.nn.functional.normalize(H + length * step, dim=-1)
        # Rounding of the value must not stop the last, quadratically convergent steps.
        worse = value(moved) > start + 1e-15 * start.abs().clamp(min=1e-300)
        if not worse.any():
            break
        length[worse] /= 2
    return moved
