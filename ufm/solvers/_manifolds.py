"""The three manifolds: flat space, one sphere, one sphere a row; and which one a model has."""

from __future__ import annotations

from typing import final

import torch

from ufm._typing import Float, Tensor
from ufm.objective import Objective
from ufm.problem import AverageBudget, Sphere, VectorBudget
from ufm.solvers._charts import Chart
from ufm.solvers._factors import Factors


# Curvature scale, in units of a class's share 1/K, where no multiplier or ridge sets one: a loss
# with a minimum has this much curvature of its own.
FLOOR = 1e-3


@final
class FlatChart(Chart):
    """Ridges and no regulariser: all coordinates are free."""

    def shares(self, x: Float[Tensor, "B P"], v: Float[Tensor, "B P"]) -> Float[Tensor, "B _"]:
        return torch.zeros_like(x[:, :1])

    def retract(self, x: Float[Tensor, "B P"]) -> Float[Tensor, "B P"]:
        return x

    def stiffness(self, multiplier: Float[Tensor, "B _"]) -> Float[Tensor, "B"]:
        if self.factors.s is None:
            return torch.full_like(self.radius2, self.floor)
        return self.factors.s

    def unit(self, X: Float[Tensor, "B R d"]) -> Float[Tensor, "B R d"]:
        return X / X.square().sum(-1).mean(-1).sqrt()[:, None, None]

    def fill(self, X: Float[Tensor, "B R d"], least: float = 0.0) -> Float[Tensor, "B P"]:
        return self.with_zeros(X.flatten(1))


@final
class SphereChart(Chart):
    r"""Average budgets: one sphere :math:`\|\tilde W\|^2 + \|\tilde V\|^2 = 2\tau`.

    By the inequality of arithmetic and geometric means this has the same optimum as the two
    balls: :math:`\|\tilde W\|\|\tilde V\| \le \tau`, and rescaling the factors against each other
    puts both into their budgets without changing the logits.
    """

    def shares(self, x: Float[Tensor, "B P"], v: Float[Tensor, "B P"]) -> Float[Tensor, "B _"]:
        S = self.on_spheres
        share = (x[:, :S] * v[:, :S]).sum(-1, keepdim=True) / self.radius2.unsqueeze(-1)
        return self.with_zeros(share.expand(-1, S)) if self.size > S else share

    def retract(self, x: Float[Tensor, "B P"]) -> Float[Tensor, "B P"]:
        S = self.on_spheres
        scale = (self.radius2.sqrt() / torch.linalg.vector_norm(x[:, :S], dim=-1)).unsqueeze(-1)
        return torch.cat([x[:, :S] * scale, x[:, S:]], -1) if self.size > S else x * scale

    def stiffness(self, multiplier: Float[Tensor, "B _"]) -> Float[Tensor, "B"]:
        return multiplier[:, 0].clamp(min=self.floor)

    def unit(self, X: Float[Tensor, "B R d"]) -> Float[Tensor, "B R d"]:
        return X * (self.radius2 / X.square().sum((-2, -1))).sqrt()[:, None, None]

    def fill(self, X: Float[Tensor, "B R d"], least: float = 0.0) -> Float[Tensor, "B P"]:
        x = X.flatten(1)
        if self.extra:
            left = self.radius2 - x.square().sum(-1)
            slack = left.clamp(min=0).maximum(least**2 * self.radius2).sqrt()
            x = torch.cat([x, slack.unsqueeze(-1)], -1)
        return self.retract(self.with_zeros(x))


@final
class RowsChart(Chart):
    """Per-vector budgets and spheres: one sphere a row, all of one radius."""

    def shares(self, x: Float[Tensor, "B P"], v: Float[Tensor, "B P"]) -> Float[Tensor, "B _"]:
        share = (self._rows(x) * self._rows(v)).sum(-1, keepdim=True) / self.radius2[:, None, None]
        return self.with_zeros(share.expand(-1, -1, self.width).flatten(1))

    def retract(self, x: Float[Tensor, "B P"]) -> Float[Tensor, "B P"]:
        rows = self._rows(x)
        scale = (self.radius2[:, None, None] / rows.square().sum(-1, keepdim=True)).sqrt()
        return torch.cat([(rows * scale).flatten(1), x[:, self.on_spheres :]], -1)

    def stiffness(self, multiplier: Float[Tensor, "B _"]) -> Float[Tensor, "B"]:
        # On spheres, unlike balls, a multiplier may have either sign.
        return multiplier[:, : self.on_spheres].abs().mean(-1).clamp(min=self.floor)

    def unit(self, X: Float[Tensor, "B R d"]) -> Float[Tensor, "B R d"]:
        return X * (self.radius2[:, None, None] / X.square().sum(-1, keepdim=True)).sqrt()

    def fill(self, X: Float[Tensor, "B R d"], least: float = 0.0) -> Float[Tensor, "B P"]:
        if self.width > self.d:
            radius2 = self.radius2[:, None, None]
            left = radius2 - X.square().sum(-1, keepdim=True)
            slack = left.clamp(min=0).maximum(least**2 * radius2).sqrt()
            X = torch.cat([X, slack], -1)
        return self.retract(self.with_zeros(X.flatten(1)))

    def _rows(self, x: Float[Tensor, "B P"]) -> Float[Tensor, "B R _"]:
        return x[:, : self.on_spheres].view(-1, self.rows, self.width)


def chart_of(objective: Objective) -> Chart:
    """The manifold of a batch of problems on class means.

    A ball needs slack where its optimum may lie inside: always for one vector's budget and for a
    fixed classifier; with both factors free and average budgets only if the loss has a minimum.

    Args:
        objective: Problems on class means.

    Returns:
        Their chart.
    """
    problem = objective.template
    K, d, learnable = problem.K, problem.d, problem.is_learnable
    both = (objective.E_W * objective.E_H).sqrt()
    kind, width, extra = FlatChart, d, 0
    radius2 = torch.full_like(both, float("inf"))
    inside = problem.loss.attains_minimum or not learnable
    match problem.reg:
        case AverageBudget():
            kind, extra = SphereChart, int(inside)
            radius2 = 2 * K * both if learnable else K * objective.E_H
        case VectorBudget() | Sphere() as reg:
            kind, width = RowsChart, d + 1 if isinstance(reg, VectorBudget) else d
            radius2 = both if learnable else objective.E_H
        case _:
            inside = True
    return kind(
        factors=Factors.of(objective), rows=2 * K if learnable else K, d=d, width=width,
        extra=extra, radius2=radius2, floor=FLOOR / K if inside else 0.0,
    )  # fmt: skip
