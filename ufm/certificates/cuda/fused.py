"""Launching the certificate kernel of average budgets."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import torch

from ufm._triton.launch import Tile, aligned, check_arrays
from ufm._typing import Bool, Float, Int, Tensor
from ufm.certificates._certificate import GATE, RANK_TOLERANCE
from ufm.certificates._spectral import TRIAL_ABOVE


WARPS = 1
# Registers a thread: 168 lets 12 programs share a multiprocessor.
REGISTERS = 168
# 9 rounds a sweep at K = 10; convergence is quadratic, five or six sweeps are usual.
MAX_SWEEPS = 12


class Proof(NamedTuple):
    """What is proved of the optimum of each instance.

    Attributes:
        primal: Objective at the point ``(B,)``.
        gap: Objective less a lower bound on the optimum ``(B,)``.
        margin: Allowance for rounding in ``gap`` ``(B,)``.
        Y: Dual matrices ``(B, K, K)``, or None if they were not kept.
    """

    primal: Float[Tensor, "B"]
    gap: Float[Tensor, "B"]
    margin: Float[Tensor, "B"]
    Y: Float[Tensor, "B K K"] | None

    @property
    def passed(self) -> Bool[Tensor, "B"]:
        """The gate of `ufm.certificates.Certificate.passed`; false for NaN."""
        allowed = GATE * self.primal.abs().clamp(min=1)
        return (self.gap <= allowed + self.margin) & (self.margin <= allowed)


class Evidence(NamedTuple):
    """What a certificate holds besides a `Proof`, whose bound is then the best of three.

    Attributes:
        dual: Lower bound that Y proves ``(B,)``.
        raw_gap: Gap with the gradient as dual matrix ``(B,)``.
        stationarity: Scaled KKT residual ``(B,)``.
        norm: Upper bound of the operator norm of Y ``(B,)``.
        rank: Numerical rank of the centred logits ``(B,)``.
        code: Which bound: 0 raw, 1 clip, 2 infimum ``(B,)``.
        loose: Whether trial ranks may do better ``(B,)``.
    """

    dual: Float[Tensor, "B"]
    raw_gap: Float[Tensor, "B"]
    stationarity: Float[Tensor, "B"]
    norm: Float[Tensor, "B"]
    rank: Int[Tensor, "B"]
    code: Int[Tensor, "B"]
    loose: Bool[Tensor, "B"]


def bound_average(
    x: Float[Tensor, "B P"],
    c: Float[Tensor, "B K"],
    radius2: Float[Tensor, "B"],
    *,
    keep_Y: bool = False,
    warps: int = WARPS,
    registers: int = REGISTERS,
) -> Proof:
    r"""Certify points of cross-entropy on the spheres :math:`\|W\|^2 + \|V\|^2 = 2\tau`.

    Args:
        x: Balanced factors, rows of W above rows of V, ``2 K d`` numbers an instance.
        c: Class weights, summing to one.
        radius2: ``2 tau``.
        keep_Y: Whether to return the dual matrices.
        warps: Warps a program.
        registers: Most registers a thread.

    Returns:
        Bounds by the clip; NaN where a point is not finite.

    Raises:
        ValueError: If the arrays do not belong together, or K or d is above 16.
    """
    return _launch(x, c, radius2, keep_Y=keep_Y, evidence=False, warps=warps, registers=registers)[
        0
    ]


def prove_average(
    x: Float[Tensor, "B P"], c: Float[Tensor, "B K"], radius2: Float[Tensor, "B"]
) -> tuple[Proof, Evidence]:
    """The best of clip, raw bound and infimum, with all that a certificate holds.

    Args:
        x: As for `bound_average`.
        c: Class weights, summing to one.
        radius2: ``2 tau``.

    Returns:
        Bounds with their dual matrices, and the rest of the evidence.

    Raises:
        ValueError: If the arrays do not belong together, or K or d is above 16.
    """
    proof, real, whole = _launch(
        x, c, radius2, keep_Y=True, evidence=True, warps=WARPS, registers=REGISTERS
    )
    rank, code, loose = whole.long().unbind(-1)
    return proof, Evidence(*real.unbind(-1), rank=rank, code=code, loose=loose != 0)


def _launch(
    x: Tensor, c: Tensor, radius2: Tensor, *, keep_Y: bool, evidence: bool, warps: int,
    registers: int,
) -> tuple[Proof, Tensor, Tensor]:  # fmt: skip
    B, K, d = len(x), c.shape[-1], check_arrays(x, c, radius2)
    # By name: Triton is there only with CUDA builds of torch.
    kernel: Any = importlib.import_module("ufm.certificates.cuda._average_kernel")
    primal, gap, margin = (torch.empty_like(radius2) for _ in range(3))
    Y = x.new_empty(B if keep_Y else 1, K, K)
    real = x.new_empty(B if evidence else 1, 4)
    whole = torch.empty(B if evidence else 1, 3, dtype=torch.int32, device=x.device)
    tile = Tile.of(K, d)
    with torch.cuda.device_of(x):
        kernel.bound[(B,)](
            aligned(x), aligned(c), aligned(radius2), primal, gap, margin, Y, real, whole, K=K,
            d=d, KP=tile.KP, DP=tile.DP, MAX_SWEEPS=MAX_SWEEPS, KEEP_Y=keep_Y, EVIDENCE=evidence,
            TRIAL_ABOVE=TRIAL_ABOVE, RANK_TOLERANCE=RANK_TOLERANCE, num_warps=warps,
            maxnreg=registers,
        )  # fmt: skip
    return Proof(primal, gap, margin, Y if keep_Y else None), real, whole
