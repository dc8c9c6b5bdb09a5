"""The objective of block-symmetric logits, in factors that know only groups of classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from ufm._typing import Float, Int, Tensor
from ufm.geometry.frames import helmert
from ufm.losses import CrossEntropy
from ufm.objective import Objective, Point
from ufm.reduce import BlockSymmetry
from ufm.solvers._factors import Factors, Parts


@dataclass(frozen=True, eq=False)
class BlockFactors:
    r"""Balanced factors of block-symmetric logits under cross-entropy.

    With G groups of ``n_g`` equal classes, :math:`\tilde W\tilde V^\top` has the blocks
    :math:`a_g (I - 11^\top/n_g) + M_{gg}11^\top` and :math:`M_{gh}11^\top`, and

    .. math:: a_g = \frac{t_g^2}{2(n_g - 1)},\quad
        M = N^{-1/2} A C^\top N^{-1/2},\quad
        \|\tilde W\|_F^2 + \|\tilde V\|_F^2 = \|t\|^2 + \|A\|_F^2 + \|C\|_F^2 :

    the rows (A; t; C) take the place of (W; V), and their number does not depend on K. The K
    logits of a column are G + 1 different ones (own, and one per group); one that stands for many
    has the logarithm of their number added.

    Attributes:
        groups: Classes of each group.
        whole: The same objective on K classes, for the way back.
        c: Share of each group in the risk (B, G).
        gain: Scale of the logits of each group (B, G), or None where it is one.
        s: Common ridge (B,), or None.
        size: Classes of each group (G,).
        d: Feature dimension, at least K - 1.
    """

    groups: tuple[tuple[int, ...], ...]
    whole: Factors
    c: Float[Tensor, "B G"]
    gain: Float[Tensor, "B G"] | None
    s: Float[Tensor, "B"] | None
    size: Float[Tensor, "G"]
    d: int

    @property
    def has_bias(self) -> bool:
        """False: models with a bias are not reduced here."""
        return False

    @property
    def rotates(self) -> bool:
        """False: the row t is no vector."""
        return False

    @classmethod
    def of(cls, objective: Objective) -> BlockFactors:
        """Reduce a batch of problems with the same groups.

        Args:
            objective: Problems on class means.

        Returns:
            Their objective on the groups.
        """
        groups, whole = BlockSymmetry.groups(objective.template), Factors.of(objective)
        first = [group[0] for group in groups]
        size = torch.tensor([len(group) for group in groups]).to(whole.c)
        gain = None if whole.gain is None else whole.gain[:, first]
        return cls(groups, whole, whole.c[:, first] * size, gain, whole.s, size, objective.d)

    def select(self, index: Int[Tensor, "S"]) -> BlockFactors:
        """The sub-batch at ``index``.

        Args:
            index: Positions in the batch.

        Returns:
            Fewer instances.
        """
        return replace(
            self,
            whole=self.whole.select(index),
            c=self.c[index],
            gain=None if self.gain is None else self.gain[index],
            s=None if self.s is None else self.s[index],
        )

    def value_and_grad(self, x: Parts) -> tuple[Float[Tensor, "B"], Parts]:
        """Objective and Euclidean gradient.

        Args:
            x: Rows (A; t; C).

        Returns:
            Values and gradient.
        """
        loss, D = CrossEntropy().value_and_grad(self._logits(x.X), self._label)
        value = (self.c * loss).sum(-1)
        X = self._pull_back(*self._adjoint(D * self.c.unsqueeze(-2)), x.X)
        if self.s is not None:
            value = value + self.s / 2 * x.X.square().sum((-2, -1))
            X = torch.addcmul(X, self.s[:, None, None], x.X)
        return value, Parts(X, None)

    def hessian(self, x: Parts) -> Callable[[Parts], Parts]:
        """Euclidean Hessian at a point as an operator.

        Args:
            x: Rows (A; t; C).

        Returns:
            Function from a direction to its Hessian product.
        """
        Z, c = self._logits(x.X), self.c.unsqueeze(-2)
        a, M = self._adjoint(CrossEntropy().grad(Z, self._label) * c)

        def product(v: Parts) -> Parts:
            (A, t, C), (dA, dt, dC) = self._rows(x.X), self._rows(v.X)
            change = self._spread(t * dt * self._inverse, (dA @ C.mT + A @ dC.mT) / self._root)
            dD = CrossEntropy().hvp(Z, self._label, change) * c
            X = self._pull_back(*self._adjoint(dD), x.X) + self._pull_back(a, M, v.X)
            if self.s is not None:
                X = torch.addcmul(X, self.s[:, None, None], v.X)
            return Parts(X, None)

        return product

    def point(self, x: Parts) -> Point:
        """The caller's W, H, b on all classes.

        Args:
            x: Rows (A; t; C).

        Returns:
            A point whose logits have the blocks.
        """
        A, t, C = self._rows(x.X)
        U, S, Vh = torch.linalg.svd(A @ C.mT)
        between = torch.cat([U * S.sqrt().unsqueeze(-2), Vh.mT * S.sqrt().unsqueeze(-2)], 1)
        (B, K), G = self.whole.c.shape, len(self.groups)
        W, V = torch.zeros(2, B, K, K, dtype=S.dtype, device=S.device)
        column = G
        for g, group in enumerate(self.groups):
            rows, n = torch.tensor(group, device=S.device), len(group)
            W[:, rows, :G] = (between[:, g] / n**0.5).unsqueeze(1)
            V[:, rows, :G] = (between[:, G + g] / n**0.5).unsqueeze(1)
            if n > 1:
                root = t[:, g].abs() / (2 * (n - 1)) ** 0.5
                inside = root[:, None, None] * helmert(n).to(S)
                W[:, rows, column : column + n - 1] = inside
                V[:, rows, column : column + n - 1] = inside
            column += n - 1
        # The last of the G between-group axes is empty: their largest come first, the sum of a
        # column is zero at the optimum. It goes last, where d = K - 1 cuts it off.
        order = [*range(G - 1), *range(G, K), G - 1]
        X = torch.cat([W, V], 1)[..., order][..., : self.d]
        X = torch.nn.functional.pad(X, (0, self.d - X.shape[-1]))
        return self.whole.point(Parts(X, None))

    def parts(self, point: Point) -> Parts:
        """Rows (A; t; C) of the block average of a point.

        Args:
            point: W, H, b on class means.

        Returns:
            The rows.
        """
        Z = self.whole.parts(point).X
        K, G = self.whole.c.shape[-1], len(self.groups)
        Z = Z[:, :K] @ Z[:, K:].mT
        member = torch.zeros(K, G, dtype=Z.dtype, device=Z.device)
        for g, group in enumerate(self.groups):
            member[list(group), g] = 1.0
        M = member.mT @ Z @ member / self._root
        own = Z.diagonal(dim1=-2, dim2=-1) @ member
        t = (2 * (own - M.diagonal(dim1=-2, dim2=-1))).clamp(min=0).sqrt()
        U, S, Vh = torch.linalg.svd(M)
        root = S.sqrt().unsqueeze(-2)
        return Parts(torch.cat([U * root, t.unsqueeze(1), Vh.mT * root], 1), None)

    @property
    def _label(self) -> Int[Tensor, "G"]:
        return torch.zeros(len(self.groups), dtype=torch.int64, device=self.size.device)

    @property
    def _root(self) -> Float[Tensor, "G G"]:
        return (self.size.unsqueeze(-1) * self.size).sqrt()

    @property
    def _inverse(self) -> Float[Tensor, "G"]:
        # 1/(n_g - 1), and 0 for a single class, which has no a_g.
        return torch.where(self.size > 1, 1 / (self.size - 1).clamp(min=1), 0.0)

    def _rows(self, X: Float[Tensor, "B R G"]) -> tuple[Tensor, Tensor, Tensor]:
        G = len(self.groups)
        return X[:, :G], X[:, G], X[:, G + 1 :]

    def _logits(self, X: Float[Tensor, "B R G"]) -> Float[Tensor, "B _ G"]:
        A, t, C = self._rows(X)
        other = self.size.expand(len(self.groups), -1).mT - torch.diag(torch.ones_like(self.size))
        number = torch.cat([torch.ones_like(other[:1]), other])
        return self._spread(t.square() * self._inverse / 2, A @ C.mT / self._root) + number.log()

    def _spread(self, a: Float[Tensor, "B G"], M: Float[Tensor, "B G G"]) -> Float[Tensor, "B _ G"]:
        if self.gain is not None:
            a, M = a * self.gain, M * self.gain.unsqueeze(-2)
        own = a * (1 - 1 / self.size) + M.diagonal(dim1=-2, dim2=-1)
        return torch.cat([own.unsqueeze(-2), M - torch.diag_embed(a / self.size)], -2)

    def _adjoint(self, D: Float[Tensor, "B _ G"]) -> tuple[Tensor, Tensor]:
        if self.gain is not None:
            D = D * self.gain.unsqueeze(-2)
        own, others = D[:, 0], D[:, 1:]
        a = own * (1 - 1 / self.size) - others.diagonal(dim1=-2, dim2=-1) / self.size
        return a, others + torch.diag_embed(own)

    def _pull_back(
        self, a: Float[Tensor, "B G"], M: Float[Tensor, "B G G"], X: Float[Tensor, "B R G"]
    ) -> Float[Tensor, "B R G"]:
        A, t, C = self._rows(X)
        M = M / self._root
        return torch.cat([M @ C, (a * t * self._inverse).unsqueeze(1), M.mT @ A], 1)
