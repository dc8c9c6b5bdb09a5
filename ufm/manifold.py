"""Where the points of a model live: flat space, or the product of spheres of budgets at equality.

Tangent projection, retraction, Riemannian gradient and Hessian product. The metric is Euclidean in
W, b and the features of *samples*, |W|^2 + sum_j m_j |h_j|^2 + |b|^2 for columns that stand for m_j
samples each: what is done on class means is then exactly what happens to samples that equal them.
Shared by the flow, the descent and the landscape; knows no solver.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ufm._typing import Float, Tensor
from ufm.objective import Objective, Point
from ufm.problem import AverageBudget


def _normals(objective: Objective, x: Point) -> tuple[Tensor, Tensor]:
    # Along the gradients of the constraint functions: |W|^2 and sum_j u_j |h_j|^2 for average
    # budgets, |w_k|^2 and |h_j|^2 otherwise.
    if isinstance(objective.template.reg, AverageBudget):
        return x.W, (objective.u / objective.m).unsqueeze(-2) * x.H
    return x.W, x.H


def raise_index(objective: Objective, g: Point) -> Point:
    """Turn a differential into the direction that represents it in the metric.

    Args:
        objective: Batch of problems.
        g: Partial derivatives in W, H and b.

    Returns:
        ``(g_W, g_H / m, g_b)``; ``g`` itself on samples.
    """
    return Point(g.W, g.H / objective.m.unsqueeze(-2), g.b)


def _group_sums(objective: Objective, W: Tensor, H: Tensor) -> tuple[Tensor, Tensor]:
    # One sum per constraint, shaped to broadcast against W and H.
    if isinstance(objective.template.reg, AverageBudget):
        return W.sum((-2, -1), keepdim=True), H.sum((-2, -1), keepdim=True)
    return W.sum(-1, keepdim=True), H.sum(-2, keepdim=True)


def multipliers(objective: Objective, x: Point, g: Point) -> tuple[Tensor, Tensor]:
    r"""Coefficients of the part of ``g`` that is normal to the budgets.

    :math:`g - (\mu_W n_W, \mu_H n_H)` is tangent, with normals :math:`n_W = W` and
    :math:`n_H = H \operatorname{diag}(u/m)` (average budgets) or :math:`n_H = H` (per vector).
    With ``g`` the gradient they are minus the Lagrange multipliers of the budgets.

    Args:
        objective: A budgeted batch.
        x: Point, nonzero where its norm is constrained.
        g: Gradient (index raised) or any direction.

    Returns:
        ``mu_W`` and ``mu_H``, shaped to broadcast against W and H: ``(*b, 1, 1)`` for average
        budgets, ``(*b, K, 1)`` and ``(*b, 1, M)`` per vector.
    """
    n_W, n_H = _normals(objective, x)
    dual_H = objective.m.unsqueeze(-2) * n_H
    along_W, along_H = _group_sums(objective, g.W * n_W, g.H * dual_H)
    square_W, square_H = _group_sums(objective, n_W.square(), n_H * dual_H)
    return along_W / square_W, along_H / square_H


def project(objective: Objective, x: Point, v: Point) -> Point:
    """Orthogonal projection of a direction onto the tangent space at ``x``.

    Parts that are not variables (a fixed W) become zero.

    Args:
        objective: Batch of problems.
        x: Point.
        v: Direction.

    Returns:
        The tangent direction; ``v`` itself without budgets.
    """
    W, H = v.W, v.H
    if objective.template.is_budgeted:
        n_W, n_H = _normals(objective, x)
        mu_W, mu_H = multipliers(objective, x, v)
        W, H = W - mu_W * n_W, H - mu_H * n_H
    if not objective.template.is_learnable:
        W = torch.zeros_like(W)
    return Point(W, H, v.b)


def retract(objective: Objective, x: Point) -> Point:
    """Rescale a point onto the budgets at equality.

    Args:
        objective: Batch of problems.
        x: Point, nonzero where its norm is constrained.

    Returns:
        The point with every budget used exactly; ``x`` itself without budgets.
    """
    if not objective.template.is_budgeted:
        return x
    used_W, used_H = objective.used(x)
    H = x.H / used_H.sqrt().unsqueeze(-2)
    if not objective.template.is_learnable:
        return Point(x.W, H, x.b)
    return Point(x.W / used_W.sqrt().unsqueeze(-1), H, x.b)


def gradient(objective: Objective, x: Point) -> Point:
    """Riemannian gradient of the objective.

    Args:
        objective: Batch of problems.
        x: Point on the budgets (or anywhere without budgets).

    Returns:
        Tangent direction of steepest ascent, of the length of the slope.
    """
    return project(objective, x, raise_index(objective, objective.grad(x)))


def hvp(objective: Objective, x: Point, v: Point) -> Point:
    r"""Riemannian Hessian product, :math:`P_x(\nabla^2 f\,v - \mu\,\nabla n\,v)`.

    The second term is the curvature of the budgets, with the multipliers of the gradient.

    Args:
        objective: Batch of problems.
        x: Point on the budgets (or anywhere without budgets).
        v: Tangent direction.

    Returns:
        Tangent direction.
    """
    full = raise_index(objective, objective.hvp(x, v))
    if objective.template.is_budgeted:
        mu_W, mu_H = multipliers(objective, x, raise_index(objective, objective.grad(x)))
        n_W, n_H = _normals(objective, v)
        full = Point(full.W - mu_W * n_W, full.H - mu_H * n_H, full.b)
    return project(objective, x, full)


def flatten(objective: Objective, v: Point) -> Float[Tensor, "*b P"]:
    """Coordinates in which the metric is Euclidean: rows of W, of H diag(sqrt m), and b.

    Args:
        objective: Batch of problems.
        v: Point or direction.

    Returns:
        Flat vectors of length ``K d + d M + K``.
    """
    H = v.H * objective.m.sqrt().unsqueeze(-2)
    return torch.cat([v.W.flatten(-2), H.flatten(-2), v.b], -1)


def unflatten(objective: Objective, x: Float[Tensor, "*b P"]) -> Point:
    """Inverse of `flatten`.

    Args:
        objective: Batch of problems.
        x: Flat vectors.

    Returns:
        The point or direction.
    """
    K, d, M = objective.K, objective.d, objective.M
    W, H, b = x.split([K * d, d * M, K], -1)
    H = H.unflatten(-1, (d, M)) / objective.m.sqrt().unsqueeze(-2)
    return Point(W.unflatten(-1, (K, d)), H, b)


def gaussian(objective: Objective, seeds: Sequence[int], *, scale: float = 1.0) -> Point:
    r"""Gaussian points, one a seed, put on the budgets.

    Entries of W and H have standard deviation ``scale`` :math:`/\sqrt d`; the bias is zero, a fixed
    W is itself. Each seed has its own generator on the CPU, so an instance does not depend on its
    batch or device.

    Args:
        objective: Batch of B problems.
        seeds: B seeds.
        scale: Standard deviation of the entries in units of ``1/sqrt(d)``.

    Returns:
        The points.

    Raises:
        ValueError: If the number of seeds differs from the batch.
    """
    K, d, M = objective.K, objective.d, objective.M
    if len(seeds) != len(objective.problems):
        raise ValueError(
            f"seeds must hold one seed an instance, got {len(seeds)} for {len(objective.problems)}"
        )
    rows = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        rows.append(torch.randn(d * (K + M), generator=generator, dtype=torch.float64))
    entries = (torch.stack(rows) * (scale / d**0.5)).to(objective.c)
    W = entries[:, : K * d].reshape(-1, K, d)
    H = entries[:, K * d :].reshape(-1, d, M)
    fixed = objective.fixed_W()
    if fixed is not None:
        W = fixed.expand_as(W).clone()
    return retract(objective, Point(W, H, W.new_zeros(W.shape[:-1])))
