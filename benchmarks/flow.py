"""Gradient flow beside torchdiffeq, the loops of the field's scripts beside certified optima."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

import ufm
from benchmarks.measure import Row
from ufm.manifold import flatten, gaussian, gradient, unflatten
from ufm.objective import Objective


PROBLEM = ufm.Problem(K=10, d=10, n=(10,) * 10, reg=ufm.WeightDecay(5e-3, 1e-4))
T_END, SEEDS = 300.0, 16
TOLERANCES = (1e-4, 1e-6, 1e-8)


def flow() -> list[Row]:
    """K = 10, d = 10, N = 100, ridge, t = 300, 16 seeds: time against the error reached.

    torchdiffeq's dopri5 is the same pair. As one batched state it takes one step size for all
    seeds; in a loop one each, as ours. `at equal error` interpolates its time, in logarithms, to
    the error of ours.
    """
    objective = Objective.stack([PROBLEM] * SEEDS, PROBLEM.N)
    x0 = flatten(objective, gaussian(objective, tuple(range(SEEDS))))
    exact = ours(1e-13, atol=1e-15)
    rows: list[Row] = []
    found = {"ufm": [timed(lambda r=r: ours(r), exact) for r in TOLERANCES]}
    for name, solver in (
        ("torchdiffeq, one batched state, our gradient", lambda r: batched(objective, x0, r)),
        ("torchdiffeq, loop over seeds, our gradient", lambda r: looped(x0, r, autograd=False)),
        ("torchdiffeq, loop over seeds, autograd", lambda r: looped(x0, r, autograd=True)),
    ):
        found[name] = [timed(lambda r=r, s=solver: s(r), exact) for r in TOLERANCES]
    for name, results in found.items():
        for rtol, (elapsed, error) in zip(TOLERANCES, results, strict=True):
            row: Row = {"what": f"{name}, rtol {rtol:g}", "seconds": elapsed, "worst error": error}
            rows.append(row)
        if name != "ufm":
            rows[-1]["ratio at equal error"] = ratio(found["ufm"], results)
    return rows


def ours(rtol: float, atol: float | None = None) -> torch.Tensor:
    """End points of all seeds, flat."""
    method = ufm.GradientFlow(
        t_end=T_END, rtol=max(rtol, 1e-14), atol=atol or rtol * 1e-2, samples=2
    )
    sol = ufm.solve(PROBLEM, method, seeds=SEEDS)
    return flatten(Objective.stack([PROBLEM] * SEEDS, PROBLEM.N), sol.point)


def dopri5(field: Callable[..., torch.Tensor], x0: torch.Tensor, rtol: float) -> torch.Tensor:
    """End point of torchdiffeq's flow."""
    from torchdiffeq import odeint

    times = torch.tensor([0.0, T_END], dtype=torch.float64)
    with torch.no_grad():
        path = odeint(field, x0, times, rtol=rtol, atol=rtol * 1e-2, method="dopri5")
    assert isinstance(path, torch.Tensor)  # one state in, one path out
    return path[-1]


def batched(objective: Objective, x0: torch.Tensor, rtol: float) -> torch.Tensor:
    def field(_: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return -flatten(objective, gradient(objective, unflatten(objective, x)))

    return dopri5(field, x0, rtol)


def looped(x0: torch.Tensor, rtol: float, *, autograd: bool) -> torch.Tensor:
    objective = Objective.stack([PROBLEM], PROBLEM.N)

    def field(_: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        if not autograd:
            return -flatten(objective, gradient(objective, unflatten(objective, x)))
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            point = unflatten(objective, x)
            value = objective.value(point._replace(b=0 * point.b)).sum()  # no bias in this model
            return -torch.autograd.grad(value, x)[0]

    return torch.cat([dopri5(field, x, rtol) for x in x0.unsqueeze(1)])


def timed(run: Callable[[], torch.Tensor], exact: torch.Tensor) -> tuple[float, float]:
    """CPU seconds of this thread's process, which other load does not lengthen, and the error."""
    run()
    start = time.process_time()
    x = run()
    elapsed = time.process_time() - start
    size = torch.linalg.vector_norm(exact, dim=-1)
    return elapsed, float((torch.linalg.vector_norm(x - exact, dim=-1) / size).max())


def ratio(ours: list[tuple[float, float]], theirs: list[tuple[float, float]]) -> float:
    """Their time at the error of our middle run over ours, by a line in logarithms."""
    seconds, errors = np.log(np.array(theirs)).T
    slope, offset = np.polyfit(errors, seconds, 1)
    own_seconds, own_error = ours[len(ours) // 2]
    return float(np.exp(offset + slope * np.log(own_error)) / own_seconds)


def descents() -> list[Row]:
    """Loops as in the field's scripts on the same ridge model, K = 10, N = 100, beside ours.

    The excess is over our certified lower bound. 10^4 steps each.
    """
    ufm.solve_certified(PROBLEM)
    start = time.process_time()
    _, cert = ufm.solve_certified(PROBLEM)
    own = time.process_time() - start
    rows: list[Row] = [
        {"what": "ufm: solve_certified", "seconds": own,
         "excess": float(cert.gap[0]), "certified": bool(cert.passed[0])}
    ]  # fmt: skip
    for what, make in (
        ("SGD, lr 1, momentum 0.9", lambda p: torch.optim.SGD(p, lr=1.0, momentum=0.9)),
        ("SGD, lr 0.1, momentum 0.9", lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)),
        ("Adam, lr 1e-2", lambda p: torch.optim.Adam(p, lr=1e-2)),
        ("Adam, lr 1e-3", lambda p: torch.optim.Adam(p, lr=1e-3)),
    ):
        start = time.process_time()
        point = loop(make, 10_000)
        elapsed = time.process_time() - start
        bound = ufm.certify(ufm.Solution.from_arrays(PROBLEM, *point))
        rows.append(
            {"what": what, "seconds": elapsed, "ratio": elapsed / own,
             "excess": float(bound.primal) - float(cert.dual[0]), "its own gap": float(bound.gap),
             "certified": bool(bound.passed)}
        )  # fmt: skip
    return rows


def loop(
    make: Callable[[list[torch.Tensor]], torch.optim.Optimizer], steps: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """W and H after some steps of an optimiser, cross-entropy and explicit weight decay."""
    problem, generator = PROBLEM, torch.Generator().manual_seed(0)
    K, d, N = problem.K, problem.d, problem.N
    W = (torch.randn(K, d, generator=generator, dtype=torch.float64) / d**0.5).requires_grad_()
    H = (torch.randn(d, N, generator=generator, dtype=torch.float64) / d**0.5).requires_grad_()
    y, optimiser = torch.tensor(problem.labels(N)), make([W, H])
    reg = problem.reg
    for _ in range(steps):
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy((W @ H).T, y)
        ridge = reg.lam_W * W.square().sum() + reg.lam_H * H.square().sum()  # pyright: ignore[reportAttributeAccessIssue]
        (loss + ridge / 2).backward()
        optimiser.step()
    return W.detach(), H.detach()
