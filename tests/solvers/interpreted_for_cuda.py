"""Run the kernels by Triton's interpreter: ``python interpreted_for_cuda.py IN OUT``, torch files.

A process of its own: the interpreter has to be chosen before Triton is imported.
"""

from __future__ import annotations

import os
import sys


os.environ["TRITON_INTERPRET"] = "1"

import torch

from ufm.certificates.cuda.fused import bound_average
from ufm.methods import LBFGS
from ufm.solvers.cuda.fused import minimise


def main(source: str, target: str) -> None:
    outcomes = []
    for case in torch.load(source):
        x, c, radius2 = (case[name] for name in ("x", "c", "radius2"))
        out = minimise(x, c, radius2, method=LBFGS(**case["method"]), programs=case["programs"])
        proof = bound_average(out.x, c, radius2, keep_Y=True)
        outcomes.append({**out._asdict(), **proof._asdict(), "passed": proof.passed})
    torch.save(outcomes, target)


main(*sys.argv[1:])
