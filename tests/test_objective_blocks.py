"""Large problems in blocks of columns: the same numbers as at once to rounding, in less memory."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from test_objective import BIASES, CLASSIFIERS, LOSSES, REGS, assert_points, point
from tolerances import EXACT

import ufm
from ufm import objective as module
from ufm.objective import Objective
from ufm.solvers.observables import observe


N = (7, 4, 3)


def stacked(**fields) -> Objective:
    return Objective.stack([ufm.Problem(K=3, d=2, n=N, **fields)] * 2, sum(N))


@pytest.mark.parametrize("width", [1, 4, 13])
@pytest.mark.parametrize("loss", LOSSES, ids=lambda v: type(v).__name__)
def test_blocks_change_no_number(width, loss, monkeypatch):
    for reg in REGS:
        for bias, classifier in zip(BIASES, (*CLASSIFIERS, CLASSIFIERS[0]), strict=True):
            objective = stacked(loss=loss, reg=reg, bias=bias, classifier=classifier)
            x = point(objective)
            monkeypatch.setattr(module, "BLOCK", 2**22)
            assert len(objective.blocks()) == 1
            value, grad = objective.value_and_grad(x)
            seen = observe(objective, x)
            monkeypatch.setattr(module, "BLOCK", 3 * width)
            assert len(objective.blocks()) == -(-14 // width)
            torch.testing.assert_close(objective.value(x), value, rtol=EXACT, atol=EXACT)
            again, blocked = objective.value_and_grad(x)
            torch.testing.assert_close(again, value, rtol=EXACT, atol=EXACT)
            assert_points(blocked, grad)
            assert_points(objective.grad(x), grad)
            now = observe(objective, x)
            assert list(now) == list(seen)
            for name in seen:
                torch.testing.assert_close(
                    now[name], seen[name], rtol=EXACT, atol=EXACT, equal_nan=True
                )


def test_flows_and_certificates_in_blocks_are_those_at_once(monkeypatch):
    problem = ufm.Problem(K=3, d=3, n=N, reg=ufm.WeightDecay(5e-3, 1e-3), bias=ufm.FreeBias())
    flow = ufm.GradientFlow(t_end=30.0, samples=5, scale=0.5)

    def found():
        sol = ufm.solve(problem, flow, seeds=2)
        return sol, ufm.certify(sol)

    whole, proof = found()
    monkeypatch.setattr(module, "BLOCK", 12)
    blocked, again = found()
    torch.testing.assert_close(blocked.H, whole.H, rtol=1e-9, atol=1e-9)  # thirty units of a flow
    for name in ("primal", "dual", "gap", "raw_gap"):
        torch.testing.assert_close(getattr(again, name), getattr(proof, name), rtol=1e-9, atol=1e-9)
    monkeypatch.setattr(module, "BLOCK", 2**22)
    exact = ufm.certify(blocked)
    torch.testing.assert_close(again.gap, exact.gap, rtol=EXACT, atol=EXACT)


def test_an_instance_in_blocks_does_not_depend_on_its_batch(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 12)
    objective = stacked(reg=ufm.WeightDecay(0.02, 0.03))
    x = point(objective)
    value, grad = objective.value_and_grad(x)
    alone = Objective.stack([objective.template], objective.M)
    for i in range(2):
        one, slope = alone.value_and_grad(module.Point(*(t[i : i + 1] for t in x)))
        assert torch.equal(one[0], value[i])
        assert torch.equal(slope.H[0], grad.H[i])


@pytest.mark.slow
def test_a_million_samples_flow_and_are_certified():
    """K = 10, d = 9, N = 10^6: three times the memory of one state's stages at most."""
    code = (
        "import pathlib, torch, ufm\n"
        "problem = ufm.Problem(K=10, d=9, n=(100_000,) * 10, reg=ufm.AverageBudget(1.0, 5.0))\n"
        "sol = ufm.solve(problem, ufm.GradientFlow(t_end=1e6, samples=3, rtol=1e-5, max_steps=8),\n"
        "                throw=False)\n"
        "cert = ufm.certify(sol)\n"
        "status = pathlib.Path('/proc/self/status').read_text()\n"
        "peak = int(status.split('VmHWM:')[1].split()[0]) / 1024\n"
        "print(float(cert.primal), float(cert.dual), float(cert.gap), peak)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    primal, dual, gap, peak = map(float, out.stdout.split())
    best = float(ufm.solve(ufm.Problem(K=10, d=9, n=(1,) * 10, reg=ufm.AverageBudget(1, 5))).value)
    assert dual <= best <= primal
    assert abs(primal - dual - gap) < 1e-9
    assert peak < 3000
