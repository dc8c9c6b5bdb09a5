"""Certify by Triton's interpreter: ``python certified_for_cuda.py IN OUT``; see its neighbour."""

from __future__ import annotations

import os
import sys


os.environ["TRITON_INTERPRET"] = "1"

import torch

import ufm
from ufm.certificates import _fused


def main(source: str, target: str) -> None:
    sol = ufm.Solution.load(source)
    _fused.can_launch = lambda device: True  # on tensors of the CPU
    first, loose = _fused.fused_certificate(sol)
    found = {"first": dict(vars(first)), "full": dict(vars(ufm.certify(sol))), "loose": loose}
    torch.save(found, target)


main(*sys.argv[1:])
