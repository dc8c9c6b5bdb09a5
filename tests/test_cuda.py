"""CPU and CUDA run the same code: same starts, same certified values, same geometry."""

from __future__ import annotations

import pytest
import torch
from tolerances import CERTIFIED, SOLVED

import ufm


DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
SHAPE = {"K": 4, "d": 5, "n": (6, 6, 3, 3)}
MODELS = {
    "average": ufm.Problem(**SHAPE, reg=ufm.AverageBudget(1, 5)),
    "vector": ufm.Problem(**SHAPE, reg=ufm.VectorBudget(1, 5)),
    "ridge": ufm.Problem(**SHAPE, reg=ufm.WeightDecay(5e-3, 5e-3), bias=ufm.PenalisedBias(1e-2)),
    "fixed": ufm.Problem(
        **SHAPE, reg=ufm.VectorBudget(1, 5), classifier=ufm.Fixed(ufm.SimplexETF())
    ),
    "mse": ufm.Problem(**SHAPE, loss=ufm.SquaredError(), reg=ufm.ClassMeanDecay(1e-2, 1e-2)),
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", MODELS)
def test_optimum_is_certified_and_equals_the_cpu_optimum(name: str, device: str):
    problem = MODELS[name]
    sol, cert = ufm.solve_certified(problem, seeds=3, device=device)
    assert sol.H.device.type == device
    assert cert.passed.all()
    here = ufm.solve(problem)
    torch.testing.assert_close(
        sol.value.cpu(), here.value.expand(3), rtol=CERTIFIED, atol=CERTIFIED
    )
    # A gap of 1e-10 fixes the geometry to about its square root.
    assert ufm.distance(sol[0].geometry, here[0].geometry).item() < SOLVED


@pytest.mark.parametrize("device", DEVICES)
def test_flow_follows_the_cpu_trajectory(device: str):
    method = ufm.GradientFlow(t_end=30.0, samples=10, scale=0.5)
    there = ufm.solve(MODELS["ridge"], method, seeds=2, device=device)
    here = ufm.solve(MODELS["ridge"], method, seeds=2)
    assert there.trace is not None
    assert here.trace is not None
    loss, reference = there.trace.rows["value"].cpu(), here.trace.rows["value"]
    torch.testing.assert_close(loss, reference, rtol=SOLVED, atol=0)


@pytest.mark.parametrize("device", DEVICES)
def test_metrics_and_prediction_of_a_device_solution(device: str):
    problem = ufm.Problem(K=4, d=3, n=(5,) * 4, reg=ufm.AverageBudget(3, 2))
    sol = ufm.polish(ufm.solve(problem, device=device))
    (prediction,) = [p for p in ufm.predict(problem) if p.claim.id == "fang2021.balanced"]
    assert ufm.distance(sol[0].geometry, prediction.geometry).item() < CERTIFIED
    assert sol[0].nc().as_row()["nc2_etf_err"] < SOLVED
