"""The CUDA kernels, run on the CPU by Triton's interpreter, against the tensor path."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tolerances import CERTIFIED, EXACT

import ufm
from ufm.objective import Objective
from ufm.solvers._feasible import into_budgets
from ufm.solvers._manifolds import chart_of
from ufm.solvers._start import start as start_at
from ufm.status import Status


pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is not installed (extra `triton`)"
)
SIZES = [(9, 4, 1), (1000, 3, 3), (50, 50, 50)]


def problems(K: int, d: int, sizes: list[tuple[int, ...]]) -> list[ufm.Problem]:
    return [
        ufm.Problem(K=K, d=d, n=n, reg=ufm.AverageBudget(1.0, E_H))
        for n, E_H in zip(sizes, (4.0, 0.3, 9.0), strict=False)
    ]


# d = K - 1 with an even number of coordinates padded to 16; odd K with d > K; K = 2, d = 1.
SHAPES = {
    "K3": problems(3, 2, SIZES),
    "K5": problems(5, 6, [(*n, 20, 2) for n in SIZES[:2]]),
    "K2": problems(2, 1, [n[:2] for n in SIZES[:1]]),
}
SPOILT = 0


def case(batch: list[ufm.Problem], programs: int = 2, **method) -> dict:
    objective = Objective.stack(batch, batch[0].K)
    chart = chart_of(objective)
    x = start_at(chart, objective, "frame", (0,) * len(batch))
    return {
        "x": x, "c": objective.c, "radius2": chart.radius2, "method": method, "programs": programs,
    }  # fmt: skip


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[str, dict]:
    folder = tmp_path_factory.mktemp("interpreted")
    cases = {name: case(batch) for name, batch in SHAPES.items()}
    spoilt = case(SHAPES["K3"][:2], programs=1)
    spoilt["x"] = spoilt["x"].clone()
    spoilt["x"][SPOILT] = float("nan")
    cases["spoilt"] = spoilt
    cases["alone"] = {
        name: value[1:2] if isinstance(value, torch.Tensor) else value
        for name, value in cases["K3"].items()
    }
    cases["stopped"] = case(SHAPES["K3"][:1], max_steps=2)
    torch.save(list(cases.values()), folder / "in.pt")
    script = Path(__file__).with_name("interpreted_for_cuda.py")
    command = [sys.executable, "-W", "ignore", str(script)]
    done = subprocess.run(
        [*command, str(folder / "in.pt"), str(folder / "out.pt")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(cases, torch.load(folder / "out.pt"), strict=True))


@pytest.mark.parametrize("name", SHAPES)
def test_solution_and_certificate_are_those_of_the_tensor_path(name: str, outcomes):
    batch, out = SHAPES[name], outcomes[name]
    reference = ufm.solve(batch, ufm.LBFGS(memory=4, engine="tensors"))
    assert (out["code"] == Status.CONVERGED.code).all()
    assert out["passed"].all()
    torch.testing.assert_close(out["value"], reference.value, rtol=CERTIFIED, atol=CERTIFIED)
    # The same algorithm: only rounding may cost or save a step.
    assert ((out["steps"] - reference.steps).abs() <= 1).all()
    assert (out["evaluations"] > out["steps"]).all()

    objective = Objective.stack(batch, batch[0].K)
    chart = chart_of(objective)
    point = into_budgets(objective, chart.point(out["x"]))
    cert = ufm.certify(replace(reference, point=point))
    assert cert.passed.all()
    torch.testing.assert_close(out["primal"], cert.primal, rtol=EXACT, atol=EXACT)
    torch.testing.assert_close(out["margin"], cert.margin, rtol=CERTIFIED, atol=0)
    # The tensor path may know a better bound than the clip, never a worse one.
    assert (out["gap"] >= cert.gap - cert.margin).all()
    clipped = torch.tensor(["clip" in text for text in cert.bound])
    torch.testing.assert_close(
        out["gap"][clipped], cert.gap[clipped], rtol=1e-3, atol=float(cert.margin.max())
    )
    torch.testing.assert_close(out["Y"][clipped], cert.Y[clipped], rtol=0, atol=EXACT)


@pytest.mark.parametrize("name", SHAPES)
def test_dual_matrix_is_feasible_and_its_bound_holds(name: str, outcomes):
    out, batch = outcomes[name], SHAPES[name]
    pi, Y = torch.tensor([p.pi for p in batch], dtype=torch.float64), out["Y"]
    Q = torch.eye(Y.shape[-1], dtype=torch.float64) + Y / pi.unsqueeze(-2)
    assert Q.min() >= -EXACT
    torch.testing.assert_close(Q.sum(-2), torch.ones_like(pi), rtol=0, atol=EXACT)
    tau = torch.tensor([p.radius for p in batch], dtype=torch.float64)
    lower = -(pi * Q.clamp(min=0).xlogy(Q.clamp(min=0)).sum(-2)).sum(-1)
    lower = lower - tau * torch.linalg.matrix_norm(Y, 2)
    # The gap is that of an upper bound on the norm of Y, tight to rounding.
    slack = out["primal"] - out["gap"] - lower
    assert (slack.abs() <= 1e-13 * (1 + tau)).all()  # cancellation in the plain difference


def test_a_nan_stops_its_own_instance_only(outcomes):
    spoilt, clean = outcomes["spoilt"], outcomes["K3"]
    assert spoilt["code"][SPOILT] == Status.NONFINITE.code
    assert not spoilt["passed"][SPOILT]
    for name in ("x", "value", "grad_norm", "steps", "gap"):
        assert torch.equal(spoilt[name][1], clean[name][1]), name


def test_alone_is_as_in_a_batch(outcomes):
    for name in ("x", "value", "grad_norm", "steps", "gap", "Y"):
        assert torch.equal(outcomes["alone"][name], outcomes["K3"][name][1:2]), name


def test_step_limit_is_a_status_and_a_loose_point_is_not_passed(outcomes):
    out = outcomes["stopped"]
    assert out["code"].tolist() == [Status.MAX_STEPS.code]
    assert out["steps"].tolist() == [2]
    assert not out["passed"].any()
    optimum = outcomes["K3"]["value"][0]
    assert out["primal"] - out["gap"] <= optimum + CERTIFIED
