"""Solve until certified: the one place where solvers and certificates meet."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from ufm._typing import Int, Tensor
from ufm.certificates import Certificate, certify, first_certificate
from ufm.methods import LBFGS, Method, Newton
from ufm.problem import Problem
from ufm.solution import PER_INSTANCE, Solution
from ufm.solvers import polish, solve
from ufm.status import Status


Prover = Callable[[Solution], Certificate]
# A point that converged and is not certified goes on with its tolerance divided by these.
TIGHTER = (6, 36)
# Of the random point to start again from: no seed that a first attempt is likely to have used.
RESTART = 2**31 - 1


def solve_certified(
    problems: Problem | Sequence[Problem],
    method: Method = LBFGS(),
    *,
    seeds: int | Sequence[int] = 1,
    device: str = "cpu",
) -> tuple[Solution, Certificate]:
    """Solve a batch, certify it, and go on with what is not certified yet.

    What converged but fails the gate goes on with a sixth of the tolerance, twice if need be; what
    still fails is polished by Newton steps, and then starts again from a random point and is
    polished too. A better certificate replaces a worse one, never the reverse.

    Args:
        problems: Problems of one static shape.
        method: L-BFGS settings of the first attempt.
        seeds: Seeds, one run of each problem each.
        device: Where to solve.

    Returns:
        Solution and certificate of the batch, problem-major; steps are those of the attempt that
        was kept, with those it went on from; seconds are the wall time of all of it. An instance
        that never passed is in it with its smallest gap.

    Raises:
        ValueError: If an argument is out of range, the method is not L-BFGS or a problem has no
            minimiser.
    """
    if not isinstance(method, LBFGS):
        raise ValueError(f"method must be LBFGS to solve until certified, got {method!r}")
    begin = time.perf_counter()
    sol = solve(problems, method, seeds=seeds, device=device, throw=False)
    cert = first_certificate(sol)
    failed = (~cert.passed).nonzero().squeeze(-1)
    if len(failed):
        part, proof = _improved(sol.select(failed), cert.select(failed), method)
        sol, cert = _overwritten(sol, failed, part), cert.overwritten(failed, proof)
    return replace(sol, seconds=time.perf_counter() - begin), cert


def _improved(sol: Solution, cert: Certificate, method: LBFGS) -> tuple[Solution, Certificate]:
    # Of a batch only what failed comes here, so that nothing large is copied at every attempt.
    for attempt, prove in _attempts(method):
        failed = (~cert.passed).nonzero().squeeze(-1)
        if not len(failed):
            break
        part = attempt(sol.select(failed))
        proof = prove(part)
        old = cert.gap[failed]
        wins = (proof.gap < old) | (old.isnan() & ~proof.gap.isnan())
        better = wins.nonzero().squeeze(-1)
        if not len(better):
            continue
        where = failed[better]
        sol = _overwritten(sol, where, part.select(better))
        cert = cert.overwritten(where, proof.select(better))
    return sol, cert


def _attempts(method: LBFGS) -> Iterator[tuple[Callable[[Solution], Solution], Prover]]:
    # Cheapest first; trial ranks only for what a better point does not settle.
    for divisor in TIGHTER:
        yield (
            partial(_continued, method=replace(method, gtol=method.gtol / divisor)),
            first_certificate,
        )
    yield (lambda part: part), certify
    yield _polished, certify
    restart = replace(method, start="random")
    yield (lambda part: _polished(_restarted(part, restart))), certify


def _continued(sol: Solution, method: LBFGS) -> Solution:
    # Only from where the stopping test was met; elsewhere a smaller tolerance changes nothing.
    able = (sol.code == Status.CONVERGED.code).nonzero().squeeze(-1)
    if not len(able):
        return sol
    part = sol.select(able)
    device = str(sol.H.device)
    new = solve(part.problems, method, device=device, throw=False, start=part.point)
    return _overwritten(sol, able, replace(new, steps=new.steps + part.steps))


def _polished(sol: Solution) -> Solution:
    new = polish(sol, Newton())
    return replace(new, steps=new.steps + sol.steps)


def _restarted(sol: Solution, method: LBFGS) -> Solution:
    return solve(sol.problems, method, seeds=(RESTART,), device=str(sol.H.device), throw=False)


def _overwritten(sol: Solution, index: Int[Tensor, "S"], part: Solution) -> Solution:
    # In place, as `Certificate.overwritten`: nobody else holds the solution yet.
    for old, new in zip(sol.point, part.point, strict=True):
        old.index_copy_(0, index, new)
    for name in PER_INSTANCE:
        getattr(sol, name).index_copy_(0, index, getattr(part, name))
    return sol
