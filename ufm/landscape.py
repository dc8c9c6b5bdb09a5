r"""The landscape at a point: Hessian, symmetry orbit, null space, lowest eigenpair, escape.

Everything is in the metric of `ufm.manifold` (Euclidean in W, b and the features of samples) and
on the tangent space of the budgets at equality. Knows no solver and no certificate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh

from ufm._typing import Float, Tensor
from ufm.manifold import flatten, gradient, hvp, project, retract, unflatten
from ufm.objective import Objective, Point
from ufm.problem import FreeBias, NoReg
from ufm.solution import Solution
from ufm.status import Status


# Up to this many coordinates eigenvalues come from the dense matrix: exact and faster there.
DENSE = 1200
# Directions count as dependent, and eigenvalues as zero, below this share of the largest.
RANK_TOL, NULL_TOL = 1e-9, 1e-8
LANCZOS_TOL: Any = 1e-10  # SciPy's annotation says int


@dataclass(frozen=True, eq=False)
class Eigenpair:
    """An eigenpair of the Riemannian Hessian.

    Attributes:
        value: Eigenvalue.
        direction: Unit tangent direction in the metric; (W, H, b) as in the point.
        residual: ``|Hess v - value v|``.
    """

    value: float
    direction: Point
    residual: float


@dataclass(frozen=True, eq=False)
class Hessian:
    """Matrix-free Riemannian Hessian at one point, in flat coordinates.

    Coordinates are those of `ufm.manifold.flatten`, P of them. Normal directions of the budgets, a
    fixed W and an absent bias are mapped to zero: `tangent_dimension` counts the others.

    Attributes:
        objective: The problem, a batch of one.
        x: The point, a batch of one.
    """

    objective: Objective
    x: Point

    @classmethod
    def at(cls, sol: Solution) -> Hessian:
        """The Hessian at a solution.

        Args:
            sol: A single instance, on class means or samples.

        Returns:
            The operator.

        Raises:
            ValueError: If ``sol`` is a batch, or a constrained vector is zero.
        """
        if sol.batch_shape:
            raise ValueError(f"sol must be a single instance, got a batch of {len(sol)}")
        objective, x = sol.objective(), Point(*(part.unsqueeze(0) for part in sol.point))
        if objective.template.is_budgeted:
            x = retract(objective, x)
            if not all(bool(part.isfinite().all()) for part in x):
                raise ValueError("sol must have no zero vector where a norm is budgeted")
        return cls(objective, x)

    @property
    def size(self) -> int:
        """Number P of flat coordinates."""
        return flatten(self.objective, self.x).shape[-1]

    def __matmul__(self, V: Float[Tensor, "P m"]) -> Float[Tensor, "P m"]:
        """Products with the columns of ``V``, all at once.

        Args:
            V: Flat directions as columns; their parts off the tangent space are dropped.

        Returns:
            Tangent columns.
        """
        v = self.tangent(unflatten(self.objective, V.mT))
        return flatten(self.objective, hvp(self.objective, self.x, v)).mT

    def tangent(self, v: Point) -> Point:
        """Projection of a direction onto what can vary.

        Args:
            v: Directions, any batch.

        Returns:
            Tangent directions with zeros in an absent bias.
        """
        v = project(self.objective, self.x, v)
        return v if self.objective.template.has_bias else v._replace(b=torch.zeros_like(v.b))

    def dense(self) -> Float[Tensor, "P P"]:
        """The matrix, symmetrised.

        Returns:
            P x P matrix with zero rows and columns off the tangent space.
        """
        A = self @ torch.eye(self.size, dtype=self.x.W.dtype, device=self.x.W.device)
        return (A + A.mT) / 2

    @property
    def tangent_dimension(self) -> int:
        """Dimension of the tangent space: coordinates less budgets, a fixed W, an absent bias."""
        problem, dimension = self.objective.template, self.size
        if not problem.has_bias:
            dimension -= problem.K
        if not problem.is_learnable:
            dimension -= problem.K * problem.d
        if problem.is_budgeted:
            W, H = self.objective.used(self.x)
            dimension -= H.shape[-1] + (W.shape[-1] if problem.is_learnable else 0)
        return dimension


def eigenvalues(hessian: Hessian) -> Float[Tensor, "T"]:
    """All eigenvalues on the tangent space, ascending; dense, for small problems.

    Args:
        hessian: The operator.

    Returns:
        `Hessian.tangent_dimension` eigenvalues.
    """
    basis = _allowed(hessian, hessian.x.W.new_empty(hessian.size, 0))
    return torch.linalg.eigvalsh(basis.mT @ hessian.dense() @ basis)


def nullity(hessian: Hessian) -> int:
    """Counted dimension of the null space on the tangent space.

    Args:
        hessian: The operator.

    Returns:
        Number of eigenvalues below 1e-8 of the largest in absolute value.
    """
    values = eigenvalues(hessian).abs()
    return int((values <= NULL_TOL * values.max()).sum())


def orbit(hessian: Hessian) -> Float[Tensor, "P o"]:
    r"""Orthonormal basis of the directions along which symmetry keeps the objective constant.

    Rotations :math:`(W A, -A H)` with skew ``A`` (of those that fix a fixed W); every square ``A``
    without a regulariser; and for a shift-invariant loss the constant shifts of a free bias. At a
    critical point all of these are in the null space of the Hessian.

    Args:
        hessian: The operator, for its point.

    Returns:
        Columns; for a learnable W and a regulariser :math:`d(d-1)/2 - (d-r)(d-r-1)/2` of them, with
        ``r`` the rank of (W; H'), plus one for a free shift.
    """
    x, problem = hessian.x, hessian.objective.template
    d = problem.d
    eye = torch.eye(d, dtype=x.W.dtype, device=x.W.device)
    i, j = torch.triu_indices(d, d, 1, device=x.W.device)
    A = torch.einsum("pi,pj->pij", eye[i], eye[j])
    A = A - A.mT
    if not problem.is_learnable:
        free = eye - torch.linalg.pinv(x.W[0]) @ x.W[0]
        A = free @ A @ free
    elif isinstance(problem.reg, NoReg):
        A = torch.eye(d * d, dtype=x.W.dtype, device=x.W.device).reshape(-1, d, d)
    W = x.W @ A if problem.is_learnable else torch.zeros_like(x.W).expand(len(A), -1, -1)
    b = x.b.new_zeros(len(A), problem.K)
    moves = flatten(hessian.objective, Point(W, -A @ x.H, b)).mT
    if isinstance(problem.bias, FreeBias) and problem.loss.shift_invariant:
        shift = Point(torch.zeros_like(x.W), torch.zeros_like(x.H), torch.ones_like(x.b))
        moves = torch.cat([moves, flatten(hessian.objective, shift).mT], -1)
    # Relative to the point and not to the largest move: rounding must not count as a move.
    U, s, _ = torch.linalg.svd(moves, full_matrices=False)
    return U[:, s > RANK_TOL * flatten(hessian.objective, x).norm()]


def _allowed(hessian: Hessian, moves: Float[Tensor, "P o"]) -> Float[Tensor, "P a"]:
    # Basis of the tangent space off the orthonormal tangent directions `moves`, dense.
    eye = torch.eye(hessian.size, dtype=moves.dtype, device=moves.device)
    tangent = flatten(hessian.objective, hessian.tangent(unflatten(hessian.objective, eye)))
    count = hessian.tangent_dimension - moves.shape[-1]
    _, vectors = torch.linalg.eigh(tangent - moves @ moves.mT)
    return vectors[:, hessian.size - count :]


def lowest(hessian: Hessian) -> Eigenpair:
    """Lowest eigenpair on the tangent space, off the symmetry orbit.

    Dense up to 1200 coordinates; Lanczos iteration beyond, from a fixed start.

    Args:
        hessian: The operator.

    Returns:
        The pair; its residual says how well it is converged.

    Raises:
        ValueError: If nothing is left off the orbit.
    """
    moves = orbit(hessian)
    if hessian.tangent_dimension == moves.shape[-1]:
        raise ValueError("sol must have a direction off its symmetry orbit, got none")
    v = (_lowest_dense if hessian.size <= DENSE else _lowest_lanczos)(hessian, moves)
    image = hessian @ v
    image = image - moves @ (moves.mT @ image)
    return _eigenpair(hessian, v, image)


def _eigenpair(hessian: Hessian, v: Float[Tensor, "P 1"], image: Float[Tensor, "P 1"]) -> Eigenpair:
    value = float((v * image).sum() / v.square().sum())
    direction = unflatten(hessian.objective, v.mT / v.norm())
    residual = float((image - value * v).norm() / v.norm())
    return Eigenpair(value, Point(*(part[0] for part in direction)), residual)


def _lowest_dense(hessian: Hessian, moves: Float[Tensor, "P o"]) -> Float[Tensor, "P 1"]:
    basis = _allowed(hessian, moves)
    _, vectors = torch.linalg.eigh(basis.mT @ hessian.dense() @ basis)
    return basis @ vectors[:, :1]


def _lowest_lanczos(hessian: Hessian, moves: Float[Tensor, "P o"]) -> Float[Tensor, "P 1"]:
    def inside(v: Tensor) -> Tensor:
        v = flatten(hessian.objective, hessian.tangent(unflatten(hessian.objective, v.mT))).mT
        return v - moves @ (moves.mT @ v)

    def product(v: np.ndarray) -> np.ndarray:
        # What is excluded is lifted above the lower end of the spectrum, where it would be 0.
        t = torch.from_numpy(v.reshape(-1, 1)).to(moves)
        kept = inside(t)
        return (inside(hessian @ kept) + lift * (t - kept)).squeeze(-1).cpu().numpy()

    size = hessian.size
    start = torch.randn(size, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    lift = float((hessian @ inside(start.to(moves))).norm() / start.norm())
    operator = LinearOperator((size, size), matvec=product, dtype=np.float64)  # pyright: ignore[reportCallIssue]
    v0 = start.numpy().ravel()
    _, vectors = eigsh(operator, k=1, which="SA", v0=v0, ncv=40, tol=LANCZOS_TOL)
    return inside(torch.from_numpy(vectors).to(moves))


def strict_saddle(hessian: Hessian) -> Eigenpair:
    r"""Lowest eigenpair among moves :math:`(a v^\top, v c^\top)` in an unused direction ``v``.

    With :math:`W v = 0` and :math:`H^\top v = 0` these moves are invariant under the Hessian,
    which is :math:`\begin{pmatrix} D_W & G \\ G^\top & D_H\end{pmatrix}` on ``(a, c)``: ridges or
    minus multipliers on the diagonal, the risk gradient off it. For a ridge per sample its lowest
    eigenvalue is :math:`\frac{l_W+l_H}2 - \sqrt{(\frac{l_W-l_H}2)^2 + \|G\|_{op}^2}`, negative
    iff :math:`\|G\|_{op} > \sqrt{l_W l_H}`: a critical point with an unused direction is a global
    minimum or a strict saddle.

    Args:
        hessian: The operator.

    Returns:
        The pair, also an eigenpair of the whole Hessian.

    Raises:
        ValueError: If W is fixed, or no direction is unused: rank (W; H') = d.

    References:
        Zhu et al. (2021) [zhu2021]_, for d > K.
    """
    objective, x = hessian.objective, hessian.x
    if not objective.template.is_learnable:
        raise ValueError(f"classifier must be learnable, got {objective.template.classifier}")
    v = unused_direction(hessian)
    if v is None:
        raise ValueError(f"(W; H') must have rank below d={objective.d}, got rank {objective.d}")
    K, M = objective.K, objective.M
    e = torch.eye(K + M, dtype=v.dtype, device=v.device)
    W, H = e[:, :K, None] * v, v[:, None] * e[:, None, K:] / objective.m.sqrt()
    moves = flatten(objective, Point(W, H, x.b.new_zeros(K + M, K))).mT
    images = hessian @ moves
    _, vectors = torch.linalg.eigh(moves.mT @ images)
    return _eigenpair(hessian, moves @ vectors[:, :1], images @ vectors[:, :1])


def unused_direction(hessian: Hessian) -> Float[Tensor, "d"] | None:
    """A unit ``v`` with ``W v = 0`` and ``H' v = 0``, or None if (W; H') has rank d.

    Args:
        hessian: The operator, for its point.

    Returns:
        The right singular vector of the smallest singular value, if that is below 1e-9 of the
        largest.
    """
    joint = torch.cat([hessian.x.W[0], hessian.x.H[0].mT])
    _, s, Vh = torch.linalg.svd(joint)
    rank = int((s > RANK_TOL * s.amax()).sum())
    return Vh[-1] if rank < joint.shape[-1] else None


def escape(sol: Solution) -> Solution:
    """A lower point along a direction of negative curvature.

    Takes `strict_saddle` where a direction is unused and `lowest` otherwise, and the best of
    both signs and a geometric range of lengths.

    Args:
        sol: A single instance at (or near) a saddle.

    Returns:
        The lower point with status GIVEN; ``sol`` itself with status STALLED if no curvature is
        negative or no length decreases the objective.
    """
    hessian = Hessian.at(sol)
    objective, x = hessian.objective, hessian.x
    unused = objective.template.is_learnable and unused_direction(hessian) is not None
    pair = strict_saddle(hessian) if unused else lowest(hessian)
    if pair.value >= 0:
        return replace(sol, code=torch.full_like(sol.code, Status.STALLED.code))
    reach = flatten(objective, x).norm().clamp(min=1.0)
    length = reach * torch.logspace(1, -40, 42, base=2.0, dtype=x.W.dtype, device=x.W.device)
    length = torch.cat([length, -length])
    moved = flatten(objective, x) + length[:, None] * flatten(
        objective, Point(*(part.unsqueeze(0) for part in pair.direction))
    )
    candidates = retract(objective, unflatten(objective, moved))
    values = objective.value(candidates)
    best = int(values.argmin())
    if not bool(values[best] < sol.value):
        return replace(sol, code=torch.full_like(sol.code, Status.STALLED.code))
    point = Point(*(part[best : best + 1] for part in candidates))
    return replace(
        sol,
        point=Point(*(part[0] for part in point)),
        value=values[best],
        code=torch.full_like(sol.code, Status.GIVEN.code),
        steps=torch.zeros_like(sol.steps),
        grad_norm=flatten(objective, gradient(objective, point)).norm(),
        dual=None,
        trace=None,
    )
