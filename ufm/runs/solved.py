"""The commonest producer: solve a batch, certify it, and go on with what is not certified yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from ufm._typing import Tensor
from ufm.certificates import Certificate, certify
from ufm.methods import LBFGS
from ufm.objective import Point
from ufm.problem import Problem
from ufm.runs.chunk import Chunk
from ufm.runs.request import RunSpec
from ufm.solution import Solution
from ufm.solvers import solve
from ufm.status import STATUSES


# An instance that is not certified goes on from where it stopped with its tolerance divided by
# TIGHTEN, at most ROUNDS times.
ROUNDS, TIGHTEN = 5, 6.0


def solve_certified(
    problems: Sequence[Problem], method: LBFGS = LBFGS(), *, seeds: Sequence[int] = (0,)
) -> tuple[Solution, Certificate]:
    """Solve a batch and certify it, tightening the tolerance of what does not pass.

    Args:
        problems: Problems of one static shape.
        method: L-BFGS settings of the first attempt.
        seeds: Seeds, one run of each problem each.

    Returns:
        Solution and certificate of the batch, problem-major; steps are summed over attempts.
        Instances that never passed are in it with their best certificate's point.
    """
    sol = solve(problems, method, seeds=seeds, throw=False)
    cert = certify(sol)
    for _ in range(ROUNDS):
        failed = (~cert.passed).nonzero().squeeze(-1)
        if not len(failed):
            break
        method = replace(method, gtol=method.gtol / TIGHTEN)
        rest = [sol.problems[i] for i in failed.tolist()]
        start = Point(*(part[failed] for part in sol.point))
        sol = _merged(sol, failed, solve(rest, method, start=start, throw=False))
        cert = certify(sol)
    return sol, cert


def _merged(sol: Solution, index: Tensor, part: Solution) -> Solution:
    point = Point(*(a.index_copy(0, index, b) for a, b in zip(sol.point, part.point, strict=True)))
    return replace(
        sol,
        point=point,
        value=sol.value.index_copy(0, index, part.value),
        code=sol.code.index_copy(0, index, part.code),
        steps=sol.steps.index_add(0, index, part.steps),
        grad_norm=sol.grad_norm.index_copy(0, index, part.grad_norm),
        seconds=sol.seconds + part.seconds,
    )


def certificate_rows(sol: Solution, cert: Certificate) -> pl.DataFrame:
    """One row an instance: how it ended and what is proved about it.

    Args:
        sol: A batch.
        cert: Its certificate.

    Returns:
        Columns instance, seed, status, steps, grad_norm, value (of the feasible point), dual,
        raw_gap, gap, margin, infeasibility, stationarity, rank, bound and certified; absolute
        numbers for risks whose weights sum to one.
    """
    columns = ("dual", "raw_gap", "gap", "margin", "infeasibility", "stationarity", "rank")
    return pl.DataFrame(
        {
            "instance": list(range(len(sol))),
            "seed": list(sol.seeds),
            "status": [STATUSES[code].name for code in sol.code.tolist()],
            "steps": sol.steps.tolist(),
            "grad_norm": sol.grad_norm.tolist(),
            "value": cert.primal.tolist(),
            **{name: getattr(cert, name).tolist() for name in columns},
            "bound": list(cert.bound),
            "certified": cert.passed.tolist(),
        }
    )


def solved(spec: RunSpec) -> Chunk:
    """Producer of runs over problems: `solve_certified`, with the points as tensors W, H, b.

    Args:
        spec: Subject: problems or a recipe with ``problems()``; method: L-BFGS, or None for its
            default.

    Returns:
        Rows of `certificate_rows` and the points.

    Raises:
        ValueError: If the method is not L-BFGS.
    """
    method = spec.method or LBFGS()
    if not isinstance(method, LBFGS):
        raise ValueError(f"method must be LBFGS for a certified run, got {method!r}")
    sol, cert = solve_certified(spec.problems(), method, seeds=spec.seeds)
    return Chunk(certificate_rows(sol, cert), {"W": sol.W, "H": sol.H, "b": sol.b})
