"""On a card: kernel and graphs against the tensor path and the CPU, statuses, no hidden waiting."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tolerances import CERTIFIED, EXACT, SOLVED

import ufm
from ufm import _pieces
from ufm._pieces import free_bytes
from ufm.certificates import _fused
from ufm.certificates.cuda.fused import bound_average
from ufm.objective import Objective
from ufm.solvers._feasible import into_budgets
from ufm.solvers._manifolds import Chart, chart_of
from ufm.solvers._start import start as start_at
from ufm.solvers.cuda import fused, turns
from ufm.status import Status


pytestmark = pytest.mark.gpu
TENSORS = ufm.LBFGS(engine="tensors")


def problems(count: int, K: int = 10, d: int = 9) -> list[ufm.Problem]:
    """Log-random class sizes over three decades, tau / K from 0.5 to 5."""
    generator = np.random.default_rng(0)
    return [
        ufm.Problem(
            K=K, d=d, n=tuple(int(n) for n in 10 ** generator.uniform(0, 3, K)),
            reg=ufm.AverageBudget(1.0, float(generator.uniform(0.5, 5.0)) ** 2),
        )
        for _ in range(count)
    ]  # fmt: skip


def begun(batch: list[ufm.Problem], device: str = "cuda") -> tuple[Objective, Chart, torch.Tensor]:
    objective = Objective.stack(batch, batch[0].K, device=device)
    chart = chart_of(objective)
    return objective, chart, start_at(chart, objective, "frame", (0,) * len(batch)).clone()


def launched(chart: Chart, x: torch.Tensor) -> fused.Outcome:
    return fused.minimise(x, chart.factors.c, chart.radius2, method=ufm.LBFGS())


@pytest.mark.parametrize(("K", "d"), [(10, 9), (10, 10), (16, 15), (5, 4), (2, 1)])
def test_kernel_graphs_and_tensors_find_the_cpu_optimum(K: int, d: int):
    batch = problems(64, K, d)
    here = ufm.solve(batch, TENSORS)
    _, chart, x = begun(batch)
    assert fused.takes(chart)
    kernel, graphs = launched(chart, x), turns.minimise(chart, x, method=ufm.LBFGS())
    tensors = ufm.solve(batch, TENSORS, device="cuda")
    for found in (kernel, graphs, tensors):
        assert (found.code == Status.CONVERGED.code).all()
        torch.testing.assert_close(found.value.cpu(), here.value, rtol=CERTIFIED, atol=CERTIFIED)
    # Rounding may cost a step now and then; another algorithm would need others everywhere.
    assert (graphs.steps.cpu() - here.steps).abs().float().mean() < 0.5


def test_solve_takes_the_kernel_by_itself_and_its_certificate_agrees(monkeypatch):
    calls = []
    original = fused.minimise
    monkeypatch.setattr(fused, "minimise", lambda *a, **k: calls.append(1) or original(*a, **k))
    batch = problems(64)
    sol = ufm.solve(batch, device="cuda")
    assert calls
    cert = ufm.certify(sol)
    assert cert.passed.all()
    objective, chart, x = begun(batch)
    out = launched(chart, x)
    proof = bound_average(out.x, chart.factors.c, chart.radius2, keep_Y=True)
    assert proof.passed.all()
    cert = ufm.certify(replace(sol, point=into_budgets(objective, chart.point(out.x))))
    assert (proof.gap >= cert.gap - cert.margin).all()
    assert proof.Y is not None
    clipped = torch.tensor(["clip" in text for text in cert.bound])
    torch.testing.assert_close(proof.Y.cpu()[clipped], cert.Y.cpu()[clipped], rtol=0, atol=SOLVED)


def test_certify_takes_the_kernel_and_finds_the_evidence_of_the_tensors(monkeypatch):
    calls = []
    original = _fused.prove_average
    monkeypatch.setattr(_fused, "prove_average", lambda *a: calls.append(1) or original(*a))
    sol = ufm.solve(problems(64), device="cuda")
    noise = (
        1
        + 1e-3 * torch.randn_like(sol.W) * (torch.arange(64, device="cuda") % 4 == 3)[:, None, None]
    )
    sol = replace(sol, point=sol.point._replace(W=sol.W * noise))
    cert, tensors = ufm.certify(sol), ufm.certify(sol, engine="tensors")
    assert calls
    assert cert.gap.is_cuda
    assert cert.bound == tensors.bound  # trial ranks included
    for name in ("primal", "raw_gap", "infeasibility", "stationarity", "dual", "gap", "rank"):
        torch.testing.assert_close(
            getattr(cert, name), getattr(tensors, name), rtol=1e-9, atol=EXACT
        )
    for name in ("Y", "multipliers"):  # eigenvectors of clusters are nobody's
        torch.testing.assert_close(getattr(cert, name), getattr(tensors, name), rtol=0, atol=SOLVED)
    for i in (0, 3, 63):
        assert torch.equal(ufm.certify(sol[i]).gap, cert[i].gap)


def test_kernel_certifies_almost_all_of_a_large_batch():
    _, chart, x = begun(problems(4096))
    out = launched(chart, x)
    proof = bound_average(out.x, chart.factors.c, chart.radius2)
    # The page: 99.8 % at this tolerance, the others after another turn.
    assert proof.passed.double().mean() > 0.99
    assert (out.code == Status.CONVERGED.code).all()


@pytest.mark.parametrize("rows", [[0], [5], [3, 4, 200]])
def test_alone_and_in_a_batch_are_bitwise_equal(rows: list[int]):
    _, chart, x = begun(problems(256))
    whole, index = launched(chart, x), torch.tensor(rows, device="cuda")
    part = launched(chart.select(index), x[index])
    for a, b in zip(part, whole, strict=True):
        assert torch.equal(a, b[index])
    proofs = [
        bound_average(out.x, c.factors.c, c.radius2, keep_Y=True)
        for out, c in ((part, chart.select(index)), (whole, chart))
    ]
    for a, b in zip(*proofs, strict=True):
        assert torch.equal(a, b[index])


def test_again_is_bitwise_equal():
    _, chart, x = begun(problems(512))
    first, second = launched(chart, x), launched(chart, x)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_spoilt_instance_leaves_its_neighbours_alone(poison: float):
    _, chart, x = begun(problems(128))
    clean = launched(chart, x)
    spoilt_x = x.clone()
    spoilt_x[7] = poison
    spoilt = launched(chart, spoilt_x)
    assert spoilt.code[7] == Status.NONFINITE.code
    others = torch.arange(128, device="cuda") != 7
    assert all(torch.equal(a[others], b[others]) for a, b in zip(spoilt, clean, strict=True))
    graphs = turns.minimise(chart, spoilt_x, method=ufm.LBFGS())
    assert graphs.code[7] == Status.NONFINITE.code
    assert (graphs.code[others] == Status.CONVERGED.code).all()


def test_a_kernel_asked_for_where_there_is_none_is_an_error():
    assert ufm.solve(problems(2), ufm.LBFGS(engine="fused"), device="cuda").converged.all()
    for batch in (problems(2, 17, 16), problems(2, 4, 17)):
        assert not fused.takes(begun(batch)[1])
        with pytest.raises(ValueError, match="engine must be"):
            ufm.solve(batch, ufm.LBFGS(engine="fused"), device="cuda")


def test_memory_that_the_allocator_keeps_is_free():
    device, size = torch.device("cuda"), 2**28
    before = free_bytes(device)
    assert before is not None
    block = torch.empty(size, dtype=torch.uint8, device=device)
    during = free_bytes(device)
    del block
    after = free_bytes(device)
    assert during is not None
    assert after is not None
    assert during <= before - size // 2
    assert after >= before - size // 2


def test_a_batch_in_pieces_is_bitwise_the_whole(monkeypatch):
    batch = problems(50)
    whole = ufm.solve(batch, device="cuda")
    monkeypatch.setattr(_pieces, "free_bytes", lambda device: 2 * 10**6)
    assert len(list(_pieces.pieces(50, 64_000, torch.device("cuda")))) > 1
    split = ufm.solve(batch, device="cuda")
    assert torch.equal(split.W, whole.W)
    assert torch.equal(split.value, whole.value)


def test_devices_are_not_mixed():
    _, chart, x = begun(problems(4))
    with pytest.raises(ValueError, match="must be on the device of x"):
        fused.minimise(x, chart.factors.c.cpu(), chart.radius2, method=ufm.LBFGS())
    with pytest.raises(ValueError, match="must be on the device of x"):
        bound_average(x.cpu(), chart.factors.c, chart.radius2)


@pytest.fixture
def no_waiting():
    """An error for whatever makes the host wait for the device without being asked to."""
    before = torch.cuda.get_sync_debug_mode()

    class Forbidden:
        def __enter__(self):
            torch.cuda.set_sync_debug_mode("error")

        def __exit__(self, *_):
            torch.cuda.set_sync_debug_mode(before)

    yield Forbidden()
    torch.cuda.set_sync_debug_mode(before)


def test_nothing_waits_for_the_host_inside_a_solve(no_waiting):
    _, chart, x = begun(problems(512))
    launched(chart, x)
    turns.minimise(chart, x, method=ufm.LBFGS())
    with no_waiting:
        out = launched(chart, x)
        bound_average(out.x, chart.factors.c, chart.radius2)
    with no_waiting:
        graphs = turns.minimise(chart, x, method=ufm.LBFGS())
    torch.testing.assert_close(graphs.value, out.value, rtol=CERTIFIED, atol=CERTIFIED)


@pytest.mark.parametrize(
    "model",
    [
        {"reg": ufm.VectorBudget(1, 5)},
        {"reg": ufm.WeightDecay(5e-3, 5e-3), "bias": ufm.PenalisedBias(1e-2)},
        {"reg": ufm.VectorBudget(1, 5), "classifier": ufm.Fixed(ufm.SimplexETF())},
        {"reg": ufm.ClassMeanDecay(1e-2, 1e-2), "loss": ufm.SquaredError()},
    ],
)
def test_graphs_solve_the_models_without_a_kernel(model: dict):
    batch = [ufm.Problem(K=4, d=5, n=(6, 6, k, 3), **model) for k in range(1, 100)]
    there, here = ufm.solve(batch, device="cuda"), ufm.solve(batch, TENSORS)
    torch.testing.assert_close(there.value.cpu(), here.value, rtol=CERTIFIED, atol=CERTIFIED)
