"""The loop for captured graphs, run without capture on the CPU, against the reference."""

from __future__ import annotations

import pytest
import torch
from tolerances import CERTIFIED

import ufm
from ufm.objective import Objective
from ufm.solvers._manifolds import chart_of
from ufm.solvers._start import start as start_at
from ufm.solvers.cuda import turns
from ufm.status import Status


SIZES = [(9, 4, 1, 1), (1, 1, 1, 1), (1000, 3, 3, 50), (7, 1, 900, 2), (5, 5, 1, 1)]
SHAPE = {"K": 4, "d": 5}


def batch(**model) -> list[ufm.Problem]:
    return [ufm.Problem(**SHAPE, n=n, **model) for n in SIZES]


MODELS = {
    "average": batch(reg=ufm.AverageBudget(1, 5)),
    "vector": batch(reg=ufm.VectorBudget(1, 5)),
    "ridge": batch(reg=ufm.ClassMeanDecay(5e-2, 5e-2), bias=ufm.PenalisedBias(1e-2)),
    "fixed": batch(reg=ufm.VectorBudget(1, 5), classifier=ufm.Fixed(ufm.SimplexETF())),
    "mse": batch(loss=ufm.SquaredError(), reg=ufm.AverageBudget(1, 5)),
}


def minimised(problems: list[ufm.Problem], method: ufm.LBFGS, rows: list[int] | None = None):
    objective = Objective.stack(problems, problems[0].K)
    chart = chart_of(objective)
    x = start_at(chart, objective, method.start, (0,) * len(problems)).clone()
    if rows is not None:
        x[rows] = float("nan")
    return turns.minimise(chart, x, method=method)


@pytest.mark.parametrize("name", MODELS)
def test_same_optimum_and_steps_as_the_reference(name: str):
    method = ufm.LBFGS(engine="tensors")
    out, reference = minimised(MODELS[name], method), ufm.solve(MODELS[name], method)
    assert (out.code == Status.CONVERGED.code).all()
    torch.testing.assert_close(out.value, reference.value, rtol=CERTIFIED, atol=CERTIFIED)
    # The same algorithm: only rounding may cost or save a step.
    assert ((out.steps - reference.steps).abs() <= 2).all()


def test_halved_batches_keep_the_order(monkeypatch):
    monkeypatch.setattr(turns, "SMALLEST", 1)
    monkeypatch.setattr(turns, "BLOCK", 2)
    method = ufm.LBFGS(engine="tensors")
    out, reference = minimised(MODELS["average"], method), ufm.solve(MODELS["average"], method)
    torch.testing.assert_close(out.value, reference.value, rtol=CERTIFIED, atol=CERTIFIED)
    assert ((out.steps - reference.steps).abs() <= 1).all()


def test_a_nan_and_a_step_limit_are_statuses_of_their_own():
    method = ufm.LBFGS(engine="tensors")
    clean, spoilt = minimised(MODELS["average"], method), minimised(MODELS["average"], method, [1])
    others = [0, 2, 3, 4]
    assert spoilt.code.tolist() == [0, Status.NONFINITE.code, 0, 0, 0]
    assert torch.equal(spoilt.x[others], clean.x[others])
    stopped = minimised(MODELS["average"], ufm.LBFGS(engine="tensors", max_steps=3))
    balanced = 1
    for i, code in enumerate(stopped.code.tolist()):
        expected = (Status.CONVERGED.code, 0) if i == balanced else (Status.MAX_STEPS.code, 3)
        assert (code, stopped.steps[i].item()) == expected


def test_a_start_at_the_optimum_stalls_at_rounding_level():
    tight = ufm.LBFGS(engine="tensors", gtol=1e-300, max_steps=400)
    out, reference = (
        minimised(MODELS["average"], tight),
        ufm.solve(MODELS["average"], tight, throw=False),
    )
    assert (out.code == Status.STALLED.code).all()
    torch.testing.assert_close(out.value, reference.value, rtol=CERTIFIED, atol=CERTIFIED)
