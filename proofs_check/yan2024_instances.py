"""Instances of problem P: vanishing class by class, the whole frame free, ETF class vectors."""

from __future__ import annotations

import math

import torch

from proofs_check._harness import Measurement, evidence
from proofs_check._optima import optimum
from proofs_check._whole_problem import WholeProblem
from proofs_check.catalogue import center_problem
from proofs_check.yan2024 import etf_centers
from ufm._typing import Float, Tensor
from ufm.claims import EvidenceKind
from ufm.geometry import multicenter_frame, norms
from ufm.geometry.specs import MultiCenter
from ufm.losses import CenterSquaredError
from ufm.problem import Problem, WeightDecay
from ufm.theory.yan2024 import (
    COR_37,
    FRAME,
    ORTHONORMALITY,
    REDUCTION,
    SURVIVAL,
    THM_34,
    survival_numbers,
)


SIZES, EQUAL = (40, 20, 8, 3), (3, 3, 3, 3)
# Squared norms of a class that vanished, of a polished optimum; survivors have 0.2 and more.
VANISHED = 1e-9


def row_norms(problem: Problem) -> Float[Tensor, "K"]:
    """Squared norms of the class vectors at the certified optimum.

    Args:
        problem: Problem P.

    Returns:
        The squared norms.
    """
    return norms(optimum(problem).solution.geometry.gram_W).square()


@evidence(
    FRAME,
    EvidenceKind.NUMERIC,
    domain="f = (1, 2, 4), theta = 0, .3, 1.2: rank of class vectors and centers together",
)
def dimension_of_the_frame(measure: Measurement) -> None:
    """The sum of the f and K dimensions hold the frame, and no fewer do."""
    for theta in (0.0, 0.3, 1.2):
        spec = MultiCenter((1, 2, 4), theta)
        parts = multicenter_frame(spec, spec.d_min)
        values = torch.linalg.svdvals(torch.cat([parts.W, parts.centers]))
        measure.true("as many as sum f + K", len(values) == spec.d_min == 10)
        measure.above("smallest singular value", values[-1], 0.05)


@evidence(
    THM_34,
    EvidenceKind.COUNTEREXAMPLE,
    domain="K = 4, n = (40, 20, 8, 3), f = 3, theta = .2, lam_H = .01, lam_W = .03 and .1",
)
def some_classes_survive(measure: Measurement) -> None:
    """The condition fails for one (two) classes: these vanish, and zero is not optimal."""
    for lam_W, expected, value in (
        (0.03, (4.1146361, 2.3312685, 0.7488315, 0.0), 0.32581),
        (0.1, (1.3608102, 0.3840196, 0.0, 0.0), 0.44936),
    ):
        problem = center_problem(EQUAL, SIZES, (lam_W, 0.01))
        numbers = survival_numbers(problem)
        fails = [numbers[f"index_{k}"] <= numbers["threshold"] for k in range(4)]
        found, reference = row_norms(problem), torch.tensor(expected, dtype=torch.float64)
        measure.true("the printed condition fails for some class", any(fails))
        measure.true("zeros of the reference are the failing classes",
                     fails == [x == 0 for x in expected])  # fmt: skip
        # The references have seven and five decimals.
        measure.below("|w|^2 minus reference", (found - reference).abs().max(), 1e-7)
        best = float(optimum(problem).solution.value)
        measure.record(f"value, lam_W = {lam_W:g}", best)
        measure.below("value minus reference", abs(best - value), 5e-6)
        measure.above("1/2, the value of zero, minus value", 0.5 - best, 0.05)


@evidence(
    SURVIVAL,
    EvidenceKind.CERTIFIED,
    domain="K = 4, n = (40, 20, 8, 3), f = 3 and (1, 2, 3, 6): 1 % either side of each threshold",
)
def both_sides_of_each_threshold(measure: Measurement) -> None:
    """As the ridge grows classes vanish one by one, from the smallest index on."""
    for f in (EQUAL, (1, 2, 3, 6)):
        numbers = survival_numbers(center_problem(f, SIZES, (1.0, 1.0)))
        index = [numbers[f"index_{k}"] for k in range(4)]
        for level in index:
            for side in (0.99, 1.01):
                lam = math.sqrt(side * level / numbers["threshold"])
                found = row_norms(center_problem(f, SIZES, (2 * lam, lam / 2)))
                for norm2, own in zip(found.tolist(), index, strict=True):
                    if own <= side * level:
                        measure.below("|w|^2 of a vanished class", norm2, VANISHED)
                    else:
                        measure.above("|w|^2 of a surviving class", norm2, 1e-3)


@evidence(
    COR_37,
    EvidenceKind.CERTIFIED,
    domain="K = 4, f = (1, 2, 3, 5), n = (40, 20, 8, 3), theta = .2, lam_H = .001 and .01",
)
def printed_lengths(measure: Measurement) -> None:
    """Lengths of the features against reference values found by free minimisation."""
    for lam_H, expected in (
        (1e-3, (0.89365505, 1.24461855, 1.50184242, 1.88437354)),
        (1e-2, (0.45662100, 0.64672454, 0.79293256, 1.02480415)),
    ):
        problem = center_problem((1, 2, 3, 5), SIZES, (0.0, lam_H), fixed=True)
        found = norms(optimum(problem).solution.geometry.gram_H)
        reference = torch.tensor(expected, dtype=torch.float64)
        # Printed with eight decimals.
        measure.below("|h| minus reference", (found - reference).abs().max(), 6e-9)


@evidence(
    REDUCTION,
    EvidenceKind.NUMERIC,
    domain="K = 3, f = (1, 2, 3), n = (6, 3, 2), d = 9, 3 random starts; all centers, samples and "
    "the frame free",
)
def whole_problem_has_the_same_optimum(measure: Measurement) -> None:
    """P with all its constraints has the value of P on K logits, and features along the means."""
    problem = center_problem((1, 2, 3), (6, 3, 2), (5e-3, 1e-2), theta=0.4)
    expected = float(optimum(problem).solution.value)
    measure.record("value", expected)
    assert isinstance(problem.loss, CenterSquaredError)
    assert isinstance(problem.reg, WeightDecay)
    whole = WholeProblem(problem.loss, problem.reg, problem.n, d=9)
    value, away = min(whole.minimised(seed) for seed in range(3))
    # Descent stops at gradients of 1e-9: values to 1e-10, directions to 1e-4 with room.
    measure.below("value", abs(value - expected), 1e-10)
    measure.below("part of a feature away from its mean center", away, 1e-4)


@evidence(
    ORTHONORMALITY,
    EvidenceKind.NUMERIC,
    domain="K = 4, f = (1, 2, 3, 5), n = (40, 20, 8, 3), ETF class vectors, lam_H = 1e-3, 1e-2",
)
def features_leave_the_mean(measure: Measurement) -> None:
    """Cosine of the exact minimiser of P to the mean center, theta = .2 and .7."""
    f = (1, 2, 3, 5)
    S = sum(a * b for a, b in zip(f, SIZES, strict=True))
    for theta in (0.2, 0.7):
        _, centers = etf_centers(4, max(f), theta)
        own = [centers[k, :count] for k, count in enumerate(f)]
        C = torch.cat(own)
        for lam_H in (1e-3, 1e-2):
            ridge = C.mT @ C + lam_H * S * torch.eye(C.shape[1], dtype=torch.float64)
            H = torch.linalg.solve(ridge, torch.stack([rows.sum(0) for rows in own], -1))
            mean = torch.stack([rows.mean(0) for rows in own], -1)
            cosine = torch.nn.functional.cosine_similarity(H, mean, dim=0)
            measure.below(f"largest cosine, theta = {theta:g}", cosine.max(), 1 - 1e-5)
            measure.above(f"smallest cosine, theta = {theta:g}", cosine.min(), 0.9)
