"""Solve until certified: the one place where solvers and certificates meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

from ufm._typing import Int, Tensor
from ufm.certificates import Certificate, certify
from ufm.methods import LBFGS, Newton
from ufm.objective import Point
from ufm.problem import Problem
from ufm.solution import Solution
from ufm.solvers import polish, solve


def solve_certified(
    problems: Problem | Sequence[Problem],
    method: LBFGS = LBFGS(),
    *,
    seeds: int | Sequence[int] = 1,
    device: str = "cpu",
) -> tuple[Solution, Certificate]:
    """Solve a batch, certify it, and go on with what is not certified yet.

    What fails the gate is polished by Newton steps; what still fails starts again from a random
    point and is polished too. A better certificate replaces a worse one, never the reverse.

    Args:
        problems: Problems of one static shape.
        method: L-BFGS settings of the first attempt.
        seeds: Seeds, one run of each problem each.
        device: Where to solve.

    Returns:
        Solution and certificate of the batch, problem-major; steps are those of the attempt that
        was kept. An instance that never passed is in it with its smallest gap.
    """
    sol = solve(problems, method, seeds=seeds, device=device, throw=False)
    cert = certify(sol)
    restart = replace(method, start="random")
    for attempt in (_polished, lambda part: _polished(_restarted(part, restart))):
        failed = (~cert.passed).nonzero().squeeze(-1)
        if not len(failed):
            break
        part = attempt(_select(sol, failed))
        proof = certify(part)
        better = (proof.gap < cert.gap[failed]).nonzero().squeeze(-1)
        where = failed[better]
        sol = _with_points(sol, where, _select(part, better))
        cert = _with_rows(cert, where, proof, better)
    return sol, cert


def _polished(sol: Solution) -> Solution:
    return polish(sol, Newton())


def _restarted(sol: Solution, method: LBFGS) -> Solution:
    return solve(sol.problems, method, seeds=1, device=str(sol.H.device), throw=False)


def _select(sol: Solution, index: Int[Tensor, "S"]) -> Solution:
    rows = index.tolist()
    return replace(
        sol,
        problems=tuple(sol.problems[i] for i in rows),
        point=Point(*(part[index] for part in sol.point)),
        seeds=tuple(sol.seeds[i] for i in rows),
        messages=tuple(sol.messages[i] for i in rows) if sol.messages else (),
        **{name: getattr(sol, name)[index] for name in ("value", "code", "steps", "grad_norm")},
    )


def _with_points(sol: Solution, index: Int[Tensor, "S"], part: Solution) -> Solution:
    point = Point(*(a.index_copy(0, index, b) for a, b in zip(sol.point, part.point, strict=True)))
    rows = {
        name: getattr(sol, name).index_copy(0, index, getattr(part, name))
        for name in ("value", "code", "steps", "grad_norm")
    }
    return replace(sol, point=point, seconds=sol.seconds + part.seconds, **rows)


def _with_rows(
    cert: Certificate, index: Int[Tensor, "S"], part: Certificate, chosen: Int[Tensor, "S"]
) -> Certificate:
    rows = {}
    for field in fields(cert):
        old, new = getattr(cert, field.name), getattr(part, field.name)
        if isinstance(old, Tensor):
            rows[field.name] = old.index_copy(0, index, new[chosen])
    bound = list(cert.bound)
    for i, j in zip(index.tolist(), chosen.tolist(), strict=True):
        bound[i] = part.bound[j]
    return replace(cert, bound=tuple(bound), **rows)
