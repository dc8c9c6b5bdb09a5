"""Memory that stays: the same tensors again and again fault on no page after the first time."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


PROGRAM = """
import resource, sys
import torch
from deep.allocator import keep_host_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        maps = [torch.ones(2, 1 << 20) for _ in range(12)]  # 8 MB each, as of a forward pass
        del maps
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

by_default = (faults(), faults())[1]
told = keep_host_memory()
assert keep_host_memory() == told
kept = (faults(), faults())[1]
print(told, by_default, kept)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc on Linux")
def test_no_page_faults_once_memory_is_kept():
    # The C library's adaptive threshold held at its start, so that the control does fault.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(1 << 17)}
    out = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env=environment
    ).stdout.split()
    if out[0] == "False":
        pytest.skip("another C library")
    by_default, kept = int(out[1]), int(out[2])
    assert by_default > 10_000
    assert kept < 100
