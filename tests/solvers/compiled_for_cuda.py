"""Compile the kernels for a card that need not be there: ``python compiled_for_cuda.py``; JSON."""

from __future__ import annotations

import json
import sys

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from ufm._triton.launch import Tile
from ufm.certificates._certificate import RANK_TOLERANCE
from ufm.certificates._spectral import TRIAL_ABOVE
from ufm.certificates.cuda import _average_kernel
from ufm.certificates.cuda.fused import MAX_SWEEPS
from ufm.solvers._line_search import ARMIJO, MAX_IDLE, MAX_SHRINKS, SHRINK
from ufm.solvers._memory import CURVATURE
from ufm.solvers.cuda import _lbfgs_kernel
from ufm.solvers.cuda.fused import PAIRS, REGISTERS, WARPS
from ufm.status import RUNNING, Status


K, d = 10, 9
INTEGERS = (
    "code_pointer", "steps_pointer", "evaluations_pointer", "counter_pointer", "whole_pointer",
)  # fmt: skip
HOPPER = GPUTarget("cuda", 90, 32)
tile = Tile.of(K, d)
SIZES = {"K": K, "d": d, "KP": tile.KP, "DP": tile.DP}
MINIMISE = SIZES | {
    "NP": tile.NP, "M": PAIRS, "ARMIJO": ARMIJO, "SHRINK": SHRINK, "MAX_SHRINKS": MAX_SHRINKS,
    "MAX_IDLE": MAX_IDLE, "CURVATURE": CURVATURE, "RUNNING": RUNNING,
    "CONVERGED": Status.CONVERGED.code, "OUT_OF_STEPS": Status.MAX_STEPS.code,
    "STALLED": Status.STALLED.code, "NONFINITE": Status.NONFINITE.code,
}  # fmt: skip
BOUND = SIZES | {
    "MAX_SWEEPS": MAX_SWEEPS, "KEEP_Y": False, "EVIDENCE": False, "TRIAL_ABOVE": TRIAL_ABOVE,
    "RANK_TOLERANCE": RANK_TOLERANCE,
}  # fmt: skip
PROVE = BOUND | {"KEEP_Y": True, "EVIDENCE": True}


def compiled(kernel, constants: dict, **options: int) -> dict:
    kinds = {name: "*i32" if name in INTEGERS else "*fp64" for name in kernel.arg_names}
    kinds |= dict.fromkeys(("B", "max_steps"), "i32") | dict.fromkeys(constants, "constexpr")
    signature = {name: kinds[name] for name in kernel.arg_names}
    source = ASTSource(kernel, signature=signature, constexprs=constants)
    found = triton.compile(source, target=HOPPER, options=options)
    ptx = found.asm["ptx"]
    return {
        "matrix products": ptx.count("mma.sync"), "binary": len(found.asm["cubin"]),
        "shared": found.metadata.shared, "f32 products": ptx.count("tf32"),
    }  # fmt: skip


json.dump(
    {
        "minimise": compiled(_lbfgs_kernel.minimise, MINIMISE, num_warps=WARPS, maxnreg=REGISTERS),
        "bound": compiled(_average_kernel.bound, BOUND, num_warps=WARPS, maxnreg=REGISTERS),
        "prove": compiled(_average_kernel.bound, PROVE, num_warps=WARPS, maxnreg=REGISTERS),
    },
    sys.stdout,
)
