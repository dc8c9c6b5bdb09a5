"""The comparisons. Each returns rows of plain numbers: time, ratio, and the accuracy reached."""

from __future__ import annotations

import time

import numpy as np
import torch

import ufm
from benchmarks import peers
from benchmarks.measure import Row, in_fresh_process, seconds


def fang_sweep() -> list[Row]:
    """The sweep of Fang et al.'s script: K = 10, K_A = 5, E = (1, 5), 41 ratios."""
    ratios = [10 ** (0.1 * i) for i in range(41)]
    problems = [step_problem(10, R) for R in ratios]

    def ours() -> tuple[ufm.Solution, ufm.Certificate]:
        sol = ufm.polish(ufm.solve(problems))
        return sol, ufm.certify(sol)

    time_ours = seconds(ours)
    _, cert = ours()
    start = time.perf_counter()
    theirs = [peers.cvxpy_sdp(problem) for problem in problems]
    time_sdp = time.perf_counter() - start
    excess = [
        risk(problem, Z) - value
        for problem, (Z, _, _), value in zip(problems, theirs, cert.dual.tolist(), strict=True)
    ]
    return [
        {"what": "ufm: L-BFGS, Newton, certificate", "seconds": time_ours,
         "worst gap": float(cert.gap.max()), "certified": int(cert.passed.sum()), "of": 41},
        {"what": "cvxpy, 2K x 2K SDP, default solver", "seconds": time_sdp,
         "worst |value - certified bound|": max(map(abs, excess)), "certified": 0, "of": 41,
         "ratio": time_sdp / time_ours},
    ]  # fmt: skip


def one_instance() -> list[Row]:
    """One step profile, half the classes in the majority, R = 10, at K = 50, 200 and 1000."""
    problem = step_problem(50, 10.0)

    def ours() -> tuple[ufm.Solution, ufm.Certificate]:
        sol = ufm.solve(problem)
        return sol, ufm.certify(sol)

    time_ours = seconds(ours)
    _, cert = ours()
    rows: list[Row] = [
        {"what": "K = 50, ufm", "seconds": time_ours, "gap": float(cert.gap[0])}
    ]  # fmt: skip
    for solver in ("SCS", "CLARABEL"):
        start = time.perf_counter()
        Z, status, reported = peers.cvxpy_sdp(problem, solver)
        elapsed = time.perf_counter() - start
        rows.append(
            {"what": f"K = 50, cvxpy SDP, {solver}", "seconds": elapsed,
             "ratio": elapsed / time_ours, "solver says": status,
             "reported - certified bound": reported - float(cert.dual[0]),
             "risk of its Z - certified bound": risk(problem, Z) - float(cert.dual[0])}
        )  # fmt: skip
    rows += [large(200, "step"), large(200, "exponential"), large(1000, "step"),
             large(1000, "exponential")]  # fmt: skip
    return rows


def large(K: int, profile: str) -> Row:
    """One large instance in a fresh process, with its peak memory."""
    code = (
        "import time, ufm\n"
        f"K, profile = {K}, {profile!r}\n"
        "if profile == 'step':\n"
        "    shape = dict(n=(1,) * K, weights=ufm.step_weights(K=K, K_A=K // 2, R=10.0))\n"
        "else:\n"
        "    shape = dict(n=ufm.exponential_sizes(K=K, n_max=100_000, rho=100))\n"
        "problem = ufm.Problem(K=K, d=K - 1, reg=ufm.AverageBudget(1.0, 5.0), **shape)\n"
        "method = ufm.LBFGS(memory=8 if K >= 1000 else 12)\n"
        "start = time.perf_counter()\n"
        "sol = ufm.solve(problem, method, throw=False)\n"
        "cert = ufm.certify(sol)\n"
        "result = dict(seconds=time.perf_counter() - start, gap=float(cert.gap[0]),\n"
        "              steps=int(sol.steps[0]), certified=bool(cert.passed[0]))\n"
    )
    result = in_fresh_process(code)
    return {"what": f"K = {K}, {profile}, ufm", **result}


def closed_forms() -> list[Row]:
    """Thresholds and exact step solutions a second, vectorised."""
    from ufm.solvers.step import step_optimum
    from ufm.solvers.thresholds import log_R0

    generator = np.random.default_rng(0)
    count = 200_000
    K_A, K_B = generator.integers(2, 50, count), generator.integers(2, 50, count)
    tau = (K_A + K_B) * generator.uniform(0.1, 5.0, count)
    time_R0 = seconds(lambda: log_R0(K_A, K_B, tau), repeats=3)
    few = 20_000
    R = 10 ** generator.uniform(0.0, 4.0, few)
    time_step = seconds(lambda: step_optimum(K_A[:few], K_B[:few], R=R, tau=tau[:few]), repeats=3)
    return [
        {"what": "R0, any (K_A, K_B, tau)", "a second": count / time_R0},
        {"what": "exact step solution", "a second": few / time_step},
    ]


def start_up() -> list[Row]:
    """What `import ufm` and `ufm --help` cost, medians of five fresh processes."""
    clock = "import time; start = time.perf_counter()\n"

    def median(code: str) -> float:
        runs = [in_fresh_process(clock + code, threads=1)["s"] for _ in range(5)]
        return float(np.median(runs))

    elapsed = "result = {'s': time.perf_counter() - start}"
    with_ufm = median(f"import torch\nimport ufm\n{elapsed}")
    in_use = median(f"import torch\nimport ufm; ufm.solve, ufm.certify, ufm.predict\n{elapsed}")
    only_torch = median(f"import torch\n{elapsed}")
    help_page = median(
        "import io, contextlib\nfrom ufm.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        "    try: main(['--help'])\n"
        "    except SystemExit: pass\n" + elapsed
    )
    return [
        {"what": "import torch", "seconds": only_torch},
        {"what": "import ufm on top", "seconds": with_ufm - only_torch},
        {"what": "the same with solve, certify and predict touched",
         "seconds": in_use - only_torch},
        {"what": "ufm --help, without starting Python", "seconds": help_page},
    ]  # fmt: skip


def step_problem(K: int, R: float) -> ufm.Problem:
    """Half the classes in the majority, E = (1, 5)."""
    weights = ufm.step_weights(K=K, K_A=K // 2, R=R)
    return ufm.Problem(
        K=K, d=K - 1, n=(1,) * K, weights=weights, reg=ufm.AverageBudget(E_W=1, E_H=5)
    )


def risk(problem: ufm.Problem, Z: np.ndarray) -> float:
    """Risk of logits, recomputed in float64."""
    loss = ufm.CrossEntropy().value(torch.as_tensor(Z), torch.arange(problem.K))
    return float(loss @ torch.tensor(problem.pi, dtype=torch.float64))
