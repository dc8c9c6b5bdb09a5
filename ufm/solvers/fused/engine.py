"""Which problems the fused kernel solves, and the step from an `Objective` to its arrays."""

from __future__ import annotations

import numpy as np
import torch

from ufm._typing import Float, Tensor
from ufm.compiled.rows import available, kernel, over_rows
from ufm.geometry.frames import helmert
from ufm.losses import CrossEntropy
from ufm.methods import LBFGS
from ufm.objective import Objective, Point
from ufm.problem import AverageBudget, NoBias, Problem
from ufm.solvers._manifolds import chart_of
from ufm.solvers._result import Result
from ufm.solvers._start import start as start_at


# Largest K d that is chosen for. Measured on one core, one instance: 17, 6 and 3 times faster than
# tensors at K = 20, 70 and 100, where 1.4 times at 150 is less than threads inside BLAS bring.
LARGEST = 10_000


def obstacle(problem: Problem, device: torch.device) -> str | None:
    """Why the kernel cannot solve a problem.

    Args:
        problem: The model; its size does not count.
        device: Where to solve.

    Returns:
        What is missing, or None.
    """
    if type(problem.loss) is not CrossEntropy:
        return f"the loss is {problem.loss}"
    if not isinstance(problem.reg, AverageBudget):
        return f"reg is {problem.reg}"
    if not isinstance(problem.bias, NoBias):
        return f"bias is {problem.bias}"
    if not problem.is_learnable:
        return "the classifier is fixed"
    if device.type != "cpu":
        return f"the device is {device.type}"
    return None if available() else "numba is not installed (the extra `fast`)"


def is_fused(method: LBFGS, problem: Problem, device: torch.device, *, watched: bool) -> bool:
    """Whether the kernel solves a batch; never a question of how many problems there are.

    Args:
        method: Settings.
        problem: Any problem of the batch.
        device: Where to solve.
        watched: Whether somebody wants to see every step.

    Returns:
        True for this kernel, False for `ufm.solvers.lbfgs`.

    Raises:
        ValueError: If ``engine="fused"`` is asked for and impossible.
    """
    if method.engine == "tensors" or device.type == "cuda":  # a card has kernels of its own
        return False
    missing = "there is a callback" if watched else obstacle(problem, device)
    if method.engine == "fused" and missing is not None:
        raise ValueError(
            "engine must be 'auto' or 'tensors' except for CrossEntropy with AverageBudget, a "
            f"learnable classifier and no bias, on a CPU with numba; got 'fused' where {missing}"
        )
    if method.engine == "fused":
        return True
    return missing is None and problem.K * problem.d <= LARGEST


def run(
    objective: Objective,
    method: LBFGS,
    *,
    start: Point | None,
    seeds: tuple[int, ...],
    callback: None = None,
) -> Result:
    """Solve a batch by the kernel.

    Args:
        objective: Problems on class means that it can solve.
        method: Settings.
        start: Start of every instance, or None for the method's own.
        seeds: One seed an instance.
        callback: Nobody can watch.

    Returns:
        The outcome of each instance, as `ufm.solvers.lbfgs.run` would find it up to rounding.
    """
    K, d, B = objective.K, objective.d, len(objective.problems)
    energy = K * torch.stack([objective.E_W, objective.E_H], -1)
    radius = K * np.sqrt((objective.E_W * objective.E_H).numpy())  # torch's sqrt wakes its threads
    frame = np.zeros((K, d))
    starts = _starts(objective, method, start, seeds)
    if not len(starts):
        frame[:, : K - 1] = helmert(K).numpy()
    W, H = np.empty((B, K, d)), np.empty((B, d, K))
    real, whole = np.empty((B, 2)), np.empty((B, 2), dtype=np.int64)
    over_rows(
        kernel("ufm.solvers.fused._kernel", "solve_rows"), B, objective.c.contiguous().numpy(),
        radius, energy.numpy(), frame, starts.numpy(), method.memory, method.gtol,
        method.max_steps, W, H, real, whole,
    )  # fmt: skip
    point = Point(torch.from_numpy(W), torch.from_numpy(H), torch.zeros_like(objective.c))
    value, grad_norm = torch.from_numpy(real.T.copy())
    steps, code = torch.from_numpy(whole.T.copy())
    return Result(point, code, steps, grad_norm, value=value)


def _starts(
    objective: Objective, method: LBFGS, start: Point | None, seeds: tuple[int, ...]
) -> Float[Tensor, "S twoK d"]:
    # Rows of W~ above rows of V~; none where the kernel makes the frame itself.
    K, d = objective.K, objective.d
    if start is None and method.start == "frame" and d >= K - 1:
        return objective.c.new_empty(0, 2 * K, d)
    chart = chart_of(objective)
    if start is not None:
        x = chart.coordinates(start)
    else:
        x = start_at(chart, objective, method.start, seeds)
    return x.reshape(-1, 2 * K, d).contiguous()
