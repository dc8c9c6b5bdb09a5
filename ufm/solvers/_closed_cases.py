"""The optima known in closed form, as points in the smallest dimension that holds them."""

from __future__ import annotations

import torch

from ufm.geometry.frames import frame
from ufm.geometry.specs import SimplexETF
from ufm.losses import CrossEntropy, DotRegression, SquaredError
from ufm.objective import Point
from ufm.problem import (
    BUDGETS,
    RIDGES,
    AverageBudget,
    Fixed,
    FreeBias,
    NoBias,
    PenalisedBias,
    Problem,
    Sphere,
    VectorBudget,
)
from ufm.solvers._closed_factors import (
    EQUAL,
    balanced_point,
    contrasts,
    counts,
    diagonal_point,
    etf_point,
    is_even,
    ridge,
    step_point,
    two_angle_point,
    two_groups,
)
from ufm.solvers.balanced import (
    ce_ridge_gap,
    mse_bias_split,
    mse_budget_logits,
    mse_ridge_logits,
)
from ufm.solvers.ridge_thresholds import ridge_vanishing
from ufm.solvers.step import step_optimum
from ufm.solvers.two_angle import S_RANGE, two_angle_state


def optimum(problem: Problem) -> Point | None:
    """A global minimiser on class means, where theory gives one.

    Args:
        problem: The model; its ``d`` matters only to a fixed frame.

    Returns:
        W ``(K, r)``, H ``(r, K)``, b ``(K,)`` with the smallest ``r``; None if none is known.
    """
    if isinstance(problem.classifier, Fixed):
        return _fixed_frame(problem, problem.classifier)
    ridged = isinstance(problem.reg, RIDGES)
    if not (isinstance(problem.reg, BUDGETS) or (ridged and ridge(problem) > 0)):
        return None
    match problem.loss:
        case CrossEntropy():
            return _cross_entropy_ridge(problem) if ridged else _cross_entropy(problem)
        case SquaredError():
            return _squared_error_ridge(problem) if ridged else _squared_error(problem)
        case DotRegression(s=target) if not ridged:
            return _dot_regression(problem, target)
    return None


def step_parameters(problem: Problem) -> tuple[int, int, float] | None:
    """``(K_A, K_B, R)`` of cross-entropy with average budgets under step imbalance.

    Args:
        problem: The model; the classes may come in any order.

    Returns:
        The parameters with ``R > 1``, or None if it is another model.
    """
    if (
        problem.is_learnable
        and isinstance(problem.loss, CrossEntropy)
        and isinstance(problem.reg, AverageBudget)
        and isinstance(problem.bias, NoBias)
        and not is_even(problem.pi)
    ):
        return two_groups(problem)
    return None


def _cross_entropy(problem: Problem) -> Point | None:
    if is_even(problem.pi):
        return etf_point(problem, problem.radius / (problem.K - 1))
    parameters = step_parameters(problem)
    if parameters is not None:
        K_A, K_B, R = parameters
        return step_point(problem, step_optimum(K_A, K_B, R=R, tau=problem.radius))
    groups, s = two_groups(problem), problem.radius / problem.K
    known = isinstance(problem.bias, NoBias) and not isinstance(problem.reg, AverageBudget)
    if groups is None or not known or groups[1] < 2 or not S_RANGE[0] <= s <= S_RANGE[1]:
        return None
    state = two_angle_state(groups[0], groups[1], R=groups[2], s=s)
    return two_angle_point(problem, groups[0], state) if state.criterion >= 1 else None


def _cross_entropy_ridge(problem: Problem) -> Point | None:
    lam, D = ridge(problem), counts(problem)
    if is_even(problem.pi) and is_even(D):
        return etf_point(problem, ce_ridge_gap(problem.K, lam * D[0] ** 0.5))
    free = isinstance(problem.bias, FreeBias)
    if isinstance(problem.bias, PenalisedBias):
        return None
    if lam < ridge_vanishing(problem.pi, D, free_bias=free):
        return None
    nothing = torch.zeros(problem.K, 0, dtype=torch.float64)
    b = torch.tensor(problem.pi, dtype=torch.float64).log()
    return Point(nothing, nothing.mT, b - b.mean() if free else torch.zeros_like(b))


def _squared_error(problem: Problem) -> Point | None:
    if not isinstance(problem.bias, NoBias):
        return None
    match problem.reg:
        case AverageBudget():
            return diagonal_point(problem, mse_budget_logits(problem.pi, problem.radius))
        case VectorBudget():
            # Own logits reach at most sqrt(E_W E_H), which bounds every column's loss alone.
            return diagonal_point(problem, (min(problem.radius / problem.K, 1.0),) * problem.K)
    return None


def _squared_error_ridge(problem: Problem) -> Point | None:
    match problem.bias:
        case FreeBias():
            return _squared_error_free_bias(problem)
        case PenalisedBias(lam_b=lam_b):
            return _squared_error_penalised_bias(problem, lam_b)
    return diagonal_point(problem, mse_ridge_logits(problem.pi, counts(problem), ridge(problem)))


def _squared_error_free_bias(problem: Problem) -> Point | None:
    # With pi_k = w D_k the risk is (w/2)|X + b |D^(1/2)| u' - D^(1/2)|^2 for X = Z D^(1/2), so X
    # is the soft-thresholded part of D^(1/2) orthogonal to u = diag(D^(1/2)), and b = D / sum D.
    D = torch.tensor(counts(problem), dtype=torch.float64)
    if not is_even([p / size for p, size in zip(problem.pi, D.tolist(), strict=True)]):
        return None
    root = D.sqrt()
    u = root / root.norm()
    U, S, Vh = torch.linalg.svd(torch.diag(root) - torch.outer(root * u, u))
    S = (S - ridge(problem) * D[0] / problem.pi[0]).clamp(min=0)
    S[-1] = 0.0  # the direction u itself
    return balanced_point(problem, U, S, Vh.mT)._replace(b=D / D.sum())


def _squared_error_penalised_bias(problem: Problem, lam_b: float) -> Point | None:
    K, D = problem.K, counts(problem)
    if not (is_even(problem.pi) and is_even(D)):
        return None
    c = K * D[0] ** 0.5 * ridge(problem)
    s, bias = mse_bias_split(c, lam_b)
    U = torch.cat([contrasts(K), torch.full((K, 1), K**-0.5, dtype=torch.float64)], -1)
    S = torch.tensor([max(1 - c, 0.0)] * (K - 1) + [s], dtype=torch.float64)
    point = balanced_point(problem, U, S * D[0] ** 0.5, U)
    return point._replace(b=torch.full((K,), bias / K, dtype=torch.float64))


def _dot_regression(problem: Problem, target: float) -> Point | None:
    # Every own logit at its target, or as near as the budgets let all of them: an ETF pair.
    if not isinstance(problem.bias, NoBias):
        return None
    reach = problem.radius / problem.K
    short, beyond = reach < target * (1 - EQUAL), reach > target * (1 + EQUAL)
    if beyond and isinstance(problem.reg, Sphere):
        return None
    if short and isinstance(problem.reg, AverageBudget) and not is_even(problem.pi):
        return None
    return etf_point(problem, min(reach, target) * problem.K / (problem.K - 1))


def _fixed_frame(problem: Problem, classifier: Fixed) -> Point | None:
    # Separate in the samples: each feature along its own row.
    if not isinstance(problem.bias, NoBias) or not isinstance(problem.reg, BUDGETS):
        return None
    W = frame(classifier.frame, problem.K, problem.d)
    length = W.norm(dim=-1)
    size = torch.full_like(length, problem.reg.E_H**0.5)
    if isinstance(problem.reg, AverageBudget) and not (
        is_even(problem.pi) and is_even(length.tolist())
    ):
        return None
    match problem.loss:
        case CrossEntropy() if isinstance(classifier.frame, SimplexETF):
            pass
        case DotRegression(s=target) if bool((length > 0).all()):
            beyond = bool((length * size > target * (1 + EQUAL)).any())
            if beyond and isinstance(problem.reg, Sphere):
                return None
            size = torch.minimum(size, target / length) if beyond else size
        case _:
            return None
    H = (W * (size / length).unsqueeze(-1)).mT
    return Point(W, H, torch.zeros(problem.K, dtype=torch.float64))
