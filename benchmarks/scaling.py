"""How cost grows: with the number of classes, of samples and of instances; and peak memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.measure import Row, in_fresh_process


SIZES = (50, 100, 200, 500, 1000)
GROUPED = (50, 1000, 10_000, 100_000)
SAMPLES = (1000, 10_000, 100_000, 1_000_000)
BATCHES = (1000, 4000, 16_000, 64_000)
CLOCK = "import time, ufm\n"


def scaling_classes() -> list[Row]:
    """One instance with certificate, d = K - 1, E = (1, 5), one thread, CPU seconds.

    A step profile (half the classes, R = 10) and an exponential one (rho = 100), by the full
    solver; and the step profile on its two groups. The exponent is the slope of a line through
    all points, in logarithms. The floor: the three bare K x K products of one evaluation, whose
    own exponent no solver at an equal number of steps stays below for long.
    """
    rows: list[Row] = []
    for profile in ("step", "exponential"):
        part = [_solved(K, profile) for K in SIZES]
        rows += [*part, _exponent(f"exponent in K, {profile}", SIZES, part)]
    part = [_products(K) for K in SIZES]
    rows += [*part, _exponent("floor: exponent of the products", SIZES, part)]
    part = [_grouped(K) for K in GROUPED]
    return [*rows, *part, _exponent("exponent in K, step on its groups", GROUPED, part)]


def _solved(K: int, profile: str) -> dict[str, Any]:
    result = in_fresh_process(
        f"{CLOCK}K, profile = {K}, {profile!r}\n"
        "if profile == 'step':\n"
        "    shape = dict(n=(1,) * K, weights=ufm.step_weights(K=K, K_A=K // 2, R=10.0))\n"
        "else:\n"
        "    shape = dict(n=ufm.exponential_sizes(K=K, n_max=100_000, rho=100))\n"
        "small = ufm.Problem(K=5, d=4, n=(1,) * 5, reg=ufm.AverageBudget(1.0, 5.0))\n"
        "ufm.certify(ufm.solve(small))\n"
        "problem = ufm.Problem(K=K, d=K - 1, reg=ufm.AverageBudget(1.0, 5.0), **shape)\n"
        "method = ufm.LBFGS(memory=8 if K >= 1000 else 12)\n"
        "start = time.process_time()\n"
        "sol = ufm.solve(problem, method, throw=False)\n"
        "solved = time.process_time() - start\n"
        "cert = ufm.certify(sol)\n"
        "result = dict(seconds=time.process_time() - start, certificate=0.0,\n"
        "              steps=int(sol.steps[0]), gap=float(cert.gap[0]),\n"
        "              certified=bool(cert.passed[0]))\n"
        "result['certificate'] = result['seconds'] - solved\n",
        threads=1,
    )
    return {"what": f"K = {K}, {profile}", **result}


def _products(K: int) -> dict[str, Any]:
    result = in_fresh_process(
        f"{CLOCK}import torch\nfrom benchmarks.measure import seconds\n"
        f"W, H = torch.randn(2, {K}, {K}, dtype=torch.float64)\n"
        "result = dict(seconds=seconds(lambda: (W @ H, W.mT @ H, H @ W.mT), repeats=9))\n",
        threads=1,
    )
    return {"what": f"floor: three products, K = {K}", "seconds": result["seconds"]}


def _grouped(K: int) -> dict[str, Any]:
    result = in_fresh_process(
        f"{CLOCK}from ufm.large import group_optimum\nK = {K}\n"
        "def solved(K):\n"
        "    weights = ufm.step_weights(K=K, K_A=K // 2, R=10.0)\n"
        "    problem = ufm.Problem(K=K, d=K - 1, n=(1,) * K, weights=weights,\n"
        "                          reg=ufm.AverageBudget(1.0, 5.0))\n"
        "    return group_optimum(problem)\n"
        "solved(6)\n"
        "start = time.process_time()\n"
        "best = solved(K)\n"
        "result = dict(seconds=time.process_time() - start, steps=best.steps,\n"
        "              gap=best.certificate.gap, certified=best.certificate.passed)\n",
        threads=1,
    )
    return {"what": f"K = {K}, step on its groups", **result}


def scaling_samples() -> list[Row]:
    """Twenty trial steps of gradient flow and a certificate, K = 10, d = 9, one thread."""
    rows = []
    for N in SAMPLES:
        result = in_fresh_process(
            f"{CLOCK}n = ({N // 10},) * 10\n"
            "problem = ufm.Problem(K=10, d=9, n=n, reg=ufm.AverageBudget(1.0, 5.0))\n"
            "flow = ufm.GradientFlow(t_end=1e9, rtol=1e-6, samples=2, max_steps=20)\n"
            "start = time.process_time()\n"
            "sol = ufm.solve(problem, flow, throw=False)\n"
            "middle = time.process_time()\n"
            "cert = ufm.certify(sol)\n"
            "result = dict(seconds=time.process_time() - start,\n"
            "              flow=middle - start, certificate=time.process_time() - middle,\n"
            "              gap=float(cert.gap))\n",
            threads=1,
        )
        rows.append({"what": f"N = {N}", **result})
    return [*rows, _exponent("exponent in N, from 10^4", SAMPLES[1:], rows[1:])]


def scaling_batch() -> list[Row]:
    """Certified instances of a random batch, K = 10, d = 9, one thread."""
    rows = []
    for count in BATCHES:
        result = in_fresh_process(
            f"{CLOCK}from benchmarks.batch import random_batch\n"
            f"problems = random_batch({count})\n"
            "ufm.solve_certified(problems[:8])\n"
            "start = time.process_time()\n"
            "sol, cert = ufm.solve_certified(problems)\n"
            "result = dict(seconds=time.process_time() - start, certified=int(cert.passed.sum()))\n"
            f"result['us an instance'] = 1e6 * result['seconds'] / {count}\n",
            threads=1,
        )
        rows.append({"what": f"batch of {count}", **result})
    return [*rows, _exponent("exponent in the batch", BATCHES, rows)]


def _exponent(what: str, sizes: tuple[int, ...], rows: Sequence[dict[str, Any]]) -> Row:
    seconds = [row["seconds"] for row in rows]
    slope = np.polyfit(np.log(sizes), np.log(seconds), 1)[0]
    return {"what": what, "exponent": float(slope)}
