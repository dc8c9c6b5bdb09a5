"""`solve` and `polish`: check the input, build the objective, dispatch, wrap the result."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch

from ufm._pieces import pieces
from ufm._problem_sequence import distinct
from ufm._typing import Tensor
from ufm.counts import check_count
from ufm.methods import LBFGS, ClosedForm, Convex, GradientDescent, GradientFlow, Method, Newton
from ufm.objective import Objective, Point
from ufm.problem import Problem
from ufm.problem_batch import ProblemBatch
from ufm.solution import Solution, SolveError, checked_point
from ufm.solvers import closed_form, convex, descent, flow, lbfgs, newton
from ufm.solvers._result import Result
from ufm.solvers._split import bytes_an_instance, joined
from ufm.solvers.fused import engine
from ufm.status import STATUSES, Status


Callback = Callable[[int, Tensor, Point], None]
# Characters of an argument that an error repeats.
LONGEST = 200


def solve(
    problem: Problem | Sequence[Problem],
    method: Method = LBFGS(),
    *,
    seeds: int | Sequence[int] = 1,
    device: str | torch.device = "cpu",
    throw: bool = True,
    start: Point | None = None,
    callback: Callback | None = None,
) -> Solution:
    """Solve one problem or a batch of equal static shape, from one or several seeds.

    The batch is problems x seeds, problem-major, and always has one batch axis. Every instance
    has its own status and its own numbers: alone and in a batch they are the same. A batch that
    would need more than half of the free memory is solved in pieces, one after another, which a
    callback sees.

    Args:
        problem: A problem, or several that differ only in class sizes, weights and strengths; a
            `ProblemBatch` of them costs least.
        method: Algorithm and its settings. Optimum methods work on class means; flows and
            descents on samples.
        seeds: Number of seeds (0, 1, ...), or the seeds themselves.
        device: Torch device.
        throw: Whether to raise unless every instance converged.
        start: Start of all instances ``(K, d)``, or one per instance ``(B, K, d)``.
        callback: Called after each step with its number, the positions of running instances and
            their points; L-BFGS and flows only.

    Returns:
        The solutions, with a status each.

    Raises:
        ValueError: If an argument is out of range or the problem has no minimiser.
        SolveError: If ``throw`` and some instance did not converge; it carries the solution.
    """
    begin = time.perf_counter()
    problems = _checked_problems(problem)
    seeds = _checked_seeds(seeds)
    device = _checked_device(device)
    if isinstance(problems, ProblemBatch):
        batch = problems.repeat(len(seeds))
    else:
        batch = tuple(p for p in problems for _ in seeds)
    batch_seeds = seeds * len(problems)
    with torch.no_grad():
        parts, values = [], []
        for piece in _pieces(batch, method, device, watched=callback is not None):
            begins = _rows(start, piece, len(batch))
            objective, part = _dispatch(
                batch[piece], method, device, begins, batch_seeds[piece], _shifted(callback, piece)
            )
            parts.append(part)
            values.append(objective.value(part.point) if part.value is None else part.value)
        result = joined(parts)
    solution = Solution(
        problems=batch,
        point=result.point,
        value=torch.cat(values),
        code=result.code,
        steps=result.steps,
        grad_norm=result.grad_norm,
        method=method,
        seeds=batch_seeds,
        messages=result.messages or ("",) * len(batch),
        dual=result.dual,
        trace=result.trace,
        seconds=time.perf_counter() - begin,
    )
    if throw:
        _raise_unless_converged(solution)
    return solution


def _pieces(
    batch: Sequence[Problem], method: Method, device: torch.device, *, watched: bool
) -> Iterator[slice]:
    problem, columns, fused = batch[0], batch[0].K, False
    if isinstance(method, GradientFlow | GradientDescent) and not method.class_means:
        columns = problem.N
    if isinstance(method, LBFGS):
        fused = engine.is_fused(method, problem, device, watched=watched)
    each = bytes_an_instance(problem, method, columns, fused=fused)
    return pieces(len(batch), each, device)


def _rows(start: Point | None, piece: slice, count: int) -> Point | None:
    # Starts of a piece; one point is the start of all, and a wrong number of them is told later.
    if start is None or start.W.ndim != 3 or start.W.shape[0] != count:
        return start
    return Point(*(t[piece] for t in start))


def _shifted(callback: Callback | None, piece: slice) -> Callback | None:
    if callback is None or not piece.start:
        return callback
    return lambda count, slots, point: callback(count, slots + piece.start, point)


def _dispatch(
    problems: Sequence[Problem],
    method: Method,
    device: torch.device,
    start: Point | None,
    seeds: tuple[int, ...],
    callback: Callback | None,
) -> tuple[Objective, Result]:
    match method:
        case LBFGS():
            objective = _on_class_means(problems, device)
            fused = engine.is_fused(method, problems[0], device, watched=callback is not None)
            run = partial((engine if fused else lbfgs).run, objective, method)
        case Newton():
            objective = _on_class_means(problems, device)
            run = partial(newton.run, objective, method)
        case ClosedForm():
            objective = _on_class_means(problems, device)
            run = partial(closed_form.run, objective, method)
        case Convex():
            objective = _on_class_means(problems, device)
            run = partial(convex.run, objective, method)
        case GradientFlow():
            objective = _on_features(problems, device, class_means=method.class_means)
            run = partial(flow.run, objective, method)
        case GradientDescent():
            objective = _on_features(problems, device, class_means=method.class_means)
            run = partial(descent.run, objective, method)
        case _:
            raise ValueError(
                f"method must be a known method, got {method!r}; for example ufm.LBFGS()"
            )
    x = _checked_start(start, problems, objective)
    return objective, run(start=x, seeds=seeds, callback=callback)


def _on_class_means(problems: Sequence[Problem], device: torch.device) -> Objective:
    if isinstance(problems, ProblemBatch):
        hopeless = problems.without_minimiser()
    else:
        hopeless = next((each for each in distinct(problems) if not each.has_minimiser), None)
    if hopeless is not None:
        raise ValueError(
            "problem must have a minimiser (its infimum is not attained without a penalty "
            f"on both factors), got loss={hopeless.loss} with reg={hopeless.reg}"
        )
    return Objective.stack(problems, problems[0].K if problems else 0, device=device)


def _on_features(
    problems: Sequence[Problem], device: torch.device, *, class_means: bool
) -> Objective:
    # A dynamics is never reduced silently: samples unless class means are asked for.
    M = 0
    if problems:
        M = problems[0].K if class_means else problems[0].N
    return Objective.stack(problems, M, device=device)


def _checked_start(
    start: Point | None, problems: Sequence[Problem], objective: Objective
) -> Point | None:
    if start is None:
        return None
    x = checked_point(problems[0], *start)
    if x.H.shape[-1] != objective.M:
        raise ValueError(f"start must have M={objective.M} feature columns, got {x.H.shape[-1]}")
    B = len(problems)
    if x.W.ndim == 2:
        x = Point(*(t.expand(B, *t.shape) for t in x))
    if x.W.shape[0] != B:
        raise ValueError(f"start must have one point or B={B} of them, got {x.W.shape[0]}")
    return Point(*(t.to(objective.c) for t in x))


def _checked_problems(problem: Problem | Sequence[Problem]) -> Sequence[Problem]:
    if isinstance(problem, Problem):
        return (problem,)
    if isinstance(problem, ProblemBatch):
        return problem
    if not isinstance(problem, Sequence) or isinstance(problem, str):
        raise ValueError(f"problem must be a Problem or a sequence of them, got {_short(problem)}")
    for each in problem:
        if not isinstance(each, Problem):
            raise ValueError(f"problem must be a Problem, got {_short(each)}")
    if not problem:
        raise ValueError("problem must hold at least one problem, got none")
    return tuple(problem)


def _short(thing: object) -> str:
    # Not all arrays of a solution.
    text = repr(thing)
    return text if len(text) <= LONGEST else f"a {type(thing).__name__}"


def _checked_seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    if isinstance(seeds, int):
        return tuple(range(check_count("seeds", seeds)))
    if not seeds:
        raise ValueError("seeds must hold at least one seed, got none")
    return tuple(check_count(f"seeds[{i}]", seed, 0) for i, seed in enumerate(seeds))


def _checked_device(device: str | torch.device) -> torch.device:
    try:
        device = torch.device(device)
        torch.zeros(1, dtype=torch.float64, device=device).item()
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device must be present here, got {str(device)!r}: {reason}") from error
    return device


def _raise_unless_converged(solution: Solution) -> None:
    failed = (~solution.converged).nonzero().squeeze(-1).tolist()
    if not failed:
        return
    status: Status = STATUSES[int(solution.code[failed[0]])]
    raise SolveError(
        f"{len(failed)} of {len(solution)} instances did not converge; "
        f"instance {failed[0]} is {status.name}: {status.value}",
        solution,
    )
