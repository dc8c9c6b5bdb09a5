"""Numeric evidence for merging and vanishing under ridges and per-vector budgets."""

from __future__ import annotations

import math

from proofs_check._harness import Measurement, evidence
from proofs_check._optima import merges_as, optimum
from proofs_check.catalogue import ridge_problem
from proofs_check.fang2021_instances import groups_of
from proofs_check.predictions import applicable
from ufm import solvers
from ufm.claims import Claim, EvidenceKind
from ufm.counts import step_weights
from ufm.problem import Problem, VectorBudget, WeightDecay
from ufm.theory.hong2024 import MEAN_THRESHOLD, SAMPLE_THRESHOLD, TOTAL_COLLAPSE, strength
from ufm.theory.yang2022 import TWO_ANGLE


def _check_groups(measure: Measurement, claim: Claim) -> None:
    for case in applicable(claim):
        problem, lam = case.problem, strength(case.problem)
        solution = optimum(problem).solution
        for share, group in groups_of(problem).items():
            size = problem.n[group[0]] if isinstance(problem.reg, WeightDecay) else 1
            merges_as(measure, solution, group, expected=share / math.sqrt(size) <= lam)


@evidence(
    SAMPLE_THRESHOLD,
    EvidenceKind.CERTIFIED,
    domain="catalogue cases it applies to, among them 1 % either side of sqrt(4)/72",
)
def merging_per_sample(measure: Measurement) -> None:
    """Group by group: merged iff sqrt(n_B)/N <= lambda."""
    _check_groups(measure, SAMPLE_THRESHOLD)


@evidence(
    MEAN_THRESHOLD,
    EvidenceKind.CERTIFIED,
    domain="catalogue cases it applies to, among them 1 % either side of pi_B = 1/55",
)
def merging_per_mean(measure: Measurement) -> None:
    """Group by group: merged iff pi_B <= lambda."""
    _check_groups(measure, MEAN_THRESHOLD)


@evidence(
    TOTAL_COLLAPSE,
    EvidenceKind.CERTIFIED,
    domain="n = (30, 30, 4, 4, 4): 2 % either side of the threshold",
)
def both_sides_of_total_collapse(measure: Measurement) -> None:
    """The optimum is zero above and not below."""
    n = (30, 30, 4, 4, 4)
    edge = float(solvers.ridge_vanishing([size / 72 for size in n], n))
    # The reference is printed with ten decimals.
    measure.below("threshold minus reference", abs(edge - 0.0760725774), 1e-10)
    for side in (0.98, 1.02):
        norm = float(optimum(ridge_problem(n, side * edge)).solution.W.norm())
        if side > 1:
            measure.below("|W| above", norm, 1e-5)
        else:
            measure.above("|W| below", norm, 1e-2)


@evidence(
    TWO_ANGLE,
    EvidenceKind.CERTIFIED,
    domain="(K_A, K_B, E_W, E_H) = (3, 2, 1, 1), (2, 2, 1, 1), (5, 5, 1, 5): 3 % either side",
)
def both_sides_per_vector(measure: Measurement) -> None:
    """Merged above the package's R_0, which equals the reference to its six digits."""
    for K_A, K_B, E_W, E_H, reference in (
        (3, 2, 1.0, 1.0, 15.1706), (2, 2, 1.0, 1.0, 22.5449), (5, 5, 1.0, 5.0, 204.509),
    ):  # fmt: skip
        K, R_0 = K_A + K_B, float(solvers.vector_R0(K_A, K_B, math.sqrt(E_W * E_H)))
        measure.below("R_0 minus reference, relative", abs(R_0 / reference - 1), 5e-6)
        for side in (0.97, 1.03):
            problem = Problem(
                K=K, d=K, n=(1,) * K, reg=VectorBudget(E_W, E_H),
                weights=step_weights(K=K, K_A=K_A, R=side * R_0),
            )  # fmt: skip
            merges_as(measure, optimum(problem).solution, list(range(K_A, K)), expected=side > 1)
