"""The hypotheses that theorems share, as named predicates on a problem. Torch-free."""

from __future__ import annotations

from collections import Counter

from ufm.claims import Assumption
from ufm.geometry.specs import MultiCenter, OrthogonalFrame, SimplexETF
from ufm.losses import CenterSquaredError, CrossEntropy, DotRegression
from ufm.problem import (
    AverageBudget,
    ClassMeanDecay,
    Fixed,
    Problem,
    Sphere,
    VectorBudget,
    WeightDecay,
)


def step_profile(problem: Problem) -> tuple[int, float] | None:
    """``(K_A, R)`` of a step profile, or None.

    Args:
        problem: A model whose majority classes come first.

    Returns:
        Number of majority classes and ``R = pi_A / pi_B > 1``; None if the shares are equal or
        take more than two values.
    """
    shares = problem.pi
    majority, minority = shares[0], shares[-1]
    K_A = sum(share == majority for share in shares)
    if majority <= minority or shares != (majority,) * K_A + (minority,) * (problem.K - K_A):
        return None
    return K_A, majority / minority


def equal_groups(problem: Problem) -> dict[float, int]:
    """Groups of at least two classes that share one risk and one size.

    Args:
        problem: The model.

    Returns:
        Risk share of a class of the group, to the number of its classes.
    """
    sizes = Counter(zip(problem.pi, problem.n, strict=True))
    return {pi: count for (pi, _), count in sizes.items() if count >= 2}


def _ridge_is_positive(problem: Problem) -> bool:
    reg = problem.reg
    return isinstance(reg, WeightDecay | ClassMeanDecay) and reg.lam_W > 0 and reg.lam_H > 0


def _fixed_etf(problem: Problem) -> bool:
    classifier = problem.classifier
    return isinstance(classifier, Fixed) and isinstance(classifier.frame, SimplexETF)


def _dot_target_fits(problem: Problem) -> bool:
    classifier, loss, reg = problem.classifier, problem.loss, problem.reg
    return (
        isinstance(loss, DotRegression)
        and isinstance(reg, VectorBudget | Sphere)
        and isinstance(classifier, Fixed)
        and isinstance(classifier.frame, SimplexETF)
        and abs(loss.s / (classifier.frame.E_W * reg.E_H) ** 0.5 - 1) < 1e-12
    )


def _is_step(K_A_least: int, K_B_least: int):
    def holds(problem: Problem) -> bool:
        profile = step_profile(problem)
        return profile is not None and profile[0] >= K_A_least and (
            problem.K - profile[0] >= K_B_least
        )  # fmt: skip

    return holds


CROSS_ENTROPY = Assumption("cross-entropy", lambda p: isinstance(p.loss, CrossEntropy))
BALANCED = Assumption("balanced classes", lambda p: p.is_balanced)
LEARNABLE = Assumption("learnable classifier", lambda p: p.is_learnable)
NO_BIAS = Assumption("no bias", lambda p: not p.has_bias)
AVERAGE_BUDGET = Assumption("average budgets", lambda p: isinstance(p.reg, AverageBudget))
VECTOR_BUDGET = Assumption("per-vector budgets", lambda p: isinstance(p.reg, VectorBudget))
FEATURE_SPHERE = Assumption("features on spheres", lambda p: isinstance(p.reg, Sphere))
FEATURE_BALL = Assumption(
    "features in balls or on spheres", lambda p: isinstance(p.reg, VectorBudget | Sphere)
)
RIDGE = Assumption("ridge on W and H", _ridge_is_positive)
SAMPLE_RIDGE = Assumption(
    "ridge per sample", lambda p: isinstance(p.reg, WeightDecay) and _ridge_is_positive(p)
)
MEAN_RIDGE = Assumption(
    "ridge per class mean", lambda p: isinstance(p.reg, ClassMeanDecay) and _ridge_is_positive(p)
)
SAMPLE_WEIGHTS_ONE = Assumption("unweighted loss", lambda p: p.weights is None)
FIXED_ETF = Assumption("classifier fixed to a simplex ETF", _fixed_etf)
DOT_REGRESSION = Assumption("dot regression with s = sqrt(E_W E_H)", _dot_target_fits)
STEP = Assumption("step profile, K_A >= 2 and K_B >= 2, majority first", _is_step(2, 2))
STEP_ANY = Assumption("step profile, K_B >= 2, majority first", _is_step(1, 2))
SINGLE_MAJORITY = Assumption(
    "step profile, K_A = 1 and K_B >= 2",
    lambda p: _is_step(1, 2)(p) and not _is_step(2, 2)(p),
)
EQUAL_GROUP = Assumption("two classes of equal size and share", lambda p: bool(equal_groups(p)))
UNEQUAL = Assumption("all shares different", lambda p: len(set(p.pi)) == p.K)
ETF_FITS = Assumption("d >= K - 1", lambda p: p.d >= p.K - 1)
FULL_WIDTH = Assumption("d >= K", lambda p: p.d >= p.K)


def _is_problem_p(problem: Problem) -> bool:
    loss = problem.loss
    if not isinstance(loss, CenterSquaredError):
        return False
    mean = sum(f * n for f, n in zip(loss.f, problem.n, strict=True)) / problem.N
    return problem.weights is None and abs(loss.mean_centers / mean - 1) < 1e-12


def _has_orthonormal_rows(problem: Problem) -> bool:
    classifier = problem.classifier
    if not isinstance(classifier, Fixed):
        return False
    frame = classifier.frame
    return isinstance(frame, OrthogonalFrame | MultiCenter) and frame.E_W == 1.0


PROBLEM_P = Assumption("multi-center squared error over S = sum f_k n_k", _is_problem_p)
ORTHONORMAL_ROWS = Assumption("classifier fixed to orthonormal rows", _has_orthonormal_rows)
FEATURE_RIDGE = Assumption(
    "ridge on every feature", lambda p: isinstance(p.reg, WeightDecay) and p.reg.lam_H > 0
)
EQUAL_CENTERS = Assumption(
    "equally many centers a class",
    lambda p: isinstance(p.loss, CenterSquaredError) and len(set(p.loss.f)) == 1,
)
