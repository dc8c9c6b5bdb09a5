"""Certified optima of catalogue problems, solved once a run."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch

from proofs_check._harness import Measurement
from proofs_check._proof import ProofFailure
from ufm import LBFGS, certify, polish, solve
from ufm._linalg import op_norm
from ufm.certificates import Certificate
from ufm.problem import Problem
from ufm.solution import Solution


CERTIFIED = 1e-10
# Of the largest row norm: rows closer than this are merged, rows farther are not. Merged rows of a
# polished optimum differ by 1e-9 or less, told-apart ones by 1e-2 even 2 % from a threshold.
MERGED = 1e-5


class Optimum(NamedTuple):
    """A solution and its certificate, both without batch axis."""

    solution: Solution
    certificate: Certificate


@cache
def optimum(problem: Problem) -> Optimum:
    """Solve, polish and certify.

    Args:
        problem: The problem.

    Returns:
        The optimum, with a gap below 1e-10 max(1, F).

    Raises:
        ProofFailure: If it cannot be certified.
    """
    solution = polish(solve(problem, throw=False))[0]
    certificate = certify(solution)
    if not bool(certificate.passed):
        raise ProofFailure(f"optimum must be certified, got {certificate} for {problem}")
    return Optimum(solution, certificate)


def best_of(problem: Problem, *, seeds: int) -> Solution:
    """The best of several random starts, polished; for problems that no certificate covers.

    Args:
        problem: The problem.
        seeds: Number of starts.

    Returns:
        The solution of the smallest value.
    """
    solutions = polish(solve(problem, LBFGS(start="random"), seeds=seeds, throw=False))
    return solutions[int(solutions.value.argmin())]


def multiplier(solution: Solution) -> float:
    """``mu``, the operator norm of the risk gradient in the class-mean logits.

    Args:
        solution: A solution on class means.

    Returns:
        ``|G|_op``.
    """
    objective = solution.objective()
    return float(op_norm(objective.risk_grad(solution.Z.unsqueeze(0)))[0])


def spread(solution: Solution, group: list[int]) -> float:
    """Largest distance between two rows or two means of a group, relative to the largest norm.

    Vectors that are all shorter than 1e-6 are zero for this purpose, hence equal.

    Args:
        solution: A solution on class means.
        group: Class indices.

    Returns:
        The spread; 0 where the group is merged.
    """
    distances = []
    for vectors in (solution.W, solution.H.mT):
        members = vectors[group]
        largest = vectors.norm(dim=-1).max().clamp(min=1e-6)
        distances.append(torch.cdist(members, members).max() / largest)
    return float(torch.stack(distances).max())


def merges_as(
    measure: Measurement, solution: Solution, group: list[int], *, expected: bool
) -> None:
    """Refuse a group that is merged where it should not be, or told apart where it should be.

    Args:
        measure: Keeps the largest spread of merged groups and the smallest of the others.
        solution: A solution on class means.
        group: Class indices.
        expected: Whether the group should be merged.
    """
    found = spread(solution, group)
    if expected:
        measure.below("spread of merged groups", found, MERGED)
    else:
        measure.above("spread of told-apart groups", found, 100 * MERGED)
