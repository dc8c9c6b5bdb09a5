"""Charts: the feasible set of a model as a manifold of flat coordinate vectors.

A chart's coordinates are ``x = (rows of W~ and V~, slack, b)`` in one vector per instance, with a
zero at the end if their number would be odd (for the alignment of products, see `_factors`).
Budgets are spheres; where the optimum may lie inside a ball, a hidden slack coordinate (one a
ball) turns the ball into a sphere, ``|w|^2 + sigma^2 = E``.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from ufm._typing import Float, Int, Tensor
from ufm.objective import Point
from ufm.solvers._factors import Parts, Smooth


@dataclass(frozen=True, eq=False)
class Chart(abc.ABC):
    """A batch of feasible sets with the objective on them.

    Attributes:
        factors: The objective in balanced factors.
        rows: Rows of the factor block: 2K, or K with a fixed classifier.
        d: Feature dimension.
        width: Coordinates a row: d, and one more if each row has its own slack.
        extra: Further slack coordinates, 0 or 1.
        radius2: Squared radius of each sphere ``(B,)``; infinite where there is none.
        floor: Smallest curvature scale to divide by.
    """

    factors: Smooth
    rows: int
    d: int
    width: int
    extra: int
    radius2: Float[Tensor, "B"]
    floor: float

    @abc.abstractmethod
    def shares(self, x: Float[Tensor, "B P"], v: Float[Tensor, "B P"]) -> Float[Tensor, "B _"]:
        """``<x, v> / radius^2`` on the sphere of each coordinate, 0 for flat coordinates.

        Args:
            x: Point.
            v: Vector.

        Returns:
            Something that broadcasts against ``x``.
        """

    @abc.abstractmethod
    def retract(self, x: Float[Tensor, "B P"]) -> Float[Tensor, "B P"]:
        """Nearest point of the manifold.

        Args:
            x: Any coordinates.

        Returns:
            Feasible coordinates.
        """

    @abc.abstractmethod
    def stiffness(self, multiplier: Float[Tensor, "B _"]) -> Float[Tensor, "B"]:
        r"""Curvature scale :math:`\mu`: the stopping test is on :math:`|g|/\sqrt{\mu}`.

        A gradient of that size leaves an excess of about :math:`|g|^2/2\mu` in the objective.

        Args:
            multiplier: Multiplier of each coordinate's sphere.

        Returns:
            Mean multiplier of the spheres, or the ridge; at least ``floor``.
        """

    @abc.abstractmethod
    def unit(self, X: Float[Tensor, "B R d"]) -> Float[Tensor, "B R d"]:
        """Factor rows scaled to use up the radius, or to a typical norm of 1 where there is none.

        Args:
            X: Rows of the factors, of any scale.

        Returns:
            Scaled rows.
        """

    @abc.abstractmethod
    def fill(self, X: Float[Tensor, "B R d"], least: float = 0.0) -> Float[Tensor, "B P"]:
        """Coordinates of factor rows, what they leave of the radius in the slack, and zero bias.

        Args:
            X: Rows of the factors.
            least: Smallest slack, as a share of the radius.

        Returns:
            Feasible coordinates.
        """

    @property
    def has_slack(self) -> bool:
        """Whether budgets are balls, not spheres."""
        return self.extra > 0 or self.width > self.d

    @property
    def on_spheres(self) -> int:
        """Number of coordinates before the bias."""
        return self.rows * self.width + self.extra

    @property
    def size(self) -> int:
        """Number of coordinates, even."""
        count = self.on_spheres + (self.factors.c.shape[-1] if self.factors.has_bias else 0)
        return count + count % 2

    def select(self, index: Int[Tensor, "S"]) -> Chart:
        """The sub-batch at ``index``.

        Args:
            index: Positions in the batch.

        Returns:
            A smaller chart.
        """
        return replace(self, factors=self.factors.select(index), radius2=self.radius2[index])

    def value_and_grad(
        self, x: Float[Tensor, "B P"]
    ) -> tuple[Float[Tensor, "B"], Float[Tensor, "B P"], Float[Tensor, "B"]]:
        """Objective, Riemannian gradient and curvature scale.

        Args:
            x: Point.

        Returns:
            Value ``(B,)``, gradient ``(B, P)`` and `stiffness` ``(B,)``.
        """
        value, parts = self.factors.value_and_grad(self.split(x))
        euclidean = self.join(parts)
        multiplier = -self.shares(x, euclidean)
        return value, torch.addcmul(euclidean, multiplier, x), self.stiffness(multiplier)

    def project(self, x: Float[Tensor, "B P"], v: Float[Tensor, "B P"]) -> Float[Tensor, "B P"]:
        """Tangent part of a vector.

        Args:
            x: Point.
            v: Vector.

        Returns:
            ``v`` less its normal part.
        """
        return torch.addcmul(v, self.shares(x, v), x, value=-1)

    def hessian(
        self, x: Float[Tensor, "B P"]
    ) -> Callable[[Float[Tensor, "B P"]], Float[Tensor, "B P"]]:
        """Riemannian Hessian at a point, on tangent vectors.

        On a sphere it is the tangent part of the Euclidean Hessian plus the multiplier.

        Args:
            x: Point.

        Returns:
            Function from a tangent vector to its Hessian product.
        """
        parts = self.split(x)
        multiplier = -self.shares(x, self.join(self.factors.value_and_grad(parts)[1]))
        euclidean = self.factors.hessian(parts)

        def product(v: Float[Tensor, "B P"]) -> Float[Tensor, "B P"]:
            return self.project(
                x, torch.addcmul(self.join(euclidean(self.split(v))), multiplier, v)
            )

        return product

    def split(self, x: Float[Tensor, "B P"]) -> Parts:
        """Balanced factors of coordinates, as views.

        Args:
            x: Coordinates.

        Returns:
            Rows of the factors, and the bias.
        """
        rows = x[:, : self.rows * self.width].view(-1, self.rows, self.width)
        b = None
        if self.factors.has_bias:
            b = x[:, self.on_spheres :][:, : self.factors.c.shape[-1]]
        return Parts(rows[..., : self.d], b)

    def join(self, parts: Parts) -> Float[Tensor, "B P"]:
        """A gradient as a flat vector; zero in the slack.

        Args:
            parts: Gradient in the factors.

        Returns:
            Coordinates.
        """
        rows = parts.X
        if self.width > self.d:
            rows = torch.nn.functional.pad(rows, (0, 1))
        flat = rows.flatten(1)
        if parts.b is not None:
            slack = flat.new_zeros(flat.shape[0], self.extra)
            flat = torch.cat([flat, slack, parts.b], -1)
        return self.with_zeros(flat)

    def point(self, x: Float[Tensor, "B P"]) -> Point:
        """The caller's W, H, b.

        Args:
            x: Coordinates.

        Returns:
            A point within the budgets up to rounding.
        """
        return self.factors.point(self.split(x))

    def coordinates(self, point: Point, least: float = 0.0) -> Float[Tensor, "B P"]:
        """Coordinates of a point, moved into the budgets if it is outside.

        Args:
            point: W, H, b on class means.
            least: Smallest slack, as a share of the radius; a start needs some, since the
                objective is stationary in the slack where it is zero.

        Returns:
            Coordinates.
        """
        parts = self.factors.parts(point)
        x = self.fill(parts.X, least)
        if parts.b is None:
            return x
        return self.with_zeros(torch.cat([x[:, : self.on_spheres], parts.b], -1))

    def with_zeros(self, v: Float[Tensor, "B S"]) -> Float[Tensor, "B P"]:
        """Extend a vector by zeros to all coordinates.

        Args:
            v: One number per coordinate, from the first on.

        Returns:
            ``size`` numbers.
        """
        missing = self.size - v.shape[-1]
        return torch.nn.functional.pad(v, (0, missing)) if missing else v
