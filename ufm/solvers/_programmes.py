"""The convex programmes behind the models, as parametrised cvxpy problems.

The nuclear form minimises over the logits, the semidefinite form over the Gram matrix of
``(w_1..w_K, h_1..h_K)``; both are exact for ``d >= rank``. cvxpy is imported by whoever builds one
and handed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ufm.losses import CrossEntropy, DotRegression, Loss, SquaredError
from ufm.objective import Objective
from ufm.problem import (
    RIDGES,
    AverageBudget,
    NoBias,
    PenalisedBias,
    Problem,
    VectorBudget,
)


@dataclass(frozen=True, eq=False)
class Programme:
    """One compiled programme for a batch; parameters carry what differs between instances.

    Attributes:
        problem: The cvxpy problem.
        parameters: Parameter name to the cvxpy parameter.
        Z: Expression of the logits without bias.
        X: Gram matrix of the semidefinite form, or None.
        b: Bias variable, or None.
        tie: Constraint ``L = Z + b 1'`` whose multiplier is minus the dual matrix Y.
        budgets: Constraints of the budgets; empty for ridges.
    """

    problem: Any
    parameters: dict[str, Any]
    Z: Any
    X: Any
    b: Any
    tie: Any
    budgets: tuple[Any, ...]

    def set(self, objective: Objective, index: int) -> None:
        """Give the parameters the values of one instance.

        Args:
            objective: The batch on class means.
            index: Position of the instance.
        """
        problem = objective.problems[index]
        values: dict[str, Any] = {
            "pi": np.array(problem.pi),
            "p": objective.p[index].cpu().numpy(),
            "lam_W": float(objective.lam_W[index]),
            "lam_b": float(objective.lam_b[index]),
            "E_W": float(objective.E_W[index]),
            "E_H": float(objective.E_H[index]),
        }
        values["weight"] = np.sqrt(values["lam_W"] * values["p"])
        values["tau"] = problem.K * (values["E_W"] * values["E_H"]) ** 0.5
        for name, parameter in self.parameters.items():
            parameter.value = values[name]


def programme(cp: Any, template: Problem, form: str) -> Programme:
    """Build the programme of a model.

    Args:
        cp: The cvxpy module.
        template: A problem of the batch.
        form: ``"nuclear"`` or ``"sdp"``.

    Returns:
        The programme, parameters unset.

    Raises:
        ValueError: If the model has no such programme.
    """
    _check(template, form)
    K = template.K
    parameters: dict[str, Any] = {"pi": cp.Parameter(K, nonneg=True)}
    L = cp.Variable((K, K))
    X = cp.Variable((2 * K, 2 * K), PSD=True) if form == "sdp" else None
    Z = cp.Variable((K, K)) if X is None else X[:K, K:]
    b = None if isinstance(template.bias, NoBias) else cp.Variable(K)
    shift = 0 if b is None else cp.reshape(b, (K, 1), order="C") @ np.ones((1, K))
    tie = L - Z - shift == 0
    cost = _risk(cp, template.loss, L, parameters["pi"])
    if isinstance(template.bias, PenalisedBias):
        parameters["lam_b"] = cp.Parameter(nonneg=True)
        cost += parameters["lam_b"] * cp.sum_squares(b) / 2
    penalty, budgets = (
        _nuclear(cp, template, Z, parameters) if X is None else _gram(cp, template, X, parameters)
    )
    problem = cp.Problem(cp.Minimize(cost + penalty), [tie, *budgets])
    return Programme(problem, parameters, Z, X, b, tie, tuple(budgets))


def _check(template: Problem, form: str) -> None:
    if not template.is_learnable:
        raise ValueError(f"classifier must be Learnable for Convex, got {template.classifier}")
    if not isinstance(template.reg, (AverageBudget, VectorBudget, *RIDGES)):
        raise ValueError(f"reg must be a ridge or convex budgets for Convex, got {template.reg}")
    if isinstance(template.reg, VectorBudget) and form != "sdp":
        raise ValueError(f"form must be 'sdp' for VectorBudget, got {form!r}")
    if isinstance(template.reg, RIDGES) and 0 in (template.reg.lam_W, template.reg.lam_H):
        raise ValueError(f"lam_W and lam_H must be > 0 for Convex, got {template.reg}")


def _risk(cp: Any, loss: Loss, L: Any, pi: Any) -> Any:
    match loss:
        case CrossEntropy():
            return cp.sum(cp.multiply(pi, cp.log_sum_exp(L, axis=0) - cp.diag(L)))
        case SquaredError():
            return cp.sum(cp.multiply(pi, cp.sum(cp.square(L - np.eye(L.shape[0])), axis=0))) / 2
        case DotRegression(s=s):
            return cp.sum(cp.multiply(pi, cp.square(cp.diag(L) - s))) / (2 * s)
    raise ValueError(f"loss must be a known convex loss, got {loss}")


def _nuclear(
    cp: Any, template: Problem, Z: Any, parameters: dict[str, Any]
) -> tuple[Any, list[Any]]:
    if isinstance(template.reg, AverageBudget):
        parameters["tau"] = cp.Parameter(nonneg=True)
        return 0, [cp.normNuc(Z) <= parameters["tau"]]
    parameters["weight"] = cp.Parameter(template.K, nonneg=True)
    return cp.normNuc(Z @ cp.diag(parameters["weight"])), []


def _gram(cp: Any, template: Problem, X: Any, parameters: dict[str, Any]) -> tuple[Any, list[Any]]:
    K = template.K
    rows, columns = cp.diag(X)[:K], cp.diag(X)[K:]
    if isinstance(template.reg, RIDGES):
        parameters["lam_W"] = cp.Parameter(nonneg=True)
        parameters["p"] = cp.Parameter(K, nonneg=True)
        return (parameters["lam_W"] * cp.sum(rows) + parameters["p"] @ columns) / 2, []
    parameters["E_W"], parameters["E_H"] = cp.Parameter(nonneg=True), cp.Parameter(nonneg=True)
    if isinstance(template.reg, AverageBudget):
        rows, columns = cp.sum(rows) / K, cp.sum(columns) / K
    return 0, [rows <= parameters["E_W"], columns <= parameters["E_H"]]
