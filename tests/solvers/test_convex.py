"""The cvxpy programmes: agreement with exact solutions, duals, honesty of the reported values."""

import sys

import cvxpy as cp
import numpy as np
import pytest
import torch
from tolerances import CERTIFIED, EXACT, SOLVED

import ufm
from ufm.objective import Objective
from ufm.solvers._programmes import programme
from ufm.solvers.step import step_optimum


CLARABEL, SCS = ufm.Convex(), ufm.Convex(solver="SCS")
# Clarabel's default tolerances are 1e-8 on a problem of size one; measured errors 1e-11 to 2e-9.
HONEST = 1e-7


def step(K_A, K_B, R, reg, d=None) -> ufm.Problem:
    K = K_A + K_B
    weights = ufm.step_weights(K=K, K_A=K_A, R=R)
    return ufm.Problem(K=K, d=d or K, n=(1,) * K, weights=weights, reg=reg)


def tail(reg, **kwargs) -> ufm.Problem:
    return ufm.Problem(K=4, d=4, n=(7, 3, 2, 1), reg=reg, **kwargs)


RIDGE, MEANS = ufm.WeightDecay(0.01, 0.02), ufm.ClassMeanDecay(0.01, 0.02)
MODELS = {
    "budget": step(3, 2, 4.0, ufm.AverageBudget(1, 5)),
    "budget, long tail": tail(ufm.AverageBudget(2, 1)),
    "budget, free bias": tail(ufm.AverageBudget(2, 1), bias=ufm.FreeBias()),
    "ridge": tail(RIDGE),
    "ridge, free bias": tail(RIDGE, bias=ufm.FreeBias()),
    "ridge, penalised bias": tail(RIDGE, bias=ufm.PenalisedBias(0.01)),
    "class-mean ridge": tail(MEANS),
    "class-mean ridge, penalised bias": tail(MEANS, bias=ufm.PenalisedBias(0.01)),
    "squared error": tail(RIDGE, loss=ufm.SquaredError()),
    "squared error, free bias": tail(MEANS, loss=ufm.SquaredError(), bias=ufm.FreeBias()),
    "squared error, budget": tail(ufm.AverageBudget(0.3, 0.5), loss=ufm.SquaredError()),
    "dot regression": tail(RIDGE, loss=ufm.DotRegression(s=2.0)),
    "per vector": step(3, 2, 4.0, ufm.VectorBudget(1, 1)),
    "per vector, collapsed": step(3, 2, 16.0, ufm.VectorBudget(1, 1)),
    "per vector, long tail": tail(ufm.VectorBudget(2, 1)),
}


def best(problem: ufm.Problem) -> ufm.Solution:
    return ufm.polish(ufm.solve(problem, ufm.LBFGS(), throw=False))


# Per-vector budgets have the semidefinite form only.
FORMS = [
    (name, form)
    for name, model in MODELS.items()
    for form in ("nuclear", "sdp")
    if form == "sdp" or not isinstance(model.reg, ufm.VectorBudget)
]


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_agrees_with_the_local_solver(name, form):
    problem = MODELS[name]
    solution, reference = ufm.solve(problem, ufm.Convex(form=form)), best(problem)
    assert solution.status == (ufm.Status.CONVERGED,)
    assert solution.messages[0].startswith("CLARABEL optimal: objective ")
    assert -1e-9 < (solution.value - reference.value).item() < HONEST
    assert solution.objective().infeasibility(solution.point).max() <= EXACT
    # First order in the factors: the square root of the error of the value.
    assert ufm.distance(solution.geometry[0], reference.geometry[0]) < 100 * SOLVED
    assert solution.steps.item() > 0
    G = solution.objective().risk_grad(solution.Z)
    # The multiplier of the logits is the dual matrix: its sign, size and scale.
    assert (solution.dual - G).norm() / G.norm() < 1e-3


@pytest.mark.parametrize(("K_A", "K_B", "R"), [(5, 5, 5), (5, 5, 100), (7, 3, 5), (2, 2, 2)])
def test_programmes_and_exact_step_solution_agree(K_A, K_B, R):
    problem = step(K_A, K_B, R, ufm.AverageBudget(1, 5))
    exact = float(step_optimum(K_A, K_B, R=R, tau=problem.radius).value)
    for method in (CLARABEL, ufm.Convex(form="sdp"), ufm.Convex(form="sdp", solver="SCS")):
        solution = ufm.solve(problem, method, throw=False)
        error = solution.value.item() - exact
        # SCS stops at 1e-4 of its own residuals: measured up to 6e-5.
        assert -1e-9 < error < (HONEST if method.solver == "CLARABEL" else 1e-4)
        assert ufm.certify(solution).gap.item() > -1e-12


@pytest.mark.parametrize("solver", ["CLARABEL", "SCS"])
def test_a_smaller_tolerance_is_passed_on(solver):
    problem = MODELS["budget"]
    exact = ufm.solve(problem, ufm.ClosedForm()).value.item()
    loose, tight = (
        abs(ufm.solve(problem, ufm.Convex(solver=solver, eps=eps)).value.item() - exact)
        for eps in (1e-3, 1e-10)
    )
    assert tight < 1e-9
    assert tight < loose / 100


def reported(solution: ufm.Solution) -> float:
    return float(solution.messages[0].rpartition(" ")[2])


def test_scs_calls_an_infeasible_value_optimal():
    # The point it stands for violates the budget; put back into it, the value is another one.
    problem = MODELS["budget"]
    exact = ufm.solve(problem, ufm.ClosedForm())
    lower = (ufm.certify(exact).dual - CERTIFIED).item()
    solution = ufm.solve(problem, SCS)
    assert solution.status == (ufm.Status.CONVERGED,)
    assert reported(solution) < lower
    assert solution.value.item() > lower


@pytest.mark.slow
def test_scs_reports_below_the_certified_optimum_at_its_defaults():
    """Over Fang et al.'s sweep (K = 10, E = (1, 5)); several ratios, all called optimal."""
    below = []
    for R in (2.0, 5.0, 10.0, 30.0, 100.0):
        problem = step(5, 5, R, ufm.AverageBudget(1, 5))
        lower = (ufm.certify(ufm.solve(problem, ufm.ClosedForm())).dual - CERTIFIED).item()
        for form in ("nuclear", "sdp"):
            solution = ufm.solve(problem, ufm.Convex(form=form, solver="SCS"), throw=False)
            optimal = solution.messages[0].startswith("SCS optimal")
            below.append(optimal and reported(solution) < lower - 1e-8)
            assert solution.value.item() > lower
            honest = ufm.solve(problem, ufm.Convex(form=form), throw=False)
            assert reported(honest) > lower - 1e-9
    assert sum(below) >= 2


def test_budget_multipliers_of_the_semidefinite_form():
    # With alpha the multiplier of the trace of H: 2 alpha sqrt(E_H/E_W) = |G|_op.
    problem = step(3, 2, 4.0, ufm.AverageBudget(E_W=2.0, E_H=5.0))
    objective = Objective.stack([problem], problem.K)
    compiled = programme(cp, problem, "sdp")
    compiled.set(objective, 0)
    compiled.problem.solve(solver="CLARABEL", tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10)
    mu = float(step_optimum(3, 2, R=4.0, tau=problem.radius).mu)
    # The programme states mean squared norms, hence the factor 1/K.
    beta, alpha = (float(c.dual_value) / problem.K for c in compiled.budgets)
    assert 2 * alpha * (5 / 2) ** 0.5 == pytest.approx(mu, rel=SOLVED)
    assert 2 * beta * (2 / 5) ** 0.5 == pytest.approx(mu, rel=SOLVED)
    assert np.linalg.norm(compiled.tie.dual_value, 2) == pytest.approx(mu, rel=SOLVED)


def test_dual_matrix_is_centred_and_of_the_multiplier_s_size():
    problem = MODELS["budget"]
    solution = ufm.solve(problem, ufm.Convex(eps=1e-10))
    mu = float(step_optimum(3, 2, R=4.0, tau=problem.radius).mu)
    assert solution.dual.sum(-2).abs().max() < SOLVED
    assert torch.linalg.matrix_norm(solution.dual[0], 2).item() == pytest.approx(mu, rel=1e-4)
    # The dual is a lower bound's: negative on the diagonal, where the loss decreases.
    assert (solution.dual[0].diagonal() < 0).all()


def test_a_batch_is_compiled_once_and_equals_a_loop():
    problems = [step(2, 2, R, ufm.AverageBudget(E, 1)) for R, E in ((2, 1), (3, 1), (2, 4))]
    batch = ufm.solve(problems, CLARABEL, seeds=2)
    assert len(batch) == 6
    for i, problem in enumerate(problems):
        single = ufm.solve(problem, CLARABEL)
        assert batch.value[2 * i] == batch.value[2 * i + 1]
        assert batch.value[2 * i].item() == pytest.approx(single.value.item(), abs=1e-9)


def test_too_few_dimensions_are_said():
    # d = 2 for an optimum of rank 4: the programme knows no rank.
    problem = step(3, 2, 4.0, ufm.AverageBudget(1, 5), d=2)
    for form in ("nuclear", "sdp"):
        solution = ufm.solve(problem, ufm.Convex(form=form), throw=False)
        assert solution.status == (ufm.Status.STALLED,)
        assert "its rank exceeds d=2" in solution.messages[0]
        assert solution.W.shape == (1, 5, 2)
    wide = ufm.solve(step(3, 2, 4.0, ufm.AverageBudget(1, 5), d=12), CLARABEL)
    assert wide.W.shape == (1, 5, 12)


def test_failures_keep_what_was_computed(monkeypatch):
    problem = MODELS["budget"]
    # Beyond double precision: the solver stops short and says so.
    solution = ufm.solve(problem, ufm.Convex(eps=1e-17), throw=False)
    assert solution.status[0] in (ufm.Status.STALLED, ufm.Status.SOLVER_FAILED)
    exact = ufm.solve(problem, ufm.ClosedForm()).value.item()
    assert solution.value.item() == pytest.approx(exact, abs=HONEST)
    with pytest.raises(ufm.SolveError):
        ufm.solve(problem, ufm.Convex(eps=1e-17))

    def fail(*_, **__):
        raise cp.error.SolverError("no luck\ntoday")

    monkeypatch.setattr(cp.Problem, "solve", fail)
    solution = ufm.solve(problem, CLARABEL, throw=False)
    assert solution.status == (ufm.Status.SOLVER_FAILED,)
    assert solution.messages == ("CLARABEL failed: no luck",)
    assert (solution.W == 0).all()
    assert solution.dual.isnan().all()


def test_missing_cvxpy_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "cvxpy", None)
    with pytest.raises(ImportError, match=r"pip install 'ufm\[convex\]'"):
        ufm.solve(MODELS["budget"], CLARABEL)


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (MODELS["per vector"], r"^form must be 'sdp' for VectorBudget, got 'nuclear'$"),
        (step(2, 2, 2, ufm.Sphere(1, 1)), "^reg must be a ridge or convex budgets for Convex, got"),
        (
            tail(ufm.VectorBudget(), classifier=ufm.Fixed(ufm.SimplexETF())),
            "^classifier must be Learnable for Convex, got",
        ),
        (
            tail(ufm.WeightDecay(0, 0), loss=ufm.SquaredError()),
            "^lam_W and lam_H must be > 0 for Convex, got",
        ),
    ],
)
def test_models_without_a_programme_are_refused(problem, message):
    with pytest.raises(ValueError, match=message):
        ufm.solve(problem, CLARABEL)
