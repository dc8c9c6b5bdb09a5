"""Balanced factors: the coordinates in which both penalties or budgets look the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch

from ufm import objective as limits
from ufm._typing import Float, Int, Tensor
from ufm.losses import Loss
from ufm.objective import Objective, Point
from ufm.problem import BUDGETS, RIDGES


class Parts(NamedTuple):
    """Balanced factors, or a gradient or direction in them.

    Attributes:
        X: Rows of W~ above rows of V~ (one a class), ``(B, 2K, d)``; V~ alone, ``(B, K, d)``,
            where W is fixed.
        b: ``(B, K)``, or None without a bias.
    """

    X: Float[Tensor, "B R d"]
    b: Float[Tensor, "B K"] | None


@runtime_checkable
class Smooth(Protocol):
    """What a chart needs of an objective; `Factors` is one, on groups of classes another."""

    @property
    def c(self) -> Float[Tensor, "B K"]:
        """Class weights."""
        ...

    @property
    def s(self) -> Float[Tensor, "B"] | None:
        """Common ridge."""
        ...

    @property
    def has_bias(self) -> bool:
        """Whether b is a variable."""
        ...

    @property
    def rotates(self) -> bool:
        """Whether the objective is the same for all rotations of the rows."""
        ...

    def select(self, index: Int[Tensor, "S"]) -> Any:
        """The sub-batch at ``index``."""
        ...

    def value_and_grad(self, x: Parts) -> tuple[Float[Tensor, "B"], Parts]:
        """Objective and Euclidean gradient."""
        ...

    def hessian(self, x: Parts) -> Callable[[Parts], Parts]:
        """Euclidean Hessian at a point as an operator."""
        ...

    def point(self, x: Parts) -> Point:
        """Back to the caller's coordinates."""
        ...

    def parts(self, point: Point) -> Parts:
        """Inverse of `point`."""
        ...


@dataclass(frozen=True, eq=False)
class Factors:
    r"""The objective on class means in balanced factors.

    With :math:`W = \alpha \tilde W` and :math:`h_k = \beta_k \tilde v_k` it is

    .. math:: \sum_k c_k\,\ell(\alpha\beta_k \tilde W \tilde v_k + b, k)
        + \tfrac{s}{2}(\|\tilde W\|_F^2 + \|\tilde V\|_F^2) + \tfrac{\lambda_b}{2}\|b\|^2 ,

    where for a ridge :math:`s = \sqrt{\lambda_W \bar p}` with :math:`\bar p` the mean ridge of a
    feature column, so that :math:`\alpha\beta_k = \sqrt{\bar p/p_k}`, and for budgets ``s = 0``
    and :math:`\alpha = 1/\beta = (E_W/E_H)^{1/4}`.

    Attributes:
        loss: Loss on the logits.
        y: Labels (K,), one column a class.
        c: Class weights (B, K).
        alpha: Scale of W (B,).
        beta: Scale of each feature column (B, K).
        gain: Scale ``alpha beta_k`` of the logits (B, K), or None where it is one.
        s: Common ridge (B,), or None without one.
        lam_b: Ridge on the bias (B,).
        fixed_W: The fixed classifier, or None if it is learnable; for odd K a row of zeros is
            added, ``(K + K % 2, d)``.
        has_bias: Whether b is a variable.
    """

    loss: Loss
    y: Int[Tensor, "K"]
    c: Float[Tensor, "B K"]
    alpha: Float[Tensor, "B"]
    beta: Float[Tensor, "B K"]
    gain: Float[Tensor, "B K"] | None
    s: Float[Tensor, "B"] | None
    lam_b: Float[Tensor, "B"]
    fixed_W: Float[Tensor, "_ d"] | None
    has_bias: bool

    @classmethod
    def of(cls, objective: Objective) -> Factors:
        """Balance a batch of problems.

        Args:
            objective: Problems on class means.

        Returns:
            Their objective in balanced factors.
        """
        problem, p = objective.template, objective.p
        alpha, beta = torch.ones_like(objective.lam_W), torch.ones_like(p)
        gain = s = None
        if isinstance(problem.reg, BUDGETS) and problem.is_learnable:
            # Not a power of 1/4: its last bit depends on an entry's place in the batch.
            alpha = (objective.E_W / objective.E_H).sqrt().sqrt()
            beta = beta / alpha.unsqueeze(-1)
        elif isinstance(problem.reg, RIDGES) and bool((p > 0).all()):
            mean = p.mean(-1)
            s = (objective.lam_W * mean).sqrt() if problem.is_learnable else mean
            alpha = (s / objective.lam_W).sqrt() if problem.is_learnable else alpha
            beta = (s.unsqueeze(-1) / p).sqrt()
            gain = alpha.unsqueeze(-1) * beta
        fixed = objective.fixed_W()
        if fixed is not None:
            fixed = torch.nn.functional.pad(fixed, (0, 0, 0, objective.K % 2))
        return cls(
            loss=objective.loss, y=objective.y, c=objective.c, alpha=alpha, beta=beta, gain=gain,
            s=s, lam_b=objective.lam_b, fixed_W=fixed, has_bias=problem.has_bias,
        )  # fmt: skip

    @property
    def rotates(self) -> bool:
        """Whether the objective is the same for all rotations of the rows."""
        return self.fixed_W is None

    def select(self, index: Int[Tensor, "S"]) -> Factors:
        """The sub-batch at ``index``.

        Args:
            index: Positions in the batch.

        Returns:
            Fewer instances.
        """
        arrays = {
            name: getattr(self, name) for name in ("c", "alpha", "beta", "gain", "s", "lam_b")
        }
        return replace(self, **{name: t[index] for name, t in arrays.items() if t is not None})

    def value_and_grad(self, x: Parts) -> tuple[Float[Tensor, "B"], Parts]:
        """Objective and Euclidean gradient.

        Args:
            x: Balanced factors.

        Returns:
            Values and gradient.
        """
        K, b = self.c.shape[-1], None
        if K * K > limits.BLOCK:
            value, X, G_sum = self._in_blocks(x)
        else:
            loss, G = self.loss.value_and_grad(self._logits(x), self.y)
            value, G = (self.c * loss).sum(-1), G * self.c.unsqueeze(-2)
            X = self._pull_back(self._gained(G), x.X)
            # Without a bias nobody asks for the sums.
            G_sum = self.lam_b if x.b is None else G.sum(-1)
        if self.s is not None:
            value = value + self.s / 2 * x.X.square().sum((-2, -1))
            X = torch.addcmul(X, self.s[:, None, None], x.X)
        if x.b is not None:
            value = value + self.lam_b / 2 * x.b.square().sum(-1)
            b = G_sum + self.lam_b.unsqueeze(-1) * x.b
        return value, Parts(X, b)

    def _in_blocks(self, x: Parts) -> tuple[Tensor, Tensor, Tensor]:
        # Risk, its gradient in the rows and in the bias, without any K x K matrix.
        K = self.c.shape[-1]
        width = max(1, limits.BLOCK // K)
        left, right = self._left(x.X)[:, :K], x.X[:, -K:]
        value, b = torch.zeros_like(self.lam_b), torch.zeros_like(self.c)
        W, V = torch.zeros_like(left), torch.empty_like(right)
        for first in range(0, K, width):
            part = slice(first, min(first + width, K))
            gain = 1.0 if self.gain is None else self.gain[:, None, part]
            Z = (left @ right[:, part].mT) * gain
            loss, G = self.loss.value_and_grad(
                Z if x.b is None else Z + x.b.unsqueeze(-1), self.y[part]
            )
            value, G = value + (self.c[:, part] * loss).sum(-1), G * self.c[:, None, part]
            b, G = b + G.sum(-1), G * gain
            W, V[:, part] = W + G @ right[:, part], G.mT @ left
        return value, V if self.fixed_W is not None else torch.cat([W, V], 1), b

    def hessian(self, x: Parts) -> Callable[[Parts], Parts]:
        """Euclidean Hessian at a point as an operator.

        Args:
            x: Balanced factors.

        Returns:
            Function from a direction to its Hessian product.
        """
        Z = self._logits(x)
        G = self._gained(self.loss.grad(Z, self.y) * self.c.unsqueeze(-2))

        def product(v: Parts) -> Parts:
            dZ = self._product(x.X, v.X)
            if self.fixed_W is None:
                dZ = dZ + self._product(v.X, x.X)
            dZ = self._gained(dZ)
            dZ = dZ if v.b is None else dZ + v.b.unsqueeze(-1)
            dG = self.loss.hvp(Z, self.y, dZ) * self.c.unsqueeze(-2)
            X = self._pull_back(self._gained(dG), x.X)
            if self.fixed_W is None:
                X = X + self._pull_back(G, v.X)
            if self.s is not None:
                X = torch.addcmul(X, self.s[:, None, None], v.X)
            b = None if v.b is None else dG.sum(-1) + self.lam_b.unsqueeze(-1) * v.b
            return Parts(X, b)

        return product

    def point(self, x: Parts) -> Point:
        """Back to the caller's coordinates.

        Args:
            x: Balanced factors.

        Returns:
            W, H, b.
        """
        K = self.c.shape[-1]
        b = torch.zeros_like(self.c) if x.b is None else x.b
        W = self._left(x.X)[:, :K] * self.alpha[:, None, None]
        return Point(W, x.X[:, -K:].mT * self.beta.unsqueeze(-2), b)

    def parts(self, point: Point) -> Parts:
        """Inverse of `point`.

        Args:
            point: W, H, b on class means.

        Returns:
            Balanced factors.
        """
        X = point.H.mT / self.beta.unsqueeze(-1)
        if self.fixed_W is None:
            X = torch.cat([point.W / self.alpha[:, None, None], X], 1)
        return Parts(X, point.b if self.has_bias else None)

    def _gained(self, A: Float[Tensor, "B K K"]) -> Float[Tensor, "B K K"]:
        return A if self.gain is None else A * self.gain.unsqueeze(-2)

    def _logits(self, x: Parts) -> Float[Tensor, "B K K"]:
        Z = self._gained(self._product(x.X, x.X))
        return Z if x.b is None else Z + x.b.unsqueeze(-1)

    # The last bits of a BLAS product depend on whether its arrays start at a multiple of 16 bytes.
    # K x K matrices of a batch all do so if K is even. For odd K one more row of the left factor
    # is taken along and cut off again; without this, alone and in a batch would differ.

    def _left(self, X: Float[Tensor, "B R d"]) -> Float[Tensor, "B _ d"]:
        if self.fixed_W is not None:
            return self.fixed_W.expand(X.shape[0], -1, -1)
        K = self.c.shape[-1]
        return X[:, : K + K % 2]

    def _product(
        self, left: Float[Tensor, "B R d"], right: Float[Tensor, "B R d"]
    ) -> Float[Tensor, "B K K"]:
        """W~ of one times V~ of the other."""  # noqa: DOC201
        K = self.c.shape[-1]
        return (self._left(left) @ right[:, -K:].mT)[:, :K]

    def _pull_back(
        self, G: Float[Tensor, "B K K"], X: Float[Tensor, "B R d"]
    ) -> Float[Tensor, "B R d"]:
        """(G V~, G' W~) as rows."""  # noqa: DOC201
        K, odd = self.c.shape[-1], self.c.shape[-1] % 2
        if odd:
            G = torch.nn.functional.pad(G, (1, 0, 0, 1))
        V = (G.mT @ self._left(X))[:, odd:]
        if self.fixed_W is not None:
            return V
        right = X[:, K - odd :]
        # A matrix times a single column takes another route in a batch than alone.
        W = G @ right if X.shape[-1] > 1 else (right.mT @ G.mT).mT
        return torch.cat([W[:, :K], V], 1)
