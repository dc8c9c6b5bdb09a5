"""Batches larger than memory: what an instance needs, and results put together again."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ufm.methods import LBFGS, GradientFlow, Method, Newton
from ufm.objective import Point
from ufm.problem import Problem
from ufm.solution import Trace
from ufm.solvers._result import Result


FLOAT = 8
# Vectors of all coordinates, and K x M matrices, that are alive at once beside the pairs of L-BFGS:
# counted from the code, rounded up.
VECTORS, MATRICES = 12, 8
STAGES = 12
OBSERVABLES = 16


def bytes_an_instance(problem: Problem, method: Method, M: int, *, fused: bool) -> int:
    r"""Memory of one instance while it is solved.

    :math:`8\,(v P + 8 K M + e)` with :math:`P = (K + M) d + K` coordinates: :math:`v = 2m + 12` and
    :math:`e = 3 m^2` for L-BFGS of m pairs (:math:`v = 2`, no matrices in the kernel, whose pairs
    are a thread's and not an instance's), :math:`v = 24` for Newton and flows,
    :math:`e = 16` numbers a sample of a flow.

    Args:
        problem: The model.
        method: Algorithm and settings.
        M: Feature columns.
        fused: Whether the kernel solves it.

    Returns:
        Bytes, the result included.
    """
    P, Z, extra = (problem.K + M) * problem.d + problem.K, problem.K * M, 0
    if fused:
        return FLOAT * (2 * P + 4 * problem.K)
    match method:
        case LBFGS():
            vectors, extra = 2 * method.memory + VECTORS, 3 * method.memory**2
        case Newton():
            vectors = 2 * VECTORS
        case GradientFlow():
            vectors, extra = STAGES + VECTORS, OBSERVABLES * method.samples
        case _:
            vectors = VECTORS
    return FLOAT * (vectors * P + MATRICES * Z + extra)


def joined(results: Sequence[Result]) -> Result:
    """One result of several batches.

    Args:
        results: In order; all from one algorithm.

    Returns:
        The result of the whole batch.
    """
    first = results[0]
    if len(results) == 1:
        return first
    trace = None
    if first.trace is not None:
        traces = [result.trace for result in results if result.trace is not None]
        rows = {name: torch.cat([t.rows[name] for t in traces]) for name in first.trace.rows}
        trace = Trace(first.trace.time, rows)
    return Result(
        point=Point(*map(torch.cat, zip(*(result.point for result in results), strict=True))),
        code=torch.cat([result.code for result in results]),
        steps=torch.cat([result.steps for result in results]),
        grad_norm=torch.cat([result.grad_norm for result in results]),
        messages=tuple(text for result in results for text in result.messages),
        dual=_cat([result.dual for result in results]),
        trace=trace,
    )


def _cat(parts: Sequence[torch.Tensor | None]) -> torch.Tensor | None:
    there = [part for part in parts if part is not None]
    return torch.cat(there) if there else None
