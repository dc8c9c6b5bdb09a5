r"""A fixed classifier: the problem is convex in (H, b), and the plain gradient is a good dual.

With ``a_k = W'Y_k`` the support of the constraints on H is, per class mean,

===============  ============================  ===================================================
ridge p_k        ``|a_k|^2/(2 p_k)``           gap ``|p_k h_k + a_k|^2/(2 p_k)``
``|h_k|^2<=E``   ``sqrt(E) |a_k|``             gap ``sqrt(E)|a_k| + <a_k, h_k>``
average          ``sqrt(K E_H) |a|_F``         likewise, all columns together
nothing          0, and ``a = 0`` is needed    0
===============  ============================  ===================================================

Each gap is of second order in the distance to the optimum at ``Y = G``, as long as the constraint
binds with a positive multiplier. Where it does not the optimum has ``a_k = 0``; projecting those
columns onto the null space of W' restores second order. That null space is the numerical one: rows
whose condition number exceeds 1/eps count as rank-deficient, although features of norm 1/eps, if
the budget allows them, could still tell their directions apart. A bracket proved in ball arithmetic
makes no such choice.
"""

from __future__ import annotations

import torch

from ufm._typing import Bool, Float, Tensor
from ufm.certificates._dual import Bound, bias_defect, fenchel_defect, into_domain
from ufm.certificates._means import Means
from ufm.losses import DotRegression
from ufm.problem import AverageBudget, FreeBias


# A budget used up to less than this share is taken not to bind,
BINDS = 1 - 1e-4
# and so is one against which the features push with less than this share of the gradient.
PUSHES = 1e-4


def fixed_bounds(means: Means) -> tuple[Bound, Bound]:
    """The bound of the gradient, and the best of it and of its null-space projection.

    Args:
        means: Class-mean point of a model with a fixed classifier.

    Returns:
        The raw bound and the best one; equal where H is not bounded at all.
    """
    G = _meet_free_bias(means, means.G)
    loose = _not_binding(means)
    raw = _bound(means, into_domain(means, G), torch.zeros_like(loose), "gradient")
    projected = _bound(means, _into_null_space(means, G, loose), loose, "null space of W'")
    best = raw.best(projected)
    unbounded = (~raw.gap.isfinite()).nonzero().squeeze(-1)
    return raw.best_at(unbounded, best.select(unbounded)), best


def _meet_free_bias(means: Means, Y: Float[Tensor, "B K K"]) -> Float[Tensor, "B K K"]:
    # A free bias needs Y 1 = 0: every column of Y/pi is shifted alike.
    if not isinstance(means.objective.template.bias, FreeBias):
        return Y
    if isinstance(means.objective.loss, DotRegression):
        return torch.zeros_like(Y)
    return Y - Y.sum(-1, keepdim=True) * means.objective.c.unsqueeze(-2)


def _not_binding(means: Means) -> Bool[Tensor, "B K"]:
    objective = means.objective
    if not objective.template.is_budgeted:
        return objective.p == 0
    W, used_H = means.x.W, objective.used(means.x)[1]
    push = torch.linalg.vector_norm(W.mT @ means.G, dim=-2)
    whole = torch.linalg.matrix_norm(W).unsqueeze(-1) * torch.linalg.vector_norm(means.G, dim=-2)
    if isinstance(objective.template.reg, AverageBudget):
        push, whole = (torch.linalg.vector_norm(t, dim=-1, keepdim=True) for t in (push, whole))
    return ((used_H < BINDS) | (push < PUSHES * whole)).expand_as(objective.c)


def _into_null_space(
    means: Means, Y: Float[Tensor, "B K K"], loose: Bool[Tensor, "B K"]
) -> Float[Tensor, "B K K"]:
    # Zero for an instance that the projection takes out of the domain of the loss.
    objective = means.objective
    W, columns = means.x.W, loose.unsqueeze(-2)
    if objective.loss.shift_invariant:
        # The columns must go on summing to zero.
        W = torch.cat([W, torch.ones_like(W[..., :1])], -1)
    Y = torch.where(columns, Y - W @ (torch.linalg.pinv(W) @ Y), Y)
    if isinstance(objective.loss, DotRegression):
        Y = torch.where(columns, 0.0, Y)
    elif isinstance(objective.template.bias, FreeBias):
        # Row sums are restored by the binding columns; if there are none they are zero already.
        weight = objective.c * ~loose
        weight = weight / weight.sum(-1, keepdim=True).clamp(min=1e-300)
        Y = Y - Y.sum(-1, keepdim=True) * weight.unsqueeze(-2)
    slack = objective.loss.slack(Y / objective.c.unsqueeze(-2), objective.y)
    inside = (slack >= 0).all(-1).all(-1)
    return torch.where(inside[:, None, None], Y, 0.0)


def _bound(means: Means, Y: Float[Tensor, "B K K"], loose: Bool[Tensor, "B K"], name: str) -> Bound:
    # W'Y = 0 holds for the loose columns by construction, not only to rounding.
    a = torch.where(loose.unsqueeze(-2), 0.0, means.x.W.mT @ Y)
    if means.objective.template.is_budgeted:
        support, paid = _budget_terms(means, a)
    else:
        support, paid = _ridge_terms(means, a)
    return Bound(
        Y=Y,
        gap=fenchel_defect(means, Y) + paid + bias_defect(means, Y),
        support=support,
        multipliers=torch.zeros_like(Y)[:, :2],
        names=(name,) * len(means.objective.problems),
    )


def _ridge_terms(
    means: Means, a: Float[Tensor, "B d K"]
) -> tuple[Float[Tensor, "B"], Float[Tensor, "B"]]:
    p, square = means.objective.p, a.square().sum(-2)
    paid = (p.unsqueeze(-2) * means.x.H + a).square().sum(-2)
    # Without a ridge any a but zero is unbounded below.
    nothing = torch.where(square > 0, torch.inf, 0.0).to(square)
    support = torch.where(p > 0, square / (2 * p), nothing)
    return support.sum(-1), torch.where(p > 0, paid / (2 * p), nothing).sum(-1)


def _budget_terms(
    means: Means, a: Float[Tensor, "B d K"]
) -> tuple[Float[Tensor, "B"], Float[Tensor, "B"]]:
    objective, H = means.objective, means.x.H
    radius = objective.E_H.sqrt().unsqueeze(-1)
    if isinstance(objective.template.reg, AverageBudget):
        a, H = a.flatten(1).unsqueeze(-1), H.flatten(1).unsqueeze(-1)
        radius = objective.K**0.5 * radius
    size, length = torch.linalg.vector_norm(a, dim=-2), torch.linalg.vector_norm(H, dim=-2)
    # radius |a| + <a, h> with the two nearly opposite: |a||h| + <a, h> = |a||h| |a^ + h^|^2 / 2.
    unit_a = a / size.clamp(min=1e-300).unsqueeze(-2)
    unit_h = H / length.clamp(min=1e-300).unsqueeze(-2)
    bend = (unit_a + unit_h).square().sum(-2) / 2
    paid = size * ((radius - length) + length * bend)
    return (radius * size).sum(-1), paid.sum(-1)
