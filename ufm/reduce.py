r"""Reductions: a smaller problem with the same optimum, and the way back. Knows no solver.

Each says for which problems it is exact. A reduction is for an *optimum*; a dynamics on the smaller
problem is another dynamics, and nothing here is applied to one silently. The function
`ufm.solvers.block_optimum` solves in the scalars of `BlockSymmetry`: a fraction of a second at
K = 1000 if the groups are few.

==================  ==================================  =========================================
``ClassMeans``      N feature columns, K class means    Jensen: any loss convex in the logits
``NuclearForm``     (W, H), logits Z                    the two norms of (W, H) become a nuclear
                                                        norm of Z; convex if d does not bind
``BlockSymmetry``   Z, a few scalars                    classes of equal share are exchangeable
==================  ==================================  =========================================
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar, final

import torch

from ufm._typing import Float, Tensor
from ufm.objective import Point
from ufm.problem import RIDGES, AverageBudget, Problem, Sphere, VectorBudget, WeightDecay


Large = TypeVar("Large")
Small = TypeVar("Small")


class Reduction(abc.ABC, Generic[Large, Small]):
    """A map to a smaller description and a right inverse of it."""

    @abc.abstractmethod
    def exact_for(self, problem: Problem) -> bool:
        """Whether some optimum of the problem is in the image of `invert`.

        Args:
            problem: The model.

        Returns:
            True if an optimum of the small problem gives one of the large problem.
        """

    @abc.abstractmethod
    def apply(self, problem: Problem, large: Large) -> Small:
        """Reduce a point; a projection, so information may be lost.

        Args:
            problem: The model.
            large: Point in the large description.

        Returns:
            Point in the small description, whose objective is not larger where `exact_for`.
        """

    @abc.abstractmethod
    def invert(self, problem: Problem, small: Small) -> Large:
        """Expand a point; ``apply(invert(small)) == small``.

        Args:
            problem: The model.
            small: Point in the small description.

        Returns:
            Point in the large description.
        """


@final
@dataclass(frozen=True)
class ClassMeans(Reduction[Point, Point]):
    """All samples of a class share their mean: N columns become K.

    By Jensen the objective does not increase for a loss that is convex in the logits (all here)
    and a convex feature set; on spheres the mean of features is no feature.
    """

    def exact_for(self, problem: Problem) -> bool:
        return not isinstance(problem.reg, Sphere)

    def apply(self, problem: Problem, large: Point) -> Point:
        M = large.H.shape[-1]
        y = torch.tensor(problem.labels(M), device=large.H.device)
        member = torch.nn.functional.one_hot(y, problem.K).to(large.H)
        return Point(large.W, large.H @ (member / member.sum(0)), large.b)

    def invert(self, problem: Problem, small: Point) -> Point:
        y = torch.tensor(problem.labels(problem.N), device=small.H.device)
        return Point(small.W, small.H[..., y], small.b)


class Logits(NamedTuple):
    """Class-mean logits without bias, and the bias.

    Attributes:
        Z: ``(*b, K, K)``, column k of class k.
        b: ``(*b, K)``.
    """

    Z: Float[Tensor, "*b K K"]
    b: Float[Tensor, "*b K"]


@final
@dataclass(frozen=True)
class NuclearForm(Reduction[Point, Logits]):
    r"""Factors on class means to logits, :math:`Z = W \bar H`.

    Both norms of (W, H) enter only through :math:`\|Z D^{1/2}\|_*`: it is at most
    :math:`K\sqrt{E_W E_H}` for average budgets (D = I), and a ridge costs
    :math:`\sqrt{\lambda_W\lambda_H}\,\|Z D^{1/2}\|_*` with D = diag(n) per sample, I per class
    mean. The way back is :math:`Z D^{1/2} = U S V^\top`, :math:`W = t\,U S^{1/2}`,
    :math:`\bar H = t^{-1} S^{1/2} V^\top D^{-1/2}` with :math:`t^4 = E_W/E_H` or
    :math:`\lambda_H/\lambda_W`; of more than d singular values the largest d are kept.
    """

    def exact_for(self, problem: Problem) -> bool:
        rank = problem.K - 1 if problem.loss.shift_invariant else problem.K
        penalised = isinstance(problem.reg, RIDGES) and problem.reg.lam_W * problem.reg.lam_H > 0
        convex = isinstance(problem.reg, AverageBudget) or penalised
        return convex and problem.is_learnable and problem.d >= rank

    def apply(self, problem: Problem, large: Point) -> Logits:
        return Logits(large.W @ large.H, large.b)

    def invert(self, problem: Problem, small: Logits) -> Point:
        weight = _column_weight(problem).to(small.Z).sqrt()
        U, S, Vh = torch.linalg.svd(small.Z * weight, full_matrices=False)
        d, t = problem.d, _balance(problem)
        root = S.sqrt()[..., :d]
        W = t * U[..., :, :d] * root.unsqueeze(-2)
        H = Vh[..., :d, :] * root.unsqueeze(-1) / (t * weight)
        pad = torch.nn.functional.pad
        missing = d - root.shape[-1]
        return Point(pad(W, (0, missing)), pad(H, (0, 0, 0, missing)), small.b)


class Blocks(NamedTuple):
    r"""Logits that are constant on groups of exchangeable classes.

    The block of group g with itself is :math:`a_g (I - 11^\top/n_g) + M_{gg} 11^\top`, the block
    of rows g and columns h is :math:`M_{gh} 11^\top`.

    Attributes:
        a: ``(*b, G)``; zero for a group of one class.
        M: ``(*b, G, G)``.
        b: Bias of each group ``(*b, G)``.
    """

    a: Float[Tensor, "*b G"]
    M: Float[Tensor, "*b G G"]
    b: Float[Tensor, "*b G"]


@final
@dataclass(frozen=True)
class BlockSymmetry(Reduction[Logits, Blocks]):
    """Average over the permutations of classes that have equal size and weight.

    Exact wherever the problem is convex in the logits and the loss treats all classes alike: the
    average over the group is no worse.
    """

    def exact_for(self, problem: Problem) -> bool:
        if not problem.loss.class_symmetric:
            return False
        return NuclearForm().exact_for(problem) or (
            isinstance(problem.reg, VectorBudget) and problem.is_learnable
            and problem.d >= 2 * problem.K
        )  # fmt: skip

    @staticmethod
    def groups(problem: Problem) -> tuple[tuple[int, ...], ...]:
        """Groups of exchangeable classes, in order of their first class.

        Args:
            problem: The model.

        Returns:
            Class numbers of each group.
        """
        weights = problem.weights or (1.0,) * problem.K
        members: dict[tuple[int, float], list[int]] = {}
        for k, key in enumerate(zip(problem.n, weights, strict=True)):
            members.setdefault(key, []).append(k)
        return tuple(tuple(group) for group in members.values())

    def apply(self, problem: Problem, large: Logits) -> Blocks:
        member, size = self._membership(problem, large.Z)
        total = member.mT @ large.Z @ member
        M = total / (size.unsqueeze(-1) * size)
        own = large.Z.diagonal(dim1=-2, dim2=-1) @ member / size
        inside = M.diagonal(dim1=-2, dim2=-1)
        # own - other with n inside = own + (n - 1) other.
        a = torch.where(size > 1, (own - inside) * size / (size - 1).clamp(min=1), 0.0)
        return Blocks(a, M, large.b @ member / size)

    def invert(self, problem: Problem, small: Blocks) -> Logits:
        member, size = self._membership(problem, small.a)
        spread = torch.diag_embed(small.a @ member.mT)
        Z = spread + member @ (small.M - torch.diag_embed(small.a / size)) @ member.mT
        return Logits(Z, small.b @ member.mT)

    def _membership(
        self, problem: Problem, like: Tensor
    ) -> tuple[Float[Tensor, "K G"], Float[Tensor, "G"]]:
        groups = self.groups(problem)
        member = like.new_zeros(problem.K, len(groups))
        for g, group in enumerate(groups):
            member[list(group), g] = 1.0
        return member, member.sum(0)


def _column_weight(problem: Problem) -> Float[Tensor, "K"]:
    sizes = problem.n if isinstance(problem.reg, WeightDecay) else (1,) * problem.K
    return torch.tensor(sizes, dtype=torch.float64)


def _balance(problem: Problem) -> float:
    match problem.reg:
        case AverageBudget(E_W=E_W, E_H=E_H):
            return (E_W / E_H) ** 0.25
        case reg if isinstance(reg, RIDGES) and reg.lam_W * reg.lam_H > 0:
            return (reg.lam_H / reg.lam_W) ** 0.25
        case reg:
            raise ValueError(f"reg must be average budgets or ridges on both factors, got {reg!r}")
