r"""From a given point to a feasible one, and from its samples to class means, without losing any
digit of the difference.

For a loss convex in the logits, replacing the features of a class by their mean never raises the
risk (Jensen) nor a penalty or budget, so a problem on samples and its class means have the same
infimum: a lower bound from the K x K class-mean problem holds for both. What a point loses by the
spread within its classes is

.. math:: \sum_j c_j\,[\ell(z_j) - \ell(\bar z_{y_j})] + \sum_j \tfrac{p_j}{2}
    \|h_j - \bar h_{y_j}\|^2,

whose first sum is one of Bregman divergences (the linear terms cancel within a class), that is of
Fenchel defects at the mean's gradient.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ufm._typing import Float, Int, Tensor
from ufm.objective import Objective, Point
from ufm.problem import AverageBudget, FreeBias, Sphere
from ufm.solution import Solution


@dataclass(frozen=True, eq=False)
class Means:
    """A feasible point of B class-mean problems and what duality needs to know about it.

    Attributes:
        objective: Class-mean objective, M = K.
        x: Feasible point with H (B, d, K).
        Z: ``W H`` (B, K, K), without the bias.
        L: ``W H + b 1'`` (B, K, K).
        G: Gradient of the risk in the logits (B, K, K); columns carry their class share.
        risk: Risk (B,).
        ridge: Ridge terms on W and H at the point (B,).
    """

    objective: Objective
    x: Point
    Z: Float[Tensor, "B K K"]
    L: Float[Tensor, "B K K"]
    G: Float[Tensor, "B K K"]
    risk: Float[Tensor, "B"]
    ridge: Float[Tensor, "B"]

    @classmethod
    def at(cls, objective: Objective, x: Point) -> Means:
        """Evaluate a feasible class-mean point.

        Args:
            objective: Class-mean objective.
            x: Point with H (B, d, K).

        Returns:
            The point with its logits and gradient.
        """
        Z = x.W @ x.H
        L = Z + x.b.unsqueeze(-1) if objective.template.has_bias else Z
        loss, U = objective.loss.value_and_grad(L, objective.y)
        return cls(
            objective=objective,
            x=x,
            Z=Z,
            L=L,
            G=U * objective.c.unsqueeze(-2),
            risk=(objective.c * loss).sum(-1),
            ridge=objective.penalty(x._replace(b=torch.zeros_like(x.b))),
        )

    def select(self, index: Int[Tensor, "S"]) -> Means:
        """The instances at ``index``.

        Args:
            index: Positions in the batch.

        Returns:
            A smaller batch.
        """
        tensors = (t[index] for t in (self.Z, self.L, self.G, self.risk, self.ridge))
        return Means(self.objective.select(index), Point(*(t[index] for t in self.x)), *tensors)


@dataclass(frozen=True, eq=False)
class Reduced:
    """A given point, scaled into its constraints and reduced to class means.

    Attributes:
        objective: Objective on the given columns.
        x: Feasible point on the given columns.
        means: Its class means.
        primal: Objective at ``x`` (B,).
        spread: ``primal`` minus the objective at the means (B,), >= 0.
        infeasibility: Relative violation by the point as given (B,).
    """

    objective: Objective
    x: Point
    means: Means
    primal: Float[Tensor, "B"]
    spread: Float[Tensor, "B"]
    infeasibility: Float[Tensor, "B"]


def reduce_point(solution: Solution) -> Reduced:
    """Scale a solution's point into its constraints and reduce it to class means, in float64.

    Args:
        solution: Batch or single solution.

    Returns:
        The reduced point, with a flat batch axis.
    """
    given = Point(*(t.detach().to(torch.float64) for t in solution.point))
    flat = len(solution)
    given = Point(*(t.reshape(flat, *t.shape[len(solution.batch_shape) :]) for t in given))
    M, device = given.H.shape[-1], given.H.device
    on_columns = Objective.stack(solution.problems, M, device=device)
    K = on_columns.K
    on_means = on_columns if M == K else Objective.stack(solution.problems, K, device=device)
    x = feasible(on_columns, given)
    if M == K:
        means = Means.at(on_means, x)
        primal = means.risk + on_means.penalty(x)
        spread = torch.zeros_like(primal)
    else:
        means = Means.at(on_means, x._replace(H=class_means(on_columns, x.H)))
        primal = on_columns.value(x)
        spread = _spread(on_columns, means, x)
    return Reduced(on_columns, x, means, primal, spread, _infeasibility(on_columns, given))


def class_means(objective: Objective, H: Float[Tensor, "B d M"]) -> Float[Tensor, "B d K"]:
    """Mean feature of each class.

    Args:
        objective: Objective on the M columns.
        H: Features.

    Returns:
        Class means.
    """
    sums = H.new_zeros(*H.shape[:-1], objective.K)
    return sums.index_add(-1, objective.y, H * objective.u.unsqueeze(-2))


def feasible(objective: Objective, x: Point) -> Point:
    """The point scaled into its budgets or onto its spheres, with a fixed classifier in place.

    Each budget is met by one factor <= 1. Average budgets first trade norm between W and H, which
    changes no logit. On spheres every vector is rescaled, and a zero vector, which has no
    direction, becomes a multiple of the first unit vector. A free bias loses the shift common to
    all classes where no loss sees it: a large one would only drown the digits of the logits.

    Args:
        objective: Objective on the point's columns.
        x: Any point.

    Returns:
        A feasible point (to rounding).
    """
    fixed = objective.fixed_W()
    W = x.W if fixed is None else fixed.expand_as(x.W)
    if objective.loss.shift_invariant and isinstance(objective.template.bias, FreeBias):
        x = x._replace(b=x.b - x.b[..., :1])
    if not objective.template.is_budgeted:
        return x._replace(W=W)
    H = x.H
    if isinstance(objective.template.reg, Sphere):
        W = W if fixed is not None else without_zeros(W)
        H = without_zeros(H.mT).mT
    scale_W, scale_H = _scales(objective, *objective.used(Point(W, H, x.b)))
    if fixed is None:
        W = W * scale_W.unsqueeze(-1)
    return Point(W, H * scale_H.unsqueeze(-2), x.b)


def _scales(
    objective: Objective, used_W: Float[Tensor, "B P"], used_H: Float[Tensor, "B R"]
) -> tuple[Float[Tensor, "B P"], Float[Tensor, "B R"]]:
    if isinstance(objective.template.reg, Sphere):
        return used_W.rsqrt(), used_H.rsqrt()
    scales = used_W.clamp(min=1).rsqrt(), used_H.clamp(min=1).rsqrt()
    if not (objective.template.is_learnable and isinstance(objective.template.reg, AverageBudget)):
        return scales
    over = ((used_W > 1) | (used_H > 1)) & (used_W > 0) & (used_H > 0)
    trade = (used_H / used_W) ** 0.25
    both = (used_W * used_H).clamp(min=1) ** -0.25
    return torch.where(over, trade * both, scales[0]), torch.where(over, both / trade, scales[1])


def without_zeros(rows: Float[Tensor, "*b R d"]) -> Float[Tensor, "*b R d"]:
    first = torch.zeros_like(rows)
    first[..., 0] = 1
    return torch.where((rows == 0).all(-1, keepdim=True), first, rows)


def _spread(objective: Objective, means: Means, x: Point) -> Float[Tensor, "B"]:
    U = means.objective.loss.grad(means.L, means.objective.y)
    spread = torch.zeros_like(means.risk)
    for part in objective.blocks():
        some, H = objective.columns(part), x.H[..., part]
        Z = some.logits(x._replace(H=H))
        jensen = objective.loss.fenchel_defect(U[..., some.y], Z, some.y)
        scatter = (H - means.x.H[..., some.y]).square().sum(-2)
        spread = spread + (some.c * jensen).sum(-1) + (some.p * scatter).sum(-1) / 2
    return spread


def _infeasibility(objective: Objective, x: Point) -> Float[Tensor, "B"]:
    violation = objective.infeasibility(x)
    fixed = objective.fixed_W()
    if fixed is None:
        return violation
    off = torch.linalg.matrix_norm(x.W - fixed) / torch.linalg.matrix_norm(fixed)
    return torch.maximum(violation, off)
