r"""The optimum of few groups of equal classes and its certificate, in G x G numbers for any K.

Cross-entropy with average budgets. By convexity the optimal logits have one scalar :math:`a_g` a
group, multiplicity :math:`n_g - 1`, and one G x G matrix :math:`B = D^{1/2} M D^{1/2}`,
:math:`D = \operatorname{diag}(n_g)`: the K x K matrix is an orthogonal direct sum of these, and so
are its gradient, its dual matrix and its singular values. Nothing of size K x K or K x d is formed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ufm._typing import Float, Tensor
from ufm.geometry.frames import helmert
from ufm.large.low_rank import LargeCertificate, check
from ufm.losses import CrossEntropy
from ufm.methods import Newton
from ufm.objective import Objective
from ufm.problem import AverageBudget, Problem
from ufm.reduce import BlockSymmetry
from ufm.solvers import newton
from ufm.solvers._block_factors import BlockFactors
from ufm.solvers._start import best_size
from ufm.solvers.block import _chart, _start_rows


# Singular values below this share of the largest count as zero in the rank.
RANK_TOLERANCE = 1e-9
# Logarithm of the number of classes where there is none: a probability of zero, but no NaN.
NONE = -700.0


@dataclass(frozen=True, eq=False)
class Blocks:
    """A block-symmetric K x K matrix in orthonormal coordinates.

    Attributes:
        a: Value on the vectors of sum zero within each group ``(G,)``; 0 for a group of one.
        B: Matrix between the groups ``(G, G)``.
    """

    a: Float[Tensor, "G"]
    B: Float[Tensor, "G G"]

    def plus(self, other: Blocks, scale: float) -> Blocks:
        """``self + scale * other``.

        Args:
            other: Another matrix.
            scale: Its factor.

        Returns:
            The sum.
        """
        return Blocks(self.a + scale * other.a, self.B + scale * other.B)


@dataclass(frozen=True, eq=False)
class GroupOptimum:
    """An optimum over groups, with its proof.

    Attributes:
        problem: The model.
        groups: Classes of each group.
        Z: Optimal logits.
        certificate: What is proved.
        steps: Newton steps.
        rank: Rank of the logits; the model attains the bound if ``d`` is at least this.
    """

    problem: Problem
    groups: tuple[tuple[int, ...], ...]
    Z: Blocks
    certificate: LargeCertificate
    steps: int
    rank: int

    def factors(self) -> tuple[Float[Tensor, "K d"], Float[Tensor, "d K"]]:
        """W and H of dimension d.

        Returns:
            A point of the model with these logits.

        Raises:
            ValueError: If d is below the rank, or the model another one.
        """
        problem, reg = self.problem, self.problem.reg
        if not isinstance(reg, AverageBudget):
            raise ValueError(f"reg must be average budgets, got {reg!r}")
        if problem.d < self.rank:
            raise ValueError(f"d must be at least the rank {self.rank}, got {problem.d}")
        U, S, Vh = torch.linalg.svd(self.Z.B)
        W, V = torch.zeros(2, problem.K, problem.d, dtype=S.dtype)
        floor = _floor(self.Z)
        between = int(S.gt(floor).sum())
        column = between
        for g, group in enumerate(self.groups):
            rows, n = list(group), len(group)
            W[rows, :between] = (U[g, :between] * S[:between].sqrt() / n**0.5).expand(n, -1)
            V[rows, :between] = (Vh[:between, g] * S[:between].sqrt() / n**0.5).expand(n, -1)
            if n > 1 and float(self.Z.a[g]) > floor:
                inside = self.Z.a[g].sqrt() * helmert(n).to(S)
                W[rows, column : column + n - 1] = V[rows, column : column + n - 1] = inside
                column += n - 1
        scale = (reg.E_W / reg.E_H) ** 0.25
        return W * scale, V.mT / scale


def group_optimum(problem: Problem, method: Newton = Newton()) -> GroupOptimum:
    """Solve and certify one problem whose classes fall into few groups of equal size and weight.

    The symmetric optimum is found on ``G + 2 G^2`` unknowns, whatever K and d are. It is an optimum
    of the model if d is at least its rank; otherwise ``certificate.dual`` is still a lower bound.

    Args:
        problem: Cross-entropy with average budgets, no bias, a learnable classifier.
        method: Settings of the Newton method.

    Returns:
        The optimum.

    Raises:
        ValueError: If the problem is another one.

    References:
        Fang et al. (2021) [fang2021]_ for the model; the reduction is ours.
    """
    check(problem)
    with torch.no_grad():
        objective = Objective.stack([problem], problem.K)
        factors = BlockFactors.of(objective)
        chart = _chart(objective, factors)
        x = best_size(chart, chart.unit(_start_rows(factors)))
        final = newton.minimise(chart, method, x=x)
        Z = _logits(factors, final.x, problem.radius)
        model = Groups.of(problem)
        certificate = model.certify(Z)
    rank = _rank(Z, model.size)
    return GroupOptimum(problem, factors.groups, Z, certificate, int(final.steps[0]), rank)


def _logits(factors: BlockFactors, x: Float[Tensor, "1 P"], radius: float) -> Blocks:
    G = len(factors.groups)
    # Charts pad coordinates to an even number.
    rows = x[0, : (2 * G + 1) * G].reshape(2 * G + 1, G)
    A, t, C = rows[:G], rows[G], rows[G + 1 :]
    a = torch.where(factors.size > 1, t.square() / (2 * (factors.size - 1)).clamp(min=1), 0.0)
    Z = Blocks(a, A @ C.mT)
    over = _nuclear(Z, factors.size) / radius
    return Blocks(Z.a / max(over, 1.0), Z.B / max(over, 1.0))


def _nuclear(Z: Blocks, size: Float[Tensor, "G"]) -> float:
    inside = ((size - 1) * Z.a.abs()).sum()
    return float(inside + torch.linalg.svdvals(Z.B).sum())


def _rank(Z: Blocks, size: Float[Tensor, "G"]) -> int:
    floor = _floor(Z)
    return int(torch.linalg.svdvals(Z.B).gt(floor).sum() + ((size - 1) * Z.a.gt(floor)).sum())


def _floor(Z: Blocks) -> float:
    return RANK_TOLERANCE * float(torch.linalg.svdvals(Z.B)[0].maximum(Z.a.abs().amax()))


@dataclass(frozen=True, eq=False)
class Groups:
    """A model on its groups.

    Attributes:
        size: Classes of each group ``(G,)``.
        share: Share of one class of each group in the risk ``(G,)``.
        radius: Nuclear-norm radius.
    """

    size: Float[Tensor, "G"]
    share: Float[Tensor, "G"]
    radius: float

    @classmethod
    def of(cls, problem: Problem) -> Groups:
        """Group the classes of a problem.

        Args:
            problem: Cross-entropy with average budgets.

        Returns:
            Its groups.
        """
        groups = BlockSymmetry.groups(problem)
        size = torch.tensor([len(group) for group in groups], dtype=torch.float64)
        share = torch.tensor([problem.pi[group[0]] for group in groups], dtype=torch.float64)
        return cls(size, share, problem.radius)

    @property
    def K(self) -> float:
        """Number of classes."""
        return float(self.size.sum())

    def certify(self, Z: Blocks) -> LargeCertificate:
        """Bound the optimum from block-symmetric logits alone.

        The same steps as `certificates` take with K x K matrices: cap the singular values of
        ``rho Z - G`` at mu, centre the columns, move them into the simplex, take the norm.

        Args:
            Z: Logits, within the radius.

        Returns:
            The certificate.
        """
        G, loss = self.gradient(Z)
        mu = max(-self.inner(G, Z) / self.radius, 1e-300)
        N = G.plus(Z, -self.K * mu / self.radius)
        U, S, Vh = torch.linalg.svd(N.B)
        q = (self.size / self.K).sqrt()
        capped = (U * S.clamp(max=mu)) @ Vh
        Y = Blocks(N.a.clamp(-mu, mu), capped - q.unsqueeze(-1) * (q @ capped))
        change = self._into_domain(self._columns(Y) / self.share)
        Y = self._blocks(change * self.share)
        norm = float(torch.linalg.svdvals(Y.B)[0].maximum(Y.a.abs().amax()))
        number, weight = self._number, self.size * self.share
        defect = CrossEntropy().fenchel_defect(change * number, self._shifted(Z), self._label)
        own = torch.zeros_like(change)
        own[0] = 1.0
        Q = (change + own).clamp(min=0)
        entropy = float(weight @ (number * Q.xlogy(Q)).sum(0))
        gap = float(weight @ defect) + self.inner(Y, Z) + self.radius * norm
        size = (self.inner(Y, Y) ** 0.5) * self.radius
        return LargeCertificate(
            primal=float(weight @ loss), dual=-entropy - self.radius * norm, gap=gap,
            margin=(4 * len(self.size) + 8) * torch.finfo(torch.float64).eps * size,
            norm=norm, infeasibility=max(0.0, _nuclear(Z, self.size) / self.radius - 1),
        )  # fmt: skip

    def gradient(self, Z: Blocks) -> tuple[Blocks, Float[Tensor, "G"]]:
        """Gradient of the risk in the logits, and the loss of one class of each group.

        Args:
            Z: Logits.

        Returns:
            Both.
        """
        loss, change = CrossEntropy().value_and_grad(self._shifted(Z), self._label)
        number = self._number.clamp(min=1)
        return self._blocks(change / number * self.share), loss

    def inner(self, X: Blocks, Y: Blocks) -> float:
        """Frobenius inner product of the K x K matrices.

        Args:
            X: One.
            Y: Other.

        Returns:
            ``<X, Y>``.
        """
        return float(((self.size - 1) * X.a * Y.a).sum() + (X.B * Y.B).sum())

    # The column of a class of group h has G + 1 different entries: its own, and one for the other
    # classes of each group. Rows of the tables below are these entries, columns the groups.

    @property
    def _label(self) -> Tensor:
        return torch.zeros(len(self.size), dtype=torch.int64)

    @property
    def _number(self) -> Float[Tensor, "_ G"]:
        others = self.size.expand(len(self.size), -1).mT - torch.eye(len(self.size)).to(self.size)
        return torch.cat([torch.ones_like(others[:1]), others])

    @property
    def _root(self) -> Float[Tensor, "G G"]:
        return (self.size.unsqueeze(-1) * self.size).sqrt()

    def _columns(self, X: Blocks) -> Float[Tensor, "_ G"]:
        M = X.B / self._root
        own = X.a * (1 - 1 / self.size) + M.diagonal()
        return torch.cat([own.unsqueeze(0), M - torch.diag(X.a / self.size)])

    def _blocks(self, columns: Float[Tensor, "_ G"]) -> Blocks:
        own, others = columns[0], columns[1:]
        # In a group of one there is no other class, so the mean entry is the class's own.
        inside = torch.where(self.size > 1, others.diagonal(), own)
        a = own - inside
        M = others - torch.diag(others.diagonal()) + torch.diag(inside + a / self.size)
        return Blocks(a, M * self._root)

    def _shifted(self, Z: Blocks) -> Float[Tensor, "_ G"]:
        number = self._number
        return self._columns(Z) + torch.where(number > 0, number.clamp(min=1).log(), NONE)

    def _into_domain(self, change: Float[Tensor, "_ G"]) -> Float[Tensor, "_ G"]:
        # As `certificates._dual.into_domain`: towards the answer pi by what each column needs.
        own = torch.zeros_like(change)
        own[0] = 1.0
        there = self._number > 0
        answer = torch.cat([self.share.unsqueeze(0), self.share.expand(len(self.size), -1).mT])
        lack = torch.where(there, (change + own).neg().clamp(min=0), 0.0)
        share = (lack / (lack + answer)).amax(0)
        mixed = torch.where(share > 0, torch.lerp(change, answer - own, share), change)
        return torch.where(there, mixed + (mixed + own).neg().clamp(min=0), 0.0)
