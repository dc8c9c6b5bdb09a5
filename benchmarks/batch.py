"""Many random instances at K = 10: solved and certified, beside what a user would pick instead."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import ufm
from benchmarks import peers
from benchmarks.core import risk
from benchmarks.measure import Row, seconds


K, D, COUNT = 10, 9, 10_000
LINEAR = (1000, 10_000, 100_000)
# Peer, and how many of the instances it gets.
PEERS: tuple[tuple[str, Callable[[ufm.Problem], np.ndarray], int], ...] = (
    ("loop of SciPy L-BFGS-B, NumPy gradients, one thread", peers.scipy_lbfgsb, 128),
    ("loop of torch.optim.LBFGS, autograd, one thread", peers.torch_lbfgs, 24),
    ("cvxpy with Clarabel, nuclear norm of K x K logits", peers.cvxpy_nuclear, 6),
)


def random_batch(count: int, seed: int = 0) -> ufm.ProblemBatch:
    """A third each of log-random, step and exponential profiles; tau/K in .5 .. 5."""
    generator = np.random.default_rng(seed)
    weights = np.exp(generator.uniform(0, np.log(1000), (count, K)))
    K_A, R = generator.integers(1, K, count), 10 ** generator.uniform(0, 3, count)
    step = np.where(np.arange(K) < K_A[:, None], R[:, None], 1.0)
    rho = generator.uniform(1.5, 300, count)
    tail = rho[:, None] ** (-np.arange(K) / (K - 1))
    kind = np.arange(count)[:, None] % 3
    weights = np.where(kind == 0, weights, np.where(kind == 1, step, tail))
    template = ufm.Problem(K=K, d=D, n=(1,) * K, reg=ufm.AverageBudget(E_W=1.0))
    return ufm.ProblemBatch(template, weights=weights, E_H=generator.uniform(0.5, 5.0, count) ** 2)


def batch() -> list[Row]:
    """10^4 instances at K = 10, d = 9, solved and certified, against loops; floors; linearity.

    Times are wall times an instance with two threads, but for the loops, whose matrices are too
    small to share, so that they are fastest with one. Every peer gets a sample of the same
    instances, evenly spread, and does not certify; ours does.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        rows, bound, per_ours = _ours()
        torch.set_num_threads(1)
        rows += _peers(bound, per_ours)
        torch.set_num_threads(2)
        rows += _floors() + _linear()
    finally:
        torch.set_num_threads(threads)
    return rows


def _ours() -> tuple[list[Row], list[float], float]:
    problems = random_batch(COUNT)
    per = seconds(lambda: ufm.solve_certified(problems), repeats=5) / COUNT
    sol, cert = ufm.solve_certified(problems)
    failed = [sol[int(i)].status for i in (~cert.passed).nonzero().squeeze(-1)]
    rows: list[Row] = [
        {"what": "ufm: solve_certified, two threads", "us an instance": 1e6 * per,
         "certified": int(cert.passed.sum()), "of": COUNT, "worst gap": float(cert.gap.max()),
         "statuses of the others": ", ".join(sorted({str(status) for status in failed})) or "none",
         "steps, median": int(sol.steps.median()), "steps, 95 %": _quantile(sol.steps, 0.95),
         "steps, worst": int(sol.steps.max())},
        {"what": "of which: solve",
         "us an instance": 1e6 * seconds(lambda: ufm.solve(problems, throw=False)) / COUNT},
        {"what": "of which: certify",
         "us an instance": 1e6 * seconds(lambda: ufm.certify(sol)) / COUNT},
    ]  # fmt: skip
    torch.set_num_threads(1)
    alone = seconds(lambda: ufm.solve_certified(problems), repeats=3) / COUNT
    torch.set_num_threads(2)
    rows.append({"what": "ufm: the same, one thread", "us an instance": 1e6 * alone})
    few = random_batch(1000)
    tensors = ufm.LBFGS(engine="tensors")
    slow = seconds(lambda: ufm.solve(few, tensors, throw=False), repeats=1) / 1000
    rows.append({"what": "ufm: solve by tensors", "us an instance": 1e6 * slow,
                 "ratio": slow / per})  # fmt: skip
    return rows, cert.dual.tolist(), per


def _peers(bound: list[float], per_ours: float) -> list[Row]:
    rows, problems = [], random_batch(COUNT)
    for what, peer, size in PEERS:
        chosen = range(0, COUNT, COUNT // size)
        peer(problems[0])
        start = time.perf_counter()
        found = [peer(problems[i]) for i in chosen]
        per_peer = (time.perf_counter() - start) / len(chosen)
        excess = [risk(problems[i], Z) - bound[i] for i, Z in zip(chosen, found, strict=True)]
        rows.append(
            {"what": what, "us an instance": 1e6 * per_peer, "ratio": per_peer / per_ours,
             "of": len(chosen), "median excess over our bound": float(np.median(excess)),
             "worst excess over our bound": max(excess)}
        )  # fmt: skip
    return rows


def _floors() -> list[Row]:
    # What the parts cost bare, batched in torch, per instance.
    count = 4000
    generator = torch.Generator().manual_seed(0)
    W, V, Z, G = (
        torch.randn(count, *shape, dtype=torch.float64, generator=generator)
        for shape in ((K, D), (K, D), (K, K), (K, K))
    )
    gram = Z.mT @ Z
    parts: dict[str, Callable[[], Any]] = {
        "three products of an evaluation": lambda: (W @ V.mT, G @ V, G.mT @ W),
        "K x K exponentials of an evaluation": lambda: Z.exp(),
        "one symmetric eigenproblem of a certificate": lambda: torch.linalg.eigh(gram),
        "one singular value decomposition": lambda: torch.linalg.svd(Z),
    }
    return [
        {"what": f"floor: {name}", "us an instance": 1e6 * seconds(part) / count}
        for name, part in parts.items()
    ]


def _linear() -> list[Row]:
    rows: list[Row] = []
    each = []
    for count in LINEAR:
        problems = random_batch(count)
        per = seconds(lambda problems=problems: ufm.solve_certified(problems), repeats=3) / count
        each.append(1e6 * per)
        rows.append({"what": f"ufm: batch of {count}", "us an instance": each[-1]})
    return [
        *rows,
        {"what": "largest over smallest cost of an instance", "ratio": max(each) / min(each)},
    ]


def _quantile(steps: torch.Tensor, q: float) -> int:
    return int(torch.quantile(steps.double(), q))
