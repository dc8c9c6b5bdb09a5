"""Factors (W, H) of optimal logits that are known, and what the closed forms ask of a profile."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from ufm._typing import Float, Tensor
from ufm.geometry.frames import frame, helmert
from ufm.geometry.specs import SimplexETF
from ufm.objective import Point
from ufm.problem import (
    AverageBudget,
    ClassMeanDecay,
    Problem,
    Sphere,
    VectorBudget,
    WeightDecay,
)
from ufm.solvers.step import StepOptimum
from ufm.solvers.two_angle import TwoAngleState


# Shares closer than this are equal: loss weights times sizes need not round alike.
EQUAL = 1e-13


def counts(problem: Problem) -> tuple[float, ...]:
    """Samples that the feature ridge counts for each class: ``n_k``, or 1 for class means.

    Args:
        problem: The model.

    Returns:
        The K counts ``D``; ones without a ridge per sample.
    """
    if isinstance(problem.reg, WeightDecay):
        return tuple(float(n) for n in problem.n)
    return (1.0,) * problem.K


def ridge(problem: Problem) -> float:
    """``sqrt(lam_W lam_H)``.

    Args:
        problem: A model with a ridge.

    Returns:
        The coefficient of the nuclear norm of ``Z D^(1/2)``.
    """
    assert isinstance(problem.reg, WeightDecay | ClassMeanDecay)
    return math.sqrt(problem.reg.lam_W * problem.reg.lam_H)


def is_even(values: Sequence[float]) -> bool:
    """Whether all values are equal up to rounding.

    Args:
        values: Positive numbers.

    Returns:
        The answer.
    """
    return max(values) - min(values) <= EQUAL * max(values)


def two_groups(problem: Problem) -> tuple[int, int, float] | None:
    """``(K_A, K_B, R)`` of a profile of two shares, the classes in any order.

    Args:
        problem: The model.

    Returns:
        The parameters with ``R > 1``; None for any other profile.
    """
    top, bottom = max(problem.pi), min(problem.pi)
    upper = sum(p >= top * (1 - EQUAL) for p in problem.pi)
    lower = sum(p <= bottom * (1 + EQUAL) for p in problem.pi)
    return (upper, lower, top / bottom) if upper + lower == problem.K else None


def balanced_point(
    problem: Problem,
    U: Float[Tensor, "K r"],
    S: Float[Tensor, "r"],
    V: Float[Tensor, "K r"],
) -> Point:
    """Factors of ``Z = U S V' D^(-1/2)`` that share penalty or budgets evenly.

    Args:
        problem: A model with a ridge or budgets on both factors.
        U: Left singular vectors.
        S: Singular values; zeros are dropped.
        V: Right singular vectors.

    Returns:
        W ``(K, rank)``, H ``(rank, K)`` and a zero bias.

    Raises:
        ValueError: If the model leaves a factor free.
    """
    U, S, V = U[:, S > 0], S[S > 0], V[:, S > 0]
    match problem.reg:
        case WeightDecay() | ClassMeanDecay() as reg:
            scale = (reg.lam_H / reg.lam_W) ** 0.25
        case AverageBudget() | VectorBudget() | Sphere() as reg:
            scale = (reg.E_W / reg.E_H) ** 0.25
        case reg:
            raise ValueError(f"reg must penalise or bound both factors, got {reg}")
    root, D = S.sqrt(), torch.tensor(counts(problem), dtype=torch.float64)
    H = (V * root / scale / D.sqrt().unsqueeze(-1)).mT
    return Point(scale * U * root, H, torch.zeros(problem.K, dtype=torch.float64))


def etf_point(problem: Problem, a: float) -> Point:
    """Factors of ``Z = a (I - J/K)``, for a model that counts all classes alike.

    Args:
        problem: The model.
        a: Gap, >= 0.

    Returns:
        The point.
    """
    basis = helmert(problem.K)
    S = torch.full((problem.K - 1,), a * counts(problem)[0] ** 0.5, dtype=torch.float64)
    return balanced_point(problem, basis, S, basis)


def diagonal_point(problem: Problem, z: Sequence[float]) -> Point:
    """Factors of ``Z = diag(z)``.

    Args:
        problem: The model.
        z: Diagonal, >= 0.

    Returns:
        The point.
    """
    eye = torch.eye(problem.K, dtype=torch.float64)
    D = torch.tensor(counts(problem), dtype=torch.float64)
    return balanced_point(problem, eye, torch.tensor(z, dtype=torch.float64) * D.sqrt(), eye)


def step_point(problem: Problem, solved: StepOptimum, index: int | tuple[int, ...] = ()) -> Point:
    """Factors of an exact step solution, classes in the problem's order.

    Args:
        problem: The model.
        solved: Solutions with ``R > 1``.
        index: Which of them is the problem's.

    Returns:
        The point, of dimension ``rank(Z)``.
    """
    K_A, K_B = int(solved.K_A[index]), int(solved.K_B[index])
    a, c, d, e = (float(v[index]) for v in (solved.a, solved.c, solved.d, solved.e))
    # Contrasts within each group, and the direction that tells the groups apart.
    left = torch.tensor([float(K_B)] * K_A + [-float(K_A)] * K_B, dtype=torch.float64)
    right = torch.tensor([-d / K_A] * K_A + [c / K_B] * K_B, dtype=torch.float64)
    mixed = float(left.norm() * right.norm())
    S = torch.tensor([a] * (K_A - 1) + [e] * (K_B - 1) + [mixed], dtype=torch.float64)
    within = torch.block_diag(contrasts(K_A), contrasts(K_B))
    U, V = (
        _in_class_order(problem, torch.cat([within, (v / v.norm().clamp(min=1e-300))[:, None]], -1))
        for v in (left, right)
    )
    return balanced_point(problem, U, S, V)


def two_angle_point(problem: Problem, K_A: int, state: TwoAngleState) -> Point:
    """Factors of a two-angle state, classes in the problem's order.

    Args:
        problem: A model with per-vector budgets.
        K_A: Majority classes.
        state: One state.

    Returns:
        The point, of dimension ``K_A``; 1 if the majority classes are merged too.
    """
    assert isinstance(problem.reg, VectorBudget | Sphere)
    factors = []
    for E, cos, sin in (
        (problem.reg.E_W, float(state.cos_W), float(state.sin_W)),
        (problem.reg.E_H, float(state.cos_H), float(state.sin_H)),
    ):
        axis = torch.tensor([cos] * K_A + [1.0] * (problem.K - K_A), dtype=torch.float64)
        spread = torch.zeros(problem.K, K_A - 1 if sin > 0 else 0, dtype=torch.float64)
        if spread.shape[-1]:
            spread[:K_A] = sin * frame(SimplexETF(), K_A, K_A - 1)
        rows = E**0.5 * torch.cat([axis.unsqueeze(-1), spread], -1)
        factors.append(_in_class_order(problem, rows))
    W, V = factors
    return Point(W, V.mT, torch.zeros(problem.K, dtype=torch.float64))


def contrasts(K: int) -> Float[Tensor, "K r"]:
    """Orthonormal basis of the zero-sum vectors of R^K; empty for one class.

    Args:
        K: Number of classes, >= 1.

    Returns:
        Basis, as columns.
    """
    return helmert(K) if K > 1 else torch.zeros(1, 0, dtype=torch.float64)


def _in_class_order(problem: Problem, rows: Float[Tensor, "K r"]) -> Float[Tensor, "K r"]:
    # From heaviest class first to the order of the problem.
    return rows[torch.tensor(sorted(range(problem.K), key=lambda k: -problem.pi[k])).argsort()]
