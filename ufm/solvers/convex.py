"""The equivalent convex programmes through cvxpy (extra ``convex``).

An independent witness: another formulation, another algorithm, other people's code. What the
solver reports is kept in `messages`; what it is worth is for the certificate to say.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from ufm._typing import Float, Tensor
from ufm.manifold import flatten, gradient
from ufm.methods import Convex
from ufm.objective import Objective, Point
from ufm.problem import RIDGES
from ufm.solvers._feasible import into_budgets
from ufm.solvers._programmes import Programme, programme
from ufm.solvers._result import Result
from ufm.status import Status


# Names that solvers give their tolerances.
TOLERANCES = {
    "CLARABEL": ("tol_gap_abs", "tol_gap_rel", "tol_feas"),
    "SCS": ("eps_abs", "eps_rel"),
}
# Share of the nuclear norm that d columns may leave out before the point is another one.
TRUNCATION = 1e-6


class Answer(NamedTuple):
    """What cvxpy returned for one instance.

    Attributes:
        point: Recovered factors.
        status: How it ended.
        steps: The solver's iterations.
        message: Solver, its status and its objective.
        Y: Dual matrix ``(K, K)``; NaN if there is none.
    """

    point: Point
    status: Status
    steps: int
    message: str
    Y: Float[Tensor, "K K"]


def run(
    objective: Objective,
    method: Convex,
    *,
    start: Point | None = None,
    seeds: tuple[int, ...] = (),
    callback: Callable | None = None,
) -> Result:
    """Solve the programme of each instance and factor the answer.

    Args:
        objective: Problems on class means.
        method: Form, solver and tolerance.
        start: Ignored.
        seeds: Ignored; equal problems are solved once.
        callback: Ignored.

    Returns:
        Factors in the budgets, the solver's word on each, and its dual matrices.

    Raises:
        ValueError: If the model has no such programme.
        ImportError: If cvxpy is not installed.
    """
    cp = _cvxpy()
    compiled = programme(cp, objective.template, method.form)
    answers: dict[Any, Answer] = {}
    for index, problem in enumerate(objective.problems):
        if problem not in answers:
            compiled.set(objective, index)
            status, message = _solved(cp, compiled, method)
            answers[problem] = _answer(objective, index, compiled, status, message)
    found = [answers[problem] for problem in objective.problems]
    points = (torch.stack(parts) for parts in zip(*(a.point for a in found), strict=True))
    x = into_budgets(objective, Point(*(t.to(objective.c) for t in points)))
    device = objective.c.device
    return Result(
        point=x,
        code=torch.tensor([a.status.code for a in found], device=device),
        steps=torch.tensor([a.steps for a in found], device=device),
        grad_norm=flatten(objective, gradient(objective, x)).norm(dim=-1),
        messages=tuple(a.message for a in found),
        dual=torch.stack([a.Y for a in found]).to(objective.c),
    )


def _cvxpy() -> Any:
    try:
        import cvxpy
    except ImportError as error:
        raise ImportError(
            "cvxpy must be installed for Convex: pip install 'ufm[convex]'"
        ) from error
    return cvxpy


def _solved(cp: Any, compiled: Programme, method: Convex) -> tuple[Status, str]:
    options = {}
    if method.eps is not None:
        options = dict.fromkeys(TOLERANCES[method.solver], method.eps)
    with warnings.catch_warnings():
        # Said in the status instead.
        warnings.filterwarnings("ignore", "Solution may be inaccurate", UserWarning)
        try:
            compiled.problem.solve(solver=method.solver, **options)
        except cp.error.SolverError as error:
            return Status.SOLVER_FAILED, f"{method.solver} failed: {str(error).splitlines()[0]}"
    status = {
        cp.OPTIMAL: Status.CONVERGED,
        cp.OPTIMAL_INACCURATE: Status.STALLED,
    }.get(compiled.problem.status, Status.SOLVER_FAILED)
    reported = compiled.problem.value
    shown = "none" if reported is None else repr(float(reported))
    return status, f"{method.solver} {compiled.problem.status}: objective {shown}"


def _answer(
    objective: Objective, index: int, compiled: Programme, status: Status, message: str
) -> Answer:
    K, d = objective.K, objective.d
    Z, Y = compiled.Z.value, compiled.tie.dual_value
    b = np.zeros(K) if compiled.b is None else compiled.b.value
    if Z is None or b is None:
        # Nothing was computed: the zero point, which is feasible.
        point, lost, b = (np.zeros((K, d)), np.zeros((d, K))), 0.0, np.zeros(K)
    elif compiled.X is None:
        *point, lost = _from_logits(objective, index, Z)
    else:
        *point, lost = _from_gram(compiled.X.value, K, d)
    if lost > TRUNCATION and status is Status.CONVERGED:
        status = Status.STALLED
        message += f"; its rank exceeds d={d}, share {lost:.1e} of the spectrum was cut off"
    stats = compiled.problem.solver_stats
    return Answer(
        point=Point(*(torch.from_numpy(np.ascontiguousarray(v)) for v in (*point, b))),
        status=status,
        steps=int(getattr(stats, "num_iters", None) or 0),
        message=message,
        Y=torch.full((K, K), float("nan")).double() if Y is None else -torch.from_numpy(Y),
    )


def _from_logits(
    objective: Objective, index: int, Z: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    # Factors that share the penalty, or the budgets, evenly.
    if isinstance(objective.template.reg, RIDGES):
        left = float(objective.lam_W[index]) ** -0.5
        right = objective.p[index].cpu().numpy() ** -0.5
    else:
        left = float(objective.E_W[index] / objective.E_H[index]) ** 0.25
        right = np.full(objective.K, 1 / left)
    U, S, Vh = np.linalg.svd(Z / (left * right))
    U, S, Vh, lost = _cut(U, S, Vh, objective.d)
    return left * U * np.sqrt(S), np.sqrt(S)[:, None] * Vh * right, lost


def _from_gram(X: np.ndarray, K: int, d: int) -> tuple[np.ndarray, np.ndarray, float]:
    values, vectors = np.linalg.eigh((X + X.T) / 2)
    S, vectors = values[::-1].clip(min=0), vectors[:, ::-1]
    U, S, Vh, lost = _cut(vectors[:K], S, vectors[K:].T, d)
    return U * np.sqrt(S), np.sqrt(S)[:, None] * Vh, lost


def _cut(
    U: np.ndarray, S: np.ndarray, Vh: np.ndarray, d: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    # The d largest components, padded with zeros, and the share of the others.
    lost = float(S[d:].sum() / max(S.sum(), 1e-300))
    pad = max(d - S.size, 0)
    U, S, Vh = U[:, :d], S[:d], Vh[:d]
    return np.pad(U, ((0, 0), (0, pad))), np.pad(S, (0, pad)), np.pad(Vh, ((0, pad), (0, 0))), lost
