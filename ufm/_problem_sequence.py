"""What solvers ask of many problems, be they a `ProblemBatch` or any sequence. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ufm.problem import Problem
from ufm.problem_batch import ProblemBatch


def shared(problems: Sequence[Problem]) -> Problem:
    """A problem of a sequence, once it is clear that all are of one static shape.

    Args:
        problems: Problems that may differ in class sizes, weights and strengths only.

    Returns:
        The first one.

    Raises:
        ValueError: If there is none, or something else differs.
    """
    if not len(problems):
        raise ValueError("problems must hold at least one problem, got none")
    first = problems[0]
    for problem in distinct(problems):
        for name in ("K", "d", "loss", "classifier"):
            ours, theirs = getattr(first, name), getattr(problem, name)
            if ours is not theirs and ours != theirs:
                raise ValueError(f"{name} must be equal across a batch, got {ours} and {theirs}")
        for name in ("reg", "bias"):
            ours, theirs = type(getattr(first, name)), type(getattr(problem, name))
            if ours is not theirs:
                raise ValueError(
                    f"{name} must be of one type across a batch, "
                    f"got {ours.__name__} and {theirs.__name__}"
                )
    return first


def distinct(problems: Sequence[Problem]) -> list[Problem]:
    """Problems to look at when all are to be looked at.

    Args:
        problems: A batch or any sequence.

    Returns:
        Each object once, since seeds of one problem share it and hashing costs more than comparing;
        one problem of a batch, whose static shape and class sizes are the template's.
    """
    if isinstance(problems, ProblemBatch):
        return [problems[0]]
    return list({id(problem): problem for problem in problems}.values())


def numbers(problems: Sequence[Problem]) -> dict[str, Any]:
    """What may differ between problems of one static shape, one entry or row a problem.

    Args:
        problems: A batch or any sequence.

    Returns:
        n and pi (B, K); lam_W, lam_H, lam_b, 0 where a model has none; E_W, E_H, NaN where not.
    """
    absent = {"lam_W": 0.0, "lam_H": 0.0, "E_W": math.nan, "E_H": math.nan}
    if isinstance(problems, ProblemBatch):
        rows = {name: getattr(problems, name) for name in absent}
        rows |= {"lam_b": problems.lam_b, "n": problems.template.n, "pi": problems.pi}
        rows = {name: absent[name] if value is None else value for name, value in rows.items()}
        shapes = {"n": problems.pi.shape, "pi": problems.pi.shape}
        return {
            name: np.array(np.broadcast_to(value, shapes.get(name, (len(problems),))), np.float64)
            for name, value in rows.items()
        }
    rows = {
        name: [getattr(problem.reg, name, default) for problem in problems]
        for name, default in absent.items()
    }
    rows["lam_b"] = [getattr(problem.bias, "lam_b", 0.0) for problem in problems]
    return rows | {
        "n": [problem.n for problem in problems], "pi": [problem.pi for problem in problems]
    }  # fmt: skip


def take(problems: Sequence[Problem], rows: Sequence[int]) -> Sequence[Problem]:
    """Some problems of a sequence, as arrays if they are.

    Args:
        problems: A batch or any sequence.
        rows: Positions.

    Returns:
        A batch or a tuple.
    """
    if isinstance(problems, ProblemBatch):
        return problems.select(rows)
    return tuple(problems[i] for i in rows)
