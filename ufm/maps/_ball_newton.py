r"""Newton's method for features on spheres in front of a fixed frame, and a proof of their angle.

The loss of a feature h of class y on the sphere of radius :math:`\rho`,

.. math:: F(h) = (1-\alpha)\,\mathrm{CE}(Wh, y) + \alpha\,\|Wh/\rho - W w_y\|^2,

is convex in all of space, its curvature at least :math:`\kappa = 2\alpha\lambda_{\min}(W^\top W)/
\rho^2`. With :math:`\nabla F(h) = -\mu h + e`, :math:`\mu > 0`, every u of the same length has
:math:`F(u) \ge F(h) + \tfrac{\mu+\kappa}{2}\|u-h\|^2 + \langle e, u-h\rangle`, so that the minimum
on the sphere is unique and no further than :math:`2\|e\|/(\mu+\kappa)` from h: a bound relative to
the gradient, which stays sharp where the loss itself is far below rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ufm._typing import Float, Int, Tensor


HALVINGS = 30


@dataclass(frozen=True, eq=False)
class MixRows:
    """Losses of B features, each with its own class, radius and weight.

    Attributes:
        V: Rows of the frame less the row of the feature's class ``(B, K, d)``.
        own: Row of its class ``(B, d)``.
        gram: ``W'W`` ``(d, d)``.
        radius: Norms of the features ``(B,)``.
        alpha: Weights of the squared error, in [0, 1] ``(B,)``.
    """

    V: Float[Tensor, "B K d"]
    own: Float[Tensor, "B d"]
    gram: Float[Tensor, "d d"]
    radius: Float[Tensor, "B"]
    alpha: Float[Tensor, "B"]

    @classmethod
    def of(
        cls,
        W: Float[Tensor, "K d"],
        y: Int[Tensor, "B"],
        *,
        radius: Float[Tensor, "B"],
        alpha: Float[Tensor, "B"],
    ) -> MixRows:
        """State the losses.

        Args:
            W: Unit rows.
            y: Class of each feature.
            radius: Norm of each feature.
            alpha: Weight of its squared error.

        Returns:
            The losses.
        """
        return cls((W - W[:, None])[y], W[y], W.mT @ W, radius, alpha)

    def select(self, rows: Int[Tensor, "S"]) -> MixRows:
        """Fewer features.

        Args:
            rows: Which.

        Returns:
            Their losses.
        """
        parts = (self.V[rows], self.own[rows], self.gram, self.radius[rows], self.alpha[rows])
        return MixRows(*parts)

    def value(self, H: Float[Tensor, "B d"]) -> Float[Tensor, "B"]:
        """Losses.

        Args:
            H: Features.

        Returns:
            One number each.
        """
        others, top = self._others(H)
        total = others.sum(-1)
        # log(1 + e^top (total - e^-top)): the own class is one of the K and gives e^-top.
        risk = top.squeeze(-1) + total.log()
        apart = H / self.radius.unsqueeze(-1) - self.own
        square = ((apart @ self.gram) * apart).sum(-1)
        return (1 - self.alpha) * risk + self.alpha * square

    def slopes(
        self, H: Float[Tensor, "B d"]
    ) -> tuple[Float[Tensor, "B d"], Float[Tensor, "B d d"]]:
        """Gradient and Hessian in all of space.

        In differences to the own row, so that nothing cancels where the softmax is saturated.

        Args:
            H: Features.

        Returns:
            Gradients and Hessians.
        """
        others, _ = self._others(H)
        q = others / others.sum(-1, keepdim=True)
        mean = (q.unsqueeze(-2) @ self.V).squeeze(-2)
        spread = self.V.mT @ (q.unsqueeze(-1) * self.V) - mean.unsqueeze(-1) * mean.unsqueeze(-2)
        apart = (H / self.radius.unsqueeze(-1) - self.own) @ self.gram
        weight = 2 * self.alpha / self.radius
        g = (1 - self.alpha).unsqueeze(-1) * mean + weight.unsqueeze(-1) * apart
        bent = (weight / self.radius)[:, None, None] * self.gram
        return g, (1 - self.alpha)[:, None, None] * spread + bent

    def _others(self, H: Float[Tensor, "B d"]) -> tuple[Tensor, Tensor]:
        # e^(z_c - z_y - top) with top the largest z_c - z_y, which is at least 0 (c = y).
        relative = (self.V @ H.unsqueeze(-1)).squeeze(-1)
        top = relative.amax(-1, keepdim=True)
        return (relative - top).exp(), top


def minimise(
    losses: MixRows, H: Float[Tensor, "B d"], *, steps: int, tol: float
) -> Float[Tensor, "B d"]:
    """Minimise every loss on its sphere; rows that have converged are left alone.

    Args:
        losses: The losses.
        H: Start.
        steps: Largest number of steps.
        tol: A row stops when it turns by less, in radians.

    Returns:
        Features of the stated norms.
    """
    H = losses.radius.unsqueeze(-1) * torch.nn.functional.normalize(H, dim=-1)
    rows = torch.arange(len(H), device=H.device)
    for _ in range(steps):
        part = losses.select(rows)
        step = newton_step(H[rows], *part.slopes(H[rows]))
        H[rows] = _descend(part, H[rows], step)
        rows = rows[torch.linalg.vector_norm(step, dim=-1) > tol * part.radius]
        if len(rows) == 0:
            break
    return H


def newton_step(
    H: Float[Tensor, "B d"], g: Float[Tensor, "B d"], hessian: Float[Tensor, "B d d"]
) -> Float[Tensor, "B d"]:
    r"""Tangent s with :math:`P(\nabla^2 F + \mu I)s = -Pg`.

    Here :math:`\mu = -\langle g, h\rangle/\|h\|^2`. The matrix is positive definite where
    :math:`\mu > 0`, on all of a way down from the own row.

    Args:
        H: Features.
        g: Gradients.
        hessian: Hessians.

    Returns:
        Steps, orthogonal to H.
    """
    square = H.square().sum(-1)
    mu = -(g * H).sum(-1) / square
    # Scaled to unit multiplier: gradients may be as small as 1e-200.
    unit = mu.clamp(min=1e-290)[:, None, None]
    bent = hessian / unit + torch.eye(H.shape[-1], dtype=H.dtype, device=H.device)
    factor, _ = torch.linalg.cholesky_ex(bent)
    both = torch.stack([g / unit[..., 0], H], -1)
    down, along = torch.cholesky_solve(both, factor).unbind(-1)
    return along * ((H * down).sum(-1) / (H * along).sum(-1)).unsqueeze(-1) - down


def angle_bound(losses: MixRows, H: Float[Tensor, "B d"]) -> Float[Tensor, "B"]:
    """Largest angle between h and the minimum on its sphere, see the module.

    Args:
        losses: The losses.
        H: Features of their norms.

    Returns:
        Angles in radians, rounding of the gradient included; infinite where nothing is proved.
    """
    g, _ = losses.slopes(H)
    radius = losses.radius
    mu = -(g * H).sum(-1) / radius.square()
    rest = torch.linalg.vector_norm(g + mu.unsqueeze(-1) * H, dim=-1)
    low, high = torch.linalg.eigvalsh(losses.gram)[[0, -1]]
    weight = 2 * losses.alpha / radius
    # A softmax is off by the rounding of its logits, the other term by that of h/|h| - w_y.
    rounding = (8 + 4 * radius) * torch.finfo(g.dtype).eps
    rest = rest + rounding * (torch.linalg.vector_norm(g, dim=-1) + weight * high)
    chord = 2 * rest / ((mu + weight / radius * low) * radius)
    bound = 2 * (chord / 2).clamp(max=1).asin()
    return torch.where((mu > 0) & (chord <= 2), bound, float("inf"))


def ball_gap(g: Float[Tensor, "B d"], H: Float[Tensor, "B d"]) -> Float[Tensor, "B"]:
    r"""Frank-Wolfe gap :math:`\langle g, h\rangle + \rho\|g\|`, which bounds the excess of h.

    Args:
        g: Gradients of convex losses.
        H: Features.

    Returns:
        Gaps over the ball of radius ``|h|``, hence over its sphere.
    """
    length = torch.linalg.vector_norm
    size = length(H, dim=-1) * length(g, dim=-1)
    # |g||h| + <g, h> = |g||h| |g/|g| + h/|h||^2 / 2, which does not cancel.
    unit = torch.nn.functional.normalize
    return size * (unit(g, dim=-1, eps=1e-300) + unit(H, dim=-1)).square().sum(-1) / 2


def _descend(losses: MixRows, H: Tensor, step: Tensor) -> Tensor:
    start, length = losses.value(H), torch.ones_like(H[:, :1])
    radius, moved = losses.radius.unsqueeze(-1), H
    for _ in range(HALVINGS):
        moved = radius * torch.nn.functional.normalize(H + length * step, dim=-1)
        # Rounding of the value must not stop the last, quadratically convergent steps.
        worse = losses.value(moved) > start + 1e-15 * (1 + start.abs())
        if not bool(worse.any()):
            break
        length[worse] /= 2
    return moved
