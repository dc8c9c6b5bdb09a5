"""Numeric evidence for Fang et al. (2021): dimensions, thresholds, phases, certified optima."""

from __future__ import annotations

import math
from itertools import product

import torch

from proofs_check._harness import Measurement, evidence
from proofs_check._optima import (
    CERTIFIED,
    MERGED,
    best_of,
    merges_as,
    multiplier,
    optimum,
    spread,
)
from proofs_check.catalogue import ridge_problem, step_problem
from proofs_check.predictions import applicable
from ufm import LBFGS, certify, distance, polish, solve, solvers
from ufm.claims import EvidenceKind
from ufm.counts import exponential_sizes
from ufm.problem import AverageBudget, Problem
from ufm.solution import Solution
from ufm.theory._assumptions import equal_groups
from ufm.theory.fang2021 import LANDSCAPE, REFINED_GAP, SDP, TIGHT_RANK
from ufm.theory.fang2021_collapse import (
    COLLAPSE,
    FINDING2,
    FINITE,
    LOST_CLASSES,
    OVERSAMPLING,
    OVERSAMPLING_R0,
    R0_CLOSED,
    R0_LIMITS,
    R0_SINGLE,
    R1_CLOSED,
    RANK_DROP,
    THM5,
)
from ufm.theory.zhu2021 import REFINED_RIDGE_GAP


# (K_A, K_B, E_W, E_H, R_0): thresholds found by bisection on certified solutions and by the closed
# form of other code, printed with nine digits.
TABLE = (
    (2, 2, 1, 1, 3.38048845), (2, 2, 5, 5, 31095.9072), (2, 2, 10, 5, 4041623.92),
    (2, 3, 1, 5, 104.837028), (5, 5, 1, 1, 1.73541560), (5, 5, 1, 5, 12.1924471),
    (5, 5, 5, 5, 3954.67350), (5, 5, 10, 5, 321623.238), (7, 3, 1, 1, 1.36952958),
    (7, 3, 1, 5, 4.00046671), (7, 3, 5, 5, 212.741051), (7, 3, 10, 5, 5023.91385),
    (3, 7, 1, 5, 245.496931), (3, 7, 5, 5, 4113420.41),
)  # fmt: skip
SIDES = (0.98, 1.02)
LONG_TAIL = exponential_sizes(K=10, n_max=5000, rho=100)
SMALL = ((2, 2, 1.0, 1.0), (5, 5, 1.0, 5.0), (7, 3, 1.0, 5.0), (3, 4, 1.0, 1.0))


@evidence(
    TIGHT_RANK,
    EvidenceKind.CERTIFIED,
    domain="step 5+5, R = 5, E = (1, 5): p = 9, 10, 20; and p = rank, rank - 1 at R = 100 (rank 5)",
)
def dimensions(measure: Measurement) -> None:
    """Every p >= rank reaches the certified optimum; one less does not."""
    values = []
    for d in (9, 10, 20):
        solution, certificate = optimum(step_problem(5, 5, 5.0, (1.0, 5.0), d=d))
        measure.true("rank is at most K-1", int(certificate.rank) <= 9)
        values.append(float(solution.value))
    measure.below("spread of the values", max(values) - min(values), CERTIFIED)
    wide = optimum(step_problem(5, 5, 100.0, (1.0, 5.0)))
    rank = int(wide.certificate.rank)
    measure.record("rank, R = 100", rank)
    exact = best_of(step_problem(5, 5, 100.0, (1.0, 5.0), d=rank), seeds=4)
    short = best_of(step_problem(5, 5, 100.0, (1.0, 5.0), d=rank - 1), seeds=8)
    value = wide.solution.value
    measure.below("excess at p = rank", (exact.value - value).clamp(min=0), CERTIFIED)
    measure.above("excess at p = rank - 1", short.value - value, 1e-4)


@evidence(
    LANDSCAPE,
    EvidenceKind.CERTIFIED,
    domain="step 3+2 (R = 3, 30) and exponential K = 5, rho = 50; p = 4, 5, 10; 10 starts each",
)
def random_starts(measure: Measurement) -> None:
    """Every random start ends at a certified global optimum."""
    count = 0
    for d in (4, 5, 10):
        tail = Problem(K=5, d=d, n=(100, 38, 14, 5, 2), reg=AverageBudget(1.0, 5.0))
        steps = (step_problem(3, 2, R, (1.0, 5.0), d=d) for R in (3.0, 30.0))
        for problem in (*steps, tail):
            found = polish(solve(problem, LBFGS(start="random"), seeds=10, throw=False))
            gap = certify(found).gap
            measure.below("gap", gap.amax().clamp(min=0), CERTIFIED)
            count += len(found)
    measure.record("starts", count)


@evidence(
    REFINED_GAP,
    EvidenceKind.NUMERIC,
    domain="step 5+5, R = 10, and the long tail of 10 classes, E = (1, 5); noise 1e-5 and 1e-3",
)
def order_of_the_gaps(measure: Measurement) -> None:
    """Slope of log gap on log noise: two refined, one raw; the gap bounds the true excess."""
    tail = Problem(K=10, d=10, n=LONG_TAIL, reg=AverageBudget(1.0, 5.0))
    _orders(measure, (("step", step_problem(5, 5, 10.0, (1.0, 5.0))), ("tail", tail)))


@evidence(
    REFINED_RIDGE_GAP,
    EvidenceKind.NUMERIC,
    domain="n = (15, 15, 6, 6, 6), ridge 8e-3 per sample, and the long tail of 10 classes, ridge "
    "1e-2 per class mean; noise 1e-5 and 1e-3",
)
def order_with_ridges(measure: Measurement) -> None:
    """The same slopes with ridges per sample and per class mean."""
    tail = ridge_problem(LONG_TAIL, 1e-2, per_mean=True)
    _orders(measure, (("step", ridge_problem((15, 15, 6, 6, 6), 8e-3)), ("tail", tail)))


def _orders(measure: Measurement, problems: tuple[tuple[str, Problem], ...]) -> None:
    for name, problem in problems:
        best = optimum(problem).solution
        gaps, raw_gaps = [], []
        for noise in (1e-5, 1e-3):
            certificate = certify(_perturbed(best, noise))
            excess = float(certificate.primal - best.value)
            measure.above("gap over excess", float(certificate.gap) / excess, 1.0)
            gaps.append(float(certificate.gap))
            raw_gaps.append(float(certificate.raw_gap))
        measure.above(f"refined slope, {name}", math.log10(gaps[1] / gaps[0]) / 2, 1.8)
        measure.below(f"raw slope, {name}", math.log10(raw_gaps[1] / raw_gaps[0]) / 2, 1.2)


def _perturbed(solution: Solution, noise: float) -> Solution:
    generator = torch.Generator().manual_seed(0)

    def moved(x: torch.Tensor) -> torch.Tensor:
        y = x + noise * torch.randn(x.shape, generator=generator, dtype=x.dtype)
        return y * (x.norm() / y.norm())

    return Solution.from_arrays(solution.problem, moved(solution.W), moved(solution.H))


@evidence(SDP, EvidenceKind.CERTIFIED, domain="catalogue cases with d >= 2K")
def wide_optima(measure: Measurement) -> None:
    """The dual bound of the relaxation is attained."""
    for case in applicable(SDP):
        measure.below("gap", optimum(case.problem).certificate.gap.clamp(min=0), CERTIFIED)


def groups_of(problem: Problem) -> dict[float, list[int]]:
    """Class indices of every group of equal classes.

    Args:
        problem: The problem.

    Returns:
        Share of the risk to the indices.
    """
    return {
        share: [k for k, pi in enumerate(problem.pi) if pi == share]
        for share in equal_groups(problem)
    }


@evidence(
    COLLAPSE, EvidenceKind.CERTIFIED, domain="all catalogue cases with a group of equal classes"
)
def groups_merge_by_the_criterion(measure: Measurement) -> None:
    """Group by group: merged iff pi_B <= mu."""
    count = 0
    for case in applicable(COLLAPSE):
        solution = optimum(case.problem).solution
        mu = multiplier(solution)
        for share, group in groups_of(case.problem).items():
            merges_as(measure, solution, group, expected=share <= mu)
            count += 1
    measure.record("groups", count)


@evidence(
    R0_CLOSED,
    EvidenceKind.CERTIFIED,
    domain="(K_A, K_B, E_W, E_H) = " + ", ".join(map(str, SMALL)) + "; 2 % below and above R_0",
)
@evidence(
    FINDING2,
    EvidenceKind.CERTIFIED,
    domain="(K_A, K_B, E_W, E_H) = " + ", ".join(map(str, SMALL)) + "; 2 % below and above R_0",
)
def both_sides_of_the_threshold(measure: Measurement) -> None:
    """Told apart below, merged above."""
    for K_A, K_B, E_W, E_H in SMALL:
        R_0 = float(solvers.R0(K_A, K_B, (K_A + K_B) * math.sqrt(E_W * E_H)))
        for side in SIDES:
            problem = step_problem(K_A, K_B, side * R_0, (E_W, E_H), d=K_A + K_B)
            group = list(range(K_A, K_A + K_B))
            merges_as(measure, optimum(problem).solution, group, expected=side > 1)


@evidence(R0_SINGLE, EvidenceKind.CERTIFIED, domain="K_A = 1, K_B = 3, E = (1, 1); 2 % either side")
def both_sides_single(measure: Measurement) -> None:
    """Told apart below, merged above."""
    R_0 = float(solvers.R0(1, 3, 4.0))
    measure.record("R_0", R_0)
    for side in SIDES:
        problem = step_problem(1, 3, side * R_0, (1.0, 1.0))
        merges_as(measure, optimum(problem).solution, [1, 2, 3], expected=side > 1)


@evidence(
    R0_CLOSED, EvidenceKind.NUMERIC, domain="14 thresholds printed with nine digits, R_0 to 4e6"
)
def table_of_thresholds(measure: Measurement) -> None:
    """The package's R_0 against the reference table."""
    for K_A, K_B, E_W, E_H, reference in TABLE:
        found = float(solvers.R0(K_A, K_B, (K_A + K_B) * math.sqrt(E_W * E_H)))
        measure.below("relative error", abs(found / reference - 1), 5e-9)


@evidence(
    THM5, EvidenceKind.CERTIFIED, domain="K_A = K_B = 5, E = (1, 5), p = 10; R = 2, 5, 10, 100"
)
def rows_approach(measure: Measurement) -> None:
    """The distance of minority rows falls with R and is zero at the end."""
    distances = [
        spread(optimum(step_problem(5, 5, R, (1.0, 5.0), d=10)).solution, list(range(5, 10)))
        for R in (2.0, 5.0, 10.0, 100.0)
    ]
    measure.true("distances fall", distances == sorted(distances, reverse=True))
    measure.below("distance at R = 100", distances[-1], MERGED)


@evidence(FINITE, EvidenceKind.NUMERIC, domain="K_A = 1..6, K_B = 2..6, tau = .1, 1, 3, 10, 30")
def bound_exceeds_threshold(measure: Measurement) -> None:
    """Ln R_0 <= ln(1 + e^(sqrt 2 tau)/(K-1))."""
    for K_A, K_B, tau in product(range(1, 7), range(2, 7), (0.1, 1.0, 3.0, 10.0, 30.0)):
        bound = math.log1p(math.exp(math.sqrt(2) * tau) / (K_A + K_B - 1))
        measure.above("bound minus ln R_0", bound - float(solvers.log_R0(K_A, K_B, tau)), 0.0)


@evidence(R0_LIMITS, EvidenceKind.NUMERIC, domain="K_A = 5, K_B = 5; tau = 1e-6 and tau = 5e4")
def limits_of_the_threshold(measure: Measurement) -> None:
    """First-order ratios; the large limit has slow logarithmic corrections."""
    small = float(solvers.log_R0(5, 5, 1e-6)) / 1e-6 * 5 * 9
    measure.below("small: ratio minus one", abs(small - 1), 1e-5)
    large = float(solvers.log_R0(5, 5, 5e4)) / 5e4 * (4 + math.sqrt(0.5))
    measure.record("large: ratio", large)
    measure.below("large: ratio minus one", abs(large - 1), 3e-4)


@evidence(
    R1_CLOSED,
    EvidenceKind.CERTIFIED,
    domain="(K_A, K_B, E_W, E_H) = (7, 3, 1, 5), (4, 4, 1, 1), (3, 2, .5, .5); 2 % either side",
)
def both_sides_of_vanishing(measure: Measurement) -> None:
    """Minority rows are zero above R_1 and not below."""
    for K_A, K_B, E_W, E_H in ((7, 3, 1.0, 5.0), (4, 4, 1.0, 1.0), (3, 2, 0.5, 0.5)):
        R_1 = float(solvers.R1(K_A, K_B, (K_A + K_B) * math.sqrt(E_W * E_H)))
        for side in SIDES:
            solution = optimum(step_problem(K_A, K_B, side * R_1, (E_W, E_H))).solution
            norm = float(solution.W[K_A:].norm() / solution.W.norm())
            if side > 1:
                measure.below("norm above R_1", norm, MERGED)
            else:
                measure.above("norm below R_1", norm, 1e-3)


@evidence(
    OVERSAMPLING,
    EvidenceKind.CERTIFIED,
    domain="sizes (8, 8, 2, 2) against (8, 8, 1, 1) with minority weight 2; E = (1, 2)",
)
def weighting_equals_repeating(measure: Measurement) -> None:
    """Equal values and geometries."""
    reg = AverageBudget(1.0, 2.0)
    repeated = optimum(Problem(K=4, d=4, n=(8, 8, 2, 2), reg=reg)).solution
    weighted = optimum(
        Problem(K=4, d=4, n=(8, 8, 1, 1), reg=reg, weights=(1.0, 1.0, 2.0, 2.0))
    ).solution
    measure.below("value", (repeated.value - weighted.value).abs(), CERTIFIED)
    measure.below("geometry", distance(repeated.geometry, weighted.geometry), MERGED)


@evidence(
    OVERSAMPLING_R0,
    EvidenceKind.CERTIFIED,
    domain="R = 1000, E = (1, 5), K_A = 5 and 3 of 10: 2 % either side of w_r = R/R_0; R = 4, "
    "E = (1, 1), K_A = 3, K_B = 2: 2 % either side of w_r = R R_0(2, 3)",
)
def oversampling_both_sides(measure: Measurement) -> None:
    """Integer sizes 1000 and 1 with a loss weight on the minority."""
    for K_A, quoted in ((5, 82.02), (3, 4.07)):
        edge = 1000 / float(solvers.R0(K_A, 10 - K_A, 10 * math.sqrt(5.0)))
        # The reference is printed with two decimals.
        measure.below(f"w_r minus reference, K_A = {K_A}", abs(edge - quoted), 5e-3)
        for side in SIDES:
            weights = (1.0,) * K_A + (side * edge,) * (10 - K_A)
            problem = Problem(
                K=10, d=9, n=(1000,) * K_A + (1,) * (10 - K_A), reg=AverageBudget(1.0, 5.0),
                weights=weights,
            )  # fmt: skip
            group = list(range(K_A, 10))
            merges_as(measure, optimum(problem).solution, group, expected=side < 1)
    reached = 4 * float(solvers.R0(2, 3, 5.0))
    for side in SIDES:
        weights = (1.0,) * 3 + (side * reached,) * 2
        problem = Problem(
            K=5, d=4, n=(4,) * 3 + (1,) * 2, reg=AverageBudget(1.0, 1.0), weights=weights
        )
        merges_as(measure, optimum(problem).solution, [0, 1, 2], expected=side > 1)


LONG_TAILS = (
    "catalogue long tails, 20 random profiles, K = 4..9, E_W E_H in [.2, 5], and 40 of log-normal "
    "shares (deviation 2), K = 3..7, E_W E_H in [.02, 40], seed 0"
)


def _long_tails() -> list[Problem]:
    generator = torch.Generator().manual_seed(0)
    problems = [case.problem for case in applicable(RANK_DROP)]
    for _ in range(20):
        K = int(torch.randint(4, 10, (1,), generator=generator))
        n = torch.randperm(400, generator=generator)[:K].add(1).sort(descending=True).values
        energy = float(0.2 * 25.0 ** torch.rand(1, generator=generator))
        problems.append(Problem(K=K, d=K, n=tuple(n.tolist()), reg=AverageBudget(1.0, energy)))
    for _ in range(40):
        K = int(torch.randint(3, 8, (1,), generator=generator))
        shares = (2 * torch.randn(K, generator=generator, dtype=torch.float64)).exp()
        weights = tuple(shares.sort(descending=True).values.tolist())
        energy = float(0.02 * 2000.0 ** torch.rand(1, generator=generator))
        reg = AverageBudget(1.0, energy)
        problems.append(Problem(K=K, d=K, n=(1,) * K, weights=weights, reg=reg))
    return problems


@evidence(RANK_DROP, EvidenceKind.CERTIFIED, domain=LONG_TAILS)
def rank_of_long_tails(measure: Measurement) -> None:
    """Rank of the certified optimum against the count of classes with pi_k > mu."""
    problems = _long_tails()
    for problem in problems:
        solution, certificate = optimum(problem)
        count = sum(pi > multiplier(solution) for pi in problem.pi)
        measure.true("rank is the count or one less", int(certificate.rank) in (count - 1, count))
    measure.record("profiles", len(problems))
    lost = sum(int(certify(optimum(p).solution).rank) < p.K - 1 for p in problems)
    measure.record("profiles with a loss of rank", lost)


@evidence(LOST_CLASSES, EvidenceKind.CERTIFIED, domain=LONG_TAILS)
def classes_lost_from_long_tails(measure: Measurement) -> None:
    """Classes that are right are the heaviest ones, as many as pi_k > mu or one more."""
    wrong = 0
    for problem in _long_tails():
        solution = optimum(problem).solution
        right = {k for k, j in enumerate(solution.Z.argmax(0).tolist()) if j == k}
        heaviest = sorted(range(problem.K), key=lambda k: -problem.pi[k])
        measure.true("the heaviest classes are right", right == set(heaviest[: len(right)]))
        count = sum(pi > multiplier(solution) for pi in problem.pi)
        measure.true("as many as pi_k > mu or one more", len(right) in (count, count + 1))
        wrong += problem.K - len(right)
    measure.record("classes lost", wrong)
