"""The commonest producer: solve a batch until certified, and record points and proofs."""

from __future__ import annotations

import polars as pl

from ufm.certificates import Certificate
from ufm.certified import solve_certified
from ufm.methods import LBFGS
from ufm.runs.chunk import Chunk
from ufm.runs.request import RunSpec
from ufm.solution import Solution
from ufm.status import STATUSES


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
