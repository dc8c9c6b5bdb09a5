"""``python -m benchmarks.gpu_batch``: certified instances a second on a card, beside its ceilings.

Random batches as on the page of algorithms: a third each of log-random sizes, step and exponential
profiles, K = 10, d = 9, tau / K from 0.5 to 5. Times are between device events and include starts,
solves, certificates and whatever is solved again; class weights and radii are on the card.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import ufm
from benchmarks import gpu_ceilings as ceilings
from benchmarks import measure
from ufm._typing import Tensor
from ufm.certificates.cuda.fused import Proof, bound_average
from ufm.geometry.frames import helmert
from ufm.methods import LBFGS
from ufm.solvers.cuda.fused import Outcome, minimise


ROOT = Path(__file__).parents[1]
RESULT = Path("benchmarks/results/gpu_batch.json")
VERSION = 1
K, d = 10, 9
SIZES = (10**3, 10**4, 10**5, 10**6)
# What is not certified goes on with a sixth of the tolerance, so often.
AGAIN, TIGHTER = 3, 6.0
VARIANTS = tuple((warps, registers) for warps in (1, 2) for registers in (128, 168, 255))
PIXELS = 512


def random_batch(B: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Class weights ``(B, K)`` and radii tau ``(B,)``."""
    generator = np.random.default_rng(seed)
    weights = 10 ** generator.uniform(0, 3, (B, K))
    step, exponential = slice(B // 3, 2 * B // 3), slice(2 * B // 3, B)
    R = 10 ** generator.uniform(0, 3, (B, 1))
    K_A = generator.integers(1, K, (B, 1))
    weights[step] = np.where(np.arange(K) < K_A, R, 1.0)[step]
    rho = 1.5 * 200 ** generator.uniform(0, 1, (B, 1))
    weights[exponential] = (rho ** (-np.arange(K) / (K - 1)))[exponential]
    return weights / weights.sum(1, keepdims=True), K * generator.uniform(0.5, 5.0, B)


def phase_diagram(pixels: int = PIXELS) -> tuple[np.ndarray, np.ndarray]:
    """Weights and radii of the map of minority collapse: R in [1, 1e4] across, s in [0, 5] up."""
    share = (np.arange(pixels) + 0.5) / pixels
    R, s = (v.reshape(-1, 1) for v in np.meshgrid(10 ** (4 * share), 5 * share))
    weights = np.where(np.arange(K) < K // 2, R, 1.0)
    return weights / weights.sum(1, keepdims=True), K * s[:, 0]


def starts(c: Tensor, radius2: Tensor) -> Tensor:
    """The frame start of `ufm.solvers`, ``(B, 2 K d)``: Helmert rows by (K pi)^(1/4), centred."""
    rows = helmert(K).to(c) * (K * c).sqrt().sqrt().unsqueeze(-1)
    rows = rows - rows.mean(-2, keepdim=True)
    scale = (radius2 / (2 * rows.square().sum((-2, -1)))).sqrt()
    rows = (rows * scale[:, None, None]).flatten(1)
    return torch.cat([rows, rows], -1)


def certified(
    c: Tensor, radius2: Tensor, method: LBFGS, **options: int
) -> tuple[Outcome, Proof, list[int]]:
    """Solve and certify; how many were left after each attempt."""
    out = minimise(starts(c, radius2), c, radius2, method=method, **options)
    proof, left = bound_average(out.x, c, radius2), []
    gtol = method.gtol
    for _ in range(AGAIN):
        rows = (~proof.passed).nonzero().squeeze(-1)
        left.append(len(rows))
        if not len(rows):
            break
        gtol /= TIGHTER
        c_left, radius2_left = c[rows], radius2[rows]
        tighter = LBFGS(gtol=gtol, max_steps=method.max_steps)
        more = minimise(out.x[rows], c_left, radius2_left, method=tighter, **options)
        again = bound_average(more.x, c_left, radius2_left)
        for whole, part in zip((*out[:4], *proof[:3]), (*more[:4], *again[:3]), strict=True):
            whole[rows] = part
        for whole, part in zip(out[4:], more[4:], strict=True):
            whole[rows] += part
    left.append(int((~proof.passed).sum()))
    return out, proof, left


def throughput(
    make: Callable[[], tuple[np.ndarray, np.ndarray]], device: torch.device, rates: dict[str, Any],
    *, method: LBFGS = LBFGS(), repeats: int = 5,
) -> dict[str, Any]:  # fmt: skip
    """One row: time, parts, what was certified, achieved rates and the three floors."""
    weights, tau = make()
    c, radius2 = (torch.from_numpy(a).to(device) for a in (weights, 2 * tau))
    out, proof, left = certified(c, radius2, method)
    seconds = ceilings.event_seconds(lambda: certified(c, radius2, method), repeats, 1)
    x = starts(c, radius2)
    solve = ceilings.event_seconds(lambda: minimise(x, c, radius2, method=method), repeats, 1)
    prove = ceilings.event_seconds(lambda: bound_average(out.x, c, radius2), repeats, 1)
    B, evaluations = len(tau), float(out.evaluations.double().mean())
    flops = ceilings.solve_flops(
        K, d, evaluations=evaluations, steps=float(out.steps.double().mean())
    )
    moved = ceilings.solve_bytes(K, d)
    gap = (proof.gap / proof.primal.clamp(min=1)).nan_to_num(torch.inf)
    return {
        "instances": B, "seconds": seconds, "instances a second": B / seconds,
        "solve seconds": solve, "certificate seconds": prove,
        "certified": int(proof.passed.sum()), "left after each attempt": left,
        "worst relative gap": float(gap.max()),
        "statuses": torch.bincount(out.code, minlength=1).tolist(),
        "evaluations": evaluations, "steps": float(out.steps.double().mean()),
        "flop an instance": flops, "bytes an instance": moved,
        "flop a second": B * flops / seconds, "bytes a second": B * moved / seconds,
        "arithmetic floor": B * flops / rates["multiply-add flop a second"],
        "memory floor": B * moved / rates["copied bytes a second"],
        "latency floor": max(1.0, B / rates["resident programs"]) * evaluations
        * rates["seconds an evaluation alone"],
    }  # fmt: skip


def card(device: torch.device) -> dict[str, Any]:
    """Measured ceilings; the latency of an evaluation is that of one instance alone."""
    weights, tau = random_batch(30)
    c, radius2 = (torch.from_numpy(a).to(device) for a in (weights, 2 * tau))
    alone = []
    for row in range(len(tau)):
        x = starts(c[row : row + 1], radius2[row : row + 1])
        one = (x, c[row : row + 1], radius2[row : row + 1])
        counted = []
        for method in (LBFGS(max_steps=1), LBFGS()):
            call = partial(minimise, *one, method=method)
            counted.append((ceilings.replayed_seconds(call), int(call().evaluations)))
        (short, few), (long, many) = counted
        if many > few:
            alone.append((long - short) / (many - few))
    properties = torch.cuda.get_device_properties(device)
    return {
        "name": properties.name, "multiprocessors": properties.multi_processor_count,
        "multiply-add flop a second": ceilings.multiply_add_rate(device),
        "matrix flop a second": ceilings.matrix_rate(device),
        "copied bytes a second": ceilings.copy_rate(device),
        "launch seconds": ceilings.launch_seconds(device),
        "seconds an evaluation alone": float(np.median(alone)),
        "resident programs": ceilings.RESIDENT * properties.multi_processor_count,
    }  # fmt: skip


def variants(device: torch.device, B: int = 10**5) -> list[dict[str, float]]:
    """Rates of each kernel alone, by warps and registers: which defaults are best."""
    weights, tau = random_batch(B)
    c, radius2 = (torch.from_numpy(a).to(device) for a in (weights, 2 * tau))
    x, rows = starts(c, radius2), []
    for warps, registers in VARIANTS:
        solve = partial(minimise, x, c, radius2, method=LBFGS(), warps=warps, registers=registers)
        certify = partial(bound_average, x, c, radius2, warps=warps, registers=registers)
        seconds = ceilings.event_seconds(solve, 3, 1)
        prove = ceilings.event_seconds(certify, 3, 1)
        rows.append(
            {
                "warps": warps,
                "registers": registers,
                "solved a second": B / seconds,
                "certified a second": B / prove,
            }
        )
    return rows


def paths(device: torch.device, B: int = 10**4) -> list[dict[str, Any]]:
    """The three ways through `ufm.solve` on the same problems, in seconds of wall time."""
    from ufm.problem_batch import ProblemBatch
    from ufm.solvers.cuda import fused

    weights, tau = random_batch(B)
    template = ufm.Problem(K=K, d=d, n=(1,) * K, reg=ufm.AverageBudget(1.0, 1.0))
    batch = ProblemBatch(template, weights=weights, E_H=(tau / K) ** 2)
    rows = []
    for name, method, kernel in (
        ("kernel", LBFGS(), True),
        ("captured graphs", LBFGS(), False),
        ("tensors", LBFGS(engine="tensors"), False),
    ):
        takes = fused.takes
        if not kernel:
            fused.takes = lambda chart: False
        try:
            runs = []
            for _ in range(3):
                torch.cuda.synchronize()
                runs.append(ufm.solve(batch, method, device=device, throw=False))
        finally:
            fused.takes = takes
        rows.append(
            {"path": name, "instances": B, "seconds": min(sol.seconds for sol in runs[1:]),
             "converged": int(runs[-1].converged.sum())}
        )  # fmt: skip
    return rows


def sources() -> str:
    """Digest of the code that is measured: it is measured again when that changes."""
    total = hashlib.sha256()
    for pattern in ("ufm/_triton/*.py", "ufm/*/cuda/*.py", "benchmarks/*gpu*.py"):
        for path in sorted(ROOT.glob(pattern)):
            total.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:16]


def is_current(path: Path) -> bool:
    """Whether a file holds the numbers of this code on a card."""
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    known = record.get("version") == VERSION and record.get("sources") == sources()
    return known and record.get("complete") is True


def measured(device: torch.device, sizes: tuple[int, ...]) -> Iterator[dict[str, Any]]:
    """The record as it grows, in about three minutes: a stop or a failure loses one part only."""
    rates = card(device)
    record: dict[str, Any] = {
        "benchmark": "gpu_batch", "about": __doc__, "version": VERSION, "sources": sources(),
        "machine": measure.machine(), "complete": False, "card": rates, "batches": [],
    }  # fmt: skip
    yield record
    for B in sizes:
        record["batches"].append(throughput(lambda B=B: random_batch(B), device, rates))
        yield record
    record["phase diagram"] = throughput(phase_diagram, device, rates, method=LBFGS(gtol=3e-8))
    yield record
    record["variants"] = variants(device)
    yield record
    record["paths"] = paths(device)
    yield record | {"complete": True}


def main(argv: list[str]) -> int:
    """Measure and write JSON; 2 without a card."""
    parser = argparse.ArgumentParser("python -m benchmarks.gpu_batch", description=__doc__)
    parser.add_argument("--record", type=Path, default=RESULT)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    arguments = parser.parse_args(argv)
    if not torch.cuda.is_available():
        sys.stderr.write("not yet measured: no CUDA device here\n")
        return 2
    device, text = torch.device("cuda", torch.cuda.current_device()), ""
    arguments.record.parent.mkdir(parents=True, exist_ok=True)
    for record in measured(device, tuple(arguments.sizes)):
        text = json.dumps(record, indent=1) + "\n"
        arguments.record.write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
