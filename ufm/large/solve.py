"""One large problem: the cheapest exact route to a certified optimum."""

from __future__ import annotations

import time
from dataclasses import replace

import torch

from ufm.certificates import certify
from ufm.large.groups import group_optimum
from ufm.large.low_rank import LargeCertificate, certify_low_rank, check
from ufm.large.norm import DENSE
from ufm.methods import LBFGS
from ufm.problem import Problem
from ufm.reduce import BlockSymmetry
from ufm.solution import Solution
from ufm.solvers import solve
from ufm.status import Status


# Above this many classes a dozen pairs of L-BFGS cost more memory than they save steps.
MANY, FEW_PAIRS = 1000, 8
LOW_RANK_GTOL = 1e-8


def solve_large(problem: Problem, *, seed: int = 0) -> tuple[Solution, LargeCertificate]:
    """Solve and certify one problem of many classes, cross-entropy with average budgets.

    Classes of equal size and weight are exchangeable: where they leave at most half as many groups
    as classes, and the symmetric optimum has a rank of at most d, the answer comes from the groups
    alone (`group_optimum`), exact and in a fraction of a second for any K. Otherwise L-BFGS runs
    on the factors, in blocks of columns, and the certificate is that of the whole matrix up to
    2048 classes and that of low rank above.

    Args:
        problem: The problem.
        seed: Seed of the start where d < K - 1.

    Returns:
        The solution on class means, a batch of one, and its certificate.

    Raises:
        ValueError: If the problem is another model.

    >>> import ufm
    >>> weights = ufm.step_weights(K=2000, K_A=20, R=100.0)
    >>> problem = ufm.Problem(K=2000, d=32, n=(1,) * 2000, weights=weights,
    ...                       reg=ufm.AverageBudget(1.0, 1e-3))
    >>> sol, cert = solve_large(problem)
    >>> cert.passed, tuple(sol.W.shape)
    (True, (1, 2000, 32))
    """
    check(problem)
    begin = time.perf_counter()
    if 2 * len(BlockSymmetry.groups(problem)) <= problem.K:
        best = group_optimum(problem)
        if best.rank <= problem.d:
            W, H = best.factors()
            sol = Solution.from_arrays(problem, W[None], H[None])
            code = torch.full_like(sol.code, Status.CONVERGED.code)
            steps = torch.full_like(sol.steps, best.steps)
            seconds = time.perf_counter() - begin
            return replace(sol, code=code, steps=steps, seconds=seconds), best.certificate
    memory = FEW_PAIRS if problem.K >= MANY else LBFGS().memory
    start = "frame" if problem.d >= problem.K - 1 else "random"
    # Low rank leaves the bound a larger constant at second order.
    gtol = LBFGS().gtol if start == "frame" else LOW_RANK_GTOL
    method = LBFGS(memory=memory, gtol=gtol, start=start)
    sol = solve(problem, method, seeds=(seed,), throw=False)
    if problem.K > DENSE:
        return sol, certify_low_rank(sol)
    return sol, _plain(sol)


def _plain(sol: Solution) -> LargeCertificate:
    cert, radius = certify(sol), sol.problems[0].radius
    objective = sol.objective()
    U = cert.Y / objective.c.unsqueeze(-2)
    conjugate = (objective.c * objective.loss.conjugate(U, objective.y)).sum()
    return LargeCertificate(
        primal=float(cert.primal), dual=float(cert.dual), gap=float(cert.gap),
        margin=float(cert.margin), norm=float(-conjugate - cert.dual) / radius,
        infeasibility=float(cert.infeasibility),
    )  # fmt: skip
