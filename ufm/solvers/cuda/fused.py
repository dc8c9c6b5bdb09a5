"""Launching the fused L-BFGS kernel: which batches it takes, and its outcome as the loop's."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any, NamedTuple

import torch

from ufm._triton.launch import Tile, aligned, can_launch, check_arrays, fits
from ufm._typing import Float, Int, Tensor
from ufm.losses import CrossEntropy
from ufm.methods import LBFGS
from ufm.solvers._charts import Chart
from ufm.solvers._factors import Factors
from ufm.solvers._line_search import ARMIJO, MAX_IDLE, MAX_SHRINKS, SHRINK
from ufm.solvers._manifolds import SphereChart
from ufm.solvers._memory import CURVATURE
from ufm.status import RUNNING, Status


# Pairs kept on chip, a power of two. More would cost occupancy, fewer iterations: 34 evaluations an
# instance with 3, 31 with 5, 27 with 12.
PAIRS = 4
# One warp an instance: no barrier between warps, and nothing of the softmax is computed twice.
WARPS = 1
# Registers a thread: 168 lets 12 programs share a multiprocessor.
REGISTERS = 168
# Programs a multiprocessor gets, at least as many as it can hold.
PROGRAMS = 16


class Outcome(NamedTuple):
    """Where every instance ended.

    Attributes:
        x: Coordinates ``(B, P)``.
        value: Objective ``(B,)``.
        grad_norm: Riemannian gradient norm ``(B,)``.
        code: Status ``(B,)``.
        steps: Steps taken ``(B,)``.
        evaluations: Evaluations of objective and gradient ``(B,)``.
    """

    x: Float[Tensor, "B P"]
    value: Float[Tensor, "B"]
    grad_norm: Float[Tensor, "B"]
    code: Int[Tensor, "B"]
    steps: Int[Tensor, "B"]
    evaluations: Int[Tensor, "B"]


def takes(chart: Chart) -> bool:
    """Whether the kernel solves a batch: a matter of device and model, never of the batch size.

    Args:
        chart: Manifold and objective.

    Returns:
        True for cross-entropy with average budgets, both factors free, no bias, up to 16 classes
        and dimensions, in float64 on CUDA.
    """
    factors = chart.factors
    return (
        isinstance(chart, SphereChart)
        and isinstance(factors, Factors)
        and type(factors.loss) is CrossEntropy
        and factors.rotates
        and not factors.has_bias
        and chart.extra == 0
        and fits(factors.c.shape[-1], chart.d)
        and factors.c.dtype == torch.float64
        and can_launch(factors.c.device)
    )


def minimise(
    x: Float[Tensor, "B P"],
    c: Float[Tensor, "B K"],
    radius2: Float[Tensor, "B"],
    *,
    method: LBFGS,
    warps: int = WARPS,
    registers: int = REGISTERS,
    programs: int | None = None,
) -> Outcome:
    r"""Minimise cross-entropy of ``W V'`` on the spheres :math:`\|W\|^2 + \|V\|^2 = r^2`.

    Args:
        x: Starts: rows of W above rows of V, ``2 K d`` numbers an instance.
        c: Class weights.
        radius2: Squared radii.
        method: Settings; of the memory the kernel keeps `PAIRS`.
        warps: Warps a program.
        registers: Most registers a thread.
        programs: Programs to launch; by default those that fill the device.

    Returns:
        The outcome; ``x`` itself is not changed.

    Raises:
        ValueError: If the arrays do not belong together, or K or d is above 16.
    """
    (B, P), K, d = x.shape, c.shape[-1], check_arrays(x, c, radius2)
    # By name: Triton is there only with CUDA builds of torch.
    kernel: Any = importlib.import_module("ufm.solvers.cuda._lbfgs_kernel")
    x, c, radius2 = x.clone(memory_format=torch.contiguous_format), aligned(c), aligned(radius2)
    value, norm = torch.empty_like(radius2), torch.empty_like(radius2)
    code, steps, evaluations = (torch.empty(B, dtype=torch.int32, device=x.device) for _ in "xyz")
    programs = min(B, programs or _filling(x.device))
    scratch = x.new_empty(programs, (2 + 2 * PAIRS) * P)
    with torch.cuda.device_of(x):
        kernel.minimise[(programs,)](
            x, c, radius2, value, norm, code, steps, evaluations, scratch,
            torch.zeros(1, dtype=torch.int32, device=x.device), x.new_full((1,), method.gtol),
            B, method.max_steps, K=K, d=d, **Tile.of(K, d)._asdict(), M=PAIRS, ARMIJO=ARMIJO,
            SHRINK=SHRINK, MAX_SHRINKS=MAX_SHRINKS, MAX_IDLE=MAX_IDLE, CURVATURE=CURVATURE,
            RUNNING=RUNNING, CONVERGED=Status.CONVERGED.code, OUT_OF_STEPS=Status.MAX_STEPS.code,
            STALLED=Status.STALLED.code, NONFINITE=Status.NONFINITE.code,
            num_warps=warps, maxnreg=registers,
        )  # fmt: skip
    return Outcome(x, value, norm, code.long(), steps.long(), evaluations.long())


@cache
def _filling(device: torch.device) -> int:
    return PROGRAMS * torch.cuda.get_device_properties(device).multi_processor_count
